"""LogME: the log evidence of a Bayesian linear model from features to one-hot labels, at its best priors.

t = F m + noise, m ~ N(0, I / a), noise ~ N(0, I / b), so t ~ N(0, I / b + F F' / a). Only x = a / b is
searched: at a given x the best b is n / Q(x), with the ridge loss Q(x) = min_m ||t - F m||^2 + x ||m||^2,
and what is left is

    log evidence = -1/2 [n log(2 pi e Q(x) / n) + log det(I + F'F / x)].

The alternating updates of a and b have the same fixed points but may not converge: a runs to infinity
where the features say nothing, b where they fit the targets exactly. Both are ends of the search here. The
evidence of an exact fit by fewer features than images has no bound; the unexplained part of t counts as
1e-12 of it at least.

F is neither centred nor normalised. The evidence does not depend on its scale, but on its offset.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize.elementwise import find_minimum
from torch import Tensor

from sslaudit_probes.classes.moments import ROUNDING, Array, checked, one_hot, tiles

_GRID = 64
"""Places at which the evidence is looked at before the best one is refined."""
_BEYOND = 30.0
"""How far the search goes beyond the eigenvalues of F'F, in logarithms."""


@dataclass(frozen=True, slots=True, eq=False)
class LogME:
    """Log evidence for each image, in nats."""

    classes: np.ndarray
    """(K,) of the one-hot column of each class."""
    exact: np.ndarray
    """(K,) bool: fewer features than images fit the column exactly, so its value is that of the 1e-12."""
    error: float
    """Standard error of the mean over the classes."""

    @property
    def value(self) -> float:
        """Mean over the classes."""
        return float(self.classes.mean())


def logme(features: Array, labels: Array) -> LogME:
    """LogME of features (N, D) with labels (N,) in 0..K-1: mean over classes of the log evidence over N.

    Takes the eigenvectors of F'F, on the device of the features. The standard error is by the
    infinitesimal jackknife over images. Raises ``ValueError`` for features that are all 0, and as
    ``log_evidence`` does.
    Source: You et al., ICML 2021; the search over x alone is our own rearrangement.
    """
    rows, own = checked(features, labels)
    return _fit(rows, own, one_hot(torch.arange(int(own.max()) + 1, device=rows.device), int(own.max()) + 1))


def log_evidence(features: Array, targets: Array) -> float:
    """Largest log evidence for each image of a target t (N,) given features (N, D), in nats.

    Raises ``ValueError`` for features or a target that are all 0 or not finite, and for other shapes.
    Source: You et al., ICML 2021, Equation 2.
    """
    rows = torch.as_tensor(features)
    column = torch.as_tensor(targets, device=rows.device).double()
    if column.ndim != 1 or not column.any() or not column.isfinite().all():
        raise ValueError("a target is (N,), finite and not all 0.")
    # Each image is a class of its own, which has a row of targets.
    each = torch.arange(len(column), device=rows.device)
    return _fit(*checked(rows, each), column[:, None]).value


def _fit(rows: Tensor, own: Tensor, table: Tensor) -> LogME:
    """The evidence of the targets ``table[own]`` (N, T)."""
    n, D = rows.shape
    gram = torch.zeros(D, D, dtype=torch.float64, device=rows.device)
    product = torch.zeros(D, table.shape[1], dtype=torch.float64, device=rows.device)
    for tile, mine in tiles(rows, own):
        gram += tile.T @ tile
        product += tile.T @ table[mine]
    if not gram.isfinite().all() or not gram.any():
        raise ValueError("features are finite and not all 0.")
    values, vectors = torch.linalg.eigh(gram)
    kept = values > ROUNDING * values[-1]
    s, V = values[kept], vectors[:, kept]
    inside = V.T @ product  # (r, T): V'F't
    length = torch.stack([table[mine].square().sum(0) for _, mine in tiles(rows, own)]).sum(0)
    curve = _Curve(s.cpu().numpy(), inside.cpu().numpy(), length.cpu().numpy(), n)
    best = curve.best()
    evidence = curve.evidence(best, np.arange(len(best)))

    # Influence of the weight of an image: Q changes by its squared residual, log det by its leverage.
    x = torch.from_numpy(np.exp(best)).to(rows.device)
    shrunk = 1 / (s[:, None] + x)
    loss = torch.from_numpy(curve.loss(best, np.arange(len(best)))).to(rows.device)
    change = []
    for tile, mine in tiles(rows, own):
        along = tile @ V
        residual = (table[mine] - along @ (inside * shrunk)).square()
        change.append((n * residual / loss + along.square() @ shrunk).mean(1))
    influence = -torch.cat(change).cpu().numpy() / (2 * n)
    return LogME(evidence, curve.exact, float(np.sqrt(np.square(influence - influence.mean()).sum())))


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The evidence of T targets as a function of log x."""

    s: np.ndarray
    """(r,) eigenvalues of F'F that are not 0."""
    inside: np.ndarray
    """(r, T) V'F't."""
    length: np.ndarray
    """(T,) ||t||^2."""
    n: int

    @property
    def exact(self) -> np.ndarray:
        """(T,) whether nothing of a target is unexplained, although there are fewer features than images."""
        rest = self.length - (np.square(self.inside) / self.s[:, None]).sum(axis=0)
        fitted: np.ndarray = (rest <= ROUNDING * self.length) & (len(self.s) < self.n)
        return fitted

    def loss(self, log_x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Q (m,) of some targets (m,), each at its own log x."""
        explained = np.square(self.inside[:, targets]) / self.s[:, None]
        length = self.length[targets]
        rest = np.maximum(length - explained.sum(axis=0), ROUNDING * length) if len(self.s) < self.n else 0.0
        total: np.ndarray = (explained / (1 + self.s[:, None] / np.exp(log_x))).sum(axis=0) + rest
        return total

    def evidence(self, log_x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Log evidence (m,) for each image."""
        noise = np.log(2 * np.pi * np.e * self.loss(log_x, targets) / self.n)
        value: np.ndarray = -(noise + np.log1p(self.s[:, None] / np.exp(log_x)).sum(axis=0) / self.n) / 2
        return value

    def best(self) -> np.ndarray:
        """(T,) log x with the largest evidence; an end of the grid where it rises to there."""
        grid = np.linspace(np.log(self.s.min()) - _BEYOND, np.log(self.s.max()) + _BEYOND, _GRID)
        every = np.arange(self.inside.shape[1])
        heights = np.stack([self.evidence(np.full(len(every), at), every) for at in grid])
        top = heights.argmax(axis=0)
        best: np.ndarray = grid[top]
        within = np.flatnonzero((top > 0) & (top < _GRID - 1))
        if len(within):
            bracket = tuple(grid[top[within] + step] for step in (-1, 0, 1))
            found = find_minimum(
                lambda at, which: -self.evidence(at, which.astype(int)), bracket, args=(within.astype(float),)
            )
            best[within] = found.x
        return best
