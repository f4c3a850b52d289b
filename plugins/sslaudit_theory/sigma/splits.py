"""Concentration of one data set in one space: sigma(delta) of every class on both splits, and its limits.

What is chosen from data is chosen on the training split and estimated on the test split, so the star
limits hold although their anchors were picked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from sslaudit_theory.sigma.augmented import augmented_distances
from sslaudit_theory.sigma.curve import CURVE_BUDGET, SigmaCurve, ascending, sigma_curve
from sslaudit_theory.sigma.limits import StarCurve, star_sigma

Distances = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""Augmented distances of views (n, V, D) to others (m, W, D), or among themselves: (n, m)."""


@dataclass(frozen=True, slots=True, eq=False)
class Concentration:
    """sigma of K classes at M deltas: bounds of both samples, and a lower limit of the population.

    A split without images of a class says nothing: its bounds are 0 and 1, and a star is 0.
    """

    classes: np.ndarray
    """(K,) integers that name the classes."""
    deltas: np.ndarray
    """(M,), ascending."""
    n_train: np.ndarray
    """(K,): images of each class in the training split."""
    n_test: np.ndarray
    """(K,): images of each class in the test split."""
    train_low: np.ndarray
    """(K, M): sigma of the training sample is at least this."""
    train_high: np.ndarray
    """(K, M): and at most this."""
    test_low: np.ndarray
    """(K, M): sigma of the test sample is at least this."""
    test_high: np.ndarray
    """(K, M): and at most this."""
    star_image: np.ndarray
    """(K, M): the image of the star's anchor, by its row among the training images of the class; or -1."""
    star_view: np.ndarray
    """(K, M): the view of the anchor; or -1."""
    star_count: np.ndarray
    """(K, M): test images within delta / 2 of the anchor."""
    star_lower: np.ndarray
    """(K, M): lower limits of the population sigma, each at ``level`` by itself."""
    level: float

    def to_tables(self) -> dict[str, list[float]]:
        """Columns of numbers by field; (K, M) class after class."""
        return {
            field.name: np.asarray(getattr(self, field.name), dtype=np.float64).ravel().tolist()
            for field in fields(self)
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, Sequence[float]]) -> "Concentration":
        """What ``to_tables`` gave. Raises ``ValueError`` for missing columns and lengths that disagree."""
        if missing := [field.name for field in fields(cls) if field.name not in tables]:
            raise ValueError(f"columns of a concentration are missing: {', '.join(missing)}.")
        level = float(tables["level"][0])
        columns = {name: np.asarray(tables[name], dtype=np.float64) for name in (*_NAMES, *_TABLES)}
        shape = len(columns["classes"]), len(columns["deltas"])
        return cls(
            **{name: columns[name].astype(kind) for name, kind in _NAMES.items()},
            **{name: columns[name].reshape(shape).astype(kind) for name, kind in _TABLES.items()},
            level=level,
        )


_NAMES = {"classes": np.int64, "deltas": np.float64, "n_train": np.int64, "n_test": np.int64}
_TABLES = {
    **dict.fromkeys(("train_low", "train_high", "test_low", "test_high"), np.float64),
    **dict.fromkeys(("star_image", "star_view", "star_count"), np.int64),
    "star_lower": np.float64,
}


@dataclass(frozen=True, slots=True, eq=False)
class ClassDistances:
    """Augmented distances of one class: all that is kept of its n training and m test images."""

    train: np.ndarray
    """(n, n): among the training images."""
    test: np.ndarray
    """(m, m): among the test images."""
    train_to_anchors: np.ndarray
    """(n, n V): from training images to each view of each training image."""
    test_to_anchors: np.ndarray
    """(m, n V): from test images to the same anchors."""
    views: int
    """V: an anchor is view ``a % V`` of training image ``a // V``."""


def class_distances(
    train: ArrayLike, test: ArrayLike, distances: Distances = augmented_distances
) -> ClassDistances:
    """Distances of a class with views (n, V, D) in the training and (m, V, D) in the test split.

    Anchors of its stars are the views of the training images. ``distances`` are those of the space:
    called with one set of views and None, or with two. Raises ``ValueError`` for other shapes.
    Source: Huang et al., ICLR 2023, d_A.
    """
    train, test = np.asarray(train), np.asarray(test)
    if train.ndim != 3 or test.ndim != 3:
        raise ValueError(f"views are (n, V, D) in both splits, not {train.shape} and {test.shape}.")
    anchors = train.reshape(-1, 1, train.shape[2])
    some = min(len(train), len(test)) > 0
    return ClassDistances(
        train=distances(train, None) if len(train) else np.empty((0, 0)),
        test=distances(test, None) if len(test) else np.empty((0, 0)),
        train_to_anchors=distances(train, anchors) if some else np.empty((len(train), len(anchors))),
        test_to_anchors=distances(test, anchors) if some else np.empty((len(test), len(anchors))),
        views=train.shape[1],
    )


def concentration(
    samples: Sequence[ClassDistances],
    deltas: Sequence[float] | np.ndarray,
    *,
    classes: Sequence[int] | None = None,
    budget: int = CURVE_BUDGET,
    level: float = 0.95,
) -> Concentration:
    """sigma at ``deltas`` (M,), ascending, of K classes.

    The anchors of stars are chosen on the training images and their mass is estimated on the test
    images, which must be independent of them. ``budget`` is in steps of the clique search for each
    delta, ``level`` that of the limits.
    Raises ``ValueError`` for no classes, and like ``sigma_curve``.
    Source: Huang et al., ICLR 2023, (sigma, delta)-augmentation.
    """
    names = range(len(samples)) if classes is None else classes
    if not len(names) or len(names) != len(samples):
        raise ValueError("a concentration is that of one class at least, each with a name.")
    levels = ascending(deltas)
    train = [_curve(sample.train, levels, budget) for sample in samples]
    test = [_curve(sample.test, levels, budget) for sample in samples]
    stars = [_star(sample, levels, level) for sample in samples]
    views = np.array([[sample.views] for sample in samples])
    anchor = np.stack([star.anchor for star in stars])
    return Concentration(
        classes=np.asarray(names),
        deltas=levels,
        n_train=np.array([len(sample.train) for sample in samples]),
        n_test=np.array([len(sample.test) for sample in samples]),
        train_low=np.stack([curve.lower for curve in train]),
        train_high=np.stack([curve.upper for curve in train]),
        test_low=np.stack([curve.lower for curve in test]),
        test_high=np.stack([curve.upper for curve in test]),
        star_image=np.where(anchor < 0, -1, anchor // views),
        star_view=np.where(anchor < 0, -1, anchor % views),
        star_count=np.stack([star.count_b for star in stars]),
        star_lower=np.stack([star.lower for star in stars]),
        level=level,
    )


def _curve(distances: np.ndarray, deltas: np.ndarray, budget: int) -> SigmaCurve:
    if not len(distances):
        return SigmaCurve(deltas, np.zeros(len(deltas)), np.ones(len(deltas)), 0)
    return sigma_curve(distances, deltas, budget=budget)


def _star(sample: ClassDistances, deltas: np.ndarray, level: float) -> StarCurve:
    if not len(sample.train) or not len(sample.test):
        nothing = np.zeros(len(deltas))
        none = nothing.astype(np.int64)
        return StarCurve(none - 1, nothing, none, len(sample.test), nothing)
    return star_sigma(sample.train_to_anchors, sample.test_to_anchors, deltas, level)
