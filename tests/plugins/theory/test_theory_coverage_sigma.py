"""The limits of sigma cover the truth as often as they promise, on populations whose sigma is known."""

import numpy as np
import pytest

from sslaudit_theory.sigma.curve import sigma_of
from sslaudit_theory.sigma.limits import sigma_upper_limit, star_sigma

pytestmark = pytest.mark.slow

LEVEL, ROUNDS = 0.95, 3_000


def least(rounds: int) -> float:
    """Three standard errors below the level."""
    return float(LEVEL - 3 * np.sqrt(LEVEL * (1 - LEVEL) / rounds))


def line_views(generator: np.random.Generator, n: int) -> np.ndarray:
    """One view of points of U[0, 1]: sigma(delta) = delta, a window of that length."""
    return generator.random((n, 1))


def circle_views(generator: np.random.Generator, n: int) -> np.ndarray:
    """Two views half a turn apart: distances are those on a circle of length 1/2, and sigma(delta) = 2 delta.

    True below a third of that length, where sets of small diameter are arcs.
    """
    first = generator.random((n, 1)) / 2
    return np.concatenate([first, first + 0.5], axis=1)


def distances(views: np.ndarray, others: np.ndarray) -> np.ndarray:
    """d_A on the circle of length 1 for two views, on the line for one."""
    gap = np.abs(views[:, None, :, None] - others[None, :, None, :])
    if views.shape[1] == 2:
        gap = np.minimum(gap, 1 - gap)
    return gap.min(axis=(2, 3))


POPULATIONS = [(line_views, 1.0), (circle_views, 2.0)]


@pytest.mark.parametrize(("views", "slope"), POPULATIONS, ids=["line", "two views on a circle"])
@pytest.mark.parametrize("n", [10, 40])
def test_stars_stay_below_sigma(views: object, slope: float, n: int) -> None:
    generator = np.random.default_rng(n)
    deltas = np.array([0.02, 0.08, 0.15])
    below = np.zeros(len(deltas))
    for _ in range(ROUNDS):
        a, b = (views(generator, n) for _ in range(2))  # type: ignore[operator]
        anchors = a.reshape(-1, 1)
        star = star_sigma(distances(a, anchors), distances(b, anchors), deltas, LEVEL)
        below += star.lower <= slope * deltas
    print(f"star limits cover {np.round(below / ROUNDS, 4)} at {LEVEL}")
    assert (below / ROUNDS >= least(ROUNDS)).all()
    assert (below / ROUNDS < 1).any(), "a limit that never fails says nothing"


@pytest.mark.parametrize(("views", "slope"), POPULATIONS, ids=["line", "two views on a circle"])
@pytest.mark.parametrize("n", [10, 40])
def test_cliques_stay_above_sigma(views: object, slope: float, n: int) -> None:
    generator = np.random.default_rng(n)
    for delta in (0.02, 0.15):
        above = 0
        for _ in range(ROUNDS):
            sample = views(generator, n)  # type: ignore[operator]
            clique = sigma_of(distances(sample, sample), delta)
            assert clique.exact
            above += sigma_upper_limit(clique.upper, n, LEVEL) >= slope * delta
        print(f"clique limits cover {above / ROUNDS:.4f} at {LEVEL}")
        assert above / ROUNDS >= least(ROUNDS)


def test_the_worst_of_many_classes_needs_no_correction_from_below() -> None:
    generator = np.random.default_rng(0)
    below = above = 0
    classes, delta, n, rounds = 5, 0.15, 30, ROUNDS // 4
    for _ in range(rounds):
        lows, highs = [], []
        for _ in range(classes):
            a, b = (line_views(generator, n) for _ in range(2))
            star = star_sigma(distances(a, a[:, :1]), distances(b, a[:, :1]), [delta], LEVEL)
            lows.append(star.lower[0])
            clique = sigma_of(distances(b, b), delta)
            highs.append(sigma_upper_limit(clique.upper, n, 1 - (1 - LEVEL) / classes))
        below += min(lows) <= delta
        above += min(highs) >= delta
    assert min(below, above) / rounds >= least(rounds)
