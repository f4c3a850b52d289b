"""The metrics of concentration against loops over small worlds, and what they say of hard ones."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sslaudit.results import Estimate
from sslaudit.stats import clopper_pearson
from sslaudit_theory.metrics.sampling import TOTAL
from sslaudit_theory.sigma.splits import Concentration

Measure = Callable[..., Any]

LABELS = np.array([0] * 7 + [1] * 9 + [2] * 6)
TEST = np.array([5, 6, 13, 14, 15, 20, 21])
TRAIN = np.setdiff1d(np.arange(22), TEST)


def noise(seed: int, n: int = 22, views: int = 3, side: int = 2) -> np.ndarray:
    """(n, V, 3, side, side) uint8: each class has a level of its own, views wander round their image."""
    rng = np.random.default_rng(seed)
    level = 60 * np.resize(LABELS, n)[:, None, None, None, None]
    images = level + rng.integers(0, 60, (n, 1, 3, side, side))
    return np.clip(images + rng.integers(0, 50, (n, views, 3, side, side)), 0, 255).astype(np.uint8)


def d_a(first: np.ndarray, second: np.ndarray) -> float:
    return min(math.dist(a, b) for a in first for b in second)


def largest_part(images: list[np.ndarray], delta: float) -> int:
    for size in range(len(images), 1, -1):
        for part in itertools.combinations(images, size):
            if all(d_a(a, b) <= delta * (1 + 1e-12) for a, b in itertools.combinations(part, 2)):
                return size
    return min(1, len(images))


def expected(points: np.ndarray, quantile: float) -> tuple[float, float, float, float]:
    """delta, sigma of the largest clique, lower and upper limit of sigma; ``points`` (N, V, D)."""
    plain, sides = [], 1 - 0.05 / 6
    for k in range(3):
        mine = [points[i, 0] for i in TRAIN if LABELS[i] == k]
        plain += [math.dist(a, b) for a, b in itertools.combinations(mine, 2)]
    delta = sorted(plain)[max(0, math.ceil(quantile * len(plain)) - 1)]
    cliques, lows, highs = [], [], []
    for k in range(3):
        train = [points[i] for i in TRAIN if LABELS[i] == k]
        test = [points[i] for i in TEST if LABELS[i] == k]
        cliques.append(largest_part(train, delta) / len(train))
        clique = largest_part(test, delta)
        highs.append(clopper_pearson(clique, len(test), sides, side="upper").high)

        def inside(anchor: np.ndarray, images: list[np.ndarray]) -> int:
            return sum(d_a(image, anchor[None]) <= delta / 2 * (1 + 1e-12) for image in images)

        anchors = [view for image in train for view in image]
        best = max(anchors, key=lambda anchor: inside(anchor, train))
        lows.append(clopper_pearson(inside(best, test), len(test), sides, side="lower").low)
    return delta, min(cliques), min(lows), min(highs)


@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.9])
def test_pixels_against_loops(measure_term: Measure, quantile: float) -> None:
    pixels = noise(0)
    estimate = measure_term(
        f"concentration(quantile={quantile})", np.zeros((22, 3, 1)), LABELS, TRAIN, TEST, pixels=pixels
    )
    points = pixels.reshape(22, 3, -1) / 255
    delta, sigma, low, high = expected(points, quantile)
    assert estimate.details["delta"] == pytest.approx(delta, rel=1e-12)
    assert estimate.value == pytest.approx(1 - sigma)
    assert estimate.interval.low == pytest.approx(1 - max(sigma, high))
    assert estimate.interval.high == pytest.approx(1 - min(sigma, low))
    nearest = [min(d_a(points[i], points[j]) for j in range(22) if LABELS[j] != LABELS[i]) for i in range(22)]
    assert estimate.details["nearest_other_class"] == pytest.approx(min(nearest), rel=1e-12)
    closer = np.mean(np.array(nearest) <= delta)
    assert estimate.details["share_nearer_to_another_class"] == pytest.approx(closer)
    assert not estimate.headline
    assert (estimate.bias, estimate.claim) == ("under", "estimate")


def test_features_against_loops(measure_term: Measure) -> None:
    views = np.random.default_rng(1).normal(size=(22, 3, 4)) + 2 * LABELS[:, None, None]
    estimate = measure_term("feature-concentration", views, LABELS, TRAIN, TEST)
    unit = views.astype(np.float32).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    delta, sigma, low, high = expected(unit, 0.5)
    assert estimate.details["delta"] == pytest.approx(delta, rel=1e-9)
    assert estimate.value == pytest.approx(1 - sigma)
    assert estimate.interval.low == pytest.approx(1 - max(sigma, high))
    assert estimate.interval.high == pytest.approx(1 - min(sigma, low))
    assert "features" in estimate.note


def test_the_curve_is_read_back_by_other_metrics(measure_term: Measure) -> None:
    estimate = measure_term(
        "concentration", np.zeros((22, 3, 1)), LABELS, TRAIN, TEST, pixels=noise(2), classes=("a", "b", "c")
    )
    found = Concentration.from_tables(estimate.tables)
    assert found.classes.tolist() == [0, 1, 2]
    assert (np.diff(found.deltas) > 0).all()
    assert found.deltas[0] == 0
    for low, high in ((found.train_low, found.train_high), (found.test_low, found.test_high)):
        assert (low <= high).all()
        assert (np.diff(low) >= 0).all()
    assert (found.star_lower <= found.test_high).all(), "a star is a clique"
    at = int(np.searchsorted(found.deltas, estimate.details["delta"]))
    assert estimate.value == pytest.approx(1 - found.train_low[:, at].min())
    assert estimate.details["worst_class"] == "abc"[found.train_low[:, at].argmin()]
    curve, bars = estimate.figures
    assert curve.series[0].y[at] == pytest.approx(estimate.value)
    (mark,) = curve.marks
    assert (mark.label, mark.x) == (estimate.details["at"], estimate.details["delta"])
    assert max(bars.values) == pytest.approx(estimate.value)


def test_more_views_concentrate_the_same_images(measure_term: Measure) -> None:
    pixels = noise(3, views=4)
    values = [
        measure_term("concentration", np.zeros((22, v, 1)), LABELS, TRAIN, TEST, pixels=pixels[:, :v])
        for v in (1, 2, 4)
    ]
    assert len({estimate.details["delta"] for estimate in values}) == 1, "delta is that of the plain images"
    assert values[0].value >= values[1].value >= values[2].value
    halves = [estimate.tables["resamples"] for estimate in values]
    assert all(a >= b >= c for a, b, c in zip(*halves, strict=True)), "the same halves whatever the views"


def test_images_that_two_classes_share_are_named(measure_term: Measure) -> None:
    pixels = noise(4)
    pixels[0, 1] = pixels[10, 2]
    estimate = measure_term("concentration", np.zeros((22, 3, 1)), LABELS, TRAIN, TEST, pixels=pixels)
    assert estimate.details["nearest_other_class"] == 0
    assert estimate.details["share_a_view_with_another_class"] == 2
    assert estimate.headline["OVERLAP"].startswith("2 images share a view with another class")


def test_equal_images_are_concentrated(measure_term: Measure) -> None:
    pixels = np.repeat((LABELS * 80).astype(np.uint8), 3 * 12).reshape(22, 3, 3, 2, 2)
    estimate = measure_term("concentration", np.zeros((22, 3, 1)), LABELS, TRAIN, TEST, pixels=pixels)
    assert (estimate.value, estimate.details["delta"]) == (0, 0)
    assert estimate.interval.low == 0
    assert estimate.interval.high < 1


def test_classes_without_images_in_a_split_are_left_out_and_counted(measure_term: Measure) -> None:
    test = TEST[TEST < 16]
    args = (np.zeros((22, 3, 1)), LABELS)
    estimate = measure_term("concentration", *args, np.setdiff1d(np.arange(22), test), test, pixels=noise(5))
    assert "left out: 1" in estimate.note
    assert estimate.details["classes"] == 2
    alone = measure_term("concentration", *args, np.setdiff1d(np.arange(22), [0, 1]), [0, 1], pixels=noise(5))
    assert isinstance(alone, Estimate)
    assert alone.verdict == "not-applicable"
    assert "fewer than two classes" in alone.reason
    single = measure_term("concentration", *args, [0, 7], [1, 8], pixels=noise(5))
    assert "no class has two training images" in single.reason


def test_many_images_are_cut_to_what_is_affordable(measure_term: Measure) -> None:
    rng = np.random.default_rng(6)
    labels = np.arange(600) % 300
    views = rng.normal(size=(600, 2, 5))
    alone = measure_term("feature-concentration", views, labels, np.arange(300), np.arange(300, 600))
    assert alone.reason == "no class has two training images"
    labels = np.arange(600) % 150
    found = measure_term("feature-concentration", views, labels, np.arange(450), np.arange(450, 600))
    assert found.details["images_a_class"] == TOTAL // 150
    labels = np.arange(400) % 2
    half = np.arange(400)
    few = measure_term("feature-concentration(images=20)", views[:400], labels, half[:200], half[200:])
    assert few.details["images_a_class"] == 20
    assert "On 20 images of each class and split" in few.note
    again = measure_term("feature-concentration(images=20)", views[:400], labels, half[:200], half[200:])
    assert again == few


def test_a_small_share_of_overlap_is_not_said_to_be_none(measure_term: Measure) -> None:
    labels = np.arange(400) % 2
    pixels = np.random.default_rng(0).integers(0, 100, (400, 1, 3, 2, 2)).astype(np.uint8)
    pixels[labels == 1] += 150
    pixels[0] = pixels[1]
    train = np.flatnonzero(np.arange(400) % 4 < 2)
    found = measure_term(
        "concentration(quantile=0)",
        np.zeros((400, 1, 2)),
        labels,
        train,
        np.setdiff1d(np.arange(400), train),
        pixels=pixels,
    )
    assert found.details["share_nearer_to_another_class"] == 2 / 400
    assert found.note.endswith("0.5 % of the images have a view within delta of one of another class.")


def test_a_constant_encoder_is_concentrated_trivially(measure_term: Measure) -> None:
    views = np.ones((12, 2, 5), dtype=np.float32)
    estimate = measure_term("feature-concentration", views, [0, 1] * 6, range(8), range(8, 12))
    assert (estimate.value, estimate.interval, estimate.verdict) == (0, None, "vacuous")
    assert estimate.no_interval == "trivial: features are constant"
