"""What this plugin measures: descriptions only, so that listing them imports no array library."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from sslaudit.results import Estimate
from sslaudit.specs import MetricSpec, Needs, Option

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


def _compute_of(module: str) -> Callable[["MetricInputs"], Estimate | Mapping[str, Estimate]]:
    """``compute`` of a module of this package, imported when it is first called."""

    def compute(inputs: "MetricInputs") -> Estimate | Mapping[str, Estimate]:
        answer: Estimate | Mapping[str, Estimate] = import_module(f"sslaudit_theory.{module}").compute(inputs)
        return answer

    return compute


METRICS = (
    MetricSpec(
        name="alignment",
        version=1,
        summary="view spread",
        source="Huang et al., ICLR 2023, L_align and R_eps",
        needs=Needs(views=2),
        compute=_compute_of("positive_pairs"),
        options=(
            Option(
                name="norm",
                type=str,
                default="sphere",
                choices=("sphere", "as-is"),
                help="sphere (unit norm) or as-is",
            ),
        ),
        direction="lower",
        unit="squared distance",
        range=(0.0, None),
        group="factor",
    ),
    MetricSpec(
        name="divergence",
        version=1,
        summary="centre overlap, worst pair",
        source="Huang et al., ICLR 2023, Theorem 1",
        needs=Needs(views=1, labels=True),
        compute=_compute_of("centres"),
        direction="lower",
        unit="r^2",
        range=(-1.0, 1.0),
        group="factor",
    ),
)
