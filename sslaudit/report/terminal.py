"""The card in a terminal: words first, then the numbers, at 80 columns and without need of colour."""

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.numbers import number
from sslaudit.report import words
from sslaudit.report.anchored import AnchorRecord
from sslaudit.report.card import ReportCard
from sslaudit.report.screen import first_screen
from sslaudit.report.shifted import ShiftRecord, shift_notes, shift_rows
from sslaudit.results import Interval

_WIDTH = 80
_LABEL, _HALF = 28, 25
"""Width of the labels, and of each of two columns beside them."""

_HEADINGS = {
    "quality": ("how good", ["higher is better"]),
    "shape": ("shape of the embedding, without labels", []),
    "classes": ("classes in the embedding", []),
    "change": ("when the image changes", []),
    "pretext": ("pretext: what f(x) says of z within a class", ["lower is better"]),
    "other": ("other", []),
}
_GROUPS = ("quality", "factor", "data", "guarantee", "shape", "classes", "change", "pretext", "other")
_READ_BESIDE = ("shape", "classes", "change", "pretext")
"""Groups whose rows are read with what stands beside the value."""


def render(card: ReportCard, *, next_step: str = "", everything: bool = False) -> RenderableType:
    """The card; its first screen, or ``everything``."""
    shown, left = (card, 0) if everything else first_screen(card)
    ref, what, where = words.title(card)
    fits = len(ref) + len(what) + 3 <= _WIDTH
    blocks: list[RenderableType] = [
        *(
            [Text(f"{ref}   {what}", style="bold")]
            if fits
            else [Text(words.cut(ref, _WIDTH), style="bold"), Text(what)]
        ),
        Text(where),
        Text(),
        listing(words.headline(card)),
    ]
    for group in _GROUPS:
        spaces = words.spaces(shown, group)
        if group == "guarantee" and spaces and left == 0:
            for term in words.terms(shown, group):
                blocks += [Text(), _guarantees(shown, term, spaces)]
        elif group != "guarantee" and len(spaces) == 2:
            blocks += [Text(), _beside(_heading(shown, group, ""), shown, group, spaces)]
        elif found := [
            row for space in spaces for row in words.rows(shown, group, space) if row.value != "-"
        ]:
            heading = _heading(shown, group, spaces[0])
            blocks += [Text(), _rows(shown, group, heading, found)]
    if card.shift is not None and card.shift.readings:
        blocks += [Text(), _shifted(card.shift, minor=left == 0)]
    notes = [("not computed", line) for line in words.not_computed(shown)]
    notes += [("skipped", line) for line in words.skipped(card)]
    notes += [("problem", line) for line in card.problems]
    notes += [("input", "; ".join(words.preprocessing(card.encoder.preprocess)))]
    notes += words.extraction(card)
    notes += shift_notes(card.shift) if card.shift else []
    notes += words.anchors(card)
    blocks += [Text(), listing(notes)]
    if left:
        left += sum(r.minor and r.value is not None for r in card.shift.readings) if card.shift else 0
        blocks += [Text(), Text(f"{left} more numbers: sslaudit report CARD --all", style="dim")]
    if next_step:
        blocks += [Text(), Text(next_step, style="dim")]
    return Group(*blocks)


def listing(lines: Iterable[tuple[str, str]], *, first: int = 0) -> Table:
    """Names and their sentences in two columns, the first at least ``first`` wide."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=first)
    table.add_column(overflow="fold")  # a digest is of use only whole
    for name, sentence in lines:
        table.add_row(Text(name, style="bold" if name.isupper() else ""), Text(sentence))
    return table


def side_by_side(cards: Sequence[ReportCard], names: Sequence[str]) -> RenderableType:
    """One column for each card, one row for each metric of the first."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(min_width=22)
    table.add_row("", *(Text(name, style="bold") for name in names))
    table.add_row("", *(f"{card.encoder.dim}-d, {words.count(card.encoder.parameters)}" for card in cards))
    table.add_row("checks passed", *(words.health(card) for card in cards))
    for group, heading in (("quality", "higher is better"), ("factor", "lower is better")):
        found = (r for r in reversed(cards[0].metrics) if r.group == group and not r.minor)
        first = {(r.term, r.name): r for r in found}
        if first:
            table.add_row("")
            table.add_row(Text(heading, style="italic"))
        for record in reversed(first.values()):
            cells = (_cell(card, record.term, record.name) for card in cards)
            table.add_row(Text(words.cut(record.summary, 26)), *cells)
    return table


def difference(label: str, value: float, interval: Interval) -> str:
    """``+.171 [.140, .203]``, for a sentence."""
    sign = "+" if value > 0 else ""
    return f"{label} {sign}{number(value)} [{number(interval.low)}, {number(interval.high)}]"


