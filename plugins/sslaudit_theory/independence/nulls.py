"""What the covariance statistic does by chance: permutation within classes, and Rademacher multipliers.

Permuting z within classes makes f and z independent given y, which is more than C1: where f and z are
uncorrelated but dependent, the permutation test of T rejects almost always, since T grows with the mean of
||f||^2 ||z||^2. Random signs on residual products keep the dependence and remove the covariance only, so
their test is one of C1 alone. Both belong on a card.

Signs on the raw products do not test T in many dimensions. Under independence T has the mean
tr S_f tr S_z / (n_k - 1) and its signed copies, with an estimated mean taken off, tr S_f tr S_z / n_k; the
standard deviation is smaller than that gap once sqrt(d_f d_z) is well above n_k, and the test then nearly
always rejects. So the signs go on the U-centred Gram matrices A and B, whose products give the debiased
statistic:

    N = sum_k w_k HSIC_u(F_k, Z_k),    HSIC_u = 1 / (n (n - 3)) sum_{i != j} A_ij B_ij,
    A_ij = f_i'f_j + alpha_i + alpha_j,   alpha_i = ||f_i||^2 / (n - 2) - sum ||f||^2 / (2 (n - 1)(n - 2)),
    N* = sum_k w_k sqrt((n_k - 1) / (n_k - 3)) / (n_k (n_k - 3)) sum_{i != j} xi_i xi_j A_ij B_ij.

The root makes the variance of N*, averaged over permutations of z, that of HSIC_u over permutations, which
is exactly 2 HSIC_u(F, F) HSIC_u(Z, Z) / (n (n - 3)). The diagonal of T stays as it is under signs, so for a
large class T and N give one test; under permutations it does not stay.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations, product

import numpy as np

from sslaudit_theory.independence.dependence import covariance_statistic
from sslaudit_theory.independence.strata import Stratum

ARRANGEMENTS = 50_000
"""So many permutations or signs, over all classes, are enumerated; more are drawn."""

_TIE = 1e-10
"""Values this close, as a share of the largest, tie: far above rounding."""

_HELD = 2**22
"""Numbers that are in memory at one time, a few times over."""

_GATHER = 40
"""Steps of a matrix product in the time that one number takes to be moved to another place in a cache."""

_CACHED = 256
"""Rows of Gram matrices that stay in a cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Null:
    """A statistic and its distribution by chance."""

    observed: float
    values: np.ndarray
    """(B,) draws, or all arrangements."""
    exact: bool
    """All arrangements were enumerated."""
    p: float
    smallest: float
    """The least p that so few arrangements allow."""


def permutation_null(strata: Sequence[Stratum], rng: np.random.Generator, draws: int = 499) -> Null:
    """T under permutations of z within classes: a test that f and z are independent given y.

    p is (1 + #) / (B + 1) with # draws at least as large as T, and # / all when all permutations, with
    the identity among them, are enumerated. Exact in finite samples. Takes B n d_f d_z steps, with n_k for
    a larger d, or B n n_k where classes are small. Raises ``ValueError`` for no class or draws < 1.
    Source: permutation test within strata; Teng et al., AISTATS 2022, criterion (C1).
    """
    _check(strata, draws)
    exact = sum(math.lgamma(stratum.n + 1) for stratum in strata) <= math.log(ARRANGEMENTS)
    values = [
        stratum.weight / stratum.n**2 * _permuted(stratum, rng, 0 if exact else draws) for stratum in strata
    ]
    null, observed = _added(values, exact), covariance_statistic(strata)
    reached = _reached(null, observed)
    p = reached / len(null) if exact else (1 + reached) / (draws + 1)
    return Null(observed, null, exact, p, 1 / len(null) if exact else 1 / (draws + 1))


def multiplier_null(strata: Sequence[Stratum], rng: np.random.Generator, draws: int = 499) -> Null:
    """N = sum_k w_k HSIC_u under random signs (Rademacher multipliers): a test of C1 alone.

    p is (1 + #) / (B + 1), also when all signs are enumerated, since the rescaled values do not have N
    among them. Takes at most B n d_f d_z steps, and B n_k n where classes are small. Raises ``ValueError``
    for a class of fewer than 4 samples, no class, or draws < 1.
    Source: wild bootstrap of degenerate U-statistics, Dehling and Mikosch, Journal of Multivariate Analysis
    1994; U-centring, Szekely and Rizzo, Annals of Statistics 2014; the factor is own derivation, checked
    numerically.
    """
    _check(strata, draws)
    if min(stratum.n for stratum in strata) < 4:
        raise ValueError("an unbiased squared covariance takes four samples of each class.")
    exact = sum(stratum.n for stratum in strata) <= math.log2(ARRANGEMENTS)
    values, observed = [], 0.0
    for stratum in strata:
        n = stratum.n
        # The first column of signs is all ones: HSIC_u itself.
        signs = np.ones((n, 1 + (2**n if exact else draws)), dtype=np.int8)
        if exact:
            signs[:, 1:] = np.array(list(product((-1, 1), repeat=n))).T
        else:
            signs[:, 1:] = 2 * rng.integers(2, size=(n, draws), dtype=np.int8) - 1
        own = stratum.weight / (n * (n - 3)) * _signed(stratum, signs)
        observed += float(own[0])
        values.append(math.sqrt((n - 1) / (n - 3)) * own[1:])
    null = _added(values, exact)
    p = (1 + _reached(null, observed)) / (len(null) + 1)
    # Turning all signs of a class changes nothing, so enumerated values come in groups of 2^K.
    smallest = (1 + (2 ** len(strata) if exact else 0)) / (len(null) + 1)
    return Null(observed, null, exact, p, smallest)


