"""Graphs as boolean matrices, and as Python integers with one bit a vertex."""

import numpy as np
from numpy.typing import ArrayLike

_TAKEN = 2**40
"""Above any degree."""


def checked(adjacency: ArrayLike) -> np.ndarray:
    """A boolean copy of the adjacency matrix (n, n), without loops.

    Raises ``ValueError`` if it is not boolean, or integers 0 and 1, and square and symmetric. Floats are
    refused: they may be distances.
    """
    graph = np.array(adjacency)
    if graph.dtype.kind in "iu" and ((graph == 0) | (graph == 1)).all():
        graph = graph.astype(bool)
    if graph.dtype != bool:
        raise ValueError(f"an adjacency matrix is boolean, not {graph.dtype}.")
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise ValueError(f"an adjacency matrix is square, not of shape {graph.shape}.")
    if not np.array_equal(graph, graph.T):
        raise ValueError("an adjacency matrix is symmetric; this one has an edge in one direction only.")
    np.fill_diagonal(graph, False)
    return graph


def complement(graph: np.ndarray) -> np.ndarray:
    """The edges that are missing, without loops: (n, n) to (n, n)."""
    missing = ~graph
    np.fill_diagonal(missing, False)
    return missing


def bit_rows(graph: np.ndarray) -> list[int]:
    """The neighbours of each vertex of (n, n) as a set of bits."""
    packed = np.packbits(graph, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def degeneracy_order(graph: np.ndarray) -> tuple[np.ndarray, int]:
    """Vertices (n,) so that each has the fewest neighbours among itself and those before it; the degeneracy.

    A clique has at most degeneracy + 1 members. Ties go to the smaller index, the later place.
    """
    degrees = graph.sum(axis=1, dtype=np.int64)
    order = np.empty(len(graph), dtype=np.int64)
    degeneracy = 0
    for place in range(len(graph) - 1, -1, -1):
        vertex = int(degrees.argmin())
        order[place] = vertex
        degeneracy = max(degeneracy, int(degrees[vertex]))
        degrees -= graph[vertex]
        degrees[vertex] = _TAKEN
    return order, degeneracy
