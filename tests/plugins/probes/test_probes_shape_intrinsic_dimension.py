"""Neighbours against double loops and scikit-learn; dimensions against closed forms and known sets."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma
from sklearn.neighbors import NearestNeighbors

from sslaudit.results import Estimate
from sslaudit_probes.shape import neighbours as module
from sslaudit_probes.shape.intrinsic_dimension import (
    _Lists,
    hubness,
    levina_bickel,
    mle_dimension,
    two_nn,
    two_nn_interval,
)
from sslaudit_probes.shape.neighbours import different_rows, nearest_neighbours

Measure = Callable[..., dict[str, Estimate]]


def naive_neighbours(features: np.ndarray, k: int) -> tuple[list[list[float]], list[list[int]]]:
    distances, indices = [], []
    for i, f in enumerate(features):
        found = sorted(
            (math.sqrt(sum((a - b) ** 2 for a, b in zip(f, g, strict=True))), j)
            for j, g in enumerate(features)
            if j != i
        )[:k]
        distances.append([d for d, _ in found])
        indices.append([j for _, j in found])
    return distances, indices


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 14), st.integers(1, 5), st.sampled_from([0.0, 1e3]))
def test_neighbours_against_double_loops(seed: int, n: int, d: int, mean: float) -> None:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, d)) + mean
    k = int(generator.integers(1, n))
    distances, indices = nearest_neighbours(features, k)
    expected, where = naive_neighbours(features, k)
    np.testing.assert_allclose(distances, expected, rtol=1e-9)
    np.testing.assert_array_equal(indices, where)


def test_neighbours_in_pieces_and_against_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(300, 6))
    other, where = NearestNeighbors(n_neighbors=6).fit(features).kneighbors()
    for most in (2**24, 1000, 1):
        monkeypatch.setattr(module, "DISTANCES", most)
        distances, indices = nearest_neighbours(torch.tensor(features), 6)
        np.testing.assert_allclose(distances, other[:, :6], rtol=1e-9)
        np.testing.assert_array_equal(indices, where[:, :6])


def test_near_duplicates_keep_their_digits() -> None:
    """||a||^2 + ||b||^2 - 2ab of these, in float64 and at norm 1,000, is wrong from the first digit on."""
    generator = np.random.default_rng(1)
    first = generator.normal(size=(20, 256)) * 60
    step = generator.normal(size=(20, 256))
    step *= 1e-7 / np.linalg.norm(step, axis=1, keepdims=True)
    second = first + step
    distances, indices = nearest_neighbours(np.concatenate([first, second]), 1)
    np.testing.assert_allclose(distances[:20, 0], np.linalg.norm(second - first, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(indices[:20, 0], np.arange(20, 40))


def test_equal_rows_are_found() -> None:
    rows = np.array([[1.0, 2], [0.0, 1], [1, 2], [-0.0, 1], [3, 3]])
    np.testing.assert_array_equal(different_rows(torch.tensor(rows)), [0, 1, 4])


def test_what_neighbours_refuse() -> None:
    for k in (0, 3):
        with pytest.raises(ValueError, match="of 3 rows each has 2 neighbours"):
            nearest_neighbours(np.eye(3), k)


def test_two_nn_of_given_ratios() -> None:
    ratios = [1.2, 1.5, 2.0, 4.0]
    logs = [math.log(r) for r in ratios]
    assert two_nn(ratios, discard=0) == pytest.approx(4 / sum(logs), rel=1e-12)
    censored = 3 / (logs[0] + logs[1] + 2 * logs[2])  # the largest counts with the largest that is kept
    assert two_nn(ratios[::-1], discard=0.25) == pytest.approx(censored, rel=1e-12)


def test_censoring_has_no_bias_and_dropping_has() -> None:
    """Ratios of a d-dimensional set are Pareto with exponent d."""
    ratios = 1 + np.random.default_rng(2).pareto(7.0, size=200_000)
    assert two_nn(ratios) == pytest.approx(7, rel=0.01)
    assert two_nn(ratios, discard=0) == pytest.approx(7, rel=0.01)
    kept = np.sort(ratios)[:180_000]
    assert 180_000 / np.log(kept).sum() > 1.3 * 7


def test_the_interval_of_independent_ratios() -> None:
    """2 d T is chi-squared with 2r degrees: d T is gamma with shape r, so limits are its quantiles over T."""
    generator = np.random.default_rng(3)
    ratios = 1 + generator.pareto(5.0, size=50)
    exposure = 45 / two_nn(ratios)
    interval = two_nn_interval(ratios)
    expected = gamma.ppf([0.025, 0.975], 45) / exposure
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), rel=1e-9)
    inside = [
        (i := two_nn_interval(1 + generator.pareto(5.0, size=30))).low <= 5 <= i.high for _ in range(1000)
    ]
    assert 0.93 < np.mean(inside) < 0.97


def test_levina_bickel_of_printed_distances() -> None:
    assert levina_bickel([[1, 2, 4]])[0] == pytest.approx(0.9617966939259757, rel=1e-12)
    assert levina_bickel([[1, 2, 4]], unbiased=True)[0] == pytest.approx(0.9617966939259757 / 2, rel=1e-12)
    assert levina_bickel([[2, 2, 2]])[0] == math.inf


def test_the_inverse_mean_over_images() -> None:
    distances = np.sort(np.random.default_rng(4).uniform(1, 2, size=(9, 5)), axis=1)
    inverses = [sum(math.log(row[4] / row[j]) for j in range(4)) / 4 for row in distances]
    assert mle_dimension(distances) == pytest.approx(9 / sum(inverses), rel=1e-12)
    np.testing.assert_allclose(1 / levina_bickel(distances), inverses, rtol=1e-12)


def test_what_dimensions_refuse() -> None:
    for ratios in ([], [0.5, 2], [1, math.inf]):
        with pytest.raises(ValueError, match="1 or more"):
            two_nn(ratios)
    with pytest.raises(ValueError, match="no dimension"):
        two_nn([1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="no dimension"):
        mle_dimension([[2.0, 2.0]])
    with pytest.raises(ValueError, match="discarded"):
        two_nn([2.0], discard=1)
    with pytest.raises(ValueError, match="distance of 0"):
        levina_bickel([[0.0, 1.0]])
    with pytest.raises(ValueError, match="k of 3 or more"):
        levina_bickel([[1.0, 2.0]], unbiased=True)


def test_hubness_is_the_skewness_of_occurrences() -> None:
    assert hubness([[1], [2], [0]]) == 0
    counts = np.array([3.0, 1, 0, 0])
    expected = np.mean((counts - 1) ** 3) / np.mean((counts - 1) ** 2) ** 1.5
    assert hubness([[1], [0], [0], [0]]) == pytest.approx(expected, rel=1e-12)


def test_lists_without_a_block_are_those_of_the_rest() -> None:
    features = np.random.default_rng(5).normal(size=(60, 3))
    lists = _Lists(*nearest_neighbours(features, 12), k=4)
    cut = slice(6, 12)
    left = lists.without(cut)
    distances, indices = nearest_neighbours(np.delete(features, np.arange(6, 12), axis=0), 4)
    assert left is not None
    np.testing.assert_allclose(left.distances, distances, rtol=1e-9)
    np.testing.assert_array_equal(left.indices, indices)
    assert _Lists(*nearest_neighbours(features, 4), k=4).without(cut) is None


def swiss(n: int, generator: np.random.Generator) -> np.ndarray:
    """A curved surface in 40 dimensions."""
    angle, height = generator.uniform(3, 12, n), generator.uniform(0, 20, n)
    surface = np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1)
    return surface @ np.linalg.qr(generator.normal(size=(40, 3)))[0].T


def test_the_metric_on_known_sets(measure_term: Measure) -> None:
    generator = np.random.default_rng(6)
    for features, dimension in ((swiss(1500, generator), 2), (generator.normal(size=(1500, 5)), 5)):
        found = measure_term("intrinsic-dimension", features[:, None])
        assert found[""].value == pytest.approx(dimension, rel=0.08)
        assert found["mle"].value == pytest.approx(dimension, rel=0.08)
        for estimate in found.values():
            assert estimate.interval is not None
            assert estimate.value is not None
            assert estimate.interval.low < estimate.value < estimate.interval.high
        assert (found[""].minor, found["mle"].minor, found["hubness"].minor) == (False, True, True)
        near, far = found["mle"].details["mean_k_minus_2"], found["mle"].details["mean_k_minus_1"]
        assert near == pytest.approx(18 / 19 * far, rel=1e-9)  # type: ignore[operator]


def test_rotation_and_scale_do_not_change_it(measure_term: Measure) -> None:
    generator = np.random.default_rng(7)
    features = generator.normal(size=(200, 6)).astype(np.float32)
    base = measure_term("intrinsic-dimension(k=8)", features[:, None])
    scaled = measure_term("intrinsic-dimension(k=8)", 1024 * features[:, None])
    rotated = features @ np.linalg.qr(generator.normal(size=(6, 6)))[0]
    turned = measure_term("intrinsic-dimension(k=8)", rotated[:, None])
    for name, estimate in base.items():
        assert scaled[name].value == pytest.approx(estimate.value, rel=1e-9)
        assert turned[name].value == pytest.approx(estimate.value, rel=1e-4)


def test_equal_images_are_left_out_and_counted(measure_term: Measure) -> None:
    features = np.random.default_rng(8).normal(size=(50, 4)).astype(np.float32)
    alone = measure_term("intrinsic-dimension", features[:, None])
    doubled = measure_term("intrinsic-dimension", np.concatenate([features, features[:9]])[:, None])
    assert doubled[""].value == pytest.approx(alone[""].value, rel=1e-9)
    assert doubled[""].details["equal_to_another"] == 9
    assert "Left out, equal to another image: 9." in doubled[""].note


def test_nothing_to_measure_has_a_reason(measure_term: Measure) -> None:
    def reason(features: np.ndarray) -> str:
        return measure_term("intrinsic-dimension", features[:, None]).reason  # type: ignore[attr-defined,no-any-return]

    assert "zero variance" in reason(np.ones((30, 4)))
    assert "2 different embeddings" in reason(np.eye(2, 8)[np.arange(30) % 2])
    assert "no dimension" in reason(np.eye(12))  # all equally far
    few = measure_term("intrinsic-dimension", np.random.default_rng(9).normal(size=(7, 1, 3)))
    assert few[""].value is not None
    assert few[""].no_interval.startswith("too few")
    assert few["mle"].details["k"] == 6
