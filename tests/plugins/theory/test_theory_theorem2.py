"""Theorem 2's eta against its definition on a grid, and the bounds against worlds of finitely many views."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit_theory.positives.pairs import alignment, r_eps, sup_alignment
from sslaudit_theory.positives.theorem2 import (
    Bound,
    eta,
    finite_bank_bound,
    sharp_bank_bound,
    theorem2_bound,
)


def objective(h: np.ndarray, eps: float, L: float, M: float, n: int, m: int) -> np.ndarray:
    return 4 * np.maximum(1, m**2 * h ** (2 * n)) / (h ** (2 * n) * (eps - 2 * math.sqrt(n) * L * M * h))


@pytest.mark.parametrize(
    ("eps", "L", "M", "n", "m", "expected"),
    [
        (0.5, 1, 1, 1, 2, 864.0),
        (1.0, 2.0, 0.5, 2, 3, 3125.0),
        (0.5, 1, 1, 0, 3, 72.0),
        (4.0, 0.1, 1, 1, 3, 4 * 9 / (4 - 0.2 / 3)),  # the kink at h = 1/m is the minimum
        (2.0, 0, 1, 3, 2, 8.0),  # a constant encoder: only the discrete transforms count
        (1.0, 0.01, 1, 1, 0, 4 / 0.98),  # no discrete transform: h is the whole cube
    ],
)
def test_closed_forms(eps: float, L: float, M: float, n: int, m: int, expected: float) -> None:
    assert eta(eps, L, M, n, m) == pytest.approx(expected, rel=1e-12)


@given(st.floats(0.01, 2), st.floats(0.05, 5), st.floats(0.05, 5), st.integers(1, 5), st.integers(1, 9))
def test_against_a_fine_grid(eps: float, L: float, M: float, n: int, m: int) -> None:
    largest = min(1.0, eps / (2 * math.sqrt(n) * L * M))
    h = largest * np.exp(np.linspace(-6, -1e-9, 200_000))
    grid = objective(h, eps, L, M, n, m).min()
    assert grid * (1 - 3e-4) <= eta(eps, L, M, n, m) <= grid * (1 + 1e-7)


def test_order_in_eps() -> None:
    small = [eta(eps, 1, 1, 2, 3) for eps in (1e-3, 1e-4)]
    assert small[1] / small[0] == pytest.approx(10**5, rel=1e-9)  # eps^-(2n+1)
    assert eta(0.01, 1, 1, 0, 3) / eta(0.1, 1, 1, 0, 3) == pytest.approx(10)


def test_more_than_a_float_can_hold() -> None:
    assert eta(1e-3, 10, 10, 200, 5) == math.inf
    assert theorem2_bound(0.5, 1e-3, n=200, m=5, L=10, M=10) == Bound(None, "vacuous")
    assert theorem2_bound(0.0, 1e-3, n=200, m=5, L=10, M=10) == Bound(0.0)


def test_numbers_above_one_are_verdicts() -> None:
    assert theorem2_bound(0.01, 0.5, n=1, m=2, L=1, M=1) == Bound(None, "vacuous")
    assert theorem2_bound(1e-8, 0.5, n=1, m=2, L=1, M=1).value == pytest.approx(0.0864)
    assert theorem2_bound(1e-8, 0.5, n=0, m=3).value == pytest.approx(72e-4)
    for unknown in ({}, {"L": 1.0}, {"M": 1.0}):
        bound = theorem2_bound(1e-8, 0.5, n=4, m=1, **unknown)
        assert bound.value is None
        assert bound.reason.startswith("not computable: needs a Lipschitz constant")
    assert finite_bank_bound(0.125, 1, 4).value == 1
    assert finite_bank_bound(0.126, 1, 4) == Bound(None, "vacuous")
    assert finite_bank_bound(0.02, 0.5, 4).value == pytest.approx(0.64)
    assert sharp_bank_bound(0.02, 0.5, 4).value == pytest.approx(0.32)
    assert finite_bank_bound(1, 1e-300, 2).value is None


@pytest.mark.parametrize(
    "arguments",
    [(0, 1, 1, 1, 1), (-1, 1, 1, 1, 1), (1, -1, 1, 1, 1), (1, 1, math.inf, 1, 1), (math.nan, 1, 1, 1, 1)],
)
def test_eta_refuses_what_is_no_constant(arguments: tuple[float, float, float, int, int]) -> None:
    with pytest.raises(ValueError, match="eps > 0 and finite"):
        eta(*arguments)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n=0, m=0"):
        eta(1, 1, 1, 0, 0)
    for bound in (finite_bank_bound, sharp_bank_bound):
        with pytest.raises(ValueError, match="eps > 0"):
            bound(0.1, 0, 3)
        with pytest.raises(ValueError, match="mean of squared distances"):
            bound(-0.1, 1, 3)
    with pytest.raises(ValueError, match="mean of squared distances"):
        theorem2_bound(math.nan, 1, n=0, m=1)


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 6), st.floats(0.05, 3))
def test_bounds_hold_in_finite_worlds(seed: int, n: int, m: int, eps: float) -> None:
    generator = np.random.default_rng(seed)
    spread = 10 ** generator.uniform(-3, 0, (n, 1, 1))
    views = generator.normal(size=(n, 1, 3)) + spread * generator.normal(size=(n, m, 3))
    share, v_form = float(r_eps(sup_alignment(views), eps)), alignment(views, "V")
    bank, sharp = finite_bank_bound(v_form, eps, m), sharp_bank_bound(v_form, eps, m)
    for bound in (bank, sharp, theorem2_bound(v_form, eps, n=0, m=m)):
        assert bound.value is None or share <= bound.value * (1 + 1e-9)
    if m > 1 and bank.value is not None:
        assert sharp.value <= bank.value * (1 + 1e-9)


def test_the_sharp_bound_is_attained() -> None:
    views = np.array([[[-1.0], [1.0], [0.0], [0.0], [0.0]]])
    eps = 2 * (1 - 1e-12)
    assert r_eps(sup_alignment(views), eps) == 1
    assert sharp_bank_bound(alignment(views, "V"), eps, 5) == Bound(None, "vacuous")  # just above 1
    assert sharp_bank_bound(alignment(views, "V"), 2.0, 5).value == pytest.approx(1)
