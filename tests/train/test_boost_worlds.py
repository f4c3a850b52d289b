"""Gaussian worlds: exact minimisers, and downstream errors with and without refining."""

import math

import numpy as np
import pytest
import torch

from sslaudit.train.boost import refine
from sslaudit.train.boost.world import (
    GaussianWorld,
    gaussian_world,
    ols_error,
    oracle_error,
    plain_error,
    refined_error,
    synthetic_world,
)
from sslaudit.train.losses.pretext import best_linear

LABELS, DIM = 40, 8


def scalar_world(alpha: float, beta: float) -> GaussianWorld:
    """a = y + e1, b = zeta + e2 with variances 1 and 0.5 of the noise, z = alpha y + beta zeta."""
    return gaussian_world(np.array([[alpha]]), np.array([[beta]]), noise_y=1.0, noise_zeta=0.5)


def angle(world: GaussianWorld, f: np.ndarray) -> float:
    """Of f in coordinates a / sd(a), b / sd(b), from the first."""
    u = f[0] * np.sqrt(np.diag(world.pretext().xx))
    return math.atan2(u[1], u[0])


def mean_error(n0: int | None, lam: float, repeats: int, seed: int = 0) -> tuple[float, float]:
    """Mean over worlds and samples of the expected downstream error, and its standard error."""
    errors = [
        refined_error(synthetic_world(rng), n0, lam=lam, dim=DIM, n2=LABELS, rng=rng)
        for rng in np.random.default_rng(seed).spawn(repeats)
    ]
    return float(np.mean(errors)), float(np.std(errors, ddof=1)) / repeats**0.5


def test_moments_and_residuals_of_the_scalar_world() -> None:
    world = scalar_world(1, 2)
    loadings = np.concatenate([world.to_x, world.to_y, world.to_z])
    covariance = [[2, 0, 1, 1], [0, 1.5, 0, 2], [1, 0, 1, 1], [1, 2, 1, 5]]
    np.testing.assert_allclose(loadings @ loadings.T, covariance, atol=1e-12)
    a, b, both = np.array([[1.0, 0]]), np.array([[0, 1.0]]), np.eye(2)
    assert world.residuals(a) == pytest.approx((0.5, 4.5), rel=1e-9)
    assert world.residuals(both) == pytest.approx((0.5, 11 / 6), rel=1e-9)
    assert world.residuals(b) == pytest.approx((1.0, 7 / 3), rel=1e-9)
    assert world.conditional_covariance(a) == pytest.approx(0, abs=1e-12)
    assert world.conditional_covariance(b) == pytest.approx(2, rel=1e-12)


def test_the_minimiser_is_tilted_where_z_depends_on_the_label() -> None:
    world = scalar_world(1, 2)
    f = world.minimiser(lam=0.2, dim=1)
    assert f @ world.pretext().xx @ f.T == pytest.approx(1)
    assert angle(world, f) == pytest.approx(-0.22976826317262242, rel=1e-9)
    assert world.conditional_covariance(f)[0, 0] == pytest.approx(-0.372, abs=5e-4)
    assert world.residuals(f)[0] > 0.5 + 0.01
    v = np.array([math.sqrt(0.5), 2 * math.sqrt(2 / 3)])
    angles = np.linspace(-math.pi / 2, math.pi / 2, 200001)
    u = np.stack([np.cos(angles), np.sin(angles)])
    assert angle(world, f) == pytest.approx(angles[np.argmax(0.5 * u[0] ** 2 - 0.2 * (v @ u) ** 2)], abs=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0, 2), (1, 0), (-0.5, 0)])
def test_it_is_not_tilted_where_z_is_of_the_label_or_of_the_rest_alone(alpha: float, beta: float) -> None:
    world = scalar_world(alpha, beta)
    f = world.minimiser(lam=0.2, dim=1)
    assert angle(world, f) == pytest.approx(0, abs=1e-9)
    assert world.residuals(f)[0] == pytest.approx(0.5, rel=1e-9)
    assert world.conditional_covariance(f) == pytest.approx(0, abs=1e-9)


def test_the_tilt_goes_with_lambda() -> None:
    world = scalar_world(1, 2)
    tilts = [abs(angle(world, world.minimiser(lam=lam, dim=1))) for lam in (1e-6, 1e-3, 0.05, 0.2, 1)]
    assert tilts == sorted(tilts)
    assert tilts[0] < 1e-5


