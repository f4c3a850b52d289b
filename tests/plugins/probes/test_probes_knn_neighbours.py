"""The search of neighbours: whatever product finds the candidates, the answer is that of float64."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sslaudit_probes import knn_log_votes
from sslaudit_probes.classifiers import neighbours
from sslaudit_probes.classifiers.neighbours import UnitRows, nearest


def clustered(n: int, d: int, noise: float, seed: int = 0) -> np.ndarray:
    """Rows round ten centres in the positive orthant, as after a rectifier: cosines are high."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(10, d))
    rows = centres[np.sort(generator.integers(0, 10, n))] + noise * generator.normal(size=(n, d))
    return np.maximum(rows, 0).astype(np.float32)


def reference(query: np.ndarray, bank: np.ndarray) -> np.ndarray:
    unit = [
        rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1)[:, None] for rows in (query, bank)
    ]
    return unit[0] @ unit[1].T


def check(found: neighbours.Neighbours, cosines: np.ndarray, k: int) -> None:
    """All rows at or above the k-th place are there, with their cosines."""
    for row, places, exact, crowded in zip(
        cosines, found.places.numpy(), found.cosines.numpy(), found.crowded.numpy(), strict=True
    ):
        if crowded:
            continue
        kth = np.sort(row)[-k]
        kept = places[np.isfinite(exact)]
        assert len(set(kept)) == len(kept)
        assert set(np.flatnonzero(row >= kth - 1e-12)) <= set(kept)
        np.testing.assert_allclose(exact[np.isfinite(exact)], row[kept], atol=1e-13)
        assert (np.diff(exact[np.isfinite(exact)]) <= 0).all()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("noise", "k"), [(1.5, 1), (1.5, 20), (0.3, 20), (1.5, 200), (0.05, 3)])
def test_neighbours_are_those_of_float64(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, noise: float, k: int
) -> None:
    monkeypatch.setattr(neighbours, "BANK", 512)
    monkeypatch.setattr(neighbours, "QUERIES", 37)
    monkeypatch.setattr(neighbours, "STRIP", 48 * 32)  # both sides in strips of 32 rows
    bank, query = clustered(2003, 48, noise), clustered(90, 48, noise, seed=1)
    found = nearest(UnitRows(query), UnitRows(bank), k, bf16=bf16)
    assert not found.crowded.any()
    check(found, reference(query, bank), k)


def test_rounding_that_turns_the_order_round_is_allowed_for() -> None:
    step = 0.9 * 2.0**-8  # of a factor: bfloat16 rounds both halves of the first row down
    query = np.append(np.full(64, 0.125), 0)
    first = np.concatenate([np.full(32, 0.125 + 0.125 * step), np.full(32, 0.125 * step - 0.125), [0]])
    second = np.zeros(65)
    second[0], second[64] = 0.0234375, 1  # exact in bfloat16
    bank = np.stack([second, -second, first, -first]).repeat(300, axis=0)
    bank[np.arange(1200) % 300 > 0] = np.eye(65)[64] * 0.9  # the mean stays small
    bank[1::2][bank[1::2, 64] == 0.9] *= -1
    rounded = torch.from_numpy(bank).bfloat16() @ torch.from_numpy(query).bfloat16()
    assert rounded[0] > 1.3 * rounded[600]
    found = nearest(UnitRows(query[None]), UnitRows(bank), 1, bf16=True)
    assert found.places[0, 0] == 600


@pytest.mark.parametrize("bf16", [False, True])
def test_candidates_that_do_not_fit_are_missed_by_nobody(bf16: bool) -> None:
    generator = np.random.default_rng(0)
    centre = generator.normal(size=64)
    near = centre + 0.02 * generator.normal(size=(900, 64))
    bank, query = np.concatenate([near, -near]), centre + 0.02 * generator.normal(size=(50, 64))
    cosines = reference(query, bank)
    found = nearest(UnitRows(query), UnitRows(bank), 3, bf16=bf16)
    assert not found.crowded.any()
    check(found, cosines, 3)
    alone = neighbours._search(UnitRows(query), UnitRows(bank), 3, torch.full((50,), -1), bf16=bf16)
    assert alone.crowded.all() == bf16
    check(alone, cosines, 3)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_crowd_is_said_and_counted_in_full(bf16: bool) -> None:
    bank = clustered(1500, 16, 1.0)
    bank[:700] = bank[0] * np.linspace(0.1, 10, 700, dtype=np.float32)[:, None]
    query = np.concatenate([bank[:1], clustered(40, 16, 1.0, seed=1)])
    found = nearest(UnitRows(query), UnitRows(bank), 5, bf16=bf16)
    assert found.crowded[0]
    check(found, reference(query, bank), 5)
    labels = np.arange(1500) % 3
    fast, exact = (knn_log_votes(query, bank, labels, 5, 0.07, 3, exact=exact) for exact in (False, True))
    np.testing.assert_allclose(fast, exact, rtol=1e-12)
    np.testing.assert_allclose(np.exp(fast[0] - 1 / 0.07), np.bincount(labels[:700]), rtol=1e-6)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_rounded_products_are_found_out(precision: str) -> None:
    bank, query = clustered(600, 96, 0.5), clustered(70, 96, 0.5, seed=1)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = nearest(UnitRows(query), UnitRows(bank), 7)
    finally:
        torch.set_float32_matmul_precision(before)
    check(found, reference(query, bank), 7)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("k", [1, 8, 299])
