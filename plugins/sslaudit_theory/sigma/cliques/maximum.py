"""The clique number of a graph as an interval that always holds, exact whenever the budget reaches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.sigma.cliques.bounds import greedy_clique, lp_bound, matching_bound
from sslaudit_theory.sigma.cliques.branching import RootBranching
from sslaudit_theory.sigma.cliques.colouring import PASS_STEPS, first_fit, improved
from sslaudit_theory.sigma.cliques.exchange import MOVE_STEPS, grown
from sslaudit_theory.sigma.cliques.graphs import bit_rows, checked, degeneracy_order

BUDGET = 12_000_000
"""Steps of ``maximum_clique``; a step is about one vertex coloured, a quarter to half a microsecond."""
_SHARE = 20
"""The first branch and bound has this part of the budget, local search and recolouring at most two each."""
_FIRST = 100_000
"""Steps of the first branch and bound, if a quarter of the budget is as many: small graphs need no more."""
_MOVES, _PASSES = 20, 40
"""Moves of local search for each vertex, and passes of recolouring, if the budget has room for them."""
_STARTS = 16
"""Vertices, the best connected ones, from which a greedy clique starts."""


@dataclass(frozen=True, slots=True)
class CliqueBounds:
    """What is known of the clique number of a graph."""

    lower: int
    """Size of the clique ``members``."""
    upper: int
    """No clique is larger; this is proved, never a guess."""
    members: tuple[int, ...]
    """Vertices of a clique, ascending."""

    @property
    def exact(self) -> bool:
        """Whether both bounds are the clique number."""
        return self.lower == self.upper


def maximum_clique(
    adjacency: ArrayLike,
    *,
    budget: int = BUDGET,
    start: Sequence[int] = (),
    at_most: int | None = None,
) -> CliqueBounds:
    """Certified bounds of the clique number of a graph (n, n), and the largest clique that was found.

    Greedy cliques and colourings come first, then branch and bound. When that has spent part of its
    budget, local search looks for a larger clique and recolouring for a smaller bound, and branch and
    bound goes on. ``budget`` is in steps, not in seconds, so equal graphs give equal answers.
    ``start`` is a clique and ``at_most`` a bound known beforehand. The diagonal is ignored.
    Raises ``ValueError`` for a matrix that is not boolean or of 0 and 1, square and symmetric, a
    ``start`` that is no clique, or an ``at_most`` that a clique refutes.
    """
    graph = checked(adjacency)
    members = _checked_clique(graph, start)
    if not len(graph):
        return CliqueBounds(0, 0, ())
    order, degeneracy = degeneracy_order(graph)
    place = np.argsort(order)
    # Sorted once: all that follows sees the vertices in the order of degeneracy.
    graph = graph[np.ix_(order, order)]
    bound = degeneracy + 1 if at_most is None else min(degeneracy + 1, at_most)
    search = _Search(graph, place[members].tolist(), bound)
    search.run(budget)
    found = tuple(sorted(order[search.members].tolist()))
    if len(found) > search.upper:
        raise ValueError(f"there is a clique of {len(found)} members, so at_most={at_most} is no bound.")
    return CliqueBounds(len(found), search.upper, found)


class _Search:
    """The steps of ``maximum_clique`` on a graph in the order of degeneracy."""

    def __init__(self, graph: np.ndarray, members: list[int], upper: int) -> None:
        self.graph = graph
        self.members = members
        self.upper = upper

    def run(self, budget: int) -> None:
        self._start()
        if self._closed:
            return
        colours = first_fit(self.graph, np.arange(len(self.graph)))
        self._at_most(colours.max() + 1)
        if not self._closed and 2 * self.upper > len(self.graph):
            self._at_most(min(matching_bound(self.graph), math.floor(lp_bound(self.graph))))
        share = budget // _SHARE
        first = max(share, min(budget // 4, _FIRST))
        if not self._closed and not self._branch(colours, first):
            spent = first + self._exchange(2 * share)
            spent += self._recolour(colours, 2 * share)
            if not self._closed:
                self._branch(colours, budget - spent)

    @property
    def _closed(self) -> bool:
        return len(self.members) >= self.upper

    def _at_most(self, bound: int) -> None:
        self.upper = min(self.upper, int(bound))

    def _at_least(self, members: Sequence[int]) -> None:
        if len(members) > len(self.members):
            self.members = list(members)

    def _start(self) -> None:
        """Greedy cliques: by degree, and from each of the first vertices on."""
        self._at_least(greedy_clique(self.graph))
        neighbours = bit_rows(self.graph)
        for first in range(min(_STARTS, len(self.graph))):
            members, candidates = [first], neighbours[first]
            while candidates:
                members.append((candidates & -candidates).bit_length() - 1)
                candidates &= neighbours[members[-1]]
            self._at_least(members)

    def _branch(self, colours: np.ndarray, steps: int) -> bool:
        """Branch and bound from a colouring; whether it came to its end."""
        tree = RootBranching(self.graph, colours, len(self.members))
        done = tree.run(steps)
        self._at_least(tree.members)
        self._at_most(tree.upper)
        return done

    def _exchange(self, steps: int) -> int:
        """Local search; the steps it was given."""
        moves = min(steps // MOVE_STEPS, _MOVES * len(self.graph))
        self._at_least(grown(self.graph, self.members, moves, self.upper))
        return moves * MOVE_STEPS

    def _recolour(self, colours: np.ndarray, steps: int) -> int:
        """Smaller bounds by other colourings; the steps they were given."""
        passes = min(steps // (PASS_STEPS * len(self.graph)), _PASSES)
        for better in islice(improved(self.graph, colours), passes):
            self._at_most(better.max() + 1)
            if self._closed:
                break
        return passes * PASS_STEPS * len(self.graph)


def _checked_clique(graph: np.ndarray, start: Sequence[int]) -> list[int]:
    members = sorted(set(start))
    inside = graph[np.ix_(members, members)]
    if len(members) and not (inside | np.eye(len(members), dtype=bool)).all():
        raise ValueError("the vertices to start from are no clique.")
    return members
