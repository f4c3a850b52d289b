"""The metric ``infonce-split``: the InfoNCE loss of the theory in two parts, and what it guarantees."""

from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Detail, Estimate
from sslaudit_theory.classes.centres import centre_overlap, class_centres
from sslaudit_theory.losses.infonce import (
    InfoNCE,
    infonce_interval,
    infonce_split,
    nt_xent,
    positive_products,
)
from sslaudit_theory.losses.readings import reading
from sslaudit_theory.losses.theorem3 import infonce_floor, theorem3_bound, theorem3_sharp, theorem3_tau
from sslaudit_theory.norms import NormedViews, normed_views

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

_CONSTANT = 1e-12
"""Squared distance of views, relative to the squared radius, that is nothing but rounding."""


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``infonce-split``: the InfoNCE loss of the theory, in two parts.

    Formula: L = E log(1 + exp(s- - s+)) = L1 + L2, s+ = f(x1) . f(x2) of two views of an image, s- = f(x1) .
        f(x-) of views of independent images, L1 = L_align / 2 - r^2, L2 = E log(exp(s+) + exp(s-)). One
        negative, temperature 1. NT-Xent at ``temperature`` stands in the details and is another loss.
    Shapes: the views (n, V, D) of at most ``images`` images after ``norm``, drawn by the seed: all pairs are
        taken.
    Range: on the unit sphere from log(1 + 1/e) = .313 (views agree, images are at right angles on average) to
        at most 2.127; .693 = log 2 where all features are one.
    Typical: the SimCLR encoder of ``sslaudit demo`` has .330 on its projection (L1 = -.969, L2 = 1.298), the
        Barlow Twins encoder .393, the untrained copy .669 on its embedding (digits).
    High: views of one image are hardly closer than those of different images; .693 and more is no contrast.
    Low: views agree and images spread out. Theorem 3 makes of it a bound on the product of class centres,
        which is vacuous for every usable encoder: the details say so.
    Bias: over: an image counts among its own negatives, 1 / n of the pairs; ``distinct_images`` leaves it
        out.
    Source: Huang et al., ICLR 2023, Section 4.1 and Theorem 3.
    """
    normed = normed_views(inputs)
    images, count, _ = normed.shape
    if images < 2:
        return Estimate.not_applicable("one image only: there are no negatives")
    if normed.r == 0:
        return Estimate.not_applicable("all embeddings are zero")
    rng = inputs.rng()
    most = int(inputs.options["images"])
    chosen = np.arange(images) if images <= most else np.sort(rng.permutation(images)[:most])
    views = normed.read(chosen)
    split = infonce_split(views)
    temperature = float(inputs.options["temperature"])
    details: dict[str, Detail] = {
        "alignment_part": split.alignment_part,
        "regularisation": split.regularisation,
        "alignment_v": split.alignment,
        "distinct_images": split.distinct,
        "images": len(chosen),
        "norm": normed.norm,
        "r": normed.r,
        "nt_xent": nt_xent(views, temperature),
        "nt_xent_temperature": temperature,
        "nt_xent_negatives": 2 * len(chosen) - 2,
    }
    known = inputs.labels_if_any
    said = (
        _without_bounds("no labels") if known is None else _bounds(split, views, known.values[chosen], normed)
    )
    return Estimate(
        value=split.loss,
        interval=infonce_interval(split, rng),
        bias="over",
        note=_note(split, normed, len(chosen), count, views),
        details={**details, **said},
    )


def _bounds(split: InfoNCE, views: np.ndarray, labels: np.ndarray, normed: NormedViews) -> dict[str, Detail]:
    present, own = np.unique(labels, return_inverse=True)
    classes = len(present)
    if classes < 2:
        return _without_bounds("fewer than two classes have images")
    sizes = np.bincount(own)
    priors = sizes / len(own)
    overlap = centre_overlap(class_centres(views.mean(axis=1), own, classes))
    positive = np.bincount(own, weights=positive_products(views)) / sizes
    first, second = np.triu_indices(classes, 1)
    p_k, p_l = priors[first], priors[second]
    inside = (positive[first] + positive[second]) / 2
    weight = 2 * p_k * p_l
    others = (priors @ positive - weight * inside) / (1 - weight)
    trivial = normed.r**2
    printed = "not applicable: the theorem is about features of length 1"
    if normed.norm != "as-is":
        tau = theorem3_tau(positive, overlap, priors, eps=0.0)[first, second]
        printed = reading(theorem3_bound(split.regularisation, p_k, p_l, tau=tau), trivial)
    return {
        "theorem3": printed,
        "theorem3_sharp": reading(theorem3_sharp(split.regularisation, p_k, p_l, inside, others), trivial),
        "largest_centre_product": overlap[first, second].max(),
        "regularisation_floor": infonce_floor(positive, overlap, priors),
        "classes": classes,
    }


def _without_bounds(reason: str) -> dict[str, Detail]:
    said = f"not applicable: {reason}"
    return {"theorem3": said, "theorem3_sharp": said}


def _note(split: InfoNCE, normed: NormedViews, images: int, count: int, views: np.ndarray) -> str:
    of = "" if images == normed.shape[0] else f" of {normed.shape[0]:,}, drawn by the seed"
    meaning = (
        f"InfoNCE with one negative at temperature 1, not the training loss, over {images:,} images{of}, and "
        f"their {count} drawn views: alignment part {split.alignment_part:.3f}, "
        f"regularisation {split.regularisation:.3f}."
    )
    if np.square(views - views[:1, :1]).sum(axis=2).max() <= _CONSTANT * normed.r**2:
        return f"{meaning} trivial: features are constant"
    return meaning
