"""Neural collapse against loops, a simplex with exact numbers, and its edge cases."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_probes.classes.collapse import (
    collapse_of,
    disagreements,
    neural_collapse,
    self_duality,
    statistics,
)
from sslaudit_probes.classes.moments import class_moments, normal_limits, ratio_limits, standard_error
from sslaudit_theory.classes.spread import decomposition

Measure = Callable[..., Any]

ROOT3 = 3**0.5 / 2
SIMPLEX = np.array([[1.0, 0.0], [-0.5, ROOT3], [-0.5, -ROOT3]])
SPREAD = np.repeat(SIMPLEX, 2, axis=0) + np.tile([[0.1, 0.0], [-0.1, 0.0]], (3, 1))
LABELS = np.repeat(np.arange(3), 2)


def drawn(seed: int, sizes: tuple[int, ...], d: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of some sizes around different centres."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 2 * generator.normal(size=(len(sizes), d))
    return centres[labels] + generator.normal(size=(len(labels), d)) * (1 + 0.3 * labels[:, None]), labels


def reference(X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The definitions, in loops."""
    K, d = y.max() + 1, X.shape[1]
    means = [X[y == k].mean(axis=0) for k in range(K)]
    middle = sum(means) / K
    within, between = np.zeros((d, d)), np.zeros((d, d))
    for k in range(K):
        between += np.outer(means[k] - middle, means[k] - middle) / K
        for x in X[y == k]:
            within += np.outer(x - means[k], x - means[k]) / (y == k).sum() / K
    lengths = [np.linalg.norm(mean - middle) for mean in means]
    cosines, ratios = [], []
    for k in range(K):
        for j in range(k):
            cosines.append((means[k] - middle) @ (means[j] - middle) / lengths[k] / lengths[j])
            spread = sum(np.mean([np.sum((x - means[c]) ** 2) for x in X[y == c]]) for c in (k, j))
            ratios.append(spread / 2 / np.sum((means[k] - means[j]) ** 2))
    return {
        "nc1": np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / K,
        "equinorm": np.std(lengths) / np.mean(lengths),
        "angle_std": np.std(cosines),
        "angle_gap": np.mean(np.abs(np.array(cosines) + 1 / (K - 1))),
        "cdnv": np.mean(ratios),
    }


def test_a_simplex_with_noise_along_one_axis() -> None:
    found = neural_collapse(SPREAD, LABELS)
    assert found.nc1 == pytest.approx(0.02 / 3, rel=1e-9)  # S_W = diag(.01, 0), S_B = I / 2
    assert [found.equinorm, found.angle_std, found.angle_gap] == pytest.approx([0, 0, 0], abs=1e-9)
    assert found.cdnv == pytest.approx(0.01 / 3, rel=1e-9)
    assert found.rank == 2
    assert self_duality(7 * SIMPLEX, SIMPLEX + 3) == pytest.approx(0, abs=1e-9)
    assert not disagreements(SPREAD @ SIMPLEX.T, SPREAD, SIMPLEX).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 7), min_size=3, max_size=6), st.integers(1, 7))
def test_against_loops(seed: int, sizes: list[int], d: int) -> None:
    X, y = drawn(seed, tuple(sizes), d)
    found = neural_collapse(X, y)
    for name, value in reference(X, y).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-9), name
    parts = decomposition(X[:, None], y)
    apart = parts.distances[np.triu_indices(len(sizes), 1)]
    spread = np.add.outer(parts.variance, parts.variance)[np.triu_indices(len(sizes), 1)]
    assert found.cdnv == pytest.approx((spread / 2 / apart**2).mean(), rel=1e-9)


def test_neither_rotation_nor_scale_nor_offset_matters() -> None:
    X, y = drawn(1, (9, 4, 6, 5), 6)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    first, second = neural_collapse(X, y), neural_collapse(torch.from_numpy(40 * X @ turn + 5), y)
    small = neural_collapse(1e-20 * X, y)
    for name in ("nc1", "equinorm", "angle_std", "angle_gap", "cdnv", "rank"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-9)
        assert getattr(small, name) == pytest.approx(getattr(first, name), rel=1e-9)


