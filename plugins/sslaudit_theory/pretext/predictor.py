"""How much of the label a linear predictor of f(x) leaves, against the best predictor at hand: C2.

With W* the best linear predictor of the one-hot label y (intercept included) and R(f) = E ||y - W* f||^2,

    C2 asks that R(f) = min_f' R(f').

The minimum is over all functions of x, so it is the least squared error of any predictor of y from x. It is
not known, so C2 is never certified. What one encoder gives is two bounds of V = R(f) - min_f' R(f').

* From below: V >= R(f) - E ||y - g(x)||^2 for every predictor g. R(f) must err low and the error of g high.
  A least squares fit leaves on average R (n - d - 1) / n on the n images that it was fitted on (d features
  and an intercept, Gaussian), so in-sample errs low. A ridge penalty would spoil this, so there is none. The
  fit takes training and held-out images together: by exchange each of them has the same error on average,
  so the held-out images carry the mean and each is paired with its own error under g. g is chosen and
  fitted on training images only, so its held-out error is right on average for g and too high for the
  minimum.
  Both need held-out images that are drawn like the training images.
* From above: min >= 0, so V <= R(f), and R(f) is at most the error of any W on images that it was not
  fitted on. The ridge penalty is chosen within the training images; here it only helps.
* With n <= d the least squares fit leaves 0 for any labels whatever, and the bound from below is void.

Source: Teng et al., AISTATS 2022, Criterion (C2); the bounds are own derivations, checked numerically.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sslaudit.train.losses.pretext import best_linear

PENALTIES = tuple(np.logspace(-6, 2, 9).tolist())
"""Ridge penalties, in units of n times the mean variance of a feature."""
NEIGHBOURS = (5, 20)
COMPONENTS = 64
"""Principal components of the features that the multi-layer perceptron sees, and its hidden units."""
EPOCHS, RATE = 200, 0.01
VALIDATION = 0.2
"""Share of the training images on which penalty and reference are chosen."""

_FEWEST = 10
"""Training images for a validation part."""
_FEWEST_MLP = 50
"""Training images from which on a perceptron is fitted; it keeps a tenth of them for early stopping."""
_ROUNDING = 1e-12
"""Squared errors of one-hot labels below this are rounding."""
_CONSTANT = 1e-12
"""Variance, relative to the mean square, that is rounding of single-precision features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A predictor of the label from x that is not a linear one on f."""

    name: str
    """``knn_5``, ``mlp``, ``pixels_linear``, ..."""
    validation: float
    """Squared error on the validation part, before it was fitted on all training images."""
    held_out: np.ndarray
    """(m,) squared error of each held-out image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorGap:
    """Squared errors of the one-hot label on m held-out images."""

    linear: np.ndarray
    """(m,) by ridge on f, fitted on training images: errs high for R(f)."""
    least_squares: np.ndarray
    """(m,) by least squares on f, fitted on training and held-out images: errs low for R(f)."""
    penalty: float
    """Of the ridge, one of ``PENALTIES``."""
    variance: float
    """Mean error of the class frequencies of the training images: that of constant features."""
    references: tuple[Reference, ...]
    best: Reference
    """The one with the smallest validation error."""
    images: int
    """n, training and held-out images."""
    dim: int
    """d."""

    @property
    def void(self) -> bool:
        """Whether least squares with an intercept can leave nothing whatever the labels: n <= d + 1."""
        return self.images <= self.dim + 1

    @property
    def difference(self) -> np.ndarray:
        """(m,) R(f), erring low, minus the best reference, erring high: its mean bounds V from below."""
        paired: np.ndarray = self.least_squares - self.best.held_out
        return paired

    @property
    def lower(self) -> float:
        """The bound of V from below as it is, negative where no reference is better than f."""
        return float(self.difference.mean())

    @property
    def upper(self) -> float:
        """The bound of V from above."""
        return float(self.linear.mean())


def one_hot(labels: ArrayLike, classes: int) -> np.ndarray:
    """Labels 0..K-1 (n,) as rows of the unit matrix (n, K). Raises ``ValueError`` for other labels."""
    own = np.asarray(labels)
    if own.ndim != 1 or not len(own) or own.min() < 0 or own.max() >= classes:
        raise ValueError(f"labels (n,) are 0..K-1 with K = {classes}, of one image at least.")
    rows: np.ndarray = np.eye(classes)[own]
    return rows


