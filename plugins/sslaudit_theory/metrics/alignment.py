"""The metric ``alignment``: how far apart the views of one image are embedded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm as gaussian

from sslaudit.figures import Bars, Curve, Figure, Mark, Series
from sslaudit.results import Detail, Estimate
from sslaudit.stats import bootstrap_mean
from sslaudit_theory.norms import NormedViews, normed_views
from sslaudit_theory.positives.drivers import Driver, drivers
from sslaudit_theory.positives.pairs import (
    alignment_by_views,
    r_eps_by_views,
    r_eps_curve,
    sup_by_views,
    view_distances,
    view_spread,
)
from sslaudit_theory.positives.theorem2 import (
    UNKNOWN_LIPSCHITZ,
    Bound,
    finite_bank_bound,
    sharp_bank_bound,
    theorem2_bound,
)

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

SUP_QUANTILES = (0.5, 0.9, 0.95, 0.99)
EPSILONS = (0.25, 0.5, 1.0)
"""Where R_eps is printed, in units of r. Fixed beforehand, so that its limit is exact."""
POINTS = 61
"""Of the curve of R_eps."""
GRID = np.linspace(0.05, 2, 40)
"""Where the curve shows the limit of a fixed eps, in units of r: up to the diameter of the sphere."""
VIEWS_SHOWN = 40
"""More views are cut to those with the largest distances."""

_CONSTANT = 1e-10
"""Total variance, relative to the mean squared norm, below which features carry nothing but rounding."""


@dataclass(frozen=True, slots=True)
class _Measured:
    normed: NormedViews
    constant: bool
    """Whether all features are one vector."""
    per_image: np.ndarray
    """(N, V-1): L_align, form U, of the first m views."""
    sup: np.ndarray
    """(N, V-1): largest distance among the first m views."""
    spread: np.ndarray
    """(N, V): mean squared distance of each view to the others."""
    to_identity: np.ndarray
    """(N, V): squared distance of each view to view 0."""
    drivers: tuple[Driver, ...]
    """What each transform adds to the distance to view 0, the largest first."""
    rest: float
    """What no transform adds."""

    @property
    def views(self) -> int:
        return self.normed.shape[1]

    @property
    def trivial(self) -> str:
        """Why a small value means nothing; empty when it may mean something."""
        if self.constant:
            return "trivial: features are constant"
        return "" if self.sup.any() else "trivial: the views of each image are equal"

    @property
    def eps(self) -> list[tuple[str, float]]:
        """Names and values of ``EPSILONS``."""
        unit = "r" if self.normed.norm == "as-is" else ""
        return [(f"{eps:g}{unit}", eps * self.normed.r) for eps in EPSILONS]


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``alignment``: L_align, how far apart the views of one image are embedded.

    Formula: mean over images of ||f(x1) - f(x2)||^2 over all pairs of different views (form U). With it
        R_eps, the share of images with two views farther apart than eps, for three eps fixed beforehand, and
        what each transform of the recipe adds to the distance of a view to its image.
    Shapes: the views of all images, (N, V, D) with V >= 2, after ``norm``.
    Range: from 0; on the unit sphere at most 4, and 2 for views at right angles to each other.
    Typical: the SimCLR encoder of ``sslaudit demo`` has .196 on its embedding and .074 on its projection, the
        untrained copy .187 (digits, 8 views): behind a ReLU all embeddings are near each other.
    High: the transforms of the recipe move the embedding: they are not among its invariances. The detail
        ``driver`` names the one that adds most.
    Low: views of one image agree. That alone is no merit: a constant encoder has 0, and is called trivial.
        Read it beside ``divergence``.
    Bias: none for L_align of the drawn views. R_eps of the continuous augmentation is at least that of the
        drawn views. The interval resamples images.
    Source: Huang et al., ICLR 2023, L_align and R_eps; Theorem 2.
    """
    normed = normed_views(inputs)
    if normed.r == 0:
        return Estimate.not_applicable("all embeddings are zero")
    measured = _measure(normed, inputs)
    per_image, sup = measured.per_image[:, -1], measured.sup[:, -1]
    why = measured.trivial or ("" if len(sup) > 1 else "one image only")
    return Estimate(
        value=per_image.mean(),
        interval=None if why else bootstrap_mean(per_image, inputs.rng()),
        no_interval=why,
        verdict="vacuous" if measured.trivial else "info",
        note=_note(measured),
        details={**_details(measured), **_bounds(measured)},
        figures=_figures(measured),
        samples={"alignment": per_image.tolist(), "sup_alignment": sup.tolist()},
    )


