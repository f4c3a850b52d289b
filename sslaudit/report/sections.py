"""What stands in which section of a card's page: its tables, its figures, and what is said of each metric."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from sslaudit.figures import Figure
from sslaudit.numbers import number
from sslaudit.report import words
from sslaudit.report.anchored import against
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.screen import first_screen
from sslaudit.results import Check, Detail

MOST_NUMBERS = 10
"""Rows of the section that a reader sees first."""

_GROUPS = {
    "quality": ("How good", "higher is better"),
    "factor": ("Why", "lower is better"),
    "data": ("Of the data, the same for every encoder", "lower is better"),
    "guarantee": ("Guarantee", "error at most"),
    "shape": ("Shape of the embedding", "without labels"),
    "classes": ("Classes in the embedding", ""),
    "change": ("When the image changes", ""),
    "pretext": ("Pretext", "what f(x) says of z within a class; lower is better"),
    "other": ("Other", ""),
}
_SECTIONS = (
    ("factors", "The three factors, and what Theorem 1 asks of them", ("guarantee", "factor", "data")),
    ("shape", "Shape of the embedding", ("shape",)),
    ("probes", "Probes", ("quality", "classes", "change")),
    ("pretext", "Pretext", ("pretext",)),
    ("other", "Other", ("other",)),
)
_SIGNS = {"pass": "✓", "warn": "!", "fail": "✗"}
_CLAIMS = {
    "measured": "measured on these images",
    "estimate": "an estimate",
    "lower-bound": "a lower bound",
    "upper-bound": "an upper bound",
}
_BIASES = {
    "none": "not on one side",
    "over": "errs on the high side",
    "under": "errs on the low side",
    "unknown": "not known on which side it errs",
}
_VERDICTS = {
    "holds": "holds",
    "holds-point-estimate": "holds as an estimate, which certifies nothing",
    "vacuous": "holds, and says nothing new",
    "fails": "does not hold",
    "inconclusive": "cannot be told from these images",
    "not-applicable": "does not apply here",
    "error": "the metric failed",
    "info": "none: a number that nothing is asked of",
}
_LINK = re.compile(
    r"arXiv:\s?(?P<arxiv>\d{4}\.\d{4,5})|(?:doi:\s?)?(?P<doi>10\.\d{4,9}/[\w.()/:;-]*\w)", re.I
)


@dataclass(frozen=True, slots=True)
class Line:
    """One number, once for each space of its table; None in a space where it was not read."""

    label: str
    term: str
    cells: tuple[words.Row | None, ...]

    @property
    def record(self) -> MetricRecord:
        """That of the first space."""
        return next(cell.record for cell in self.cells if cell)


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of one group of metrics."""

    group: str
    heading: str
    direction: str
    spaces: tuple[str, ...]
    """Names of the columns; empty where there is only one."""
    lines: tuple[Line, ...]
    scale: tuple[float, float] | None
    """Ends of the axis of the intervals, where one axis serves all lines."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, with the space that it shows; empty where that goes without saying."""

    space: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Section:
    """Some groups of metrics: the first figure of each metric, then the numbers."""

    name: str
    heading: str
    pictures: tuple[tuple[Picture, ...], ...]
    """One row for each metric, with its spaces side by side."""
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """Everything about one metric as planned: its estimates in all spaces."""

    term: str
    records: tuple[MetricRecord, ...]
    pictures: tuple[Picture, ...]
    """Its further figures."""

    @property
    def name(self) -> str:
        """As ``sslaudit list metrics`` takes it."""
        return self.records[0].name.partition(".")[0]


def numbers(card: ReportCard) -> list[Table]:
    """The tables of the first screen, with ten rows at most; what has no value is left out."""
    kept, _ = first_screen(card)
    kept = replace(kept, metrics=tuple(record for record in kept.metrics if record.value is not None))
    found, left = [], MOST_NUMBERS
    for group in _GROUPS:
        lines = _lines(kept, group)[:left]
        left -= len(lines)
        found += [_table(card, group, lines)] if lines else []
    return found


def sections(card: ReportCard) -> list[Section]:
    """The sections that this card has something for.

    Beside figures a table is left out that ``numbers`` shows whole.
    """
    planned, found = metrics(card), []
    shown = {line.term for table in numbers(card) for line in table.lines}
    for name, heading, groups in _SECTIONS:
        drawn = [_first(metric) for group in groups for metric in planned if metric.records[0].group == group]
        rows = tuple(filter(None, drawn))
        tables = tuple(
            _table(card, group, lines)
            for group in groups
            if (lines := _lines(card, group)) and not (rows and shown.issuperset(line.term for line in lines))
        )
        if rows or tables:
            found.append(Section(name, heading, rows, tables))
    return found


def metrics(card: ReportCard) -> list[Metric]:
    """Every metric, in the order of the plan."""
    by_term: dict[str, list[MetricRecord]] = {}
    for record in card.metrics:
        by_term.setdefault(record.term, []).append(record)
    return [Metric(term, tuple(records), _further(records)) for term, records in by_term.items()]


def details(metric: Metric) -> list[tuple[str, tuple[str, ...], list[tuple[str, tuple[str, ...]]]]]:
    """Named scalars of each estimate: its label, names of the spaces, and a value of each name in each."""
    by_row: dict[str, list[MetricRecord]] = {}
    for record in metric.records:
        by_row.setdefault(record.row, []).append(record)
    found = []
    for records in by_row.values():
        names = dict.fromkeys(name for record in records for name in record.details)
        columns = tuple(words.in_space(record.space) if record.space else "value" for record in records)
        values = [(name, tuple(_detail(record.details.get(name)) for record in records)) for name in names]
        found += [(records[0].summary, columns, values)] if values else []
    return found


