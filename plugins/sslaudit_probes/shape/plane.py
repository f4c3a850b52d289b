"""Planes in a space of D dimensions, for pictures of it.

A plane is chosen by the data and its axes have signs that no data decide, so both follow rules: equal inputs
give equal pictures. Where the data fill less than a plane, the axis that is left over is zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

ROUNDING = 1e-12
"""Squared lengths below this share of the largest are rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A point and two directions."""

    origin: np.ndarray
    """(D,)"""
    axes: np.ndarray
    """(2, D): of length 1 and at right angles, or zero."""

    def coordinates(self, rows: ArrayLike) -> np.ndarray:
        """Rows (..., D) in the plane, (..., 2)."""
        found: np.ndarray = (np.asarray(rows, dtype=np.float64) - self.origin) @ self.axes.T
        return found

    def kept(self, rows: ArrayLike) -> float:
        """Share of the variance of ``rows`` (N, D) that is left in the plane; 0 where there is none."""
        offset = np.asarray(rows, dtype=np.float64)
        offset = offset - offset.mean(axis=0)
        total = float(np.square(offset).sum())
        return min(1.0, float(np.square(offset @ self.axes.T).sum()) / total) if total else 0.0


def principal_directions(rows: ArrayLike, count: int) -> np.ndarray:
    """The leading directions of variance of ``rows`` (N, D): (count, D), the entry largest in size positive.

    A direction without variance is zero. From the smaller of the two products, so it costs
    N D min(N, D). Source: Pearson, Philosophical Magazine 1901.
    """
    offset = np.asarray(rows, dtype=np.float64)
    offset = offset - offset.mean(axis=0)
    n, dim = offset.shape
    gram = offset @ offset.T if n < dim else offset.T @ offset
    size = len(gram)
    values, vectors = eigh(gram, subset_by_index=(max(0, size - count), size - 1))
    found = np.zeros((count, dim))
    for place, (value, vector) in enumerate(zip(values[::-1], vectors.T[::-1], strict=True)):
        if value > ROUNDING * max(values[-1], 0.0):
            direction = vector @ offset if n < dim else vector
            direction = direction / np.linalg.norm(direction)
            found[place] = direction * np.sign(direction[np.abs(direction).argmax()])
    return found


def principal_plane(rows: ArrayLike) -> Plane:
    """The plane through the mean of ``rows`` (N, D) that keeps most of their variance."""
    rows = np.asarray(rows, dtype=np.float64)
    return Plane(rows.mean(axis=0), principal_directions(rows, 2))


def closest_centres(centres: ArrayLike) -> tuple[int, ...]:
    """The pair of centres (K, D) with the least distance, and of the others the one nearest to its middle.

    Three indices, or two for two centres; ties go to the first. Raises ``ValueError`` for fewer.
    """
    points = np.asarray(centres, dtype=np.float64)
    if len(points) < 2:
        raise ValueError("it takes two centres to have a closest pair.")
    points = points - points.mean(axis=0)
    lengths = np.square(points).sum(axis=1)
    squares = lengths[:, None] + lengths - 2 * points @ points.T
    squares[np.tril_indices(len(points))] = np.inf
    first, second = divmod(int(squares.argmin()), len(points))
    if len(points) == 2:
        return first, second
    away = np.square(points - (points[first] + points[second]) / 2).sum(axis=1)
    away[[first, second]] = np.inf
    return first, second, int(away.argmin())


def centre_plane(centres: ArrayLike, rows: ArrayLike) -> Plane:
    """The plane through three ``centres`` (3, D), or the line of two and the spread of ``rows`` (N, D).

    Its origin is the middle of the first two; they lie on the first axis, the second one to the right, and
    the third centre above. With two, or three on a line, the second axis is the leading direction of the
    variance of ``rows`` at right angles to that line. Raises ``ValueError`` where the first two coincide.
    """
    points = np.asarray(centres, dtype=np.float64)
    along = points[1] - points[0]
    length = float(np.linalg.norm(along))
    if length**2 <= ROUNDING * float(np.square(points).sum(axis=1).max()):
        raise ValueError("two class centres coincide.")
    along, origin = along / length, (points[0] + points[1]) / 2
    up = _across(points[2] - origin, along) if len(points) > 2 else np.zeros_like(along)
    if float(up @ up) <= ROUNDING * length**2:
        (up,) = principal_directions(_across(np.asarray(rows, dtype=np.float64), along), 1)
    height = float(np.linalg.norm(up))
    return Plane(origin, np.stack([along, up / height if height else up]))


def _across(rows: np.ndarray, along: np.ndarray) -> np.ndarray:
    """``rows`` (..., D) without their part along a direction, taken off twice for the sake of rounding."""
    for _ in range(2):
        rows = rows - (rows @ along)[..., None] * along
    return rows
