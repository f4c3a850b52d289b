"""What a metric answers: estimates with intervals, verdicts and figures.

Numbers are plain Python numbers here, so this module needs no array library. Anything with
``__float__`` is accepted and converted; NaN and infinity are refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsFloat

from sslaudit.errors import MetricError

Claim = Literal["measured", "estimate", "lower-bound", "upper-bound"]
"""What a value is: measured on these samples, an estimate of a population value, or a bound on it."""

Verdict = Literal[
    "holds", "holds-point-estimate", "vacuous", "fails", "inconclusive", "not-applicable", "error", "info"
]

Bias = Literal["none", "over", "under", "unknown"]
"""Which way the estimator errs on average: not at all, over- or under-estimating, or not known."""

Status = Literal["pass", "warn", "fail"]


def finite(value: SupportsFloat, what: str) -> float:
    """``value`` as a finite float. Raises ``MetricError`` for NaN, infinity and what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise MetricError(f"{what} is no number: {error}.") from None
    if not math.isfinite(number):
        raise MetricError(f"{what} is {number}; give a finite number, or no value with a reason.")
    return number


def number(value: float) -> str:
    """Three significant digits in the card's manner: ``.884``, ``1.25``, ``-.31``, ``1.2e-05``."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


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


def _numbers(values: Sequence[SupportsFloat], what: str) -> tuple[float, ...]:
    return tuple(finite(value, what) for value in values)


def _convert(figure: object, *names: str) -> None:
    for name in names:
        if (values := getattr(figure, name)) is not None:
            object.__setattr__(figure, name, _numbers(values, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a ``Curve``; ``low`` and ``high`` draw a band."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def __post_init__(self) -> None:
        _convert(self, "x", "y", "low", "high")
        if any(len(v) != len(self.x) for v in (self.y, self.low, self.high) if v is not None):
            raise MetricError(f"series '{self.name}' has columns of different length.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Lines over a common axis."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    kind: Literal["curve"] = "curve"

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A heat map: ``values[i][j]`` belongs to ``rows[i]`` and ``columns[j]``."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    value_label: str
    kind: Literal["matrix"] = "matrix"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "values", tuple(_numbers(row, "matrix") for row in self.values))
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise MetricError(f"matrix '{self.title}' does not have one value for each row and column.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """Named values side by side; ``low`` and ``high`` draw error bars."""

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    value_label: str
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    kind: Literal["bars"] = "bars"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        _convert(self, "values", "low", "high")
        if any(len(v) != len(self.labels) for v in (self.values, self.low, self.high) if v is not None):
            raise MetricError(f"bars '{self.title}' have columns of different length.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Counts between ``edges``, which are one more than ``counts``."""

    title: str
    x_label: str
    edges: Sequence[float]
    counts: Sequence[float]
    kind: Literal["histogram"] = "histogram"

    def __post_init__(self) -> None:
        _convert(self, "edges", "counts")
        if len(self.edges) != len(self.counts) + 1:
            raise MetricError(f"histogram '{self.title}' needs one edge more than counts.")


Figure = Curve | Matrix | Bars | Histogram

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
        tables = {name: _numbers(values, f"table '{name}'") for name, values in self.tables.items()}
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
