"""Theorem 3 and its replacements: closed forms, and random worlds in which no bound may be broken."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.losses.infonce import infonce_split
from sslaudit_theory.losses.readings import reading
from sslaudit_theory.losses.theorem3 import infonce_floor, theorem3_bound, theorem3_sharp, theorem3_tau

L2 = 1.503204434039084
"""Of two perfectly aligned, orthogonal images."""


@dataclass(frozen=True)
class World:
    regularisation: float
    positive: np.ndarray
    overlap: np.ndarray
    priors: np.ndarray


def world(generator: np.random.Generator, *, length: float = 1.0) -> World:
    """A few images of two to four classes, aligned well in some classes and badly in others."""
    classes = int(generator.integers(2, 5))
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, generator.integers(0, 6))])
    dim, count = int(generator.integers(2, 4)), int(generator.integers(1, 4))
    centres = generator.normal(size=(classes, dim))
    noise = generator.exponential(size=classes) * generator.integers(0, 2, classes)
    views = centres[labels][:, None] + noise[labels][:, None, None] * generator.normal(
        size=(len(labels), count, dim)
    )
    views *= length / np.linalg.norm(views, axis=2, keepdims=True)
    positive, mu = np.zeros(classes), np.zeros((classes, dim))
    for k in range(classes):
        own = views[labels == k]
        positive[k] = np.mean([a @ b for image in own for a in image for b in image])
        mu[k] = own.mean(axis=(0, 1))
    return World(infonce_split(views).regularisation, positive, mu @ mu.T, np.bincount(labels) / len(labels))


def test_printed_bound_of_two_orthogonal_classes() -> None:
    assert float(theorem3_bound(L2, 0.5, 0.5)) == pytest.approx(6.006143379188872, abs=1e-9)


def test_least_printed_bound_of_aligned_features() -> None:
    least = float(theorem3_bound(math.log(1 + math.e), 0.5, 0.5))
    assert least == pytest.approx(5.2387238244494645, abs=1e-9)
    assert least == pytest.approx(math.log((1 + math.e) ** 4 - math.e), abs=1e-9)


def test_ten_balanced_classes_have_at_least_131() -> None:
    assert 131 < float(theorem3_bound(math.log(1 + math.e), 0.1, 0.1)) < 132


def test_the_printed_bound_informs_only_below_an_alignment_of_no_use() -> None:
    products = np.linspace(-1, 1, 2001)
    bounds = theorem3_bound(np.log1p(np.exp(products)), 0.5, 0.5)
    informative = products[bounds < 1]
    assert informative.max() == pytest.approx(-0.641, abs=1e-3)
    assert bounds[products > -0.64].min() > 1


def test_a_thousand_classes_do_not_overflow() -> None:
    bound = theorem3_bound(1.4, 1e-3, 1e-3, eps=0.5, tau=0.1)
    assert float(bound) == pytest.approx(1.5e6, rel=1e-12)


def test_eps_and_tau_only_loosen_it() -> None:
    least = theorem3_bound(L2, 0.5, 0.5)
    assert theorem3_bound(L2, 0.5, 0.5, eps=0.3) > least
    assert theorem3_bound(L2, 0.5, 0.5, tau=0.1) > least


@given(st.floats(0.0, 3.0), st.floats(-1.0, 1.0))
def test_sharp_bound_of_two_balanced_classes_has_a_closed_form(excess: float, positive: float) -> None:
    l2 = math.log(1 + math.exp(positive)) + excess
    inside = (math.exp(2 * l2) - math.exp(2 * positive) - 1) / (2 * math.exp(positive))
    expected = math.acosh(max(1.0, inside))
    assert float(theorem3_sharp(l2, 0.5, 0.5, positive)) == pytest.approx(expected, rel=1e-9, abs=3e-6)


def test_sharp_bound_of_two_orthogonal_classes() -> None:
    assert float(theorem3_sharp(L2, 0.5, 0.5, 1.0)) == pytest.approx(1.4126710041390143, abs=1e-9)


@given(st.floats(0.02, 0.5), st.floats(0.02, 0.5), st.floats(-1, 1), st.floats(-1, 1), st.floats(1e-3, 2.0))
def test_sharp_bound_is_the_largest_product_that_fits(
    p_k: float, p_l: float, positive: float, others: float, excess: float
) -> None:
    w = 2 * p_k * p_l
    l2 = math.log(1 + math.exp(w * positive + (1 - w) * others)) + excess

    def left(s: float) -> float:
        rest = math.log(math.exp(others) + math.exp(-w * s / (1 - w)))
        return w * math.log(math.exp(positive) + math.exp(s)) + (1 - w) * rest

    bound = float(theorem3_sharp(l2, p_k, p_l, positive, others))
    if bound < 500:
        assert left(bound) == pytest.approx(l2, rel=1e-9)
    for further in (0.01, 1.0, 10.0):
        if bound + further < 500:
            assert left(bound + further) > l2


def test_sharp_bounds_of_many_pairs_are_those_of_each() -> None:
    p_k, p_l = np.array([0.5, 0.1, 0.3]), np.array([0.4, 0.2, 0.3])
    positive, others = np.array([1.0, 0.5, 0.0]), np.array([0.9, 0.6, 0.0])
    together = theorem3_sharp(1.6, p_k, p_l, positive, others)
    each = [float(theorem3_sharp(1.6, *pair)) for pair in zip(p_k, p_l, positive, others, strict=True)]
    np.testing.assert_allclose(together, each, rtol=1e-12)


def test_sharp_bound_of_one_pair_of_ten_needs_the_best_loss() -> None:
    least = math.log(1 + math.e)
    assert float(theorem3_sharp(least + 0.001, 0.1, 0.1, 1.0)) < 1
    assert float(theorem3_sharp(least + 0.003, 0.1, 0.1, 1.0)) > 1


@pytest.mark.parametrize("length", [1.0, 0.3, 5.0])
def test_no_bound_is_broken_in_random_worlds(length: float) -> None:
    generator = np.random.default_rng(int(10 * length))
    for _ in range(400):
        w = world(generator, length=length)
        pair = first, second = np.triu_indices(len(w.priors), 1)
        p_k, p_l, products = w.priors[first], w.priors[second], w.overlap[pair]
        assert infonce_floor(w.positive, w.overlap, w.priors) <= w.regularisation + 1e-12 * length**2
        share = 2 * p_k * p_l
        inside = (w.positive[first] + w.positive[second]) / 2
        others = (w.priors @ w.positive - share * inside) / (1 - share)
        assert (theorem3_sharp(w.regularisation, p_k, p_l, inside, others) >= products - 1e-9).all()
        # With one product of positives for all classes, the smallest is on the safe side.
        assert (theorem3_sharp(w.regularisation, p_k, p_l, w.positive.min()) >= products - 1e-9).all()
        for eps in (0.0, 0.5) if length == 1.0 else ():
            tau = theorem3_tau(w.positive, w.overlap, w.priors, eps)
            assert (tau >= 0).all()
            assert (theorem3_bound(w.regularisation, p_k, p_l, eps=eps, tau=tau[pair]) >= products).all()


def test_floor_against_loops() -> None:
    w = world(np.random.default_rng(3))
    total = 0.0
    for k, p_k in enumerate(w.priors):
        for other, p_l in enumerate(w.priors):
            total += p_k * p_l * math.log(math.exp(w.positive[k]) + math.exp(w.overlap[k, other]))
    assert infonce_floor(w.positive, w.overlap, w.priors) == pytest.approx(total, rel=1e-12)


def test_the_floor_is_reached_by_collapsed_classes() -> None:
    views = np.repeat(np.eye(3), 2, axis=0)[:, None].repeat(2, axis=1)
    split = infonce_split(views)
    floor = infonce_floor(np.ones(3), np.eye(3), np.full(3, 1 / 3))
    assert floor == pytest.approx(split.regularisation, rel=1e-12)


def test_tau_is_nothing_for_perfectly_aligned_features() -> None:
    tau = theorem3_tau(np.ones(2), np.eye(2), np.full(2, 0.5), eps=0.0)
    np.testing.assert_array_equal(tau, 0)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="so small a regularisation part"):
        theorem3_bound(0.2, 0.5, 0.5)
    with pytest.raises(ValueError, match="at this alignment"):
        theorem3_sharp(1.3, 0.5, 0.5, 1.0)
    with pytest.raises(ValueError, match="shares are above 0"):
        theorem3_bound(1.5, 0.0, 0.5)
    with pytest.raises(ValueError, match="at most 1 together"):
        theorem3_sharp(1.5, 0.7, 0.5, 1.0)


def test_a_bound_above_the_trivial_one_is_called_vacuous() -> None:
    assert reading(np.array([131.0, 140.0]), 1.0).startswith("vacuous, gives no guarantee: 131 at best")
    assert "1 of 2 pairs" in reading(np.array([0.5, 2.0]), 1.0)
    assert reading(np.array([1.0]), 1.0).startswith("vacuous")
    with pytest.raises(ValueError, match="two classes"):
        reading(np.array([]), 1.0)
