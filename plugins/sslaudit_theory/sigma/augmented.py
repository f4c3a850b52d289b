"""Augmented distance: how close two images come when each may choose its view.

d_A(x, y) is the least l2 distance between a view of x and a view of y. It is symmetric, zero on the
diagonal, and never grows when views are added. It is no metric: without a triangle inequality, a ball
round an image need not be a clique of {d_A <= delta}. With the finite A(x) that was drawn the minimum is
exact; for the continuous augmentation it is an over-estimate, which makes sigma too small, the safe side.

Distances come from matrix products in blocks, ||a||^2 + ||b||^2 - 2ab, so memory follows the block and
not n^2 V^2. That form cancels for near-duplicates. Pixels stay integers, so nothing is lost. For
floats every pair whose rounding could show is measured again by direct difference.
Source: Huang et al., ICLR 2023, section on (sigma, delta)-augmentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from torch import Tensor

BLOCK_BYTES = 2**23
"""Working memory of one block of products, 512 rows by 512: what a processor keeps close."""

_BYTE_CUT = 1024
"""Bytes minus 128 have products of at most 2^14: float32 sums 2^10 of them exactly, in any order."""
_SINGLE_CUTS, _DOUBLE_CUT = (128, 512), 512
"""Columns of one float product; products are summed in float64. In float32 they are a sixth of the row
within these limits: short products round less, long ones run faster."""
_SHORT = 256
"""Rows up to this length cost little in float64."""
_TOLERANCE = {torch.float32: 7e-7, torch.float64: 1e-10}
"""Relative error of a distance that is left to the products, by their type: in float32 below the 1e-6
that is promised, since its bound holds with high probability only."""


@dataclass(frozen=True, slots=True)
class DistanceBlock:
    """Augmented distances of some images (rows) to some others (columns)."""

    rows: slice
    columns: slice
    distances: np.ndarray
    """(rows, columns) float64."""
    winners: np.ndarray | None
    """(rows, columns, 2): the view of each side that is closest; None where it was not asked for."""


def augmented_distance(first: ArrayLike, second: ArrayLike) -> float:
    """d_A of two images from their views (V, D) and (W, D), by direct difference in float64.

    Raises ``ValueError`` for other shapes and for values that are not finite.
    Source: Huang et al., ICLR 2023, d_A.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"views are (V, D) and (W, D), not {first.shape} and {second.shape}.")
    if not (first.size and second.size):
        raise ValueError("an augmented distance needs a view of each image.")
    distances = cdist(first.astype(np.float64), second.astype(np.float64))
    if not np.isfinite(distances).all():
        raise ValueError("views hold values that are not finite.")
    return float(distances.min())


def augmented_distances(
    views: ArrayLike,
    others: ArrayLike | None = None,
    *,
    scale: float = 1.0,
    block_bytes: int = BLOCK_BYTES,
) -> np.ndarray:
    """d_A of all images with views (n, V, D) to ``others`` (m, W, D): (n, m) float64.

    Without ``others``, to one another: only half is computed, the diagonal is 0. Fixed anchors are
    others with one view, (m, 1, D). Distances are in the units of the views times ``scale``: bytes
    give units 0..255, with ``scale=1/255`` those of pixels in [0, 1].

    uint8 on both sides is exact. Else distances are right to 1e-6 relative, to 1e-10 where a side is
    float64 or D is at most 256, near-duplicates too; equal rows give exactly 0. The 1e-6 counts on
    the rounding of a sum of n terms growing like sqrt(n) (Higham and Mary, SIAM J. Sci. Comput. 2019).
    Working memory is about ``block_bytes``.

    Raises ``ValueError`` for other shapes, no images or views, and values that are not finite.
    Source: Huang et al., ICLR 2023, d_A.
    """
    views, others = _arrays(views, others)
    found = np.empty((len(views), len(views if others is None else others)))
    for block in distance_blocks(views, others, scale=scale, block_bytes=block_bytes):
        found[block.rows, block.columns] = block.distances
        if others is None:
            found[block.columns, block.rows] = block.distances.T
    return found


def augmented_winners(
    views: ArrayLike,
    others: ArrayLike | None = None,
    *,
    scale: float = 1.0,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """``augmented_distances``, and the two views that are closest: (n, m) and (n, m, 2).

    The second holds a view of the row's image and one of the column's; ties go to the lowest indices.
    An image against itself wins with its views 0.
    Source: Huang et al., ICLR 2023, d_A.
    """
    views, others = _arrays(views, others)
    found = np.empty((len(views), len(views if others is None else others)))
    best = np.empty((*found.shape, 2), dtype=np.int64)
    for block in distance_blocks(views, others, scale=scale, block_bytes=block_bytes, winners=True):
        assert block.winners is not None
        found[block.rows, block.columns] = block.distances
        best[block.rows, block.columns] = block.winners
        if others is None:
            found[block.columns, block.rows] = block.distances.T
            best[block.columns, block.rows] = _swapped(block.winners)
    return found, best


def nearest_other_class(
    views: ArrayLike, labels: ArrayLike, *, scale: float = 1.0, block_bytes: int = BLOCK_BYTES
) -> np.ndarray:
    """d_A of each image to the nearest image of another class: views (n, V, D), labels (n,) to (n,).

    The theorem assumes that classes share no augmented sample, so that none of these is 0. A small one
    is a pair of images that a little more augmentation would merge. Memory is that of a block.

    Raises ``ValueError`` for a single class and what ``augmented_distances`` refuses.
    Source: Huang et al., ICLR 2023, the A(C_k) are disjoint.
    """
    views, labels = np.asarray(views), np.asarray(labels)
    if labels.shape != views.shape[:1]:
        raise ValueError(f"{len(views):,} images need as many labels, not {labels.shape}.")
    if len(np.unique(labels)) < 2:
        raise ValueError("the nearest image of another class needs two classes.")
    nearest = np.full(len(views), np.inf)
    for block in distance_blocks(views, None, scale=scale, block_bytes=block_bytes):
        same = labels[block.rows][:, None] == labels[block.columns]
        distances = np.where(same, np.inf, block.distances)
        for side, least in ((block.rows, distances.min(axis=1)), (block.columns, distances.min(axis=0))):
            nearest[side] = np.minimum(nearest[side], least)
    return nearest


def share_within(distances: ArrayLike, delta: float) -> float:
    """Share of ``distances`` (n,) that are at most ``delta``; a tie counts, as in {d_A <= delta}.

    Raises ``ValueError`` for no distances, and for NaN.
    Source: Huang et al., ICLR 2023, the A(C_k) are disjoint.
    """
    distances = np.asarray(distances)
    if not distances.size or np.isnan(distances).any() or np.isnan(delta):
        raise ValueError("a share needs distances and a delta that are numbers.")
    return float(np.mean(distances <= delta))


def distance_blocks(
    views: np.ndarray,
    others: np.ndarray | None,
    *,
    scale: float = 1.0,
    block_bytes: int = BLOCK_BYTES,
    winners: bool = False,
) -> Iterator[DistanceBlock]:
    """``augmented_distances`` block by block; without ``others``, those on and above the diagonal.

    The blocks depend on ``block_bytes`` and the numbers of images and views alone.
    """
    left, right = _operands(views, others)
    side = max(1, int((block_bytes / 32) ** 0.5))  # two float64 products and what is made of them
    rows, columns = max(1, side // left.count), max(1, side // right.count)
    for top in range(0, len(left.array), rows):
        above = slice(top, min(top + rows, len(left.array)))
        panels = left.panels(above, block_bytes)
        for start in range(top if others is None else 0, len(right.array), columns):
            beside = slice(start, min(start + columns, len(right.array)))
            pair = _Pair(left, right, above, beside, panels, itself=others is None and start == top)
            squares, best = pair.nearest(winners, block_bytes)
            yield DistanceBlock(above, beside, np.sqrt(squares) * scale, best)


def _arrays(views: ArrayLike, others: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
    return np.asarray(views), None if others is None else np.asarray(others)


class _Operand:
    """One side of the products: the rows of all views less a centre."""

    def __init__(self, array: np.ndarray, centre: np.ndarray, dtype: torch.dtype, cut: int) -> None:
        self.array, self.centre, self.dtype = array, centre, dtype
        self.count, self.dim = array.shape[1:]
        self.pieces = [slice(start, min(start + cut, self.dim)) for start in range(0, self.dim, cut)]
        self.squares = np.zeros(array.shape[:2])
        """(n, V): squared norms."""
        fourth = np.zeros(array.shape[:2])
        step = max(1, 2**20 // (self.count * cut))
        for start in range(0, len(array), step):
            images = slice(start, start + step)
            for columns in self.pieces:
                piece = self.panel(images, columns).double().square_().sum(dim=1)
                part = piece.view(self.count, -1).numpy().T
                self.squares[images] += part
                fourth[images] += np.square(part)
        norms = np.sqrt(self.squares) if dtype == torch.float64 else fourth**0.25
        self.reach = norms.max(axis=1)
        """(n,): the norm on which the rounding of products depends, the largest of the views. In float32
        errors of the pieces are independent, so it is the l4 norm of the norms of the pieces."""

    def panel(self, images: slice, columns: slice) -> Tensor:
        """(V * n, columns), view after view: minima over views then run along whole rows."""
        block = self.array[images, :, columns].transpose(1, 0, 2)
        panel = torch.empty(block.shape, dtype=self.dtype)
        out = panel.numpy()
        np.subtract(block, self.centre[columns], out=out, dtype=out.dtype, casting="same_kind")
        return panel.view(-1, block.shape[2])

    def panels(self, images: slice, block_bytes: int) -> list[Tensor]:
        """All pieces of some images, to be used again; none where they would take more memory."""
        if (images.stop - images.start) * self.count * self.dim * self.dtype.itemsize > block_bytes:
            return []
        return [self.panel(images, columns) for columns in self.pieces]


def _operands(views: np.ndarray, others: np.ndarray | None) -> tuple[_Operand, _Operand]:
    arrays = [views] if others is None else [views, others]
    for array in arrays:
        if array.ndim != 3 or array.shape[2] != views.shape[2] or not array.size:
            raise ValueError(f"views are (n, V, D) with the same D, none of them 0, not {array.shape}.")
    dim, kind = views.shape[2], np.result_type(*arrays)
    if kind == np.uint8:
        sides = [_Operand(array, np.full(dim, 128, np.float32), torch.float32, _BYTE_CUT) for array in arrays]
        return sides[0], sides[-1]
    with np.errstate(all="ignore"):  # what is not finite is refused below
        centre = views.mean(axis=(0, 1), dtype=np.float64)
        sides = [_Operand(array, centre, torch.float64, _DOUBLE_CUT) for array in arrays]
    largest = np.max([side.squares.max() for side in sides])
    if not np.isfinite(largest):
        raise ValueError("views hold values that are not finite, or too large to be squared.")
    if kind in (np.float16, np.float32) and dim > _SHORT and 1e-24 < largest < 1e30 and _full_products():
        centre = centre.astype(np.float32)
        cut = min(max(dim // 6, _SINGLE_CUTS[0]), _SINGLE_CUTS[1])
        sides = [_Operand(array, centre, torch.float32, cut) for array in arrays]
    return sides[0], sides[-1]


def _full_products() -> bool:
    """Whether float32 products keep the digits of float32; a process may have chosen bfloat16 inside."""
    inside: str = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    return inside in ("none", "ieee")


_Rows = tuple[np.ndarray, np.ndarray]
"""Images within a block, and a view of each."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Some images of one side against some of the other."""

    left: _Operand
    right: _Operand
    rows: slice
    columns: slice
    panels: list[Tensor]
    """Of the rows, or none."""
    itself: bool
    """Both are the same images."""

    def nearest(self, winners: bool, block_bytes: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Squared distances (rows, columns) and, where they are wanted, the views that win."""
        products = self._products()
        squares = products.numpy().min(axis=0).min(axis=1)
        best = None
        if winners:
            flat = products.permute(1, 3, 0, 2).reshape(*squares.shape, -1).argmin(dim=2)
            best = np.stack(np.divmod(flat.numpy(), self.right.count), axis=2)
        if self.left.array.dtype != np.uint8 or self.right.array.dtype != np.uint8:
            self._measure_again(products, squares, best, block_bytes)
        if self.itself:
            lower = np.tril_indices(len(squares), -1)
            squares[lower] = squares.T[lower]
            np.fill_diagonal(squares, 0.0)
            if best is not None:
                best[lower] = _swapped(best)[lower]
                best[np.diag_indices(len(best))] = 0
        return squares, best

    def _products(self) -> Tensor:
        """||a||^2 + ||b||^2 - 2ab of all views: (V, rows, W, columns) float64."""
        a = torch.from_numpy(self.left.squares[self.rows].T.copy())
        b = torch.from_numpy(self.right.squares[self.columns].T.copy())
        found = a.view(-1, 1) + b.view(1, -1)
        product = torch.empty(found.shape, dtype=self.left.dtype)
        for index, columns in enumerate(self.left.pieces):
            first = self.panels[index] if self.panels else self.left.panel(self.rows, columns)
            second = first if self.itself else self.right.panel(self.columns, columns)
            found.sub_(torch.mm(first, second.T, out=product), alpha=2)
        return found.view(*a.shape, *b.shape)

    def _rounding(self) -> np.ndarray:
        """(rows, columns): what the rounding of products can add to a squared distance."""
        dtype, cut = self.left.dtype, self.left.pieces[0].stop
        limits = torch.finfo(dtype)
        growth = cut**0.5 if dtype == torch.float32 else cut + len(self.left.pieces) + 4
        reach = np.add.outer(self.left.reach[self.rows], self.right.reach[self.columns])
        added: np.ndarray = growth * limits.eps / 4 * np.square(reach) + self.left.dim * limits.tiny
        return added

    def _measure_again(
        self, products: Tensor, squares: np.ndarray, best: np.ndarray | None, block_bytes: int
    ) -> None:
        """By direct difference: every pair of views that may be the nearest, where rounding may show."""
        rounding = self._rounding()
        limit = squares + 2 * rounding
        doubtful = rounding > 2 * _TOLERANCE[self.left.dtype] * squares
        if best is not None:
            rivals = (products <= torch.from_numpy(limit)[None, :, None, :]).sum(dim=(0, 2))
            doubtful |= rivals.numpy() > 1
        if self.itself:
            doubtful = np.triu(doubtful, 1)
        row, column = np.nonzero(doubtful)
        if not len(row):
            return
        candidates = products[:, row, :, column].numpy() <= limit[row, column, None, None]
        pair, first, second = np.nonzero(candidates)
        left, right = (row[pair], first), (column[pair], second)
        again = np.full(len(pair), np.inf)
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        again[starts] = self._direct(left, right, starts, block_bytes)
        rest = np.flatnonzero((again[starts][pair] > 0) & np.isinf(again))  # nothing is nearer than 0
        again[rest] = self._direct(left, right, rest, block_bytes)
        squares[row, column] = least = np.minimum.reduceat(again, starts)
        if best is not None:
            winning = np.flatnonzero(again == least[pair])
            winning = winning[np.diff(pair[winning], prepend=-1) > 0]
            best[row, column] = np.stack([first[winning], second[winning]], axis=1)

    def _direct(self, left: _Rows, right: _Rows, chosen: np.ndarray, block_bytes: int) -> np.ndarray:
        """Squared distances of the ``chosen`` entries of two lists of rows, from the values as given."""
        squares = np.empty(len(chosen))
        above, beside = self.left.array[self.rows], self.right.array[self.columns]
        step = max(1, block_bytes // (32 * self.left.dim))
        for start in range(0, len(chosen), step):
            some = chosen[start : start + step]
            apart = above[left[0][some], left[1][some]].astype(np.float64)
            apart -= beside[right[0][some], right[1][some]]
            squares[start : start + step] = np.einsum("pd,pd->p", apart, apart)
        return squares


def _swapped(winners: np.ndarray) -> np.ndarray:
    """Winners seen from the other side."""
    swapped: np.ndarray = winners.transpose(1, 0, 2)[..., ::-1]
    return swapped
