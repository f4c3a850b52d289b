"""The metric ``feature-concentration``: sigma(delta) by distances of features, no Lipschitz constant."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Estimate
from sslaudit_theory.metrics.sampling import sample
from sslaudit_theory.metrics.sigma_estimate import sigma_estimate
from sslaudit_theory.norms import normed_views
from sslaudit_theory.sigma.augmented import augmented_distances
from sslaudit_theory.sigma.splits import class_distances

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_CONSTANT = 1e-10
"""Largest squared distance, relative to the squared norm, at which features carry nothing but rounding."""


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``feature-concentration``: how much of the worst class is not concentrated, by features.

    Formula: 1 - sigma(delta) as for ``concentration``, with the least distance between views in feature
        space, min ||f(x') - f(y')||, in place of pixels: no Lipschitz constant is needed.
    Shapes: the views (n, V, D) after ``norm``, of at most ``images`` of each class and split; labels.
    Range: from 0 (all images of each class within delta of each other) to 1 - 1 / n_k (no two of them).
    Typical: the SimCLR encoder of ``sslaudit demo`` has .762 on its embedding and .581 on its projection, the
        untrained copy .611 (digits). delta is a quantile of each encoder's own distances, so a value tells of
        the shape of classes and compares encoders only roughly.
    High: the worst class is stretched out or falls into parts: most of its images have no view near most
        others.
    Low: classes are compact at the scale of their typical distance. A constant encoder has 0, and is called
        trivial.
    Bias: under: the largest clique of a sample is optimistic. The interval is of confidence limits on images
        that did not choose, for all classes at once.
    Source: Huang et al., ICLR 2023, Definition 1 and Theorem 1, with distances of features: own variant,
        since the proof uses distances of pixels through L only.
    """
    normed = normed_views(inputs)
    _, views, dim = normed.shape
    sampled = sample(inputs, views, dim)
    if len(sampled.classes) < 2:
        return Estimate.not_applicable("fewer than two classes have images in both splits")
    chosen = np.concatenate([*sampled.train, *sampled.test])
    place = {int(image): i for i, image in enumerate(chosen)}
    features = normed.read(chosen)
    samples, plain = [], []
    for train, test in zip(sampled.train, sampled.test, strict=True):
        ours, theirs = (features[[place[int(i)] for i in images]] for images in (train, test))
        samples.append(class_distances(ours, theirs, augmented_distances))
        plain.append(augmented_distances(ours[:, :1]))
    estimate = sigma_estimate(
        samples,
        plain,
        sampled,
        quantile=float(inputs.options["quantile"]),
        unit=f"features, r = {normed.r:.3g}",
    )
    if np.square(features - features[:1, :1]).sum(axis=2).max() > _CONSTANT * normed.r**2:
        return estimate
    return replace(estimate, interval=None, no_interval="trivial: features are constant", verdict="vacuous")
