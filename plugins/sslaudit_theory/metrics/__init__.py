"""What this plugin measures: descriptions only, so that listing them imports no array library."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from sslaudit.results import Detail, Estimate
from sslaudit.specs import MetricSpec, Needs, Option

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def _compute_of(module: str) -> Callable[["MetricInputs"], Estimate | Mapping[str, Estimate]]:
    """``compute`` of a module of this package, imported when it is first called."""

    def compute(inputs: "MetricInputs") -> Estimate | Mapping[str, Estimate]:
        home = import_module(f"sslaudit_theory.metrics.{module}")
        answer: Estimate | Mapping[str, Estimate] = home.compute(inputs)
        return answer

    return compute


def _explain_theorem1(estimates: Mapping[str, Mapping[str, Detail]]) -> str:
    text: str = import_module("sslaudit_theory.metrics.explain").explain(estimates)
    return text


_NORM = Option(
    name="norm",
    type=str,
    default="sphere",
    choices=("sphere", "as-is", "center-sphere"),
    help="sphere (unit norm), as-is, or center-sphere (minus the training mean, then unit norm)",
)
_IMAGES = Option(
    name="images", type=int, default=200, minimum=2, help="at most so many images of each class and split"
)
_QUANTILE = Option(
    name="quantile",
    type=float,
    default=0.5,
    minimum=0.0,
    maximum=1.0,
    help="delta is this quantile of the distances between plain images of one class",
)
_PAPER = "Huang et al., ICLR 2023"

METRICS = (
    MetricSpec(
        name="alignment",
        version=2,
        summary="view spread",
        source=f"{_PAPER}, L_align and R_eps",
        needs=Needs(views=2, space="both"),
        compute=_compute_of("alignment"),
        options=(_NORM,),
        direction="lower",
        unit="squared distance",
        range=(0.0, None),
        group="factor",
    ),
    MetricSpec(
        name="divergence",
        version=2,
        summary="centre overlap, worst pair",
        source=f"{_PAPER}, Theorem 1",
        needs=Needs(views=1, labels=True, space="both"),
        compute=_compute_of("divergence"),
        options=(_NORM,),
        direction="lower",
        unit="r^2",
        range=(-1.0, 1.0),
        group="factor",
    ),
    MetricSpec(
        name="concentration",
        version=1,
        summary="1 - sigma, pixels",
        source=f"{_PAPER}, Definition 1",
        needs=Needs(pixel_views=1, labels=True),
        compute=_compute_of("concentration"),
        options=(_IMAGES, _QUANTILE),
        direction="lower",
        unit="fraction",
        range=(0.0, 1.0),
        group="data",
    ),
    MetricSpec(
        name="feature-concentration",
        version=1,
        summary="1 - sigma, features",
        source=f"{_PAPER}, Definition 1, with distances of features",
        needs=Needs(views=1, labels=True, space="both"),
        compute=_compute_of("feature_concentration"),
        options=(_NORM, _IMAGES, _QUANTILE),
        direction="lower",
        unit="fraction",
        range=(0.0, 1.0),
        group="factor",
    ),
    MetricSpec(
        name="theorem1",
        version=1,
        summary="Theorem 1",
        source=f"{_PAPER}, Theorem 1",
        needs=Needs(
            views=2,
            pixel_views=2,
            labels=True,
            encoder=True,
            results=("concentration", "feature-concentration"),
            space="both",
        ),
        compute=_compute_of("theorem1"),
        options=(_NORM, _IMAGES),
        direction="lower",
        unit="error",
        range=(0.0, 1.0),
        group="guarantee",
        explain=_explain_theorem1,
    ),
    MetricSpec(
        name="infonce-split",
        version=1,
        summary="InfoNCE",
        source=f"{_PAPER}, Section 4.1 and Theorem 3",
        needs=Needs(views=2, labels="optional", space="trained"),
        compute=_compute_of("infonce_split"),
        options=(
            _NORM,
            Option(
                name="images",
                type=int,
                default=400,
                minimum=2,
                help="at most so many images: all pairs are taken",
            ),
            Option(
                name="temperature",
                type=float,
                default=0.5,
                minimum=1e-3,
                help="of NT-Xent, which stands apart",
            ),
        ),
        direction="lower",
        unit="nats",
        group="other",
    ),
    MetricSpec(
        name="cross-correlation-split",
        version=1,
        summary="cross-correlation",
        source=f"{_PAPER}, Section 4.2 and Theorem 4",
        needs=Needs(views=2, labels="optional", space="trained"),
        compute=_compute_of("cross_correlation_split"),
        options=(
            _NORM,
            Option(
                name="lam",
                type=float,
                default=0.005,
                minimum=0.0,
                maximum=1.0,
                help="weight of the products of different features",
            ),
        ),
        direction="lower",
        unit="",
        range=(0.0, None),
        group="other",
    ),
)