def _measure(normed: NormedViews, inputs: "MetricInputs") -> _Measured:
    images, count, dim = normed.shape
    per_image, sup = np.empty((images, count - 1)), np.empty((images, count - 1))
    spread, to_identity = np.empty((images, count)), np.empty((images, count))
    origin, total, total_square = None, np.zeros(dim), 0.0
    for rows, views in normed.chunks():
        distances = view_distances(views)
        per_image[rows], sup[rows] = alignment_by_views(distances), sup_by_views(distances)
        spread[rows], to_identity[rows] = view_spread(distances), distances[:, 0]
        origin = views[0, 0].copy() if origin is None else origin
        offset = views - origin
        total += offset.sum(axis=(0, 1))
        total_square += float(np.vdot(offset, offset))
    variance = total_square / (images * count) - np.square(total / (images * count)).sum()
    constant = bool(variance <= _CONSTANT * normed.r**2)
    drawn = {name: strength[:, 1:] for name, strength in inputs.transforms.items()}
    found, rest = drivers(to_identity[:, 1:], drawn, inputs.rng()) if images > 1 else ((), 0.0)
    return _Measured(normed, constant, per_image, sup, spread, to_identity, found, rest)


def _note(measured: _Measured) -> str:
    meaning = (
        f"Mean squared distance between two views of one image, for the {measured.views} drawn views, "
        "not for the continuous augmentation, whose R_eps is at least that of the drawn views."
    )
    if measured.normed.norm == "as-is":
        meaning += " eps is in units of r, the largest norm measured, so limits of R_eps are approximate."
    if measured.drivers and measured.drivers[0].interval.low > 0:
        meaning += (
            f" Of the transforms {measured.drivers[0].name} adds most to the distance of a view to its image."
        )
    return f"{meaning} {measured.trivial}".rstrip()


def _details(measured: _Measured) -> dict[str, Detail]:
    sup, count = measured.sup[:, -1], measured.views
    details: dict[str, Detail] = {
        "v_form": float(measured.per_image[:, -1].mean()) * (count - 1) / count,
        "norm": measured.normed.norm,
        "r": measured.normed.r,
    }
    for q in SUP_QUANTILES:
        details[f"sup_q{100 * q:.0f}"] = float(np.quantile(sup, q, method="inverted_cdf"))
    curve = r_eps_curve(sup, np.array([eps for _, eps in measured.eps]))
    for (name, _), share, upper in zip(measured.eps, curve.share, curve.upper, strict=True):
        details[f"R_{name}"] = share
        details[f"R_{name}_upper"] = upper
    for driver in measured.drivers:
        details[f"adds_{driver.name}"] = driver.adds
    first = measured.drivers[0] if measured.drivers else None
    details["driver"] = first.name if first and first.interval.low > 0 else None
    return {**details, "widest_view": int(measured.spread.mean(axis=0).argmax())}


def _bounds(measured: _Measured) -> dict[str, Detail]:
    """Bounds on R_eps of these images and views from their L_align: no claim about other images."""
    count = measured.views
    v_form = float(measured.per_image[:, -1].mean()) * (count - 1) / count
    details: dict[str, Detail] = {}
    for name, eps in measured.eps:
        details[f"bank_bound_{name}"] = _said(finite_bank_bound(v_form, eps, count))
        details[f"bank_bound_sharp_{name}"] = _said(sharp_bank_bound(v_form, eps, count))
        details[f"theorem2_drawn_views_{name}"] = _said(theorem2_bound(v_form, eps, n=0, m=count))
    return {**details, "theorem2": _said(UNKNOWN_LIPSCHITZ)}


def _said(bound: Bound) -> Detail:
    return bound.reason if bound.value is None else bound.value


