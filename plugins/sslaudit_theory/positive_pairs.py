"""Alignment: how far apart the views of one image are embedded.

A(x) is the finite set of the V views drawn of x, so mean and supremum over A(x) are exact.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from sslaudit.encoder import unit_rows
from sslaudit.results import Curve, Detail, Estimate, Series
from sslaudit.stats import bootstrap_mean, clopper_pearson, dkw_halfwidth

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

SUP_QUANTILES = (0.5, 0.9, 0.95, 0.99)
EPSILONS = (0.25, 0.5, 1.0)
"""Where R_eps is printed, on the unit sphere. Fixed beforehand, so that its limit is exact."""

_CONSTANT = 1e-12
"""Total variance, relative to the mean squared norm, below which features carry nothing but rounding."""


def alignment_per_sample(views: np.ndarray, form: Literal["U", "V"] = "U") -> np.ndarray:
    """Mean squared distance between two views of one image: (N, V, D) to (N,).

    Form U averages over pairs of different views, form V over all V^2 pairs, so U = V/(V-1) times V
    form = 2 V/(V-1) (mean ||f||^2 - ||mean f||^2). Raises ``ValueError`` for form U of a single view.
    Source: Huang et al., ICLR 2023, L_align.
    """
    count = views.shape[1]
    if form == "U" and count < 2:
        raise ValueError("alignment between different views needs two views.")
    # Distances from view 0 first: equal views then give exactly 0, and close ones lose no digits.
    offset = np.asarray(views, dtype=np.float64) - views[:, :1]
    offset -= offset.mean(axis=1, keepdims=True)
    spread: np.ndarray = 2 * np.square(offset).sum(axis=2).mean(axis=1)
    return spread * count / (count - 1) if form == "U" else spread


def alignment(views: np.ndarray, form: Literal["U", "V"] = "U") -> float:
    """L_align: ``alignment_per_sample`` averaged over the N images of (N, V, D)."""
    return float(alignment_per_sample(views, form).mean())


def sup_alignment(views: np.ndarray) -> np.ndarray:
    """Largest distance between two views of one image: (N, V, D) to (N,).

    Source: Huang et al., ICLR 2023, S_eps.
    """
    offset = np.asarray(views, dtype=np.float64) - views[:, :1]
    # The largest distance is no smaller than any offset, so the products lose none of its digits.
    products = offset @ offset.transpose(0, 2, 1)
    square = np.diagonal(products, axis1=1, axis2=2)
    farthest = (square[:, :, None] + square[:, None, :] - 2 * products).max(axis=(1, 2))
    distance: np.ndarray = np.sqrt(np.maximum(farthest, 0))
    return distance


def r_eps(sup: np.ndarray, eps: float | np.ndarray) -> np.ndarray:
    """Share of images whose largest view distance ``sup`` (N,) is above ``eps``, in the shape of ``eps``.

    Strictly above: a tie counts as aligned.
    Source: Huang et al., ICLR 2023, R_eps.
    """
    share: np.ndarray = 1 - np.searchsorted(np.sort(sup), eps, side="right") / len(sup)
    return share


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``alignment``."""
    norm = inputs.options["norm"]
    images, count, dim = inputs.views.shape
    per_image, sup = np.empty(images), np.empty(images)
    origin = None
    total, total_square, largest = np.zeros(dim), 0.0, 0.0
    for rows, block in inputs.views.chunks():
        views = unit_rows(block) if norm == "sphere" else block.astype(np.float64)
        per_image[rows], sup[rows] = alignment_per_sample(views), sup_alignment(views)
        origin = views[0, 0].copy() if origin is None else origin
        total += (views - origin).sum(axis=(0, 1))
        total_square += np.square(views - origin).sum()
        largest = max(largest, float(np.linalg.norm(views, axis=2).max()))
    variance = total_square / (images * count) - np.square(total / (images * count)).sum()
    return Estimate(
        value=per_image.mean(),
        interval=bootstrap_mean(per_image, inputs.rng()) if images > 1 else None,
        no_interval="" if images > 1 else "one image only",
        note=_note(count, sup, constant=variance <= _CONSTANT * largest**2),
        details=_details(per_image, sup, count, largest, sphere=norm == "sphere"),
        figures=(_curve(sup),),
        samples={"alignment": per_image.tolist(), "sup_alignment": sup.tolist()},
    )


def _note(count: int, sup: np.ndarray, *, constant: bool) -> str:
    meaning = (
        f"Mean squared distance between two views of one image, for the {count} drawn views, "
        "not for the continuous augmentation."
    )
    if constant:
        return f"{meaning} trivial: features are constant"
    return f"{meaning} trivial: the views of each image are equal" if not sup.any() else meaning


def _details(
    per_image: np.ndarray, sup: np.ndarray, count: int, largest: float, *, sphere: bool
) -> dict[str, Detail]:
    details: dict[str, Detail] = {"v_form": float(per_image.mean()) * (count - 1) / count}
    for q in SUP_QUANTILES:
        details[f"sup_q{100 * q:.0f}"] = float(np.quantile(sup, q, method="inverted_cdf"))
    if not sphere:
        return {**details, "largest_norm": largest}
    for eps in EPSILONS:
        above = int((sup > eps).sum())
        details[f"R_{eps:g}"] = above / len(sup)
        details[f"R_{eps:g}_upper"] = clopper_pearson(above, len(sup), side="upper").high
    return details


def _curve(sup: np.ndarray) -> Curve:
    eps = np.linspace(0, float(sup.max()), 101)
    share = r_eps(sup, eps)
    band = np.minimum(1, share + dkw_halfwidth(len(sup)))
    series = Series(
        name="R_eps with its 95 % upper band (DKW)",
        x=eps.tolist(),
        y=share.tolist(),
        low=share.tolist(),
        high=band.tolist(),
    )
    return Curve(
        title="share of images whose views are further apart than eps",
        x_label="eps",
        y_label="R_eps",
        series=(series,),
    )
