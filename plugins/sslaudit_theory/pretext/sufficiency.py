"""Whether labels help to refine an encoder, or harm: the number of them against the dimensions.

Refining minimises L(f; P) = E [||y - W* f||^2 - lambda ||z - W* f||^2], the label part on n0 labelled images.

* With n0 <= rank f(X) the label part is 0 for any labels whatever, so it says nothing: what is left drives z
  out of f, and with it what z has to do with y. That is the mechanism of Theorem 3, which asks for
  n0 = o(d_f).
* Between d_f and 2 d_f the label part still fits mostly noise: in-sample it is (n0 - d_f) / n0 of its limit.
* On a synthetic Gaussian world (24 dimensions, 8 of them kept) refining with lambda = 0.02 harms up to about
  50 d_f labels and helps clearly from 100 d_f on; larger lambda harms at any number. So below 100 d_f harm is
  to be expected, and is measured here.
* Teng et al. also have a lower bound on n0 that depends on the model. Its statement is not at hand, so it is
  not implemented.
* Even without end of labels the minimiser is not free of z where z depends on y and on more.

Harm and gain are measured: one linear head on f as it is, and on f refined with the same labels. The features
are cut to at most ``COMPONENTS`` leading components of the training images before, so that all sizes are
affordable. The refined features have one dimension for each class, as ``sslaudit train pretext-boost`` has
them when nothing else is asked for. d_f is that of the features below all the same: f is learned, so from D
features it fits the labels of n0 <= D images whatever they are, in however few dimensions.

Source: Teng et al., AISTATS 2022, Theorem 3; the rule and the measurement are own derivations, checked
numerically.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.linear_model import RidgeClassifierCV
from sklearn.utils import resample

from sslaudit.train.boost import refine
from sslaudit_theory.pretext.predictor import checked_images, finite_rows, leading_components, one_hot

COMPONENTS = 64
"""Leading components of the features that are refined, at most."""
SIZES = 5
"""Numbers of labels, from half of the dimensions to all labels there are, in equal ratios."""
STEPS = 100
"""Iterations of refining from each of its starts. Where the labels fit anyway more would harm more."""
EXPECTED = 100
"""Below so many labels for each dimension refining harms on the synthetic world."""
PENALTIES = tuple(np.logspace(-4, 1, 6).tolist())
"""Ridge penalties of the head, in units of n0 times the mean variance of a feature."""

_ROUNDING = 1e-12
"""Variance of a component, relative to the largest, that is rounding of single-precision features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtSize:
    """Errors with n0 labels: 1 where a held-out image is misclassified, else 0."""

    n0: int
    plain: np.ndarray
    """(m, R) of m images and R draws of the labels, on f as it is."""
    refined: np.ndarray
    """(m, R) with f refined by the same labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sufficiency:
    """Errors of refining or not, at each number of labels."""

    sizes: tuple[AtSize, ...]
    """Ascending in n0; the last has all labels, and one draw."""
    dim: int
    """d_f: dimensions of f, or their rank where the training images show a smaller one.

    m images span at most m - 1 dimensions. A rank of m - 1 says nothing of f, and least squares then fits
    any labels, so d_f is all dimensions.
    """
    kept: int
    """Leading components of f that were refined."""
    refined: int
    """Dimensions of the refined features."""


def rule(n0: int, dim: int) -> str:
    """What n0 labels for d_f = ``dim`` dimensions can say, in words. Raises ``ValueError`` below 1.

    Source: Teng et al., AISTATS 2022, Theorem 3's mechanism; the thresholds are own derivations.
    """
    if n0 < 1 or dim < 1:
        raise ValueError(f"the rule takes labels and dimensions of 1 or more, not {n0} and {dim}.")
    if n0 <= dim:
        return "refinement carries no label information"
    if n0 <= 2 * dim:
        return "refinement carries weak label information"
    if n0 < EXPECTED * dim:
        return f"below {EXPECTED} d_f: harm is to be expected"
    return f"above {EXPECTED} d_f: refinement may help for small lambda"


def refining(
    features: ArrayLike,
    z: ArrayLike,
    labels: ArrayLike,
    train: ArrayLike,
    rng: np.random.Generator,
    *,
    lam: float = 0.02,
    repeats: int = 3,
) -> Sufficiency:
    """Errors on held-out images with and without refining ``features`` (n, d), for several n0.

    ``z`` (n, d_z) is the pretext target, ``labels`` (n,) are 0..K-1, ``train`` (n,) is true for training
    images. Refining sees features and z of all training images and labels of n0 of them, drawn class by
    class ``repeats`` times. Components, scales and the head are fitted on training images alone, and z has
    total variance 1. Raises ``ValueError`` for one class among the training images, for fewer than two
    held-out images, for features or z that are constant, for shapes that do not fit and for values that
    are not finite.
    Source: Teng et al., AISTATS 2022, Theorem 3; the measurement is an own derivation.
    """
    f, own, fitted = checked_images(features, labels, train)
    target = finite_rows(z, "z", len(f))
    present = len(np.unique(own[fitted]))
    if present < 2:
        raise ValueError("the training images are of one class only.")
    spread = float(target[fitted].var(axis=0).sum())
    if spread <= _ROUNDING * np.square(target[fitted]).sum(axis=1).mean():
        raise ValueError("z is constant on the training images.")
    target = (target[fitted] - target[fitted].mean(axis=0)) / np.sqrt(spread)
    classes = int(own.max()) + 1
    pca = leading_components(f[fitted])
    variance = pca.explained_variance_
    rank = max(1, int((variance > _ROUNDING * variance[0]).sum()))
    dim = rank if rank < fitted.sum() - 1 else f.shape[1]
    kept = min(COMPONENTS, rank)
    x = pca.transform(f)[:, :kept] / np.sqrt(variance[:kept].mean())
    refined = min(present, kept, int(fitted.sum()) - 2)
    bank, query, y, truth = x[fitted], x[~fitted], one_hot(own, classes)[fitted], own[~fitted]

    def errors(n0: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(repeats if n0 < len(bank) else 1):
            rows = _draw(own[fitted], n0, rng)
            module = refine(
                bank,
                target,
                bank[rows],
                y[rows],
                lam=lam,
                dim=refined,
                network="linear",
                seed=int(rng.integers(2**31)),
                steps=STEPS,
            ).module
            known = own[fitted]
            new_bank, new_query = (module(torch.from_numpy(part)).double().numpy() for part in (bank, query))
            yield (
                _head(bank, query, rows, known) != truth,
                _head(new_bank, new_query, rows, known) != truth,
            )

    sizes = []
    for n0 in _sizes(len(bank), max(2, kept // 2, present)):
        plain, boosted = (np.stack(columns, axis=1) for columns in zip(*errors(n0), strict=True))
        sizes.append(AtSize(n0=n0, plain=plain.astype(float), refined=boosted.astype(float)))
    return Sufficiency(sizes=tuple(sizes), dim=dim, kept=kept, refined=refined)


def _sizes(most: int, least: int) -> list[int]:
    grid = np.geomspace(min(least, most), most, SIZES).round().astype(int)
    return sorted(set(grid.tolist()))


def _draw(labels: np.ndarray, n0: int, rng: np.random.Generator) -> np.ndarray:
    """n0 places of ``labels``, the classes in proportion."""
    if n0 == len(labels):
        return np.arange(n0)
    seed = int(rng.integers(2**31))
    places: np.ndarray = resample(
        np.arange(len(labels)), replace=False, n_samples=n0, stratify=labels, random_state=seed
    )
    return np.sort(places)


def _head(bank: np.ndarray, query: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes of ``query`` by a ridge head on the labels at ``rows`` of ``bank``.

    Features have one unit in common or one each, whichever serves the labels better when each of them in
    turn is left out: refined features are white, so that else the unit alone would make a difference.
    """
    if len(np.unique(labels[rows])) < 2:
        return np.full(len(query), labels[rows[0]])
    centre, spread = bank.mean(axis=0), bank.std(axis=0)
    heads = []
    for unit in (np.sqrt(np.square(spread).mean()), np.where(spread > 0, spread, 1.0)):
        head = RidgeClassifierCV(alphas=len(rows) * np.array(PENALTIES))
        heads.append((head.fit((bank[rows] - centre) / unit, labels[rows]), unit))
    best, unit = max(heads, key=lambda one: float(one[0].best_score_))
    predicted: np.ndarray = best.predict((query - centre) / unit)
    return predicted
