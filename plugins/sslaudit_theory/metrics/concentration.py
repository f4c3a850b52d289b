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
    """1 - sigma in pixel space, and whether classes share augmented images."""
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
