"""Nearest neighbours among the embeddings themselves, with distances that keep their digits.

``||a||^2 + ||b||^2 - 2 ab`` finds neighbours fast, and loses the distance of near-duplicates: it is a
difference of large numbers. So rows are moved to their median, which a few huge rows do not carry away. The
search is in float64, and the distances of what it finds are computed anew from the differences.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sslaudit_probes.shape.sample import matrix

DISTANCES = 2**24
"""Distances, and entries of differences, that are held at one time."""


def nearest_neighbours(features: ArrayLike | Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances to the k nearest other rows of (N, D), nearest first, and their indices: (N, k).

    Exact but for rows that tie within rounding of float64. Raises ``ValueError`` for k outside 1..N-1, or
    as ``matrix`` does.
    """
    raw = matrix(features)
    n, dim = raw.shape
    if not 1 <= k < n:
        raise ValueError(f"of {n} rows each has {n - 1} neighbours, not {k}.")
    rows = raw.double()
    rows = rows - rows.median(0).values
    lengths = rows.square().sum(1)
    distances, indices = [], []
    for start in range(0, n, max(1, DISTANCES // max(n, k * dim))):
        part = rows[start : start + max(1, DISTANCES // max(n, k * dim))]
        squared = torch.addmm(lengths, part, rows.T, alpha=-2)
        squared[torch.arange(len(part)), torch.arange(start, start + len(part))] = torch.inf
        found = squared.topk(k, dim=1, largest=False).indices
        own = raw[start : start + len(part), None].double()
        exact = torch.linalg.vector_norm(raw[found].double() - own, dim=2)
        order = exact.argsort(dim=1, stable=True)
        distances.append(exact.gather(1, order).cpu().numpy())
        indices.append(found.gather(1, order).cpu().numpy())
    return np.concatenate(distances), np.concatenate(indices)


def different_rows(features: Tensor) -> np.ndarray:
    """Indices of the first of each set of equal rows (N, D), in order."""
    rows = features.cpu().numpy()
    order = np.ascontiguousarray(rows + 0.0).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))
    first: np.ndarray = np.sort(np.unique(order[:, 0], return_index=True)[1])
    return first
