"""Bounds of the clique number that take polynomial time.

A clique of a graph on n vertices is what a vertex cover of the complement leaves over, so every lower
bound of that cover is an upper bound of the clique. A maximal matching of the complement gives the
cover within a factor of two; subtracted from n this is a weak lower bound, so none is offered.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sslaudit_theory.sigma.cliques.colouring import first_fit
from sslaudit_theory.sigma.cliques.graphs import checked, complement, degeneracy_order


def greedy_clique(adjacency: ArrayLike) -> tuple[int, ...]:
    """Members of a clique of (n, n): vertices by falling degree join while they can. A lower bound.

    Degrees are those of the whole graph, ties go by index. Raises ``ValueError`` if the matrix is not
    boolean or of 0 and 1, square and symmetric; its diagonal is ignored, here as everywhere.
    """
    graph = checked(adjacency)
    members: list[int] = []
    open_to = np.ones(len(graph), dtype=bool)
    for vertex in np.argsort(-graph.sum(axis=1), kind="stable").tolist():
        if open_to[vertex]:
            members.append(vertex)
            open_to &= graph[vertex]
    return tuple(sorted(members))


def colouring_bound(adjacency: ArrayLike) -> int:
    """Colours of a greedy colouring of (n, n) in the order of degeneracy: at least the clique number.

    Loose already on the cycle of five, where it is 3. Raises ``ValueError`` like ``greedy_clique``.
    """
    graph = checked(adjacency)
    if not len(graph):
        return 0
    return int(first_fit(graph, degeneracy_order(graph)[0]).max()) + 1


def matching_bound(adjacency: ArrayLike) -> int:
    """n less a maximal matching of the complement of (n, n): at least the clique number.

    Of the two ends of a missing edge a clique holds one at most. The matching is greedy, vertices with
    few missing edges first. Raises ``ValueError`` like ``greedy_clique``.
    Source: Papadimitriou and Steiglitz, Combinatorial Optimization, 1998, the vertex cover of a matching.
    """
    missing = complement(checked(adjacency))
    degrees = missing.sum(axis=1)
    free = np.ones(len(missing), dtype=bool)
    pairs = 0
    for vertex in np.argsort(degrees, kind="stable").tolist():
        partners = np.flatnonzero(missing[vertex] & free) if free[vertex] else ()
        if len(partners):
            free[vertex] = free[partners[degrees[partners].argmin()]] = False
            pairs += 1
    return len(missing) - pairs


def lp_bound(adjacency: ArrayLike) -> float:
    """n less the fractional vertex cover of the complement of (n, n): at least the clique number.

    A multiple of one half, never below n / 2: the cover is half of a maximum matching between two copies
    of the vertices. On the cycle of five it is 2.5, which proves a clique number of 2. Raises
    ``ValueError`` like ``greedy_clique``.
    Source: Nemhauser and Trotter, Mathematical Programming 1975.
    """
    missing = complement(checked(adjacency))
    if not len(missing):
        return 0.0
    matched = maximum_bipartite_matching(csr_array(missing), perm_type="column")
    return len(missing) - int((matched >= 0).sum()) / 2