def checked_images(features: ArrayLike, labels: ArrayLike, train: ArrayLike) -> tuple[np.ndarray, ...]:
    """Features (n, d) as float64, labels (n,) and which images are for training (n,) bool.

    Raises ``ValueError`` for one class, for fewer than ten training or two held-out images, for features
    that are constant on the training images, for shapes that do not fit and for values that are not finite.
    """
    own, fitted = np.asarray(labels), np.asarray(train, dtype=bool)
    f = finite_rows(features, "features", len(own))
    if fitted.shape != own.shape:
        raise ValueError(
            f"train says of {fitted.shape} images whether they may be fitted on, of {own.shape}."
        )
    if not np.issubdtype(own.dtype, np.integer):
        raise ValueError(f"labels are classes 0..K-1, not numbers of type {own.dtype}.")
    if len(np.unique(own)) < 2:
        raise ValueError("there is one class only, so nothing is to be predicted.")
    if fitted.sum() < _FEWEST:
        raise ValueError(f"{fitted.sum()} training images are too few: it takes {_FEWEST}.")
    if (~fitted).sum() < 2:
        raise ValueError(f"{(~fitted).sum()} held-out images are too few: it takes 2.")
    if f[fitted].var(axis=0).sum() <= _CONSTANT * np.square(f[fitted]).sum(axis=1).mean():
        raise ValueError("the features of the training images are constant.")
    return f, own, fitted


