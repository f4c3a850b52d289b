"""The metric ``concentration``: sigma(delta) of the images themselves, whatever the encoder."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Estimate
from sslaudit_theory.metrics.ladder.words import percent
from sslaudit_theory.metrics.sampling import sample
from sslaudit_theory.metrics.sigma_estimate import sigma_estimate
from sslaudit_theory.sigma.augmented import augmented_distances, nearest_other_class, share_within
from sslaudit_theory.sigma.splits import class_distances

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_UNIT = 1 / 255
"""Distances are those of pixels in [0, 1]."""
_PRODUCTS = 1e12
"""Multiplications at most that the search for neighbours in other classes takes."""


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``concentration``: how much of the worst class is not concentrated, by distances of pixels.

    Formula: 1 - sigma(delta), sigma = min over classes of (largest set of images of which any two have
        augmented distance <= delta) / n_k: the clique number of a graph. The augmented distance of two images
        is the least l2 distance between a view of one and a view of the other; delta is the quantile
        ``quantile`` of the distances of plain images of one class.
    Shapes: drawn views as pixels in [0, 1], (n, V, 3 H W), of at most ``images`` of each class and split;
        labels.
    Range: from 0 (all images of each class within delta of each other) to 1 - 1 / n_k (no two of them).
    Typical: .268 on the digits of ``sslaudit demo`` at delta = 3.86 (8 views of crop(scale=0.6)+color); the
        interval [.077, .923] is wide, as it is for ten classes at once.
    High: even the nearest views of two images of a class are far apart. A stronger recipe or more uniform
        classes lower it: it is a property of data and recipe, not of an encoder.
    Low: the augmentations of images of a class overlap. Where they overlap with another class as well, the
        card says OVERLAP: the theorem excludes it.
    Bias: under: the largest clique of a sample is a larger share of it than of the population. The interval
        is of confidence limits for all classes at once, from images that did not choose. Drawn views
        over-estimate the distance under the continuous augmentation, which errs the other way.
    Source: Huang et al., ICLR 2023, Definition 1; cliques exact where the budget allows, star limits are own.
    """
    shape = tuple(inputs.pixel_views.head(1).shape[1:])
    views, dim = shape[0], int(np.prod(shape[1:]))
    sampled = sample(inputs, views, dim)
    if len(sampled.classes) < 2:
        return Estimate.not_applicable("fewer than two classes have images in both splits")
    few = max(1, int((_PRODUCTS / dim) ** 0.5 / views / len(sampled.classes)))
    samples, plain, across = [], [], []
    for train, test in zip(sampled.train, sampled.test, strict=True):
        ours, theirs = _pixels(inputs, train), _pixels(inputs, test)
        samples.append(class_distances(ours, theirs, _distances))
        plain.append(_distances(ours[:, :1]))
        across.append(np.concatenate([ours, theirs])[:few])
    labels = np.repeat(np.arange(len(across)), [len(images) for images in across])
    nearest = nearest_other_class(np.concatenate(across), labels, scale=_UNIT)
    estimate = sigma_estimate(
        samples,
        plain,
        sampled,
        quantile=float(inputs.options["quantile"]),
        unit=f"pixels in [0, 1], {shape[2]} x {shape[3]} px",
    )
    return estimate if estimate.value is None else _with_other_classes(estimate, nearest)


def _pixels(inputs: "MetricInputs", images: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = inputs.pixel_views.of(images.tolist()).flatten(2).cpu().numpy()
    return pixels


def _distances(views: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    return augmented_distances(views, others, scale=_UNIT)


def _with_other_classes(estimate: Estimate, nearest: np.ndarray) -> Estimate:
    """The theorem assumes that no augmented image belongs to two classes: how far is that from failing?"""
    shared, closer = int((nearest == 0).sum()), share_within(nearest, float(str(estimate.details["delta"])))
    said = f"{percent(closer)} of the images have a view within delta of one of another class."
    shares = f"{shared:,} images share a view with another class, which the theorem excludes"
    return replace(
        estimate,
        note=f"{estimate.note} {said}",
        headline={"OVERLAP": shares} if shared else {},
        details={
            **estimate.details,
            "nearest_other_class": nearest.min(),
            "share_nearer_to_another_class": closer,
            "share_a_view_with_another_class": shared,
            "searched_for_other_classes": len(nearest),
        },
    )
