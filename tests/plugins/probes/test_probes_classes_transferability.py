"""H-score, LogME, LEEP and NCE against definitions, scikit-learn and direct maximisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf

from sslaudit_probes.classes.h_score import h_score, h_score_error, ledoit_wolf_shrinkage
from sslaudit_probes.classes.leep import leep, mixture, nce
from sslaudit_probes.classes.logme import log_evidence, logme

Measure = Callable[..., Any]

FIVE = np.array([[1.0, 0.0], [0.5, 1.0], [-1.0, 0.3], [-0.4, -1.0], [0.2, 0.7]])
TARGET = np.array([1.0, 1.0, 0.0, 0.0, 1.0])


def drawn(seed: int, n: int, d: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % classes)
    return generator.normal(size=(classes, d))[labels] + generator.normal(size=(n, d)), labels


def spelled_out(X: np.ndarray, y: np.ndarray, shrinkage: float) -> float:
    """tr((1 - a) S_a^-1 S_b) by its definition."""
    means = np.stack([X[y == k].mean(axis=0) for k in range(y.max() + 1)])[y]
    S, between = np.cov(X.T, bias=True), np.cov(means.T, bias=True)
    shrunk = (1 - shrinkage) * S + shrinkage * np.trace(S) / len(S) * np.eye(len(S))
    return float((1 - shrinkage) * np.trace(np.linalg.inv(shrunk) @ between))


def test_h_score_of_four_points() -> None:
    # S = [[1, .5], [.5, 1.25]], class means (-1, -.5) and (1, .5): S_b = [[1, .5], [.5, .25]], tr = 1.
    X = np.array([[-1.0, -1.5], [-1.0, 0.5], [1.0, 1.5], [1.0, -0.5]])
    assert h_score(X, np.array([0, 0, 1, 1]), 0).value == pytest.approx(1, rel=1e-12)
    # On a line with S = 1.25 and S_b = 1: .8
    line = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    assert h_score(line, np.array([0, 0, 1, 1]), 0).value == pytest.approx(0.8, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 40), st.integers(2, 6))
def test_h_score_against_its_definition(seed: int, n: int, d: int) -> None:
    X, y = drawn(seed, n, d)
    shrinkage = LedoitWolf().fit(X).shrinkage_
    assert ledoit_wolf_shrinkage(X) == pytest.approx(shrinkage, rel=1e-9, abs=1e-12)
    for a, given_ in ((shrinkage, None), (0.0, 0.0), (0.3, 0.3)):
        found = h_score(X, y, given_)
        assert found.value == pytest.approx(spelled_out(X, y, a), rel=1e-8)
        assert 0 <= found.value <= 2


def test_h_score_with_fewer_images_than_dimensions() -> None:
    X, y = np.random.default_rng(5).normal(size=(30, 512)), np.repeat(np.arange(10), 3)
    assert h_score(X, y, 0).value == pytest.approx(9)  # any features have the best score
    assert h_score(X, y).value < 6
    assert h_score(np.ones((6, 3)), np.arange(6) % 2) is None
    assert h_score_error(X, y, np.random.default_rng(0)) is None
    with pytest.raises(ValueError, match="shrinkage"):
        h_score(X, y, 1.5)


def test_neither_rotation_nor_scale_nor_offset_changes_the_h_score() -> None:
    X, y = drawn(1, 60, 5)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    moved = h_score(torch.from_numpy(30 * X @ turn + 4), y)
    assert moved.value == pytest.approx(h_score(X, y).value, rel=1e-9)


def test_log_evidence_of_five_points() -> None:
    assert log_evidence(FIVE, TARGET) == pytest.approx(-1.0952003859535981, abs=1e-9)
    assert logme(FIVE, TARGET.astype(int)).classes[1] == pytest.approx(-1.0952003859535981, abs=1e-9)


@pytest.mark.parametrize(("seed", "n", "d"), [(0, 12, 3), (1, 9, 1), (3, 6, 6), (2, 7, 15)])
def test_logme_is_the_largest_marginal_likelihood(seed: int, n: int, d: int) -> None:
    X, y = drawn(seed, n, d, classes=2)
    t = (y == 0).astype(float)

    def cost(logs: np.ndarray) -> float:
        covariance = np.eye(n) * np.exp(-logs[1]) + X @ X.T * np.exp(-logs[0])
        distance = t @ np.linalg.solve(covariance, t)
        return float(np.linalg.slogdet(2 * np.pi * covariance)[1] + distance) / 2 / n

    tight = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}
    starts = [(0.0, 0.0), (3.0, 1.0), (2.0, 20.0)]
    direct = min(minimize(cost, start, method="Nelder-Mead", options=tight).fun for start in starts)
    found = logme(X, y)
    assert found.classes[0] == pytest.approx(-direct, abs=1e-6)
    assert found.value == np.mean(found.classes)
    assert logme(1000 * X, y).value == pytest.approx(found.value, abs=1e-9)


def test_logme_has_the_fixed_point_of_the_alternating_updates() -> None:
    X, y = drawn(3, 80, 4)
    t, a, b = (y == 0).astype(float), 1.0, 1.0
    for _ in range(500):
        A = a * np.eye(4) + b * X.T @ X
        m = b * np.linalg.solve(A, X.T @ t)
        gamma = 4 - a * np.trace(np.linalg.inv(A))
        a, b = gamma / (m @ m), (80 - gamma) / np.sum((t - X @ m) ** 2)
    A = a * np.eye(4) + b * X.T @ X
    m = b * np.linalg.solve(A, X.T @ t)
    loss = b * np.sum((t - X @ m) ** 2) + a * m @ m + np.linalg.slogdet(A)[1]
    evidence = (80 * np.log(b) + 4 * np.log(a) - 80 * np.log(2 * np.pi) - loss) / 2
    assert logme(X, y).classes[0] == pytest.approx(evidence / 80, rel=1e-9)


def test_logme_where_features_say_nothing_or_everything() -> None:
    y = np.arange(40) % 4
    nothing = np.ones((40, 1)) * np.where(np.arange(40) % 8 < 4, 1.0, -1.0)[:, None]
    found = logme(nothing, y)
    assert found.value == pytest.approx(-np.log(2 * np.pi * np.e / 4) / 2, rel=1e-9)
    assert not found.exact.any()
    assert logme(np.eye(4)[y], y).exact.all()
    assert not logme(np.eye(40), y).exact.any()  # as many features as images: bounded
    with pytest.raises(ValueError, match="not all 0"):
        logme(np.zeros((4, 2)), np.arange(4) % 2)
    with pytest.raises(ValueError, match="target"):
        log_evidence(FIVE, np.zeros(5))


def test_errors_are_those_of_repeated_draws() -> None:
    generator = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(60):
        y = generator.integers(0, 3, 150)
        X = np.diag([2.0, 1.0, 1.0])[y] + generator.normal(size=(150, 3))
        found = logme(X, y)
        values.append([found.value, h_score(X, y).value])
        errors.append([found.error, h_score_error(X, y, generator)])
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0)
    assert ((ratio > 0.75) & (ratio < 1.33)).all()


def test_leep_and_nce() -> None:
    P, y = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]), np.array([0, 0, 1])
    assert leep(P, y).mean() == pytest.approx(-0.37425794743175267, abs=1e-12)
    # p(y | z=0) = (1/2, 1/2), p(y | z=1) = (1/3, 2/3)
    z, y = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    expected = (2 * np.log(1 / 2) + np.log(1 / 3) + 2 * np.log(2 / 3)) / 5
    assert nce(z, y).mean() == pytest.approx(expected, rel=1e-12)
    pairs = np.histogram2d(z, y, bins=2)[0] / 5
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (pairs, pairs.sum(axis=1))]
    assert nce(z, y).mean() == pytest.approx(entropies[1] - entropies[0], rel=1e-12)


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 4))
def test_leep_against_loops(seed: int, n: int, Z: int) -> None:
    generator = np.random.default_rng(seed)
    P, y = generator.dirichlet(np.ones(Z), n), generator.integers(0, 3, n)
    P[:, -1] = 0
    P[:, 0] += 1 - P.sum(axis=1)
    for i in range(n):
        total = 0.0
        for z in range(Z):
            if P[:, z].sum() > 0:
                total += P[y == y[i], z].sum() / P[:, z].sum() * P[i, z]
        assert leep(P, y)[i] == pytest.approx(np.log(total), abs=1e-9)


def test_what_leep_refuses() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        leep([[0.5, 0.6]], [0])
    with pytest.raises(ValueError, match="one for each row"):
        leep([[0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match="source labels"):
        nce([0.5], [0])
    with pytest.raises(ValueError, match="constant"):
        mixture(np.ones((9, 2)), 2, 0)


def test_the_mixture_does_not_warn_and_does_not_depend_on_scale() -> None:
    X = np.random.default_rng(0).normal(size=(60, 8))
    X[:20] = X[0]  # fewer different images than components
    first, second = mixture(X, 6, 0), mixture(1e-5 * X, 6, 0)
    assert first.responsibilities.shape == (60, 12)
    np.testing.assert_allclose(first.responsibilities, second.responsibilities, atol=1e-6)


def test_the_metric(measure_term: Measure) -> None:
    X, y = drawn(4, 240, 6, classes=4)
    X = X.astype(np.float32).astype(np.float64)
    train, test = np.arange(0, 240, 2), np.arange(1, 240, 2)
    found = measure_term("transferability", X[:, None], y, train, test)
    assert set(found) == {"", "h-score", "n-leep", "nce"}
    assert [name for name, estimate in found.items() if not estimate.minor] == [""]
    assert found[""].value == pytest.approx(logme(X[train], y[train]).value, rel=1e-9)
    assert found["h-score"].value == pytest.approx(h_score(X[train], y[train]).value, rel=1e-9)
    assert found["n-leep"].details["chance"] < found["nce"].value < 0
    for estimate in found.values():
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
        assert len(estimate.details["reading"]) <= 20
    changed = X.copy()
    changed[test] = 5
    again = measure_term("transferability", changed[:, None], y, train, test)
    assert again == found  # test images are not read


def test_collapsed_encoders(measure_term: Measure) -> None:
    y = np.arange(100) % 5
    train, test = np.arange(50), np.arange(50, 100)
    constant = measure_term("transferability", np.full((100, 1, 3), 0.3), y, train, test)
    assert constant.reason == "features are constant"
    corners = measure_term("transferability", np.eye(5)[y][:, None], y, train, test)
    assert corners[""].reason.startswith("features fit class c0 exactly")
    assert corners["n-leep"].value == 0
    noise = np.random.default_rng(3).normal(size=(120, 1, 5))
    shrunk = measure_term("transferability", noise, np.arange(120) % 3, np.arange(60), np.arange(60, 120))
    assert (shrunk["h-score"].value, shrunk["h-score"].interval) == (0, None)
    assert shrunk["h-score"].no_interval.startswith("it is the same without any group")
    lone = measure_term("transferability", np.eye(100)[:, None], np.zeros(100, int), train, test)
    assert lone.reason == "fewer than two classes have training images"


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    X, y = drawn(5, 200, 8)
    there = torch.from_numpy(X).cuda()
    assert logme(there, y).value == pytest.approx(logme(X, y).value, rel=1e-9)
    assert logme(there, y).error == pytest.approx(logme(X, y).error, rel=1e-6)
    assert h_score(there, y).value == pytest.approx(h_score(X, y).value, rel=1e-9)
