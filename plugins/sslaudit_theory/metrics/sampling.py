"""Which images the concentration of a data set is measured on: the same ones for every metric and encoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

TOTAL = 4_000
"""Images of each split at most, shared by the classes."""
PRODUCTS = 2e12
"""Multiplications at most that the distances within classes take."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Images of K classes that have some in both splits."""

    names: tuple[str, ...]
    classes: tuple[int, ...]
    """(K,) indices into the classes of the data."""
    train: tuple[np.ndarray, ...]
    """Indices of the training images of each class."""
    test: tuple[np.ndarray, ...]
    left_out: int
    """Classes without images in one of the splits."""
    most: int
    """Images of a class and split at most."""
    capped: bool
    """Whether a class has more."""
    seed: int
    """That of the run."""


def sample(inputs: "MetricInputs", views: int, dim: int) -> Sampled:
    """At most ``images`` (the option) of each class and split, fewer where that would be dear.

    The choice depends on the seed of the run alone, so metrics with one ``images`` and one size of
    features see the same images.
    """
    order = np.random.default_rng(inputs.seed).permutation(len(inputs.labels))
    labels = inputs.labels[order]
    sides = [np.isin(order, side) for side in (inputs.train, inputs.test)]
    members = [tuple(order[(labels == k) & side] for side in sides) for k in range(len(inputs.classes))]
    there = [k for k, (train, test) in enumerate(members) if len(train) and len(test)]
    most = _most(int(inputs.options["images"]), len(there), views, dim)
    return Sampled(
        names=tuple(inputs.classes[k] for k in there),
        classes=tuple(there),
        train=tuple(members[k][0][:most] for k in there),
        test=tuple(members[k][1][:most] for k in there),
        left_out=len(members) - len(there),
        most=most,
        capped=any(max(map(len, members[k])) > most for k in there),
        seed=inputs.seed,
    )


def _most(wanted: int, classes: int, views: int, dim: int) -> int:
    # Distances among both splits and to the anchors: three products of (n V) x (n V) x D for each class.
    affordable = int((PRODUCTS / (3 * max(1, classes) * views**2 * dim)) ** 0.5)
    return max(2, min(wanted, TOTAL // max(1, classes), affordable))
