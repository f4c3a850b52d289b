"""Choosing eps and delta, the two free numbers of Theorem 1.

The bound (1 - sigma(delta)) + R_eps falls with both, rho rises with both, and rho must stay below a budget
that the centres set. sigma moves only at its breakpoints and R_eps only at the sup-alignments of the
images; between those only rho grows, so the breakpoints suffice.

A choice made on data is valid for other data only: choose on one half of the images and evaluate
sigma, R_eps and the centres for the chosen eps and delta on the other half. Or add to R_eps a band that
holds for all eps at once (``band``), and divide the error level of sigma by the number of deltas.

Where nothing is feasible, the smallest rho often stands at the trivial corner sigma near 0, rho near 2.
Its shares then blame concentration for every encoder; what holds an encoder back is read from
``sslaudit_theory.held_back_by`` instead.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.certificates.conditions import (
    beta,
    beta_shares,
    good_mass,
    rho_max,
    rho_star,
    rho_terms,
    thresholds,
)
from sslaudit_theory.certificates.verdicts import ROUNDING, Shares


@dataclass(frozen=True, slots=True)
class Choice:
    """The eps and delta with the smallest bound, or the closest to a certificate when none is feasible."""

    delta: float
    eps: float
    sigma: float
    R: float
    """R_eps, with the band where one was given."""
    rho: Shares
    budget: float
    """rho*: the condition asks for rho below it; 0 when the centres are too close."""
    feasible: bool

    @property
    def distance(self) -> float | None:
        """rho / rho*, below 1 where feasible; None without a budget."""
        return self.rho.total / self.budget if self.budget > 0 else None


@dataclass(frozen=True, slots=True)
class ClassChoice:
    """The eps and delta with the largest certified part of one class."""

    delta: float
    eps: float
    sigma: float
    R: float
    """R_eps among the images of the class."""
    q: float
    """Share of the class that is good: sigma - R, at least 0."""
    beta: Shares
    budget: float
    """min_k ||mu_l - mu_k|| / (2 r): the sharp condition asks for beta below it."""
    certified_by: Literal["sharp", "printed"] | None

    @property
    def distance(self) -> float | None:
        """beta / budget; None where another centre coincides with this one."""
        return self.beta.total / self.budget if self.budget > 0 else None


def choose(
    sup: ArrayLike,
    deltas: ArrayLike,
    sigmas: ArrayLike,
    *,
    p_min: float,
    max_overlap: float,
    delta_mu: float,
    L: float = 1.0,
    r: float = 1.0,
    band: float = 0.0,
) -> Choice:
    """The feasible (eps, delta) that minimises (1 - sigma) + R_eps; else the one with the smallest rho.

    ``sup`` (N,) are the sup-alignments of the images, ``sigmas`` (M,) the smallest sigma of the classes at
    ``deltas`` (M,), ``max_overlap`` the largest mu_l . mu_k / r^2. For distances in feature space L = 1.
    Ties go to the smaller rho. Holds M x N numbers. Raises ``ValueError`` for empty or impossible inputs.
    Source: sslaudit, for Theorem 1 of Huang et al., ICLR 2023.
    """
    eps, R = _breakpoints(sup, band)
    deltas, sigmas = _grid(deltas, sigmas)
    rho_max(1.0, 0.0, 0.0, 0.0, p_min, L, r)  # refuses what cannot be, before it divides
    budget = rho_star(max_overlap, delta_mu)
    rho = np.sum(rho_terms(sigmas[:, None], deltas[:, None], eps, R / p_min, L, r), axis=0)
    feasible = thresholds(rho, delta_mu) - max_overlap > ROUNDING
    objective = np.where(feasible, 1 - sigmas[:, None] + R, np.inf) if feasible.any() else rho
    at, e = _best(objective, rho)
    delta, sigma = float(deltas[at]), float(sigmas[at])
    shares = rho_max(sigma, delta, float(eps[e]), float(R[e]), p_min, L, r)
    return Choice(delta, float(eps[e]), sigma, float(R[e]), shares, budget, bool(feasible.any()))


def choose_for_class(
    sup: ArrayLike,
    deltas: ArrayLike,
    sigmas: ArrayLike,
    *,
    min_distance: float,
    max_overlap: float | None = None,
    delta_mu: float = 0.0,
    L: float = 1.0,
    r: float = 1.0,
    band: float = 0.0,
) -> ClassChoice:
    """The (eps, delta) that certifies the largest part q of one class; else the one with the smallest beta.

    ``sup`` (N,) and ``sigmas`` (M,) are those of the class; ``min_distance`` is min_k ||mu_l - mu_k||. With
    ``max_overlap``, max_k mu_l . mu_k / r^2, the printed condition with rho_l certifies as well. Each class
    may have an eps and delta of its own, since its row of a condition reads only its own images.
    Source: sslaudit, remarks (c) and (d) of ``conditions``.
    """
    if not 0 <= min_distance <= 2 * r * (1 + 1e-9):
        raise ValueError(f"the distance of two centres is in [0, 2 r], not {min_distance}.")
    eps, R = _breakpoints(sup, band)
    deltas, sigmas = _grid(deltas, sigmas)
    q = good_mass(sigmas[:, None], R)
    total = beta(q, L * deltas[:, None] + 2 * eps, r)
    sharp = min_distance / r - 2 * total > ROUNDING
    met = sharp
    if max_overlap is not None:
        rho = np.sum(rho_terms(sigmas[:, None], deltas[:, None], eps, R, L, r), axis=0)
        met = sharp | (thresholds(rho, delta_mu) - max_overlap > ROUNDING)
    at, e = _best(-np.where(met, q, 0.0), total)
    by: Literal["sharp", "printed"] | None = None
    if met[at, e] and q[at, e] > 0:
        by = "sharp" if sharp[at, e] else "printed"
    delta, sigma = float(deltas[at]), float(sigmas[at])
    shares = beta_shares(sigma, delta, float(eps[e]), float(R[e]), L, r)
    return ClassChoice(
        delta, float(eps[e]), sigma, float(R[e]), float(q[at, e]), shares, min_distance / (2 * r), by
    )


def choose_by_class(
    sup: ArrayLike,
    labels: ArrayLike,
    deltas: ArrayLike,
    sigmas: ArrayLike,
    *,
    distances: ArrayLike,
    overlap: ArrayLike | None = None,
    delta_mu: float = 0.0,
    L: float = 1.0,
    r: float = 1.0,
) -> list[ClassChoice]:
    """``choose_for_class`` for each of K classes; together they maximise the certified mass.

    ``sup`` and ``labels`` (N,), 0..K-1; ``deltas`` (M,) or (M, K); ``sigmas`` (M, K); ``distances`` and
    ``overlap`` (K, K) of the centres.
    Source: sslaudit, remarks (c) and (d) of ``conditions``.
    """
    sup, labels, distances = np.asarray(sup), np.asarray(labels), np.asarray(distances)
    sigmas = np.asarray(sigmas)
    K = len(distances)
    if K < 2:
        raise ValueError("the theorem compares classes; it needs two of them.")
    deltas = np.asarray(deltas)
    deltas = np.broadcast_to(deltas[:, None] if deltas.ndim == 1 else deltas, sigmas.shape)
    others = ~np.eye(K, dtype=bool)
    products = None if overlap is None else np.asarray(overlap)
    return [
        choose_for_class(
            sup[labels == k],
            deltas[:, k],
            sigmas[:, k],
            min_distance=float(distances[k, others[k]].min()),
            max_overlap=None if products is None else float(products[k, others[k]].max()),
            delta_mu=delta_mu,
            L=L,
            r=r,
        )
        for k in range(K)
    ]


def _best(objective: np.ndarray, tie: np.ndarray) -> tuple[int, int]:
    """Where ``objective`` is smallest, and of such places where ``tie`` is."""
    smallest = np.flatnonzero(objective == objective.min())
    at = int(smallest[tie.ravel()[smallest].argmin()])
    return at // objective.shape[1], at % objective.shape[1]


def _breakpoints(sup: ArrayLike, band: float) -> tuple[np.ndarray, np.ndarray]:
    """0 and the values of ``sup``, increasing, and R_eps plus the band at each."""
    sup = np.sort(np.asarray(sup, dtype=np.float64))
    if sup.ndim != 1 or not len(sup) or not np.isfinite(sup).all() or sup[0] < 0:
        raise ValueError("sup-alignments (N,) are finite and not negative, of one image at least.")
    if not 0 <= band <= 1:
        raise ValueError(f"a band of R_eps is in [0, 1], not {band}.")
    eps = np.unique(np.concatenate([[0.0], sup]))
    above = (len(sup) - np.searchsorted(sup, eps, side="right")) / len(sup)
    return eps, np.minimum(1.0, above + band)


def _grid(deltas: ArrayLike, sigmas: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    deltas, sigmas = np.asarray(deltas, dtype=np.float64), np.asarray(sigmas, dtype=np.float64)
    if deltas.ndim != 1 or not len(deltas) or deltas.shape != sigmas.shape:
        raise ValueError("deltas and sigmas are of the same length (M,), one at least.")
    if not (np.isfinite(deltas) & (deltas >= 0) & (sigmas >= 0) & (sigmas <= 1)).all():
        raise ValueError("deltas are finite and not negative, sigmas in [0, 1].")
    return deltas, sigmas
