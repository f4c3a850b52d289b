"""The nearest rows of a bank by cosine, exactly: a fast product finds candidates, float64 decides.

Float32 and bfloat16 products err, and an error at the last place changes who votes. Both stages keep to
bounds. The product of rounded rows q~ and x~ is off by at most |q - q~| |x| + |q~| |x - x~| and the
rounding of its sums; a row that cannot reach the k-th place within that error is out, all others are
candidates, and their cosines are computed in float64. Two traps: subtracting the mean of the bank from
its rows changes no order, and shrinks the error where all cosines are high; and in a bank sorted by class
the first tile tells nothing about the k-th place in the others, so tiles are drawn at random.

Most of the time of a plain search goes into selecting from wide rows of cosines. Here only the maxima of
blocks are compared with the k-th place so far, and only blocks above it are looked into.
"""

import functools
import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from sslaudit.extraction.precision import lower_precision
from sslaudit_probes.classifiers.accuracy import TIE

QUERIES, BANK = 1000, 8192
"""Columns of a tile of cosines, and its rows: what is held at one time."""
STRIP = 2**21
"""Numbers that a CPU writes at one time: they stay in its cache, in memory that it need not ask for anew."""
BLOCK = 16
"""Rows of a tile of which only the maximum is compared at first."""

_SINGLE, _BF16 = 2.0**-24, 2.0**-8
"""Relative rounding errors."""
_WORTH = 2.0**33
"""Products below which it does not pay to find out what is fast."""


