"""Error rates and power of both tests of C1, and cover of the interval, in worlds whose answer is known.

Each has n = 200 samples of two classes, d_f = 8 and d_z = 3, unless it says so. Limits of counts are binomial
ones at 99.9 %.
"""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, kstest

from sslaudit_theory.independence.condition import C1, c1_test
from sslaudit_theory.independence.dependence import within_class_rv
from sslaudit_theory.independence.nulls import multiplier_null
from sslaudit_theory.independence.strata import Stratum, split

pytestmark = pytest.mark.slow

ALPHA, DRAWS = 0.05, 199
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


def sample(world: str, rng: np.random.Generator, n: int = 200, wide: int = 8, narrow: int = 3) -> Sample:
    """f, z and labels of a world; class means differ in f and in z, which C1 does not forbid."""
    labels = np.arange(n) % 2
    f, z = rng.normal(size=(n, wide)), rng.normal(size=(n, narrow))
    if world == "common scale":  # signs are independent and lengths are not: Cov = 0
        scale = np.where(rng.random((n, 1)) < 0.2, 2.0, 0.5)
        f, z = scale * f, scale * z
    elif world == "even":  # z is a function of f, and Cov = 0
        z = np.square(f[:, :narrow]) - 1
    elif world == "correlated":
        z[:, 0] += 0.35 * f[:, 0]
    elif world == "cancelling":
        z[:, 0] += 0.5 * f[:, 0] * (2 * labels - 1)
    else:
        assert world == "independent"
    return f + labels[:, None], z - 2 * labels[:, None], labels


def c1_of(world: str, runs: int, seed: int = 0, **shape: int) -> list[C1]:
    rng = np.random.default_rng(seed)
    return [c1_test(*sample(world, rng, **shape), rng=rng, draws=DRAWS) for _ in range(runs)]


def rejections(found: list[C1]) -> tuple[int, int]:
    """Of the multiplier test and of the permutation test."""
    return (
        sum((one.p_multiplier or 0) <= ALPHA for one in found),
        sum((one.p_permutation or 0) <= ALPHA for one in found),
    )


def consistent(count: int, runs: int, low: float, high: float) -> bool:
    """Whether some rate in [low, high] gives such a count with 99.9 % limits."""
    return bool(binom.ppf(0.0005, runs, low) <= count <= binom.ppf(0.9995, runs, high))


@pytest.mark.parametrize(
    "shape", [{}, {"n": 20}, {"n": 40, "wide": 64, "narrow": 16}, {"n": 100, "wide": 200, "narrow": 40}]
)
def test_independent(shape: dict[str, int]) -> None:
    """Also in many dimensions and with few samples, where signs on raw products would always reject."""
    runs = 600 if shape.get("n", 200) * shape.get("wide", 8) < 5000 else 250
    multiplier, permutation = rejections(c1_of("independent", runs, **shape))
    assert consistent(multiplier, runs, 0.04, 0.08)
    assert consistent(permutation, runs, 0.05, 0.05)


def test_raw_products_would_reject_nearly_always_in_many_dimensions() -> None:
    """The trap that U-centring avoids: T against signs on residual products with an estimated mean."""
    rng, runs, rejected = np.random.default_rng(0), 100, 0
    for _ in range(runs):
        f, z, labels = sample("independent", rng, n=100, wide=200, narrow=40)
        observed, drawn = 0.0, np.zeros(DRAWS)
        for own in split(f, z, labels).kept:
            products = (own.f @ own.f.T) * (own.z @ own.z.T) * own.weight / own.n**2
            signs = rng.choice([-1.0, 1.0], size=(own.n, DRAWS))
            observed += products.sum()
            drawn += np.einsum("ib,ib->b", signs, products @ signs)
        rejected += (1 + (drawn >= observed).sum()) / (DRAWS + 1) <= ALPHA
    assert rejected > runs / 2


@pytest.mark.parametrize(("world", "least"), [("common scale", 0.97), ("even", 0.1)])
def test_dependent_but_uncorrelated(world: str, least: float) -> None:
    """The permutation test answers another question; the multiplier test keeps its level."""
    runs = 600
    multiplier, permutation = rejections(c1_of(world, runs))
    assert consistent(multiplier, runs, 0.04, 0.08)
    assert consistent(permutation, runs, least, 1.0)


