"""Divergence: how far the class centres of an embedding stand from each other."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import pdist

from sslaudit.encoder import unit_rows
from sslaudit.results import Detail, Estimate, Interval, Matrix
from sslaudit.stats import resample_within_classes

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

RESAMPLES = 1000
CLASSES_SHOWN = 40
"""A larger heat map is cut to the classes with the largest overlaps."""


def image_means(views: np.ndarray) -> np.ndarray:
    """Mean over the views of each image, every view on the unit sphere first: (N, V, D) to (N, D)."""
    means: np.ndarray = unit_rows(views).mean(axis=1)
    return means


def class_centres(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """mu_k, the mean of the features (N, D) of each class: (K, D) float64.

    ``labels`` (N,) are 0..K-1. Raises ``ValueError`` for a class without images.
    Source: Huang et al., ICLR 2023, mu_k.
    """
    if empty := sorted(set(range(classes)) - set(np.unique(labels).tolist())):
        raise ValueError(f"classes {empty} have no images and so no centre.")
    return np.stack([features[labels == k].mean(axis=0, dtype=np.float64) for k in range(classes)])


def centre_overlap(centres: np.ndarray, r: float = 1.0) -> np.ndarray:
    """mu_k . mu_l / r^2 of all pairs of centres (K, D): (K, K).

    Source: Huang et al., ICLR 2023, Theorem 1.
    """
    overlap: np.ndarray = centres @ centres.T / r**2
    return overlap


def worst_pair(overlap: np.ndarray) -> tuple[int, int]:
    """The two different classes with the largest overlap in (K, K); ties to the lowest indices."""
    rows, columns = np.triu_indices(len(overlap), 1)
    worst = int(overlap[rows, columns].argmax())
    return int(rows[worst]), int(columns[worst])


def delta_mu(
    features: np.ndarray, labels: np.ndarray, classes: int, *, r: float = 1.0, unbiased: bool = True
) -> float:
    """1 - min_k ||mu_k||^2 / r^2: how far class centres lie inside the sphere of radius r.

    The squared length of a mean of n features (N, D) is too long by trace(Cov)/n; ``unbiased`` takes
    the mean product over pairs of different images instead. Raises ``ValueError`` for a class with
    fewer images than that needs.
    Source: Huang et al., ICLR 2023, Theorem 1; for unit rows the U-statistic is (n ||m||^2 - 1)/(n - 1).
    """
    sizes = np.bincount(labels, minlength=classes)
    if unbiased and sizes.min() < 2:
        raise ValueError("an unbiased length needs two images of each class.")
    squares = np.square(class_centres(features, labels, classes)).sum(axis=1)
    if unbiased:
        own = np.bincount(labels, weights=np.square(features).sum(axis=1), minlength=classes) / sizes
        squares = (sizes * squares - own) / (sizes - 1)
    return float(1 - squares.min() / r**2)


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``divergence``: the largest overlap of two class centres on the unit sphere."""
    present, labels = np.unique(inputs.labels, return_inverse=True)
    names = [inputs.classes[k] for k in present]
    if len(names) < 2:
        return Estimate.not_applicable("fewer than two classes have images")
    features = np.concatenate([image_means(block) for _, block in inputs.views.chunks()])
    centres = class_centres(features, labels, len(names))
    overlap = centre_overlap(centres)
    first, second = worst_pair(overlap)
    lone = int(np.bincount(labels).min()) < 2
    can_resample = len(labels) > len(names)
    details: dict[str, Detail] = {
        "worst_pair": f"{names[first]}-{names[second]}",
        "delta_mu": None if lone else delta_mu(features, labels, len(names)),
        "delta_mu_plug_in": delta_mu(features, labels, len(names), unbiased=False),
        "classes": len(names),
        "min_centre_distance": pdist(centres).min(),
    }
    return Estimate(
        value=overlap[first, second],
        interval=overlap_interval(features, labels, inputs.rng()) if can_resample else None,
        no_interval="" if can_resample else "one image of each class only",
        bias="over",
        note=(
            "Largest product of two class centres on the unit sphere, from all images (train and test) "
            "and their drawn views; the largest of many pairs errs upwards."
            + (" A class with one image leaves delta_mu open." if lone else "")
        ),
        details=details,
        figures=(_heat_map(overlap, names),),
    )


def _heat_map(overlap: np.ndarray, names: list[str]) -> Matrix:
    title = "products of class centres on the unit sphere"
    shown = np.arange(len(names))
    if len(names) > CLASSES_SHOWN:
        worst = np.where(np.eye(len(names), dtype=bool), -np.inf, overlap).max(axis=1)
        shown = np.sort(np.argsort(-worst, kind="stable")[:CLASSES_SHOWN])
        title += f", the {CLASSES_SHOWN} classes of {len(names):,} that overlap most"
    chosen = [names[k] for k in shown]
    return Matrix(
        title=title,
        rows=chosen,
        columns=chosen,
        values=overlap[np.ix_(shown, shown)].tolist(),
        value_label="mu_k . mu_l",
    )


def overlap_interval(
    features: np.ndarray, labels: np.ndarray, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Interval of the largest centre overlap of unit-sphere features (N, D) with labels 0..K-1.

    The upper limit is the percentile of the largest resampled overlap: the truly worst pair is one
    fixed pair, and the largest is never below it. Its lower percentile would lie too high, because
    every resample selects anew, so that limit allows for the largest error upwards over all pairs.
    """
    members = [np.flatnonzero(labels == k) for k in range(int(labels.max()) + 1)]
    groups = [features[rows].astype(np.float32) for rows in members]
    first, second = np.triu_indices(len(groups), 1)
    measured = centre_overlap(class_centres(features, labels, len(groups)))[first, second]

    def largest(counts: np.ndarray) -> np.ndarray:
        sums = [
            counts[:, rows].astype(np.float32) @ group for rows, group in zip(members, groups, strict=True)
        ]
        centres = np.stack([total / len(rows) for total, rows in zip(sums, members, strict=True)], axis=1)
        overlap = (centres @ centres.transpose(0, 2, 1))[:, first, second]
        return np.stack([overlap.max(axis=1), (overlap - measured).max(axis=1)], axis=1)

    overlap, error = np.quantile(
        resample_within_classes(labels, largest, rng, RESAMPLES), (1 + level) / 2, axis=0
    )
    value = float(measured.max())
    return Interval(
        low=max(-1.0, value - max(0.0, error)),
        high=max(value, min(1.0, overlap)),
        level=level,
        method=f"bootstrap over images within {len(groups):,} classes, {RESAMPLES:,} resamples; "
        "lower limit simultaneous over all pairs",
    )
