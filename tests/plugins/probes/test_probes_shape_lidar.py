"""LiDAR against a plain computation with the inverse root, closed forms, and its traps."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, fractional_matrix_power

from sslaudit.results import Estimate
from sslaudit_probes.shape.lidar import Scatter, lda_eigenvalues, lidar

Measure = Callable[..., Estimate]


def scatters(views: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """S_b and the regular S_w by loops over images and views."""
    n, q, d = views.shape
    between, within = np.zeros((d, d)), np.zeros((d, d))
    centre = sum(views[i, j] for i in range(n) for j in range(q)) / (n * q)
    for i in range(n):
        mean = sum(views[i, j] for j in range(q)) / q
        between += np.outer(mean - centre, mean - centre) / (n - 1)
        for j in range(q):
            within += np.outer(views[i, j] - mean, views[i, j] - mean) / (n * (q - 1))
    return between, within + delta * np.eye(d)


def entropy_rank(values: np.ndarray, eps: float) -> float:
    shares = [max(0.0, float(v)) / sum(np.maximum(values, 0)) + eps for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(2, 5), st.integers(1, 8))
def test_against_the_inverse_root_and_scipy(seed: int, n: int, q: int, d: int) -> None:
    generator = np.random.default_rng(seed)
    views = generator.normal(size=(n, 1, d)) * 2 + generator.normal(size=(n, q, d))
    between, within = scatters(views, 1e-2)
    root = fractional_matrix_power(within, -0.5).real
    most = min(d, n - 1)
    expected = np.linalg.eigvalsh(root @ between @ root)[::-1][:most]
    found = lda_eigenvalues(views, 1e-2)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * expected[0])
    general = eigh(between, within, eigvals_only=True)[::-1][:most]
    np.testing.assert_allclose(found, general, rtol=1e-9, atol=1e-9 * expected[0])
    assert lidar(views, 1e-2) == pytest.approx(entropy_rank(found, 1e-8), rel=1e-9)
    assert lidar(torch.tensor(views), 1e-2) == lidar(views, 1e-2)
    assert 1 - 1e-6 <= lidar(views, 1e-2) <= most * (1 + 1e-5)


def crossed() -> np.ndarray:
    """Means at (+-3, 0), (0, +-2); two views at +-(1, 0) or +-(0, 1) around them: all scatters diagonal."""
    means = np.array([[3.0, 0], [-3, 0], [0, 2], [0, -2]])
    around = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    return np.stack([means + around, means - around], axis=1)


@pytest.mark.parametrize("delta", [1e-4, 0.5])
def test_a_closed_form(delta: float) -> None:
    """S_b = diag(18, 8) / 3 and S_w = diag(4, 4) / (4 (2 - 1)): eigenvalues 6 and 8/3 over 1 + delta."""
    np.testing.assert_allclose(
        lda_eigenvalues(crossed(), delta), np.array([6, 8 / 3]) / (1 + delta), rtol=1e-12
    )
    p = 18 / 26
    exact = p**-p * (1 - p) ** (p - 1)
    assert lidar(crossed(), delta, eps=0) == pytest.approx(exact, rel=1e-12)
    assert lidar(crossed(), delta) == pytest.approx(entropy_rank(np.array([18.0, 8.0]), 1e-8), rel=1e-12)


def test_rotation_and_scale() -> None:
    """Scale changes nothing where delta follows it, as a variance."""
    generator = np.random.default_rng(0)
    views = generator.normal(size=(20, 1, 6)) * np.arange(1, 7) + generator.normal(size=(20, 4, 6)) + 5
    rotated = views @ np.linalg.qr(generator.normal(size=(6, 6)))[0]
    assert lidar(rotated) == pytest.approx(lidar(views), rel=1e-9)
    assert lidar(1e3 * views, delta=1e6 * 1e-4) == pytest.approx(lidar(views), rel=1e-9)
    assert lidar(1e-3 * views) != pytest.approx(lidar(views), rel=1e-2)


@pytest.mark.parametrize("scale", [1e5, 1e12, 1e30])
def test_long_features_whose_scatter_is_singular(scale: float) -> None:
    """Rounding of S_w exceeds delta there, and a plain S_w + delta I is not positive definite."""
    generator = np.random.default_rng(5)
    line = generator.normal(size=(40, 3, 1)) * generator.normal(size=200)
    assert lidar((scale * line).astype(np.float32)) == pytest.approx(1, abs=0.1)
    few = generator.normal(size=(40, 3, 200))
    assert lidar(scale * few) == pytest.approx(lidar(few), rel=1e-3)


def test_noise_alone_reaches_the_maximum() -> None:
    views = np.random.default_rng(1).normal(size=(2000, 5, 6))
    np.testing.assert_allclose(lda_eigenvalues(views), 1 / 5, rtol=0.15)
    assert lidar(views) > 5.9


def test_collapsed_views_are_defined() -> None:
    assert lidar(np.ones((4, 3, 2))) == 1
    equal = np.repeat(np.eye(4)[:, None], 3, axis=1)  # no scatter within: delta alone is there
    assert lidar(equal) == pytest.approx(3, rel=1e-6)


def test_blocks_that_are_left_out() -> None:
    views = np.random.default_rng(2).normal(size=(25, 3, 4))
    cuts = np.linspace(0, 25, 11).astype(int)
    for b, (means, within) in enumerate(Scatter.of(views).without_blocks()):
        left = Scatter.of(np.delete(views, np.arange(cuts[b], cuts[b + 1]), axis=0))
        np.testing.assert_allclose(means, left.means, rtol=1e-12)
        np.testing.assert_allclose(within, left.within(), rtol=1e-9)


def test_what_it_refuses() -> None:
    for shape in ((3, 4), (1, 4, 2), (4, 1, 2), (4, 2, 0)):
        with pytest.raises(ValueError, match="views"):
            lidar(np.ones(shape))
    with pytest.raises(ValueError, match="finite"):
        lidar(np.full((3, 2, 2), np.nan))
    with pytest.raises(ValueError, match="delta"):
        lidar(crossed(), delta=0)


def test_the_metric_leaves_the_identity_view_out(measure_term: Measure) -> None:
    generator = np.random.default_rng(3)
    views = generator.normal(size=(40, 1, 5)) * 2 + generator.normal(size=(40, 6, 5))
    views = views.astype(np.float32)
    found = measure_term("lidar", views)
    assert found.value == pytest.approx(lidar(views[:, 1:]), rel=1e-9)
    views[:, 0] += 100
    assert measure_term("lidar", views) == found
    assert (found.details["images"], found.details["views"], found.details["maximum"]) == (40, 5, 5)
    assert found.details["delta_1e-02"] == pytest.approx(lidar(views[:, 1:], 1e-2), rel=1e-9)
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high <= 5
    assert "40 images with 5 views; the source asks for 100 with 10" in found.note


def test_two_views_are_both_taken(measure_term: Measure) -> None:
    views = np.random.default_rng(4).normal(size=(30, 2, 3)).astype(np.float32)
    found = measure_term("lidar(images=12)", views)
    assert "One of the two views is the image itself." in found.note
    assert "12 of 30 images" in found.note
    assert found.no_interval == "fewer than 20 images"
    whole = measure_term("lidar(delta=0.1)", views)
    assert whole.value == pytest.approx(lidar(views, 0.1), rel=1e-9)


def test_what_rules_the_value_is_said(measure_term: Measure) -> None:
    generator = np.random.default_rng(5)
    noise = measure_term("lidar", generator.normal(size=(100, 11, 4)))
    assert "hardly more than the noise" in noise.note
    assert "asks for" not in noise.note
    assert noise.details["signal"] == pytest.approx(0, abs=0.3)
    apart = generator.normal(size=(100, 1, 4)) + 0.1 * generator.normal(size=(100, 11, 4))
    assert "noise" not in measure_term("lidar", apart).note
    singular = np.zeros((30, 4, 60))
    singular[..., :30] = generator.normal(size=(30, 1, 30))
    singular[..., :10] += 0.03 * generator.normal(size=(30, 4, 10))
    note = measure_term("lidar", singular).note
    assert "It depends on delta" in note
    assert "singular" not in note
    assert (
        "The scatter of views is singular: 20 differences" in measure_term("lidar(images=10)", singular).note
    )


def test_nothing_to_measure_has_a_reason(measure_term: Measure) -> None:
    assert "zero variance" in measure_term("lidar", np.full((20, 3, 4), 0.7)).reason
    assert measure_term("lidar", np.ones((1, 3, 4))).reason == "fewer than two images"
