"""C1, Cov[f(x), z | y] = 0, from samples with class labels: effect, tests, and what they could have found.

Absence of evidence is no evidence of absence, least of all for few images: a test that does not reject is
shown with the rho2 that it would have found with 80 % power, and C1 is never said to be true from a test.
Only where f or z does not vary within classes is C1 true by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sslaudit.numbers import number
from sslaudit_theory.independence.dependence import (
    covariance_statistic,
    effect_of,
    pooled_statistic,
)
from sslaudit_theory.independence.nulls import Null, multiplier_null, permutation_null
from sslaudit_theory.independence.strata import SMALLEST, Strata, Stratum, split

FEWEST_DRAWS = 199
"""Draws of a null below which p values and the detectable effect are too coarse."""

POWER = 0.8
"""With what chance the detectable effect would be found."""


class ClassRV(NamedTuple):
    """rho2 of one class; None where f or z is constant or all its length is in one sample."""

    label: int
    n: int
    rho2: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class C1:
    """What the samples say of C1. Numbers are None when ``trivial`` or ``reason`` says why."""

    rho2: float | None = None
    """Debiased within-class RV coefficient: 0 on average under C1, in [-1, 1]."""
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    """How ``low`` and ``high`` were made; without them, why not."""
    statistic: float | None = None
    """T = sum_k (n_k / n) ||Cov_k||_F^2, per class."""
    pooled: float | None = None
    """||sum_k (n_k / n) Cov_k||_F^2, in which classes cancel."""
    plug_in: float | None = None
    """RV coefficient without debiasing; far above 0 in many dimensions whatever f and z are."""
    p_multiplier: float | None = None
    """Of C1 alone."""
    p_permutation: float | None = None
    """Of independence of f and z given y, which is more than C1."""
    exact_multiplier: bool = False
    exact_permutation: bool = False
    detectable: float | None = None
    """rho2 that the multiplier test would find with 80 % power, from the spread of its null."""
    no_detectable: str = ""
    """Why ``detectable`` is None."""
    classes: tuple[ClassRV, ...] = ()
    """Classes that were used, by label."""
    constant: tuple[tuple[int, str], ...] = ()
    """Labels of those in which ``f``, ``z`` or ``f and z`` is constant: they add nothing to T."""
    dropped: tuple[tuple[int, int], ...] = ()
    """(label, n) of classes with too few samples."""
    trivial: str = ""
    """Why C1 is true by itself: ``z constant within classes``."""
    reason: str = ""
    """Why C1 cannot be tested."""


def c1_test(
    f: ArrayLike,
    z: ArrayLike,
    labels: ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 499,
    alpha: float = 0.05,
) -> C1:
    """rho2, T and both tests of C1 for f (n, d_f), z (n, d_z) and class labels (n,) int.

    ``alpha`` is that of the detectable effect; ``draws`` are those of each null, unless it is small enough
    to enumerate. Classes of fewer than 5 samples are left out. f and z of any scale; d may exceed n. Raises
    ``ValueError`` for arrays that do not fit or are not finite, for fewer than 199 draws, and for an alpha
    that these cannot reach.
    Source: Teng et al., AISTATS 2022, criterion (C1); tests and effect as in ``nulls`` and ``dependence``.
    """
    if draws < FEWEST_DRAWS or not 1 / (draws + 1) <= alpha < 1 - POWER:
        raise ValueError(
            f"a test takes {FEWEST_DRAWS} draws or more and 1 / (draws + 1) <= alpha < {1 - POWER:.1f}, "
            f"not {draws} and {alpha}."
        )
    if continuous := _continuous(np.asarray(labels)):
        return C1(reason=continuous)
    strata = split(f, z, labels)
    if not strata.kept:
        return C1(reason=f"no class has {SMALLEST} samples", dropped=strata.dropped)
    return _tested(strata, rng, draws, alpha) if strata.varying else _untested(strata)


def verdict_of(c1: C1, p: float | None, alpha: float) -> str:
    """What C1 is called: rejected, not rejected with the detectable effect, or trivially true.

    ``p`` is ``c1.p_multiplier``, or that adjusted for several z; it is not read where C1 is trivial or
    cannot be tested, and a missing one raises ``ValueError`` elsewhere.
    Source: sslaudit.
    """
    if c1.reason:
        return f"C1 cannot be tested ({c1.reason})"
    if c1.trivial:
        return f"C1 trivially true ({c1.trivial})"
    if p is None:
        raise ValueError("a verdict on C1 takes the p value of the multiplier test.")
    return "C1 rejected" if p <= alpha else f"C1 not rejected ({_detectable(c1)})"


def reading_of(c1: C1, p: float | None, alpha: float) -> str:
    """One sentence on what both tests say together; arguments as for ``verdict_of``.

    The p value of the permutation is read as it is, without adjustment for several z.
    Source: sslaudit.
    """
    verdict = verdict_of(c1, p, alpha)
    if c1.reason or c1.trivial or p is None or c1.p_permutation is None:
        return f"{verdict}."
    dependent = c1.p_permutation <= alpha
    if p <= alpha:
        if dependent:
            return "f and z are correlated within classes."
        return (
            "f and z are correlated within classes by the multiplier test; permutation does not confirm it."
        )
    if dependent:
        return (
            "Dependent but C1 not rejected: f and z depend on each other within classes, "
            f"but no correlation was found ({_detectable(c1)})."
        )
    return f"No dependence within classes was found ({_detectable(c1)})."


def _untested(strata: Strata) -> C1:
    return C1(
        statistic=0.0,
        pooled=0.0,
        classes=tuple(ClassRV(own.label, own.n, None) for own in strata.kept),
        constant=tuple((own.label, own.constant) for own in strata.kept),
        dropped=strata.dropped,
        trivial=strata.trivial,
    )


def _tested(strata: Strata, rng: np.random.Generator, draws: int, alpha: float) -> C1:
    permuted = permutation_null(strata.varying, rng, draws)
    signed = multiplier_null(strata.varying, rng, draws)
    effect = effect_of(strata.kept)
    detectable, no_detectable = _detectable_effect(signed, effect.scale, strata.kept, alpha)
    interval = effect.interval
    return C1(
        rho2=effect.rho2,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else "too few samples vary within classes for an interval",
        statistic=covariance_statistic(strata.kept),
        pooled=pooled_statistic(strata.kept),
        plug_in=effect.plug_in,
        p_multiplier=signed.p,
        p_permutation=permuted.p,
        exact_multiplier=signed.exact,
        exact_permutation=permuted.exact,
        detectable=detectable,
        no_detectable=no_detectable,
        classes=tuple(
            ClassRV(own.label, own.n, rho2) for own, rho2 in zip(strata.kept, effect.classes, strict=True)
        ),
        constant=tuple((own.label, own.constant) for own in strata.kept if own.constant),
        dropped=strata.dropped,
    )


def _detectable_effect(
    null: Null, scale: float | None, strata: Sequence[Stratum], alpha: float
) -> tuple[float | None, str]:
    """The rho2 that passes the critical value with 80 % power, or why there is none.

    rho2 = c + b sqrt(1 + g rho2), with c the 1 - alpha quantile of the null of N over the denominator s of
    rho2 and -b its 20 % quantile. The root is what N spreads more under an effect: the variance grows by
    4 ||C||^2 l_f l_z / n, with l_f = tr S_f^2 / tr S_f the variance of f along a typical direction of C,
    and l_z likewise. Own derivation, checked numerically.
    """
    if scale is None:
        return None, "too few samples vary within classes to measure an effect"
    if null.smallest > alpha:
        return None, f"no p value below {number(null.smallest)} is possible with so few samples"
    values = null.values / scale
    spread = float(np.var(values))
    if spread == 0:
        return None, "signs of the residual products change nothing"
    critical, lowest = np.maximum(np.quantile(values, [1 - alpha, 1 - POWER]), [0.0, -np.inf])
    n = sum(own.n for own in strata)
    traces = [sum(float(np.square(getattr(own, side)).sum()) for own in strata) / n for side in ("f", "z")]
    growth = 4 * scale / math.prod(traces) / (n * spread)
    middle = critical + lowest**2 * growth / 2
    return float(middle + math.sqrt(middle**2 - critical**2 + lowest**2)), ""


def _continuous(labels: np.ndarray) -> str:
    """Why labels (n,) are values of a continuous variable rather than classes, or nothing."""
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
        return ""
    values = len(np.unique(labels))
    if (labels != np.floor(labels)).any() or 2 * values > len(labels) > SMALLEST:
        return (
            f"labels look continuous, with {values:,} values in {len(labels):,} samples; "
            "ci-condition(label=number) takes them, and gcm from Python"
        )
    return ""


def _detectable(c1: C1) -> str:
    if c1.detectable is None:
        return f"detectable effect not known: {c1.no_detectable}"
    return f"detectable effect {number(c1.detectable) if c1.detectable <= 1 else 'above 1: none'}"
