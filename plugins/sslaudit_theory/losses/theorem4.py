"""What the cross-correlation loss says about the divergence of class centres: Theorem 4, and tighter.

Features have E f_i = 0 and E f_i^2 = 1 in each of d dimensions, so ||f||^2 is d on average; fbar(x) is the
mean over the views of x. As printed, with tau' an upper bound of ||C - sum_k p_k mu_k mu_k'||_F^2:

    mu_k.mu_l <= sqrt( (2 / (p_k p_l)) (L2 + tau' - (d - K)/2) ).

* tau' needs no bound, it can be measured: C - sum_k p_k mu_k mu_k' = S_W = sum_k p_k Cov(fbar | C_k),
  exactly, when x1 and x2 are drawn with replacement. So tau' = ||S_W||_F^2.
* The printed form gives away factors of 2. sum_k p_k mu_k mu_k' has the nonzero eigenvalues of the K x K
  matrix G with G_kl = sqrt(p_k p_l) mu_k.mu_l, so its squared distance to the identity is
  ||G - I||_F^2 + d - K; that distance is at most sqrt(L2) + ||S_W||_F, and
      2 p_k p_l (mu_k.mu_l)^2 <= (sqrt(L2) + ||S_W||_F)^2 - (d - K).
* Centred features have sum_k p_k mu_k = 0, so G has the eigenvalue 0 too, and
      2 p_k p_l (mu_k.mu_l + 1)^2 <= (sqrt(L2) + ||S_W||_F)^2 - (d - K + 1).
* Hence sqrt(L2) + sqrt(tau') >= sqrt(d - K + 1): the two are never small together, and a small L2 is one
  near d - K + 1, not near 0.
* With tau' = 0, L2 = d - K + 1 and balanced classes the printed bound is below the trivial one, d, only if
  K sqrt(d - K + 2) < d: about d > K^2. The same holds at C = I, where tau' = d - K + 1 and L2 = 0. Between
  the two it can be lower, down to K at L2 = tau' = (d - K + 1)/4.
* Aligned and collapsed features are not at that optimum: with C_ii = 1 and S_W = 0, C has rank K - 1 and
  trace d, so L2 >= d^2/(K - 1) - d, and every bound here is vacuous unless d is close to K.
* Whitening and class collapse are incompatible. If C = I (L2 = 0), then sum_k p_k ||mu_k||^2 <= K - 1, while
  collapsed classes have d: Delta_mu >= 1 - (K - 1)/d, and the beta of Theorem 1 is at least
  1 - sqrt((K - 1)/d), 0.867 for d = 512 and K = 10. A perfectly whitened encoder with d far above K
  cannot satisfy Theorem 1.

None of the proofs needs ||f||^2 = d for each image.

Source: Huang et al., ICLR 2023, Theorem 4; the other statements are own derivations, checked numerically.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.arrays import finite_views
from sslaudit_theory.classes.centres import class_centres
from sslaudit_theory.losses.theorem3 import share_of_pair

_IMPOSSIBLE = 1e-9
"""Relative to d: numbers that contradict each other by more have not been measured together."""


def theorem4_bound(
    regularisation: ArrayLike, tau: ArrayLike, p_k: ArrayLike, p_l: ArrayLike, d: int, classes: int
) -> np.ndarray:
    """The printed upper bound of mu_k.mu_l, in the common shape of its inputs; ``tau`` is tau'.

    Raises ``ValueError`` for numbers that no features have together.
    Source: Huang et al., ICLR 2023, Theorem 4.
    """
    l2, more, both = _checked(regularisation, tau, p_k, p_l)
    bound: np.ndarray = np.sqrt(2 * _not_negative(l2 + more - (d - classes) / 2, d) / both)
    return bound


def theorem4_tight(
    regularisation: ArrayLike, scatter: ArrayLike, p_k: ArrayLike, p_l: ArrayLike, d: int, classes: int
) -> np.ndarray:
    """An upper bound of |mu_k.mu_l| for k != l from L2 and ``scatter`` = ||S_W||_F = sqrt(tau').

    Raises ``ValueError`` for numbers that no features have together.
    Source: own derivation, checked numerically.
    """
    l2, scatter, both = _checked(regularisation, scatter, p_k, p_l)
    inside = np.square(np.sqrt(l2) + scatter) - (d - classes)
    bound: np.ndarray = np.sqrt(_not_negative(inside, d) / (2 * both))
    return bound


def theorem4_centred(
    regularisation: ArrayLike, scatter: ArrayLike, p_k: ArrayLike, p_l: ArrayLike, d: int, classes: int
) -> np.ndarray:
    """An upper bound of mu_k.mu_l for k != l when sum_k p_k mu_k = 0, as standardised features have it.

    Never below -1, which centres have where sqrt(L2) + ||S_W||_F is smallest. Raises ``ValueError`` for
    numbers that no such features have together.
    Source: own derivation, checked numerically.
    """
    l2, scatter, both = _checked(regularisation, scatter, p_k, p_l)
    inside = np.square(np.sqrt(l2) + scatter) - (d - classes + 1)
    bound: np.ndarray = np.sqrt(_not_negative(inside, d) / (2 * both)) - 1
    return bound


def within_class_scatter(views: ArrayLike, labels: ArrayLike, classes: int | None = None) -> np.ndarray:
    """S_W = sum_k p_k Cov(fbar | C_k) of (N, V, D) with labels 0..K-1: (D, D).

    Raises ``ValueError`` as ``class_centres`` does.
    Source: own derivation: equals C - sum_k p_k mu_k mu_k', C over views drawn with replacement.
    """
    means, labels = finite_views(views).mean(axis=1), np.asarray(labels)
    offset = means - class_centres(means, labels, classes)[labels]
    scatter: np.ndarray = offset.T @ offset / len(means)
    return scatter


def least_sum(d: int, classes: int) -> float:
    """sqrt(d - K + 1), which sqrt(L2) + sqrt(tau') is never below; 0 for fewer dimensions than that.

    Source: own derivation, checked numerically.
    """
    return float(np.sqrt(max(0, d - classes + 1)))


def can_inform(d: int, classes: int) -> bool:
    """Whether the printed bound is below the trivial d at L2 = d - K + 1, tau' = 0 and balanced classes.

    K sqrt(d - K + 2) < d, about d > K^2; never with fewer dimensions than classes.
    Source: own derivation, checked numerically.
    """
    return d >= classes and classes**2 * (d - classes + 2) < d**2


@dataclass(frozen=True, slots=True)
class WhiteningLimits:
    """What a perfectly whitened encoder, C = I, cannot go below in Theorem 1."""

    delta_mu: float
    """Delta_mu >= 1 - (K - 1)/d."""
    beta: float
    """beta >= 1 - sqrt((K - 1)/d)."""


def whitening_limits(d: int, classes: int) -> WhiteningLimits:
    """Delta_mu and beta of Theorem 1 at best, if C = I: 0 when K - 1 reaches d.

    Raises ``ValueError`` for d < 1 or K < 1.
    Source: own derivation, checked numerically.
    """
    if d < 1 or classes < 1:
        raise ValueError(f"whitening takes d and K of 1 or more, not d={d}, K={classes}.")
    share = min(1.0, (classes - 1) / d)
    return WhiteningLimits(delta_mu=1 - share, beta=1 - float(np.sqrt(share)))


def _checked(
    regularisation: ArrayLike, other: ArrayLike, p_k: ArrayLike, p_l: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L2, tau' or ||S_W||_F, and p_k p_l. Raises ``ValueError`` for what is none of these."""
    l2, more = (np.asarray(given, dtype=np.float64) for given in (regularisation, other))
    if not ((l2 >= 0) & (l2 < np.inf)).all() or not ((more >= 0) & (more < np.inf)).all():
        raise ValueError("L2 and the scatter within classes are finite and not negative.")
    return l2, more, share_of_pair(p_k, p_l)


def _not_negative(inside: np.ndarray, d: int) -> np.ndarray:
    if (inside < -_IMPOSSIBLE * d).any():
        raise ValueError("no features have so small a regularisation part and scatter together.")
    clipped: np.ndarray = np.maximum(0, inside)
    return clipped