def _permuted(stratum: Stratum, rng: np.random.Generator, draws: int) -> np.ndarray:
    """||F' P Z||_F^2 for ``draws`` random permutations P, or all when it is 0, in the cheaper form."""
    n, (wide, narrow) = stratum.n, sorted((stratum.f.shape[1], stratum.z.shape[1]), reverse=True)
    if n <= _CACHED and _GATHER * n <= min(n, wide) * min(n, narrow):
        gram, moved = stratum.f @ stratum.f.T, stratum.z @ stratum.z.T
        rows, both = np.empty((n, n)), np.empty((n, n))
        values = []
        for orders in _orders(n, rng, draws, _HELD // n):
            for order in orders:
                # Indices are in range; without "clip" numpy makes a copy of what it takes.
                np.take(moved, order, axis=0, out=rows, mode="clip")
                np.take(rows, order, axis=1, out=both, mode="clip")
                values.append(np.vdot(gram, both))
        return np.array(values)
    f, z = _thin(stratum.f), _thin(stratum.z)
    turned = f.shape[1] < z.shape[1]
    if turned:
        f, z = z, f
    width, parts = z.shape[1], []
    for orders in _orders(n, rng, draws, _HELD // (width * max(f.shape))):
        order = np.argsort(orders, axis=1) if turned else orders
        products = (f.T @ z[order.T].reshape(n, -1)).reshape(-1, len(order), width)
        parts.append(np.einsum("dbw,dbw->b", products, products))
    return np.concatenate(parts)


def _orders(n: int, rng: np.random.Generator, draws: int, batch: int) -> Iterator[np.ndarray]:
    """``draws`` random permutations of n, or all when it is 0, in batches (b, n)."""
    every = None if draws else np.array(list(permutations(range(n))))
    count, batch = draws if every is None else len(every), max(1, batch)
    for start in range(0, count, batch):
        if every is None:
            yield rng.permuted(np.tile(np.arange(n), (min(batch, count - start), 1)), axis=1)
        else:
            yield every[start : start + batch]


def _signed(stratum: Stratum, signs: np.ndarray) -> np.ndarray:
    """sum_{i != j} xi_i xi_j A_ij B_ij for each column xi of ``signs`` (n, B), in the cheaper form."""
    f, z = _u_centred(stratum.f), _u_centred(stratum.z)
    (n, draws), steps = signs.shape, f.shape[1] * z.shape[1]
    if n * (f.shape[1] + z.shape[1] + draws) <= steps * draws:
        return _signed_gram(f, z, signs)
    if f.shape[1] < z.shape[1]:
        f, z = z, f
    diagonal = float(_own(f) @ _own(z))
    width = z.shape[1]
    batch = max(1, _HELD // (width * max(f.shape)))
    values = np.empty(draws)
    for start in range(0, draws, batch):
        chosen = signs[:, start : start + batch]
        moved = (f.T @ (chosen[:, :, None] * z[:, None]).reshape(n, -1)).reshape(f.shape[1], -1, width)
        values[start : start + batch] = np.einsum("dbw,dbw->b", moved, _turned(_turned(moved, 0), 2))
    return values - diagonal


def _signed_gram(f: np.ndarray, z: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The same from rows of A and B, a few at a time."""
    (n, draws), values = signs.shape, np.zeros(signs.shape[1])
    other_f, other_z = _turned(f, 1).T, _turned(z, 1).T
    rows, columns = max(1, _HELD // n), max(1, _HELD // n)
    for top in range(0, n, rows):
        products = f[top : top + rows] @ other_f
        products *= z[top : top + rows] @ other_z
        own = np.arange(len(products))
        products[own, top + own] = 0.0
        for left in range(0, draws, columns):
            chosen = signs[:, left : left + columns].astype(np.float64)
            values[left : left + columns] += np.einsum(
                "ib,ib->b", products @ chosen, chosen[top : top + rows]
            )
    return values


def _u_centred(rows: np.ndarray) -> np.ndarray:
    """G = [rows, alpha, 1], for which G times G with its last two columns exchanged is A off the diagonal."""
    n, squares = len(rows), np.square(rows).sum(axis=1)
    alpha = squares / (n - 2) - squares.sum() / (2 * (n - 1) * (n - 2))
    return np.column_stack([rows, alpha, np.ones(n)])


def _own(augmented: np.ndarray) -> np.ndarray:
    """The diagonal of G times G with its last two columns exchanged, (n,)."""
    diagonal: np.ndarray = np.einsum("nd,nd->n", augmented, _turned(augmented, 1))
    return diagonal


def _turned(augmented: np.ndarray, axis: int) -> np.ndarray:
    """The last two along ``axis`` exchanged."""
    order = np.arange(augmented.shape[axis])
    order[-2:] = order[:-3:-1]
    return augmented.take(order, axis=axis)


def _thin(rows: np.ndarray) -> np.ndarray:
    """Rows with the same products of pairs in no more columns than rows."""
    if rows.shape[0] >= rows.shape[1]:
        return rows
    return np.asarray(np.linalg.qr(rows.T, mode="r")).T


def _added(values: list[np.ndarray], exact: bool) -> np.ndarray:
    """Sums over classes, draw by draw, or of every arrangement with every other."""
    total: np.ndarray = reduce(np.add.outer, values).ravel() if exact else np.sum(values, axis=0)
    return total


def _reached(null: np.ndarray, observed: float) -> int:
    tie = _TIE * max(float(np.abs(null).max()), abs(observed))
    return int((null >= observed - tie).sum())


def _check(strata: Sequence[Stratum], draws: int) -> None:
    if not strata:
        raise ValueError("no class is left.")
    if draws < 1:
        raise ValueError(f"a null takes one draw at least, not {draws}.")