def test_correlated() -> None:
    runs = 600
    multiplier, permutation = rejections(c1_of("correlated", runs))
    assert consistent(multiplier, runs, 0.58, 0.70)
    assert consistent(permutation, runs, 0.58, 0.70)


def test_cancelling() -> None:
    """Both tests see covariances of opposite sign; the pooled one has no power beyond its level."""
    runs, rng, pooled = 600, np.random.default_rng(0), 0
    multiplier, permutation = rejections(c1_of("cancelling", runs))
    assert consistent(multiplier, runs, 0.90, 0.98)
    assert consistent(permutation, runs, 0.90, 0.98)
    for _ in range(runs):
        both = split(*sample("cancelling", rng)).kept
        one = Stratum(
            0, np.concatenate([own.f for own in both]), np.concatenate([own.z for own in both]), 1.0
        )
        pooled += multiplier_null([one], rng, DRAWS).p <= ALPHA
    assert consistent(pooled, runs, 0.02, 0.08)


def test_permutation_p_is_uniform_under_independence() -> None:
    """On the grid 1/200, ..., 1: a uniform step below it makes it continuous."""
    found = c1_of("independent", 1500, seed=1, n=60)
    p = np.array([one.p_permutation for one in found])
    p -= np.random.default_rng(0).uniform(size=len(p)) / (DRAWS + 1)
    assert kstest(p, "uniform").pvalue > 0.001
    assert np.mean([one.rho2 for one in found]) == pytest.approx(0, abs=0.004)


def test_exact_permutation_p_is_valid() -> None:
    found = c1_of("independent", 1500, seed=2, n=14, wide=3, narrow=1)
    assert not found[0].exact_permutation
    rng = np.random.default_rng(3)
    exact = [
        c1_test(rng.normal(size=(6, 2)), rng.normal(size=(6, 1)), np.zeros(6), rng=rng, draws=DRAWS)
        for _ in range(1500)
    ]
    assert exact[0].exact_permutation
    assert exact[0].exact_multiplier
    for one_kind in (found, exact):
        for alpha in (0.05, 0.2, 0.5):
            reached = sum((one.p_permutation or 0) <= alpha for one in one_kind)
            assert consistent(reached, 1500, alpha - 1 / 199, alpha)


def effect(slope: float, wide: int, narrow: int, used: int) -> float:
    """rho2 of z_j = slope f_j + noise for ``used`` of ``narrow`` columns, all of unit variance."""
    return used * slope**2 / math.sqrt(wide * (used * (1 + slope**2) ** 2 + narrow - used))


@pytest.mark.parametrize(
    ("n", "wide", "narrow", "used"),
    [(200, 8, 3, 1), (200, 8, 3, 3), (100, 8, 3, 1), (60, 32, 8, 8), (400, 32, 8, 2)],
)
def test_power_at_the_detectable_effect(n: int, wide: int, narrow: int, used: int) -> None:
    rng, runs = np.random.default_rng(n), 400
    idle = c1_of("independent", 40, n=n, wide=wide, narrow=narrow)
    detectable = float(np.mean([one.detectable for one in idle]))
    slope = brentq(lambda s: effect(s, wide, narrow, used) - detectable, 0.0, 20.0)
    found = []
    for _ in range(runs):
        f, z, labels = sample("independent", rng, n=n, wide=wide, narrow=narrow)
        z[:, :used] += slope * (f[:, :used] - labels[:, None])
        found.append(c1_test(f, z, labels, rng=rng, draws=DRAWS))
    assert consistent(rejections(found)[0], runs, 0.72, 0.86)


@pytest.mark.parametrize(("slope", "most"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.99), (3.0, 0.98)])
@pytest.mark.parametrize("classes", [1, 5])
def test_the_interval_covers(slope: float, most: float, classes: int) -> None:
    """At its level for clear effects and above it without one, where the numerator degenerates."""
    rng, runs, n, wide, narrow = np.random.default_rng(0), 800, 200, 8, 3
    labels, truth, covered = np.arange(n) % classes, effect(slope, wide, narrow, 2), 0
    for _ in range(runs):
        f, z = rng.normal(size=(n, wide)), rng.normal(size=(n, narrow))
        z[:, :2] += slope * f[:, :2]
        interval = within_class_rv(f, z, labels).interval
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    assert consistent(covered, runs, 0.93, most)
