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
    """The metric ``nearest-centre``."""
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
