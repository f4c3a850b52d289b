"""Pixels, embeddings and categories as the columns of z.

Columns are fixed before anything is tested, from the rows alone and without labels. Constant columns are
left out; where all are constant, z has none.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA

MOST = 64
"""Largest number of principal components."""

_CONSTANT = 1e-6
"""A column whose spread is a smaller part of its largest value is constant: the resolution of float32."""

_EXACT = 2048
"""Rows or columns up to which components are exact; beyond they come from random projections, always
the same."""


def components(n: int) -> int:
    """How many components n rows allow: a tenth, at least 1 and at most 64."""
    return max(1, min(MOST, n // 10))


def principal(rows: np.ndarray) -> np.ndarray:
    """The first principal components (n, k) float64 of n rows of any shape, as they are, not whitened.

    k is at most ``components(n)``, and less where the rows have fewer dimensions. The largest loading of a
    component is positive. Raises ``ValueError`` for values that are not finite.
    """
    flat = varying(rows.reshape(len(rows), -1))
    if not flat.shape[1]:
        return flat
    k = min(components(len(flat)), *flat.shape)
    scores = PCA(k, svd_solver=_solver(*flat.shape), random_state=0).fit_transform(flat)
    spread = scores.std(axis=0)
    kept: np.ndarray = np.ascontiguousarray(scores[:, spread > _CONSTANT * spread[0]])
    return kept


def _solver(n: int, d: int) -> str:
    if min(n, d) > _EXACT:
        return "randomized"
    return "covariance_eigh" if d <= n else "full"


def varying(columns: np.ndarray) -> np.ndarray:
    """The columns (n, d) as float64, without constant ones. Raises ``ValueError`` for what is not finite."""
    columns = np.asarray(columns, dtype=np.float64)
    if not np.isfinite(columns).all():
        raise ValueError("what the pretext target is made of is not all finite.")
    if not columns.size:
        return columns
    kept: np.ndarray = columns[:, columns.std(axis=0) > _CONSTANT * np.abs(columns).max(axis=0)]
    return kept


def shares(columns: np.ndarray) -> np.ndarray:
    """Columns (n, d) that sum to one in each row, without constant ones and without the last of the others.

    The last one is left out since it follows from the others.
    """
    return varying(columns)[:, :-1]


def indicators(categories: Sequence[int] | np.ndarray) -> np.ndarray:
    """One column (n, k - 1) for each of the k categories that occur, without the last."""
    values = np.asarray(categories)
    return shares((values[:, None] == np.unique(values)).astype(np.float64))
