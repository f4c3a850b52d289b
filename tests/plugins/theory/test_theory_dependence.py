"""Covariances within classes and rho2, against sums over samples, recomputation and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from sslaudit_theory.independence.dependence import (
    covariance_statistic,
    debiased_cka,
    effect_of,
    pooled_statistic,
    unbiased_hsic,
    within_class_rv,
)
from sslaudit_theory.independence.strata import Stratum, split

F4 = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0], [3.0, 1.0]])
Z4 = np.array([[0.0], [1.0], [3.0], [-1.0]])

shapes = st.tuples(st.integers(0, 2**31), st.integers(4, 9), st.integers(1, 12), st.integers(1, 12))


def pair(seed: int, n: int, wide: int, narrow: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n, wide)) + rng.normal(size=wide)
    z = rng.normal(size=(n, narrow)) + 0.5 * f[:, :1] + rng.normal(size=narrow)
    return f, z


def naive_hsic(f: np.ndarray, z: np.ndarray) -> float:
    """Song et al.'s sums over pairs, paths and quadruples of different samples."""
    n, K, L = len(f), f @ f.T, z @ z.T
    pairs = sum(K[i, j] * L[i, j] for i, j in itertools.permutations(range(n), 2))
    paths = sum(K[i, j] * L[i, q] for i, j, q in itertools.permutations(range(n), 3))
    fours = sum(K[i, j] * L[q, r] for i, j, q, r in itertools.permutations(range(n), 4))
    return (
        pairs / (n * (n - 1))
        - 2 * paths / (n * (n - 1) * (n - 2))
        + fours / (n * (n - 1) * (n - 2) * (n - 3))
    )


def naive_rho2(groups: list[tuple[np.ndarray, np.ndarray]], weights: list[float]) -> float:
    totals = [0.0, 0.0, 0.0]
    for (f, z), weight in zip(groups, weights, strict=True):
        for place, (a, b) in enumerate([(f, z), (f, f), (z, z)]):
            totals[place] += weight * naive_hsic(a, b)
    return totals[0] / math.sqrt(totals[1] * totals[2])


def naive_covariance(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    out = np.zeros((f.shape[1], z.shape[1]))
    for i in range(len(f)):
        out += np.outer(f[i] - f.mean(axis=0), z[i] - z.mean(axis=0)) / len(f)
    return out


def test_the_unbiased_estimate_of_six_samples() -> None:
    f = [
        [-0.8, -1.32, -0.25],
        [0.42, 1.14, 0.11],
        [-0.55, -0.78, 0.75],
        [1.63, 0.27, -1.23],
        [-0.96, 1.6, 0.2],
        [-1.73, -0.08, -1.16],
    ]
    z = [[1.05, 1.78], [-2.55, -0.14], [1.01, 1.35], [0.65, 1.5], [0.29, 0.55], [0.18, -1.07]]
    assert unbiased_hsic(f, z) == pytest.approx(0.13600999344444434, rel=1e-10)


@settings(deadline=None)
@given(shapes)
def test_hsic_against_sums_over_different_samples(shape: tuple[int, int, int, int]) -> None:
    """Wide shapes take the Gram form and narrow ones the factor form."""
    f, z = pair(*shape)
    scale = math.sqrt(naive_hsic(f, f) * naive_hsic(z, z)) + 1e-3
    assert unbiased_hsic(f, z) == pytest.approx(naive_hsic(f, z), rel=1e-9, abs=1e-10 * scale)
    assert unbiased_hsic(z, f) == pytest.approx(unbiased_hsic(f, z), rel=1e-9, abs=1e-10 * scale)


@pytest.mark.parametrize(("n", "wide", "narrow"), [(200, 3, 2), (20, 300, 40), (20, 300, 1)])
def test_both_forms_are_one_number(n: int, wide: int, narrow: int) -> None:
    """Columns of zeros change the number of steps of the factor form and nothing else."""
    f, z = pair(5, n, wide, narrow)
    padded = np.hstack([f, np.zeros((n, 5000))])
    padded_z = np.hstack([z, np.zeros((n, 5000))])
    assert unbiased_hsic(padded, padded_z) == pytest.approx(unbiased_hsic(f, z), rel=1e-11)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(wide, wide)))[0]
    assert unbiased_hsic(f @ rotation + 3, z - 7) == pytest.approx(unbiased_hsic(f, z), rel=1e-9)


def test_unbiased_over_permutations_with_a_known_variance() -> None:
    """Over all permutations of z the mean is 0 and the variance 2 HSIC_u(F, F) HSIC_u(Z, Z) / (n (n - 3))."""
    f, z = pair(1, 6, 4, 2)
    values = [unbiased_hsic(f, z[list(order)]) for order in itertools.permutations(range(6))]
    assert np.mean(values) == pytest.approx(0, abs=1e-14)
    assert np.var(values) == pytest.approx(2 * unbiased_hsic(f, f) * unbiased_hsic(z, z) / 18, rel=1e-10)


