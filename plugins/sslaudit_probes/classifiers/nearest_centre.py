"""The classifier of the theory: the class whose centre is nearest."""

from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Estimate
from sslaudit_probes.classifiers.accuracy import accuracy
from sslaudit_theory.classes.centres import class_centres, image_means, nearest_centres
from sslaudit_theory.norms import normalised, normed_views

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_SAID = {
    "sphere": "Unit norm",
    "as-is": "Norms as they are",
    "center-sphere": "Mean of the training images subtracted, then unit norm",
}


def classify_by_centre(query: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """argmin_k ||f - mu_k|| for queries (Q, D) and centres (K, D): (Q,). Ties to the lowest class index.

    Source: Huang et al., ICLR 2023, G_f; see ``sslaudit_theory.nearest_centres``.
    """
    return nearest_centres(query, centres)


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``nearest-centre``: test accuracy of naming the class whose centre is nearest.

    Formula: share of test images with argmin_k ||f(x) - mu_k|| = y, where mu_k is the mean of f over the
        training images of class k and their views, each image with the same weight. f is brought to unit
        norm, or as the option ``norm`` says; centres are not. Ties go to the first class. Balanced
        accuracy where the largest class has more than twice the images of the smallest.
    Shapes: views (N, V, D) of the training images, embeddings (N, D) of the test images, labels (N,).
    Range: 0 to 1; ``majority`` in the details is what no features at all reach.
    Typical: .90 for the pixels of 8-pixel digits with 120 training images a class, .10 for random features,
        both measured, without further views.
    High: each class is one cloud round its centre, further from the other centres than it is wide; the
        guarantee of the theory can only then be strong.
    Low: classes overlap, or a class is several clouds, which a linear probe or kNN may still tell apart.
    Bias: under, with few training images of a class: their mean is off the centre of the class. The interval
        is of the test images alone, for this training set and split.
    Source: Huang et al., ICLR 2023, G_f.
    """
    normed = normed_views(inputs)
    train = np.zeros(len(inputs.labels), dtype=bool)
    train[inputs.train] = True
    features = np.concatenate(
        [image_means(block[train[rows]], normed.norm, normed.centre) for rows, block in inputs.views.chunks()]
    )
    centres = class_centres(features, inputs.labels[train], len(inputs.classes))
    query = normalised(inputs.embeddings[inputs.test], normed.norm, normed.centre)
    scale = normed.r or 1.0  # a tie is a small difference on a sphere of radius 1
    return accuracy(
        inputs,
        classify_by_centre(query / scale, centres / scale),
        f"{_SAID[normed.norm]}; centres are means over the training images and their views, not normalised "
        "again; ties go to the first class.",
    )
