"""SelfCluster against double loops, cosines and closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.results import Estimate
from sslaudit_probes.shape.jackknife import pair_mean
from sslaudit_probes.shape.sample import unit_matrix
from sslaudit_probes.shape.self_cluster import crowding_means, self_cluster, smaller_gram, vendi

Measure = Callable[..., Estimate]


def naive(features: np.ndarray) -> float:
    """The closed form, with ||X X'||_F^2 by double loops."""
    rows = [row / np.sqrt(sum(v * v for v in row)) for row in features]
    n, d = features.shape
    norm = sum(sum(a * b for a, b in zip(f, g, strict=True)) ** 2 for f in rows for g in rows)
    return float((d * norm - n * (d + n - 1)) / ((d - 1) * (n - 1) * n))


def test_printed_cases() -> None:
    assert self_cluster(np.eye(4)) == pytest.approx(-1 / 3, rel=1e-12)
    assert self_cluster(np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]])) == pytest.approx(1, rel=1e-12)
    assert self_cluster(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(1, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 14), st.integers(2, 9))
def test_against_double_loops(seed: int, n: int, d: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, d)) + 0.3
    assert self_cluster(features) == pytest.approx(naive(features), rel=1e-9, abs=1e-12)
    assert self_cluster(torch.tensor(features)) == self_cluster(features)
    assert -1 / (max(n, d) - 1) - 1e-12 <= self_cluster(features) <= 1 + 1e-12


def test_the_smallest_value_is_that_of_a_tight_frame() -> None:
    angles = np.arange(5) * np.pi / 5
    frame = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert self_cluster(frame) == pytest.approx(-1 / 4, rel=1e-12)
    assert self_cluster(np.eye(3, 7)) == pytest.approx(-1 / 6, rel=1e-12)


def test_uniform_directions_give_zero_on_average() -> None:
    generator = np.random.default_rng(0)
    values = [self_cluster(generator.normal(size=(30, 6))) for _ in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)


def test_rotation_and_scale_do_not_change_it() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(20, 5)) + 1
    rotation = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    changed = features @ rotation * generator.uniform(0.1, 1e4, size=(20, 1))
    assert self_cluster(changed) == pytest.approx(self_cluster(features), rel=1e-9)


@pytest.mark.parametrize("shape", [(25, 4), (12, 30)])
def test_the_error_is_that_of_leaving_images_out(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(2).normal(size=shape) + 0.4
    n = len(features)
    without = np.array([self_cluster(np.delete(features, i, axis=0)) for i in range(n)])
    expected = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    assert pair_mean(crowding_means(features))[1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(25, 4), (4, 25)])
def test_vendi_score(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(3).normal(size=shape)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 1e-12]
    expected = np.exp(-(values * np.log(values)).sum())
    assert vendi(smaller_gram(unit_matrix(features))) == pytest.approx(expected, rel=1e-9)
    assert vendi(smaller_gram(unit_matrix(np.eye(5)))) == pytest.approx(5)
    assert vendi(smaller_gram(unit_matrix(np.ones((4, 3))))) == pytest.approx(1)


def test_what_it_refuses() -> None:
    for features in (np.ones((1, 3)), np.ones((3, 1))):
        with pytest.raises(ValueError, match="two rows and two dimensions"):
            self_cluster(features)
    with pytest.raises(ValueError, match="zero"):
        self_cluster(np.zeros((3, 3)))


def test_the_metric(measure_term: Measure) -> None:
    features = np.random.default_rng(4).normal(size=(40, 6)).astype(np.float32)
    features[3] = 0
    found = measure_term("self-cluster", features[:, None])
    assert found.value == pytest.approx(naive(np.delete(features, 3, axis=0).astype(float)), abs=1e-7)
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert "Left out: 1 images" in found.note
    assert found.details["lowest"] == -1 / 38


def test_collapsed_embeddings_are_defined(measure_term: Measure) -> None:
    found = measure_term("self-cluster", np.full((100, 1, 64), 0.3))
    assert (found.value, found.interval.low, found.interval.high) == (1, 1, 1)  # type: ignore[union-attr]
    assert "trivial" in found.note
    assert measure_term("self-cluster", np.zeros((4, 1, 3))).reason == "all embeddings are zero"
    assert measure_term("self-cluster", np.ones((4, 1, 1))).verdict == "not-applicable"
    assert measure_term("self-cluster", np.eye(2, 3)[:, None]).no_interval == "two images only"