def test_the_plain_coefficient() -> None:
    """RV coefficient and linear CKA of four samples, which are one number."""
    stratum = split(F4, Z4, [0] * 4, smallest=1).kept[0]
    five = split(np.tile(F4, (2, 1)), np.tile(Z4, (2, 1)), [0] * 8).kept
    assert effect_of(five).plug_in == pytest.approx(0.8686460014773139, rel=1e-12)
    K, L = stratum.f @ stratum.f.T, stratum.z @ stratum.z.T
    cka = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert cka == pytest.approx(0.8686460014773139, rel=1e-12)


def test_the_plain_coefficient_errs_upwards_in_many_dimensions() -> None:
    rng = np.random.default_rng(0)
    effect = within_class_rv(rng.normal(size=(40, 500)), rng.normal(size=(40, 300)), np.arange(40) % 2)
    assert effect.plug_in is not None
    assert effect.rho2 is not None
    assert effect.plug_in > 0.9
    assert abs(effect.rho2) < 0.2


def test_covariances_of_opposite_sign_cancel_in_the_pooled_one_only() -> None:
    f = np.array([[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]])
    z = np.array([[0.0], [1.0], [2.0], [2.0], [1.0], [0.0]])
    strata = split(f, z, [0, 0, 0, 1, 1, 1], smallest=1).kept
    assert covariance_statistic(strata) == pytest.approx(4 / 9, rel=1e-12)
    assert pooled_statistic(strata) == pytest.approx(0, abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(5, 8), min_size=1, max_size=3), st.integers(1, 9))
def test_classes_against_loops_and_recomputation_without_each_sample(
    seed: int, sizes: list[int], wide: int
) -> None:
    groups = [pair(seed + k, n, wide, 2) for k, n in enumerate(sizes)]
    total = sum(sizes)
    weights = [n / total for n in sizes]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    f, z = np.concatenate([one[0] for one in groups]), np.concatenate([one[1] for one in groups])
    order = np.random.default_rng(seed).permutation(total)
    effect = within_class_rv(f[order], z[order], labels[order], level=0.9)
    strata = split(f[order], z[order], labels[order]).kept

    covariances = [naive_covariance(*one) for one in groups]
    squares = [
        sum(
            w * np.square(naive_covariance(one[a], one[b])).sum()
            for w, one in zip(weights, groups, strict=True)
        )
        for a, b in ((0, 1), (0, 0), (1, 1))
    ]
    assert covariance_statistic(strata) == pytest.approx(squares[0], rel=1e-9)
    pooled = np.square(sum(w * c for w, c in zip(weights, covariances, strict=True))).sum()
    assert pooled_statistic(strata) == pytest.approx(pooled, rel=1e-9, abs=1e-12)
    assert effect.plug_in == pytest.approx(squares[0] / math.sqrt(squares[1] * squares[2]), rel=1e-9)
    assert effect.rho2 == pytest.approx(naive_rho2(groups, weights), rel=1e-8, abs=1e-9)
    for rho2, one in zip(effect.classes, groups, strict=True):
        assert rho2 == pytest.approx(naive_rho2([one], [1.0]), rel=1e-8, abs=1e-9)

    variance = 0.0
    for k, n in enumerate(sizes):
        others = []
        for i in range(n):
            rest = [
                tuple(np.delete(rows, i, axis=0) for rows in one) if j == k else one
                for j, one in enumerate(groups)
            ]
            others.append(naive_rho2(rest, weights))
        variance += (n - 1) / n * sum((value - np.mean(others)) ** 2 for value in others)
    half = norm.ppf(0.95) * math.sqrt(variance)
    assert effect.interval is not None
    assert effect.rho2 is not None
    assert effect.interval.low == pytest.approx(max(-1, effect.rho2 - half), rel=1e-6, abs=1e-7)
    assert effect.interval.high == pytest.approx(min(1, effect.rho2 + half), rel=1e-6, abs=1e-7)
    assert (effect.interval.level, "jackknife" in effect.interval.method) == (0.9, True)


@settings(deadline=None)
@given(shapes)
def test_one_stratum_and_its_range(shape: tuple[int, int, int, int]) -> None:
    seed, n, wide, narrow = shape
    f, z = pair(seed, n + 1, wide, narrow)
    cka = debiased_cka(f, z)
    assert cka is not None
    assert -1 <= cka <= 1
    assert within_class_rv(f, z, np.full(n + 1, 7)).rho2 == pytest.approx(cka, rel=1e-12)
    assert debiased_cka(f, 3 * f + 1) == pytest.approx(1, rel=1e-12)
    whole = math.sqrt(unbiased_hsic(f, f) * unbiased_hsic(z, z))
    assert cka == pytest.approx(unbiased_hsic(f, z) / whole, rel=1e-9, abs=1e-12)


