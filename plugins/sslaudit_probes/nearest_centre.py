"""The classifier of the theory: the class whose centre is nearest."""

from typing import TYPE_CHECKING

import numpy as np

from sslaudit.encoder import unit_rows
from sslaudit.results import Estimate
from sslaudit_probes.accuracy import accuracy, first_best
from sslaudit_theory.centres import class_centres, image_means

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def classify_by_centre(query: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """argmin_k ||f - mu_k|| for queries (Q, D) and centres (K, D): (Q,). Ties to the lowest class index.

    Source: Huang et al., ICLR 2023, G_f, in its linear form W_k = mu_k, b_k = -||mu_k||^2 / 2.
    """
    return first_best(query @ centres.T - np.square(centres).sum(axis=1) / 2)


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``nearest-centre``."""
    train = np.zeros(len(inputs.labels), dtype=bool)
    train[inputs.train] = True
    features = np.concatenate([image_means(block[train[rows]]) for rows, block in inputs.views.chunks()])
    centres = class_centres(features, inputs.labels[train], len(inputs.classes))
    predicted = classify_by_centre(unit_rows(inputs.embeddings[inputs.test]), centres)
    return accuracy(
        inputs,
        predicted,
        "Unit norm; centres are means over the training images and their views, not normalised again; "
        "ties go to the first class.",
    )