class UnitRows:
    """Rows (N, D) divided by their lengths, tile by tile: no copy of all rows is made.

    A zero row has no direction; it stays zero, so its cosine with everything is 0. Raises ``ValueError``
    for what is no matrix and for entries that are not finite.
    """

    def __init__(self, rows: np.ndarray | Tensor) -> None:
        if isinstance(rows, np.ndarray):
            rows = torch.from_numpy(rows if rows.flags.writeable else rows.copy())
        if rows.device.type == "mps":  # has no float64
            rows = rows.cpu()
        if rows.ndim != 2:
            raise ValueError(f"rows are a matrix (N, D), not {tuple(rows.shape)}.")
        self.raw = rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
        lengths = self.raw.new_empty(len(self.raw), dtype=torch.float64)
        for part in _strips(len(lengths), rows.shape[1], rows.device):  # all at once: a copy in float64
            lengths[part] = torch.linalg.vector_norm(self.raw[part], dim=1, dtype=torch.float64)
        if not lengths.isfinite().all():
            raise ValueError("rows with entries that are not finite have no cosine.")
        self.lengths = torch.where(lengths > 0, lengths, 1.0)
        self._moderate = bool(((self.lengths > 1e-15) & (self.lengths < 1e15)).all())

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: slice | Tensor) -> "UnitRows":
        """Some of the rows."""
        some = copy(self)
        some.raw, some.lengths = self.raw[index], self.lengths[index]
        return some

    def take(self, index: slice | Tensor, dtype: torch.dtype) -> Tensor:
        """Unit rows of ``index`` in ``dtype``."""
        between = dtype if self._moderate else torch.float64
        rows = self.raw[index] if isinstance(index, slice) else self.raw.index_select(0, index)
        return (rows / self.lengths[index, None].to(between)).to(dtype)

    def mean(self) -> Tensor:
        """The mean of the unit rows, (D,) float32."""
        total = self.raw.new_zeros(self.raw.shape[1], dtype=torch.float32)
        for start in range(0, len(self), BANK):
            total += self.take(slice(start, start + BANK), torch.float32).sum(dim=0)
        return total / len(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """The k nearest rows of each query and all that tie with the k-th, perhaps more."""

    cosines: Tensor
    """(Q, M) float64, highest first; -inf where a query has fewer."""
    places: Tensor
    """(Q, M) int64, rows of the bank."""
    crowded: Tensor
    """(Q,) whether more rows tie with the k-th than fit; the entries of such a query are not all."""


def nearest(
    query: UnitRows, bank: UnitRows, k: int, *, own: Tensor | None = None, bf16: bool | None = None
) -> Neighbours:
    """The k nearest rows of ``bank`` (N, D) for each of ``query`` (Q, D), by float64 cosines.

    ``own`` (Q,) is the row of the bank that is a query itself and no neighbour, -1 for none. ``bf16``
    forces or forbids candidates by a product of bfloat16; neighbours are the same. Holds tiles of 1,000 by
    8,192 cosines and about 2k + 64 candidates a query; no second copy of the bank.
    """
    device = bank.raw.device
    if bf16 is None:
        worth = len(query) * len(bank) * query.raw.shape[1] > _WORTH
        bf16 = worth and device.type == "cpu" and _fast_bf16()
    truncated = _truncates(device)
    own = torch.full((len(query),), -1, device=device) if own is None else own
    found = _search(query, bank, k, own, bf16=bf16 or truncated)
    if bf16 and not truncated and found.crowded.any():
        again = found.crowded.nonzero()[:, 0]
        closer = _search(query[again], bank, k, own[again], bf16=False)
        found = Neighbours(
            cosines=_patched(found.cosines, again, closer.cosines, -torch.inf),
            places=_patched(found.places, again, closer.places, 0),
            crowded=found.crowded.index_copy(0, again, closer.crowded),
        )
    return found


def _patched(table: Tensor, rows: Tensor, others: Tensor, empty: float) -> Tensor:
    """``table`` (Q, M) with other entries in ``rows``, as wide as the wider of both."""
    width = max(table.shape[1], others.shape[1])
    whole, part = (pad(one, (0, width - one.shape[1]), value=empty) for one in (table, others))
    return whole.index_copy(0, rows, part)


def _search(query: UnitRows, bank: UnitRows, k: int, own: Tensor, *, bf16: bool) -> Neighbours:
    dtype = torch.bfloat16 if bf16 else torch.float32
    centre, width = bank.mean(), min(2 * k + 64, len(bank))
    chunks = [
        _Chunk(query, slice(start, start + QUERIES), own, k, width, dtype)
        for start in range(0, len(query), QUERIES)
    ]
    longest = roughest = 0.0
    buffer = None
    for places in _drawn_tiles(len(bank), bank.raw.device):
        tile = bank.take(places, torch.float32).sub_(centre)
        rounded = tile.to(dtype)
        longest = max(longest, float(torch.linalg.vector_norm(tile, dim=1).max()))
        if bf16:
            roughest = max(roughest, float(torch.linalg.vector_norm(tile.sub_(rounded), dim=1).max()))
        if tile.device.type != "cpu":
            rounded = rounded.float()
        for chunk in chunks:
            if buffer is None or buffer.shape != (len(places), len(chunk.rounded)):
                buffer = rounded.new_empty(len(places), len(chunk.rounded))
            chunk.update(rounded, places, buffer, longest, roughest)
    crowded = torch.cat([chunk.crowded() for chunk in chunks])
    candidates = torch.cat([chunk.candidates() for chunk in chunks]) & ~crowded[:, None]
    most = max(min(k, width), int(candidates.sum(dim=1).max()))  # they come first
    places = torch.cat([chunk.places[:, :most] for chunk in chunks])
    cosines = _exact(query, bank, candidates[:, :most], places)
    cosines, order = cosines.sort(dim=1, descending=True)
    return Neighbours(cosines=cosines, places=places.gather(1, order), crowded=crowded)


class _Chunk:
    """Candidates of some queries, kept while the tiles of the bank go by."""

    def __init__(
        self, query: UnitRows, rows: slice, own: Tensor, k: int, width: int, dtype: torch.dtype
    ) -> None:
        exact = query.take(rows, torch.float32)
        rounded = exact.to(dtype)
        self.rounded = rounded if exact.device.type == "cpu" else rounded.float()
        self._rough = torch.linalg.vector_norm(exact - rounded, dim=1)
        self._own, self._k, self._dim = own[rows], min(k, width), exact.shape[1]
        self._coarse = 1.01 * _BF16 if self.rounded.dtype == torch.bfloat16 else 0.0
        q = len(exact)
        self.values = exact.new_full((q, width), -torch.inf)
        self.places = torch.zeros(q, width, dtype=torch.int64, device=exact.device)
        self._dropped = exact.new_full((q,), -torch.inf)
        self._cut = exact.new_full((q,), -torch.inf)

    def update(self, tile: Tensor, places: Tensor, products: Tensor, longest: float, roughest: float) -> None:
        """Take in the rows ``places`` (B,) of the bank; ``products`` (B, q) is where cosines are written.

        ``tile`` (B, D) has the rows, centred and rounded. ``longest`` is the length of the longest of all
        rows so far, ``roughest`` the largest rounding error of one, as a length.
        """
        self._error = self._rough * longest + (1 + self._rough) * roughest
        self._error += _SINGLE * (16 + (self._dim + 2) * longest)
        size = self._block_size(len(places))
        maxima = self._multiply(tile, places, size, products)
        if bool((self.values[:, self._k - 1] == -torch.inf).any()) and maxima.shape[1] >= self._k:
            self._raise_cut(maxima.topk(self._k, dim=1).values[:, -1])
        rows, blocks = (maxima >= self._cut[:, None]).nonzero(as_tuple=True)
        if len(places) > self.values.shape[1]:  # a candidate in every block: all is one crowd
            crowd = torch.bincount(rows, minlength=len(maxima)) == maxima.shape[1]
            self._cut[crowd], self._dropped[crowd] = torch.inf, torch.inf
            rows, blocks = rows[~crowd[rows]], blocks[~crowd[rows]]
        inside = products.view(-1, size, products.shape[1])[blocks, :, rows]
        hit, offset = (inside >= self._cut[rows, None]).nonzero(as_tuple=True)
        self._merge(rows[hit], inside[hit, offset].float(), places[blocks[hit] * size + offset])

    def _multiply(self, tile: Tensor, places: Tensor, size: int, products: Tensor) -> Tensor:
        """Fill ``products`` (B, q); their maxima over blocks of ``size`` rows, (q, B / size) float32."""
        q = len(self.rounded)
        maxima = products.new_empty(len(tile) // size, q)
        for part in _strips(len(tile), q, tile.device):
            found = torch.mm(tile[part], self.rounded.T, out=products[part])  # on CPUs faster this way round
            self._leave_own_out(found, places[part])
            blocks = slice(part.start // size, part.stop // size)
            torch.amax(found.view(-1, size, q), dim=1, out=maxima[blocks])
        return maxima.T.contiguous().float()

    def candidates(self) -> Tensor:
        """Which kept values may be among the k nearest or tie with the k-th: (q, width) bool."""
        return (self.values >= self._cut[:, None]) & (self.values > -torch.inf)

    def crowded(self) -> Tensor:
        """(q,) whether one that may be had to go."""
        return (self._dropped >= self._cut) & (self._dropped > -torch.inf)

    def _leave_own_out(self, products: Tensor, places: Tensor) -> None:
        if bool((self._own >= 0).any()):
            order = places.argsort()
            at = torch.searchsorted(places[order], self._own).clamp_(max=len(places) - 1)
            rows = order[at]
            columns = (places[rows] == self._own).nonzero()[:, 0]
            products[rows[columns], columns] = -torch.inf

    def _block_size(self, rows: int) -> int:
        """Of blocks whose number is a small multiple of k at least."""
        size = BLOCK
        while size > 1 and (rows % size or rows < 4 * self._k * size):
            size //= 2
        return size

    def _raise_cut(self, kth: Tensor) -> None:
        """By a lower limit of the k-th largest product: what cannot reach it within the error is out.

        A product s that is itself rounded to bfloat16 is off by ``_coarse`` |s| too, in both places.
        """
        low = kth.clamp(min=-4.0)  # products are above -2
        low = low - self._coarse * low.abs() - 2 * self._error - TIE
        self._cut = torch.maximum(self._cut, low - self._coarse * low.abs())

    def _merge(self, rows: Tensor, values: Tensor, places: Tensor) -> None:
        counts = torch.bincount(rows, minlength=len(self.values))
        slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        most = int(counts.max())
        fresh = values.new_full((len(self.values), most), -torch.inf)
        fresh[rows, slots] = values
        where = places.new_zeros(len(self.values), most)
        where[rows, slots] = places
        width = self.values.shape[1]
        values, order = torch.cat([self.values, fresh], dim=1).topk(width + min(1, most), dim=1)
        if most:
            self._dropped = torch.maximum(self._dropped, values[:, width])
        self.values = values[:, :width]
        self.places = torch.cat([self.places, where], dim=1).gather(1, order[:, :width])
        self._raise_cut(self.values[:, self._k - 1])


def _exact(query: UnitRows, bank: UnitRows, wanted: Tensor, places: Tensor) -> Tensor:
    """Float64 cosines of the ``wanted`` pairs of a query and the row of the bank in ``places``, else -inf."""
    cosines = torch.full(places.shape, -torch.inf, dtype=torch.float64, device=places.device)
    width, device = query.raw.shape[1], places.device
    for rows in _strips(len(query), width, device):
        ours, theirs = query.raw[rows].double(), places[rows]
        for part in _strips(len(bank), width, device):
            here = wanted[rows] & (theirs >= part.start) & (theirs < part.stop)
            ends, columns = here.sum(dim=1).cumsum(0), theirs[here]
            cosines[rows][here] = _sampled(ours, bank.raw[part].double(), ends, columns - part.start)
        cosines[rows] /= query.lengths[rows, None] * bank.lengths[theirs]
    return cosines


def _sampled(query: Tensor, tile: Tensor, ends: Tensor, columns: Tensor) -> Tensor:
    """Products of some pairs: ``columns`` of the first query, up to ``ends[0]``, then of the second ..."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        pairs = torch.sparse_csr_tensor(
            torch.cat([ends.new_zeros(1), ends]),
            columns,
            query.new_zeros(len(columns)),
            (len(query), len(tile)),
            check_invariants=False,
        )
        products: Tensor = torch.sparse.sampled_addmm(pairs, query, tile.T, beta=0.0).values()
    return products


def _strips(n: int, width: int, device: torch.device) -> Iterator[slice]:
    """Rows 0 to n, whole blocks at a time, of an array that is ``width`` wide."""
    rows = max(STRIP // max(width, 1) // BLOCK, 1) * BLOCK if device.type == "cpu" else BANK
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def _drawn_tiles(n: int, device: torch.device) -> Iterator[Tensor]:
    """Places of the bank in random tiles, the same in every run."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(n)).to(device)
    whole = n - n % BLOCK
    for start in range(0, whole, BANK):
        yield order[start : min(start + BANK, whole)]
    if whole < n:
        yield order[whole:]


@functools.cache
def _fast_bf16() -> bool:
    return lower_precision("cpu") == "bf16"


def _truncates(device: torch.device) -> bool:
    """Whether float32 products round their factors: TF32, or what torch was told to do."""
    value = 1 + 2.0**-12
    probe = torch.full((64, 64), value, device=device)
    return bool(((probe @ torch.eye(64, device=device)) != value).any())