def test_the_mean_of_a_class_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    f, z, labels = rng.normal(size=(60, 4)), rng.normal(size=(60, 2)), np.arange(60) % 3
    z[:, 0] += f[:, 0]
    shift = np.array([[0.0], [50.0], [-900.0]])[labels]
    here, there = within_class_rv(f, z, labels), within_class_rv(5 * (f + shift), z - shift, labels)
    assert there.rho2 == pytest.approx(here.rho2, rel=1e-8)
    assert there.interval is not None
    assert here.interval is not None
    assert there.interval.low == pytest.approx(here.interval.low, rel=1e-6)


def test_strata_keep_what_is_large_enough() -> None:
    f, z = pair(0, 12, 3, 2)
    strata = split(f, z, [9] * 5 + [-2] * 4 + [4] + [7, 7])
    assert [(own.label, own.n, own.weight) for own in strata.kept] == [(9, 5, 1.0)]
    assert strata.dropped == ((-2, 4), (4, 1), (7, 2))
    assert strata.trivial == ""
    assert split(f, z, np.arange(12)).kept == ()
    assert split(f, z, np.arange(12)).trivial == ""


@pytest.mark.parametrize(
    ("flat_f", "flat_z", "trivial"),
    [
        ((), (0, 1), "z constant within classes"),
        ((0, 1), (), "f constant within classes"),
        ((0, 1), (0, 1), "f and z constant within classes"),
        ((0,), (1,), "f or z constant within each class"),
        ((0, 1), (1,), "f constant within classes"),
        ((0,), (0,), ""),
    ],
)
def test_what_is_constant(flat_f: tuple[int, ...], flat_z: tuple[int, ...], trivial: str) -> None:
    """Up to the rounding of single precision, with a value of its own in each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    f, z = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    for rows, flat in ((f, flat_f), (z, flat_z)):
        for k in flat:
            rows[labels == k] = rng.normal(size=rows.shape[1]) * (1 + 1e-7 * rng.normal(size=(20, 1)))
    strata = split(f.astype(np.float32), z.astype(np.float32), labels)
    assert strata.trivial == trivial
    for own in strata.kept:
        assert own.constant == " and ".join(
            name for name, flat in (("f", flat_f), ("z", flat_z)) if own.label in flat
        )
        assert (own.constant == "") == (own in strata.varying)


def test_a_small_spread_on_a_large_offset_is_no_constant() -> None:
    rng = np.random.default_rng(0)
    f = 1e4 + 0.1 * rng.normal(size=(20, 3))
    assert split(f, rng.normal(size=(20, 1)), np.zeros(20)).kept[0].constant == ""


def test_all_length_in_one_sample_has_no_denominator() -> None:
    f, z = np.zeros((6, 1)), np.arange(6.0)[:, None]
    f[0] = 1
    effect = within_class_rv(f, z, np.zeros(6))
    assert (effect.rho2, effect.interval, effect.scale, effect.classes) == (None, None, None, (None,))
    assert effect.plug_in is not None
    assert debiased_cka(f, z) is None
    f[1] = 2
    effect = within_class_rv(f, z, np.zeros(6))
    assert effect.rho2 is not None
    assert effect.interval is None  # without one of the two there is no denominator


@pytest.mark.parametrize(
    ("f", "z", "labels", "message"),
    [
        (np.ones((6, 2)), np.ones((5, 2)), np.zeros(6), "6, 5 and 6"),
        (np.ones((6, 2)), np.ones((6, 2)), np.zeros(5), "6, 6 and 5"),
        (np.ones(6), np.ones((6, 2)), np.zeros(6), r"f is \(n, d\)"),
        (np.ones((6, 2)), np.ones(6), np.zeros(6), r"z is \(n, d\)"),
        (np.full((6, 2), np.nan), np.ones((6, 2)), np.zeros(6), "f is not finite"),
        (np.ones((6, 2)), np.full((6, 2), np.inf), np.zeros(6), "z is not finite"),
        (np.full((6, 2), 1e70), np.ones((6, 2)), np.zeros(6), "rescale"),
        (np.ones((6, 2)), np.full((6, 2), 1e-70), np.zeros(6), "rescale"),
        (np.ones((6, 2)), np.ones((6, 2)), np.full(6, 0.5), "whole numbers"),
        (np.ones((6, 2)), np.ones((6, 2)), np.full(6, np.nan), "whole numbers"),
        (np.ones((6, 2)), np.ones((6, 2)), np.zeros((6, 1)), "whole numbers"),
        (np.ones((6, 2)), np.ones((6, 2)), ["a"] * 6, "whole numbers"),
        (np.ones((6, 2)), np.ones((6, 2)), np.arange(6), "no class is left"),
    ],
)
def test_refusals(f: np.ndarray, z: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        within_class_rv(f, z, labels)


def test_refusals_of_too_few_samples() -> None:
    with pytest.raises(ValueError, match="four samples"):
        unbiased_hsic(F4[:3], Z4[:3])
    with pytest.raises(ValueError, match="five of each class"):
        effect_of([Stratum(0, F4, Z4, 1.0)])
    with pytest.raises(ValueError, match="no class"):
        pooled_statistic([])
    assert covariance_statistic([]) == 0
