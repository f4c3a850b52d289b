"""Criterion C1 for a continuous label: the generalised covariance measure (GCM), plain and by bins of y.

f and z are regressed on y, on folds that leave a sample out, and the products of their residuals tested for
mean zero. Three traps.

- The plain measure tests E[Cov(f, z | y)] = 0, which is weaker than C1: where Cov(f, z | y) = y and y has
  mean zero it sees nothing. The binned one tests the mean in each quantile bin of each column of y. It sees
  covariances that vary between bins, and still none that average out inside a bin.
- What the regressions miss in both f and z looks like dependence. The errors of the two fits must have a
  product smaller than n^(-1/2).
- A permutation of z within bins of y is only approximate, since y still varies in a bin and moves f and z
  together. It is therefore not offered. The multipliers here permute nothing.

No test shows that C1 is true: what could have been found stands beside each p value.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from sslaudit.numbers import number

POWER = 0.8
"""Chance with which the detectable effect is found."""
DISTINCT = 10
"""Labels with fewer distinct values are classes."""
PER_PART = 8
"""Samples that each fold and each bin must have."""

_PENALTIES = np.logspace(-6, 3, 10)
_KNOTS = (5, 20)
_LANDMARKS = 100
_GAMMA = 0.3
_CONSTANT = 1e-10
"""Share of the variance below which a residual is rounding."""
_HELD = 2**20
"""Products held at one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gcm:
    """The two tests. Where nothing can be tested all numbers are None, and ``trivial`` says why."""

    n: int
    bins: int
    """Quantile bins of each column of y."""
    draws: int
    alpha: float
    trivial: str = ""
    """Why C1 is trivially true: ``f constant given y``, ``z constant given y``."""
    statistic: float | None = None
    """Largest sqrt(n) |mean(r_f r_z)| / rms(r_f r_z) over pairs of components."""
    p: float | None = None
    component: tuple[int, int] | None = None
    """The components of f and z where it is largest."""
    detectable: float | None = None
    """The |mean| / rms of one pair that is found with 80 % power at level ``alpha``, at most 1."""
    statistic_binned: float | None = None
    """The same in the bin of y where it is largest."""
    p_binned: float | None = None
    component_binned: tuple[int, int] | None = None
    bin: tuple[int, int] | None = None
    """The column of y and its bin, from 0 at the lowest labels."""
    detectable_binned: float | None = None
    """``detectable`` for an effect in one bin alone."""

    @property
    def p_either(self) -> float | None:
        """p value of the two tests together, by Bonferroni's inequality."""
        if self.p is None or self.p_binned is None:
            return None
        return min(1.0, 2 * min(self.p, self.p_binned))

    def verdict(self, p: float | None = None) -> str:
        """``C1 rejected``, ``C1 not rejected (detectable effect .021)`` or ``C1 trivially true (...)``.

        ``p`` is ``p_either``, or that adjusted for several z. The effect is that of the plain test.
        """
        if self.p_either is None or self.detectable is None:
            return f"C1 trivially true ({self.trivial})"
        if (self.p_either if p is None else p) <= self.alpha:
            return "C1 rejected"
        return f"C1 not rejected (detectable effect {number(self.detectable)})"


def gcm(
    f: ArrayLike,
    z: ArrayLike,
    y: ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 499,
    folds: int = 5,
    bins: int = 5,
    alpha: float = 0.05,
) -> Gcm:
    """Test of C1, Cov(f, z | y) = 0, for f (n, d_f), z (n, d_z) and a continuous label y (n,) or (n, k).

    The statistic is studentised about zero, so its square is n t^2 / (n - 1 + t^2) of the usual t: the same
    order, and signs drawn at random leave the denominators alone. The null distribution is that of
    Rademacher multipliers on the products r_f r_z: right in the limit under C1 alone, and for every n where
    the products are jointly symmetric. Time grows with n, ``draws`` and d_f d_z; held are a few tables of
    d_f x d_z and the products of a few draws. Raises ``ValueError`` for shapes that do not fit, values that
    are not finite, labels with fewer than ten distinct values, fewer than eight samples for a fold or a bin,
    and no draws.
    Source: Shah and Peters, Annals of Statistics 2020, Section 3.2; bins as weights: Scheidegger, Horrmann
    and Buehlmann, JMLR 2022.
    """
    f, z, y = _table(f, "f"), _table(z, "z"), _table(y, "y")
    n = len(y)
    if len(f) != n or len(z) != n:
        raise ValueError(f"f, z and y speak of {len(f)}, {len(z)} and {n} samples.")
    if bins < 1 or draws < 1:
        raise ValueError(f"the test takes a bin and a draw, not {bins} and {draws}.")
    if n < PER_PART * max(folds, bins):
        raise ValueError(
            f"{n} samples are too few for {folds} folds and {bins} bins of {PER_PART} samples or more."
        )
    residuals = cross_fitted_residuals(np.hstack([f, z]), y, rng=rng, folds=folds)
    r_f, r_z = residuals[:, : f.shape[1]], residuals[:, f.shape[1] :]
    return gcm_of_residuals(r_f, r_z, y, rng=rng, draws=draws, bins=bins, alpha=alpha)


