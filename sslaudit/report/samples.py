"""Columns of samples, one entry for each image, and the paired difference of two encoders by them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sslaudit import stats
from sslaudit.results import Interval

Samples = Mapping[str, Sequence[Any]]

_SCORES = ("score", "correct")
"""What the accuracy of a metric is the mean of: ``score`` where classes are balanced, else ``correct``."""


def scored_by(term: str, *samples: Samples) -> str:
    """The column of ``term`` whose mean over images is its accuracy, among those that all have.

    Empty where there is none.
    """
    names = (f"{term}/{column}" for column in _SCORES)
    return next((name for name in names if all(name in columns for columns in samples)), "")


def paired_difference(
    ours: Samples, theirs: Samples, name: str, classes: ArrayLike | None = None, seed: int = 0
) -> tuple[float, Interval]:
    """Mean over images of column ``name`` in ``ours`` minus that in ``theirs``, with a paired interval.

    ``classes`` are those of the images. Raises ``ValueError`` for columns that cannot be paired, see
    ``sslaudit.stats.paired_difference``.
    """
    rng = np.random.default_rng(seed)
    first, second = by_image(ours[name]), by_image(theirs[name])
    if name.rpartition("/")[2] not in _SCORES or first.shape != second.shape:
        return stats.paired_difference(first, second, rng)
    said = np.flatnonzero(~np.isnan(first - second).reshape(len(first), -1).any(axis=1))
    tested = None
    if classes is not None and name.endswith("/score"):
        tested = np.unique(np.asarray(classes)[said], return_counts=True)[1]
    return stats.difference_of_accuracies(first[said], second[said], rng, tested)


def by_image(column: Sequence[Any]) -> np.ndarray:
    """A column as (N,) or (N, R) float64, NaN where the metric says nothing about the image."""
    width = max((len(entry) for entry in column if isinstance(entry, list | tuple)), default=0)
    empty = [np.nan] * width if width else np.nan
    return np.array([empty if entry is None else entry for entry in column], dtype=np.float64)
