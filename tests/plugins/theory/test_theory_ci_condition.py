"""The metric ci-condition: verdicts, Holm over targets, the floor, and what it says of bad input."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from sslaudit.data import Dataset, subset
from sslaudit.encoder import Preprocess, from_module
from sslaudit.errors import UsageError
from sslaudit.extraction import AlteredImages, Embedder, Extraction
from sslaudit.figures import Bars
from sslaudit.loading import load_dataset
from sslaudit.numbers import number
from sslaudit.plan import make_plan
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.registry import installed
from sslaudit.results import Estimate, Interval
from sslaudit_theory.independence.condition import c1_test
from sslaudit_theory.metrics.ci_condition import estimates
from sslaudit_theory.metrics.ci_words import with_headline
from sslaudit_theory.metrics.pretext_pairs import Pairs
from tests.plugins.conftest import Measure

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


def world(target: str = "disjoint-crop", *, shared: float, n: int = 400, seed: int = 0) -> Pairs:
    """Three classes; f and z have ``shared`` of one coordinate in common, the floor nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    common = rng.normal(size=(n, 1))
    f = rng.normal(size=(n, 6)) + 2 * labels[:, None]
    z = rng.normal(size=(n, 4)) - labels[:, None]
    f[:, :1] += shared * common
    z[:, :1] += shared * common
    return Pairs(
        target=target,
        images=np.arange(n),
        f=f,
        z=z,
        floor=rng.normal(size=(n, 5)),
        labels=labels,
        names=("cat", "dog", "owl"),
        train=rng.random(n) < 0.7,
    )


def one(pairs: Pairs, draws: int = 199) -> dict[str, object]:
    estimate = estimates([pairs], draws=draws, rng=np.random.default_rng(1))[pairs.target]
    return {"estimate": estimate, **estimate.details}


def test_dependence_is_rejected_with_its_size_and_the_floor() -> None:
    found = one(world(shared=1.5))
    estimate = found["estimate"]
    assert estimate.verdict == "fails"
    assert found["reading"] == "C1 rejected"
    assert estimate.interval.low < estimate.value < estimate.interval.high
    assert found["p_multiplier"] == found["p_permutation"] == 1 / 200
    assert found["pixels_low"] < 0 < found["pixels_high"]
    assert "p_multiplier_holm" not in found
    (line,) = estimate.headline.values()
    assert line.startswith("C1 rejected, with z = disjoint-crop: RV of f(x) and z within classes .")
    (bars,) = estimate.figures
    assert isinstance(bars, Bars)
    assert sorted(bars.labels) == ["cat", "dog", "owl"]
    assert bars.values == tuple(sorted(bars.values, reverse=True))
    assert found["most_dependent_class"] == bars.labels[0]


def test_the_number_is_that_of_the_mathematics() -> None:
    pairs = world(shared=0.7)
    found = one(pairs)
    c1 = c1_test(pairs.f, pairs.z, pairs.labels, rng=np.random.default_rng(1), draws=199)
    assert found["estimate"].value == c1.rho2
    assert found["detectable"] == c1.detectable
    assert found["T"] == c1.statistic


def test_what_is_not_rejected_comes_with_what_would_have_been_found() -> None:
    found = one(world(shared=0.0))
    assert found["estimate"].verdict == "inconclusive"
    assert found["detectable"] > 0
    for text in (found["reading"], found["estimate"].note, *found["estimate"].headline.values()):
        assert "detectable effect ." in text
        assert "holds" not in text


def test_an_effect_below_zero_is_printed_as_it_is() -> None:
    found = one(world(shared=0.0, n=60))
    (line,) = found["estimate"].headline.values()
    assert found["estimate"].value < 0
    assert ": RV of f(x) and z within classes -." in line


def test_a_constant_target_is_trivially_true() -> None:
    pairs = world(shared=1.0)
    for z in (np.ones_like(pairs.z), np.eye(3)[pairs.labels], np.empty((len(pairs.z), 0))):
        found = one(replace(pairs, z=z))
        assert found["estimate"].value is None
        assert found["estimate"].verdict == "vacuous"
        assert found["estimate"].reason == "C1 trivially true (z constant within classes)"
        assert found["estimate"].headline == {
            "PRETEXT": "C1 trivially true (z constant within classes), with z = disjoint-crop"
        }


