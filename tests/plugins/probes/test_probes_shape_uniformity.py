"""Uniformity against double loops, closed forms and quadrature, and its error against leaving images out."""

import math
from collections.abc import Callable
from math import cos, exp, pi, sin

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import i0, ive

from sslaudit.results import Estimate
from sslaudit_probes.shape import uniformity as module
from sslaudit_probes.shape.jackknife import pair_interval, pair_mean
from sslaudit_probes.shape.sample import is_constant
from sslaudit_probes.shape.uniformity import (
    cosine_means,
    kernel_means,
    lowest_uniformity,
    uniformity,
    uniformity_optimum,
)

Measure = Callable[..., dict[str, Estimate]]

CROSS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def naive(features: np.ndarray, t: float) -> float:
    rows = [row / math.sqrt(sum(v * v for v in row)) for row in features]
    values = [
        math.exp(-t * sum((a - b) ** 2 for a, b in zip(f, g, strict=True)))
        for i, f in enumerate(rows)
        for j, g in enumerate(rows)
        if i != j
    ]
    return math.log(sum(values) / len(values))


def test_four_points_on_the_circle() -> None:
    assert uniformity(CROSS) == pytest.approx(-4.396348967229015, rel=1e-12)
    assert uniformity(CROSS) == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 13), st.integers(1, 6), st.sampled_from([0.5, 2.0, 7.0]))
def test_against_double_loops(seed: int, n: int, d: int, t: float) -> None:
    features = np.random.default_rng(seed).normal(size=(n, d)) * 3
    assert uniformity(features, t) == pytest.approx(naive(features, t), rel=1e-9, abs=1e-12)
    assert uniformity(torch.tensor(features), t) == uniformity(features, t)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    others = (cosine.sum(1) - np.diag(cosine)) / (n - 1)
    np.testing.assert_allclose(cosine_means(features), others, atol=1e-12)


def test_tiles_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(50, 5))
    whole = kernel_means(features)
    for tile in (1, 7, 49, 50):
        monkeypatch.setattr(module, "TILE", tile)
        np.testing.assert_allclose(kernel_means(features), whole, rtol=1e-12)


def test_rotation_and_scale_do_not_change_it() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(40, 6)) + 1
    rotation = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    scales = generator.uniform(0.1, 1e4, size=(40, 1))
    assert uniformity(features @ rotation) == pytest.approx(uniformity(features), rel=1e-9)
    assert uniformity(features * scales) == pytest.approx(uniformity(features), rel=1e-9)


def test_float32_is_close() -> None:
    features = np.random.default_rng(2).normal(size=(300, 64)) + 0.5
    for t in (2.0, 20.0, 100.0):
        found = uniformity(features.astype(np.float32), t)
        assert found == pytest.approx(uniformity(features, t), rel=1e-4 if t > 2 else 1e-6)
    assert uniformity(np.float32([[1, 0], [-1, 0]]), 90.0) == pytest.approx(-360)  # type: ignore[arg-type]


def test_the_optimum_of_the_circle() -> None:
    assert uniformity_optimum(2) == pytest.approx(-1.5750272044845408, rel=1e-12)
    assert uniformity_optimum(2) == pytest.approx(-4 + math.log(i0(4)), rel=1e-12)
    assert uniformity_optimum(1) == pytest.approx(math.log((1 + math.exp(-8)) / 2), rel=1e-12)


@pytest.mark.parametrize("t", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("d", [2, 3, 8, 64])
def test_the_optimum_by_quadrature_and_bessel(d: int, t: float) -> None:
    """Cosines of two uniform directions have density sin(angle)^(d-2)."""
    accuracy = {"epsabs": 0, "epsrel": 1e-10, "limit": 200}
    top, _ = quad(lambda a: exp(2 * t * (cos(a) - 1)) * sin(a) ** (d - 2), 0, pi, **accuracy)
    bottom, _ = quad(lambda a: sin(a) ** (d - 2), 0, pi, **accuracy)
    assert uniformity_optimum(d, t) == pytest.approx(math.log(top / bottom), rel=1e-9)
    order = d / 2 - 1
    bessel = math.lgamma(d / 2) - order * math.log(t) + math.log(ive(order, 2 * t))
    assert uniformity_optimum(d, t) == pytest.approx(bessel, rel=1e-9)


def test_the_optimum_in_many_dimensions() -> None:
    values = [uniformity_optimum(d) for d in (512, 2048, 10_000, 10**7)]
    assert values == sorted(values, reverse=True)
    for d, value in zip((512, 2048, 10_000, 10**7), values, strict=True):
        assert value == pytest.approx(-4 + 8 / d, abs=20 / d**2 + 1e-9)  # log 0F1(d/2; 4) ~ 4 / (d/2)
    assert math.isfinite(uniformity_optimum(2, 100))
    assert math.isfinite(uniformity_optimum(4096, 100))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(1, 5))
