"""What a theorem says about an encoder, in words, and the record that carries it.

A theorem whose condition is not met says nothing, neither good nor bad: it gives no guarantee.
"""

from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from sslaudit.results import Verdict

ROUNDING = 1e-12
"""A strict inequality counts as met only beyond this, so that rounding never makes a certificate."""


class Guarantee(StrEnum):
    """Whether a condition is met for a pair of classes, for one class, or for all."""

    HOLDS = "holds"
    """Met with confidence limits on the safe side, and the bound beats the majority class."""
    HOLDS_POINT_ESTIMATE = "holds (point estimate)"
    """Met by the estimates themselves, without their intervals."""
    VACUOUS = "holds but vacuous"
    """Met, but always answering the largest class is known to be at least as good as the bound."""
    CONDITION_FAILS = "gives no guarantee (condition not met)"
    """Better augmentations or a better aligned encoder could still meet it."""
    CENTRES_TOO_CLOSE = "gives no guarantee (centres too close)"
    """Not even perfect alignment and concentration meet it for these centres."""
    NOT_COMPUTABLE = "not computable"
    """No labels, one class, no finite Lipschitz constant, or too few images."""

    @property
    def met(self) -> bool:
        """Whether the condition is met, vacuous or not."""
        return self in (Guarantee.HOLDS, Guarantee.HOLDS_POINT_ESTIMATE, Guarantee.VACUOUS)

    @property
    def verdict(self) -> Verdict:
        """The verdict of an ``Estimate``."""
        return _VERDICTS[self]


_VERDICTS: dict[Guarantee, Verdict] = {
    Guarantee.HOLDS: "holds",
    Guarantee.HOLDS_POINT_ESTIMATE: "holds-point-estimate",
    Guarantee.VACUOUS: "vacuous",
    Guarantee.CONDITION_FAILS: "fails",
    Guarantee.CENTRES_TOO_CLOSE: "fails",
    Guarantee.NOT_COMPUTABLE: "not-applicable",
}


def guarantee_of_bound(bound: float, majority_error: float, *, limits: bool) -> Guarantee:
    """What an error bound that needs no condition says, or one whose condition is met.

    ``majority_error`` is 1 - max p, the error of always answering the largest class; ``limits`` says
    that every input was a confidence limit on its safe side.
    Source: Huang et al., ICLR 2023, the error of Theorem 1; sslaudit.
    """
    if not (bound >= 0 and 0 <= majority_error < 1):
        raise ValueError(f"a bound of {bound} beside a majority error of {majority_error} is impossible.")
    if bound >= majority_error:
        return Guarantee.VACUOUS
    return Guarantee.HOLDS if limits else Guarantee.HOLDS_POINT_ESTIMATE