def test_single_precision_features_far_from_0_have_no_spurious_directions() -> None:
    X, y = drawn(2, (20,) * 4, 6)
    X[:, 3:] = 0
    exact = neural_collapse(X, y)
    shifted = neural_collapse((X + 100).astype(np.float32), y)
    assert (exact.rank, shifted.rank) == (3, 3)
    assert shifted.nc1 == pytest.approx(exact.nc1, rel=1e-3)


def test_fewer_images_than_dimensions() -> None:
    X, y = np.random.default_rng(5).normal(size=(30, 512)), np.repeat(np.arange(10), 3)
    found = neural_collapse(X, y)
    assert found.rank == 9
    assert found.nc1 == pytest.approx(reference(X, y)["nc1"], rel=1e-9)
    assert found.nc1 < 0.05  # although classes mean nothing: too small, as documented


@pytest.mark.parametrize("name", ["nc1", "equinorm", "angle_std", "angle_gap", "cdnv"])
def test_the_jackknife_is_the_derivative_by_weights(name: str) -> None:
    X, y = drawn(3, (5, 6, 7), 3)
    moments = class_moments(X, y, balanced=True)

    def value(copies: np.ndarray) -> float:
        return float(getattr(neural_collapse(np.repeat(X, copies, axis=0), np.repeat(y, copies)), name))

    each, sizes = np.full(len(y), 2000), np.bincount(y)
    moved = [value(each + 2 * (np.arange(len(y)) == i)) for i in range(len(y))]
    change = (np.array(moved) - value(each)) * 1000 * sizes[y]  # by a weight of .001
    change -= (np.bincount(y, weights=change) / sizes)[y]
    expected = np.sqrt((np.square(change) / (sizes * (sizes - 1))[y]).sum())
    error = standard_error(statistics(moments)[name], moments, X, y)
    assert error == pytest.approx(expected, rel=5e-3)


@given(st.integers(0, 2**31))
def test_disagreement_against_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    X, centres, W = (generator.normal(size=(n, 3)) for n in (9, 4, 4))
    expected = [int(np.argmax(x @ W.T)) != int(np.argmin([np.sum((x - c) ** 2) for c in centres])) for x in X]
    np.testing.assert_array_equal(disagreements(X @ W.T, X, centres), expected)


def test_ties_go_to_the_first_class_at_any_scale() -> None:
    centres = 1e-4 * np.array([[1.0, 0], [1.0, 0], [-1.0, 0]])
    logits = np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(
        disagreements(logits, np.array([[1e-4, 0], [-1e-4, 0]]), centres), [False, True]
    )


def test_what_is_not_defined_is_none_or_refused() -> None:
    same = neural_collapse(np.ones((4, 3)), np.array([0, 0, 1, 1]))
    assert (same.nc1, same.equinorm, same.angle_std, same.cdnv, same.rank) == (None, None, None, None, 0)
    middle = neural_collapse(np.array([[-1.0], [1.0], [0.0]]), np.array([0, 1, 2]))
    assert (middle.nc1, middle.angle_gap, middle.cdnv) == (0, None, 0)
    assert self_duality(np.zeros((2, 3)), np.eye(2, 3)) is None
    with pytest.raises(ValueError, match="two classes"):
        neural_collapse(SPREAD, np.zeros(6, dtype=int))
    with pytest.raises(ValueError, match=r"classes \[1, 3\] have no images"):
        neural_collapse(SPREAD, 2 * LABELS)
    with pytest.raises(ValueError, match="not all finite"):
        neural_collapse(np.where(SPREAD > 1, np.nan, SPREAD), LABELS)
    with pytest.raises(ValueError, match=r"\(K, D\)"):
        self_duality(np.eye(2), np.eye(3))