def facts(record: MetricRecord) -> list[tuple[str, str]]:
    """How one estimate is to be read, in words."""
    claims = [("claim", _CLAIMS[record.claim]), ("bias", _BIASES[record.bias])]
    asked = record.verdict != "info"
    return [
        *(claims if record.value is not None else []),
        *([("verdict", _VERDICTS[record.verdict])] if asked else []),
        *([("note", record.note)] if record.note else []),
        *([("no value", record.reason)] if record.value is None and record.reason not in record.note else []),
    ]


def method(record: MetricRecord) -> str:
    """How the interval was computed, or why there is none."""
    if record.interval is None:
        return record.no_interval
    return f"{100 * record.interval.level:g} %, {record.interval.method}"


def linked(text: str) -> list[tuple[str, str]]:
    """``text`` in pieces, each with its address where it is an arXiv number or a DOI, else with none."""
    pieces, end = [], 0
    for match in _LINK.finditer(text):
        arxiv, doi = match["arxiv"], match["doi"]
        address = f"https://arxiv.org/abs/{arxiv}" if arxiv else f"https://doi.org/{doi}"
        pieces += [(text[end : match.start()], ""), (match[0], address)]
        end = match.end()
    return [piece for piece in [*pieces, (text[end:], "")] if piece[0]]


def sign(check: Check) -> str:
    """A sign that says the status without colour."""
    return _SIGNS[check.status]


def capped(names: Sequence[str], most: int = 12) -> tuple[list[str], int]:
    """The first names, and how many more there are."""
    return list(names[:most]), max(0, len(names) - most)


def beside(card: ReportCard, line: Line) -> list[tuple[str, str, str]]:
    """What the anchors reach by the same metric: name, value, and the difference where it is known."""
    if line.record.group != "quality":
        return []
    found = []
    for anchor in card.anchors:
        if reading := anchor.reading(line.term):
            difference = f", {against(reading)}" if reading.difference_interval else ""
            found.append((f"{anchor.name[:1].upper()}{anchor.name[1:]}", number(reading.value), difference))
    return found


def bar(card: ReportCard, table: Table, line: Line, width: float) -> dict[str, object] | None:
    """Places of an interval, its value and the anchors on an axis of that width; None without an axis."""
    record = line.record
    if table.scale is None or record.interval is None or record.value is None:
        return None
    low, high = table.scale

    def place(value: float) -> float:
        return round((value - low) / (high - low) * width, 1)

    readings = [anchor.reading(line.term) for anchor in card.anchors]
    return {
        "low": place(record.interval.low),
        "high": place(record.interval.high),
        "value": place(record.value),
        "anchors": [place(reading.value) for reading in readings if reading],
    }


def _spaces(records: Sequence[MetricRecord]) -> list[str]:
    return sorted({record.space for record in records})


def _lines(card: ReportCard, group: str) -> list[Line]:
    """One for each row; what was read in no space stands in the first column."""
    spaces = words.spaces(card, group)
    columns = [space for space in spaces if space] or [""]
    cells: dict[str, dict[str, words.Row]] = {}
    for space in spaces:
        for row in words.rows(card, group, space):
            cells.setdefault(row.term, {})[space or columns[0]] = row
    order = dict.fromkeys(record.row for record in card.metrics if record.group == group)
    labels = {term: next(iter(cells[term].values())).label for term in order}
    twice = Counter(labels.values())
    return [
        Line(
            labels[term] if twice[labels[term]] == 1 else f"{labels[term]}, {term}",
            term,
            tuple(cells[term].get(space) for space in columns),
        )
        for term in order
    ]


def _table(card: ReportCard, group: str, lines: Sequence[Line]) -> Table:
    heading, direction = _GROUPS[group]
    spaces = _spaces([cell.record for line in lines for cell in line.cells if cell])
    named = tuple(words.in_space(space) for space in spaces if space)
    said = [*(named if len(named) == 1 else ()), *([direction] if direction else [])]
    return Table(
        group=group,
        heading=heading,
        direction="; ".join(said),
        spaces=named if len(named) > 1 else (),
        lines=tuple(lines),
        scale=_scale(card, lines) if group == "quality" and len(named) < 2 else None,
    )


def _scale(card: ReportCard, lines: Sequence[Line]) -> tuple[float, float] | None:
    """From the lowest tenth that any line needs up to 1, for shares."""
    if any(line.record.unit != "fraction" for line in lines):
        return None
    lows = [line.record.interval.low for line in lines if line.record.interval]
    readings = [anchor.reading(line.term) for anchor in card.anchors for line in lines]
    lows += [reading.value for reading in readings if reading]
    return (int(10 * min(lows, default=0)) / 10, 1.0) if min(lows, default=0) < 1 else (0.9, 1.0)


def _pictures(records: Sequence[MetricRecord], space: str) -> list[Picture]:
    named = words.in_space(space) if len([s for s in _spaces(records) if s]) > 1 else ""
    if records[0].group == "data":
        named = "of the data, the same for every encoder"
    return [
        Picture(named, figure) for record in records if record.space == space for figure in record.figures
    ]


def _first(metric: Metric) -> tuple[Picture, ...]:
    found = (_pictures(metric.records, space)[:1] for space in _spaces(metric.records))
    return tuple(picture for pictures in found for picture in pictures)


def _further(records: Sequence[MetricRecord]) -> tuple[Picture, ...]:
    """All figures but the first, one of each space after the other."""
    columns = [_pictures(records, space)[1:] for space in _spaces(records)]
    return tuple(picture for row in zip_longest(*columns) for picture in row if picture)


def _detail(value: Detail) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else value
