"""The slope of a spectrum: lambda_i ~ i^-alpha over a range of ranks.

Traps:

* alpha is a number about a range. The largest eigenvalues and the tail seldom lie on the line, so the
  range and R2 belong to it.
* Of isotropic features the sampled spectrum falls, too: alpha is 0 only for many images a dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

FEWEST = 10
"""Ranks that a fit needs."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A line through log eigenvalues over log rank."""

    alpha: float
    """Minus the slope."""
    log_scale: float
    """Natural logarithm of the line at rank 1."""
    r2: float
    """Share of the (weighted) variance of the log eigenvalues that the line takes; 1 where there is none."""
    low: int
    high: int
    """First and last rank of the fit."""


def power_law(eigenvalues: ArrayLike, low: int = 5, high: int = 100, *, weighted: bool = True) -> PowerLaw:
    """Least squares of log lambda_i on log i for ranks i = low..high, both included, 1 the largest.

    ``weighted`` gives rank i the weight 1 / i, so that each octave of ranks counts alike. ``high`` stops at
    the last positive eigenvalue. Raises ``ValueError`` for low < 1 or fewer than ``FEWEST`` ranks.
    Source: Agrawal et al., NeurIPS 2022, alpha-ReQ; weights as in the package reptrix.
    """
    values = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1]
    high = min(high, int((values > 0).sum()))
    if low < 1 or high - low + 1 < FEWEST:
        raise ValueError(f"a power law needs {FEWEST} positive eigenvalues from rank {low} on.")
    ranks = np.arange(low, high + 1)
    x, y = np.log(ranks), np.log(values[low - 1 : high])
    weights = 1 / ranks if weighted else np.ones(len(ranks))
    slope, offset = np.polyfit(x, y, 1, w=np.sqrt(weights))
    total = weights @ np.square(y - np.average(y, weights=weights))
    rest = weights @ np.square(y - slope * x - offset)
    r2 = 1 - rest / total if total > 0 else 1.0
    return PowerLaw(alpha=-float(slope), log_scale=float(offset), r2=float(r2), low=low, high=high)
