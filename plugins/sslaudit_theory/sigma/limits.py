"""Confidence limits of the population sigma of a class: a star bounds it from below, a clique from above.

The clique number of a sample over its size errs upwards, on average, so it is no lower limit.
Source: own derivations, checked numerically; sigma(delta) is that of Huang et al., ICLR 2023.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.stats import clopper_pearson
from sslaudit_theory.sigma.curve import TIE, ascending


@dataclass(frozen=True, slots=True, eq=False)
class StarCurve:
    """Lower confidence limits of the population sigma at M deltas."""

    anchor: np.ndarray
    """(M,): the anchor that was chosen, by its column."""
    share_a: np.ndarray
    """(M,): share of split A within delta / 2 of it. Chosen as the largest, so optimistic."""
    count_b: np.ndarray
    """(M,): images of split B within delta / 2 of it."""
    n_b: int
    """Images of split B."""
    lower: np.ndarray
    """(M,): the limits, each at the level by itself."""


def star_masses(anchor_distances: ArrayLike, deltas: ArrayLike) -> np.ndarray:
    """How many of n images have a view within delta / 2 of each of m fixed points: (M, m).

    ``anchor_distances`` (n, m) are the least distances of the views of an image to a point. Two views
    within delta / 2 of the same point are within delta of each other, so these images are a clique of
    {d_A <= delta}. Around an augmented image they need not be: d_A obeys no triangle inequality, as
    the two views of that image that are near may be different ones.
    Raises ``ValueError`` for distances that are not a matrix of numbers at least 0, or bad deltas.
    Source: own derivation, checked numerically.
    """
    matrix = np.asarray(anchor_distances, dtype=np.float64)
    if matrix.ndim != 2 or not (matrix >= 0).all():
        raise ValueError("distances to anchors are a matrix of numbers at least 0.")
    radii = ascending(deltas) / 2 * TIE
    return np.stack([np.count_nonzero(matrix <= radius, axis=0) for radius in radii])


def star_sigma(
    distances_a: ArrayLike,
    distances_b: ArrayLike,
    deltas: ArrayLike,
    level: float = 0.95,
) -> StarCurve:
    """Lower confidence limits of the population sigma of one class at each of ``deltas`` (M,).

    ``distances_a`` (n_a, m) and ``distances_b`` (n_b, m) are distances of two independent splits to the
    same m anchors, see ``star_masses``. Split A chooses the anchor with most images within delta / 2.
    Given A the anchor is a fixed point, all images within delta / 2 of it are within delta of each
    other, and so sigma(delta) is at least their mass. The count on B is binomial with that mass, and
    its exact lower limit (Clopper-Pearson) is below sigma with probability ``level`` or more. The anchors
    may be views of A, not of B. The least limit over classes is one for the worst class, at the same level.
    Raises ``ValueError`` like ``star_masses``, for different anchors, no anchor, or an empty split.
    Source: own derivation, checked numerically.
    """
    a, b = np.asarray(distances_a), np.asarray(distances_b)
    on_a, on_b = star_masses(a, deltas), star_masses(b, deltas)
    n_a, n_b = len(a), len(b)
    if on_a.shape[1] != on_b.shape[1] or not on_a.shape[1] or not n_a or not n_b:
        raise ValueError("both splits need images, and distances to the same anchors.")
    anchor = on_a.argmax(axis=1)
    rows = np.arange(len(anchor))
    counts = on_b[rows, anchor]
    limits = {k: clopper_pearson(k, n_b, level, side="lower").low for k in set(counts.tolist())}
    return StarCurve(
        anchor=anchor,
        share_a=on_a[rows, anchor] / n_a,
        count_b=counts,
        n_b=n_b,
        lower=np.array([limits[k] for k in counts.tolist()]),
    )


def sigma_upper_limit(upper_clique: int, n: int, level: float = 0.95) -> float:
    """Upper confidence limit of the population sigma of one class, from a sample of n images.

    ``upper_clique`` is an upper bound of the clique number of the sample. Of any part of the class with
    mass sigma that is a clique in the population, a binomial number of the n images are members, and
    these are a clique of the sample. So the clique number is at least binomial with mass sigma, and the
    exact upper limit (Clopper-Pearson) at it, or at anything above, is above sigma with probability
    ``level`` or more. For the worst of K classes take each at level 1 - (1 - level) / K.
    Raises ``ValueError`` for n < 1 or a clique outside 0..n.
    Source: own derivation, checked numerically.
    """
    return clopper_pearson(upper_clique, n, level, side="upper").high
