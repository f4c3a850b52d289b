"""Class centres and their overlap against loops, closed forms and the promise of the interval."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.errors import EncoderError
from sslaudit.figures import Matrix
from sslaudit.results import Estimate
from sslaudit.store import PART_IMAGES
from sslaudit_theory.classes.centres import (
    centre_overlap,
    centre_radius,
    class_centres,
    delta_mu,
    delta_of_lengths,
    image_means,
    overlap_error,
    overlap_interval,
    pair_name,
    squared_lengths,
    worst_pair,
    worst_pairs,
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
    np.testing.assert_allclose(squared_lengths(features, labels, 3), lengths, atol=1e-12)
    np.testing.assert_allclose(squared_lengths(features, labels, 3, unbiased=False), plain, atol=1e-12)
    assert delta_mu(features, labels, 3) == pytest.approx(min(1, 1 - min(lengths)), abs=1e-12)
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
    unbiased = np.mean([squared_lengths(run, labels, 1) for run in runs])
    plug_in = np.mean([1 - delta_mu(run, labels, 1, unbiased=False) for run in runs])
    assert unbiased == pytest.approx(truth, abs=0.02)
    assert plug_in > truth + 0.05


def test_lengths_outside_the_ball_count_as_its_ends() -> None:
    assert [delta_of_lengths(np.array(lengths), 2.0) for lengths in ([-0.5, 3], [5.0], [1.0, 2])] == [
        1,
        0,
        0.75,
    ]
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert squared_lengths(opposite, np.zeros(2, dtype=int), 1)[0] == pytest.approx(-1)
    assert delta_mu(opposite, np.zeros(2, dtype=int), 1) == 1


def test_radius_of_a_centre() -> None:
    assert centre_radius(400, 1, 0.36, 0.05) == pytest.approx(0.16238734153404083, abs=1e-12)
    assert centre_radius(400, 5, 9, 0.05) == pytest.approx(5 * 0.16238734153404083, abs=1e-12)
    assert (
        centre_radius(100, 1, 0, 0.05) > centre_radius(100, 1, 0.5, 0.05) > centre_radius(400, 1, 0.5, 0.05)
    )
    assert overlap_error(0.1, 0.2) == pytest.approx(0.32)
    assert overlap_error(0.1, 0.2, 3) == pytest.approx(0.92)
    for n, r, norm2, alpha in ((0, 1, 0.5, 0.05), (9, 0, 0, 0.05), (9, 1, 1.1, 0.05), (9, 1, 0.5, 0)):
        with pytest.raises(ValueError, match="a centre radius takes"):
            centre_radius(n, r, norm2, alpha)
    with pytest.raises(ValueError, match="not negative"):
        overlap_error(-0.1, 0.2)


@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_the_error_of_an_overlap_is_never_exceeded(seed: int, r: float) -> None:
    generator = np.random.default_rng(seed)
    mu, moved = generator.normal(size=(2, 3)), generator.normal(scale=0.5, size=(2, 3))
    mu *= r / np.maximum(1, np.linalg.norm(mu, axis=1, keepdims=True))
    off = abs((mu[0] + moved[0]) @ (mu[1] + moved[1]) - mu[0] @ mu[1])
    assert off <= overlap_error(*np.linalg.norm(moved, axis=1), r) * (1 + 1e-12)


@given(st.integers(0, 2**31), st.integers(2, 7), st.integers(1, 9))
def test_worst_pairs_against_sorting(seed: int, classes: int, count: int) -> None:
    overlap = np.random.default_rng(seed).integers(0, 4, (classes, classes)) / 4
    overlap = (overlap + overlap.T) / 2
    pairs = itertools.combinations(range(classes), 2)
    assert worst_pairs(overlap, count) == sorted(pairs, key=lambda pair: (-overlap[pair], pair))[:count]


def test_worst_pair_takes_the_first_of_equals() -> None:
    overlap = np.array([[9.0, 0.1, 0.5], [0.1, 9.0, 0.5], [0.5, 0.5, 9.0]])
    assert worst_pair(overlap) == (0, 2)


def test_a_class_without_images_has_no_centre() -> None:
    with pytest.raises(ValueError, match=r"\[1\] have no images"):
        class_centres(np.ones((2, 3)), np.array([0, 2]), 3)
    with pytest.raises(ValueError, match="not all finite"):
        class_centres(np.array([[1.0], [np.nan]]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="two classes"):
        overlap_interval(np.ones((3, 2)), np.zeros(3, dtype=int), np.random.default_rng(0))
    with pytest.raises(ValueError, match="no class has two images"):
        overlap_interval(np.eye(3), np.arange(3), np.random.default_rng(0))
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


def test_the_interval_knows_the_radius() -> None:
    features = sphere(np.random.default_rng(5), np.eye(3) + 0.3, 15, 0.3)
    labels = np.repeat(np.arange(3), 15)
    unit = overlap_interval(features, labels, np.random.default_rng(6))
    wide = overlap_interval(1e6 * features, labels, np.random.default_rng(6), r=1e6)
    assert (wide.low, wide.high) == pytest.approx((unit.low, unit.high), rel=1e-5)


def test_the_interval_keeps_its_digits_in_a_narrow_cone() -> None:
    generator, labels = np.random.default_rng(7), np.repeat(np.arange(3), 40)
    features = np.eye(4)[0] + generator.normal(scale=1e-5, size=(120, 4)) * [0, 1, 1, 1]
    interval = overlap_interval(features, labels, np.random.default_rng(8))
    value = centre_overlap(class_centres(features, labels, 3))[np.triu_indices(3, 1)].max()
    assert 1e-12 < value - interval.low < 1e-9


@pytest.mark.parametrize("norm", ["as-is", "center-sphere"])
def test_the_other_norms(measure_term: Measure, norm: str) -> None:
    views, labels = views_of(12, 60, 2, 4)
    views = (views * np.random.default_rng(0).uniform(1, 3, (60, 2, 1)) + 2).astype(np.float32).astype(float)
    estimate = measure_term(f"divergence(norm={norm})", views, labels, train=np.arange(30))
    if norm == "as-is":
        r, moved = np.linalg.norm(views, axis=2).max(), views
        assert "on the unit sphere" not in estimate.note
    else:
        r, moved = 1.0, views - views[:30].mean(axis=(0, 1))
        moved = moved / np.linalg.norm(moved, axis=2, keepdims=True)
        assert "mean of the training images was subtracted" in estimate.note
    features = moved.mean(axis=1)
    centres = class_centres(features, labels, 3)
    assert estimate.value == pytest.approx(
        max(centres[i] @ centres[j] / r**2 for i, j in itertools.combinations(range(3), 2)), rel=1e-9
    )
    assert estimate.details["r"] == pytest.approx(r)
    assert estimate.details["delta_mu"] == pytest.approx(delta_mu(features, labels, 3, r=r), rel=1e-9)
    nearest = min(math.dist(centres[i], centres[j]) for i, j in itertools.combinations(range(3), 2))
    assert estimate.details["min_centre_distance"] == pytest.approx(nearest / r, rel=1e-9)
    assert estimate.interval.low <= estimate.value <= estimate.interval.high


def test_relabelling_permutes(measure_term: Measure) -> None:
    views, labels = views_of(13, 45, 2, 4)
    new = np.array([2, 0, 1])  # class k becomes new[k]
    names = ("cat", "dog", "emu")
    first = measure_term("divergence", views, labels, classes=names)
    second = measure_term("divergence", views, new[labels], classes=("dog", "emu", "cat"))
    assert second.value == pytest.approx(first.value, rel=1e-12)
    assert second.details["delta_mu"] == pytest.approx(first.details["delta_mu"], rel=1e-12)
    for a, b in zip(first.figures, second.figures, strict=True):
        np.testing.assert_allclose(np.array(b.values)[np.ix_(new, new)], a.values, atol=1e-12)
    pairs = [{*details[f"pair_{p}"].split()[0].split("-")} for p in (1, 2, 3) for details in (first.details,)]
    assert pairs == [{*second.details[f"pair_{p}"].split()[0].split("-")} for p in (1, 2, 3)]


def test_features_that_are_all_zero(measure_term: Measure) -> None:
    estimate = measure_term("divergence(norm=as-is)", np.zeros((4, 1, 2)), [0, 0, 1, 1])
    assert (estimate.value, estimate.reason) == (None, "all embeddings are zero")
    with pytest.raises(EncoderError, match="exactly zero"):
        measure_term("divergence", np.zeros((4, 1, 2)), [0, 0, 1, 1])


def test_an_unbiased_length_below_zero_is_said(measure_term: Measure) -> None:
    views = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])[:, None]
    estimate = measure_term("divergence", views, [0, 0, 1, 1])
    assert estimate.details["delta_mu"] == 1
    assert "below 0 and counts as 0" in estimate.note


def test_three_hundred_classes(measure_term: Measure) -> None:
    generator = np.random.default_rng(14)
    labels = np.repeat(np.arange(300), 2)
    estimate = measure_term("divergence", generator.normal(size=(600, 2, 8)), labels)
    assert estimate.details["classes"] == 300
    assert estimate.interval.low <= estimate.value <= estimate.interval.high
    values = [float(estimate.details[f"pair_{p}"].split()[-1]) for p in range(1, 6)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(estimate.value, abs=1e-4)


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
    figure, apart = estimate.figures
    assert isinstance(figure, Matrix)
    assert figure.rows == figure.columns == apart.rows == names
    np.testing.assert_allclose(figure.values, overlap, rtol=1e-10)
    assert apart.values[0][2] == pytest.approx(math.dist(centres[0], centres[2]))
    assert estimate.details["pair_1"] == f"{estimate.details['worst_pair']} {estimate.value:.4f}"
    assert "pair_3" in estimate.details
    assert "pair_4" not in estimate.details


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
    assert "Left out, for want of images: no, none (2 of 5)." in estimate.note
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
    figure, apart = estimate.figures
    assert figure.rows == apart.rows
    assert len(figure.rows) == 40
    assert {"c0", "c1", "c48", "c49"} <= set(figure.rows)
    assert figure.title.endswith("the 40 worst classes of 50")


@pytest.mark.parametrize("D", range(2, 12))
def test_equal_features_overlap_by_one_at_most(measure_term: Measure, D: int) -> None:
    found = measure_term("divergence", np.ones((40, 2, D)), np.arange(40) % 2)
    assert found.value == pytest.approx(1, abs=1e-12)
    assert found.interval.low <= found.value <= found.interval.high <= 1


def test_a_pair_of_hyphenated_names_can_be_told_apart() -> None:
    assert pair_name("3", "9") == "3-9"
    assert pair_name("red-cat", "dog") == "red-cat / dog"
