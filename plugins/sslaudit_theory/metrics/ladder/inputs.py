"""What the rungs of the ladder are made of: moments, centres and errors of one encoder, split by split."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from sslaudit.errors import EncoderError
from sslaudit_theory.classes.centres import centre_overlap, delta_of_lengths, nearest_centres
from sslaudit_theory.classes.spread import Decomposition, decomposition
from sslaudit_theory.norms import NormedViews
from sslaudit_theory.positives.pairs import sup_alignment
from sslaudit_theory.sigma.splits import Concentration

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The images of K classes that have some in both splits, and their views."""

    normed: NormedViews
    names: tuple[str, ...]
    classes: np.ndarray
    """(K,): indices into the classes of the data."""
    images: np.ndarray
    """(n,): indices into the images of the run, ascending."""
    labels: np.ndarray
    """(n,): 0..K-1."""
    test: np.ndarray
    """(n,) bool: held out; all others are training images."""
    left_out: int
    """Classes without images in one of the splits."""

    @property
    def p(self) -> np.ndarray:
        """(K,): share of each class, of all images."""
        share: np.ndarray = np.bincount(self.labels) / len(self.labels)
        return share

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """(K,): images of each class among ``rows`` (n,) bool."""
        return np.bincount(self.labels[rows], minlength=len(self.names))

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of these images and their views (m, V, D), after the norm."""
        start = 0
        for rows, block in self.normed.chunks():
            first, last = np.searchsorted(self.images, [rows.start, rows.stop])
            if first == last:
                continue
            views = block[self.images[first:last] - rows.start]
            if not np.isfinite(views).all():
                raise EncoderError("some features are not finite numbers.")
            yield slice(start, start + len(views)), views
            start += len(views)


def chosen_images(inputs: "MetricInputs", normed: NormedViews) -> Chosen:
    """The images of classes with images in both splits; an image in neither is left out."""
    split = np.zeros(len(inputs.labels), dtype=np.int64)
    split[inputs.train], split[inputs.test] = 1, 2
    held = [np.bincount(inputs.labels[split == s], minlength=len(inputs.classes)) > 0 for s in (1, 2)]
    there = np.flatnonzero(held[0] & held[1])
    images = np.flatnonzero((split > 0) & np.isin(inputs.labels, there))
    return Chosen(
        normed=normed,
        names=tuple(inputs.classes[k] for k in there),
        classes=there,
        images=images,
        labels=np.searchsorted(there, inputs.labels[images]),
        test=split[images] == 2,
        left_out=len(inputs.classes) - len(there),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One encoder on its chosen images."""

    chosen: Chosen
    sup: np.ndarray
    """(n,): largest distance of two views of each image."""
    centres: np.ndarray
    """(K, D): means of the views of the training images."""
    test_centres: np.ndarray
    """(K, D): those of the test images."""
    delta_mu: float | None
    """From unbiased lengths of the training centres; None where a class has one training image."""
    parts: Decomposition
    """Second moments of all images."""
    wrong: np.ndarray
    """(n, V) bool: views that are not nearest to the training centre of their own class."""

    @property
    def r(self) -> float:
        """Radius of the sphere, or the largest norm."""
        return self.chosen.normed.r

    @property
    def overlap(self) -> np.ndarray:
        """(K, K): mu_l . mu_k / r^2 of the training centres."""
        return centre_overlap(self.centres, self.r)

    @property
    def distances(self) -> np.ndarray:
        """(K, K): distances of the training centres."""
        apart: np.ndarray = cdist(self.centres, self.centres)
        return apart

    def above(self, eps: np.ndarray) -> np.ndarray:
        """(K,): R_eps of each class at its own ``eps`` (K,), among its test images."""
        test = self.chosen.test
        own = self.chosen.labels[test]
        beyond = np.bincount(own[self.sup[test] > eps[own]], minlength=len(eps))
        share: np.ndarray = beyond / self.chosen.sizes(test)
        return share


def measured(chosen: Chosen) -> Measured:
    """Reads the views of ``chosen`` four times, piece by piece."""
    n, K = len(chosen.images), len(chosen.names)
    _, V, D = chosen.normed.shape
    sup, squares, sums = np.empty(n), np.empty(n), np.zeros((2, K, D))
    origin: np.ndarray | None = None
    for rows, views in chosen.chunks():
        # Means are taken from the first view, so that equal features have exactly equal centres.
        origin = views[0, 0].copy() if origin is None else origin
        sup[rows] = sup_alignment(views)
        squares[rows] = np.square(views.mean(axis=1)).sum(axis=1)
        means = (views - origin).mean(axis=1)
        np.add.at(sums, (chosen.test[rows].astype(int), chosen.labels[rows]), means)
    sizes = np.stack([chosen.sizes(~chosen.test), chosen.sizes(chosen.test)])
    centres, test_centres = sums / sizes[:, :, None] + origin

    wrong = np.empty((n, V), dtype=bool)
    for rows, views in chosen.chunks():
        found = nearest_centres(views / chosen.normed.r, centres / chosen.normed.r)
        wrong[rows] = found != chosen.labels[rows][:, None]
    return Measured(
        chosen=chosen,
        sup=sup,
        centres=centres,
        test_centres=test_centres,
        delta_mu=_delta_mu(chosen, centres, squares),
        parts=decomposition(chosen, chosen.labels),
        wrong=wrong,
    )


def _delta_mu(chosen: Chosen, centres: np.ndarray, squares: np.ndarray) -> float | None:
    """As ``sslaudit_theory.delta_mu``, without the features of all images at once."""
    train = ~chosen.test
    sizes = chosen.sizes(train)
    if sizes.min() < 2:
        return None
    own = np.bincount(chosen.labels[train], weights=squares[train]) / sizes
    lengths = (sizes * np.square(centres).sum(axis=1) - own) / (sizes - 1)
    return delta_of_lengths(lengths, chosen.normed.r)


def concentration_of(inputs: "MetricInputs", name: str, chosen: Chosen) -> Concentration | str:
    """The tables of the metric ``name``; a sentence where it has none for these classes."""
    result = inputs.results.get(name)
    if result is None or not result.tables:
        return f"{name}: {(result and result.reason) or 'not measured'}"
    found = Concentration.from_tables(result.tables)
    if not np.array_equal(found.classes, chosen.classes):
        return f"{name} was measured for other classes"
    return found