def test_small_classes_are_left_out_and_listed() -> None:
    pairs = world(shared=1.0)
    labels = np.where(pairs.labels == 1, 0, pairs.labels)
    labels[:3] = 1
    found = one(replace(pairs, labels=labels))
    assert found["classes"] == 2
    assert found["classes_left_out"] == 1
    assert "Left out, with fewer than 5 images: dog (3) (1 in all)." in found["estimate"].note


def test_labels_of_a_continuous_kind_are_no_classes() -> None:
    pairs = world(shared=1.0)
    names = tuple(f"{k}" for k in range(400))
    found = one(replace(pairs, labels=np.arange(400), names=names))
    assert found["estimate"].value is None
    assert found["estimate"].verdict == "not-applicable"
    assert found["estimate"].reason.startswith("C1 cannot be tested (labels look continuous")


def test_several_targets_are_judged_by_holms_p_values() -> None:
    pairs = [world("patch", shared=0.0, seed=3), world("rotation", shared=1.5), world("color", shared=0.0)]
    trivial = replace(world("disjoint-crop", shared=0.0), z=np.ones((400, 2)))
    made = estimates([*pairs, trivial], draws=199, rng=np.random.default_rng(0))
    p = {name: one.details["p_multiplier"] for name, one in made.items()}
    adjusted = {name: one.details["p_multiplier_holm"] for name, one in made.items()}
    assert made["rotation"].details["p_permutation_holm"] == pytest.approx(3 / 200)
    assert adjusted["rotation"] == pytest.approx(3 * p["rotation"])
    assert adjusted["disjoint-crop"] is None
    ordered = sorted(("patch", "color"), key=lambda name: p[name])
    assert adjusted[ordered[0]] == pytest.approx(min(1, max(2 * p[ordered[0]], 3 * p["rotation"])))
    assert made["rotation"].details["reading"] == "C1 rejected"
    assert [name for name, one in made.items() if one.headline] == ["patch"]
    said = made["patch"].headline["PRETEXT"].split("; ")
    assert [text.partition(": ")[0] for text in said] == [f"z = {name}" for name in made]


def test_equal_inputs_give_equal_estimates() -> None:
    assert one(world(shared=0.3)) == one(world(shared=0.3))


def test_options_that_do_not_go_together_are_refused_before_any_work() -> None:
    for term, said in (
        ("ci-condition(z=rotatoin)", "rotatoin"),
        ("ci-condition(crop=0:0:.6:1,seen=.4:0:1:1)", "overlap"),
        ("pretext-loss(z=next-sentence)", "text"),
        ("ci-epsilon(z=patch+patch)", "patch"),
    ):
        with pytest.raises(UsageError, match=said):
            make_plan(installed(), term)


