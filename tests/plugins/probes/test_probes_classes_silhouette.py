"""Silhouettes against scikit-learn, their jackknife against leaving out, and the metric."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples

from sslaudit_probes.classes import silhouette as module
from sslaudit_probes.classes.silhouette import silhouette

Measure = Callable[..., Any]


def blobs(seed: int, n: int, classes: int, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of two images at least."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), np.arange(classes), generator.integers(0, classes, n)])
    return generator.normal(size=(classes, d))[labels] + generator.normal(size=(len(labels), d)), labels


def test_four_points_on_a_line() -> None:
    found = silhouette(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1]))
    assert found.value == pytest.approx(0.899749373433584, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 9), st.integers(2, 5), st.integers(1, 50))
def test_against_sklearn_and_against_leaving_out(seed: int, n: int, classes: int, held: int) -> None:
    X, y = blobs(seed, n, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_HELD", held)
        found = silhouette(X, y)
    np.testing.assert_allclose(found.samples, silhouette_samples(X, y), rtol=1e-9, atol=1e-12)
    without = [silhouette(np.delete(X, i, axis=0), np.delete(y, i)).value for i in range(len(y))]
    np.testing.assert_allclose(found.without, without, rtol=1e-9, atol=1e-12)
    spread = np.square(without - np.mean(without)).sum()
    assert found.error == pytest.approx(np.sqrt((len(y) - 1) / len(y) * spread), rel=1e-9)


def test_by_loops() -> None:
    X, y = blobs(0, 6, 3)
    distances = np.array([[np.linalg.norm(a - b) for b in X] for a in X])
    for i, value in enumerate(silhouette(X, y).samples):
        a = distances[i][(y == y[i]) & (np.arange(len(y)) != i)].mean()
        b = min(distances[i][y == k].mean() for k in set(y) - {y[i]})
        assert value == pytest.approx((b - a) / max(a, b), rel=1e-9)


def test_neither_rotation_nor_scale_nor_offset_matters() -> None:
    X, y = blobs(1, 20, 3)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(
        silhouette(torch.from_numpy(50 * X @ turn + 9), y).samples, silhouette(X, y).samples, rtol=1e-9
    )


def test_duplicates_lone_images_and_one_point() -> None:
    X = np.repeat([[0.3, 0.1], [0.3, 0.7]], 3, axis=0).astype(np.float32)
    assert silhouette(X, np.repeat([0, 1], 3)).samples.tolist() == [1.0] * 6
    same = silhouette(np.ones((4, 2)), np.array([0, 0, 1, 1]))
    assert same.samples.tolist() == [0.0] * 4
    lone = silhouette(np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 1]))
    assert lone.samples[2] == 0
    assert (lone.without, lone.error) == (None, None)
    with pytest.raises(ValueError, match="two classes"):
        silhouette(X, np.zeros(6, dtype=int))
    with pytest.raises(ValueError, match="not all finite"):
        silhouette(np.array([[np.inf], [0.0]]), np.array([0, 1]))


def test_the_metric(measure_term: Measure) -> None:
    X, y = blobs(2, 60, 3)
    X = X.astype(np.float32).astype(np.float64)
    X[0] = 9  # a class of its own, which is left out
    y[0] = 3
    train, test = np.arange(40), np.arange(40, 66)
    found = measure_term("silhouette", X[:, None], y, train, test)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert found[""].value == pytest.approx(silhouette_samples(unit[1:], y[1:]).mean(), rel=1e-9)
    assert found[""].interval.low < found[""].value < found[""].interval.high
    assert found[""].details["images"] == 65
    assert found[""].details["reading"] == f"least: {found[''].details['least_class']}"
    assert (found["k-means"].minor, found["k-means"].interval) == (True, None)
    fewer = measure_term("silhouette(images=30)", X[:, None], y, train, test)
    assert fewer[""].details["images"] <= 30
    assert fewer == measure_term("silhouette(images=30)", X[:, None], y, train, test)


def test_a_collapsed_encoder(measure_term: Measure) -> None:
    y = np.arange(12) % 3
    found = measure_term("silhouette", np.full((12, 1, 4), 0.3), y, range(6), range(6, 12))
    assert found.reason == "all embeddings point the same way: features are constant"
    alone = measure_term("silhouette", np.eye(4)[:, None], range(4), range(2), range(2, 4))
    assert alone.reason == "fewer than two classes have two drawn images"
    two = measure_term("silhouette", np.eye(4)[y % 2][:, None], y, range(6), range(6, 12))
    assert two[""].value == pytest.approx(1 / 3)  # two points for three classes: an empty cluster
    assert -0.5 <= two["k-means"].value <= 1


@pytest.mark.slow
def test_intervals_cover() -> None:
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 30)
    pairs = []
    for _ in range(300):
        found = silhouette(1.5 * np.eye(3)[y] + generator.normal(size=(90, 3)), y)
        pairs.append((found.value, found.error))
    value, error = np.array(pairs).T
    assert 0.92 < np.mean(np.abs(value - value.mean()) < 1.96 * error) < 0.98


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    X, y = blobs(3, 100, 4)
    there = silhouette(torch.from_numpy(X).cuda(), y)
    np.testing.assert_allclose(there.samples, silhouette(X, y).samples, rtol=1e-9)
    np.testing.assert_allclose(there.without, silhouette(X, y).without, rtol=1e-9)
