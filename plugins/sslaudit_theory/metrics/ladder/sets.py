"""A part of each class that is fixed before the test images are seen: all images near one point.

The point is the centre of the training images of the class, or an anchor of its stars. All images with a
view within a radius of it are a clique for twice that radius. Point, radius and eps are those with the
smallest beta on the training images, so on test images the good ones are simply counted.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from sslaudit_theory.certificates.conditions import beta
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.sampling import sample
from sslaudit_theory.sigma.splits import Concentration

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_LEVELS = 64
"""Radii and values of eps that are tried, at quantiles of the training images."""


@dataclass(frozen=True, slots=True, eq=False)
class GoodSets:
    """Fixed parts of K classes, and how many test images are in them."""

    delta: np.ndarray
    """(K,): twice the radius."""
    eps: np.ndarray
    near: np.ndarray
    """(K,): test images within the radius."""
    good: np.ndarray
    """(K,): of those, test images whose views are within eps."""
    tested: np.ndarray
    """(K,): all test images."""


def good_sets(inputs: "MetricInputs", measured: Measured, found: Concentration) -> GoodSets:
    """Parts chosen on the training images of each class and counted on its test images."""
    chosen = measured.chosen
    distances = _to_anchors(measured, _anchors(inputs, measured, found))
    rows = []
    for k in range(len(chosen.names)):
        train, test = (np.flatnonzero((chosen.labels == k) & split) for split in (~chosen.test, chosen.test))
        anchor, radius, eps = _smallest_beta(distances[train], measured.sup[train], measured.r)
        inside = distances[test, anchor] <= radius
        rows.append((2 * radius, eps, inside.sum(), (inside & (measured.sup[test] <= eps)).sum(), len(test)))
    delta, eps_, near, good, tested = (np.array(column) for column in zip(*rows, strict=True))
    return GoodSets(delta, eps_, near, good, tested)


def _anchors(inputs: "MetricInputs", measured: Measured, found: Concentration) -> np.ndarray:
    """(K, 1 + M, D): the training centre of each class, and the anchors of its stars."""
    normed = measured.chosen.normed
    _, views, dim = normed.shape
    sampled = sample(inputs, views, dim)
    images = np.array(
        [train[np.maximum(rows, 0)] for train, rows in zip(sampled.train, found.star_image, strict=True)]
    )
    distinct, place = np.unique(images, return_inverse=True)
    features = normed.read(distinct)[place.reshape(images.shape), np.maximum(found.star_view, 0)]
    return np.concatenate([measured.centres[:, None], features], axis=1)


def _to_anchors(measured: Measured, anchors: np.ndarray) -> np.ndarray:
    """(n, A): least distance of the views of each image to the anchors of its own class."""
    labels = measured.chosen.labels
    nearest = np.empty((len(labels), anchors.shape[1]))
    for rows, views in measured.chosen.chunks():
        for k in np.unique(labels[rows]):
            own = np.flatnonzero(labels[rows] == k)
            apart = cdist(views[own].reshape(-1, views.shape[2]), anchors[k])
            nearest[rows.start + own] = apart.reshape(len(own), views.shape[1], -1).min(axis=1)
    return nearest


def _smallest_beta(distances: np.ndarray, sup: np.ndarray, r: float) -> tuple[int, float, float]:
    """Anchor, radius and eps of one class, from distances (n, A) and sup-alignments (n,)."""
    eps = _levels(sup)
    aligned = (sup[:, None] <= eps).astype(np.float64)
    best, where = np.inf, (0, 0.0, 0.0)
    for anchor, column in enumerate(distances.T):
        radii = _levels(column)
        q = np.minimum(1.0, (column[:, None] <= radii).astype(np.float64).T @ aligned / len(sup))
        total = beta(q, 2 * (radii[:, None] + eps), r)
        i, j = np.unravel_index(total.argmin(), total.shape)
        if total[i, j] < best:
            best, where = float(total[i, j]), (anchor, float(radii[i]), float(eps[j]))
    return where


def _levels(values: np.ndarray) -> np.ndarray:
    return np.unique(np.quantile(values, np.linspace(0, 1, _LEVELS), method="inverted_cdf"))