def gcm_of_residuals(
    r_f: ArrayLike,
    r_z: ArrayLike,
    y: ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 499,
    bins: int = 5,
    alpha: float = 0.05,
) -> Gcm:
    """``gcm`` from the residuals of f (n, d_f) and z (n, d_z) by ``cross_fitted_residuals``.

    Raises ``ValueError`` for shapes that do not fit and values that are not finite.
    Source: as ``gcm``.
    """
    r_f, r_z, y = _table(r_f, "the residuals of f"), _table(r_z, "the residuals of z"), _table(y, "y")
    n = len(y)
    if len(r_f) != n or len(r_z) != n:
        raise ValueError(f"the residuals and y speak of {len(r_f)}, {len(r_z)} and {n} samples.")
    kept_f, kept_z = (np.flatnonzero(r.any(axis=0)) for r in (r_f, r_z))
    for name, kept in (("f", kept_f), ("z", kept_z)):
        if not len(kept):
            trivial = f"{name} constant given y"
            return Gcm(n=n, bins=bins, draws=draws, alpha=alpha, trivial=trivial)
    varying = np.flatnonzero(np.ptp(y, axis=0) > 0)
    parts = [[np.flatnonzero(own == b) for b in range(bins)] for own in quantile_bins(y[:, varying], bins)]
    products = _Products(r_f[:, kept_f], r_z[:, kept_z], parts)
    whole, binned = products.observed()
    null, null_binned = products.drawn(draws, rng)
    at, at_binned = _place(whole), _place(binned)
    statistic, statistic_binned = float(whole[at]), float(binned[at_binned])
    room, room_binned = (
        float(np.quantile(drawn, 1 - alpha, method="higher") + norm.ppf(POWER))
        for drawn in (null, null_binned)
    )
    return Gcm(
        n=n,
        bins=bins,
        draws=draws,
        alpha=alpha,
        statistic=statistic,
        p=float(1 + np.sum(null >= statistic)) / (draws + 1),
        component=(int(kept_f[at[0]]), int(kept_z[at[1]])),
        detectable=min(1.0, room / math.sqrt(n)),
        statistic_binned=statistic_binned,
        p_binned=float(1 + np.sum(null_binned >= statistic_binned)) / (draws + 1),
        component_binned=(int(kept_f[at_binned[1]]), int(kept_z[at_binned[2]])),
        bin=(int(varying[at_binned[0] // bins]), int(at_binned[0] % bins)),
        detectable_binned=min(1.0, room_binned / math.sqrt(n // bins)),
    )


def cross_fitted_residuals(
    targets: ArrayLike, y: ArrayLike, *, rng: np.random.Generator, folds: int = 5
) -> np.ndarray:
    """What is left of ``targets`` (n, p) by their regression on y (n,) or (n, k), from other folds: (n, p).

    The regression is a ridge on cubic splines of each column of y, linear outside the labels that it was
    fitted on, and on squares and products of the columns, which bend there too. With several columns radial
    functions of all of them are added; interactions that these miss are left in the residuals. The penalty
    of each target is chosen inside the fitting folds. A column is exactly 0 where the residual is rounding,
    as for a target that is constant or linear in y. Raises ``ValueError`` for values that are not finite and
    for labels with fewer than ten distinct values.
    Source: sslaudit, of scikit-learn's parts.
    """
    targets, y = _table(targets, "targets"), _table(y, "y")
    distinct = len(np.unique(y, axis=0))
    if distinct < DISTINCT:
        raise ValueError(
            f"y has {distinct} distinct value{'s' * (distinct > 1)}: labels of fewer than {DISTINCT} values "
            "are classes, which c1_test takes."
        )
    y = y[:, np.ptp(y, axis=0) > 0]
    centre, scale = targets.mean(axis=0), targets.std(axis=0)
    constant = scale <= _CONSTANT * np.sqrt(np.mean(targets**2, axis=0))
    scaled = (targets - centre) / np.where(constant, 1.0, scale)
    residuals: np.ndarray = np.empty_like(scaled)
    seed = int(rng.integers(2**32))
    for fit, held in KFold(folds, shuffle=True, random_state=seed).split(y):
        knots = int(np.clip(len(fit) // 20, *_KNOTS))
        basis = [
            SplineTransformer(knots, knots="quantile", extrapolation="linear"),
            PolynomialFeatures(2, include_bias=False),
        ]
        if y.shape[1] > 1:
            gamma, landmarks = _GAMMA / y.shape[1], min(_LANDMARKS, len(fit) // 4)
            basis.append(Nystroem(gamma=gamma, n_components=landmarks, random_state=seed))
        model = make_pipeline(
            StandardScaler(), make_union(*basis), RidgeCV(_PENALTIES, alpha_per_target=True)
        )
        fitted = model.fit(y[fit], scaled[fit]).predict(y[held])
        residuals[held] = scaled[held] - fitted.reshape(len(held), -1)
    explained = np.mean(residuals**2, axis=0) <= _CONSTANT
    residuals[:, constant | explained] = 0.0
    residuals *= scale
    return residuals


class _Products:
    """Sums of r_f r_z, of all samples and of each bin of y, over the roots of their sums of squares."""

    def __init__(self, r_f: np.ndarray, r_z: np.ndarray, parts: list[list[np.ndarray]]) -> None:
        self._f = r_f / np.sqrt(np.mean(r_f**2, axis=0))
        self._z = r_z / np.sqrt(np.mean(r_z**2, axis=0))
        self._parts = parts
        squares = np.stack([(self._f[rows] ** 2).T @ self._z[rows] ** 2 for part in parts for rows in part])
        self._root = np.sqrt(squares[: len(parts[0])].sum(axis=0))
        self._roots = np.sqrt(squares)

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """|statistic| of each pair of components, (d_f, d_z), and of each bin, (bins, d_f, d_z)."""
        sums = np.stack([self._f[rows].T @ self._z[rows] for part in self._parts for rows in part])
        whole = sums[: len(self._parts[0])].sum(axis=0)
        return _ratio(whole, self._root), _ratio(sums, self._roots)

    def drawn(self, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The largest of each draw of signs, (draws,) and, over bins, (draws,)."""
        found = [self._batch(signs) for signs in self._signs(draws, rng)]
        whole, binned = (np.concatenate(columns) for columns in zip(*found, strict=True))
        return whole, binned

    def _signs(self, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Signs (n, size), so few that their products fit."""
        n, d_f, d_z = len(self._f), self._f.shape[1], self._z.shape[1]
        most = max(1, _HELD // (d_z * max(n, d_f)))
        for start in range(0, draws, most):
            yield 2.0 * rng.integers(2, size=(min(most, draws - start), n)).T - 1

    def _batch(self, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d_f, d_z, size = self._f.shape[1], self._z.shape[1], signs.shape[1]
        whole, largest = np.zeros((d_f, size, d_z)), np.zeros(size)
        roots = iter(self._roots)
        for place, part in enumerate(self._parts):
            for rows in part:
                signed = (signs[rows][:, :, None] * self._z[rows][:, None, :]).reshape(len(rows), -1)
                sums = (self._f[rows].T @ signed).reshape(d_f, size, d_z)
                if place == 0:
                    whole += sums
                binned = _ratio(sums, next(roots)[:, None, :]).max(axis=(0, 2))
                np.maximum(largest, binned, out=largest)
        return _ratio(whole, self._root[:, None, :]).max(axis=(0, 2)), largest


def _ratio(sums: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """|sums| / roots, 0 where all products are 0."""
    ratio: np.ndarray = np.abs(sums) / np.where(roots > 0, roots, np.inf)
    return ratio


def _place(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def quantile_bins(y: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each sample in each column of y (n, k), of ``bins`` of equal size: (k, n) int.

    Equal labels are split by position.
    Source: sslaudit.
    """
    place = rankdata(y, method="ordinal", axis=0).astype(np.int64) - 1
    held: np.ndarray = (place * bins // len(y)).T
    return held


def _table(values: ArrayLike, name: str) -> np.ndarray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{name} is (n, d) with a sample and a column at least, not {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} is not all finite.")
    return table
