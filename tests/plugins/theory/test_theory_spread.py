"""The exact decomposition of V_l and its bounds, against double loops, closed forms and five encoders."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.classes.spread import (
    Decomposition,
    cantelli_bound,
    cantelli_pairs,
    cdnv_bound,
    decomposition,
    held_back_by,
)

shapes = st.tuples(
    st.integers(0, 2**31), st.integers(1, 4), st.integers(0, 9), st.integers(1, 4), st.integers(1, 5)
)


class Pieces:
    """Views read a few images at a time."""

    def __init__(self, views: np.ndarray, size: int) -> None:
        self.views, self.size = views, size

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(self.views), self.size):
            block = self.views[start : start + self.size]
            yield slice(start, start + len(block)), block


def random_views(seed: int, K: int, more: int, V: int, D: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.arange(K), rng.integers(0, K, more)]))
    means = rng.normal(size=(K, D))[labels] + 0.5 * rng.normal(size=(len(labels), D))
    return means[:, None] + 0.2 * rng.normal(size=(len(labels), V, D)), labels


def naive(views: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """All of it, one view at a time."""
    K, V = int(labels.max()) + 1, views.shape[1]
    members = [[i for i in range(len(labels)) if labels[i] == k] for k in range(K)]
    mu = [sum(views[i, v] for i in own for v in range(V)) / (len(own) * V) for own in members]
    align, covariance, variance = np.zeros(K), np.zeros(K), np.zeros(K)
    distances, along = np.zeros((K, K)), np.zeros((K, K))
    for k, own in enumerate(members):
        for i in own:
            mean = sum(views[i, v] for v in range(V)) / V
            covariance[k] += math.dist(mean, mu[k]) ** 2 / len(own)
            for v in range(V):
                variance[k] += math.dist(views[i, v], mu[k]) ** 2 / (len(own) * V)
                for w in range(V):
                    align[k] += math.dist(views[i, v], views[i, w]) ** 2 / (len(own) * V * V)
        for j in range(K):
            if j != k:
                distances[k, j] = math.dist(mu[k], mu[j])
                direction = (mu[j] - mu[k]) / distances[k, j]
                along[k, j] = np.mean(
                    [((views[i, v] - mu[k]) @ direction) ** 2 for i in own for v in range(V)]
                )
    return {
        "centres": np.array(mu),
        "alignment": align,
        "concentration": covariance,
        "variance": variance,
        "distances": distances,
        "along": along,
    }


@given(shapes, st.integers(1, 5))
def test_against_double_loops(shape: tuple[int, int, int, int, int], size: int) -> None:
    views, labels = random_views(*shape)
    expected = naive(views, labels)
    for source in (views, Pieces(views, size)):
        found = decomposition(source, labels)
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
    if len(found.sizes) == 1:
        with pytest.raises(ValueError, match="two classes"):
            cdnv_bound(found)
        return
    K = len(found.sizes)
    for k in range(K):
        others = [j for j in range(K) if j != k]
        nearest = min(expected["distances"][k, j] for j in others)
        assert cdnv_bound(found)[k] == pytest.approx(min(1, 4 * expected["variance"][k] / nearest**2))
        pairs = [
            expected["along"][k, j] / (expected["along"][k, j] + expected["distances"][k, j] ** 2 / 4)
            for j in others
        ]
        assert cantelli_pairs(found)[k, others] == pytest.approx(pairs)
        assert cantelli_bound(found)[k] == pytest.approx(min(1, sum(pairs)))


@given(shapes)
def test_the_bounds_bound_the_error_of_a_view(shape: tuple[int, int, int, int, int]) -> None:
    seed, K, more, V, D = shape
    views, labels = random_views(seed, K + 1, more, V, D)
    parts = decomposition(views, labels)
    distances = np.linalg.norm(views[:, :, None] - parts.centres, axis=3)
    nearer = distances <= np.take_along_axis(distances, labels[:, None, None], axis=2)
    for k in range(K + 1):
        confused = nearer[labels == k].mean(axis=(0, 1))
        wrong = (nearer[labels == k].sum(axis=2) > 1).mean()
        assert (np.delete(confused - cantelli_pairs(parts)[k], k) <= 1e-12).all()
        assert wrong <= min(cdnv_bound(parts)[k], cantelli_bound(parts)[k]) + 1e-12


def test_closed_forms() -> None:
    """Two classes at 0 and 10 on a line; images at -1 and 1 round the first, views .5 round those."""
    views = np.array([[[-1.5], [-0.5]], [[0.5], [1.5]], [[10.0], [10.0]]])
    parts = decomposition(views, [0, 0, 1])
    assert parts.alignment.tolist() == [0.5, 0]
    assert parts.concentration.tolist() == [1, 0]
    assert parts.variance.tolist() == [1.25, 0]
    assert cdnv_bound(parts).tolist() == [0.05, 0]
    assert cantelli_pairs(parts).tolist() == pytest.approx(np.array([[0, 1.25 / 26.25], [0, 0]]))
    assert cantelli_bound(parts) == pytest.approx([1.25 / 26.25, 0])


def test_unit_features_split_the_sphere() -> None:
    views, labels = random_views(0, 3, 20, 4, 5)
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    parts = decomposition(views, labels)
    np.testing.assert_allclose(parts.variance, 1 - np.square(parts.centres).sum(axis=1), rtol=1e-12)


def test_close_classes_keep_their_digits() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 3, 4))
    labels = np.arange(20) % 2
    base += labels[:, None, None]
    near, far = decomposition(base * 1e-6 + 1, labels), decomposition(base, labels)
    np.testing.assert_allclose(near.variance, far.variance * 1e-12, rtol=1e-7)
    np.testing.assert_allclose(near.along, far.along * 1e-12, rtol=1e-7)
    np.testing.assert_allclose(cdnv_bound(near), cdnv_bound(far), rtol=1e-7)


def test_constant_features_have_no_spread_and_no_distance() -> None:
    parts = decomposition(np.full((7, 3, 4), 0.1), [0, 0, 0, 0, 1, 1, 1])
    assert not parts.variance.any()
    assert not parts.distances.any()
    assert cdnv_bound(parts).tolist() == cantelli_bound(parts).tolist() == [1, 1]
    assert held_back_by(parts).factor == "divergence"


def simplex(K: int) -> np.ndarray:
    corners = np.eye(K) - 1 / K
    return corners / np.linalg.norm(corners, axis=1, keepdims=True)


def encoder(
    kind: str, *, K: int = 6, n: int = 80, V: int = 5, tightness: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Unit features of one synthetic encoder; directions off the simplex carry the noise."""
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(K), n)
    D = K + 20
    centres = np.zeros((K, D))
    centres[:, :K] = simplex(K)
    noise = {"image": 0.02, "view": 0.02}
    if kind == "misaligned views":
        noise["view"] = tightness
    elif kind == "spread classes":
        noise["image"] = tightness
    elif kind == "close centres":
        centres = 0.1 * centres
        centres[:, -1] = 1
    elif kind == "collapsed":
        centres[:] = centres[0]
        noise = {"image": 0, "view": 0}
    elif kind == "perfect":
        noise = {"image": 0, "view": 0}
    image = centres[labels][:, None] + noise["image"] * rng.normal(size=(len(labels), 1, D))
    views = image + noise["view"] * rng.normal(size=(len(labels), V, D))
    return views / np.linalg.norm(views, axis=2, keepdims=True), labels


@pytest.mark.parametrize("tightness", [0.06, 0.15, 0.5, 3.0])
def test_five_encoders_get_their_own_answers(tightness: float) -> None:
    kinds = ["perfect", "misaligned views", "spread classes", "close centres", "collapsed"]
    found = {kind: held_back_by(decomposition(*encoder(kind, tightness=tightness))) for kind in kinds}
    assert {kind: answer.factor for kind, answer in found.items()} == {
        "perfect": None,
        "misaligned views": "alignment",
        "spread classes": "concentration",
        "close centres": "divergence",
        "collapsed": "divergence",
    }
    for kind, answer in found.items():
        assert sum(answer.shares.values()) == pytest.approx(0 if kind == "perfect" else 1)
        assert answer.factor is None or answer.shares[answer.factor] == max(answer.shares.values()) > 0.5
        assert str(answer) == (answer.factor or "nothing")


def test_held_back_on_the_edges() -> None:
    opposite = np.array([[[1.0, 0.0]], [[-1.0, 0.0]]])
    ends = np.concatenate([opposite, opposite[:, :, ::-1]])
    spread_to_the_middle = held_back_by(decomposition(ends, [0, 0, 1, 1]))
    assert spread_to_the_middle.factor == "concentration"
    views_to_the_middle = held_back_by(decomposition(ends.reshape(2, 2, 2), [0, 1]))
    assert views_to_the_middle.factor == "alignment"
    same = np.array([[[1.0, 0.1]], [[1.0, -0.1]]] * 2)
    assert held_back_by(decomposition(same, [0, 0, 1, 1])).factor == "divergence"
    assert held_back_by(decomposition(np.zeros((4, 2, 3)), [0, 0, 1, 1])).factor == "divergence"
    with pytest.raises(ValueError, match="two classes"):
        held_back_by(decomposition(ends, [0, 0, 0, 0]))


@given(shapes, st.floats(0.01, 100))
def test_the_answer_does_not_know_the_scale(shape: tuple[int, int, int, int, int], scale: float) -> None:
    seed, K, more, V, D = shape
    views, labels = random_views(seed, K + 1, more, V, D)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))[0]
    found = held_back_by(decomposition(views, labels))
    moved = held_back_by(decomposition(scale * views @ rotation, labels))
    assert moved.shares == pytest.approx(found.shares, rel=1e-6, abs=1e-9)


def test_the_mean_square_splits_into_four() -> None:
    """E ||f||^2 = alignment + concentration + common directions + what holds the classes apart."""
    views, labels = encoder("close centres")
    parts = decomposition(views, labels)
    K = len(parts.sizes)
    length = np.square(parts.centres).sum(axis=1).mean()
    apart = np.mean([parts.distances[i, j] ** 2 for i in range(K) for j in range(K) if i != j])
    held = apart * (K - 1) / (2 * K)
    common = np.square(parts.centres.mean(axis=0)).sum()
    assert length == pytest.approx(held + common, rel=1e-12)
    assert parts.variance.mean() + length == pytest.approx(1, rel=1e-12)
    assert (parts.nearest**2).mean() <= apart


@pytest.mark.parametrize(
    ("views", "labels", "message"),
    [
        (np.zeros((2, 1, 2)), [0, 2], r"classes \[1\]"),
        (np.zeros((2, 1, 2)), [0, -1], "0..K-1"),
        (np.zeros((0, 1, 2)), [], "one image"),
        (np.zeros((2, 1, 2)), [0, 0, 1], "labels? for|one label"),
        (np.zeros((2, 2)), [0, 1], "N, V, D"),
        (np.full((2, 1, 2), np.nan), [0, 1], "finite"),
        (np.zeros((2, 0, 2)), [0, 1], "N, V, D"),
    ],
)
def test_refusals(views: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decomposition(views, labels)


def test_pieces_that_end_early() -> None:
    with pytest.raises(ValueError, match="3 labels for 2 images"):
        decomposition(Pieces(np.zeros((2, 1, 2)), 1), [0, 1, 1])


def test_many_classes_in_little_memory() -> None:
    K, D = 300, 64
    rng = np.random.default_rng(0)
    labels = np.arange(2 * K) % K
    views = rng.normal(size=(K, D))[labels][:, None] + 0.1 * rng.normal(size=(2 * K, 2, D))
    parts = decomposition(Pieces(views, 100), labels)
    assert isinstance(parts, Decomposition)
    assert cantelli_pairs(parts).shape == (K, K)
    assert cdnv_bound(parts).max() < 0.2
