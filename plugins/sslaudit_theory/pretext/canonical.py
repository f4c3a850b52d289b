"""Partial canonical correlations of features and pretext target given the class.

They are the singular values of S_f|y^(-1/2) S_fz|y S_z|y^(-1/2): how well the best pair of directions of f
and z agrees inside the classes. Unlike eps_CI both sides are whitened inside the classes, so a direction
counts the same whatever its variance.

Traps: the covariances are pooled, so classes of opposite sign cancel here too. Fitted and measured on the
same samples the largest correlation errs upwards, and is 1 for n - K <= d_f. Shrinkage tames this and pulls
all of them down. They describe; they test nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2
from sklearn.covariance import ledoit_wolf

from sslaudit_theory.pretext.epsilon import constant, within_classes

PER_PAIR = 10
"""Samples for each pair of components from which on Bartlett's test is offered."""


def canonical_correlations(ff: ArrayLike, fz: ArrayLike, zz: ArrayLike) -> np.ndarray:
    """Singular values of S_ff^(-1/2) S_fz S_zz^(-1/2), the largest first: (min(d_f, d_z),).

    Given partial covariances they are the partial canonical correlations. Directions without variance count
    as 0. Raises ``ValueError`` for shapes that do not fit, values that are not finite, and a covariance with
    a negative eigenvalue.
    Source: Hotelling, Biometrika 1936.
    """
    ff, fz, zz = (np.asarray(s, dtype=np.float64) for s in (ff, fz, zz))
    if fz.ndim != 2 or not fz.size or ff.shape != (len(fz),) * 2 or zz.shape != (fz.shape[1],) * 2:
        raise ValueError(f"covariances of shape {ff.shape}, {fz.shape} and {zz.shape} do not fit.")
    if not all(np.isfinite(s).all() for s in (ff, fz, zz)):
        raise ValueError("the covariances are not all finite.")
    values = np.linalg.svd(_whitening(ff).T @ fz @ _whitening(zz), compute_uv=False)
    found: np.ndarray = np.zeros(min(fz.shape))
    found[: len(values)] = np.clip(values, 0.0, 1.0)  # rounding alone goes beyond
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartialCorrelations:
    """Partial canonical correlations of samples."""

    values: np.ndarray
    """(min(d_f, d_z),) the largest first."""
    shrinkage: float
    """Weight of the identity in the joint covariance of f and z, 0 to 1."""
    p: float | None
    """Bartlett's p value for all of them being 0."""
    reason: str
    """Why there is none."""


def partial_correlations(
    f: ArrayLike, z: ArrayLike, labels: ArrayLike, *, shrinkage: float | None = None
) -> PartialCorrelations:
    """Partial canonical correlations of f (n, d_f) and z (n, d_z) given labels (n,).

    ``shrinkage`` is by default that of Ledoit and Wolf, for the joint covariance of f and z inside the
    classes, each scaled to mean variance 1: so the shrunk matrix stays a covariance, and no correlation
    exceeds 1. 0 gives the exact sample form. Only then, and with n - K at least ten times d_f d_z, there is
    Bartlett's chi-squared test, which takes f and z to be Gaussian with equal covariances in all classes.
    Raises ``ValueError`` for shapes that do not fit, values that are not finite, a shrinkage outside [0, 1],
    and f or z constant within classes.
    Source: Ledoit and Wolf, Journal of Multivariate Analysis 2004; Bartlett, JRSS B 1947.
    """
    f, z, labels = np.asarray(f, dtype=np.float64), np.asarray(z, dtype=np.float64), np.asarray(labels)
    if f.ndim != 2 or z.ndim != 2 or not f.size or not z.size or not len(f) == len(z) == len(labels):
        raise ValueError(f"f, z and labels of shape {f.shape}, {z.shape} and {labels.shape} do not fit.")
    if not (np.isfinite(f).all() and np.isfinite(z).all()):
        raise ValueError("f and z are not all finite.")
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is in [0, 1], not {shrinkage}.")
    d_f, degrees = f.shape[1], len(f) - len(np.unique(labels))
    joint = np.hstack([_unit(within_classes(f, labels), f, "f"), _unit(within_classes(z, labels), z, "z")])
    if shrinkage is None:
        covariance, shrinkage = ledoit_wolf(joint, assume_centered=True)
    else:
        covariance = (1 - shrinkage) * joint.T @ joint / len(joint) + shrinkage * np.eye(joint.shape[1])
    values = canonical_correlations(covariance[:d_f, :d_f], covariance[:d_f, d_f:], covariance[d_f:, d_f:])
    p, reason = _bartlett(values, d_f, z.shape[1], degrees, shrinkage)
    return PartialCorrelations(values=values, shrinkage=float(shrinkage), p=p, reason=reason)


def _bartlett(
    values: np.ndarray, d_f: int, d_z: int, degrees: int, shrinkage: float
) -> tuple[float | None, str]:
    """p value from n - K degrees of freedom, or the reason why there is none."""
    if shrinkage > 0:
        return None, "shrunk correlations have no chi-squared law"
    if degrees < PER_PAIR * d_f * d_z:
        return None, f"n - K = {degrees:,} is less than {PER_PAIR} d_f d_z = {PER_PAIR * d_f * d_z:,}"
    if values[0] == 1:
        return 0.0, ""
    statistic = -(degrees - (d_f + d_z + 1) / 2) * np.log1p(-(values**2)).sum()
    return float(chi2.sf(statistic, d_f * d_z)), ""


def _whitening(covariance: np.ndarray) -> np.ndarray:
    """(d, rank) V diag(1 / sqrt(eigenvalues)), without directions of no variance."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    rounding = len(covariance) * np.finfo(np.float64).eps * np.abs(values).max()
    if values.min() < -rounding:
        raise ValueError(f"a covariance has the eigenvalue {values.min():g}.")
    kept = values > rounding
    scaled: np.ndarray = vectors[:, kept] / np.sqrt(values[kept])
    return scaled


def _unit(centred: np.ndarray, values: np.ndarray, name: str) -> np.ndarray:
    """``centred`` scaled to mean variance 1."""
    if constant(centred, values):
        raise ValueError(f"{name} is constant within classes and has no correlation.")
    unit: np.ndarray = centred / np.sqrt(np.mean(centred**2))
    return unit
