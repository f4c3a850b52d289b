"""The metric ``divergence``: the largest overlap of two class centres."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import pdist, squareform

from sslaudit.results import Detail, Estimate
from sslaudit_theory.classes.centres import (
    centre_overlap,
    class_centres,
    delta_of_lengths,
    image_means,
    overlap_interval,
    pair_name,
    squared_lengths,
    worst_pairs,
)
from sslaudit_theory.metrics.heat_map import heat_map
from sslaudit_theory.norms import normed_views

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

PAIRS = 5
"""The worst pairs that are listed by name."""


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``divergence``: how much the two most similar class centres have in common.

    Formula: the largest mu_k . mu_l / r^2 over k != l, with mu_k the mean over the images of class k and
        their views, r = 1 on the sphere. With it Delta_mu = 1 - min_k ||mu_k||^2 / r^2, by a U-statistic.
    Shapes: the views of all images (N, V, D) after ``norm``, labels (N,).
    Range: -1 to 1. The best for K centres of length r is -1 / (K - 1), an equiangular simplex.
    Typical: the SimCLR encoder of ``sslaudit demo`` has .698 on its embedding and -.020 on its projection,
        the untrained copy .881 (digits, 10 classes). A constant encoder has 1.
    High: two classes have nearly one centre, or all features have a large mean in common, as they do behind a
        ReLU: ``norm=center-sphere`` looks behind it.
    Low: centres are at right angles (0) or point away from each other (below 0). With centres so far apart
        Theorem 1 can be met; whether the images stay near their centre is told by ``feature-concentration``.
    Bias: over: the product of two centres is unbiased, and the largest of many pairs errs upwards. For
        Theorem 1 that is the safe side.
    Source: Huang et al., ICLR 2023, the condition of Theorem 1.
    """
    present, labels = np.unique(inputs.labels, return_inverse=True)
    names = [inputs.classes[k] for k in present]
    if len(names) < 2:
        return Estimate.not_applicable("fewer than two classes have images")
    normed = normed_views(inputs)
    if normed.r == 0:
        return Estimate.not_applicable("all embeddings are zero")
    features = np.empty((len(labels), normed.shape[2]))
    for rows, block in inputs.views.chunks():
        features[rows] = image_means(block, normed.norm, normed.centre)
    centres = class_centres(features, labels, len(names))
    overlap = centre_overlap(centres, normed.r)
    distances = squareform(pdist(centres)) / normed.r
    largest = np.where(np.eye(len(names), dtype=bool), -np.inf, overlap).max(axis=1)
    worst = worst_pairs(overlap, PAIRS)
    lone = int(np.bincount(labels).min()) < 2
    lengths = None if lone else squared_lengths(features, labels, len(names))
    can_resample, rng = len(labels) > len(names), inputs.rng()
    return Estimate(
        value=min(1.0, float(overlap[worst[0]])),  # rounding alone goes beyond
        interval=overlap_interval(features, labels, rng, r=normed.r) if can_resample else None,
        no_interval="" if can_resample else "one image of each class only",
        bias="over",
        note=_note(normed.norm, lengths, names, inputs.classes),
        details={
            "worst_pair": _pair(names, worst[0]),
            **{
                f"pair_{place}": f"{_pair(names, pair)} {overlap[pair]:.4f}"
                for place, pair in enumerate(worst, 1)
            },
            "delta_mu": None if lengths is None else delta_of_lengths(lengths, normed.r),
            "delta_mu_plug_in": delta_of_lengths(np.square(centres).sum(axis=1), normed.r),
            "classes": len(names),
            "smallest_class": int(np.bincount(labels).min()),
            "norm": normed.norm,
            "r": normed.r,
            **_distances(distances, names),
        },
        figures=(
            heat_map(
                "overlap of class centres",
                overlap,
                largest,
                names,
                "mu_k . mu_l / r^2",
                "A large value off the diagonal: two classes whose centres overlap.",
            ),
            heat_map(
                "distances of class centres",
                distances,
                largest,
                names,
                "||mu_k - mu_l|| / r",
                "A small value off the diagonal: two classes whose centres are close.",
            ),
        ),
    )


def _pair(names: list[str], pair: tuple[int, int]) -> str:
    return pair_name(names[pair[0]], names[pair[1]])


def _distances(distances: np.ndarray, names: list[str]) -> dict[str, Detail]:
    nearest = worst_pairs(-distances, 1)[0]
    return {"min_centre_distance": distances[nearest], "nearest_centres": _pair(names, nearest)}


def _note(norm: str, lengths: np.ndarray | None, names: list[str], classes: tuple[str, ...]) -> str:
    where = "" if norm == "as-is" else " on the unit sphere"
    note = (
        f"Largest product of two class centres{where}, from all images (train and test) "
        "and their drawn views; the largest of many pairs errs upwards."
    )
    if norm == "center-sphere":
        note += " The mean of the training images was subtracted first."
    if lengths is None:
        note += " A class with one image leaves delta_mu open."
    elif lengths.min() < 0:
        note += " The unbiased squared length of a centre is below 0 and counts as 0."
    if missing := [name for name in classes if name not in set(names)]:
        listed = ", ".join(missing[:PAIRS]) + (", ..." if len(missing) > PAIRS else "")
        note += f" Left out, for want of images: {listed} ({len(missing):,} of {len(classes):,})."
    return note
