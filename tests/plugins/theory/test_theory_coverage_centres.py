"""Limits of R_eps, centres and overlaps on known distributions: covered at least as often as promised."""

import math

import numpy as np
import pytest

from sslaudit_theory.classes.centres import (
    centre_overlap,
    centre_radius,
    class_centres,
    overlap_error,
    overlap_interval,
)
from sslaudit_theory.positives.pairs import r_eps_curve, sup_alignment

pytestmark = pytest.mark.slow

ALPHA = 0.05


def at_least_nominal(misses: int, runs: int, alpha: float = ALPHA) -> None:
    """No more misses than promised, but for three standard errors of the count."""
    assert misses <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))


def vectors(generator: np.random.Generator, n: int, mean: np.ndarray, noise: float) -> np.ndarray:
    rows = mean + generator.normal(scale=noise, size=(n, len(mean)))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [20, 200])
def test_limits_of_r_eps(n: int) -> None:
    """Two views on a line at a distance uniform in [0, 1], so R_eps = 1 - eps."""
    generator, runs = np.random.default_rng(n), 4000
    eps = np.linspace(0, 1, 41)
    one = band = 0
    fixed = 20  # R_eps = .5
    for _ in range(runs):
        views = np.zeros((n, 2, 1))
        views[:, 1, 0] = generator.uniform(size=n)
        curve = r_eps_curve(sup_alignment(views), eps, ALPHA)
        one += bool(curve.upper[fixed] < 1 - eps[fixed])
        band += bool((curve.band < 1 - eps - 1e-12).any())
    at_least_nominal(one, runs)
    at_least_nominal(band, runs)
    assert one > 0  # not so wide that it says nothing


def test_the_band_covers_an_eps_chosen_on_the_data() -> None:
    """At the smallest eps without a far pair, the limit of a fixed eps is missed too often."""
    generator, runs, n = np.random.default_rng(0), 4000, 30
    fixed = chosen = 0
    for _ in range(runs):
        sup = generator.uniform(size=n)
        eps = np.sort(sup)
        curve = r_eps_curve(sup, eps, ALPHA)
        fixed += bool((curve.upper < 1 - eps).any())
        chosen += bool((curve.band < 1 - eps).any())
    at_least_nominal(chosen, runs)
    assert fixed > 2 * ALPHA * runs


@pytest.mark.parametrize(("mean", "noise"), [((0.0, 0.0, 0.0), 1.0), ((1.0, 0.0, 0.0), 0.5)])
def test_the_radius_of_a_centre(mean: tuple[float, ...], noise: float) -> None:
    generator, runs, n = np.random.default_rng(1), 2000, 30
    truth = vectors(generator, 2_000_000, np.array(mean), noise).mean(axis=0)
    radius = centre_radius(n, 1, float(min(1, truth @ truth)), ALPHA)
    misses = tight = 0
    for _ in range(runs):
        off = np.linalg.norm(vectors(generator, n, np.array(mean), noise).mean(axis=0) - truth)
        misses += bool(off > radius)
        tight += bool(off > radius / 8)
    at_least_nominal(misses, runs)
    assert tight > runs / 2


def test_the_error_of_an_overlap() -> None:
    generator, runs, n = np.random.default_rng(2), 2000, 40
    means = np.array([[1.0, 0.2, 0.0], [0.2, 1.0, 0.0]])
    truth = np.stack([vectors(generator, 1_000_000, mean, 0.5).mean(axis=0) for mean in means])
    radius = centre_radius(n, 1, 0.0, ALPHA / 2)
    misses = 0
    for _ in range(runs):
        found = np.stack([vectors(generator, n, mean, 0.5).mean(axis=0) for mean in means])
        misses += bool(abs(found[0] @ found[1] - truth[0] @ truth[1]) > overlap_error(radius, radius))
    at_least_nominal(misses, runs)


@pytest.mark.parametrize("classes", [2, 8])
@pytest.mark.parametrize("spread", ["one pair stands out", "all pairs equal"])
def test_the_interval_of_the_largest_overlap(classes: int, spread: str) -> None:
    generator, each, runs, noise = np.random.default_rng(classes), 40, 300, 0.3
    means = 0.7 * np.eye(8)[:classes] + (0.15 if spread == "all pairs equal" else 0.0)
    if spread == "one pair stands out":
        means[1] += 0.5 * means[0]
    population = np.stack([vectors(generator, 200_000, mean, noise).mean(axis=0) for mean in means])
    pairs = np.triu_indices(classes, 1)
    truth = centre_overlap(population)[pairs].max()
    labels = np.repeat(np.arange(classes), each)
    misses = 0
    for _ in range(runs):
        features = np.concatenate([vectors(generator, each, mean, noise) for mean in means])
        interval = overlap_interval(features, labels, generator)
        value = centre_overlap(class_centres(features, labels, classes))[pairs].max()
        assert interval.low <= value <= interval.high
        misses += bool(not interval.low <= truth <= interval.high)
    at_least_nominal(misses, runs)