@pytest.mark.parametrize(("network", "steps", "close"), [("linear", None, 0.03), ("mlp", 120, 0.05)])
def test_refine_finds_the_minimiser_from_samples(network: str, steps: int | None, close: float) -> None:
    """Up to sampling error; a network is compared by its best linear approximation."""
    world = scalar_world(1, 2)
    x, y, z = world.sample(4000, np.random.default_rng(0))
    module = refine(x, z, x, y, lam=0.2, dim=1, network=network, steps=steps).module
    with torch.no_grad():
        f = module(torch.from_numpy(x))
    weight = best_linear(f, torch.from_numpy(x))[:, :2].numpy()
    weight *= np.sign(weight[0, 0])
    assert angle(world, weight) == pytest.approx(-0.22976826317262242, abs=close)


def test_mixed_features_have_the_same_minimiser() -> None:
    rng = np.random.default_rng(0)
    world = synthetic_world(rng)
    mixed = GaussianWorld(rng.standard_normal((24, 24)) @ world.to_x, world.to_y, world.to_z)
    losses = [w.residuals(w.minimiser(lam=0.1, dim=DIM)) for w in (world, mixed)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_anchors_of_the_synthetic_world() -> None:
    world = synthetic_world(np.random.default_rng(0))
    assert world.residuals(np.eye(24))[0] == pytest.approx(0.494, abs=5e-4)
    assert oracle_error(world, n2=LABELS) == pytest.approx(0.523, abs=0.003)
    assert plain_error(world, n2=LABELS) == pytest.approx(0.662, abs=0.003)
    a = np.eye(24)[:2]
    assert world.conditional_covariance(a) == pytest.approx(0, abs=1e-12)
    assert world.residuals(a)[0] == pytest.approx(world.residuals(np.eye(24))[0], rel=1e-9)
    rng = np.random.default_rng(1)
    assert refined_error(world, None, lam=0.02, dim=DIM, n2=LABELS, rng=rng) == pytest.approx(0.622, rel=0.02)


@pytest.mark.parametrize("n0", [4, 8])
def test_no_more_labels_than_dimensions_lose_the_label(n0: int) -> None:
    """Exactly what least squares on 8 features without information gives: 2 (1 + 8/31)."""
    for lam in (0.02, 0.5):
        assert mean_error(n0, lam, 3)[0] == pytest.approx(2 * (1 + 8 / 31), rel=1e-3)


def test_the_error_of_least_squares_is_its_expectation() -> None:
    rng = np.random.default_rng(0)
    world = scalar_world(1, 2)
    errors = []
    for _ in range(2000):
        x, y, _ = world.sample(12, rng)
        w = np.linalg.lstsq(x, y, rcond=None)[0]
        new, labels, _ = world.sample(50, rng)
        errors.append(np.square(labels - new @ w).mean())
    expected = ols_error(0.5, 2, 12)
    assert np.mean(errors) == pytest.approx(expected, abs=4 * np.std(errors) / len(errors) ** 0.5)
    with pytest.raises(ValueError, match="more than 3 samples"):
        ols_error(0.5, 2, 3)


@pytest.mark.slow
def test_downstream_error_against_n0() -> None:
    """An earlier table of such a world, whose code is not at hand: to 6 per cent, three cells to 13.

    The two scales of ``synthetic_world`` were chosen by the values without end for lambda = 0.1 and 0.5, and
    the family of A and B with the whole table in sight.
    """
    within = {
        0.02: {8: 2.51, 12: 2.49, 16: 2.45, 80: 0.855, 200: 0.715, 1000: 0.652, None: 0.622},
        0.1: {8: 2.46, 24: 2.27, 80: 1.34, 200: 0.965, 1000: 0.835, None: 0.763},
        0.5: {8: 2.51, 24: 2.24, 80: 2.09, 200: 1.92, None: 1.67},
    }
    further = {0.02: {24: 1.97, 40: 1.28}, 0.5: {1000: 1.92}}
    for table, share in ((within, 0.06), (further, 0.13)):
        for lam, row in table.items():
            for n0, expected in row.items():
                mean, error = mean_error(n0, lam, 40 if n0 else 200)
                assert abs(mean - expected) < share * expected + 2 * error, (lam, n0, mean, error)


@pytest.mark.slow
def test_refining_harms_with_few_labels_and_helps_only_with_small_lambda() -> None:
    plain = plain_error(synthetic_world(np.random.default_rng(0)), n2=LABELS)
    for n0 in (24, 80, 200):
        for lam in (0.02, 0.1, 0.5):
            mean, error = mean_error(n0, lam, 20)
            assert mean - 2 * error > plain, (lam, n0)
    mean, error = mean_error(400, 0.02, 20)  # level, with 50 d_f labels
    assert mean == pytest.approx(plain, abs=0.01)
    for n0 in (1000, None):
        mean, error = mean_error(n0, 0.02, 20)
        assert mean + 2 * error < plain
        for lam in (0.1, 0.5):
            mean, error = mean_error(n0, lam, 20)
            assert mean - 2 * error > plain