def console(*, stderr: bool = False) -> Console:
    """A console that is at least 80 columns wide when nobody looks."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return (
        made if made.is_terminal else Console(stderr=stderr, highlight=False, width=max(_WIDTH, made.width))
    )


def _heading(card: ReportCard, group: str, space: str) -> str:
    """What a table shows; ``space`` is empty where it has a column for each, or none is read."""
    if group == "data":
        return "of the data, the same for every encoder"
    where = [words.in_space(space)] if space == "projection" or (space and group == "factor") else []
    if group == "factor":
        norms = {record.options.get("norm", "sphere") for record in card.metrics if record.group == group}
        where += ["unit norm"] if norms == {"sphere"} else []
        views = words.plural(card.data.views, "view", "views")
        return f"why ({', '.join([*where, f'recipe {card.data.recipe}', views])}; lower is better)"
    name, better = _HEADINGS[group]
    said = "; ".join([*where, *better])
    return f"{name} ({said})" if said else name


def _beside(heading: str, card: ReportCard, group: str, spaces: Sequence[str]) -> RenderableType:
    """One row for each metric, one column for each space."""
    table = _two_columns(spaces)
    columns = [{row.term: row for row in words.rows(card, group, space)} for space in spaces]
    for term in dict.fromkeys(term for column in columns for term in column):
        found = [column.get(term) for column in columns]
        if all(row is None or row.record.value is None for row in found):
            continue  # it is listed with its reason
        label = next(row.label for row in found if row)
        table.add_row(Text(f"  {label}"), *(Text(_in_one(row) if row else "") for row in found))
    return Group(Text(heading), table)


def _two_columns(spaces: Sequence[str]) -> Table:
    """A table with a column for each space, named where there are two."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    if len(spaces) == 2:
        table.add_column(width=_HALF)
        table.add_column(width=_HALF)
        table.add_row("", *(Text(words.in_space(space), style="italic") for space in spaces))
    return table


def _in_one(row: words.Row) -> str:
    if row.record.value is None:
        return "-"
    whole = f"{row.value} {row.interval}  {row.extra}".rstrip()
    return whole if len(whole) <= _HALF else f"{row.value} {row.interval}"


def _guarantees(card: ReportCard, term: str, spaces: Sequence[str]) -> RenderableType:
    """The bound of each rung of one metric in each space, or why there is none."""
    table, short = _two_columns(spaces), len(spaces) == 2
    columns = [
        {row.term: row for row in words.rows(card, "guarantee", space) if row.record.term == term}
        for space in spaces
    ]
    for rung in dict.fromkeys(rung for column in columns for rung in column):
        found = [column.get(rung) for column in columns]
        label = next(row.label for row in found if row)
        table.add_row(Text(f"  {label}"), *(Text(_bound(row, short=short) if row else "") for row in found))
    where = [] if short else [words.in_space(spaces[0])]
    which = [term] if len(words.terms(card, "guarantee")) > 1 else []
    said = "; ".join([*which, *where, "error at most; - where there is none, and why"])
    return Group(Text(f"guarantee ({said})"), table)


def _bound(row: words.Row, *, short: bool) -> str:
    record = row.record
    if record.value is None:
        reason = record.reason.removeprefix("gives no guarantee: ").partition(";")[0]
        return f"- {reason.partition(' (')[0] if short else reason}"
    if record.interval is not None:
        return f"{row.value} {row.interval}"
    said = {"holds-point-estimate": "as an estimate"}.get(record.verdict, record.verdict)
    return f"{row.value}  {said if short else record.note or said}"


def _rows(card: ReportCard, group: str, heading: str, found: Sequence[words.Row]) -> RenderableType:
    if group in _READ_BESIDE:
        return _readings(heading, found)
    anchors = [anchor for anchor in card.anchors if anchor.readings] if group == "quality" else []
    return _anchored(heading, found, anchors) if anchors else _table(heading, found)


def _anchored(heading: str, found: Sequence[words.Row], anchors: Sequence[AnchorRecord]) -> RenderableType:
    """A table with a column for each anchor."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column(min_width=12, no_wrap=True)
    for _ in anchors:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(heading, "", "", *(Text(anchor.name, style="italic") for anchor in anchors))
    for row in found:
        cells = []
        for anchor in anchors:
            reading = anchor.reading(row.term)
            cells.append(Text(number(reading.value) if reading else "-"))
        table.add_row(Text(f"  {row.label}"), Text(row.value), Text(row.interval), *cells)
    return table


def _table(heading: str, found: Sequence[words.Row]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=26, no_wrap=True)
    table.add_column(min_width=16, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column()
    room = _WIDTH - sum(
        max(least, *map(len, column)) + 2
        for least, column in (
            (26, [f"  {row.label}" for row in found]),
            (16, [row.term for row in found]),
            (6, [row.value for row in found]),
        )
    )
    for row in found:
        whole = f"{row.interval}   {row.extra}".rstrip()
        last = whole if len(whole) <= room or not row.record.interval else row.interval
        table.add_row(Text(f"  {row.label}"), Text(row.term), Text(row.value), Text(last))
    return Group(Text(heading), table)


def _shifted(record: ShiftRecord, *, minor: bool) -> RenderableType:
    """The probes on the shifted images, and what they lose."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for label, _, value, drop in shift_rows(record, minor=minor):
        table.add_row(Text(f"  {label}"), Text(value), Text(drop))
    paired = ", paired by image" if record.paired else ""
    return Group(Text(f"on {words.cut(record.ref, 30)} (accuracy, drop{paired})"), table)


def _readings(heading: str, found: Sequence[words.Row]) -> RenderableType:
    """A table whose rows are read with what stands beside their values."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column(min_width=12, no_wrap=True)
    table.add_column()
    for row in found:
        shown = row.interval if row.record.interval else ""
        table.add_row(Text(f"  {row.label}"), Text(row.value), Text(shown), Text(row.extra))
    return Group(Text(heading), table)


def _cell(card: ReportCard, term: str, name: str) -> str:
    for record in card.metrics:
        if (record.term, record.name) == (term, name):
            return "-" if record.value is None else f"{number(record.value)} {words.interval(record)}"
    return "-"