def test_no_points_are_below_the_lowest(seed: int, n: int, d: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, d))
    assert uniformity(features) >= lowest_uniformity(n, d) - 1e-12


def test_the_lowest_is_reached_by_a_pair() -> None:
    assert uniformity(CROSS[:2]) == pytest.approx(lowest_uniformity(2, 2)) == pytest.approx(-8)


def test_the_error_is_that_of_leaving_images_out() -> None:
    features = np.random.default_rng(3).normal(size=(30, 4)) + 0.7
    means = kernel_means(features)
    without = np.array([kernel_means(np.delete(features, i, axis=0)).mean() for i in range(30)])
    expected = math.sqrt(29 / 30 * np.square(without - without.mean()).sum())
    value, error = pair_mean(means)
    assert (value, error) == pytest.approx((means.mean(), expected), rel=1e-9)
    interval = pair_interval(value, error, 30, low=value - error / 2)
    assert interval.low == value - error / 2
    assert interval.high == pytest.approx(value + 2.045229642132703 * error)  # Student, 29 degrees
    with pytest.raises(ValueError, match="takes three"):
        pair_mean([0.5, 0.5])


def test_what_it_refuses() -> None:
    for t in (0.0, -1.0, 101.0, float("nan")):
        with pytest.raises(ValueError, match="t is in"):
            uniformity(CROSS, t)
    with pytest.raises(ValueError, match="two rows"):
        uniformity(CROSS[:1])
    with pytest.raises(ValueError, match="1 rows are zero"):
        uniformity(np.array([[0.0, 0.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match="finite"):
        uniformity(np.array([[np.nan, 0.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match="shape"):
        uniformity(np.ones(3))
    with pytest.raises(ValueError, match="dimension"):
        uniformity_optimum(0)


def test_the_metric(measure_term: Measure) -> None:
    features = np.random.default_rng(4).normal(size=(60, 8)).astype(np.float32) + 0.5
    found = measure_term("uniformity", features[:, None])
    main, cosine = found[""], found["mean-cosine"]
    assert main.value == pytest.approx(naive(features, 2.0), abs=1e-6)
    assert main.details["optimum"] == uniformity_optimum(8)
    assert main.details["reading"] == "optimum -3.083"
    assert main.interval is not None
    assert main.interval.low < main.value < main.interval.high
    assert (main.minor, cosine.minor) == (False, True)
    assert cosine.value == pytest.approx(cosine_means(features).mean(), abs=1e-6)
    assert found == measure_term("uniformity", features[:, None])


def test_a_draw_of_images_is_said(measure_term: Measure) -> None:
    features = np.random.default_rng(5).normal(size=(60, 8))
    found = measure_term("uniformity(images=20)", features[:, None])[""]
    assert found.details["images"] == 20
    assert "20 of 60 images, drawn at random" in found.note


def test_a_constant_embedding_is_defined(measure_term: Measure) -> None:
    features = np.tile(np.random.default_rng(6).normal(size=64), (100, 1, 1))
    found = measure_term("uniformity", features)
    assert (found[""].value, found["mean-cosine"].value) == (0.0, 1.0)
    assert (found[""].interval.low, found[""].interval.high) == (0.0, 0.0)  # type: ignore[union-attr]
    assert "trivial" in found[""].note
    noisy = features[:, 0] * (1 + 1e-7 * np.random.default_rng(7).normal(size=(100, 64)))
    assert is_constant(noisy.astype(np.float32))
    assert not is_constant(features[:, 0] + np.eye(100, 64))


def test_zero_rows_are_left_out_and_counted(measure_term: Measure) -> None:
    features = np.random.default_rng(8).normal(size=(12, 1, 4))
    features[[2, 5]] = 0
    found = measure_term("uniformity", features)[""]
    assert found.value == pytest.approx(naive(np.delete(features[:, 0], [2, 5], axis=0), 2.0), abs=1e-6)
    assert "Left out: 2 images whose embedding is zero" in found.note
    assert measure_term("uniformity", np.zeros((5, 1, 3))).reason == "all embeddings are zero"  # type: ignore[attr-defined]
    assert "fewer than two" in measure_term("uniformity", features[:3] * [[[0]], [[1]], [[1]]]).reason  # type: ignore[attr-defined]


def test_two_images_have_no_interval(measure_term: Measure) -> None:
    found = measure_term("uniformity", CROSS[:2, None])[""]
    assert (found.value, found.interval, found.no_interval) == (pytest.approx(-8), None, "two images only")
