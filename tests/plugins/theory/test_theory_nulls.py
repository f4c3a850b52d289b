"""Permutations and signs of residual products, against enumeration, closed forms and their own other form."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit_theory.independence import nulls
from sslaudit_theory.independence.dependence import covariance_statistic, unbiased_hsic
from sslaudit_theory.independence.nulls import multiplier_null, permutation_null
from sslaudit_theory.independence.strata import Stratum, split

F4 = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0], [3.0, 1.0]])
Z4 = np.array([[0.0], [1.0], [3.0], [-1.0]])


def classes(seed: int, sizes: tuple[int, ...], wide: int, narrow: int) -> tuple[Stratum, ...]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    f = rng.normal(size=(len(labels), wide))
    z = rng.normal(size=(len(labels), narrow)) + 0.4 * f[:, :1]
    return split(f, z, labels, smallest=4).kept


def padded(strata: tuple[Stratum, ...], f: int = 0, z: int = 0) -> list[Stratum]:
    """The same with columns of zeros, which change nothing but the number of steps."""
    return [
        Stratum(
            own.label,
            np.hstack([own.f, np.zeros((own.n, f))]),
            np.hstack([own.z, np.zeros((own.n, z))]),
            own.weight,
        )
        for own in strata
    ]


def u_centred(rows: np.ndarray) -> np.ndarray:
    """The Gram matrix without diagonal, centred so that rows add up to 0: from its definition."""
    n = len(rows)
    gram = np.array([[0.0 if i == j else rows[i] @ rows[j] for j in range(n)] for i in range(n)])
    out = np.zeros((n, n))
    for i, j in itertools.permutations(range(n), 2):
        out[i, j] = gram[i, j] - (gram[i].sum() + gram[j].sum()) / (n - 2) + gram.sum() / ((n - 1) * (n - 2))
    return out


def signed(own: Stratum, signs: tuple[int, ...]) -> float:
    n, a, b = own.n, u_centred(own.f), u_centred(own.z)
    total = sum(signs[i] * signs[j] * a[i, j] * b[i, j] for i in range(n) for j in range(n))
    return float(own.weight * total / (n * (n - 3)))


def test_the_mean_over_permutations_and_an_exact_p() -> None:
    strata = split(F4, Z4, np.zeros(4), smallest=1).kept
    null = permutation_null(strata, np.random.default_rng(0))
    assert (null.exact, len(null.values), null.smallest) == (True, 24, 1 / 24)
    expected = np.square(strata[0].f).sum() * np.square(strata[0].z).sum() / (16 * 3)
    assert expected == pytest.approx(1.9596354166666667, rel=1e-12)
    assert null.values.mean() == pytest.approx(1.9596354166666667, rel=1e-12)
    assert null.p == 2 / 24


def test_the_mean_over_draws_is_the_product_of_traces() -> None:
    """E ||S_fz||_F^2 = tr S_f tr S_z / (n - 1) for independent f and z, with S over n."""
    strata = classes(2, (60,), 30, 20)
    null = permutation_null(strata, np.random.default_rng(0), draws=4000)
    own = strata[0]
    expected = np.square(own.f).sum() / 60 * np.square(own.z).sum() / 60 / 59
    error = null.values.std() / math.sqrt(4000)
    assert abs(null.values.mean() - expected) < 4 * error
    assert error < 0.002 * expected


@pytest.mark.parametrize(("sizes", "wide"), [((5,), 2), ((6,), 9), ((4, 5), 3), ((7,), 1)])
def test_all_permutations_against_loops(sizes: tuple[int, ...], wide: int) -> None:
    strata = classes(1, sizes, wide, 2)
    null = permutation_null(strata, np.random.default_rng(0))
    each = [
        [
            own.weight * np.square(own.f.T @ own.z[list(order)] / own.n).sum()
            for order in itertools.permutations(range(own.n))
        ]
        for own in strata
    ]
    naive = np.array([sum(values) for values in itertools.product(*each)])
    assert null.exact
    np.testing.assert_allclose(np.sort(null.values), np.sort(naive), rtol=1e-9, atol=1e-12)
    assert null.observed == pytest.approx(naive[0], rel=1e-10)
    assert null.p == (naive >= naive[0] * (1 - 1e-9)).sum() / len(naive)


@pytest.mark.parametrize(("sizes", "wide"), [((5,), 2), ((7,), 9), ((4, 5), 3)])
def test_all_signs_against_loops(sizes: tuple[int, ...], wide: int) -> None:
    strata = classes(3, sizes, wide, 2)
    null = multiplier_null(strata, np.random.default_rng(0))
    each = [
        [
            math.sqrt((own.n - 1) / (own.n - 3)) * signed(own, signs)
            for signs in itertools.product((-1, 1), repeat=own.n)
        ]
        for own in strata
    ]
    naive = np.array([sum(values) for values in itertools.product(*each)])
    assert null.exact
    np.testing.assert_allclose(np.sort(null.values), np.sort(naive), rtol=1e-9, atol=1e-12)
    observed = sum(own.weight * unbiased_hsic(own.f, own.z) for own in strata)
    assert null.observed == pytest.approx(observed, rel=1e-10)
    assert null.observed == pytest.approx(sum(signed(own, (1,) * own.n) for own in strata), rel=1e-10)
    assert null.values.mean() == pytest.approx(0, abs=1e-12)
    assert null.p == (1 + (naive >= observed - 1e-9 * abs(observed)).sum()) / (1 + len(naive))
    assert null.smallest == (1 + 2 ** len(sizes)) / (1 + len(naive))


def test_the_spread_under_signs_is_that_under_permutations() -> None:
    """On average over permutations of z; the factor is what makes it so, and it is large for few samples."""
    rng = np.random.default_rng(0)
    f, z = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    spreads, values = [], []
    for order in itertools.permutations(range(6)):
        strata = split(f, z[list(order)], np.zeros(6)).kept
        null = multiplier_null(strata, rng)
        spreads.append(np.var(null.values))
        values.append(null.observed)
    assert np.mean(spreads) == pytest.approx(np.var(values), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.lists(st.integers(9, 40), min_size=1, max_size=3),
    st.integers(1, 30),
    st.integers(0, 20),
)
def test_every_form_gives_the_same_draws(seed: int, sizes: list[int], narrow: int, more: int) -> None:
    """Zeros lead from the factor form to the Gram form, and from f as it is to its thin form."""
    strata = classes(seed, tuple(sizes), narrow + more, narrow)
    for test in (multiplier_null, permutation_null):
        here = test(strata, np.random.default_rng(seed), draws=25)
        for wider in ({"f": 300}, {"z": 300}, {"f": 4000, "z": 4000}):
            there = test(padded(strata, **wider), np.random.default_rng(seed), draws=25)
            np.testing.assert_allclose(
                there.values, here.values, rtol=1e-8, atol=1e-9 * np.abs(here.values).max()
            )
            assert there.p == here.p


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((40, 3, 2), (40, 2, 3), (60, 60, 50)):
        strata = classes(0, shape[:1], *shape[1:])
        runs = []
        for held in (2**22, 5000, 1):
            monkeypatch.setattr(nulls, "_HELD", held)
            rng = np.random.default_rng(1)
            runs.append([multiplier_null(strata, rng, 30).values, permutation_null(strata, rng, 30).values])
        for other in runs[1:]:
            for first, second in zip(runs[0], other, strict=True):
                np.testing.assert_allclose(second, first, rtol=1e-9, atol=1e-12)


def test_equal_inputs_give_equal_bytes() -> None:
    strata = classes(0, (30, 30), 8, 3)
    for test in (multiplier_null, permutation_null):
        first, second = (test(strata, np.random.default_rng(5)) for _ in range(2))
        assert first.values.tobytes() == second.values.tobytes()
        assert first.p == second.p
        assert test(strata, np.random.default_rng(6)).values.tobytes() != first.values.tobytes()


def test_what_is_drawn_is_what_is_said() -> None:
    """p is (1 + #) / (B + 1), and T and N are the statistics of the samples themselves."""
    strata = classes(4, (40, 25), 6, 2)
    permuted = permutation_null(strata, np.random.default_rng(0), draws=200)
    signs = multiplier_null(strata, np.random.default_rng(0), draws=200)
    assert not permuted.exact
    assert not signs.exact
    assert permuted.observed == pytest.approx(covariance_statistic(strata), rel=1e-12)
    assert signs.observed == pytest.approx(
        sum(own.weight * unbiased_hsic(own.f, own.z) for own in strata), rel=1e-10
    )
    for null in (permuted, signs):
        assert len(null.values) == 200
        assert null.p == (1 + (null.values >= null.observed).sum()) / 201
        assert null.smallest == 1 / 201


def test_ties_count_in_spite_of_rounding() -> None:
    """z takes two values, so that many permutations give T itself."""
    rng = np.random.default_rng(0)
    f = np.round(rng.normal(size=(7, 1)), 1)
    z = np.array([[0.1]] * 6 + [[0.7]])
    strata = split(f, z, np.zeros(7)).kept
    distances = np.abs(f - f.mean())[:, 0]
    expected = (distances >= distances[6] - 1e-12).mean()
    assert permutation_null(strata, rng).p == pytest.approx(expected, rel=1e-12)


def test_a_perfect_covariance_has_the_least_p() -> None:
    f = np.random.default_rng(0).normal(size=(50, 3))
    strata = split(f, f, np.zeros(50)).kept
    for test in (multiplier_null, permutation_null):
        assert test(strata, np.random.default_rng(0), draws=199).p == 1 / 200


def test_memory_stays_small() -> None:
    rng = np.random.default_rng(0)
    strata = split(rng.normal(size=(3000, 64)), rng.normal(size=(3000, 32)), np.arange(3000) % 2).kept
    for test in (multiplier_null, permutation_null):
        tracemalloc.start()
        test(strata, rng, draws=20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 250e6


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    strata = classes(0, (9,), 2, 2)
    for test in (multiplier_null, permutation_null):
        with pytest.raises(ValueError, match="no class"):
            test([], rng)
        with pytest.raises(ValueError, match="one draw"):
            test(strata, rng, draws=0)
    with pytest.raises(ValueError, match="four samples"):
        multiplier_null(split(F4[:3], Z4[:3], np.zeros(3), smallest=1).kept, rng)