def test_leaving_one_out_is_the_search_without_it(k: int, bf16: bool) -> None:
    rows = clustered(300, 12, 1.0)
    found = nearest(UnitRows(rows), UnitRows(rows), k, own=torch.arange(300), bf16=bf16)
    for i in range(0, 300, 23):
        others = np.delete(np.arange(300), i)
        alone = nearest(UnitRows(rows[i : i + 1]), UnitRows(rows[others]), k)
        expected = alone.cosines[0][:k]
        np.testing.assert_allclose(found.cosines[i][:k], expected, atol=1e-13)
        assert i not in found.places[i][found.cosines[i] > -torch.inf]


def test_votes_without_the_query_itself() -> None:
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(size=(60, 5)), generator.integers(0, 4, 60)
    for exact in (False, True):
        votes = knn_log_votes(rows, rows, labels, 200, 0.1, 4, leave_one_out=True, exact=exact)
        for i in range(60):
            others = np.delete(np.arange(60), i)
            alone = knn_log_votes(rows[[i]], rows[others], labels[others], 59, 0.1, 4)
            np.testing.assert_allclose(votes[i], alone[0], rtol=1e-12)


def test_leaving_one_out_needs_one_set() -> None:
    with pytest.raises(ValueError, match="one set, not 2 queries and 3 rows"):
        knn_log_votes(np.eye(3)[:2], np.eye(3), np.arange(3), 1, 0.1, 3, leave_one_out=True)
    with pytest.raises(ValueError, match="and 0 rows"):
        knn_log_votes(np.eye(1), np.eye(1), [0], 1, 0.1, 1, leave_one_out=True)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_neither_scale_nor_type_nor_container_matters(scale: float) -> None:
    bank, query = clustered(200, 16, 1.0), clustered(30, 16, 1.0, seed=1)
    labels = np.arange(200) % 5
    expected = knn_log_votes(query, bank, labels, 9, 0.07, 5)
    scaled = bank.astype(np.float64) * scale
    scaled.flags.writeable = False
    for rows, others in (
        (query * np.float32(scale), scaled),
        (torch.from_numpy(query), torch.from_numpy(bank)),
        (query, torch.from_numpy(bank).double()),
        (torch.from_numpy(query), bank),
    ):
        found = knn_log_votes(rows, others, labels, 9, 0.07, 5)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.dtype == np.float64
    half = torch.from_numpy(query).half()
    np.testing.assert_allclose(
        knn_log_votes(half, bank, torch.from_numpy(labels), 9, 0.07, 5),
        knn_log_votes(half.float(), bank, labels, 9, 0.07, 5),
    )


def test_a_zero_row_has_cosine_zero_with_everything() -> None:
    votes = knn_log_votes(np.array([[0.0, 0], [1, 0]]), np.array([[0.0, 0], [-1, 0]]), [0, 1], 2, 1.0, 2)
    np.testing.assert_allclose(np.exp(votes), [[1, 1], [1, np.exp(-1)]])


def test_what_does_not_fit_is_named() -> None:
    for query, bank, labels, message in (
        (np.eye(2), np.eye(3), [0, 1, 2], "queries of 2 dimensions, a bank of 3"),
        (np.eye(3), np.eye(3), [0, 1], "2 labels do not belong to a bank of 3 rows"),
        (np.eye(3), np.full((3, 3), np.nan), [0, 1, 2], "not finite"),
        (np.ones(3), np.eye(3), [0, 1, 2], "a matrix"),
    ):
        with pytest.raises(ValueError, match=message):
            knn_log_votes(query, bank, labels, 1, 0.1, 3)
    assert knn_log_votes(np.empty((0, 3)), np.eye(3), [0, 1, 2], 1, 0.1, 3).shape == (0, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("noise", [1.5, 0.0])
def test_the_answer_of_a_device_is_that_of_the_cpu(noise: float) -> None:
    bank, query = clustered(9000, 64, noise), clustered(1200, 64, noise, seed=1)
    labels = np.arange(9000) % 10
    expected = knn_log_votes(query, bank, labels, 20, 0.07, 10)
    rows, others = torch.from_numpy(query).cuda(), torch.from_numpy(bank).cuda()
    np.testing.assert_allclose(knn_log_votes(rows, others, labels, 20, 0.07, 10), expected, rtol=1e-9)
    ours = knn_log_votes(others, others, labels, 20, 0.07, 10, leave_one_out=True)
    np.testing.assert_allclose(
        ours, knn_log_votes(bank, bank, labels, 20, 0.07, 10, leave_one_out=True), rtol=1e-9
    )


_MEMORY = """
import resource, numpy as np, torch
from sslaudit_probes import knn_log_votes
rows = torch.randn({n}, 512) if {spread} else torch.ones({n}, 512)
labels = np.arange({n}) % 10
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
knn_log_votes(rows[:{q}], rows, labels, 200, 0.07, 10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("n", "q", "spread"), [(60_000, 20_000, 1), (60_000, 2_000, 0)])
def test_memory_is_that_of_tiles(n: int, q: int, spread: int) -> None:
    script = _MEMORY.format(n=n, q=q, spread=spread)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 1.5 * 2**20  # KiB
