"""Class centres and their overlap against loops, closed forms and the promise of the interval."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.results import Estimate, Matrix
from sslaudit.store import PART_IMAGES
from sslaudit_theory import (
    centre_overlap,
    class_centres,
    delta_mu,
    image_means,
    overlap_interval,
    worst_pair,
)

Measure = Callable[..., Estimate]


def circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def sphere(generator: np.random.Generator, means: np.ndarray, each: int, noise: float) -> np.ndarray:
    """(K * each, D): unit vectors scattered round each row of ``means``, class after class."""
    rows = np.repeat(means, each, axis=0)
    rows = rows + generator.normal(scale=noise, size=rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def views_of(seed: int, n: int, v: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), generator.integers(0, 3, n - 3)])
    views = generator.normal(size=(3, d))[labels][:, None] + generator.normal(size=(n, v, d))
    return views.astype(np.float32).astype(np.float64), labels


def test_six_images_on_the_circle() -> None:
    images = [
        *(circle(0, 4), circle(2, 6), circle(5, 9)),
        *(circle(180, 184), circle(183, 187), circle(178, 182, 170)),
    ]
    features = np.concatenate([image_means(views[None]) for views in images])
    labels = np.array([0, 0, 0, 1, 1, 1])
    overlap = centre_overlap(class_centres(features, labels, 2))
    assert overlap[0, 1] == pytest.approx(-0.9938207218921852, abs=1e-12)
    assert delta_mu(features, labels, 2, unbiased=False) == pytest.approx(0.006930020489125166, abs=1e-12)


def test_unbiased_length_of_unit_vectors() -> None:
    features, labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.zeros(3, dtype=int)
    assert 1 - delta_mu(features, labels, 1) == pytest.approx(1 / 3, abs=1e-12)
    scaled = delta_mu(4 * features, labels, 1, r=4)
    assert 1 - scaled == pytest.approx(1 / 3, abs=1e-12)


@given(st.integers(0, 2**31), st.integers(3, 15), st.integers(1, 3), st.integers(2, 4))
def test_against_loops(seed: int, n: int, v: int, d: int) -> None:
    views, labels = views_of(seed, 2 * n, v, d)
    labels = np.concatenate([labels[:n], labels[:n]])  # two images of each class at least
    centres, lengths, plain = [], [], []
    for k in range(3):
        means = []
        for image, label in zip(views, labels, strict=True):
            if label == k:
                means.append(sum(f / math.sqrt(f @ f) for f in image) / v)
        centre = sum(means) / len(means)
        pairs = [means[i] @ means[j] for i in range(len(means)) for j in range(len(means)) if i != j]
        centres.append(centre)
        lengths.append(sum(pairs) / len(pairs))
        plain.append(centre @ centre)
    features = image_means(views)
    found = class_centres(features, labels, 3)
    np.testing.assert_allclose(found, centres, atol=1e-12)
    assert delta_mu(features, labels, 3) == pytest.approx(1 - min(lengths), abs=1e-12)
    assert delta_mu(features, labels, 3, unbiased=False) == pytest.approx(1 - min(plain), abs=1e-12)
    best = max((centres[i] @ centres[j], i, j) for i, j in itertools.combinations(range(3), 2))
    first, second = worst_pair(centre_overlap(found))
    assert centre_overlap(found)[first, second] == pytest.approx(best[0], abs=1e-12)


def test_the_unbiased_length_is_unbiased() -> None:
    generator = np.random.default_rng(0)
    means = np.array([[0.6, 0.0, 0.0]])
    truth = np.square(sphere(generator, means, 400_000, 0.5).mean(axis=0)).sum()
    labels = np.zeros(4, dtype=int)
    runs = [sphere(generator, means, 4, 0.5) for _ in range(4000)]
    unbiased = np.mean([1 - delta_mu(run, labels, 1) for run in runs])
    plug_in = np.mean([1 - delta_mu(run, labels, 1, unbiased=False) for run in runs])
    assert unbiased == pytest.approx(truth, abs=0.02)
    assert plug_in > truth + 0.05


def test_worst_pair_takes_the_first_of_equals() -> None:
    overlap = np.array([[9.0, 0.1, 0.5], [0.1, 9.0, 0.5], [0.5, 0.5, 9.0]])
    assert worst_pair(overlap) == (0, 2)


def test_a_class_without_images_has_no_centre() -> None:
    with pytest.raises(ValueError, match=r"\[1\] have no images"):
        class_centres(np.ones((2, 3)), np.array([0, 2]), 3)
    with pytest.raises(ValueError, match="two images"):
        delta_mu(np.ones((3, 3)), np.array([0, 0, 1]), 2)


@pytest.mark.parametrize("spread", ["one pair stands out", "all pairs equal"])
def test_the_interval_covers(spread: str) -> None:
    generator, each, runs = np.random.default_rng(1), 25, 60
    means = 0.7 * np.eye(6) + (0.15 if spread == "all pairs equal" else 0.0)
    if spread == "one pair stands out":
        means[1] += 0.5 * means[0]
    labels = np.repeat(np.arange(6), each)
    population = class_centres(sphere(generator, means, 20_000, 0.3), np.repeat(np.arange(6), 20_000), 6)
    truth = np.max(centre_overlap(population)[np.triu_indices(6, 1)])
    low = high = 0
    for _ in range(runs):
        features = sphere(generator, means, each, 0.3)
        interval = overlap_interval(features, labels, generator)
        value = centre_overlap(class_centres(features, labels, 6))[np.triu_indices(6, 1)].max()
        assert interval.low <= value <= interval.high
        low += interval.low > truth
        high += interval.high < truth
    assert low <= 3
    assert high <= 5


def test_the_interval_narrows_with_the_images() -> None:
    means = np.eye(4) + 0.3
    widths = []
    for each in (20, 320):
        features = sphere(np.random.default_rng(2), means, each, 0.3)
        labels = np.repeat(np.arange(4), each)
        interval = overlap_interval(features, labels, np.random.default_rng(3))
        widths.append(interval.high - interval.low)
    assert 3 < widths[0] / widths[1] < 5.5  # sqrt(16) = 4


def test_the_metric(measure_term: Measure) -> None:
    views, labels = views_of(4, PART_IMAGES + 40, 3, 5)
    names = ("cat", "dog", "emu")
    estimate = measure_term("divergence", views, labels, classes=names)
    features = image_means(views)
    overlap = centre_overlap(class_centres(features, labels, 3))
    first, second = worst_pair(overlap)
    assert estimate.value == pytest.approx(overlap[first, second], rel=1e-10)
    assert estimate.details["worst_pair"] == f"{names[first]}-{names[second]}"
    assert estimate.details["classes"] == 3
    assert estimate.details["delta_mu"] == pytest.approx(delta_mu(features, labels, 3))
    assert estimate.details["delta_mu"] > estimate.details["delta_mu_plug_in"]
    centres = class_centres(features, labels, 3)
    nearest = min(math.dist(centres[i], centres[j]) for i, j in itertools.combinations(range(3), 2))
    assert estimate.details["min_centre_distance"] == pytest.approx(nearest)
    assert estimate.interval.low <= estimate.value <= estimate.interval.high
    assert "within 3 classes" in estimate.interval.method
    assert estimate.bias == "over"
    assert "train and test" in estimate.note
    (figure,) = estimate.figures
    assert isinstance(figure, Matrix)
    assert figure.rows == figure.columns == names
    np.testing.assert_allclose(figure.values, overlap, rtol=1e-10)


def test_neither_scale_nor_order_of_images_matters(measure_term: Measure) -> None:
    views, labels = views_of(5, 60, 2, 4)
    order = np.random.default_rng(6).permutation(60)
    scale = np.random.default_rng(7).uniform(0.1, 9, (60, 2, 1))
    first = measure_term("divergence", views, labels)
    second = measure_term("divergence", (views * scale)[order], labels[order])
    assert second.value == pytest.approx(first.value, abs=1e-6)
    assert second.details["worst_pair"] == first.details["worst_pair"]


def test_classes_without_images_are_left_out(measure_term: Measure) -> None:
    views, labels = views_of(8, 30, 2, 4)
    estimate = measure_term("divergence", views, 2 * labels, classes=("a", "no", "b", "none", "c"))
    assert estimate.details["classes"] == 3
    assert estimate.figures[0].rows == ("a", "b", "c")
    assert estimate.value == pytest.approx(measure_term("divergence", views, labels).value)


def test_one_class_is_not_applicable(measure_term: Measure) -> None:
    views, _ = views_of(9, 10, 2, 4)
    estimate = measure_term("divergence", views, np.ones(10), classes=("no", "all"))
    assert (estimate.value, estimate.verdict) == (None, "not-applicable")


def test_lone_images(measure_term: Measure) -> None:
    views, _ = views_of(10, 4, 2, 4)
    one_lone = measure_term("divergence", views, [0, 0, 0, 1])
    assert one_lone.details["delta_mu"] is None
    assert "A class with one image leaves delta_mu open." in one_lone.note
    assert one_lone.interval is not None
    all_lone = measure_term("divergence", views, [0, 1, 2, 3])
    assert all_lone.interval is None
    assert all_lone.no_interval == "one image of each class only"


def test_collapsed_features_overlap_fully(measure_term: Measure) -> None:
    estimate = measure_term("divergence", np.full((12, 2, 3), 0.4), [0, 1, 2] * 4)
    assert estimate.value == pytest.approx(1)
    assert estimate.details["min_centre_distance"] == pytest.approx(0, abs=1e-9)
    assert estimate.details["delta_mu"] == pytest.approx(0, abs=1e-9)


def test_many_classes_show_those_that_overlap(measure_term: Measure) -> None:
    generator = np.random.default_rng(11)
    labels = np.repeat(np.arange(50), 2)
    views = np.concatenate([np.eye(50)[labels[:-4]], np.eye(50)[[0, 0, 1, 1]]])[:, None]
    estimate = measure_term("divergence", views + generator.normal(scale=1e-3, size=views.shape), labels)
    (figure,) = estimate.figures
    assert len(figure.rows) == 40
    assert {"c0", "c1", "c48", "c49"} <= set(figure.rows)
    assert figure.title.endswith("the 40 classes of 50 that overlap most")
