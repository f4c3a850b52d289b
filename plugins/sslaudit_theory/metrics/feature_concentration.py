"""The metric ``feature-concentration``: sigma(delta) by distances of features, no Lipschitz constant."""

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


def compute(inputs: "MetricInputs") -> Estimate:
    """1 - sigma in feature space."""
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
    return sigma_estimate(
        samples,
        plain,
        sampled,
        quantile=float(inputs.options["quantile"]),
        unit=f"features, r = {normed.r:.3g}",
    )
