"""Colourings: a clique takes one vertex of each colour at most, so their number bounds it from above."""

from collections.abc import Iterator

import numpy as np

PASS_STEPS = 15
"""Cost of one recoloured vertex, in steps of the search."""


def first_fit(graph: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Colours (n,) from 0: each vertex of (n, n) in turn takes the first colour that no neighbour has."""
    n = len(graph)
    colours = np.zeros(n, dtype=np.int64)
    taken = np.zeros((n, n), dtype=bool)
    for vertex in order.tolist():
        colour = int(taken[vertex].argmin())
        colours[vertex] = colour
        taken[:, colour] |= graph[vertex]
    return colours


def improved(graph: np.ndarray, colours: np.ndarray) -> Iterator[np.ndarray]:
    """Colourings that never get worse, one a pass, without end.

    First fit through the classes of a colouring, class by class, uses no more colours than it has. The
    classes are taken in reverse, by size, and shuffled, in turns; the shuffles are always the same ones.
    Source: Culberson, Iterated greedy graph coloring and the difficulty landscape, 1992.
    """
    shuffle = np.random.default_rng(0)
    turn = 0
    while True:
        count = int(colours.max()) + 1
        ranks = np.arange(count)[::-1]
        if turn % 4 == 1:
            ranks = _ranks(np.argsort(-np.bincount(colours), kind="stable"))
        elif turn % 4 == 3:
            ranks = shuffle.permutation(count)
        colours = first_fit(graph, np.argsort(ranks[colours], kind="stable"))
        turn += 1
        yield colours


def _ranks(order: np.ndarray) -> np.ndarray:
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks
