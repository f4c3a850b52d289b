"""The map of embeddings: its planes against plain computations, and what it shows of hard inputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.figures import Scatter
from sslaudit_probes import centre_plane, closest_centres, principal_directions, principal_plane

Measure = Callable[..., Any]


def clouds(n: int = 90, V: int = 4, D: int = 7, K: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Views (n, V, D) of K classes, and their labels."""
    generator = np.random.default_rng(0)
    labels = np.arange(n) % K
    centres = 3 * generator.normal(size=(K, D))
    images = centres[labels] + generator.normal(size=(n, D))
    return images[:, None] + generator.normal(size=(n, V, D)) / 5, labels


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32).astype(np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize(("n", "dim"), [(40, 6), (6, 40), (2, 3), (5, 1)])
def test_principal_directions_are_those_of_the_covariance(n: int, dim: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, dim)) * np.arange(1, dim + 1)
    found = principal_directions(rows, 2)
    _, singular, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    for place in range(2):
        if place < min(n - 1, dim):
            expected = right[place] * np.sign(right[place][np.abs(right[place]).argmax()])
            np.testing.assert_allclose(found[place], expected, atol=1e-9)
        else:
            assert not found[place].any()
    share = np.square(singular[:2]).sum() / np.square(singular).sum()
    assert principal_plane(rows).kept(rows) == pytest.approx(share)


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(2, 6))
def test_the_closest_centres_and_the_one_nearest_to_them(seed: int, K: int, D: int) -> None:
    centres = np.random.default_rng(seed).normal(size=(K, D))
    pairs = [(np.linalg.norm(centres[i] - centres[j]), i, j) for i in range(K) for j in range(i + 1, K)]
    _, first, second = min(pairs)
    middle = (centres[first] + centres[second]) / 2
    others = [(np.linalg.norm(centres[k] - middle), k) for k in range(K) if k not in (first, second)]
    assert closest_centres(centres) == (first, second, min(others)[1])


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_the_plane_goes_through_the_centres_and_turns_with_them(seed: int, D: int) -> None:
    generator = np.random.default_rng(seed)
    centres, rows = generator.normal(size=(3, D)), generator.normal(size=(9, D))
    turn, _ = np.linalg.qr(generator.normal(size=(D, D)))
    plane = centre_plane(centres, rows)
    at = plane.coordinates(centres)
    apart = np.linalg.norm(centres[1] - centres[0])
    np.testing.assert_allclose(at[:2], [[-apart / 2, 0], [apart / 2, 0]], atol=1e-9)
    assert at[2, 1] > 0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(at[i] - at[j]) == pytest.approx(np.linalg.norm(centres[i] - centres[j]))
    turned = centre_plane(centres @ turn, rows @ turn)
    np.testing.assert_allclose(turned.coordinates(rows @ turn), plane.coordinates(rows), atol=1e-8)
    assert 0 <= plane.kept(rows) <= 1


def test_two_centres_and_the_spread_across_their_line() -> None:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(200, 4)) * [9, 1, 5, 1]
    plane = centre_plane([[0, 0, 0, 0], [2, 0, 0, 0]], rows)
    assert plane.axes[0].tolist() == [1, 0, 0, 0]
    assert abs(plane.axes[1, 2]) > 0.98
    assert plane.axes[1, 2] > 0
    on_a_line = centre_plane([[0, 0, 0, 0], [2, 0, 0, 0], [7, 0, 0, 0]], rows)
    np.testing.assert_allclose(on_a_line.axes, plane.axes, atol=1e-12)
    with pytest.raises(ValueError, match="two class centres coincide"):
        centre_plane([[1, 1], [1, 1], [2, 3]], rows[:, :2])
    with pytest.raises(ValueError, match="two centres"):
        closest_centres([[1.0, 2.0]])


