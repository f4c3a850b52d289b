"""The metric ``cross-correlation-split``: that loss of the theory in two parts, and what it guarantees.

The option ``norm`` acts before each dimension is standardised, so lengths are sqrt(d) on average only.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.results import Detail, Estimate, Interval
from sslaudit.stats import bootstrap_mean
from sslaudit_theory.losses.cross_correlation import (
    CrossCorrelation,
    ViewMoments,
    cross_correlation_loss,
    loss_influence,
    view_moments,
)
from sslaudit_theory.losses.readings import reading
from sslaudit_theory.losses.theorem4 import (
    can_inform,
    least_sum,
    theorem4_bound,
    theorem4_centred,
    theorem4_tight,
    whitening_limits,
)
from sslaudit_theory.norms import NormedViews, normed_views

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``cross-correlation-split``: the loss of Barlow Twins as the theory has it, in two parts.

    Formula: L = sum_i (1 - C_ii)^2 + lam sum_{i != j} C_ij^2 = (1 - lam) L1 + lam L2 with C_ij = E f_i(x1)
        f_j(x2) of features standardised over all images and views, L1 = sum_i (1 - C_ii)^2 and L2 = ||C -
        I||_F^2.
    Shapes: the views of all images (N, V, D) after ``norm``; constant dimensions are left out and counted.
    Range: from 0 (C = I) to at most d + lam d (d - 1), with d dimensions; d where views have nothing in
        common.
    Typical: the SimCLR encoder of ``sslaudit demo`` has 4.40 in the 128 dimensions of its projection, the
        Barlow Twins encoder 11.8 in 256, the untrained copy 54.6 in the 128 of its embedding (digits).
    High: dimensions change from view to view (alignment part) or repeat each other (regularisation).
    Low: each dimension is invariant and says something of its own. Whitening and collapsed classes exclude
        each other, so a low value and a guarantee by Theorem 1 do not go together where d is far above the
        number of classes.
    Bias: over: a sample of N images adds ``sampling_noise``, which the lower limit of the interval allows
        for.
    Source: Huang et al., ICLR 2023, Section 4.2, Lemma 4.1 and Theorem 4; Zbontar et al., ICML 2021.
    """
    normed = normed_views(inputs)
    images = normed.shape[0]
    if images < 2:
        return Estimate.not_applicable("one image only: nothing varies between images")
    moments = view_moments(block for _, block in normed.chunks())
    if moments.constant.all():
        return Estimate.not_applicable("features are constant")
    split = cross_correlation_loss(moments.correlation(), float(inputs.options["lam"]))
    known = inputs.labels_if_any
    present, own = np.unique(np.zeros(images) if known is None else known.values, return_inverse=True)
    second = _second_pass(normed, moments, split, own, len(present))
    d = len(split.correlation)
    details: dict[str, Detail] = {
        "alignment_part": split.alignment_part,
        "regularisation": split.regularisation,
        "alignment_v": split.alignment,
        "alignment_bound": split.alignment_bound,
        "sampling_noise": second.noise,
        "dimensions": d,
        "constant_dimensions": int(moments.constant.sum()),
        "norm": normed.norm,
    }
    if known is None:
        said = _without_bounds("no labels")
    elif len(present) < 2:
        said = _without_bounds("fewer than two classes have images")
    else:
        said = _bounds(split, second.centres, np.bincount(own) / images)
    return Estimate(
        value=split.loss,
        interval=_interval(split.loss, second, inputs.rng()),
        bias="over",
        note=_note(split, moments, second.noise),
        details={**details, **said},
    )


@dataclass(frozen=True, slots=True)
class _SecondPass:
    """What standardised features tell once C is known."""

    influence: np.ndarray
    """(N,): what each image does to the loss, to the first order."""
    noise: float
    """What a sample of N images adds to the loss on average."""
    centres: np.ndarray
    """(K, d)."""


def _second_pass(
    normed: NormedViews, moments: ViewMoments, split: CrossCorrelation, own: np.ndarray, classes: int
) -> _SecondPass:
    influence, square = np.empty(len(own)), np.empty(len(own))
    sums = np.zeros((classes, len(split.correlation)))
    for rows, block in normed.chunks():
        features = moments.standardised(block)
        moved = loss_influence(features, split)
        influence[rows], square[rows] = moved.linear, moved.square
        np.add.at(sums, own[rows], features.mean(axis=1))
    return _SecondPass(influence, float(square.mean() / len(own)), sums / np.bincount(own)[:, None])


def _interval(loss: float, second: _SecondPass, rng: np.random.Generator) -> Interval:
    """Resampled to the first order; the lower limit allows for what the sample adds."""
    limits = bootstrap_mean(loss + second.influence, rng)
    low = min(loss, max(0.0, limits.low - second.noise))
    return replace(
        limits,
        low=low,
        high=max(loss, limits.high),
        method=f"{limits.method}, loss linearised; lower limit less the sampling noise",
    )


def _bounds(split: CrossCorrelation, centres: np.ndarray, priors: np.ndarray) -> dict[str, Detail]:
    classes, d = centres.shape
    first, second = np.triu_indices(classes, 1)
    pairs = priors[first], priors[second]
    l2 = split.regularisation
    # C - sum_k p_k mu_k mu_k' is the scatter within classes, exactly.
    scatter = float(np.linalg.norm(split.correlation - (centres.T * priors) @ centres))
    squares = float(priors @ np.square(centres).sum(axis=1))
    limits = whitening_limits(d, classes)
    return {
        "theorem4": reading(theorem4_bound(l2, scatter**2, *pairs, d, classes), d),
        "theorem4_tight": reading(theorem4_tight(l2, scatter, *pairs, d, classes), d),
        "theorem4_centred": reading(theorem4_centred(l2, scatter, *pairs, d, classes), d),
        "theorem4_at_best": _at_best(d, classes),
        "tau_prime": scatter**2,
        "root_sum": float(np.sqrt(l2)) + scatter,
        "least_root_sum": least_sum(d, classes),
        "largest_centre_product": (centres @ centres.T)[first, second].max(),
        "centre_share": squares / d,
        "whitened_beta": limits.beta,
        "whitening": _whitening(d, classes),
        "classes": classes,
    }


def _at_best(d: int, classes: int) -> str:
    compared = f"d = {d:,}, K^2 = {classes**2:,}"
    if can_inform(d, classes):
        return f"{compared}: the smallest L2 with tau' = 0 would give a guarantee"
    return f"{compared}: vacuous even for the smallest L2 with tau' = 0; it takes about d > K^2"


def _whitening(d: int, classes: int) -> str:
    beta = whitening_limits(d, classes).beta
    if beta == 0:
        return f"no conflict: {classes:,} classes can fill {d:,} dimensions"
    return (
        "whitening and class collapse are incompatible: perfectly whitened, the beta of Theorem 1 "
        f"is at least {beta:.3f}"
    )


def _without_bounds(reason: str) -> dict[str, Detail]:
    said = f"not applicable: {reason}"
    return {"theorem4": said, "theorem4_tight": said, "theorem4_centred": said}


def _note(split: CrossCorrelation, moments: ViewMoments, noise: float) -> str:
    dropped = int(moments.constant.sum())
    left_out = f", {dropped:,} constant ones left out" if dropped else ""
    meaning = (
        f"Cross-correlation loss over {len(split.correlation):,} standardised dimensions{left_out}: "
        f"alignment part {split.alignment_part:.3g}, regularisation {split.regularisation:.3g}."
    )
    if noise > split.loss / 2:
        return f"{meaning} Mostly sampling noise: {moments.images:,} images are few for it."
    return meaning
