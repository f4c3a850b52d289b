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
    """The largest mu_k . mu_l / r^2 over pairs of classes, with Delta_mu and the distances."""
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
            heat_map("products of class centres", overlap, largest, names, "mu_k . mu_l / r^2"),
            heat_map("distances of class centres", distances, largest, names, "||mu_k - mu_l|| / r"),
        ),
    )


def _pair(names: list[str], pair: tuple[int, int]) -> str:
    return f"{names[pair[0]]}-{names[pair[1]]}"


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
