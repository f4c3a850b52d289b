"""sigma(delta): the largest share of a class whose images are all within delta of each other.

Augmentations are (sigma, delta) if every class has a part of mass sigma in which any two images have
views within delta: the augmented distance d_A is at most delta. On n images this is the clique number
of the graph {d_A <= delta} over n, for each class; the sigma of a data set is that of its worst class.

The clique number of the sample errs upwards as an estimate of the population: its expectation over n
never rises with n. Limits of the population are in ``sslaudit_theory.sigma.limits``.

Source: Huang et al., ICLR 2023, the definition of (sigma, delta)-augmentation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.sigma.cliques import CliqueBounds, maximum_clique

CURVE_BUDGET = 500_000
"""Steps of the clique search for each delta of a curve."""

TIE = 1 + 1e-12
"""d <= delta (1 + 1e-12) counts as within delta: equal distances differ by rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class SigmaCurve:
    """Bounds of the sigma of one sample at M deltas; non-decreasing, both of them."""

    deltas: np.ndarray
    """(M,), ascending."""
    lower: np.ndarray
    """(M,): share of the images in the largest clique that was found."""
    upper: np.ndarray
    """(M,): no clique has a larger share."""
    n: int
    """Images; for the worst class the fewest of a class."""


def sigma_of(distances: ArrayLike, delta: float, *, budget: int = CURVE_BUDGET) -> CliqueBounds:
    """Bounds of the largest number of images that are pairwise within delta; over n, of sigma.

    ``distances`` (n, n) are augmented distances; a distance counts as within delta up to
    delta (1 + 1e-12). Raises ``ValueError`` for distances that are not square, symmetric and at least
    0, or a delta below 0; NaN is neither.
    Source: Huang et al., ICLR 2023, (sigma, delta)-augmentation.
    """
    return maximum_clique(_within(_checked(distances), *ascending([delta])), budget=budget)


def sigma_curve(distances: ArrayLike, deltas: ArrayLike, *, budget: int = CURVE_BUDGET) -> SigmaCurve:
    """Sample sigma at each of ``deltas`` (M,), ascending, of images with ``distances`` (n, n).

    A clique at one delta is one at every larger delta, so bounds carry over: deltas between two whose
    bounds meet cost nothing, the others start from what is known. ``budget`` is in steps for each delta.
    Raises ``ValueError`` like ``sigma_of``, for deltas that do not ascend, and for no images.
    Source: Huang et al., ICLR 2023, (sigma, delta)-augmentation.
    """
    matrix, levels = _checked(distances), ascending(deltas)
    n = len(matrix)
    if not n:
        raise ValueError("no images have no sigma.")
    found: dict[int, CliqueBounds] = {}
    for here in _halving(len(levels)):
        below = max((known.members for at, known in found.items() if at < here), key=len, default=())
        above = min((known.upper for at, known in found.items() if at > here), default=n)
        found[here] = (
            CliqueBounds(len(below), above, below)
            if len(below) == above
            else maximum_clique(_within(matrix, levels[here]), budget=budget, start=below, at_most=above)
        )
    bounds = [found[here] for here in range(len(levels))]
    lower = np.maximum.accumulate([known.lower for known in bounds])
    upper = np.minimum.accumulate([known.upper for known in bounds[::-1]])[::-1]
    return SigmaCurve(levels, lower / n, upper / n, n)


def worst_class(curves: Sequence[SigmaCurve]) -> SigmaCurve:
    """sigma of a data set: at each delta the least of the classes.

    Raises ``ValueError`` for no curves, or curves at different deltas.
    Source: Huang et al., ICLR 2023, (sigma, delta)-augmentation.
    """
    if not curves or any(not np.array_equal(curve.deltas, curves[0].deltas) for curve in curves):
        raise ValueError("the worst class is taken over curves at the same deltas.")
    return SigmaCurve(
        curves[0].deltas,
        np.min([curve.lower for curve in curves], axis=0),
        np.min([curve.upper for curve in curves], axis=0),
        min(curve.n for curve in curves),
    )


def _checked(distances: ArrayLike) -> np.ndarray:
    matrix = np.asarray(distances, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not (matrix >= 0).all():
        raise ValueError("distances between images are a square matrix of numbers at least 0.")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
        raise ValueError("distances between images are symmetric.")
    return np.maximum(matrix, matrix.T)


def ascending(deltas: ArrayLike) -> np.ndarray:
    levels = np.asarray(deltas, dtype=np.float64)
    if levels.ndim != 1 or not levels.size or not (levels >= 0).all() or (np.diff(levels) < 0).any():
        raise ValueError("deltas are numbers at least 0, ascending.")
    return levels


def _within(distances: np.ndarray, delta: float) -> np.ndarray:
    near: np.ndarray = distances <= delta * TIE
    return near


def _halving(count: int) -> list[int]:
    """0..count-1, both ends first, then always the middle of a gap."""
    order = list(dict.fromkeys([0, count - 1]))
    gaps = [(0, count - 1)]
    for low, high in gaps:
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order