def _figures(measured: _Measured) -> tuple[Figure, ...]:
    figures: list[Figure] = [_curve(measured)]
    if measured.views > 2:
        figures += [_r_by_views(measured), _spread_by_views(measured)]
    bars = _bars(
        measured.spread,
        0,
        "mean squared distance of each view to the others",
        "A bar that stands out is a view whose draws moved many images.",
    )
    if measured.drivers:
        figures.append(_what_drives(measured))
    to_identity = _bars(
        measured.to_identity,
        1,
        "mean squared distance of each view to view 0",
        "View 0 is the image itself: how far each drawn view moves from it.",
    )
    return (*figures, bars, to_identity)


def _what_drives(measured: _Measured) -> Bars:
    """What each transform adds; the rest has no interval of its own."""
    found = measured.drivers
    return Bars(
        title="what each transform adds to the distance of a view to its image",
        labels=[*(driver.name for driver in found), "rest"],
        values=[*(driver.adds for driver in found), measured.rest],
        value_label="squared distance",
        low=[*(driver.interval.low for driver in found), measured.rest],
        high=[*(driver.interval.high for driver in found), measured.rest],
        note="The longest bar is the transform that the embedding is least invariant to.",
    )


def _curve(measured: _Measured) -> Curve:
    sup = measured.sup[:, -1]
    r, farthest = measured.normed.r, float(sup.max())
    curve = r_eps_curve(sup, np.linspace(0, farthest, POINTS))
    fixed = r_eps_curve(sup, r * GRID[: np.searchsorted(GRID, farthest / r) + 1])
    return Curve(
        title="share of images with two views farther apart than eps",
        x_label="eps",
        y_label="R_eps",
        series=(
            Series(
                name="R_eps with its 95 % upper band (DKW)",
                x=curve.eps.tolist(),
                y=curve.share.tolist(),
                low=curve.share.tolist(),
                high=curve.band.tolist(),
            ),
            Series(
                name="95 % upper limit of one fixed eps (Clopper-Pearson)",
                x=fixed.eps.tolist(),
                y=fixed.upper.tolist(),
            ),
        ),
        marks=[Mark(label=f"eps {name}", x=eps) for name, eps in measured.eps if eps <= farthest],
        note="The sooner the curve falls to 0, the closer together lie the views of one image.",
    )


def _r_by_views(measured: _Measured) -> Curve:
    names, eps = zip(*measured.eps, strict=True)
    shares = r_eps_by_views(measured.sup, np.array(eps))
    m = list(range(2, measured.views + 1))
    return Curve(
        title="R_eps of the first m drawn views: it can only grow",
        x_label="m, number of views",
        y_label="R_eps",
        series=[
            Series(name=f"eps = {name}", x=m, y=share.tolist())
            for name, share in zip(names, shares.T, strict=True)
        ],
        note="A curve that still rises at its end: more views would find more images that are not aligned.",
    )


def _spread_by_views(measured: _Measured) -> Curve:
    m = list(range(2, measured.views + 1))
    return Curve(
        title="squared distances among the first m drawn views",
        x_label="m, number of views",
        y_label="squared distance",
        series=(
            Series(name="mean (L_align, form U)", x=m, y=measured.per_image.mean(axis=0).tolist()),
            Series(name="largest, mean over images", x=m, y=np.square(measured.sup).mean(axis=0).tolist()),
        ),
        note="The mean should not depend on the number of views; the largest distance can only grow.",
    )


def _bars(distances: np.ndarray, first: int, title: str, note: str) -> Bars:
    """Means of (N, V) over images from view ``first`` on, with Gaussian 95 % intervals."""
    mean = distances.mean(axis=0)
    shown = np.arange(first, len(mean))
    if len(shown) > VIEWS_SHOWN:
        shown = np.sort(shown[np.argsort(-mean[shown], kind="stable")[:VIEWS_SHOWN]])
        title += f", the {VIEWS_SHOWN} largest"
    error = np.zeros(len(mean))
    if len(distances) > 1:
        error = gaussian.ppf(0.975) * distances.std(axis=0, ddof=1) / np.sqrt(len(distances))
    return Bars(
        title=title,
        labels=["view 0, the image itself" if v == 0 else f"view {v}" for v in shown],
        values=mean[shown].tolist(),
        value_label="squared distance",
        low=np.maximum(0, mean - error)[shown].tolist(),
        high=(mean + error)[shown].tolist(),
        note=note,
    )