def test_the_metric(measure_term: Measure) -> None:
    views, labels = clouds(K=5)
    found = measure_term("embedding-map", views, labels, classes=list("abcde"))
    images = unit(views[:, 0])
    centres = np.array([images[labels == k].mean(axis=0) for k in range(5)])
    closest = closest_centres(centres)
    of_them = images[np.isin(labels, closest)]
    plane = centre_plane(centres[list(closest)], of_them)
    assert found.value == pytest.approx(plane.kept(of_them), abs=1e-6)
    assert found.details["principal_components"] == pytest.approx(
        principal_plane(images).kept(images), abs=1e-6
    )
    assert found.details["classes"] == ", ".join("abcde"[k] for k in closest)
    assert (found.interval, found.minor, found.claim) == (None, True, "measured")
    first, second = found.figures
    assert isinstance(first, Scatter)
    assert first.equal
    assert [group.name for group in first.groups] == [*sorted("abcde"[k] for k in closest), "class centres"]
    assert [group.name for group in second.groups] == list("abcde")
    marked = first.groups[-1]
    assert marked.labels == tuple("abcde"[k] for k in closest)
    at = plane.coordinates(centres[list(closest)])
    np.testing.assert_allclose(np.transpose([marked.x, marked.y]), at, atol=1e-3)
    drawn = {pair for group in first.groups for pair in zip(group.x, group.y, strict=True)}
    seen = {tuple(pair) for pair in np.round(plane.coordinates(unit(views)), 3).reshape(-1, 2).tolist()}
    assert len(first.lines) == len(second.lines) == 6
    for line in first.lines:
        points = list(zip(line.x, line.y, strict=True))
        assert len(points) == 7, "there and back for three views"
        assert set(points[::2]) == {points[0]} <= drawn
        assert {tuple(pair) for pair in np.round(points, 3).tolist()} <= seen
        assert line.name in {group.name for group in first.groups}
    assert found == measure_term("embedding-map", views, labels, classes=list("abcde"))


def test_without_labels_and_without_views(measure_term: Measure) -> None:
    views, labels = clouds()
    plain = measure_term("embedding-map", views[:, :1])
    (figure,) = plain.figures
    assert [(group.name, len(group.x)) for group in figure.groups] == [("images", 90)]
    assert not figure.lines, "one view is the image itself"
    images = unit(views[:, 0])
    assert plain.value == pytest.approx(principal_plane(images).kept(images), abs=1e-6)
    alone = measure_term("embedding-map", views, np.zeros(90), classes=["only"])
    assert [group.name for group in alone.figures[0].groups] == ["only"]
    two = measure_term("embedding-map", views, labels % 2)
    assert [group.name for group in two.figures[0].groups] == ["c0", "c1", "class centres"]
    assert two.figures[0].groups[-1].y == (0, 0)


def test_many_classes_are_one_group_but_for_the_closest(measure_term: Measure) -> None:
    generator = np.random.default_rng(5)
    labels = np.repeat(np.arange(1000), 2)
    views = generator.normal(size=(1000, 12))[labels][:, None] + generator.normal(size=(2000, 2, 12)) / 9
    found = measure_term("embedding-map", views, labels)
    first, second = found.figures
    assert len(first.groups) == 4
    assert sum(len(group.x) for group in second.groups) == 240
    assert second.groups[-1].name == "other classes"
    assert len(second.groups) <= 4
    assert found.details["images"] == 6


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_only_directions_count(measure_term: Measure, scale: float) -> None:
    views, labels = clouds(D=3)
    found, scaled = (measure_term("embedding-map", s * views, labels) for s in (1.0, scale))
    assert scaled.value == pytest.approx(found.value, rel=1e-5)


def test_collapsed_features_and_too_few_of_them(measure_term: Measure) -> None:
    assert (
        measure_term("embedding-map", np.ones((9, 2, 4))).reason == "zero variance: all embeddings are equal"
    )
    assert measure_term("embedding-map", np.ones((1, 2, 4))).verdict == "not-applicable"
    zero = np.zeros((5, 2, 4))
    assert measure_term("embedding-map", zero).reason.startswith("fewer than two images")
    zero[:2, :, :2] = np.eye(2)[:, None]
    assert measure_term("embedding-map", zero, [0, 1, 1, 1, 1]).value == pytest.approx(1)
    line = measure_term("embedding-map", np.array([[[1.0]], [[-2.0]], [[3.0]]]), [0, 1, 0])
    assert line.value == pytest.approx(1)
    assert line.figures[1].groups[0].y == (0, 0)
    same = np.tile(np.eye(3), (4, 1))[:, None]  # two classes of equal images
    alike = measure_term("embedding-map", same, np.arange(12) // 3 % 2)
    assert "coincide" in alike.note
    assert len(alike.figures) == 1
