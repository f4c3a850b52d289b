"""Votes of neighbours: sums of exp(cosine / T) by class, as logarithms, so that no temperature overflows.

Neighbours that tie with the k-th all vote, else the order of the bank would decide. In a collapsed
encoder everybody ties; such queries are counted over the whole bank, tile by tile.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sslaudit_probes.classifiers.accuracy import TIE
from sslaudit_probes.classifiers.neighbours import BANK, QUERIES, Neighbours, UnitRows, nearest

Protocol = tuple[int, float]
"""k and T."""


def log_votes(
    query: UnitRows,
    bank: UnitRows,
    labels: Tensor,
    protocols: Sequence[Protocol],
    classes: int,
    *,
    own: Tensor | None = None,
    exact: bool = False,
) -> Iterator[list[Tensor]]:
    """For one block of queries after the other, the log votes (q, K) float64 of each protocol, by one search.

    ``labels`` (N,) are those of the bank, ``own`` (Q,) is the row of the bank that is the query itself, -1
    for none. ``exact`` computes all cosines in float64. k is at most N.
    """
    most = max(k for k, _ in protocols)
    own = torch.full((len(query),), -1) if own is None else own
    own = own.to(bank.raw.device)
    found = None if exact or not len(query) else nearest(query, bank, most, own=own)
    for start in range(0, len(query), QUERIES):
        rows = slice(start, start + QUERIES)
        part, mine = query[rows], own[rows]
        if found is None:
            yield _of_all(part, bank, labels, protocols, classes, mine)
            continue
        votes = [_of_neighbours(found, rows, labels, k, T, classes) for k, T in protocols]
        if (crowded := found.crowded[rows]).any():
            everyone = _of_all(part[crowded], bank, labels, protocols, classes, mine[crowded])
            for some, others in zip(votes, everyone, strict=True):
                some[crowded] = others
        yield votes


def _of_neighbours(found: Neighbours, rows: slice, labels: Tensor, k: int, T: float, classes: int) -> Tensor:
    cosines = found.cosines[rows]
    votes = cosines.new_zeros(len(cosines), classes)
    best = cosines[:, :1]
    weights = _weights(cosines, best, cosines[:, k - 1 : k], T)
    votes.scatter_add_(1, labels[found.places[rows]], weights)
    return votes.log() + best / T


def _of_all(
    query: UnitRows,
    bank: UnitRows,
    labels: Tensor,
    protocols: Sequence[Protocol],
    classes: int,
    own: Tensor,
) -> list[Tensor]:
    """Log votes from all float64 cosines: twice through the bank, for the k-th places and for the votes."""
    most = max(k for k, _ in protocols)
    top = query.lengths.new_full((len(query), 0), -torch.inf)
    for cosines, _ in _tiles(query, bank, labels, own):
        together = torch.cat([top, cosines], dim=1)
        top = together.topk(min(most, together.shape[1]), dim=1).values
    votes = [top.new_zeros(len(query), classes) for _ in protocols]
    for cosines, named in _tiles(query, bank, labels, own):
        for (k, T), sums in zip(protocols, votes, strict=True):
            weights = _weights(cosines, top[:, :1], top[:, k - 1 : k], T)
            sums.index_add_(1, named, weights)
    return [sums.log() + top[:, :1] / T for (_, T), sums in zip(protocols, votes, strict=True)]


def _weights(cosines: Tensor, best: Tensor, kth: Tensor, T: float) -> Tensor:
    """exp((cosine - best) / T) of those that vote, else 0."""
    return ((cosines - best) / T).exp().masked_fill_(cosines < kth - TIE, 0)


def _tiles(query: UnitRows, bank: UnitRows, labels: Tensor, own: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Float64 cosines (Q, B) with the rows of a tile of the bank, -inf with itself, and labels (B,)."""
    rows = query.take(slice(None), torch.float64)
    for start in range(0, len(bank), BANK):
        tile = slice(start, start + BANK)
        cosines = rows @ bank.take(tile, torch.float64).T
        mine = ((own >= start) & (own < start + cosines.shape[1])).nonzero()[:, 0]
        cosines[mine, own[mine] - start] = -torch.inf
        yield cosines, labels[tile]
