"""Several pretext targets are several tests: p values that keep the rate of one false rejection."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given: max over smaller ones of (m - rank) p, no more than 1.

    Rejecting where they are at most alpha keeps the chance of any false rejection below alpha, whatever
    the dependence of the tests. Raises ``ValueError`` for values outside [0, 1].
    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p values lie in [0, 1].")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    listed: list[float] = adjusted.tolist()
    return listed
