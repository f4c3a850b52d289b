"""How far f and z are correlated within classes: the covariance statistic and its share, rho2.

Per class and never pooled: covariances of opposite sign cancel in the pooled one, which is then 0 although
C1 fails in every class.

The plain RV coefficient (linear CKA) is far above 0 for independent f and z in many dimensions, since
E ||S_fz||_F^2 = tr S_f tr S_z / (n - 1). The debiased one has unbiased parts,

    rho2 = sum_k w_k HSIC_u(F_k, Z_k) / sqrt(sum_k w_k HSIC_u(F_k, F_k) sum_k w_k HSIC_u(Z_k, Z_k)),

w_k = n_k / n. It lies in [-1, 1], is centred at 0 under C1 and may fall below. With F the residuals of n
samples, k_i = ||f_i||^2, l_i = ||z_i||^2 and q_i = f_i' (F'Z) z_i, which is sum_j (f_i'f_j)(z_i'z_j),

    n (n - 3) HSIC_u = sum_i q_i - n / (n - 2) sum_i k_i l_i + sum_i k_i sum_i l_i / ((n - 1)(n - 2)),

and HSIC_u without sample i follows from the same sums, so a jackknife is linear in n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from sslaudit.results import Interval
from sslaudit_theory.independence.strata import Stratum, split

_POSITIVE = 1e-12
"""A mean square covariance below this share of the squared variance is rounding."""


def unbiased_hsic(f: ArrayLike, z: ArrayLike) -> float:
    """HSIC_u with linear kernels, the unbiased estimate of ||Cov(f, z)||_F^2 from (n, d_f) and (n, d_z).

    Takes n d_f d_z steps or n^2 (d_f + d_z), whichever are fewer. Raises ``ValueError`` for n < 4 and
    what ``split`` refuses.
    Source: Song et al., JMLR 2012, Equation 5.
    """
    stratum = _single(f, z)
    return _unbiased(_sums(stratum.f, stratum.z))


def debiased_cka(f: ArrayLike, z: ArrayLike) -> float | None:
    """rho2 of all samples as one stratum: HSIC_u(f, z) / sqrt(HSIC_u(f, f) HSIC_u(z, z)).

    None when a denominator is 0; raises as ``unbiased_hsic`` does.
    Source: Kornblith et al., ICML 2019, with the estimator of Song et al., JMLR 2012.
    """
    stratum = _single(f, z)
    rho2 = _ratio(np.array([_unbiased(own) for own in _triple(stratum)]), _floors([stratum]))
    return None if rho2 is None else float(rho2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How large the covariance of f and z within classes is."""

    rho2: float | None
    """The debiased within-class RV coefficient; None where f or z hardly varies within classes."""
    interval: Interval | None
    """Of rho2; None beside no rho2, and where leaving out one sample would leave none."""
    plug_in: float | None
    """The plain RV coefficient: ||Cov_k||_F^2 over n_k^2 in place of each HSIC_u. Errs upwards."""
    scale: float | None
    """The denominator of rho2."""
    classes: tuple[float | None, ...]
    """rho2 of each class alone."""


def within_class_rv(f: ArrayLike, z: ArrayLike, labels: ArrayLike, level: float = 0.95) -> Effect:
    """rho2 of f (n, d_f) and z (n, d_z) in the classes of ``labels`` (n,) that have 5 samples or more.

    Raises ``ValueError`` when there is no such class, and for what ``split`` refuses.
    Source: as ``effect_of``.
    """
    return effect_of(split(f, z, labels).kept, level)


def effect_of(strata: Sequence[Stratum], level: float = 0.95) -> Effect:
    """rho2 of classes of 5 samples or more, with a jackknife interval.

    The jackknife leaves out one sample of a class at a time and keeps the w_k, so it is conditional on the
    class sizes. Limits are normal, cut at -1 and 1. Under C1 the numerator degenerates, and the interval
    covers more often than it says. Raises ``ValueError`` for a smaller class, and for no class.
    Source: Song et al., JMLR 2012, per class; Teng et al., AISTATS 2022, criterion (C1); Efron and Stein,
    Annals of Statistics 1981. HSIC_u without one sample in closed form: own derivation, checked numerically.
    """
    sums = [_triple(own) for own in _some(strata)]
    weights, floors = np.array([own.weight for own in strata]), _floors(strata)
    each = np.array([[_unbiased(own) for own in row] for row in sums])
    plain = np.array(
        [[pair.products.sum() / own.n**2 for pair in row] for own, row in zip(strata, sums, strict=True)]
    )
    total = weights @ each
    alone = [_ratio(part, _floors([own]) / own.weight) for own, part in zip(strata, each, strict=True)]
    rho2, plug_in = _ratio(total, floors), _ratio(weights @ plain, np.zeros(2))
    variance: float | None = 0.0 if rho2 is not None else None
    for own, row, part in zip(strata, sums, each, strict=True):
        change = np.stack([_without_each(pair) for pair in row], axis=1) - part
        others = _ratio(total + own.weight * change, floors)
        variance = None if others is None or variance is None else variance + (own.n - 1) * np.var(others)
    return Effect(
        rho2=None if rho2 is None else float(rho2),
        interval=None
        if rho2 is None or variance is None
        else _limits(float(rho2), variance, level, len(sums)),
        plug_in=None if plug_in is None else float(plug_in),
        scale=None if rho2 is None else float(np.sqrt(total[1:]).prod()),
        classes=tuple(None if one is None else float(one) for one in alone),
    )


