"""Guards on features: what is called collapsed, what is a warning, and what passes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sslaudit.checks import check_features
from sslaudit.results import Check
from sslaudit.store import Features, Parts

N, D = 400, 64

Look = Callable[..., dict[str, Check]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """``look(rows)["rank"]``: the checks of features (N, D) or (N, V, D) by name."""

    def call(rows: np.ndarray, data: object = None, precision: str = "fp32") -> dict[str, Check]:
        views = rows[:, None] if rows.ndim == 2 else rows
        parts = Parts(tmp_path / "key", len(views))
        for part in range(parts.count):
            parts.write(part, views[parts.block(part)].astype(np.float32))
        found = check_features(Features(parts), data, precision=precision)  # type: ignore[arg-type]
        return {check.name: check for check in found}

    return call


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def images(labels: np.ndarray, digests: list[str] | None = None) -> SimpleNamespace:
    """What a check reads of a data set."""
    names = [f"class/{i:03d}.png" for i in range(len(labels))]
    classes = tuple(map(str, np.unique(labels)))
    return SimpleNamespace(ids=names, digests=digests or names, classes=classes, labels=labels)


def with_rows(rows: np.ndarray, many: int, value: object) -> np.ndarray:
    changed = rows.copy()
    changed[:many] = value
    return changed


def line(noise: float) -> np.ndarray:
    return np.outer(normal(1, N), normal(2, D)) + noise * normal(3, N, D)


def two_groups(noise: float, share: float = 0.5) -> np.ndarray:
    sign = np.where(np.random.default_rng(4).random(N) < share, 1, -1)
    return sign[:, None] * normal(2, D) + noise * normal(3, N, D)


G, V = normal(0, N, D), normal(2, D)

COLLAPSED = {
    "constant": (np.tile(V, (N, 1)), "all images have one embedding"),
    "rounding of a float32": (V * (1 + 1e-7 * G), "all images have one embedding"),
    "noise of a deep network": (V * (1 + 2e-6 * G), "all images have one embedding"),
    "rounding of a mean far away": (G + 1e7, "all images have one embedding"),
    "zeros": (np.zeros((N, D)), "all images have one embedding"),
    "most images at one point": (with_rows(G, 380, V), "380 of 400 images have one embedding"),
    "all images but one": (
        np.vstack([np.tile(V, (N - 1, 1)), G[:1]]),
        "399 of 400 images have one embedding",
    ),
    "no image passes a ReLU": (with_rows(G, 300, 0), "300 of 400 images have an embedding of zeros"),
    "two that are equal": (np.tile(V, (2, 1)), "all images have one embedding"),
}


@pytest.mark.parametrize("case", COLLAPSED)
def test_a_complete_collapse_fails(look: Look, case: str) -> None:
    rows, said = COLLAPSED[case]
    checks = look(rows)
    assert list(checks) == ["finite", "non-constant"]
    assert checks["non-constant"].status == "fail"
    assert checks["non-constant"].message.startswith(said)


RANK_1 = {
    "a line through the origin": line(0),
    "a line elsewhere": line(0) + normal(5, D),
    "a line with noise": line(0.03),
    "one dimension alone": np.pad(normal(1, N, 1), ((0, 0), (0, D - 1))),
    "few images": np.outer(normal(1, 12), V),
    "more dimensions than images": np.outer(normal(1, 20), normal(2, 3000)),
}


@pytest.mark.parametrize("case", RANK_1)
def test_one_direction_fails(look: Look, case: str) -> None:
    check = look(RANK_1[case])["rank"]
    assert check.status == "fail"
    assert check.message.startswith("participation ratio 1.0, at most ")
    assert check.message.endswith("% of the variance in one direction")


HEALTHY = {
    "Gaussian": G,
    "behind a ReLU": np.maximum(G, 0),
    "behind a ReLU with a large mean": np.maximum(G, 0) + 10,
    "very large": G * 1e36,
    "very small": G * 1e-36,
    "one dimension": G[:, :1],
    "two dimensions of other units": G[:, :2] * [1000, 1],
    "a curve": np.cos(np.outer(np.random.default_rng(6).random(N), np.arange(1, 33))),
    "two images": G[:2],
    "three images": G[:3],
    "more dimensions than images": normal(0, 20, 3000),
    "a saturated classifier": np.eye(16)[np.arange(N) % 16],
    "parts of a set of many rows": normal(0, 5000, 8),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_features_pass_without_a_warning(look: Look, case: str) -> None:
    assert {check.status for check in look(HEALTHY[case]).values()} == {"pass"}


WARNED = {
    "half of them one": (with_rows(G, 200, V), "non-constant", "200 of 400 images have one embedding"),
    "two of three": (G[[0, 0, 1]], "non-constant", "2 of 3 images have one embedding"),
    "a mean far away": (G + 1e4, "non-constant", "embeddings vary by 0.01 % of their length"),
    "noise about a constant": (
        V * (1 + 1e-4 * G),
        "non-constant",
        "embeddings vary by 0.01 % of their length",
    ),
    "short of rank 1": (line(0.4), "rank", "participation ratio 1.4, at most 64: 8"),
    "a line with more noise": (line(0.1), "rank", "participation ratio 1.0, at most 64: 9"),
    "one huge dimension": (G * np.where(np.arange(D) == 3, 1e3, 1), "rank", "participation ratio 1.0"),
    "one image far away": (
        with_rows(G, 1, 1e4 * G[0]),
        "rank",
        "participation ratio 1.0, at most 64: 100.0 %",
    ),
    "three images on a line": (np.outer([1, 2, 4], V), "rank", "participation ratio 1.0, at most 2: "),
    "two points": (two_groups(0), "rank", "participation ratio 1.0, at most 64: two tight groups"),
    "uneven groups": (two_groups(0.02, 0.1), "rank", "participation ratio 1.0, at most 64: two tight groups"),
}


@pytest.mark.parametrize("case", WARNED)
def test_what_may_be_right_is_a_warning_with_numbers(look: Look, case: str) -> None:
    rows, name, said = WARNED[case]
    checks = look(rows)
    assert checks[name].status == "warn"
    assert checks[name].message.startswith(said)
    assert "fail" not in {check.status for check in checks.values()}


@pytest.mark.parametrize("noise", [0, 0.02, 0.3])
def test_two_groups_are_right_for_two_classes(look: Look, noise: float) -> None:
    rows = two_groups(noise)
    of_two, of_four = images((rows @ V > 0).astype(int)), images(np.arange(N) % 4)
    assert {check.status for check in look(rows, of_two).values()} == {"pass"}
    assert look(rows, of_two)["rank"].message.endswith("two groups, for two classes")
    assert look(rows, of_four)["rank"].status == ("fail" if noise < 0.1 else "warn")


def test_a_line_is_wrong_for_two_classes_too(look: Look) -> None:
    assert look(line(0), images(np.arange(N) % 2))["rank"].status == "fail"


def test_a_constant_is_wrong_where_there_is_one_class(look: Look) -> None:
    assert look(np.tile(V, (N, 1)), images(np.zeros(N, int)))["non-constant"].status == "fail"
    assert look(np.tile(V, (N, 1)), images((np.arange(N) > 0).astype(int)))["non-constant"].status == "fail"


def test_copies_of_an_image_have_one_embedding_by_right(look: Look) -> None:
    rows = with_rows(G, 390, V)
    once = images(np.arange(N) % 4, ["copy"] * 390 + [str(i) for i in range(10)])
    assert look(rows, once)["non-constant"].status == "pass"
    assert list(look(np.tile(V, (5, 1)), images(np.arange(5) % 2, ["copy"] * 5))) == ["finite"]


def test_images_without_a_direction_are_counted_and_are_no_collapse(look: Look) -> None:
    checks = look(with_rows(np.maximum(G, 0), 3, 0))
    assert checks["non-constant"].status == "pass"
    assert checks["direction"].status == "fail"
    assert checks["direction"].message.startswith("3 of 400 images have an embedding of zeros")


def test_images_that_are_not_finite_are_counted_and_named(look: Look) -> None:
    rows = np.stack([G, G], axis=1)
    rows[7, 0, 2], rows[33, 1, 1], rows[350] = np.nan, np.inf, np.nan  # in any view, in any part
    data = images(np.arange(N) % 4)
    assert look(rows)["finite"].message == "3 of 400 images have NaN or Inf: rows 7, 33, 350"
    named = look(rows, data)["finite"]
    assert named.status == "fail"
    assert named.message == (
        "3 of 400 images have NaN or Inf: rows 7 (class/007.png), 33 (class/033.png), 350 (class/350.png)"
    )
    rows[:] = np.inf
    low = look(rows, precision="fp16")["finite"].message
    assert low == (
        "400 of 400 images have NaN or Inf: rows 0, 1, 2, 3, 4 and 395 more; in fp16, so try --precision fp32"
    )


def test_rounding_of_a_lower_precision_is_no_difference(look: Look) -> None:
    half = torch.tensor(V * (1 + 1e-3 * G)).to(torch.bfloat16).float().numpy()
    assert look(half, precision="bf16")["non-constant"].status == "fail"
    assert look(half)["non-constant"].status == "warn"
    assert look(np.maximum(G, 0) + 1, precision="bf16")["non-constant"].status == "pass"