def finite_rows(values: ArrayLike, name: str, images: int) -> np.ndarray:
    """An array (``images``, d) as float64. Raises ``ValueError`` for other shapes and for no number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) != images:
        raise ValueError(f"{name} of {images} images are an array ({images}, d), not {array.shape}.")
    if not array.shape[1]:
        raise ValueError(f"there are no columns of {name}: nothing varies.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} are not all finite.")
    return array


def leading_components(rows: np.ndarray, kept: int | None = None) -> PCA:
    """The first ``kept`` principal components of rows (n, d), else all: exact, and fast for n < d.

    Source: scikit-learn.
    """
    wide = rows.shape[0] < rows.shape[1]
    return PCA(n_components=kept, svd_solver="full" if wide else "covariance_eigh").fit(rows)


def linear_errors(targets: np.ndarray, f: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """||t - W* f||^2 of each row, (n,), with W* of the rows that are ``fitted`` and an intercept.

    Raises ``ValueError`` as ``sslaudit.train.losses.pretext.best_linear`` does.
    Source: Teng et al., AISTATS 2022, the definition below Criterion (C2).
    """
    weights = best_linear(torch.from_numpy(targets[fitted]), torch.from_numpy(f[fitted])).numpy()
    squared: np.ndarray = np.square(targets - f @ weights[:, :-1].T - weights[:, -1]).sum(axis=1)
    return squared


def ridge_errors(targets: np.ndarray, f: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """||t - W f||^2 of each row, (n,), with W by ridge on the rows that are ``fitted`` and an intercept.

    The penalty of each column of ``targets`` (n, k) is that of ``PENALTIES`` with the least leave-one-out
    error.
    Source: Hoerl and Kennard, Technometrics 1970.
    """
    unit = fitted.sum() * float(f[fitted].var(axis=0).mean()) or 1.0
    model = RidgeCV(unit * np.array(PENALTIES), alpha_per_target=True).fit(f[fitted], targets[fitted])
    squared: np.ndarray = np.square(targets - model.predict(f).reshape(targets.shape)).sum(axis=1)
    return squared


def predictor_gap(
    features: ArrayLike,
    labels: ArrayLike,
    train: ArrayLike,
    rng: np.random.Generator,
    *,
    others: Mapping[str, ArrayLike] | None = None,
) -> PredictorGap:
    """Both bounds of the violation of C2 by ``features`` (n, d), as errors of the held-out images.

    ``labels`` (n,) are 0..K-1, ``train`` (n,) is true for training images, ``others`` are further
    descriptions (n, d') of the same images by name, such as principal components of pixels; references
    are made of them too. Raises ``ValueError`` for one class, for fewer than ten training or two held-out
    images, for constant features, for shapes that do not fit and for values that are not finite.
    Source: Teng et al., AISTATS 2022, Criterion (C2); the bounds are own derivations, checked numerically.
    """
    f, own, fitted = checked_images(features, labels, train)
    y = one_hot(own, int(own.max()) + 1)
    fit, validation = train_test_split(
        np.flatnonzero(fitted), test_size=VALIDATION, random_state=_seed(rng), shuffle=True
    )
    parts = _Parts(fit=fit, validation=validation, train=np.flatnonzero(fitted), test=np.flatnonzero(~fitted))
    penalty, _, linear = _ridge(f, y, parts)
    references = _neighbours("", f, y, parts)
    if len(parts.train) >= _FEWEST_MLP:
        references.append(_perceptron(f, y, parts, _seed(rng)))
    for name, given in (others or {}).items():
        other = finite_rows(given, name, len(y))
        _, validation_error, held_out = _ridge(other, y, parts)
        references.append(Reference(name=f"{name}_linear", validation=validation_error, held_out=held_out))
        references += _neighbours(f"{name}_", other, y, parts)
    frequencies = y[parts.train].mean(axis=0)
    least_squares = linear_errors(y, f, np.ones(len(f), dtype=bool))[parts.test]
    return PredictorGap(
        linear=linear,
        least_squares=np.where(least_squares > _ROUNDING, least_squares, 0.0),
        penalty=penalty,
        variance=float(np.square(y[parts.test] - frequencies).sum(axis=1).mean()),
        references=tuple(references),
        best=min(references, key=lambda reference: reference.validation),
        images=len(f),
        dim=f.shape[1],
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Indices of images; ``fit`` and ``validation`` are the training images."""

    fit: np.ndarray
    validation: np.ndarray
    train: np.ndarray
    test: np.ndarray

    def validated(self, model: Any, x: np.ndarray, y: np.ndarray) -> float:
        """The error of a model on the validation part, fitted on the rest of the training images."""
        model.fit(x[self.fit], y[self.fit])
        return float(_errors(model, x[self.validation], y[self.validation]).mean())

    def held_out(self, model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(m,) errors of a model fitted on all training images."""
        model.fit(x[self.train], y[self.train])
        return _errors(model, x[self.test], y[self.test])


def _ridge(x: np.ndarray, y: np.ndarray, parts: _Parts) -> tuple[float, float, np.ndarray]:
    """The best of ``PENALTIES``, its validation error, and its held-out errors (m,)."""
    unit = len(parts.train) * float(x[parts.train].var(axis=0).mean()) or 1.0
    models = {penalty: Ridge(alpha=penalty * unit, solver="cholesky") for penalty in PENALTIES}
    found = {penalty: parts.validated(model, x, y) for penalty, model in models.items()}
    best = min(found, key=lambda penalty: found[penalty])
    return best, found[best], parts.held_out(models[best], x, y)


def _neighbours(prefix: str, x: np.ndarray, y: np.ndarray, parts: _Parts) -> list[Reference]:
    """Frequencies of the labels among the nearest by angle, as seen from the mean."""
    found = []
    for k in NEIGHBOURS:
        if k <= len(parts.fit):
            nearest = KNeighborsRegressor(n_neighbors=k, algorithm="brute")
            model = make_pipeline(StandardScaler(with_std=False), Normalizer(), nearest)
            error = parts.validated(model, x, y)
            held_out = parts.held_out(model, x, y)
            found.append(Reference(name=f"{prefix}knn_{k}", validation=error, held_out=held_out))
    return found


def _perceptron(x: np.ndarray, y: np.ndarray, parts: _Parts, seed: int) -> Reference:
    """One hidden layer on leading components, squared loss, stopped early within the training images.

    All components are in one unit, that of their mean: each in its own would blow up rounding.
    """
    kept = min(COMPONENTS, *x[parts.train].shape)
    leading = leading_components(x[parts.train], kept)
    scores = leading.transform(x) * np.sqrt(kept / leading.explained_variance_.sum())
    model = MLPRegressor(
        hidden_layer_sizes=(COMPONENTS,),
        learning_rate_init=RATE,
        max_iter=EPOCHS,
        early_stopping=True,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a reference need not be the best of its kind
        error, held_out = parts.validated(model, scores, y), parts.held_out(model, scores, y)
    return Reference(name="mlp", validation=error, held_out=held_out)


def _errors(model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared: np.ndarray = np.square(y - model.predict(x)).sum(axis=1)
    return squared


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
