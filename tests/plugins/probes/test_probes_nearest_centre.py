"""The nearest-centre classifier against loops, scikit-learn and its tie rule."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from sslaudit.results import Estimate
from sslaudit.stats import wilson
from sslaudit.store import PART_IMAGES
from sslaudit_probes import classify_by_centre

Measure = Callable[..., Estimate]


def drawn(seed: int, n: int, v: int, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Views (n, v, d) of three overlapping classes, as float32 holds them, and labels."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 3)
    views = generator.normal(size=(3, 1, d))[labels] + generator.normal(size=(n, v, d))
    return views.astype(np.float32).astype(np.float64), labels


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 5))
def test_against_distances(seed: int, classes: int, d: int) -> None:
    generator = np.random.default_rng(seed)
    query, centres = generator.normal(size=(9, d)), generator.normal(size=(classes, d))
    expected = []
    for q in query:
        distances = [math.dist(q, centre) for centre in centres]
        expected.append(distances.index(min(distances)))
    np.testing.assert_array_equal(classify_by_centre(query, centres), expected)


def test_ties_go_to_the_first_class() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(37, 129))
    centres[20] = centres[5]
    np.testing.assert_array_equal(classify_by_centre(centres[[20, 5]], centres), [5, 5])
    middle = np.array([[0.1, 0.3]])
    offset = np.array([0.2, 0.7])
    assert classify_by_centre(middle, np.array([[9.0, 9.0], middle[0] + offset, middle[0] - offset]))[0] == 1


def test_the_metric(measure_term: Measure) -> None:
    views, labels = drawn(1, PART_IMAGES + 60, 3)
    train, test = np.arange(0, len(labels), 2), np.arange(1, len(labels), 2)
    estimate = measure_term("nearest-centre", views, labels, train, test, classes=("a", "b", "c"))
    unit = views / np.linalg.norm(views, axis=2, keepdims=True)
    other = NearestCentroid().fit(unit[train].reshape(-1, 5), np.repeat(labels[train], 3))
    predicted = other.predict(unit[test, 0])
    correct = predicted == labels[test]
    assert estimate.value == pytest.approx(correct.mean())
    assert 0.4 < estimate.value < 1
    assert estimate.interval == wilson(int(correct.sum()), len(test))
    assert [estimate.samples["prediction"][i] for i in test] == ["abc"[k] for k in predicted]
    assert [estimate.samples["correct"][i] for i in test] == correct.astype(int).tolist()
    assert {estimate.samples[name][i] for name in ("prediction", "correct") for i in train} == {None}


def test_centres_are_not_normalised_again(measure_term: Measure) -> None:
    wide = [[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]]  # a class whose centre is near the origin
    tight = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    query = [[-0.8, 0.6]]
    views = np.array([*wide, *tight, *query])[:, None]
    estimate = measure_term("nearest-centre", views, [0, 0, 0, 1, 1, 1, 1], range(6), [6])
    assert estimate.value == 1
    to_wide, to_tight = (math.dist(query[0], np.mean(rows, axis=0)) for rows in (wide, tight))
    assert to_tight < to_wide
    assert math.dist(query[0], [0, 1]) > math.dist(query[0], [-1, 0])  # normalised, class 0 would win


def test_test_images_and_their_views_shape_no_centre(measure_term: Measure) -> None:
    views, labels = drawn(2, 40, 3)
    train, test = np.arange(20), np.arange(20, 40)
    before = measure_term("nearest-centre", views, labels, train, test)
    views[test, 1:] = np.random.default_rng(0).normal(size=views[test, 1:].shape)
    assert measure_term("nearest-centre", views, labels, train, test).samples == before.samples


def test_neither_scale_nor_order_of_training_images_matters(measure_term: Measure) -> None:
    views, labels = drawn(3, 60, 2)
    train, test = np.arange(40), np.arange(40, 60)
    order = np.concatenate([np.random.default_rng(4).permutation(40), test])
    scale = np.random.default_rng(5).uniform(0.1, 9, (60, 2, 1))
    first = measure_term("nearest-centre", views, labels, train, test)
    second = measure_term("nearest-centre", (scale * views)[order], labels[order], train, test)
    assert first.samples == second.samples


def test_a_collapsed_encoder_names_the_first_class(measure_term: Measure) -> None:
    estimate = measure_term(
        "nearest-centre", np.full((8, 2, 3), 0.3), [0, 1, 1, 1, 0, 1, 1, 0], range(4), range(4, 8)
    )
    assert estimate.value == 0.5
    assert estimate.details["majority"] == 0.5
    assert set(estimate.samples["prediction"][4:]) == {"c0"}


@pytest.mark.parametrize("norm", ["sphere", "as-is", "center-sphere"])
def test_centres_and_queries_take_the_same_norm(measure_term: Measure, norm: str) -> None:
    views, labels = drawn(6, 200, 2)
    views = (
        (np.random.default_rng(0).uniform(0.2, 3, (200, 1, 1)) * (views + 1.5))
        .astype(np.float32)
        .astype(float)
    )
    train, test = np.arange(0, 200, 2), np.arange(1, 200, 2)
    moved = views - views[train].mean(axis=(0, 1)) if norm == "center-sphere" else views
    if norm != "as-is":
        moved = moved / np.linalg.norm(moved, axis=2, keepdims=True)
    centres = [moved[train][labels[train] == k].mean(axis=(0, 1)) for k in range(3)]
    expected = []
    for image in test:
        apart = [math.dist(moved[image, 0], centre) for centre in centres]
        expected.append(f"c{apart.index(min(apart))}")
    estimate = measure_term(f"nearest-centre(norm={norm})", views, labels, train, test)
    assert [estimate.samples["prediction"][i] for i in test] == expected
    said = {"sphere": "Unit norm;", "as-is": "Norms as they are;", "center-sphere": "Mean of the training"}
    assert estimate.note.startswith(said[norm])


def test_small_norms_are_no_ties(measure_term: Measure) -> None:
    views, labels = drawn(7, 60, 2)
    train, test = np.arange(40), np.arange(40, 60)
    first = measure_term("nearest-centre(norm=as-is)", views, labels, train, test)
    second = measure_term("nearest-centre(norm=as-is)", 1e-6 * views, labels, train, test)
    assert first.samples == second.samples
