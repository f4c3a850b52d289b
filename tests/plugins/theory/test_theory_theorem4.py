"""Theorem 4 and its tighter forms: closed forms, identities, and random worlds that may break no bound."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.classes.centres import class_centres, delta_mu
from sslaudit_theory.losses.cross_correlation import cross_correlation_split, standardise
from sslaudit_theory.losses.theorem4 import (
    can_inform,
    least_sum,
    theorem4_bound,
    theorem4_centred,
    theorem4_tight,
    whitening_limits,
    within_class_scatter,
)


def world(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Standardised views (N, V, D) of a few classes, from collapsed to noise, with N above and below D."""
    classes, dim = int(generator.integers(2, 5)), int(generator.integers(1, 9))
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, generator.integers(1, 12))])
    shape = (len(labels), int(generator.integers(1, 4)), dim)
    noise = generator.choice([1e-3, 0.1, 1.0])
    views = generator.normal(size=(classes, dim))[labels][:, None] + noise * generator.normal(size=shape)
    return standardise(views), labels, classes


def test_printed_bound_at_the_best_loss() -> None:
    few = float(theorem4_bound(503, 0, 0.1, 0.1, 512, 10))
    assert [few, few / 512] == pytest.approx([224.4994432064365, 0.4384754750125713], abs=1e-9)
    many = float(theorem4_bound(1949, 0, 0.01, 0.01, 2048, 100))
    assert many / 2048 == pytest.approx(2.156191617755822, abs=1e-9)


def test_centred_bound_at_the_best_loss_is_that_of_a_simplex() -> None:
    assert float(theorem4_centred(503, 0, 0.1, 0.1, 512, 10)) == pytest.approx(-1, abs=1e-9)


def test_a_simplex_of_collapsed_classes_is_the_best_loss() -> None:
    classes = 4  # the rows of an orthogonal matrix beside the constant one
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    views, labels = corners.repeat(2, axis=0)[:, None], np.arange(classes).repeat(2)
    split = cross_correlation_split(views)
    assert split.regularisation == pytest.approx(3 - classes + 1, abs=1e-12)
    centres = class_centres(views[:, 0], labels, classes)
    bound = theorem4_centred(split.regularisation, 0, 0.25, 0.25, 3, classes)
    assert float(bound) == pytest.approx((centres @ centres.T)[0, 1], abs=1e-6)


@given(st.integers(0, 2**31))
def test_what_classes_leave_of_the_correlation_is_their_scatter(seed: int) -> None:
    features, labels, classes = world(np.random.default_rng(seed))
    n, dim = len(features), features.shape[2]
    means = [sum(image) / len(image) for image in features]
    scatter, left = np.zeros((dim, dim)), cross_correlation_split(features).correlation.copy()
    for k in range(classes):
        own = [mean for mean, label in zip(means, labels, strict=True) if label == k]
        centre = sum(own) / len(own)
        for mean in own:
            scatter += np.outer(mean - centre, mean - centre) / n
        left -= len(own) / n * np.outer(centre, centre)
    found = within_class_scatter(features, labels, classes)
    np.testing.assert_allclose(found, scatter, atol=1e-12)
    np.testing.assert_allclose(left, scatter, atol=1e-12)


def test_no_bound_is_broken_in_random_worlds() -> None:
    generator, informative = np.random.default_rng(0), 0
    for _ in range(400):
        features, labels, classes = world(generator)
        d = features.shape[2]
        split = cross_correlation_split(features)
        scatter = float(np.linalg.norm(within_class_scatter(features, labels, classes)))
        centres = class_centres(features.mean(axis=1), labels, classes)
        priors = np.bincount(labels) / len(labels)
        first, second = np.triu_indices(classes, 1)
        products = (centres @ centres.T)[first, second]
        rest = priors[first], priors[second], d, classes
        printed = theorem4_bound(split.regularisation, scatter**2, *rest)
        tight = theorem4_tight(split.regularisation, scatter, *rest)
        centred = theorem4_centred(split.regularisation, scatter, *rest)
        assert (tight >= np.abs(products) - 1e-6).all()
        assert (centred >= products - 1e-6).all()
        assert (centred <= tight + 1e-9).all()
        assert (tight <= printed + 1e-9).all()
        assert math.sqrt(split.regularisation) + scatter >= least_sum(d, classes) - 1e-9
        informative += int((centred < d).sum())
    assert informative > 50


@given(st.integers(2, 4000), st.integers(2, 200))
def test_it_can_inform_where_its_value_at_the_least_loss_is_below_d(d: int, classes: int) -> None:
    if d < classes:
        assert not can_inform(d, classes)
        return
    bound = float(theorem4_bound(d - classes + 1, 0, 1 / classes, 1 / classes, d, classes))
    assert bound == pytest.approx(classes * math.sqrt(d - classes + 2), rel=1e-9)
    if abs(bound / d - 1) > 1e-9:
        assert can_inform(d, classes) == (bound < d)


def test_about_the_square_of_the_classes() -> None:
    assert can_inform(512, 10)
    assert not can_inform(64, 10)
    assert not can_inform(2048, 100)
    assert can_inform(10_000, 100)


def test_whitened_features_keep_their_centres_short() -> None:
    generator, classes, dim = np.random.default_rng(1), 5, 40
    labels = np.arange(200) % classes
    raw = generator.normal(size=(classes, dim))[labels] * 5 + generator.normal(size=(200, dim))
    raw -= raw.mean(axis=0)
    left, _, right = np.linalg.svd(raw, full_matrices=False)
    white = math.sqrt(200) * left @ right
    split = cross_correlation_split(white[:, None])
    assert split.regularisation == pytest.approx(0, abs=1e-20)
    limits = whitening_limits(dim, classes)
    found = delta_mu(white, labels, classes, r=math.sqrt(dim), unbiased=False)
    assert found >= limits.delta_mu - 1e-12
    assert limits.delta_mu == pytest.approx(1 - 4 / 40)
    squares = np.square(class_centres(white, labels, classes)).sum(axis=1)
    assert squares.mean() <= classes - 1 + 1e-9


def test_aligned_collapsed_classes_are_never_bounded() -> None:
    generator, classes, dim = np.random.default_rng(4), 4, 30
    labels = np.arange(20) % classes
    features = standardise(generator.normal(size=(classes, dim))[labels][:, None])
    split = cross_correlation_split(features)
    assert split.regularisation >= dim**2 / (classes - 1) - dim - 1e-9
    assert float(theorem4_centred(split.regularisation, 0, 0.25, 0.25, dim, classes)) > dim


def test_whitening_limits() -> None:
    assert whitening_limits(512, 10).beta == pytest.approx(0.867, abs=5e-4)
    assert whitening_limits(3, 10).beta == 0
    assert whitening_limits(3, 10).delta_mu == 0
    assert least_sum(512, 10) == pytest.approx(math.sqrt(503))
    assert least_sum(3, 10) == 0


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no features"):
        theorem4_bound(0, 0, 0.1, 0.1, 512, 10)
    with pytest.raises(ValueError, match="no features"):
        theorem4_tight(400, 0, 0.1, 0.1, 512, 10)
    with pytest.raises(ValueError, match="no features"):
        theorem4_centred(502, 0, 0.1, 0.1, 512, 10)
    with pytest.raises(ValueError, match="have no images"):
        within_class_scatter(np.ones((2, 1, 1)), np.array([0, 2]), 3)
