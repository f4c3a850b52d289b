"""Calibration: loops, closed forms, scikit-learn, and what noise does to the calibration error."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from sslaudit.errors import UsageError
from sslaudit.figures import Curve
from sslaudit.results import Estimate
from sslaudit_probes.classifiers.calibration import (
    HOTTEST,
    brier_scores,
    calibration_error,
    calibration_interval,
    confidence_bins,
    fit_temperature,
    negative_log_likelihood,
)

Measure = Callable[..., dict[str, Estimate]]


def by_loops(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for m in range(bins):
        inside = [
            (c, right)
            for c, right in zip(confidence, correct, strict=True)
            if m / bins < c <= (m + 1) / bins or (m == 0 and c == 0)
        ]
        if inside:
            gap = sum(right for _, right in inside) / len(inside) - sum(c for c, _ in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(gap)
    return total


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return found


def test_the_calibration_error_of_four_images() -> None:
    confidence, correct = np.array([0.95, 0.85, 0.65, 0.65]), np.array([1, 1, 1, 0])
    # Gaps .05 and .15 of one image each, and |1/2 - .65| of two: (.05 + .15 + .3) / 4.
    assert calibration_error(confidence, correct, 10) == pytest.approx(0.125, rel=1e-12)
    assert calibration_error(confidence, correct, 1) == pytest.approx(
        abs(0.75 - confidence.mean()), rel=1e-12
    )


@given(st.integers(1, 60), st.integers(1, 25), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_calibration_error_by_loops(n: int, bins: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    confidence, correct = generator.random(n), generator.integers(0, 2, n)
    value = calibration_error(confidence, correct, bins)
    assert value == pytest.approx(by_loops(confidence, correct, bins), rel=1e-9, abs=1e-12)
    assert value >= abs(correct.mean() - confidence.mean()) - 1e-12


def test_edges_belong_to_the_bin_below() -> None:
    assert confidence_bins(np.array([0.0, 0.25, 0.2500001, 0.5, 1.0]), 4).tolist() == [0, 0, 1, 1, 3]


@pytest.mark.parametrize("confidence", [[0.5, 1.5], [-0.1], [np.nan], []])
def test_what_is_no_confidence_is_refused(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match="confidences in"):
        confidence_bins(np.array(confidence), 15)


@pytest.mark.parametrize("classes", [2, 5])
def test_likelihood_and_brier_score_are_those_of_scikit_learn(classes: int) -> None:
    generator = np.random.default_rng(0)
    logits, labels = 3 * generator.normal(size=(200, classes)), generator.integers(0, classes, 200)
    known = list(range(classes))
    assert negative_log_likelihood(logits, labels).mean() == pytest.approx(
        log_loss(labels, softmax(logits), labels=known), rel=1e-9
    )
    chances = softmax(logits)[:, 1] if classes == 2 else softmax(logits)
    assert brier_scores(logits, labels).mean() == pytest.approx(
        brier_score_loss(labels, chances, labels=known, scale_by_half=False), rel=1e-9
    )


def test_scores_of_a_probe_that_knows_nothing_or_is_surely_wrong() -> None:
    labels = np.arange(20) % 10
    np.testing.assert_allclose(negative_log_likelihood(np.zeros((20, 10)), labels), math.log(10))
    np.testing.assert_allclose(brier_scores(np.zeros((20, 10)), labels), 0.9)
    wrong = 1e4 * np.eye(10)[(labels + 1) % 10]
    np.testing.assert_allclose(negative_log_likelihood(wrong, labels), 1e4)
    np.testing.assert_allclose(brier_scores(wrong, labels), 2)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_is_found(temperature: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(20_000, 4)) * 2
    labels = (softmax(logits).cumsum(axis=1) > generator.random((20_000, 1))).argmax(axis=1)
    found = fit_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    best = negative_log_likelihood(logits * temperature / found, labels).mean()
    for other in (found * 1.01, found / 1.01):
        assert negative_log_likelihood(logits * temperature / other, labels).mean() > best


def test_the_temperature_stays_in_its_range() -> None:
    labels = np.arange(30) % 3
    assert fit_temperature(np.eye(3)[(labels + 1) % 3], labels) == pytest.approx(HOTTEST, rel=1e-3)
    sure = 1e4 * np.eye(3)[labels]
    sure[0] = [0, 1e-3, 0]  # barely wrong where all others are surely right
    assert fit_temperature(sure, labels) > 1 / HOTTEST
    with pytest.raises(ValueError, match="every row is right"):
        fit_temperature(np.eye(3)[labels], labels)


def test_the_interval_holds_its_value_and_noise_reaches_zero() -> None:
    generator = np.random.default_rng(2)
    confidence = generator.uniform(0.4, 1, 300)
    for true, noise in ((confidence, True), (confidence - 0.3, False)):
        correct = generator.random(300) < true
        interval, expected = calibration_interval(confidence, correct, 15, np.random.default_rng(0))
        value = calibration_error(confidence, correct)
        assert interval.low <= value <= interval.high
        assert (interval.low == 0) == noise
        assert 0.02 < expected < 0.12
    again, _ = calibration_interval(confidence, correct, 15, np.random.default_rng(0))
    assert again == interval
    with pytest.raises(ValueError, match="one image"):
        calibration_interval(confidence[:1], correct[:1], 15, generator)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.05, 0.15])
def test_how_often_the_interval_holds_the_truth(gap: float) -> None:
    generator, hits = np.random.default_rng(3), 0
    for _ in range(300):
        confidence = generator.uniform(0.4, 1, 500)
        correct = generator.random(500) < confidence - gap  # the same gap in every bin, so the error is it
        interval, _ = calibration_interval(confidence, correct, 15, generator)
        hits += interval.low <= gap <= interval.high
    assert hits / 300 > 0.9


def clouds(seed: int, n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    rows = generator.normal(size=(4, 10))[labels] + noise * generator.normal(size=(n, 10))
    return rows.astype(np.float32)[:, None], labels


def test_the_metric(measure_term: Measure) -> None:
    views, labels = clouds(4, 1200, 2.0)
    answer = measure_term("calibration", views, labels, range(600), range(600, 1200))
    assert list(answer) == ["", "nll", "brier", "scaled", "nll-scaled", "brier-scaled"]
    main = answer[""]
    assert [estimate.minor for estimate in answer.values()] == [False] + 5 * [True]
    assert main.bias == "over"
    for estimate in answer.values():
        assert estimate.interval is not None
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
        assert len(estimate.label) <= 26
    assert 0 < main.value < 0.1
    assert 0 < answer["nll"].value < math.log(4)
    assert answer["nll-scaled"].value == pytest.approx(answer["nll"].value, abs=0.05)
    assert 0.5 < main.details["temperature"] < 2
    (figure,) = main.figures
    assert isinstance(figure, Curve)
    assert [series.name for series in figure.series][::2] == ["as it is", "calibrated"]
    assert measure_term("calibration", views, labels, range(600), range(600, 1200)) == answer


def test_a_probe_of_few_images_is_too_sure_and_cooled(measure_term: Measure) -> None:
    """Noise in many dimensions is separable: probabilities near 1, and wrong."""
    generator = np.random.default_rng(5)
    views = generator.normal(size=(460, 1, 200)).astype(np.float32)
    labels = np.arange(460) % 2
    answer = measure_term("calibration", views, labels, range(60), range(60, 460))
    assert answer["scaled"].value < answer[""].value + 1e-9
    assert answer["nll-scaled"].value < answer["nll"].value + 1e-9
    assert answer[""].interval.high > answer[""].details["ece_if_calibrated"]


def test_collapse_and_want_of_images(measure_term: Measure) -> None:
    labels = np.arange(40) % 4
    flat = measure_term("calibration", np.ones((40, 1, 5)), labels, range(20), range(20, 40))
    assert flat[""].value == pytest.approx(0, abs=1e-6)
    assert flat["nll"].value == pytest.approx(math.log(4), rel=1e-6)
    assert flat["brier"].value == pytest.approx(0.75, rel=1e-6)
    views, labels = clouds(6, 40, 0.1)
    few = measure_term("calibration", views, labels, range(4), [4])
    assert list(few) == ["", "nll", "brier"]
    assert "no temperature was fitted" in few[""].note
    assert (few[""].interval, few[""].no_interval) == (None, "one test image only")
    right = measure_term("calibration", views, labels, range(20), range(20, 40))
    assert list(right) == ["", "nll", "brier"]
    assert "Every validation image is right" in right[""].note
    with pytest.raises(UsageError, match="bins=0 is below 1"):
        measure_term("calibration(bins=0)", views, labels, range(20), range(20, 40))