def test_the_metric(measure_term: Measure) -> None:
    X, y = drawn(4, (40,) * 4, 5)
    X = X.astype(np.float32).astype(np.float64)
    train, test = np.arange(0, 160, 2), np.arange(1, 160, 2)
    found = measure_term("neural-collapse", X[:, None], y, train, test)
    assert set(found) == {
        "", "test", "equinorm", "angle-std", "angle-gap", "cdnv", "self-duality", "nearest-centre",
    }  # fmt: skip
    assert [name for name, estimate in found.items() if not estimate.minor] == [""]
    assert all(len(estimate.label) <= 26 for estimate in found.values())
    for name, part in (("", train), ("test", test)):
        assert found[name].value == pytest.approx(reference(X[part], y[part])["nc1"], rel=1e-9)
        assert found[name].interval.low < found[name].value < found[name].interval.high
        assert found[name].bias == "under"
    assert found[""].details["reading"].startswith("test ")
    assert found["cdnv"].value == pytest.approx(reference(X[train], y[train])["cdnv"], rel=1e-9)
    assert 0 < found["self-duality"].value < 4
    assert found["nearest-centre"].interval.method == "Wilson"
    assert found == measure_term("neural-collapse", X[:, None], y, train, test)


def test_collapsed_and_small_classes(measure_term: Measure) -> None:
    y = np.array([0, 0, 1, 1, 2] * 2)
    constant = measure_term("neural-collapse", np.full((10, 1, 3), 0.3), y, range(5), range(5, 10))
    assert constant.reason.startswith("the class means coincide")
    one = measure_term("neural-collapse", np.eye(10)[:, None], range(10), range(5), range(5, 10))
    assert one.reason == "fewer than two classes have two training images"
    corners = np.eye(3)[y][:, None]
    found = measure_term("neural-collapse", corners, y, range(5), range(5, 10))
    assert (found[""].value, found[""].no_interval != "") == (0, True)
    assert found[""].note.count("1 classes with fewer than two") == 1
    assert found["equinorm"].reason.startswith("two class means")


def test_class_means_that_nearly_coincide_give_no_interval(measure_term: Measure) -> None:
    X = np.random.default_rng(0).normal(size=(120, 1))
    found = measure_term("neural-collapse", X[:, None], np.arange(120) % 4, range(80), range(80, 120))
    assert found["cdnv"].value > 10
    assert found["cdnv"].no_interval.startswith("some class means nearly coincide")


def test_collapse_of_moments_is_neural_collapse() -> None:
    X, y = drawn(6, (4, 5, 6), 3)
    assert collapse_of(class_moments(X, y, balanced=True)) == neural_collapse(X, y)


@pytest.mark.slow
def test_intervals_cover() -> None:
    generator = np.random.default_rng(0)
    centres = np.diag([3.0, 3.0, 3.0, 4.0, 5.0])
    y = np.repeat(np.arange(5), 100)
    population = (torch.from_numpy(centres), torch.eye(5).double(), torch.full((5,), 5.0).double())
    inside = {name: [] for name in ("nc1", "cdnv", "equinorm", "angle_std")}
    for _ in range(300):
        X = centres[y] + generator.normal(size=(500, 5))
        moments = class_moments(X, y, balanced=True)
        found = collapse_of(moments)
        for name, hits in inside.items():
            statistic = statistics(moments)[name]
            error = standard_error(statistic, moments, X, y)
            value, truth = getattr(found, name), float(statistic(*population))
            limits = (
                ratio_limits(value, error) if name in ("nc1", "cdnv") else normal_limits(value, error, 0, 9)
            )
            hits.append(limits.low <= truth <= limits.high)
    for name, hits in inside.items():
        assert np.mean(hits) > 0.91, name


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    X, y = drawn(7, (30, 40, 50), 8)
    there = torch.from_numpy(X).cuda()
    first, second = neural_collapse(X, y), neural_collapse(there, y)
    assert second.nc1 == pytest.approx(first.nc1, rel=1e-9)
    moments = class_moments(there, y, balanced=True)
    assert standard_error(statistics(moments)["nc1"], moments, there, y) == pytest.approx(
        standard_error(statistics(class_moments(X, y, balanced=True))["nc1"],
                       class_moments(X, y, balanced=True), X, y), rel=1e-9)  # fmt: skip
    assert not disagreements(there[:, :3], there, torch.eye(3, 8).cuda() * 1e6).all()
