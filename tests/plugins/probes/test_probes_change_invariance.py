"""How far transformations move embeddings: the number, its interval, the pixels, the metric."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import sslaudit
from sslaudit.data import Dataset, subset
from sslaudit.encoder import Preprocess, from_module
from sslaudit.errors import UsageError
from sslaudit.extraction import Alteration, AlteredImages, Embedder, Extraction
from sslaudit.figures import Bars
from sslaudit.recipes import parse_recipe
from sslaudit.results import Estimate
from sslaudit_probes.change.invariance import EQUAL, random_cosine, relative_invariance
from sslaudit_probes.change.options import TRANSFORMS
from sslaudit_probes.change.pixels import pixel_changes
from sslaudit_probes.change.transforms import impossible, transform
from tests.plugins.conftest import Measure

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
DIGESTS = [f"{k:064x}" for k in range(12)]


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Mirrored(nn.Module):
    """Does not tell left from right."""

    def forward(self, images: Tensor) -> Tensor:
        return (images + images.flip(-1)).flatten(1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(sslaudit.load_dataset("digits"), max_images=120)


@pytest.fixture(scope="module")
def colored() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(256, (12, 3, 40, 40), generator=generator, dtype=torch.uint8)


def naive(f: np.ndarray, g: np.ndarray) -> float:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    n = len(f)
    own = sum(cosine(f[i], g[i]) for i in range(n)) / n
    pairs = [cosine(f[i], f[j]) for i in range(n) for j in range(n) if i != j]
    return 1 - (1 - own) / (1 - sum(pairs) / len(pairs))


@given(n=st.integers(3, 7), d=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_the_number_and_its_error_are_those_of_double_loops(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    f, g = rng.normal(size=(n, d)) + 0.5, rng.normal(size=(n, d)) + 0.5
    found = relative_invariance(f, g)
    assert found.value == pytest.approx(naive(f, g), rel=1e-9, abs=1e-9)
    assert 1 - (1 - found.own) / (1 - found.random) == pytest.approx(found.value, rel=1e-9, abs=1e-9)
    assert found.random == random_cosine(f)
    without = np.array([naive(np.delete(f, i, 0), np.delete(g, i, 0)) for i in range(n)])
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    assert found.error == pytest.approx(error, rel=1e-6, abs=1e-9)


def test_closed_forms() -> None:
    f = np.eye(5)  # different images are at a right angle
    assert relative_invariance(f, f).value == 1
    assert relative_invariance(f, np.roll(f, 1, axis=0)).value == pytest.approx(0)
    assert relative_invariance(f, -f).value == pytest.approx(-1)
    half = np.array([[1.0, 0], [0, 1.0]])
    tilted = np.array([[1.0, np.sqrt(3)], [np.sqrt(3), 1.0]])  # by 60 degrees: cosine 1/2
    found = relative_invariance(half, tilted)
    assert (found.own, found.random, found.value) == pytest.approx((0.5, 0, 0.5))
    assert found.error is None
    # The same angle within a narrow cone counts for more: as far as another image.
    cone = np.array([[np.cos(a), np.sin(a)] for a in (0, np.pi / 3)])
    assert relative_invariance(cone, cone[::-1]).value == pytest.approx(0)


def test_rotation_and_length_do_not_matter_and_tensors_do_not_either() -> None:
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=(2, 40, 6)) + 1
    found = relative_invariance(f, g)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    other = relative_invariance(f @ turn * rng.uniform(1, 3, (40, 1)), g @ turn * 7)
    assert (other.value, other.error) == pytest.approx((found.value, found.error), rel=1e-9)
    assert relative_invariance(torch.from_numpy(f), torch.from_numpy(g)) == found


def test_what_has_no_answer_says_so() -> None:
    rng = np.random.default_rng(0)
    f = rng.normal(size=(5, 3))
    with pytest.raises(ValueError, match="not of the same images"):
        relative_invariance(f, f[:4])
    with pytest.raises(ValueError, match=r"shape \(1, 3\) have no pair"):
        random_cosine(f[:1])
    with pytest.raises(ValueError, match=EQUAL):
        relative_invariance(np.tile(f[:1], (5, 1)) * np.arange(1, 6)[:, None], f)
    with pytest.raises(ValueError, match="2 of 5 embeddings are exactly zero"):
        relative_invariance(f, f * np.array([[1], [0], [1], [0], [1]]))
    with pytest.raises(ValueError, match="not finite"):
        relative_invariance(f * np.inf, f)


def test_the_interval_covers_and_no_more() -> None:
    """Of 400 samples of 60 images the jackknife interval holds the value of the population in 92 to 98 %."""
    rng = np.random.default_rng(5)
    f = rng.normal(size=(400, 60, 4)) + np.array([1.0, 0, 0, 0])
    g = f + 0.7 * rng.normal(size=f.shape)
    many = rng.normal(size=(10**6, 4)) + np.array([1.0, 0, 0, 0])
    truth = relative_invariance(many, many + 0.7 * rng.normal(size=many.shape)).value
    found = [relative_invariance(a, b) for a, b in zip(f, g, strict=True)]
    inside = np.mean([abs(one.value - truth) <= 1.96 * (one.error or 0) for one in found])
    assert 0.92 <= inside <= 0.98


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transformation_depends_on_seed_and_content_alone(name: str, colored: Tensor) -> None:
    whole = transform(name, 0).apply(colored, DIGESTS)
    assert (whole.shape, whole.dtype) == (colored.shape, torch.uint8)
    assert not torch.equal(whole, colored)
    assert torch.equal(transform(name, 0).apply(colored, DIGESTS), whole)
    for some in ([7], [3, 11, 0]):
        alone = transform(name, 0).apply(colored[some], [DIGESTS[i] for i in some])
        assert torch.equal(alone, whole[some])
    drawn = name in ("crop", "color", "blur", "translate")
    other = transform(name, 1)
    assert torch.equal(other.apply(colored, DIGESTS), whole) != drawn
    if drawn:
        assert other.key != transform(name, 0).key


def test_the_pixels_of_each_transformation(colored: Tensor) -> None:
    def done(name: str) -> Tensor:
        return transform(name, 0).apply(colored, DIGESTS)

    assert torch.equal(done("flip"), colored.flip(-1))
    assert torch.equal(done("solarize"), torch.where(colored >= 128, 255 - colored, colored))
    assert torch.equal(done("rotate")[:, :, 0, 0], colored[:, :, 0, -1])  # anticlockwise
    gray = done("gray")
    assert torch.equal(gray[:, 0], gray[:, 2])
    moves = set()
    for before, after in zip(colored, done("translate"), strict=True):
        for y, x in ((5, 5), (5, -5), (-5, 5), (-5, -5)):
            rows, columns = ((torch.arange(40) - by).clamp(0, 39) for by in (y, x))
            if torch.equal(after, before[:, rows][:, :, columns]):
                moves.add((y, x))
    assert len(moves) == 4
    assert len({transform(name, 0).key for name in TRANSFORMS}) == len(TRANSFORMS)
    with pytest.raises(ValueError, match="no transformation 'twirl'"):
        transform("twirl", 0)


def test_what_views_do_not_allow() -> None:
    assert "views of 8 x 9 px" in impossible("rotate", (8, 9))
    assert "below 32 px" in impossible("blur", (31, 40))
    assert not any(impossible(name, (32, 32)) for name in TRANSFORMS)


def altered_digits(digits: Dataset, cache: Path, size: tuple[int, int] = (8, 8)) -> AlteredImages:
    how = Extraction(recipe=parse_recipe("crop", {}), views=1, seed=0, batch_size=64)
    encoder = from_module(Pixels(), preprocess=replace(SMALL, size=size))
    return AlteredImages(Embedder(encoder, how), digits, cache=cache)


def test_whether_pixels_change_is_looked_up_in_the_pixels(digits: Dataset, tmp_path: Path) -> None:
    one_more = Alteration("one more", lambda pixels, digests: pixels.clamp(max=254) + 1)
    two_more = Alteration("two more", lambda pixels, digests: pixels.clamp(max=253) + 2)
    as_it_is = Alteration("as it is", lambda pixels, digests: pixels)
    wanted = [as_it_is, one_more, two_more, transform("gray", 0)]
    found = pixel_changes(altered_digits(digits, tmp_path), wanted, np.arange(100))
    assert [change.nothing for change in found] == [True, True, False, True]
    assert {change.images for change in found} == {64}
    assert found[0].mean == 0
    assert 1 / 255 < found[2].mean <= 2 / 255


def test_the_metric_names_the_least_invariant_transformation(digits: Dataset, tmp_path: Path) -> None:
    def run() -> dict[str, object]:
        card = sslaudit.evaluate(
            Mirrored(),
            digits,
            preprocess=SMALL,
            metrics="invariance(images=100),alignment",
            recipe="crop+flip",
            views=2,
            device="cpu",
            cache=tmp_path,
        )
        return {record.name: record for record in card.metrics}

    found = run()
    main, rows = found["invariance"], {name: found[f"invariance.{name}"] for name in TRANSFORMS}
    assert rows["flip"].value == pytest.approx(1, abs=1e-9)
    assert rows["flip"].interval.high == 1
    assert "changes nothing here: no pixel of the 64 images" in rows["gray"].reason
    assert "below 32 px" in rows["blur"].reason
    values = {name: row.value for name, row in rows.items() if row.value is not None}
    least = min(("crop", "flip"), key=values.__getitem__)
    assert values["rotate"] < values[least]  # which the recipe does not do, so it does not break alignment
    assert (main.value, main.interval) == (values[least], rows[least].interval)
    assert main.details["reading"] == f"{least}, least of the recipe's"
    assert main.details["images"] == 100
    assert main.direction == "none"
    assert all(row.minor and len(row.summary) <= 26 for row in rows.values())
    (bars,) = main.figures
    assert isinstance(bars, Bars)
    assert dict(zip(bars.labels, bars.values, strict=True)) == values
    assert "Not measured: gray, blur." in main.note
    again = run()
    assert [(r.value, r.interval) for r in again.values()] == [(r.value, r.interval) for r in found.values()]


def test_the_metric_is_the_mathematics_on_altered_pixels(
    digits: Dataset, tmp_path: Path, measure_term: Measure
) -> None:
    altered = altered_digits(digits, tmp_path)
    plain = altered.embedded(None, range(120))
    found = measure_term("invariance(transforms=flip+translate)", plain[:, None], altered=altered)
    assert list(found) == ["", "flip", "translate"]
    for name in ("flip", "translate"):
        changed = altered.embedded(transform(name, 0), range(120))
        assert found[name].value == pytest.approx(naive(plain.astype(float), changed.astype(float)), rel=1e-6)


def test_a_collapsed_encoder_and_odd_views_get_reasons(
    digits: Dataset, tmp_path: Path, measure_term: Measure
) -> None:
    def main(views: np.ndarray, altered: AlteredImages, term: str = "invariance") -> Estimate:
        found: Estimate = measure_term(term, views, altered=altered)[""]
        return found

    square, wide = altered_digits(digits, tmp_path), altered_digits(digits, tmp_path, size=(8, 12))
    assert main(np.ones((120, 1, 4)), square).reason == EQUAL
    assert "120 of 120 embeddings are exactly zero" in main(np.zeros((120, 1, 4)), square).reason
    assert "no pair of different images" in main(np.ones((1, 1, 4)), square).reason
    views = np.random.default_rng(0).normal(size=(120, 1, 4))
    silent = main(views, wide, "invariance(transforms=rotate+blur)")
    assert silent.verdict == "not-applicable"
    assert "another size" in silent.reason
    assert "below 32 px" in silent.reason


@pytest.mark.parametrize(("term", "message"), [("crop+twirl", "no 'twirl'"), ("flip+flip", "'flip' twice")])
def test_a_wrong_list_is_refused_before_any_work(digits: Dataset, term: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sslaudit.evaluate(Pixels(), digits, preprocess=SMALL, metrics=f"invariance(transforms={term})")


MEMORY = """
import resource, numpy as np
from sslaudit_probes.change.invariance import relative_invariance
rng = np.random.default_rng(0)
f, g = (rng.standard_normal((60_000, 512), dtype=np.float32) for _ in range(2))
relative_invariance(f[:500], g[:500])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
relative_invariance(f, g)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_many_images_fit() -> None:
    answer = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(answer.stdout) * 1024 < 1.5e9
