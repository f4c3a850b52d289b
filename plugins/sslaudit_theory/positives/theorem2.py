"""Theorem 2: how alignment controls R_eps, and what that is worth.

The theorem takes m discrete transforms, each with probability 1/(2m), and a continuous family with
parameter theta uniform in [0, 1]^n that holds the other half of the probability and is M-Lipschitz in
theta. For an L-Lipschitz encoder it says R_eps <= eta(eps) sqrt(L_align).

Two things to know before reading a number of it:

- The paper writes eta = O(1/eps). That is so for n = 0, or while eps stays away from 0. As eps falls,
  the best h becomes proportional to eps, and then eta grows like eps^-(2n+1).
- Real pipelines have n of 4 to 8 (box, colour strengths), and h^2n in the denominator makes eta
  astronomically large: the bound is vacuous for all of them. So no bound above 1 is given here as a
  number; it is called vacuous.

For finitely many equally likely views Markov's inequality on the squared distance says much more.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """An upper bound on a probability, or why there is none."""

    value: float | None
    """None when the bound says nothing."""
    reason: str = ""
    """Why there is no value: ``vacuous``, or what could not be computed."""


VACUOUS = Bound(None, "vacuous")
UNKNOWN_LIPSCHITZ = Bound(
    None, "not computable: needs a Lipschitz constant of the encoder and of the augmentation"
)


def eta(eps: float, L: float, M: float, n: int, m: int) -> float:
    """The factor of Theorem 2: the infimum over h of 4 max{1, m^2 h^2n} / (h^2n (eps - c h)).

    Here c = 2 sqrt(n) L M, h is in (0, eps/c) and at most 1, the side of the cube of theta. The
    infimum is at h = min(2n eps / ((2n+1) c), m^(-1/n), 1); for n = 0 it is 4 m^2 / eps. Infinite
    where it is larger than a float can be. L is the Lipschitz constant of the encoder, M that of the
    continuous family, ``n`` the number of its parameters, ``m`` the number of discrete transforms.
    Raises ``ValueError`` for eps <= 0, negative or infinite constants, and n = m = 0.
    Source: Huang et al., ICLR 2023, Theorem 2; the closed form is an own derivation, checked numerically.
    """
    if not (0 < eps < math.inf and min(L, M) >= 0 and math.isfinite(L * M)):
        raise ValueError(f"eta takes eps > 0 and finite L, M >= 0, not eps={eps}, L={L}, M={M}.")
    if n < 0 or m < 0 or n + m == 0:
        raise ValueError(f"eta takes n continuous parameters and m transforms, not n={n}, m={m}.")
    if n == 0:
        return 4 * m**2 / eps
    c = 2 * math.sqrt(n) * L * M
    # In logarithms: h^2n is smaller than a float can be where n is large.
    log_h = -math.log(m) / n if m else 0.0
    if c > 0:
        log_h = min(log_h, math.log(2 * n * eps / (2 * n + 1)) - math.log(c))
    log_eta = math.log(4) - 2 * n * log_h - math.log(eps - c * math.exp(log_h))
    if m:
        log_eta += 2 * max(0.0, math.log(m) + n * log_h)
    try:
        return math.exp(log_eta)
    except OverflowError:
        return math.inf


def theorem2_bound(
    alignment: float, eps: float, *, n: int, m: int, L: float | None = None, M: float | None = None
) -> Bound:
    """R_eps <= eta(eps) sqrt(L_align), without a number where it is above 1.

    ``alignment`` is L_align over pairs with replacement (form V). A continuous family (n > 0) without
    L or M is not computable. For n = 0 neither is needed. Raises ``ValueError`` as ``eta`` does and for
    a negative alignment.
    Source: Huang et al., ICLR 2023, Theorem 2.
    """
    _check_alignment(alignment)
    if n > 0 and (L is None or M is None):
        return UNKNOWN_LIPSCHITZ
    factor = eta(eps, L or 0.0, M or 0.0, n, m)
    return _bound(factor * math.sqrt(alignment) if alignment else 0.0)


def finite_bank_bound(alignment_v: float, eps: float, m: int) -> Bound:
    """R_eps <= m^2 L_align / (2 eps^2) for m equally likely views, without a number where it is above 1.

    ``alignment_v`` is L_align in form V, over all m^2 pairs: the farthest two views are 2 of them.
    Raises ``ValueError`` for eps <= 0, m < 1 or a negative alignment.
    Source: sslaudit, own derivation (Markov's inequality), checked numerically.
    """
    _check_bank(alignment_v, eps, m)
    return _bound(m**2 * alignment_v / 2 / eps / eps)


def sharp_bank_bound(alignment_v: float, eps: float, m: int) -> Bound:
    """R_eps <= m L_align / eps^2, m/2 times better than ``finite_bank_bound``; not a number above 1.

    Two views at distance s add at least s^2/2 to the squared distances from the mean, which are
    m L_align / 2. Attained when all other views lie midway between them.
    Raises ``ValueError`` for eps <= 0, m < 1 or a negative alignment.
    Source: sslaudit, own derivation (Markov's inequality), checked numerically.
    """
    _check_bank(alignment_v, eps, m)
    return _bound(m * alignment_v / eps / eps)


def _bound(value: float) -> Bound:
    return Bound(value) if value <= 1 else VACUOUS


def _check_bank(alignment: float, eps: float, m: int) -> None:
    _check_alignment(alignment)
    if not 0 < eps < math.inf or m < 1:
        raise ValueError(f"a bank bound takes eps > 0 and m >= 1 views, not eps={eps}, m={m}.")


def _check_alignment(alignment: float) -> None:
    if not 0 <= alignment < math.inf:
        raise ValueError(f"L_align is a mean of squared distances, not {alignment}.")
