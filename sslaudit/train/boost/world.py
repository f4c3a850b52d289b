"""Gaussian worlds in which features, label and pretext target are known in law.

    a = y + e1,  b = zeta + e2,  x = (a, b, e3),  z = A y + B zeta

y and zeta are standard Gaussian and independent. f = a has Cov[f, z | y] = 0 and the best linear
predictor of y; f = b predicts only z.
"""

from dataclasses import dataclass

import numpy as np
import torch

from sslaudit.train.boost.finite import minimise
from sslaudit.train.boost.linear import PretextMoments, closed_form
from sslaudit.train.losses.pretext import population_residual


@dataclass(frozen=True, slots=True)
class GaussianWorld:
    """x, y and z as linear maps of one standard Gaussian vector of m coordinates."""

    to_x: np.ndarray
    """(D, m)."""
    to_y: np.ndarray
    """(k, m)."""
    to_z: np.ndarray
    """(d_z, m)."""

    def pretext(self) -> PretextMoments:
        """Population moments of x and z."""
        return PretextMoments(
            self.to_x @ self.to_x.T, self.to_x @ self.to_z.T, float(np.square(self.to_z).sum())
        )

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n draws of x (n, D), y (n, k) and z (n, d_z)."""
        s = rng.standard_normal((n, self.to_x.shape[1]))
        return s @ self.to_x.T, s @ self.to_y.T, s @ self.to_z.T

    def residuals(self, f: np.ndarray) -> tuple[float, float]:
        """E||y - W* f||^2 and E||z - W* f||^2 for f (d, D), a linear map of x."""
        to_f = torch.from_numpy(f @ self.to_x)
        label, pretext = (
            float(population_residual(to_t @ to_t.T, to_t @ to_f.T, to_f @ to_f.T))
            for to_t in (torch.from_numpy(self.to_y), torch.from_numpy(self.to_z))
        )
        return label, pretext

    def conditional_covariance(self, f: np.ndarray) -> np.ndarray:
        """Cov[f, z | y] (d, d_z) for f (d, D), which for Gaussians is the same for every y: 0 is (C1)."""
        to_f = f @ self.to_x
        given_y = np.eye(self.to_y.shape[1]) - np.linalg.pinv(self.to_y) @ self.to_y
        covariance: np.ndarray = to_f @ given_y @ self.to_z.T
        return covariance

    def minimiser(self, *, lam: float, dim: int) -> np.ndarray:
        """A (dim, D) of the linear f with the smallest L(f; P), E ff' = 1."""
        moments = self.pretext()
        return closed_form(moments.xx, self.to_x @ self.to_y.T, moments.xz, lam=lam, dim=dim)


def gaussian_world(
    A: np.ndarray, B: np.ndarray, *, noise_y: float, noise_zeta: float, spare: int = 0
) -> GaussianWorld:
    """The world of A (d_z, k) and B (d_z, q), with variances of e1 and e2 and ``spare`` features of noise."""
    k, q = A.shape[1], B.shape[1]
    signal = k + q
    s = np.eye(2 * signal + spare)  # y, zeta, e1, e2, e3
    y, zeta, e1, e2, e3 = np.split(s, np.cumsum([k, q, k, q]))
    a, b = y + np.sqrt(noise_y) * e1, zeta + np.sqrt(noise_zeta) * e2
    return GaussianWorld(np.concatenate([a, b, e3]), y, A @ y + B @ zeta)


def synthetic_world(rng: np.random.Generator) -> GaussianWorld:
    """k = 2, q = 8, D = 24, d_z = 12: the best linear f leaves 0.494 of the variance 2 of y.

    The columns of A and of B are orthonormal, drawn from ``rng``, times 2 and 1.75. This world and its
    numbers are our own; dimensions and numbers of the paper's experiment are not at hand.
    """
    A, B = (np.linalg.qr(rng.standard_normal((12, columns)))[0] for columns in (2, 8))
    return gaussian_world(2 * A, 1.75 * B, noise_y=0.328, noise_zeta=0.328, spare=14)


def ols_error(residual: float, dim: int, n: int) -> float:
    """Expected squared error on new samples of least squares on n Gaussian samples of ``dim`` features.

    ``residual`` is that of the best linear predictor; there is no intercept. Raises ``ValueError`` for
    n <= dim + 1, where the error has no expectation.
    Source: the mean of an inverse Wishart matrix; own derivation, checked numerically.
    """
    if n <= dim + 1:
        raise ValueError(f"least squares on {dim} features needs more than {dim + 1} samples, not {n}.")
    return residual * (1 + dim / (n - dim - 1))


def refined_error(
    world: GaussianWorld, n0: int | None, *, lam: float, dim: int, n2: int, rng: np.random.Generator
) -> float:
    """Expected downstream error, on n2 labels, of the linear f that n0 other labels refined.

    Pretext samples are without end, and so are the n0 for None; the losses have no intercept.
    """
    if n0 is None:
        weight = world.minimiser(lam=lam, dim=dim)
    else:
        x, y, _ = world.sample(n0, rng)
        found = minimise(world.pretext(), x, y, lam=lam, dim=dim, rng=rng, intercept=False, starts=0)
        weight = found.weight
    return ols_error(world.residuals(weight)[0], dim, n2)


def plain_error(world: GaussianWorld, *, n2: int) -> float:
    """Expected downstream error on n2 labels of pretext learning alone: least squares on W*_{z,x} x."""
    moments = world.pretext()
    weight = np.linalg.lstsq(moments.xx, moments.xz, rcond=None)[0].T
    return ols_error(world.residuals(weight)[0], int(np.linalg.matrix_rank(weight)), n2)


def oracle_error(world: GaussianWorld, *, n2: int) -> float:
    """Expected downstream error on n2 labels of the f = W*_{y,x} x, which has (C1) and (C2) here."""
    weight = np.linalg.lstsq(world.pretext().xx, world.to_x @ world.to_y.T, rcond=None)[0].T
    return ols_error(world.residuals(weight)[0], len(weight), n2)
