"""The spectrum and its ranks against plain numpy, printed cases and exact power laws."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.results import Estimate
from sslaudit_probes.shape import singular_values as module
from sslaudit_probes.shape.power_law import power_law
from sslaudit_probes.shape.ranks import (
    dimensions_for,
    effective_rank,
    nesum,
    participation_ratio,
    rankme,
    stable_rank,
)
from sslaudit_probes.shape.singular_values import singular_values, spectra_without_blocks

Measure = Callable[..., dict[str, Estimate]]


def naive_rank(features: np.ndarray, *, centred: bool = False, eps: float = 0.0) -> float:
    """exp of the entropy of singular values."""
    rows = features.astype(np.float64)
    values = np.linalg.svd(rows - rows.mean(axis=0) if centred else rows, compute_uv=False)
    shares = [float(v / values.sum()) + eps for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


def test_rankme_of_printed_values() -> None:
    assert rankme([2.0, 1.0, 1.0], eps=0) == pytest.approx(2.8284271247461903, rel=1e-12)
    assert rankme([2.0, 1.0, 1.0]) == pytest.approx(2.8284272564760577, rel=1e-12)
    assert rankme([1e200, 1e200]) == pytest.approx(2, rel=1e-6)


def test_it_is_not_the_entropy_of_the_covariance() -> None:
    """Of singular values (2, 1, 1) the eigenvalues are (4, 1, 1): entropy of (2/3, 1/6, 1/6)."""
    expected = math.exp(2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(6))
    assert effective_rank([4, 1, 1]) == pytest.approx(expected, rel=1e-12) == pytest.approx(2.381, abs=5e-4)
    assert effective_rank([4, 1, 1, 0]) == effective_rank([4, 1, 1])


def test_other_ranks_of_printed_values() -> None:
    eigenvalues = [4, 1, 1]
    assert participation_ratio(eigenvalues) == pytest.approx(2.0, rel=1e-12)
    assert stable_rank(np.sqrt(eigenvalues)) == pytest.approx(1.5, rel=1e-12)
    assert nesum(eigenvalues) == pytest.approx(1.5, rel=1e-12)


def test_dimensions_that_hold_the_variance() -> None:
    assert [math.ceil(dimensions_for([5, 3, 1, 1], share)) for share in (0.5, 0.51, 0.8, 0.9, 0.99, 1)] == [
        1,
        2,
        2,
        3,
        4,
        4,
    ]
    assert dimensions_for([5, 3, 1, 1], 0.65) == pytest.approx(1.5)
    assert dimensions_for([1, 0, 0], 1) == 1
    with pytest.raises(ValueError, match="share"):
        dimensions_for([1, 1], 0)


@pytest.mark.parametrize("weighted", [True, False])
def test_an_exact_power_law(weighted: bool) -> None:
    eigenvalues = 3.7 * np.arange(1, 65.0) ** -1.25
    law = power_law(eigenvalues, 5, 50, weighted=weighted)
    assert law.alpha == pytest.approx(1.25, rel=1e-9)
    assert law.log_scale == pytest.approx(math.log(3.7), rel=1e-9)
    assert (law.r2, law.low, law.high) == (pytest.approx(1), 5, 50)
    assert power_law(eigenvalues[::-1], 5, 500, weighted=weighted).high == 64


def test_the_fit_solves_the_weighted_normal_equations() -> None:
    eigenvalues = np.sort(np.random.default_rng(0).lognormal(size=40))[::-1]
    ranks = np.arange(3, 31)
    design = np.stack([np.log(ranks), np.ones(28)], axis=1)
    y = np.log(eigenvalues[2:30])
    for weights, weighted in ((1 / ranks, True), (np.ones(28), False)):
        slope, offset = np.linalg.solve(design.T * weights @ design, design.T * weights @ y)
        law = power_law(eigenvalues, 3, 30, weighted=weighted)
        assert (law.alpha, law.log_scale) == pytest.approx((-slope, offset), rel=1e-9)
        rest = sum(weights * (y - slope * design[:, 0] - offset) ** 2)
        total = sum(weights * (y - sum(weights * y) / sum(weights)) ** 2)
        assert law.r2 == pytest.approx(1 - rest / total, rel=1e-9)


def test_too_few_eigenvalues_have_no_power_law() -> None:
    power_law([1.0] * 14, 5)
    for eigenvalues in ([1.0] * 13, [1.0] * 13 + [0.0] * 20):
        with pytest.raises(ValueError, match="10 positive eigenvalues from rank 5"):
            power_law(eigenvalues, 5)


@pytest.mark.parametrize("function", [rankme, effective_rank, participation_ratio, nesum, stable_rank])
def test_what_ranks_refuse(function: Callable[[list[float]], float]) -> None:
    for values in ([], [0.0, 0.0], [1.0, float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="spectrum"):
            function(values)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(1, 12), st.sampled_from([0.0, 5.0]))
def test_singular_values_against_numpy(seed: int, n: int, d: int, mean: float) -> None:
    features = np.random.default_rng(seed).normal(size=(n, d)) + mean
    for centred in (False, True):
        rows = features - features.mean(axis=0) if centred else features
        expected = np.linalg.svd(rows, compute_uv=False)[: min(n - centred, d)]
        found = singular_values(features, centred=centred)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * expected[0])
    np.testing.assert_array_equal(singular_values(torch.tensor(features)), singular_values(features))


def test_pieces_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(1).normal(size=(70, 6))
    whole = singular_values(features)
    for rows in (1, 13, 70):
        monkeypatch.setattr(module, "ROWS", rows)
        np.testing.assert_allclose(singular_values(features), whole, rtol=1e-12)


def test_small_singular_values_are_kept() -> None:
    """The eigenvalues of X'X would lose all below 1e-8 of the largest."""
    generator = np.random.default_rng(2)
    left = np.linalg.qr(generator.normal(size=(60, 5)))[0]
    right = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    values = np.array([1, 1e-4, 1e-9, 1e-11, 1e-12])
    np.testing.assert_allclose(singular_values(left * values @ right), values, rtol=1e-2)


