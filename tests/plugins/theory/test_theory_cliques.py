"""Clique numbers against enumeration, closed forms, and the promise that bounds always hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import load_digits

from sslaudit_theory.sigma.cliques import (
    CliqueBounds,
    colouring_bound,
    greedy_clique,
    lp_bound,
    matching_bound,
    maximum_clique,
)
from sslaudit_theory.sigma.cliques.branching import Branching, RootBranching
from sslaudit_theory.sigma.cliques.colouring import first_fit, improved
from sslaudit_theory.sigma.cliques.exchange import grown
from sslaudit_theory.sigma.cliques.graphs import degeneracy_order

Edges = list[tuple[int, int]]

HUB: Edges = [*((0, leaf) for leaf in range(1, 8)), *itertools.combinations(range(8, 12), 2)]
"""A hub of degree 7 and, apart from it, a clique of four."""
CYCLE: Edges = [(k, (k + 1) % 5) for k in range(5)]
PETERSEN: Edges = [
    *((k, (k + 1) % 5) for k in range(5)),
    *((k, k + 5) for k in range(5)),
    *((5 + k, 5 + (k + 2) % 5) for k in range(5)),
]


def graph(n: int, edges: Edges) -> np.ndarray:
    adjacency = np.zeros((n, n), dtype=bool)
    for first, second in edges:
        adjacency[first, second] = adjacency[second, first] = True
    return adjacency


def opposite(adjacency: np.ndarray) -> np.ndarray:
    return ~adjacency & ~np.eye(len(adjacency), dtype=bool)


def random_graph(seed: int, n: int, density: float) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < density, 1)
    return upper | upper.T


def nearby(seed: int, n: int, density: float, dimension: int = 8) -> np.ndarray:
    """Points of a cube, next to each other when they are near."""
    points = np.random.default_rng(seed).random((n, dimension))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    return opposite(distance > np.quantile(distance[np.triu_indices(n, 1)], density))


def clique_number(adjacency: np.ndarray) -> int:
    """By enumeration of the maximal cliques."""
    around = [set(np.flatnonzero(row).tolist()) for row in adjacency]

    def largest(size: int, candidates: set[int], done: set[int]) -> int:
        if not candidates:
            return 0 if done else size
        pivot = max(candidates | done, key=lambda v: len(around[v] & candidates))
        best = 0
        for vertex in sorted(candidates - around[pivot]):
            best = max(best, largest(size + 1, candidates & around[vertex], done & around[vertex]))
            candidates = candidates - {vertex}
            done = done | {vertex}
        return best

    return largest(0, set(range(len(adjacency))), set())


def by_subsets(adjacency: np.ndarray) -> int:
    """By trying every set of vertices."""
    n = len(adjacency)
    return max(
        size
        for size in range(n + 1)
        for chosen in itertools.combinations(range(n), size)
        if all(adjacency[pair] for pair in itertools.combinations(chosen, 2))
    )


def is_clique(adjacency: np.ndarray, members: tuple[int, ...] | list[int]) -> bool:
    return all(adjacency[pair] for pair in itertools.combinations(members, 2)) and len(set(members)) == len(
        members
    )


def check(adjacency: np.ndarray, bounds: CliqueBounds) -> None:
    """Whatever the budget, the lower bound is a clique in hand."""
    assert len(bounds.members) == bounds.lower <= bounds.upper
    assert is_clique(adjacency, bounds.members)
    assert bounds.exact == (bounds.lower == bounds.upper)


small = st.builds(
    random_graph, st.integers(0, 2**31), st.integers(1, 12), st.sampled_from([0.2, 0.5, 0.8, 0.9])
)
middle = st.builds(
    random_graph, st.integers(0, 2**31), st.integers(13, 32), st.sampled_from([0.2, 0.5, 0.8, 0.9])
)


@pytest.mark.parametrize(
    ("adjacency", "omega"),
    [
        (graph(12, HUB), 4),
        (graph(5, CYCLE), 2),
        (graph(10, PETERSEN), 2),
        (opposite(graph(10, PETERSEN)), 4),
        (
            opposite(
                graph(12, [p for k in range(4) for p in itertools.combinations(range(3 * k, 3 * k + 3), 2)])
            ),
            4,
        ),
        (np.ones((9, 9), dtype=bool), 9),
        (np.zeros((9, 9), dtype=bool), 1),
        (np.zeros((1, 1), dtype=bool), 1),
        (np.zeros((0, 0), dtype=bool), 0),
    ],
    ids=["hub and K4", "C5", "Petersen", "its complement", "Moon-Moser", "complete", "empty", "one", "none"],
)
def test_graphs_with_a_known_clique_number(adjacency: np.ndarray, omega: int) -> None:
    found = maximum_clique(adjacency)
    check(adjacency | np.eye(len(adjacency), dtype=bool), found)
    assert (found.lower, found.upper, found.exact) == (omega, omega, True)


def test_greedy_by_degree_falls_for_the_hub() -> None:
    assert greedy_clique(graph(12, HUB)) == (0, 1)


def test_bounds_of_the_cycle_of_five() -> None:
    cycle = graph(5, CYCLE)
    assert (colouring_bound(cycle), matching_bound(cycle), lp_bound(cycle)) == (3, 3, 2.5)


def test_bounds_of_no_vertices() -> None:
    nothing = np.zeros((0, 0), dtype=bool)
    assert (colouring_bound(nothing), matching_bound(nothing), lp_bound(nothing)) == (0, 0, 0.0)
    assert greedy_clique(nothing) == ()


@settings(deadline=None)
@given(small)
def test_every_bound_brackets_the_clique_number(adjacency: np.ndarray) -> None:
    omega = by_subsets(adjacency)
    found = maximum_clique(adjacency)
    check(adjacency, found)
    assert (found.lower, found.upper) == (omega, omega)
    assert is_clique(adjacency, greedy_clique(adjacency))
    assert len(greedy_clique(adjacency)) <= omega
    assert min(colouring_bound(adjacency), matching_bound(adjacency), lp_bound(adjacency)) >= omega
    assert lp_bound(adjacency) <= matching_bound(adjacency)


@settings(deadline=None)
@given(small)
def test_the_lp_bound_is_the_linear_programme(adjacency: np.ndarray) -> None:
    n = len(adjacency)
    missing = np.argwhere(np.triu(opposite(adjacency)))
    rows = np.zeros((len(missing), n))
    rows[np.arange(len(missing))[:, None], missing] = -1
    cover = (
        linprog(np.ones(n), A_ub=rows, b_ub=-np.ones(len(missing)), bounds=(0, 1)) if len(missing) else None
    )
    assert lp_bound(adjacency) == pytest.approx(n - (cover.fun if cover else 0), abs=1e-7)


@settings(deadline=None)
@given(middle, st.sampled_from([0, 1, 30, 100, 300, 1_000, 3_000, 100_000]))
def test_bounds_hold_whatever_the_budget(adjacency: np.ndarray, budget: int) -> None:
    omega = clique_number(adjacency)
    found = maximum_clique(adjacency, budget=budget)
    check(adjacency, found)
    assert found.lower <= omega <= found.upper
    assert budget < 100_000 or found.exact


@settings(deadline=None)
@given(middle, st.integers(0, 40), st.integers(0, 12))
def test_branch_and_bound_alone_is_exact_and_may_pause(adjacency: np.ndarray, pause: int, floor: int) -> None:
    omega = clique_number(adjacency)
    plain = Branching(adjacency, floor)
    colours = first_fit(adjacency, degeneracy_order(adjacency)[0])
    root = RootBranching(adjacency, colours, min(floor, omega))
    for search in (plain, root):
        while not search.run(pause + 1):
            assert max(search.floor, search.upper) >= omega
        assert is_clique(adjacency, search.members)
        assert len(search.members) == (omega if omega > floor else 0)
    assert plain.upper <= plain.floor
    assert root.upper == max(omega, min(floor, omega))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_one_more_than_the_floor_is_found(n: int) -> None:
    complete = opposite(np.zeros((n, n), dtype=bool))
    search = RootBranching(complete, np.arange(n), n - 1)
    assert search.run(1_000)
    assert (sorted(search.members), search.upper) == (list(range(n)), n)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.75, 0.9, 0.99])
def test_graphs_of_digits_are_exact(density: float) -> None:
    distance = pdist(load_digits().data[:500])
    adjacency = squareform(distance <= np.quantile(distance, density))
    found = maximum_clique(adjacency)
    check(adjacency, found)
    assert found.exact


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9, 0.97])
def test_budgets_tighten_and_meet(density: float) -> None:
    adjacency = nearby(3, 150, density)
    answers = [maximum_clique(adjacency, budget=budget) for budget in (0, 1_000, 10_000, 100_000, 10_000_000)]
    omega = answers[-1].lower
    assert answers[-1].exact
    for answer in answers:
        check(adjacency, answer)
        assert answer.lower <= omega <= answer.upper


def test_equal_graphs_give_equal_answers() -> None:
    adjacency = nearby(5, 120, 0.6)
    for budget in (500, 20_000):
        assert maximum_clique(adjacency, budget=budget) == maximum_clique(adjacency.copy(), budget=budget)


@settings(deadline=None)
@given(middle, st.randoms(use_true_random=False))
def test_names_of_vertices_do_not_matter(adjacency: np.ndarray, random: object) -> None:
    order = np.arange(len(adjacency))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert maximum_clique(adjacency).lower == maximum_clique(adjacency[np.ix_(order, order)]).lower


@settings(deadline=None)
@given(small, small)
def test_unions_take_the_larger_and_joins_the_sum(first: np.ndarray, second: np.ndarray) -> None:
    apart = np.zeros((len(first), len(second)), dtype=bool)
    alone = [maximum_clique(part).lower for part in (first, second)]
    assert maximum_clique(np.block([[first, apart], [apart.T, second]])).lower == max(alone)
    assert maximum_clique(np.block([[first, ~apart], [~apart.T, second]])).lower == sum(alone)


def test_what_is_known_beforehand_is_used() -> None:
    adjacency = nearby(1, 80, 0.5)
    known = maximum_clique(adjacency)
    again = maximum_clique(adjacency, budget=0, start=known.members, at_most=known.upper)
    assert again == known
    assert maximum_clique(adjacency, budget=0, start=known.members).lower == known.lower
    assert maximum_clique(adjacency, start=known.members[:2]).lower == known.lower
    with pytest.raises(ValueError, match="at_most=1 is no bound"):
        maximum_clique(adjacency, at_most=1)
    with pytest.raises(ValueError, match="start from are no clique"):
        maximum_clique(graph(12, HUB), start=(1, 2))


def test_the_diagonal_does_not_matter() -> None:
    cycle = graph(5, CYCLE)
    loops = cycle | np.eye(5, dtype=bool)
    before = loops.copy()
    assert maximum_clique(loops) == maximum_clique(cycle)
    assert lp_bound(loops) == 2.5
    np.testing.assert_array_equal(loops, before)


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.zeros((3, 3)), "boolean, not float64"),
        (np.zeros((3, 2), dtype=bool), r"square, not of shape \(3, 2\)"),
        (np.zeros(3, dtype=bool), "square"),
        (np.triu(np.ones((3, 3), dtype=bool)), "one direction only"),
    ],
)
@pytest.mark.parametrize(
    "function", [maximum_clique, greedy_clique, colouring_bound, matching_bound, lp_bound]
)
def test_what_is_no_graph_is_refused(function: object, adjacency: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(adjacency)  # type: ignore[operator]


@settings(deadline=None)
@given(middle)
def test_colourings_are_proper_and_never_get_worse(adjacency: np.ndarray) -> None:
    order = np.arange(len(adjacency))
    colours = first_fit(adjacency, order)
    for vertex in order:
        taken = {colours[other] for other in order[:vertex] if adjacency[vertex, other]}
        assert colours[vertex] == min(set(range(len(order))) - taken)
    for better in itertools.islice(improved(adjacency, colours), 12):
        assert not (adjacency & (better[:, None] == better[None])).any()
        assert better.max() <= colours.max()
        colours = better


def test_recolouring_helps() -> None:
    adjacency = nearby(2, 150, 0.9, dimension=16)
    colours = first_fit(adjacency, degeneracy_order(adjacency)[0])
    better = list(itertools.islice(improved(adjacency, colours), 40))[-1]
    assert better.max() < colours.max()


def test_local_search_leaves_the_hub() -> None:
    assert grown(graph(12, HUB), [0, 1], 100, 12) == [8, 9, 10, 11]


@settings(deadline=None)
@given(middle, st.integers(0, 300))
def test_local_search_keeps_to_cliques(adjacency: np.ndarray, moves: int) -> None:
    start = greedy_clique(adjacency)
    found = grown(adjacency, start, moves, len(adjacency))
    assert is_clique(adjacency, found)
    assert len(found) >= len(start)


def test_local_search_beats_greed_on_neighbours_in_space() -> None:
    adjacency = nearby(4, 200, 0.5, dimension=16)
    omega = maximum_clique(adjacency).lower
    start = greedy_clique(adjacency)
    assert len(start) < omega
    assert len(grown(adjacency, start, 4_000, len(adjacency))) == omega


def test_the_order_is_that_of_degeneracy() -> None:
    adjacency = random_graph(0, 25, 0.4)
    order, degeneracy = degeneracy_order(adjacency)
    fewest = []
    for end in range(len(order), 0, -1):
        degrees = adjacency[np.ix_(order[:end], order[:end])].sum(axis=1)
        assert degrees[-1] == degrees.min()
        fewest.append(degrees.min())
    assert degeneracy == max(fewest)
