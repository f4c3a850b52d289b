"""Branch and bound for the maximum clique, with sets of vertices as the bits of Python integers.

Source: Tomita et al., MCS, WALCOM 2010, and San Segundo et al., Computers & Operations Research 2011,
for colouring as a bound on bit sets; the reductions are those of vertex cover in the complement.
"""

from dataclasses import dataclass

import numpy as np

from sslaudit_theory.sigma.cliques.graphs import bit_rows, degeneracy_order

SORTED_STEPS = 10
"""Cost of putting one vertex of a subgraph into order, in coloured vertices."""
COPIED_STEPS = 250
"""Pairs of vertices that are copied at the cost of one coloured vertex."""


@dataclass(slots=True)
class _Node:
    """Cliques of the first ``size`` vertices of the path and of candidates."""

    candidates: int
    branches: list[int]
    """Candidates that must be tried, the next one last."""
    bounds: list[int]
    """Colours that are left when a branch is tried: as many candidates a clique with it may have."""
    size: int


class Branching:
    """A search of one graph (n, n) for cliques of more than ``floor`` members, which can be paused.

    A step is one coloured vertex.
    """

    def __init__(self, graph: np.ndarray, floor: int) -> None:
        # The highest bit of a set is the cheap one to find, so the last vertex is the one to colour first.
        self.order = degeneracy_order(graph)[0][::-1]
        self.neighbours = bit_rows(graph[np.ix_(self.order, self.order)])
        everything = (1 << len(graph)) - 1
        self.bits = [1 << v for v in range(len(graph))]
        self.strangers = [everything ^ r ^ b for r, b in zip(self.neighbours, self.bits, strict=True)]
        self.floor = floor
        self.members: list[int] = []
        """The largest clique found above the floor, as vertices of the graph."""
        self.steps = SORTED_STEPS * len(graph) + len(graph) ** 2 // COPIED_STEPS
        self._path = [0] * (len(graph) + 1)
        self._nodes: list[_Node] = []
        self._open(everything, 0)

    @property
    def upper(self) -> int:
        """No clique of the graph has more members than this or the floor."""
        return max((node.size + node.bounds[-1] for node in self._nodes if node.bounds), default=0)

    def run(self, steps: int) -> bool:
        """Search for that many more steps, then on to the end of the node. Whether all is searched."""
        nodes, path, neighbours = self._nodes, self._path, self.neighbours
        limit = self.steps + steps
        while nodes:
            if self.steps >= limit:
                return False
            node = nodes[-1]
            if not node.bounds or node.size + node.bounds[-1] <= self.floor:
                nodes.pop()
                continue
            node.bounds.pop()
            vertex = node.branches.pop()
            node.candidates ^= self.bits[vertex]
            path[node.size] = vertex
            self._open(node.candidates & neighbours[vertex], node.size + 1)
        return True

    def _open(self, candidates: int, size: int) -> None:
        """Add the node of the cliques made of ``path[:size]`` and candidates, if it can beat the floor.

        Candidates are coloured until as many colours are used as a clique that beats nothing may have;
        only those left over have to be branched on. Two reductions go along: a candidate next to all
        others joins, and so does one with a single stranger among the candidates, which then leaves.
        """
        strangers, bits, path = self.strangers, self.bits, self._path
        allowed = self.floor - size
        left = rest = candidates
        colours = 0
        self.steps += candidates.bit_count() + 1
        while rest and colours < allowed:
            first = rest.bit_length() - 1
            own = strangers[first]
            rest ^= bits[first]
            fits = rest & own
            while fits:
                vertex = fits.bit_length() - 1
                fits &= strangers[vertex]
                rest ^= bits[vertex]
            apart = own & left
            if apart & (apart - 1):
                colours += 1
            else:
                path[size] = first
                size += 1
                allowed -= 1
                left ^= bits[first] | apart
        if not left and size > self.floor:
            self.floor = size
            self.members = self.order[path[:size]].tolist()
        if not rest:
            return
        branches, bounds = [], []
        while rest:
            fits = rest
            colours += 1
            while fits:
                vertex = fits.bit_length() - 1
                fits &= strangers[vertex]
                rest ^= bits[vertex]
                branches.append(vertex)
                bounds.append(colours)
        self._nodes.append(_Node(left, branches, bounds, size))


class RootBranching:
    """``Branching`` on each subgraph that a colouring (n,) of the whole graph leaves open.

    Each vertex of a colour beyond the floor, the last colours first, is searched together with those
    of its neighbours that are not done. Sorting every subgraph anew costs little and prunes much.
    """

    def __init__(self, graph: np.ndarray, colours: np.ndarray, floor: int) -> None:
        self.graph = graph
        self.floor = floor
        self.members: list[int] = []
        self.steps = 0
        self._branches = np.argsort(colours, kind="stable").tolist()
        self._bounds = (np.sort(colours) + 1).tolist()
        self._open = np.ones(len(graph), dtype=bool)
        self._bound = 0
        self._inner: tuple[Branching, np.ndarray] | None = None

    @property
    def upper(self) -> int:
        """No clique of the graph has more members than this."""
        inner = min(self._bound, 1 + self._inner[0].upper) if self._inner else 0
        return max(self.floor, inner, self._bounds[-1] if self._bounds else 0)

    def run(self, steps: int) -> bool:
        """Search for about that many more steps. Whether all is searched."""
        limit = self.steps + steps
        while self.steps < limit:
            if self._inner is None and not self._next():
                return True
            if self._inner is not None and self._search(*self._inner, limit - self.steps):
                self._inner = None
        return False

    def _next(self) -> bool:
        """Go to the next subgraph that may beat the floor."""
        if not self._bounds or self._bounds[-1] <= self.floor:
            return False
        self._bound = self._bounds.pop()
        vertex = self._branches.pop()
        self._open[vertex] = False
        around = np.flatnonzero(self.graph[vertex] & self._open)
        self.steps += 1
        if len(around) >= self.floor:
            inner = Branching(self.graph[np.ix_(around, around)], self.floor - 1)
            self.steps += inner.steps
            self._inner = inner, np.append(around, vertex)
        return True

    def _search(self, inner: Branching, names: np.ndarray, steps: int) -> bool:
        before = inner.steps
        inner.floor = max(inner.floor, self.floor - 1)
        done = inner.run(steps)
        self.steps += inner.steps - before
        if inner.floor >= self.floor:
            self.floor = inner.floor + 1
            self.members = names[[*inner.members, -1]].tolist()
        return done