def covariance_statistic(strata: Sequence[Stratum]) -> float:
    """T = sum_k (n_k / n) ||Cov_k(f, z)||_F^2, with covariances over n_k; 0 for no class.

    Source: Teng et al., AISTATS 2022, criterion (C1), class by class.
    """
    return float(sum(own.weight * _sums(own.f, own.z).products.sum() / own.n**2 for own in strata))


def pooled_statistic(strata: Sequence[Stratum]) -> float:
    """||sum_k (n_k / n) Cov_k(f, z)||_F^2, in which classes cancel: only to be shown beside T.

    Raises ``ValueError`` for no class.
    Source: Lee et al., NeurIPS 2021, Definition 4.1, the partial covariance given one-hot y.
    """
    pooled = sum(own.weight / own.n * (own.f.T @ own.z) for own in _some(strata))
    return float(np.square(pooled).sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What HSIC_u of residuals (n, d) needs, with one sample left out or none: each (n,)."""

    first: np.ndarray
    """k_i"""
    second: np.ndarray
    """l_i"""
    products: np.ndarray
    """q_i = sum_j (f_i'f_j)(z_i'z_j)"""
    mixed: np.ndarray
    """sum_j (f_i'f_j) l_j + (z_i'z_j) k_j"""


def _sums(f: np.ndarray, z: np.ndarray) -> _Sums:
    n, wide, narrow = len(f), f.shape[1], z.shape[1]
    first, second = np.square(f).sum(axis=1), np.square(z).sum(axis=1)
    if wide * narrow <= n * (wide + narrow):
        products = np.einsum("nd,nd->n", f @ (f.T @ z), z)
    else:
        products = np.einsum("nm,nm->n", f @ f.T, z @ z.T)
    return _Sums(first, second, products, f @ (f.T @ second) + z @ (z.T @ first))


def _unbiased(own: _Sums) -> float:
    n = len(own.first)
    if n < 4:
        raise ValueError(f"an unbiased squared covariance takes four samples of each class, not {n}.")
    diagonal = float(own.first @ own.second)
    traces = float(own.first.sum() * own.second.sum())
    total = own.products.sum() - n / (n - 2) * diagonal + traces / ((n - 1) * (n - 2))
    return float(total) / (n * (n - 3))


def _without_each(own: _Sums) -> np.ndarray:
    """HSIC_u without sample i, (n,): Song et al.'s sums over the others, whose residuals add up to -f_i."""
    n = len(own.first) - 1
    if n < 4:
        raise ValueError(f"leaving out one sample takes five of each class, not {n + 1}.")
    lengths = own.first * own.second
    both = own.products.sum() - lengths.sum() - 2 * own.products + 2 * lengths
    ends = (2 * own.first - own.first.sum()) * (2 * own.second - own.second.sum())
    paths = own.products + own.mixed + lengths.sum() - 4 * lengths
    each: np.ndarray = (both + ends / ((n - 1) * (n - 2)) - 2 / (n - 2) * paths) / (n * (n - 3))
    return each


def _ratio(parts: np.ndarray, floors: np.ndarray) -> np.ndarray | None:
    """Numerator over the root of both denominators, (..., 3) to (...); None if one is not above its floor."""
    if (parts[..., 1:] <= floors).any():
        return None
    return np.asarray(np.clip(parts[..., 0] / np.sqrt(parts[..., 1:]).prod(axis=-1), -1.0, 1.0))


def _limits(rho2: float, variance: float, level: float, classes: int) -> Interval:
    half = float(norm.ppf((1 + level) / 2)) * float(variance) ** 0.5
    return Interval(
        low=max(-1.0, rho2 - half),
        high=min(1.0, rho2 + half),
        level=level,
        method=f"delete-one jackknife over images within classes ({classes:,}), normal limits",
    )


def _triple(own: Stratum) -> list[_Sums]:
    """Of f and z, f and f, z and z."""
    return [_sums(own.f, own.z), _sums(own.f, own.f), _sums(own.z, own.z)]


def _floors(strata: Sequence[Stratum]) -> np.ndarray:
    """What is rounding in the two denominators, (2,)."""
    variances = [[np.square(rows).sum() / own.n for rows in (own.f, own.z)] for own in strata]
    floors: np.ndarray = _POSITIVE * (np.array([own.weight for own in strata]) @ np.square(variances))
    return floors


def _single(f: ArrayLike, z: ArrayLike) -> Stratum:
    """All samples as one class."""
    return split(f, z, np.zeros(len(np.atleast_1d(f)), dtype=np.int64), smallest=1).kept[0]


def _some(strata: Sequence[Stratum]) -> Sequence[Stratum]:
    if not strata:
        raise ValueError("no class is left.")
    return strata
