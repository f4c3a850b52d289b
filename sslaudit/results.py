"""What a metric answers: estimates with intervals, verdicts and figures.

Numbers are plain Python numbers here, so this module needs no array library. Anything with
``__float__`` is accepted and converted; NaN and infinity are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sslaudit.errors import MetricError
from sslaudit.figures import Figure
from sslaudit.numbers import finite

Claim = Literal["measured", "estimate", "lower-bound", "upper-bound"]
"""What a value is: measured on these samples, an estimate of a population value, or a bound on it."""

Verdict = Literal[
    "holds", "holds-point-estimate", "vacuous", "fails", "inconclusive", "not-applicable", "error", "info"
]

Bias = Literal["none", "over", "under", "unknown"]
"""Which way the estimator errs on average: not at all, over- or under-estimating, or not known."""

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    level: float = 0.95
    method: str
    """How it was computed and what it covers: ``Wilson``, ``bootstrap over images, 2000 draws``."""

    def __post_init__(self) -> None:
        for name in ("low", "high", "level"):
            object.__setattr__(self, name, finite(getattr(self, name), f"interval {name}"))
        if self.low > self.high:
            raise MetricError(f"interval [{self.low}, {self.high}] is upside down.")


Detail = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """One number of a metric, with what a reader needs to trust it.

    A value without an interval says why in ``no_interval``; an estimate without a value says why
    in ``reason``.
    """

    value: float | None
    reason: str = ""
    """Why there is no value."""
    interval: Interval | None = None
    no_interval: str = ""
    """Why there is a value and no interval."""
    claim: Claim = "estimate"
    bias: Bias = "none"
    verdict: Verdict = "info"
    note: str = ""
    """One sentence for the reader."""
    label: str = ""
    """What the number is, as the label of its row, where a metric gives several; else its summary."""
    paper: str = ""
    """The paper's word for it, where it is another one than that of its metric."""
    unit: str = ""
    """Where it is another one than that of its metric."""
    minor: bool = False
    """Whether a terminal leaves its row to ``sslaudit report CARD --all``; the HTML page shows it."""
    headline: Mapping[str, str] = field(default_factory=dict)
    """Lines for the first screen of a card: a word in capitals, ``HELD BACK``, and its sentence."""
    details: Mapping[str, Detail] = field(default_factory=dict)
    """Named scalars that belong to the value."""
    figures: Sequence[Figure] = ()
    tables: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Columns for metrics that read this result; they are not on the card.

    ``resamples`` are values on resampled images, in one order of draws for whatever is compared.
    """
    samples: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Columns with one entry for each image, None where the metric says nothing about the image.

    An entry may be a list (one number for each random draw). Paired comparisons read them.
    """

    def __post_init__(self) -> None:
        if self.value is None:
            if not self.reason:
                raise MetricError("an estimate without a value needs a reason.")
        else:
            object.__setattr__(self, "value", finite(self.value, "value"))
            if self.interval is None and not self.no_interval:
                raise MetricError("a value needs an interval, or no_interval with the reason.")
        details = {name: _detail(name, detail) for name, detail in self.details.items()}
        object.__setattr__(self, "details", details)
        object.__setattr__(self, "figures", tuple(self.figures))
        tables = {
            name: tuple(finite(v, f"table '{name}'") for v in values) for name, values in self.tables.items()
        }
        object.__setattr__(self, "tables", tables)

    @classmethod
    def not_applicable(cls, reason: str) -> "Estimate":
        """The answer of a metric that cannot speak about this data or encoder."""
        return cls(value=None, reason=reason, verdict="not-applicable")


def _detail(name: str, value: Any) -> Detail:
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item"):  # a scalar of an array library
        try:
            return _detail(name, value.item())
        except (ValueError, RuntimeError) as error:
            raise MetricError(f"detail '{name}' is no scalar: {error}.") from None
    return finite(value, f"detail '{name}'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One guard that ran before any score was computed."""

    name: str
    status: Status
    message: str
