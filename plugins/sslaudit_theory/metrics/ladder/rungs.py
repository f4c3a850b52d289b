"""The rungs of the ladder that rest on estimates: which eps and delta, and what the condition then says.

eps, delta and the centres are those of the training images, sigma and R_eps those of the test images,
the probabilities of the classes those of all images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sslaudit_theory.certificates.choice import Choice, ClassChoice, choose, choose_by_class
from sslaudit_theory.certificates.conditions import (
    certified_mass,
    good_mass,
    rho_star,
    theorem1,
    theorem1_by_class,
    theorem1_sharp,
)
from sslaudit_theory.certificates.verdicts import Certificate, certificate
from sslaudit_theory.metrics.ladder.inputs import Measured
from sslaudit_theory.metrics.ladder.sets import GoodSets
from sslaudit_theory.sigma.splits import Concentration

Form = Literal["printed", "sharp"]

PRINTED: Form = "printed"
SHARP: Form = "sharp"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rung:
    """A condition with the numbers that went into it, one for each of K classes."""

    certificate: Certificate
    forms: tuple[Form, ...]
    """The condition of each class: with rho and the printed threshold, or with beta."""
    eps: np.ndarray
    delta: np.ndarray
    sigma: np.ndarray
    R: np.ndarray
    """R_eps over all images for the theorem as printed, else among the images of the class."""
    q: np.ndarray | None = None
    """Share of good images, where it was counted."""
    overlap: np.ndarray
    """(K, K): mu_l . mu_k / r^2."""
    distances: np.ndarray
    """(K, K): ||mu_l - mu_k||, a lower limit where the certificate is made of limits."""
    r: float
    delta_mu: float | None = None
    L: float | None = None
    """Lipschitz constant; None in feature space."""

    @property
    def budget(self) -> float:
        """What rho or beta of the worst pair must stay below; 0 when its centres are too close."""
        label, other = self.certificate.worst
        if self.forms[label] == "sharp":
            return max(0.0, float(self.distances[label, other])) / (2 * self.r)
        return rho_star(float(self.overlap[label, other]), self.delta_mu or 0.0)


@dataclass(frozen=True, slots=True)
class Space:
    """Where distances of concentration are measured."""

    found: Concentration
    L: float | None = None
    """For distances of pixels; features need none."""

    @property
    def slope(self) -> float:
        """L, or 1 for features."""
        return 1.0 if self.L is None else self.L


def printed(measured: Measured, space: Space, delta_mu: float) -> Rung:
    """Theorem 1 as printed: one eps and delta for all classes, their smallest sigma, R_eps over all."""
    chosen, found, overlap = measured.chosen, space.found, measured.overlap
    K = len(chosen.names)
    choice = choose(
        measured.sup[~chosen.test],
        found.deltas,
        found.train_low.min(axis=0),
        p_min=float(chosen.p.min()),
        max_overlap=float(overlap[~np.eye(K, dtype=bool)].max()),
        delta_mu=delta_mu,
        L=space.slope,
        r=measured.r,
    )
    sigma = float(_sigmas(found, np.full(K, choice.delta)).min())
    R = float((measured.sup[chosen.test] > choice.eps).mean())
    return Rung(
        certificate=theorem1(
            overlap,
            delta_mu,
            chosen.p,
            sigma=sigma,
            delta=choice.delta,
            eps=choice.eps,
            R=R,
            L=space.slope,
            r=measured.r,
        ),
        forms=(PRINTED,) * K,
        eps=np.full(K, choice.eps),
        delta=np.full(K, choice.delta),
        sigma=np.full(K, sigma),
        R=np.full(K, R),
        overlap=overlap,
        distances=measured.distances,
        r=measured.r,
        delta_mu=delta_mu,
        L=space.L,
    )


def per_class(measured: Measured, space: Space, delta_mu: float) -> Rung:
    """Lemma 3.2: each class with an eps, delta, sigma and R_eps of its own, in the printed condition."""
    chosen, found, overlap = measured.chosen, space.found, measured.overlap
    others = np.where(np.eye(len(overlap), dtype=bool), -np.inf, overlap)
    choices = [
        choose(
            measured.sup[(chosen.labels == k) & ~chosen.test],
            found.deltas,
            found.train_low[k],
            p_min=1.0,
            max_overlap=float(others[k].max()),
            delta_mu=delta_mu,
            L=space.slope,
            r=measured.r,
        )
        for k in range(len(overlap))
    ]
    return _evaluated(measured, space, choices, delta_mu, "printed")


def sharp(measured: Measured, space: Space, delta_mu: float | None = None) -> Rung:
    """The condition with beta; with ``delta_mu`` a class may meet the printed one instead."""
    chosen, found = measured.chosen, space.found
    choices = choose_by_class(
        measured.sup[~chosen.test],
        chosen.labels[~chosen.test],
        found.deltas,
        found.train_low.T,
        distances=measured.distances,
        overlap=None if delta_mu is None else measured.overlap,
        delta_mu=delta_mu or 0.0,
        L=space.slope,
        r=measured.r,
    )
    return _evaluated(measured, space, choices, delta_mu, "sharp" if delta_mu is None else None)


def measured_q(measured: Measured, sets: GoodSets) -> Rung:
    """The condition with beta, the share of good images counted in fixed parts of the classes."""
    sigma, R, q = sets.near / sets.tested, measured.above(sets.eps), sets.good / sets.tested
    return Rung(
        certificate=theorem1_sharp(
            measured.distances,
            measured.chosen.p,
            sigma=sigma,
            delta=sets.delta,
            eps=sets.eps,
            R=R,
            r=measured.r,
            q=q,
        ),
        forms=(SHARP,) * len(q),
        eps=sets.eps,
        delta=sets.delta,
        sigma=sigma,
        R=R,
        q=q,
        overlap=measured.overlap,
        distances=measured.distances,
        r=measured.r,
    )


def _evaluated(
    measured: Measured,
    space: Space,
    choices: Sequence[Choice] | Sequence[ClassChoice],
    delta_mu: float | None,
    form: Form | None,
) -> Rung:
    """The choices on the test images; without a ``form`` each class takes the one it meets better."""
    p, overlap, distances = measured.chosen.p, measured.overlap, measured.distances
    eps, delta = np.array([c.eps for c in choices]), np.array([c.delta for c in choices])
    sigma, R = _sigmas(space.found, delta), measured.above(eps)
    made: dict[Form, Certificate] = {}
    if form != "printed":
        made["sharp"] = theorem1_sharp(
            distances, p, sigma=sigma, delta=delta, eps=eps, R=R, L=space.slope, r=measured.r
        )
    if form != "sharp" and delta_mu is not None:
        made["printed"] = theorem1_by_class(
            overlap, delta_mu, p, sigma=sigma, delta=delta, eps=eps, R=R, L=space.slope, r=measured.r
        )
    forms = _better(made, len(p))
    return Rung(
        certificate=_by_rows(made, forms, p, good_mass(sigma, R)),
        forms=forms,
        eps=eps,
        delta=delta,
        sigma=sigma,
        R=R,
        overlap=overlap,
        distances=distances,
        r=measured.r,
        delta_mu=delta_mu,
        L=space.L,
    )


def _better(made: dict[Form, Certificate], classes: int) -> tuple[Form, ...]:
    """The condition that certifies each class, the sharp one where both or neither do."""
    if len(made) == 1:
        return (next(iter(made)),) * classes
    only_printed = made["printed"].rows & ~made["sharp"].rows
    return tuple("printed" if only else "sharp" for only in only_printed)


def _by_rows(
    made: dict[Form, Certificate], forms: tuple[Form, ...], p: np.ndarray, q: np.ndarray
) -> Certificate:
    """One certificate with the row of each class from its own condition."""
    if len(made) == 1:
        return next(iter(made.values()))
    rows = list(enumerate(forms))
    margins = np.stack([made[form].margins[k] for k, form in rows])
    return certificate(
        margins,
        np.stack([made[form].too_close[k] for k, form in rows]),
        tuple(made[form].shares[k] for k, form in rows),
        mass=certified_mass(p, q, np.array([made[form].rows[k] for k, form in rows])),
        bound=float(p @ (1 - q)),
        p=p,
        limits=False,
    )


def _sigmas(found: Concentration, delta: np.ndarray) -> np.ndarray:
    """(K,): sigma of the test images of each class at its own delta (K,), one of those of the table."""
    share: np.ndarray = found.test_low[np.arange(len(delta)), np.searchsorted(found.deltas, delta)]
    return share
