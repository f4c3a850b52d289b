"""What the InfoNCE loss says about the divergence of class centres: Theorem 3 and what replaces it.

As printed, for features of length 1:

    mu_k.mu_l <= log( exp((L2 + tau) / (p_k p_l)) - exp(1 - eps) ).

It says nothing about any encoder that is of use. x- is drawn independently of x, so
E f(x1).f(x-) = ||E f||^2 >= 0, and by Jensen's inequality L2 >= log(1 + e^A) with A = E f(x1).f(x2), the
mean product of positives. As p_k p_l <= 1/4, the bound is at least log((1 + e^A)^4 - e). That is above
1, which no product of two unit vectors exceeds, unless A < -0.641; it is 5.24 at A = 1, and at least
131 for ten balanced classes. A report owes its reader the value, the trivial bound 1 and the word vacuous.

The published tau is a function of sigma, delta, eps and R_eps. ``theorem3_tau`` is one that makes the
printed form provable from measured products. Two statements with the same proof need no tau:

* ``infonce_floor``: L2 >= sum_kl p_k p_l log(e^{A_k} + e^{mu_k.mu_l}), A_k the mean product of positives
  of class k. log(e^a + e^b) is jointly convex, and given the classes of x and x' the two products have
  these means because x and x' are independent. It holds exactly on a sample when an image may be its
  own negative.
* ``theorem3_sharp``: what L2 alone says about one pair of classes, by Jensen's inequality on this pair
  and on all others. It speaks only when L2 - log(1 + e^A) is below about 0.1 w/(1 - w), w = 2 p_k p_l:
  0.002 for one pair of ten balanced classes. A loss carries almost nothing about a single pair; its
  centres are there to be measured.

Source: Huang et al., ICLR 2023, Theorem 3; the other statements are own derivations, checked numerically.
"""

import numpy as np
from numpy.typing import ArrayLike

_IMPOSSIBLE = 1e-9
"""Numbers that contradict each other by more than this have not been measured together."""

_ROUNDING = 1e-13
"""Allowed for in L2, so that a bound errs upwards."""

_HALVINGS = 100


def theorem3_bound(
    regularisation: ArrayLike, p_k: ArrayLike, p_l: ArrayLike, *, eps: float = 0.0, tau: ArrayLike = 0.0
) -> np.ndarray:
    """The printed upper bound of mu_k.mu_l for features of length 1, in the common shape of its inputs.

    ``eps`` = ``tau`` = 0 gives its smallest value. Raises ``ValueError`` where the logarithm has no
    argument above 0, which no features on the unit sphere can cause, and for classes whose shares are
    not in (0, 1) or add up to more than 1.
    Source: Huang et al., ICLR 2023, Theorem 3.
    """
    both = share_of_pair(p_k, p_l)
    exponent = (_array(regularisation) + _array(tau)) / both
    if not (exponent > 1 - eps).all():
        raise ValueError("no features of length 1 have so small a regularisation part.")
    bound: np.ndarray = exponent + np.log(-np.expm1(1 - eps - exponent))
    return bound


def theorem3_tau(positive: ArrayLike, overlap: ArrayLike, priors: ArrayLike, eps: float) -> np.ndarray:
    """A tau for each pair of classes that makes the printed bound hold: (K, K).

    tau_kl = p_k p_l max(0, 1 - eps - A_k) + sum_ij p_i p_j max(0, -log(e^{A_i} + e^{mu_i.mu_j})).
    ``positive`` (K,) is A_k, ``overlap`` (K, K) mu_k.mu_l, ``priors`` (K,) p_k.
    Source: own derivation, checked numerically.
    """
    positive, overlap, priors = _array(positive), _array(overlap), _array(priors)
    both = np.outer(priors, priors)
    negative = np.maximum(0, -np.logaddexp(positive[:, None], overlap))
    tau: np.ndarray = both * np.maximum(0, 1 - eps - positive)[:, None] + (both * negative).sum()
    return tau


def infonce_floor(positive: ArrayLike, overlap: ArrayLike, priors: ArrayLike) -> float:
    """The least L2 that products of positives A_k (K,), of centres (K, K) and class shares (K,) allow.

    L2 >= sum_kl p_k p_l log(e^{A_k} + e^{mu_k.mu_l}), for features of any length.
    Source: own derivation, checked numerically.
    """
    positive, overlap, priors = _array(positive), _array(overlap), _array(priors)
    return float((np.outer(priors, priors) * np.logaddexp(positive[:, None], overlap)).sum())


def theorem3_sharp(
    regularisation: ArrayLike,
    p_k: ArrayLike,
    p_l: ArrayLike,
    positive: ArrayLike,
    others: ArrayLike | None = None,
) -> np.ndarray:
    """The largest mu_k.mu_l that L2 allows for two different classes, for features of any length.

    ``positive`` is the mean product of positives (A_k + A_l)/2 of the two classes, ``others`` that of
    all other pairs of classes, (A - w positive)/(1 - w) with w = 2 p_k p_l; left out, the same A for
    all. The bound is the largest s with

        w log(e^positive + e^s) + (1 - w) log(e^others + e^{-w s/(1 - w)}) <= L2,

    found by bisection, in the common shape of the inputs. Raises ``ValueError`` when no s does, which
    no features can cause, and for shares outside (0, 1) or above 1 together.
    Source: own derivation, checked numerically.
    """
    w = 2 * share_of_pair(p_k, p_l)
    given = positive if others is None else others
    l2, a, rest, w = np.broadcast_arrays(_array(regularisation), _array(positive), _array(given), w)

    def least(s: np.ndarray) -> np.ndarray:
        total: np.ndarray = w * np.logaddexp(a, s) + (1 - w) * np.logaddexp(rest, -w * s / (1 - w))
        return total

    low: np.ndarray = (1 - w) * (a - rest)  # where the convex left side is smallest
    if (least(low) > l2 + _IMPOSSIBLE * np.maximum(1, np.abs(l2))).any():
        raise ValueError("no features have so small a regularisation part at this alignment.")
    l2 = l2 + _ROUNDING * np.maximum(1, np.abs(l2))
    # The left side is above w s + (1 - w) others.
    high: np.ndarray = np.maximum(low, (l2 - (1 - w) * rest) / w)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        allowed = least(middle) <= l2
        low, high = np.where(allowed, middle, low), np.where(allowed, high, middle)
    return high


def share_of_pair(p_k: ArrayLike, p_l: ArrayLike) -> np.ndarray:
    """p_k p_l. Raises ``ValueError`` for shares that two classes cannot have."""
    first, second = _array(p_k), _array(p_l)
    if not ((first > 0) & (second > 0) & (first + second <= 1 + _IMPOSSIBLE)).all():
        raise ValueError("class shares are above 0, and two of them at most 1 together.")
    share: np.ndarray = first * second
    return share


def _array(numbers: ArrayLike) -> np.ndarray:
    array = np.asarray(numbers, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("losses, products and shares of classes are finite numbers.")
    return array
