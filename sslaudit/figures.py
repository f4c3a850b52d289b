"""Figures as data: what a metric hands over, and every rendering draws.

The first figure of a metric stands in the section of its group on the page of a card; further ones
stand with the metric's details. Text is shown as it is: a name may hold anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, SupportsFloat

from sslaudit.errors import MetricError
from sslaudit.numbers import finite


def _numbers(values: Sequence[SupportsFloat], what: str) -> tuple[float, ...]:
    return tuple(finite(value, what) for value in values)


def _convert(figure: object, *names: str) -> None:
    for name in names:
        if (values := getattr(figure, name)) is not None:
            object.__setattr__(figure, name, _numbers(values, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line over points (x, y); ``low`` and ``high`` draw a band."""

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
class Mark:
    """A place on the horizontal axis that matters, such as the delta that was chosen."""

    label: str
    x: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", finite(self.x, f"mark '{self.label}'"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Lines over a common axis."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    note: str = ""
    """One sentence on how to read it."""
    kind: Literal["curve"] = "curve"

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "marks", tuple(self.marks))


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A heat map: ``values[i][j]`` belongs to ``rows[i]`` and ``columns[j]``."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    value_label: str
    note: str = ""
    """One sentence on how to read it."""
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
    note: str = ""
    """One sentence on how to read it."""
    kind: Literal["bars"] = "bars"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        _convert(self, "values", "low", "high")
        if any(len(v) != len(self.labels) for v in (self.values, self.low, self.high) if v is not None):
            raise MetricError(f"bars '{self.title}' have columns of different length.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waterfall:
    """Named shares that add up to a total, against a limit: a budget and what uses it up."""

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    total_label: str
    """The name of the sum of ``values``."""
    limit: float
    limit_label: str
    value_label: str
    note: str = ""
    """One sentence on how to read it."""
    kind: Literal["waterfall"] = "waterfall"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "limit", finite(self.limit, "limit"))
        _convert(self, "values")
        if len(self.values) != len(self.labels):
            raise MetricError(f"waterfall '{self.title}' has columns of different length.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Counts between ``edges``, which are one more than ``counts``."""

    title: str
    x_label: str
    edges: Sequence[float]
    counts: Sequence[float]
    note: str = ""
    """One sentence on how to read it."""
    kind: Literal["histogram"] = "histogram"

    def __post_init__(self) -> None:
        _convert(self, "edges", "counts")
        if len(self.edges) != len(self.counts) + 1:
            raise MetricError(f"histogram '{self.title}' needs one edge more than counts.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """One group of a ``Scatter``, with one colour; ``labels`` are shown on hovering."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        _convert(self, "x", "y")
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(self.x) != len(self.y) or len(self.labels) not in (0, len(self.x)):
            raise MetricError(f"points '{self.name}' have columns of different length.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """Groups of points in a plane, some joined by ``lines`` that take the colour of the group they name."""

    title: str
    x_label: str
    y_label: str
    groups: Sequence[Points]
    lines: Sequence[Series] = ()
    equal: bool = False
    """Whether a unit is as long upwards as sideways, as distances in a plane need."""
    note: str = ""
    """One sentence on how to read it."""
    kind: Literal["scatter"] = "scatter"

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "lines", tuple(self.lines))


Figure = Curve | Matrix | Bars | Waterfall | Histogram | Scatter
