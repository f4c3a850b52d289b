"""The linear f = A x with the smallest L(f; P), in closed form.

In whitened coordinates u of x the loss of f = U' u with orthonormal U is

    L = const - tr U' (S_uy S_yu - lambda S_uz S_zu) U

so the best U are the leading eigenvectors. They trade label against target: where z depends on y and on
something else that x tells, they are tilted away from what predicts y best for every lambda > 0, and
Cov[f, z | y] is not 0.

Source: Teng et al., AISTATS 2022, the loss of Theorem 2; the closed form is an own derivation, checked
numerically.
"""

from dataclasses import dataclass

import numpy as np

LEAST_VARIANCE = 1e-9
"""Directions of standardised features with less of the largest variance count as constant."""


@dataclass(frozen=True, slots=True)
class PretextMoments:
    """What the loss knows of features and pretext targets: second moments, central for an intercept."""

    xx: np.ndarray
    """E xx' (D, D)."""
    xz: np.ndarray
    """E xz' (D, d_z)."""
    zz: float
    """E ||z||^2."""


def pretext_moments(x: np.ndarray, z: np.ndarray, *, intercept: bool = True) -> PretextMoments:
    """Moments of features (N, D) and targets (N, d_z), over N; central with an intercept."""
    if intercept:
        x, z = x - x.mean(axis=0), z - z.mean(axis=0)
    return PretextMoments(x.T @ x / len(x), x.T @ z / len(x), float(np.square(z).sum() / len(x)))


def whitener(xx: np.ndarray) -> np.ndarray:
    """T (r, D) with T xx T' = 1 for moments of rank r.

    Directions that hardly vary are left out, whatever the scales of the features.
    """
    scale = np.sqrt(np.diag(xx).clip(0))
    scale[scale == 0] = 1
    variance, direction = np.linalg.eigh(xx / scale / scale[:, None])
    varies = variance > LEAST_VARIANCE * max(variance[-1], 0)
    whitening: np.ndarray = (direction[:, varies] / np.sqrt(variance[varies])).T / scale
    return whitening


def closed_form(xx: np.ndarray, xy: np.ndarray, xz: np.ndarray, *, lam: float, dim: int) -> np.ndarray:
    """A (dim, D) of the f = A x with the smallest L(f; P), with E ff' = 1.

    ``xx`` (D, D), ``xy`` (D, k) and ``xz`` (D, d_z) are second moments, of a population or of samples;
    covariances for the loss with an intercept. Rows are in order of what they win, the largest
    weight in whitened coordinates positive. Raises ``ValueError`` when ``xx`` has a rank below ``dim``.
    Source: own derivation, checked numerically.
    """
    whitening = whitener(xx)
    weight: np.ndarray = leading(whitening @ xy, whitening @ xz, lam=lam, dim=dim).T @ whitening
    return weight


def leading(uy: np.ndarray, uz: np.ndarray, *, lam: float, dim: int) -> np.ndarray:
    """Orthonormal U (r, dim): leading eigenvectors of ``uy uy' - lam uz uz'`` in whitened coordinates.

    Raises ``ValueError`` for ``dim`` below 1 or above r.
    """
    if not 1 <= dim <= len(uy):
        raise ValueError(f"f has 1 to {len(uy)} dimensions, the rank of the features, not {dim}.")
    _, vectors = np.linalg.eigh(uy @ uy.T - lam * uz @ uz.T)
    best = vectors[:, ::-1][:, :dim]
    largest = np.take_along_axis(best, np.abs(best).argmax(axis=0)[None], axis=0)
    return best * np.where(largest < 0, -1.0, 1.0)
