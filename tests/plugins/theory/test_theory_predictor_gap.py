"""Both bounds of the violation of C2 against loops, worlds where it is known, and their direction."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.numbers import number
from sslaudit_theory.metrics.predictor_gap import compute, gap_estimate
from sslaudit_theory.pretext.predictor import PredictorGap, one_hot, predictor_gap


def world(seed: int, n: int, d: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and which images are for training, two at least held out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    labels[:classes] = np.arange(classes)
    train = np.arange(n) % 4 > 0
    return rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels], labels, train


def gap_of(features: np.ndarray, labels: np.ndarray, train: np.ndarray, **others: np.ndarray) -> PredictorGap:
    return predictor_gap(features, labels, train, np.random.default_rng(0), others=others)


def naive_linear(
    x: np.ndarray, y: np.ndarray, at: np.ndarray, target: np.ndarray, penalty: float
) -> np.ndarray:
    """Squared errors at ``at`` of the fit on x with an intercept, which carries no penalty."""
    centre, level = x.mean(axis=0), y.mean(axis=0)
    moment = sum(np.outer(row - centre, row - centre) for row in x)
    cross = sum(np.outer(row - centre, value - level) for row, value in zip(x, y, strict=True))
    weights = np.linalg.pinv(moment + penalty * np.eye(x.shape[1]), rcond=1e-12) @ cross
    errors = []
    for row, value in zip(at, target, strict=True):
        guess = level + (row - centre) @ weights
        errors.append(sum((guess[k] - value[k]) ** 2 for k in range(len(value))))
    return np.array(errors)


@given(st.integers(0, 10**6), st.integers(16, 40), st.integers(1, 6), st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_least_squares_and_ridge_are_those_of_the_loops(seed: int, n: int, d: int, classes: int) -> None:
    f, labels, train = world(seed, n, d, classes)
    y = np.eye(classes)[labels]
    gap = gap_of(f, labels, train)
    np.testing.assert_allclose(gap.least_squares, naive_linear(f, y, f[~train], y[~train], 0), rtol=1e-9)
    unit = train.sum() * f[train].var(axis=0).mean()
    expected = naive_linear(f[train], y[train], f[~train], y[~train], gap.penalty * unit)
    np.testing.assert_allclose(gap.linear, expected, rtol=1e-9)
    assert gap.lower == pytest.approx((gap.least_squares - gap.best.held_out).mean(), abs=1e-12)
    assert gap.upper == pytest.approx(expected.mean())


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_neighbours_are_the_nearest_by_angle_from_the_mean(seed: int) -> None:
    f, labels, train = world(seed, 36, 3, 3)
    gap = gap_of(f, labels, train)
    bank, own = f[train] - f[train].mean(axis=0), labels[train]
    found = {reference.name: reference.held_out for reference in gap.references}
    for k in (5, 20):
        for row, label, error in zip(
            f[~train] - f[train].mean(axis=0), labels[~train], found[f"knn_{k}"], strict=True
        ):
            cosine = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in bank]
            nearest = np.argsort(cosine)[-k:]
            share = [np.mean(own[nearest] == c) for c in range(3)]
            assert error == pytest.approx(sum((share[c] - (label == c)) ** 2 for c in range(3)), abs=1e-9)


def test_a_label_that_no_linear_predictor_sees_violates_c2_by_its_variance() -> None:
    rng = np.random.default_rng(3)
    corners = rng.integers(2, size=(800, 2)) * 2 - 1
    labels = (corners.prod(axis=1) > 0).astype(int)
    gap = gap_of(corners + 0.05 * rng.normal(size=(800, 2)), labels, np.arange(800) < 600)
    assert gap.lower == pytest.approx(0.5, abs=0.01)
    assert gap.upper == pytest.approx(0.5, abs=0.01)
    assert gap.best.held_out.mean() < 0.005


def test_a_label_that_is_linear_in_the_features_leaves_nothing_to_find() -> None:
    """P(y = 1 | f) = 1/2 + 0.3 f with f = -1, 1: R(f) = 2 (1/4 - .09) = .32 is the least error."""
    rng = np.random.default_rng(4)
    f = rng.integers(2, size=4000) * 2.0 - 1
    labels = (rng.random(4000) < 0.5 + 0.3 * f).astype(int)
    gap = gap_of(f[:, None], labels, np.arange(4000) < 3000)
    assert gap.lower < 0.01
    assert gap.upper == pytest.approx(0.32, abs=0.02)
    estimate = gap_estimate(gap, np.random.default_rng(0))
    assert estimate.value is not None
    assert estimate.value < 0.01


def test_in_sample_errs_low_by_the_share_of_dimensions_and_held_out_errs_high() -> None:
    """Labels that are independent of Gaussian features: the fit leaves 1 - d/(n - 1) of the variance."""
    n, d, draws = 48, 20, 40
    labels, train = np.arange(n) % 2, np.arange(n) < 32
    rng = np.random.default_rng(5)
    gaps = [predictor_gap(rng.normal(size=(n, d)), rng.permutation(labels), train, rng) for _ in range(draws)]
    low = np.array([gap.least_squares.mean() for gap in gaps])
    error = low.std() / np.sqrt(draws)
    assert low.mean() == pytest.approx(0.5 * (1 - d / (n - 1)), abs=3 * error)
    assert np.mean([gap.upper for gap in gaps]) > 0.5
    assert np.mean([gap.lower for gap in gaps]) < 0


@pytest.mark.slow
def test_the_bounds_enclose_a_violation_that_is_known() -> None:
    """P(y = 1 | f) = .9 or .1 by the sign of a product: R(f) = .5, and the least error is 2 (.9) (.1)."""
    violation = 0.5 - 2 * 0.9 * 0.1
    rng = np.random.default_rng(6)
    gaps = []
    for _ in range(20):
        corners = rng.integers(2, size=(600, 2)) * 2 - 1
        labels = (rng.random(600) < 0.5 + 0.4 * corners.prod(axis=1)).astype(int)
        f = np.concatenate([corners, 0.2 * rng.normal(size=(600, 10))], axis=1)
        gaps.append(gap_of(f, labels, np.arange(600) < 400))
    assert 0.7 * violation < np.mean([gap.lower for gap in gaps]) < violation
    assert np.mean([gap.upper for gap in gaps]) > 0.5


def test_fewer_images_than_dimensions_fit_any_labels() -> None:
    f, labels, train = world(6, 24, 30, 3)
    gap = gap_of(f, labels, train)
    assert gap.void
    np.testing.assert_allclose(gap.least_squares, 0, atol=1e-12)
    estimate = gap_estimate(gap, np.random.default_rng(0))
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.interval is None
    assert estimate.no_interval == "void: 24 images in 30 dimensions fit any labels"
    assert "24 images in 30 dimensions fit any labels: the bound from below is void" in estimate.note


def test_held_out_labels_choose_nothing() -> None:
    f, labels, train = world(7, 200, 6, 3)
    other = labels.copy()
    other[~train] = np.random.default_rng(0).permutation(labels[~train])
    first, second = gap_of(f, labels, train), gap_of(f, other, train)
    assert (first.penalty, first.best.name) == (second.penalty, second.best.name)
    assert [one.validation for one in first.references] == [one.validation for one in second.references]


def test_pixels_that_know_more_than_the_features_raise_the_bound() -> None:
    f, labels, train = world(8, 300, 4, 3)
    blind = np.random.default_rng(1).normal(size=(300, 2))
    alone, beside = gap_of(blind, labels, train), gap_of(blind, labels, train, pixels=3 * f)
    assert beside.best.name.startswith("pixels_")
    assert {"pixels_linear", "pixels_knn_5", "pixels_knn_20"} < {one.name for one in beside.references}
    assert alone.lower < 0.05 < 0.3 < beside.lower <= beside.least_squares.mean()


def test_scale_and_origin_of_the_features_change_nothing() -> None:
    f, labels, train = world(9, 120, 5, 3)
    first, second = gap_of(f, labels, train), gap_of(100 * f + 7, labels, train)
    assert first.best.name == second.best.name
    assert first.penalty == second.penalty
    np.testing.assert_allclose(first.linear, second.linear, rtol=1e-6)
    np.testing.assert_allclose(first.least_squares, second.least_squares, rtol=1e-6)


def test_a_class_without_training_images_is_an_error_and_no_fault() -> None:
    f, labels, train = world(10, 60, 4, 3)
    gap = gap_of(f, labels, train & (labels != 2))
    assert gap.upper > 0
    assert np.isfinite(gap.lower)


def test_equal_inputs_give_equal_bytes() -> None:
    f, labels, train = world(11, 150, 8, 3)
    first, second = gap_of(f, labels, train), gap_of(f, labels, train)
    assert [one.name for one in first.references] == ["knn_5", "knn_20", "mlp"]
    for one, other in zip(first.references, second.references, strict=True):
        assert one.held_out.tobytes() == other.held_out.tobytes()
    assert gap_estimate(first, np.random.default_rng(0)) == gap_estimate(second, np.random.default_rng(0))


def test_the_estimate_is_a_bound_from_below_with_the_one_from_above_beside_it() -> None:
    f, labels, train = world(12, 200, 5, 4)
    gap = gap_of(f, labels, train)
    estimate = gap_estimate(gap, np.random.default_rng(0))
    assert estimate.claim == "lower-bound"
    assert estimate.bias == "under"
    assert estimate.verdict == "info"
    assert estimate.note.startswith("C2 is not certified")
    high = float(estimate.details["upper_high"] or 0)
    assert high > gap.upper
    assert estimate.details["reading"] == f"at most {number(high)}"  # not the mean, which may be too low
    assert estimate.details["upper"] == pytest.approx(gap.upper)
    assert estimate.details["lower_raw"] == pytest.approx(gap.lower)
    assert estimate.value == max(0.0, gap.lower)
    assert estimate.details["n_train"] == 150
    assert estimate.details["n"] == 200
    shares = gap.variance * (1 - float(estimate.details["r2_linear"] or 0))
    assert shares == pytest.approx(gap.upper)


def test_an_exact_fit_is_no_violation_of_the_size_of_rounding() -> None:
    """Labels that are linear in f, and neighbours that know them: R(f) is 0 and so are both bounds."""
    _, labels, train = world(16, 120, 3, 3)
    rng = np.random.default_rng(0)
    gap = gap_of(np.eye(3)[labels] @ rng.normal(size=(3, 5)), labels, train)
    assert gap.least_squares.tolist() == gap.best.held_out.tolist() == [0.0] * 30
    estimate = gap_estimate(gap, rng)
    assert (estimate.value, estimate.interval.low, estimate.interval.high) == (0, 0, 0)


def test_labels_that_f_does_not_tell_leave_no_more_than_their_frequencies() -> None:
    rng = np.random.default_rng(17)
    labels, train = np.arange(120) % 8, np.arange(120) % 3 > 0
    gap = gap_of(rng.normal(size=(120, 60)), labels, train)
    assert gap.upper < 1.05 * gap.variance


def inputs_of(f: np.ndarray, labels: np.ndarray, train: np.ndarray, images: int = 5000) -> SimpleNamespace:
    """What the metric reads of its inputs."""
    return SimpleNamespace(
        seed=0,
        options={"images": images},
        embeddings=f.astype(np.float32),
        labels=labels,
        train=np.flatnonzero(train),
        rng=lambda: np.random.default_rng(0),
    )


def test_the_metric_reads_plain_embeddings_of_at_most_so_many_images() -> None:
    f, labels, train = world(14, 200, 5, 3)
    whole = compute(inputs_of(f, labels, train))  # type: ignore[arg-type]
    assert (whole.details["n"], whole.details["n_train"], whole.details["dim"]) == (200, 150, 5)
    rng = np.random.default_rng(0)
    expected = gap_estimate(predictor_gap(f.astype(np.float32), labels, train, rng), rng)
    assert whole == expected
    assert compute(inputs_of(f, labels, train, images=80)).details["n"] == 80  # type: ignore[arg-type]


def test_a_bound_far_below_zero_has_no_interval() -> None:
    """Features of noise, which least squares fits in-sample and no reference predicts from."""
    f, labels, train = world(6, 80, 60, 3)
    gap = gap_of(np.random.default_rng(2).normal(size=f.shape), labels, train)
    assert not gap.void
    estimate = gap_estimate(gap, np.random.default_rng(0))
    assert estimate.details["lower_raw_high"] < 0
    assert (estimate.value, estimate.interval) == (0.0, None)
    assert estimate.no_interval == "the bound is 0: no reference beats the features"


def test_the_metric_says_why_it_cannot_speak() -> None:
    f, labels, train = world(15, 40, 3, 2)
    refused = compute(inputs_of(np.ones_like(f), labels, train))  # type: ignore[arg-type]
    assert refused.value is None
    assert refused.reason == "the features of the training images are constant"


def test_one_hot_refuses_what_is_no_class() -> None:
    np.testing.assert_array_equal(one_hot([1, 0], 3), [[0, 1, 0], [1, 0, 0]])
    for labels in ([], [3], [-1], [[0]]):
        with pytest.raises(ValueError, match="labels"):
            one_hot(labels, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, y, t: (f, np.zeros_like(y), t), "one class only"),
        (lambda f, y, t: (f, y + 0.5, t), "not numbers of type float64"),
        (lambda f, y, t: (np.ones_like(f), y, t), "constant"),
        (lambda f, y, t: (np.where(np.arange(len(f))[:, None] == 3, np.nan, f), y, t), "not all finite"),
        (lambda f, y, t: (f, y, np.arange(len(y)) < 5), "5 training images are too few"),
        (lambda f, y, t: (f, y, np.ones(len(y), dtype=bool)), "0 held-out images are too few"),
        (lambda f, y, t: (f[:-1], y, t), "features of 40 images"),
        (lambda f, y, t: (f, y, t[:-1]), "train says of"),
    ],
)
def test_what_means_nothing_is_refused(change: object, message: str) -> None:
    features, labels, train = change(*world(13, 40, 3, 2))  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        gap_of(features, labels, train)
