"""kNN against double loops, scikit-learn, a printed case, and the edge cases that break others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from sslaudit_probes import first_best, knn_log_votes, knn_votes, top_hits


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(
    seed: int, n: int, q: int, d: int, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bank, its labels, queries and theirs: noisy copies of one centre for each class."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(classes, d))
    labels, truth = generator.integers(0, classes, n), generator.integers(0, classes, q)
    bank = unit(centres[labels] + generator.normal(scale=1.5, size=(n, d)))
    return bank, labels, unit(centres[truth] + generator.normal(scale=1.5, size=(q, d))), truth


def test_votes_of_a_query() -> None:
    bank = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    votes = knn_votes(np.array([[0.6, 0.8]]), bank, np.array([0, 0, 1, 1]), k=3, T=0.07, classes=2)
    np.testing.assert_allclose(votes, [[909008.4774617609, 91910.58015790448]], atol=1e-4)


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 15), st.sampled_from([0.07, 0.5]))
def test_votes_against_double_loops(seed: int, n: int, k: int, T: float) -> None:
    bank, labels, query, _ = world(seed, n, 4, 3, 3)
    votes = knn_votes(query, bank, labels, k, T, 3)
    for row, q in zip(votes, query, strict=True):
        cosines = sorted(
            ((sum(a * b for a, b in zip(q, x, strict=True)), y) for x, y in zip(bank, labels, strict=True))
        )
        expected = [0.0, 0.0, 0.0]
        for cosine, label in cosines[-k:]:
            expected[label] += math.exp(cosine / T)
        np.testing.assert_allclose(row, expected, rtol=1e-10)


@pytest.mark.parametrize(("k", "T"), [(1, 0.07), (5, 0.07), (20, 0.07), (20, 1.0), (200, 0.1)])
def test_against_scikit_learn(k: int, T: float) -> None:
    bank, labels, query, _ = world(1, 400, 150, 16, 7)
    other = KNeighborsClassifier(
        k, algorithm="brute", metric="cosine", weights=lambda distance: np.exp((1 - distance) / T)
    ).fit(bank, labels)
    log_votes = knn_log_votes(query, bank, labels, k, T, 7)
    np.testing.assert_array_equal(first_best(log_votes), other.predict(query))
    shares = np.exp(log_votes - log_votes.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        shares / shares.sum(axis=1, keepdims=True), other.predict_proba(query), atol=1e-4
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(2, 7), st.booleans())
def test_float32_with_repeats_orders_classes_as_float64(
    seed: int, k: int, classes: int, copies: bool
) -> None:
    bank, labels, query, truth = world(seed, 60, 20, 4, classes)
    if copies:  # rows that tie, often at the last place and across classes
        bank = np.concatenate([bank, bank[::-1]])
        labels = np.concatenate([labels, labels])
    fast = knn_log_votes(query, bank, labels, k, 0.07, classes)
    exact = knn_log_votes(query, bank, labels, k, 0.07, classes, exact=True)
    np.testing.assert_array_equal(first_best(fast), first_best(exact))
    np.testing.assert_array_equal(top_hits(fast, truth, 5), top_hits(exact, truth, 5))
    np.testing.assert_allclose(fast, exact, atol=1e-4)


def test_close_cases_are_decided_in_float64() -> None:
    step = 1e-4  # cosines 1.5e-8 apart, which float32 cannot tell
    angles = np.array([step, 2 * step, 3 * step])
    bank = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query = np.array([[1.0, 0.0]])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        labels = np.array([1, 0, 0])[order]
        votes = knn_log_votes(query, bank[order], labels, 1, 0.07, 2)
        np.testing.assert_array_equal(np.isfinite(votes), [[False, True]])


@pytest.mark.parametrize(("queries", "tile"), [(1, 350), (7, 64), (50, 33), (10_000, 5)])
def test_neither_chunks_nor_order_matter(monkeypatch: pytest.MonkeyPatch, queries: int, tile: int) -> None:
    bank, labels, query, _ = world(2, 300, 90, 8, 5)
    bank, labels = np.concatenate([bank, bank[:50]]), np.concatenate([labels, (labels[:50] + 1) % 5])
    expected = first_best(knn_log_votes(query, bank, labels, 7, 0.07, 5))
    for module in ("neighbours", "votes"):
        monkeypatch.setattr(f"sslaudit_probes.classifiers.{module}.QUERIES", queries)
        monkeypatch.setattr(f"sslaudit_probes.classifiers.{module}.BANK", tile)
    order = np.random.default_rng(3).permutation(len(bank))
    for exact in (False, True):
        found = knn_log_votes(query, bank[order], labels[order], 7, 0.07, 5, exact=exact)
        np.testing.assert_array_equal(first_best(found), expected)


def test_ties_at_the_last_place_all_vote() -> None:
    bank, query = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), np.array([[0.6, 0.8]])
    votes = knn_votes(query, bank, np.array([0, 1, 2]), 1, 1.0, 3)
    np.testing.assert_allclose(votes, [[0, math.exp(0.8), math.exp(0.8)]])


def test_ties_survive_rounding() -> None:
    generator = np.random.default_rng(0)
    row = generator.normal(size=50)
    bank = unit(np.stack([generator.permutation(row) for _ in range(30)]))
    query = unit(np.ones((1, 50)))  # as far from every permutation
    assert len(set((bank @ query[0]).tolist())) > 1
    for exact in (False, True):
        votes = np.exp(knn_log_votes(query, bank, np.arange(30), 1, 0.07, 30, exact=exact))
        np.testing.assert_allclose(votes, np.full((1, 30), votes[0, 0]))


def test_equal_votes_go_to_the_first_class() -> None:
    bank, query = np.eye(2)[[0, 1, 0, 1]], unit(np.array([[1.0, 1.0]]))
    for labels in ([1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]):
        assert first_best(knn_log_votes(query, bank, np.array(labels), 200, 0.07, 2))[0] == 0


@pytest.mark.parametrize("exact", [False, True])
def test_a_tiny_temperature_does_not_overflow(exact: bool) -> None:
    bank, labels, query, _ = world(4, 50, 10, 3, 3)
    log_votes = knn_log_votes(query, bank, labels, 5, 1e-4, 3, exact=exact)
    assert not np.isnan(log_votes).any()
    np.testing.assert_array_equal(first_best(log_votes), labels[(query @ bank.T).argmax(axis=1)])


@pytest.mark.parametrize(("k", "T", "rows"), [(0, 0.1, 3), (1, 0.0, 3), (1, -1.0, 3), (1, 0.1, 0)])
def test_what_cannot_vote_is_refused(k: int, T: float, rows: int) -> None:
    with pytest.raises(ValueError, match="k >= 1, T > 0 and a bank"):
        knn_votes(np.eye(2), np.eye(3, 2)[:rows], np.zeros(rows, dtype=int), k, T, 2)


def test_top_hits_need_votes_and_take_the_first_of_equals() -> None:
    nothing = -np.inf
    log_votes = np.array([[0.0, 1.0, 1.0, nothing], [nothing, 0.0, nothing, nothing]])
    for label, hits in ((0, [False, False]), (1, [True, True]), (2, [True, False]), (3, [False, False])):
        np.testing.assert_array_equal(top_hits(log_votes, np.full(2, label), 2), hits)
