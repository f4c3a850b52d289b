"""Which transform drives the distance between an image and its views.

The squared distance of a view to the plain image is fitted, over all views of all images, as a sum of what
each transform adds in proportion to its strength. What a transform adds on average is its slope times its
mean strength; with the rest, which no transform explains, these add up to the mean distance. The fit takes
transforms to act independently, so it shares out what two of them do together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sslaudit.results import Interval
from sslaudit.stats import percentile_interval, resample_within_classes

DRAWS = 500
"""Resamples of images."""


@dataclass(frozen=True, slots=True)
class Driver:
    """What one transform adds to the mean squared distance of a view to its image."""

    name: str
    adds: float
    interval: Interval


def drivers(
    squares: np.ndarray, strengths: Mapping[str, np.ndarray], rng: np.random.Generator, level: float = 0.95
) -> tuple[tuple[Driver, ...], float]:
    """What each transform adds, the largest first, and the rest.

    ``squares`` (N, V) are squared distances of the drawn views to their image and ``strengths`` (N, V)
    those of the transforms, by name. A transform of one strength in all views cannot be told from the
    rest and is left out. Intervals are bootstraps over images. Raises ``ValueError`` for fewer than two
    images and for shapes that differ. Source: least squares; sslaudit.
    """
    squares = np.asarray(squares, dtype=np.float64)
    if squares.ndim != 2 or len(squares) < 2 or not squares.shape[1]:
        raise ValueError(
            f"squared distances of drawn views are (N, V) of two images or more, not {squares.shape}."
        )
    if any(np.shape(strength) != squares.shape for strength in strengths.values()):
        raise ValueError("strengths have the shape of the distances.")
    names = [name for name, strength in strengths.items() if np.ptp(strength) > 0]
    design = np.stack([np.ones_like(squares), *(np.asarray(strengths[name]) for name in names)], axis=2)
    products = np.einsum("nvp,nvq->npq", design, design)
    targets = np.einsum("nvp,nv->np", design, squares)
    sums = design.sum(axis=1)

    def added(counts: np.ndarray) -> np.ndarray:
        """(B, P): the rest and what each transform adds, for images counted (B, N)."""
        normal = np.tensordot(counts, products, axes=1)
        fitted = np.linalg.pinv(normal, hermitian=True) @ np.tensordot(counts, targets, axes=1)[..., None]
        means = counts @ sums / (counts.sum(axis=1, keepdims=True) * squares.shape[1])
        parts: np.ndarray = fitted[..., 0] * means
        return parts

    n = len(squares)
    found = added(np.ones((1, n)))[0]
    resampled = resample_within_classes(np.zeros(n, dtype=np.int64), added, rng, DRAWS)
    method = f"percentile bootstrap over {n:,} images, {DRAWS:,} resamples"
    each = [
        Driver(name, float(found[i]), percentile_interval(resampled[:, i], level, method))
        for i, name in enumerate(names, 1)
    ]
    return tuple(sorted(each, key=lambda driver: -driver.adds)), float(found[0])
