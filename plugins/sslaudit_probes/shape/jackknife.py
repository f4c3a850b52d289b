"""Intervals that never draw an image twice.

The bootstrap copies images. A copy is at distance 0 from its original and adds no dimension, so pairwise
means, nearest neighbours and ranks of a resample are not those of a sample. Leaving images out has neither
fault. Deleted blocks serve where a value is dear to compute or where the deletion of single images says
little, as for a rank that is near the number of images. The error of a block that is left out is on
average no smaller than the true one, so intervals err on the wide side.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from sslaudit.results import Interval

BLOCKS = 10
FEWEST = 2 * BLOCKS
"""Images below which no block is left out."""


def pair_mean(row_means: ArrayLike) -> tuple[float, float]:
    """Mean of a symmetric kernel over distinct pairs, and its standard error: leave-one-out jackknife.

    ``row_means`` (N,) holds for each image the mean over the other N - 1. Without image i the mean of the
    pairs is (N U - 2 r_i) / (N - 2). 0 where all rows agree. Raises ``ValueError``
    for fewer than three images.
    Source: Arvesen, Annals of Mathematical Statistics 1969, jackknifing U-statistics.
    """
    rows = np.asarray(row_means, dtype=np.float64)
    n = len(rows)
    if n < 3:
        raise ValueError(f"{n} images give no error of a mean over pairs: it takes three.")
    value = rows.mean()
    error = 2 / (n - 2) * np.sqrt((n - 1) / n * np.square(rows - value).sum())
    return float(value), float(error)


def pair_interval(value: float, error: float, n: int, low: float = -np.inf, high: float = np.inf) -> Interval:
    """The 95 % interval of ``pair_mean``, or of a smooth function of it, within ``low`` and ``high``."""
    reach = student.ppf(0.975, n - 1) * error
    return Interval(
        low=max(min(low, value), value - reach),
        high=min(max(high, value), value + reach),
        method=f"jackknife over {n:,} images, mean over pairs",
    )


def blocks(n: int) -> list[slice]:
    """``BLOCKS`` runs of rows of nearly equal length, for rows in random order."""
    cuts = np.linspace(0, n, BLOCKS + 1).astype(int)
    return [slice(start, stop) for start, stop in pairwise(cuts.tolist())]


def block_error(without: ArrayLike) -> np.ndarray:
    """Standard errors (S,) of S values, from those with each block left out, (B, S).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap 1993, Sec. 11; Shao and Wu, Annals of
    Statistics 1989, on leaving out more than one.
    """
    left = np.asarray(without, dtype=np.float64)
    count = len(left)
    error: np.ndarray = np.sqrt((count - 1) / count * np.square(left - left.mean(axis=0)).sum(axis=0))
    return error


def block_interval(
    value: float, without: Sequence[float] | np.ndarray, low: float = -np.inf, high: float = np.inf
) -> Interval:
    """The 95 % interval of a value from those with each block left out (B,), within ``low`` and ``high``."""
    reach = student.ppf(0.975, len(without) - 1) * float(block_error(without))
    return Interval(
        low=max(min(low, value), value - reach),
        high=min(max(high, value), value + reach),
        method=f"jackknife leaving out {len(without)} blocks of images in turn",
    )
