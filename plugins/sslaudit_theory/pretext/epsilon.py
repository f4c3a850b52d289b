"""eps_CI of Lee et al.: how much of the pretext target the features explain beyond the class.

    eps_CI = || S_ff^(-1/2) S_fz|y ||_F,    S_fz|y = S_fz - S_fy S_yy^+ S_yz,

with f whitened by its marginal covariance, y the one-hot label and the best linear predictors with
intercept. eps_CI^2 is the part of the variance of z - E^L[z | y] that is linear in f, so it is in squared
units of z; the share of that variance is what can be read.

What Lee et al. prove, up to constants and logarithms: under exact conditional independence the excess risk
downstream is sigma^2 k / n2, for k classes (the dimension of y) and n2 labelled samples; otherwise
sigma^2 d2 / n2 + eps_CI^2 / beta^2 + eps_pre^2 / beta^2, with d2 the dimension of z,
1 / beta = ||S_Yphi S_zphi^+|| for the one-hot label phi of y, and eps_pre the error of the pretext task.
With k m principal components of z, d2 becomes k m. beta and eps_pre are not estimated here.

Traps.

- The covariance is pooled over classes. Classes with covariances of opposite sign cancel, and eps_CI is 0
  although criterion C1, Cov(f, z | y) = 0, fails. It is no test of C1.
- Measured on the samples that it was fitted on, eps_CI^2 errs upwards, by about d_f tr(S_z|y) / n.
- Cross-fitted it errs downwards: a predictor of few samples explains less than the best one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import StratifiedKFold

from sslaudit.results import Interval
from sslaudit.stats import percentile_interval, resample_within_classes

FOLDS = 5

_PENALTIES = np.logspace(-6, 2, 9)
"""Ridge penalties, in units of n times the mean variance of a feature."""
_CONSTANT = 1e-10
"""Spread relative to the size of the values below which they are equal up to rounding."""


def partial_covariance(fz: ArrayLike, fy: ArrayLike, yy: ArrayLike, yz: ArrayLike) -> np.ndarray:
    """S_fz|y = S_fz - S_fy S_yy^+ S_yz, (d_f, d_z), of covariances; pooled over classes for one-hot y.

    Raises ``ValueError`` for shapes that do not fit and values that are not finite.
    Source: Lee et al., NeurIPS 2021, Definition 4.1.
    """
    fz, fy, yy, yz = (
        _matrix(s, name) for s, name in ((fz, "S_fz"), (fy, "S_fy"), (yy, "S_yy"), (yz, "S_yz"))
    )
    k = len(yy)
    if fy.shape != (len(fz), k) or yz.shape != (k, fz.shape[1]):
        raise ValueError(f"covariances of shape {fz.shape}, {fy.shape}, {yy.shape}, {yz.shape} do not fit.")
    partial: np.ndarray = fz - fy @ np.linalg.pinv(yy, hermitian=True) @ yz
    return partial


def eps_ci(ff: ArrayLike, fz_given_y: ArrayLike) -> float:
    """||S_ff^(-1/2) S_fz|y||_F of covariances (d_f, d_f) and (d_f, d_z); the inverse is the pseudo-inverse.

    Raises ``ValueError`` for shapes that do not fit, values that are not finite, and S_ff that is not
    positive semi-definite.
    Source: Lee et al., NeurIPS 2021, Definition 4.1, for linear predictors on f.
    """
    ff, cross = _matrix(ff, "S_ff"), _matrix(fz_given_y, "S_fz|y")
    if ff.shape != (len(cross), len(cross)):
        raise ValueError(f"S_ff of shape {ff.shape} does not fit S_fz|y of shape {cross.shape}.")
    values, vectors = np.linalg.eigh((ff + ff.T) / 2)
    rounding = len(ff) * np.finfo(np.float64).eps * np.abs(values).max()
    if values.min() < -rounding:
        raise ValueError(f"S_ff has the eigenvalue {values.min():g}: it is no covariance.")
    kept = values > rounding
    return float(np.linalg.norm((vectors[:, kept].T @ cross) / np.sqrt(values[kept])[:, None]))


def eps_ci_plug_in(f: ArrayLike, z: ArrayLike, labels: ArrayLike) -> float:
    """eps_CI of the sample covariances of f (n, d_f) and z (n, d_z) given labels (n,).

    Its square errs upwards by about ``plug_in_bias``; for n <= d_f it is all of the variance of z. Raises
    ``ValueError`` for shapes that do not fit and values that are not finite.
    Source: Lee et al., NeurIPS 2021, Definition 4.1, with sample covariances.
    """
    f, z, labels = _samples(f, z, labels)
    centred = f - f.mean(axis=0)
    residual = within_classes(z, labels)
    if len(f) < f.shape[1]:  # the same by the products of rows, which are fewer
        values, vectors = np.linalg.eigh(centred @ centred.T)
        kept = values > f.shape[1] * np.finfo(np.float64).eps * values.max()
        return float(np.linalg.norm(vectors[:, kept].T @ residual) / np.sqrt(len(f)))
    return eps_ci(centred.T @ centred / len(f), centred.T @ residual / len(f))


def plug_in_bias(d_f: int, within: float, n: int) -> float:
    """d_f tr(S_z|y) / n, the bias of the squared plug-in where f explains little; ``within`` is the trace.

    It is at most the trace. Raises ``ValueError`` for no samples.
    Source: own derivation, checked numerically.
    """
    if n < 1:
        raise ValueError(f"{n} samples have no covariance.")
    return within * min(1.0, d_f / n)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """Variance of z inside the classes that a ridge on f explains on samples it was not fitted on."""

    explained: np.ndarray
    """(m,) |r|^2 - |r - prediction|^2 of each sample; r is z minus the mean of its class in other folds."""
    residual: np.ndarray
    """(m,) |r|^2."""
    rows: np.ndarray
    """(m,) which samples these are: those of classes with fewer samples than folds are left out."""
    dims: tuple[int, int]
    """d_f and d_z."""
    penalty: float
    """Median over folds and targets, in units of n times the mean variance of a feature."""

    @property
    def raw(self) -> float:
        """Mean of ``explained``: below 0 where the predictor does worse than none."""
        return float(self.explained.mean())

    @property
    def eps_ci_squared(self) -> float:
        """Cross-fitted eps_CI^2, never below 0, in squared units of z."""
        return max(0.0, self.raw)

    @property
    def eps_ci(self) -> float:
        """Its root."""
        return float(np.sqrt(self.eps_ci_squared))

    @property
    def share(self) -> float:
        """Share of the variance of z inside the classes, from 0 to 1."""
        return max(0.0, self.raw / float(self.residual.mean()))

    def interval(self, rng: np.random.Generator, draws: int = 2000, level: float = 0.95) -> Interval:
        """Bootstrap interval of ``share`` over images, for the predictors at hand.

        It does not make up for what predictors fitted on few samples miss.
        """

        def share(counts: np.ndarray) -> np.ndarray:
            whole = counts @ self.residual
            shares: np.ndarray = counts @ self.explained / np.where(whole > 0, whole, np.inf)
            return shares

        one_class = np.zeros(len(self.rows), dtype=np.int64)
        replicates = resample_within_classes(one_class, share, rng, draws)
        method = f"percentile bootstrap over {len(self.rows):,} images, {draws:,} resamples, predictors fixed"
        return percentile_interval(np.maximum(0.0, replicates), level, method)


def obstacle(f: ArrayLike, z: ArrayLike, labels: ArrayLike, folds: int = FOLDS) -> str:
    """Why ``eps_ci_cross_fitted`` has nothing to measure, empty where it has. No columns are constant ones.

    Raises ``ValueError`` for shapes that do not fit and values that are not finite.
    """
    for name, values in (("f", f), ("z", z)):
        if np.ndim(values) == 2 and np.shape(values)[1] == 0:
            return f"trivial: {name} is constant"
    f, z, labels = _samples(f, z, labels)
    rows = _rows(labels, folds)
    if not len(rows):
        return f"no class has {folds} images, one for each fold"
    for name, values in (("f", f[rows]), ("z", z[rows])):
        if constant(values - values[0], values):
            return f"trivial: {name} is constant"
        if constant(within_classes(values, labels[rows]), values):
            return f"trivial: {name} is constant within classes"
    return ""


def eps_ci_cross_fitted(
    f: ArrayLike, z: ArrayLike, labels: ArrayLike, *, rng: np.random.Generator, folds: int = FOLDS
) -> Explained:
    """Cross-fitted explained variance of f (n, d_f) on z (n, d_z) beyond labels (n,).

    Folds take the classes in proportion. In the fitting folds z is centred by class and a ridge on f fitted
    to it, with a penalty for each target by leave-one-out; the held-out samples are centred by the same
    means. Errs downwards. Unchanged by rotations of f. Raises ``ValueError`` for shapes that do not fit,
    values that are not finite, and what ``obstacle`` names.
    Source: sslaudit, for Lee et al., NeurIPS 2021, Definition 4.1.
    """
    f, z, labels = _samples(f, z, labels)
    if reason := obstacle(f, z, labels, folds):
        raise ValueError(f"eps_CI cannot be measured: {reason}.")
    rows = _rows(labels, folds)
    seen, target = f[rows], z[rows]
    classes = np.unique(labels[rows], return_inverse=True)[1]
    residuals, predicted, penalties = np.empty_like(target), np.empty_like(target), []
    splitter = StratifiedKFold(folds, shuffle=True, random_state=int(rng.integers(2**32)))
    for fit, held in splitter.split(seen, classes):
        means = _means(target[fit], classes[fit])
        unit = len(fit) * float(seen[fit].var(axis=0).mean()) or 1.0
        ridge = RidgeCV(unit * _PENALTIES, alpha_per_target=True)
        ridge.fit(seen[fit], target[fit] - means[classes[fit]])
        residuals[held] = target[held] - means[classes[held]]
        predicted[held] = ridge.predict(seen[held]).reshape(len(held), -1)
        penalties.append(ridge.alpha_ / unit)
    square = np.square(residuals).sum(axis=1)
    return Explained(
        explained=square - np.square(residuals - predicted).sum(axis=1),
        residual=square,
        rows=rows,
        dims=(f.shape[1], z.shape[1]),
        penalty=float(np.median(penalties)),
    )


def within_classes(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``values`` (n, d) minus the mean of their class, for labels (n,)."""
    classes = np.unique(labels, return_inverse=True)[1]
    centred: np.ndarray = values - _means(values, classes)[classes]
    return centred


def constant(deviations: np.ndarray, values: np.ndarray) -> bool:
    """Whether ``deviations`` (n, d) are rounding beside ``values`` (n, d), in every column."""
    size = np.sqrt(np.mean(values**2, axis=0))
    return bool((np.abs(deviations).max(axis=0) <= _CONSTANT * size).all())


def _means(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(K, d) means of classes 0..K-1, all of which have rows."""
    return np.stack([values[classes == k].mean(axis=0) for k in range(int(classes.max()) + 1)])


def _rows(labels: np.ndarray, folds: int) -> np.ndarray:
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rows: np.ndarray = np.flatnonzero(sizes[classes] >= folds)
    return rows


def _samples(f: ArrayLike, z: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    f, z, labels = _matrix(f, "f"), _matrix(z, "z"), np.asarray(labels)
    if labels.shape != (len(f),) or len(z) != len(f):
        raise ValueError(
            f"f, z and labels of shape {f.shape}, {z.shape} and {labels.shape} are not of the same samples."
        )
    return f, z, labels


def _matrix(values: ArrayLike, name: str) -> np.ndarray:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} is a matrix with a row and a column at least, not {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} is not all finite.")
    return matrix