@dataclass(frozen=True, slots=True)
class Shares:
    """The four summands of rho or beta. Raises ``ValueError`` for a negative or infinite one."""

    concentration: float
    """2 (1 - sigma): images outside the concentrated part of their class."""
    misaligned: float
    """R_eps / p in rho, 2 R_eps in beta: images with views farther apart than eps."""
    distance: float
    """sigma L delta / r: the concentrated part is delta wide (q for sigma in beta)."""
    tolerance: float
    """2 sigma eps / r: what counts as aligned (q for sigma in beta)."""

    def __post_init__(self) -> None:
        for name, value in self.named().items():
            if not 0 <= value < np.inf:
                raise ValueError(f"the share '{name}' is {value}; shares are finite and not negative.")

    def named(self) -> dict[str, float]:
        """The shares by name."""
        return {share.name: float(getattr(self, share.name)) for share in fields(self)}

    @property
    def total(self) -> float:
        """rho, or beta."""
        return self.concentration + self.misaligned + self.distance + self.tolerance

    def __float__(self) -> float:
        return self.total

    @property
    def dominant(self) -> str | None:
        """The name of the largest share, the first of equals; None when all are 0."""
        named = self.named()
        return max(named, key=named.__getitem__) if self.total > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """A condition on all ordered pairs of K classes, and what follows from it.

    Raises ``ValueError`` for what cannot be: a bound beside a condition that is not met, a condition
    met beside a margin that is not positive, a certified mass without a certified class.
    """

    guarantee: Guarantee
    """That of the worst pair."""
    margins: np.ndarray
    """(K, K): by how much the condition of class l towards class k is met; 0 on the diagonal."""
    too_close: np.ndarray
    """(K, K) bool: pairs whose centres no augmentation can help."""
    shares: tuple[Shares, ...]
    """rho or beta of each class."""
    mass: float
    """P of the images that are certified to be classified right; the error is at most 1 - mass."""
    bound: float | None
    """Error bound; only where the whole condition is met."""
    majority_error: float
    """1 - max p."""
    vacuous: bool
    """Whether the bound is no better than the majority class, or would not be if all pairs were met."""
    limits: bool
    """Whether every input was a confidence limit on its safe side."""

    def __post_init__(self) -> None:
        K = len(self.shares)
        if K < 2 or self.margins.shape != (K, K) or self.too_close.shape != (K, K):
            raise ValueError("a certificate needs two classes or more, and K x K margins.")
        if not np.isfinite(self.margins).all():
            raise ValueError("margins are finite.")
        if (self.met & self.too_close).any():
            raise ValueError("a pair meets the condition although its centres are too close for it.")
        if self.guarantee is not self.pair(*self.worst):
            raise ValueError(f"the worst pair says '{self.pair(*self.worst)}', not '{self.guarantee}'.")
        if (self.bound is not None) != self.guarantee.met:
            raise ValueError("a bound stands where the condition is met, and nowhere else.")
        if not 0 <= self.mass <= 1 or (self.mass > 0 and not self.rows.any()):
            raise ValueError(f"a certified mass of {self.mass} is impossible here.")
        if self.bound is None:
            return
        if not 0 <= self.bound <= 1:
            raise ValueError(f"an error bound is in [0, 1], not {self.bound}.")
        if self.guarantee is not guarantee_of_bound(self.bound, self.majority_error, limits=self.limits):
            raise ValueError(f"a bound of {self.bound} does not read '{self.guarantee}'.")

    @property
    def met(self) -> np.ndarray:
        """(K, K) bool: pairs that meet the condition; False on the diagonal."""
        met: np.ndarray = self.margins > ROUNDING
        return met & ~np.eye(len(met), dtype=bool)

    @property
    def rows(self) -> np.ndarray:
        """(K,) bool: classes that meet the condition towards all others."""
        return rows_met(self.margins)

    @property
    def pairs(self) -> int:
        """Number of ordered pairs."""
        return len(self.shares) * (len(self.shares) - 1)

    @property
    def pairs_met(self) -> int:
        """Number of ordered pairs that meet the condition."""
        return int(self.met.sum())

    @property
    def worst(self) -> tuple[int, int]:
        """The pair with the smallest margin, among those too close where there are any."""
        candidates = ~np.eye(len(self.margins), dtype=bool)
        if (close := candidates & self.too_close).any():
            candidates = close
        flat = int(np.where(candidates, self.margins, np.inf).argmin())
        return flat // len(self.margins), flat % len(self.margins)

    def pair(self, label: int, other: int) -> Guarantee:
        """What the condition of class ``label`` towards class ``other`` says."""
        if label == other:
            raise ValueError("a pair is of two different classes.")
        if self.margins[label, other] > ROUNDING:
            if self.vacuous:
                return Guarantee.VACUOUS
            return Guarantee.HOLDS if self.limits else Guarantee.HOLDS_POINT_ESTIMATE
        too_close = self.too_close[label, other]
        return Guarantee.CENTRES_TOO_CLOSE if too_close else Guarantee.CONDITION_FAILS

    @property
    def dominant(self) -> str | None:
        """The largest share of the worst pair's class."""
        return self.shares[self.worst[0]].dominant


def rows_met(margins: np.ndarray) -> np.ndarray:
    """(K,) bool: rows of margins (K, K) that are all positive off the diagonal."""
    met = (margins > ROUNDING).sum(axis=1) - (np.diagonal(margins) > ROUNDING)
    rows: np.ndarray = met == len(margins) - 1
    return rows


def certificate(
    margins: np.ndarray,
    too_close: np.ndarray,
    shares: tuple[Shares, ...],
    *,
    mass: float,
    bound: float,
    p: np.ndarray,
    limits: bool,
) -> Certificate:
    """The record of a condition with these margins; ``bound`` is what follows once all are met."""
    K = len(p)
    margins = np.where(np.eye(K, dtype=bool), 0.0, margins)
    off_diagonal = ~np.eye(K, dtype=bool)
    met = bool((margins > ROUNDING)[off_diagonal].all())
    majority_error = float(1 - p.max())
    bound = min(1.0, bound)
    if met:
        guarantee = guarantee_of_bound(bound, majority_error, limits=limits)
    elif (too_close & off_diagonal).any():
        guarantee = Guarantee.CENTRES_TOO_CLOSE
    else:
        guarantee = Guarantee.CONDITION_FAILS
    return Certificate(
        guarantee=guarantee,
        margins=margins,
        too_close=too_close & off_diagonal,
        shares=shares,
        mass=mass,
        bound=bound if met else None,
        majority_error=majority_error,
        vacuous=bound >= majority_error,
        limits=limits,
    )
