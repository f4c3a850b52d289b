"""Singular values of embeddings, with full precision and in pieces.

Traps:

* The eigenvalues of X'X are squares. Their rounding, 1e-16 of the largest, hides singular values below about
  1e-8 of the largest. So values come from a QR decomposition, built up piece by piece, whose triangle keeps
  singular values down to 1e-15 of the largest.
* Features are float32. What rounding to float32 adds looks like noise in every direction; a singular
  value below ``rounding_floor`` says nothing about the encoder.
* Centring takes one dimension: min(N - 1, D) values are left, not min(N, D).
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sslaudit_probes.shape.jackknife import blocks
from sslaudit_probes.shape.sample import ROWS, matrix


def singular_values(features: ArrayLike | Tensor, *, centred: bool = False) -> np.ndarray:
    """Singular values of the rows X (N, D), largest first, float64.

    min(N, D) of them; min(N - 1, D) of X less its column means. Raises ``ValueError`` as ``matrix`` does.
    """
    rows = matrix(features)
    uncentred, around_mean = both_singular_values(rows)
    return around_mean if centred else uncentred


def both_singular_values(rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of X (N, D) and of X less its mean, from one triangle.

    The columns of X less its mean have sum 0, so X'X = R'R + N mean mean' with R'R of the centred rows.
    """
    n, dim = rows.shape
    mean = _mean(rows)
    triangle = torch.zeros(0, dim, dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, max(ROWS, 2 * dim)):
        triangle = torch.linalg.qr(torch.cat([triangle, part.double() - mean]), mode="r").R
    whole = torch.cat([n**0.5 * mean[None], triangle])
    uncentred, centred = (torch.linalg.svdvals(r).cpu().numpy() for r in (whole, triangle))
    return uncentred[: min(n, dim)], centred[: min(n - 1, dim)]


def rounding_floor(singular_values: np.ndarray) -> float:
    """Below it a singular value of features in float32 is noise of their rounding: 2^-23 of the largest.

    Rounding errors, 2^-24 of each entry, are a matrix of norm 2^-24 rms (sqrt(N) + sqrt(D)) at most, and the
    largest singular value is at least rms sqrt(max(N, D)).
    Source: Davidson and Szarek 2001, Theorem II.13, norm of a Gaussian matrix.
    """
    return 2.0**-23 * float(singular_values.max())


def spectra_without_blocks(rows: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """``both_singular_values`` with each block of rows (N, D) left out in turn, for their errors.

    From the smaller of the products X'X and XX', so without what lies below 1e-8 of the largest.
    """
    n, dim = rows.shape
    cuts, mean = blocks(n), _mean(rows)
    gram = _Wide(rows, mean) if n <= dim else _Tall(rows, mean, cuts)
    for cut in cuts:
        left = n - (cut.stop - cut.start)
        sizes = (min(left, dim), min(left - 1, dim))
        pair = tuple(
            torch.linalg.eigvalsh(product).flip(0)[:size].clamp(min=0).sqrt().cpu().numpy()
            for product, size in zip(gram.without(cut), sizes, strict=True)
        )
        yield pair[0], pair[1]


def _mean(rows: Tensor) -> Tensor:
    return rows.mean(0, dtype=torch.float64)


class _Wide:
    """Products of rows, N <= D."""

    def __init__(self, rows: Tensor, mean: Tensor) -> None:
        full = rows.double()
        self.raw = full @ full.T
        self.offset = (full - mean) @ (full - mean).T

    def without(self, cut: slice) -> tuple[Tensor, Tensor]:
        kept = torch.ones(len(self.raw), dtype=torch.bool, device=self.raw.device)
        kept[cut] = False
        raw, offset = self.raw[kept][:, kept], self.offset[kept][:, kept]
        means = offset.mean(0)
        return raw, offset - means - means[:, None] + means.mean()


class _Tall:
    """Products of columns, N > D. Sums are of rows less their mean, which keeps digits."""

    def __init__(self, rows: Tensor, mean: Tensor, cuts: list[slice]) -> None:
        self.rows, self.mean = rows, mean
        dim = rows.shape[1]
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=rows.device)
        for cut in cuts:
            offset = rows[cut].double() - mean
            self.scatter.addmm_(offset.T, offset)

    def without(self, cut: slice) -> tuple[Tensor, Tensor]:
        offset = self.rows[cut].double() - self.mean
        left = len(self.rows) - len(offset)
        scatter = self.scatter - offset.T @ offset
        shift = -offset.sum(0) / left  # the mean of what is left, less the mean of all
        centred = scatter - left * torch.outer(shift, shift)
        moved = self.mean + shift
        return centred + left * torch.outer(moved, moved), centred
