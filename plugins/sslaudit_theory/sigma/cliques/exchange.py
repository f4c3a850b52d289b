"""Local search: a clique grows, exchanges one member for another, and starts afresh elsewhere."""

from collections.abc import Sequence

import numpy as np

from sslaudit_theory.sigma.cliques.graphs import complement

MOVE_STEPS = 40
"""Cost of a move, in steps of the search."""
_PLATEAU = 500
"""Exchanges without growth before a fresh start."""
_APART = 2**30
"""Score of each member that a vertex is apart from; above any number of moves."""
_OUT = 2**60
"""Score of a vertex that must not be chosen."""


def grown(graph: np.ndarray, start: Sequence[int], moves: int, enough: int) -> list[int]:
    """The largest clique of (n, n) met in ``moves`` moves from the clique ``start``; early if ``enough``.

    A move adds a vertex next to all members, or one next to all but one, which leaves and may not come
    back before the clique grows. Then the least used vertex joins and all members apart from it leave.
    Always the least used vertex is chosen, ties by index: no chance is involved.
    Source: Pullan and Hoos, Dynamic local search for the maximum clique problem, JAIR 2006.
    """
    strangers = complement(graph)
    inside = np.zeros(len(graph), dtype=bool)
    inside[list(start)] = True
    missing = strangers[inside].sum(axis=0, dtype=np.int64)
    uses = np.zeros(len(graph), dtype=np.int64)
    barred = np.where(inside, _OUT, 0)
    best, size, plateau = sorted(start), len(start), 0
    for _ in range(moves):
        if len(best) >= enough:
            break
        score = missing * _APART
        score += uses
        score += barred
        vertex = int(score.argmin())
        apart = int(score[vertex]) // _APART
        leaving: list[int] = []  # members apart from the vertex
        if apart == 0:
            # Growth lifts the bar from those that were exchanged.
            barred = np.where(inside, _OUT, 0)
        elif apart == 1 and plateau < _PLATEAU:
            plateau += 1
            leaving = [int((inside & strangers[vertex]).argmax())]
        else:
            plateau = 0
            barred = np.where(inside, _OUT, 0)
            vertex = int((uses + barred).argmin())
            leaving = np.flatnonzero(inside & strangers[vertex]).tolist()
            barred[leaving] = 0
        for member in leaving:
            missing -= strangers[member]
        inside[leaving] = False
        missing += strangers[vertex]
        inside[vertex] = True
        barred[vertex] = _OUT
        uses[vertex] += 1
        size += 1 - len(leaving)
        if size > len(best):
            best = np.flatnonzero(inside).tolist()
    return best