def test_rotation_and_scale_do_not_change_ranks() -> None:
    generator = np.random.default_rng(3)
    features = generator.normal(size=(50, 7)) * np.arange(1, 8) + 1
    moved = 1e4 * features @ np.linalg.qr(generator.normal(size=(7, 7)))[0]
    for rank in (rankme, stable_rank):
        assert rank(singular_values(moved)) == pytest.approx(rank(singular_values(features)), rel=1e-9)


@pytest.mark.parametrize("shape", [(45, 6), (24, 30)])
def test_blocks_that_are_left_out(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(4).normal(size=shape) + 3
    cuts = np.linspace(0, len(features), 11).astype(int)
    for b, (uncentred, centred) in enumerate(spectra_without_blocks(torch.tensor(features))):
        left = np.delete(features, np.arange(cuts[b], cuts[b + 1]), axis=0)
        np.testing.assert_allclose(uncentred, singular_values(left), rtol=1e-7)
        np.testing.assert_allclose(centred, singular_values(left, centred=True), rtol=1e-7)


def test_fewer_images_than_dimensions(measure_term: Measure) -> None:
    pair = np.zeros((2, 768))
    pair[0, 0], pair[1, 0] = 1, -1
    generator = np.random.default_rng(5)
    for features in (pair, *(generator.normal(size=(n, 768)) for n in (4, 64, 1024))):
        rows = features.astype(np.float32)
        n = len(rows)
        found = measure_term("spectrum", rows[:, None])
        main = found[""]
        assert main.value == pytest.approx(naive_rank(rows, eps=1e-7), rel=1e-9)
        assert main.value == pytest.approx(naive_rank(rows), rel=1e-3)
        assert main.details["rankme_eps_0"] == pytest.approx(naive_rank(rows), rel=1e-9)
        assert main.details["rankme_centred"] == pytest.approx(naive_rank(rows, centred=True), rel=1e-3)
        assert (main.details["maximum"], main.details["maximum_centred"]) == (min(n, 768), min(n - 1, 768))
        assert main.details["reading"] == f"of at most {min(n, 768):,}"
        assert "fewer than 5 a dimension" in main.note
        assert (main.interval is None) == (n < 20)
        assert all(e.value is None or e.value <= min(n, 768) for name, e in found.items() if name != "alpha")


def test_a_constant_embedding_has_one_dimension(measure_term: Measure) -> None:
    found = measure_term("spectrum", np.tile(np.random.default_rng(6).normal(size=64), (100, 1, 1)))
    assert found[""].value == found["stable-rank"].value == 1
    assert "trivial" in found[""].note
    for name in ("effective-rank", "participation-ratio", "nesum", "alpha", "dimensions-90", "dimensions-99"):
        assert (found[name].value, found[name].verdict) == (None, "not-applicable")
        assert "zero variance" in found[name].reason
    assert measure_term("spectrum", np.zeros((5, 1, 3))).reason == "all embeddings are zero"  # type: ignore[attr-defined]


def test_embeddings_on_a_line_and_on_two_points(measure_term: Measure) -> None:
    generator = np.random.default_rng(7)
    line = np.outer(generator.normal(size=100), generator.normal(size=64))
    found = measure_term("spectrum", line[:, None])
    assert found[""].value == pytest.approx(1, abs=1e-3)
    assert found[""].details["numerical_rank"] == 1
    assert found["alpha"].reason == "a power law needs 10 positive eigenvalues from rank 5 on."
    points = np.eye(2, 64)[np.arange(100) % 2]
    found = measure_term("spectrum", points[:, None])
    assert found[""].value == pytest.approx(2, abs=1e-3)
    assert found["effective-rank"].value == pytest.approx(1, rel=1e-9)


def test_the_metric(measure_term: Measure) -> None:
    generator = np.random.default_rng(8)
    features = (generator.normal(size=(400, 30)) * np.arange(1, 31) ** -0.6 + 0.3).astype(np.float32)
    found = measure_term("spectrum(low=3,high=25)", features[:, None])
    centred = np.square(np.linalg.svd(features - features.mean(axis=0, dtype=float), compute_uv=False))
    assert found["effective-rank"].value == pytest.approx(effective_rank(centred), rel=1e-6)
    assert found["nesum"].value == pytest.approx(centred.sum() / centred[0], rel=1e-6)
    shares = np.cumsum(centred) / centred.sum()
    for share in (90, 99):
        assert found[f"dimensions-{share}"].value == 1 + int((shares < share / 100).sum())
    alpha = found["alpha"]
    assert alpha.value == pytest.approx(power_law(centred, 3, 25).alpha, rel=1e-5)
    assert alpha.value == pytest.approx(1.2, abs=0.15)
    assert alpha.details["alpha_unweighted"] == pytest.approx(
        power_law(centred, 3, 25, weighted=False).alpha, rel=1e-5
    )
    assert str(alpha.details["reading"]).startswith("3-25, R2 .99")
    for name, estimate in found.items():
        assert estimate.interval is not None
        assert estimate.value is not None
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
        assert estimate.minor == bool(name)
        assert len(estimate.label) <= 26
    (figure,) = found[""].figures
    assert [len(series.x) for series in figure.series] == [30, 30, 2]  # type: ignore[union-attr]
    assert found == measure_term("spectrum(low=3,high=25)", features[:, None])