class Lopsided(nn.Module):
    """Not finite where the left half is brighter than the right one."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.sum(dim=(1, 2)).tensor_split(2, dim=1)
        brighter = left.sum(dim=1) > right.sum(dim=1)
        return images.flatten(1).masked_fill(brighter[:, None], float("nan"))


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=400)


def altered(
    digits: Dataset, cache: Path, module: nn.Module | None = None, size: tuple[int, int] = (8, 8)
) -> AlteredImages:
    recipe = parse_recipe("none", {spec.name: spec for spec in BUILTIN_RECIPES})
    how = Extraction(recipe=recipe, views=1, seed=0, batch_size=64)
    encoder = from_module(module or Pixels(), preprocess=replace(SMALL, size=size))
    return AlteredImages(Embedder(encoder, how), digits, cache=cache)


def on_digits(
    term: str, digits: Dataset, given: AlteredImages | Path, measure_term: Measure
) -> dict[str, Estimate]:
    made: dict[str, Estimate] = measure_term(
        term,
        np.zeros((400, 1, 1)),
        digits.labels,
        digits.train,
        digits.test,
        digits.classes,
        altered=altered(digits, given) if isinstance(given, Path) else given,
    )
    return made


def test_on_real_images_pixels_as_the_encoder_are_their_own_floor(
    digits: Dataset, tmp_path: Path, measure_term: Measure
) -> None:
    """An encoder that keeps all pixels, with a floor of leading components, which lose next to nothing."""
    (estimate,) = on_digits("ci-condition(images=300,draws=199)", digits, tmp_path, measure_term).values()
    assert estimate.details["images"] == 300
    assert estimate.details["reading"] == "C1 rejected"
    assert estimate.value == pytest.approx(estimate.details["pixels"], abs=0.05)


def test_gray_images_have_no_colour_to_predict(
    digits: Dataset, tmp_path: Path, measure_term: Measure
) -> None:
    made = on_digits("ci-condition(z=color+rotation,draws=199)", digits, tmp_path, measure_term)
    assert made["color"].reason == "C1 trivially true (z constant within classes)"
    assert made["rotation"].details["reading"] == "C1 rejected"
    assert made["rotation"].details["dim_z"] == 3


METRICS = ("ci-condition", "ci-epsilon", "pretext-loss", "downstream-sufficiency")


@pytest.mark.parametrize("metric", METRICS)
def test_a_target_that_cannot_be_had_has_a_reason_and_the_others_are_measured(
    digits: Dataset, tmp_path: Path, measure_term: Measure, metric: str
) -> None:
    wide = altered(digits, tmp_path, size=(4, 8))
    both = on_digits(f"{metric}(z=rotation+disjoint-crop,images=60)", digits, wide, measure_term)
    assert set(both) == {"rotation", "disjoint-crop"}
    assert both["rotation"].verdict == "not-applicable"
    assert both["rotation"].reason.startswith("z=rotation needs a square input; views of 4 x 8 px cannot")
    assert both["disjoint-crop"].value is not None
    (tiny,) = on_digits(f"{metric}(crop=0:0:.001:1,images=60)", digits, wide, measure_term).values()
    assert tiny.verdict == "not-applicable"
    assert tiny.reason.startswith("crop is less than a pixel of views of 4 x 8 px")


@pytest.mark.parametrize("metric", METRICS)
def test_embeddings_that_are_not_finite_are_counted(
    digits: Dataset, tmp_path: Path, measure_term: Measure, metric: str
) -> None:
    lopsided = altered(digits, tmp_path, Lopsided())
    (found,) = on_digits(f"{metric}(z=rotation,images=60)", digits, lopsided, measure_term).values()
    assert found.verdict == "not-applicable"
    said = "the encoder gives numbers that are not finite for [1-5][0-9] of 60 images as it sees them for "
    assert re.fullmatch(f"{said}z=rotation", found.reason)


@pytest.mark.parametrize("metric", METRICS[1:])
def test_a_target_without_columns_is_not_applicable(
    digits: Dataset, tmp_path: Path, measure_term: Measure, metric: str
) -> None:
    (found,) = on_digits(f"{metric}(z=color,images=60)", digits, tmp_path, measure_term).values()
    assert found.verdict == "not-applicable"
    assert found.reason in ("trivial: z is constant", "there are no columns of z: nothing varies")


def test_dependence_is_read_by_adjusted_p_values_too() -> None:
    """z is louder where f is far out: dependence without correlation. Of four targets p = .02 is little."""
    plain = world(shared=0.0, seed=11)
    far = np.abs(plain.f[:, 1:2] - 2 * plain.labels[:, None])
    loud = replace(plain, z=plain.z * (1 + 0.6 * far))
    others = [world(name, shared=0.0, seed=seed) for seed, name in enumerate(("patch", "color", "rotation"))]
    alone = estimates([loud], draws=199, rng=np.random.default_rng(0))["disjoint-crop"]
    together = estimates([loud, *others], draws=199, rng=np.random.default_rng(0))["disjoint-crop"]
    assert alone.details["p_permutation"] == together.details["p_permutation"] == 0.02
    assert together.details["p_permutation_holm"] > 0.05
    assert "Dependent but C1 not rejected" in alone.note
    assert "Dependent" not in together.note


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.2, "less than"), (0.1, 0.4, "about that of"), (0.5, 0.6, "more than")],
)
def test_features_are_set_against_raw_pixels_by_intervals(low: float, high: float, said: str) -> None:
    details = {"reading": "C1 rejected", "pixels": 0.35, "pixels_low": 0.3, "pixels_high": 0.4}
    interval = Interval(low=low, high=high, method="given")
    estimate = Estimate(value=low, interval=interval, details=details)
    alone = with_headline({"patch": estimate}, "RV")["patch"].headline["PRETEXT"]
    assert alone == f"C1 rejected, with z = patch: RV {number(low)}, 0 under C1; {said} raw pixels, .350"
    both = with_headline({"patch": estimate, "color": estimate}, "RV")
    (line,) = (one.headline["PRETEXT"] for one in both.values() if one.headline)
    each = f"C1 rejected, RV {number(low)}, {said} raw pixels, .350"
    assert line == f"z = patch: {each}; z = color: {each}"
