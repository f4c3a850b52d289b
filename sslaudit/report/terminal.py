"""The card in a terminal: words first, then the numbers, at 80 columns and without need of colour."""

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.numbers import number
from sslaudit.report import phrases, words
from sslaudit.report.anchored import AnchorRecord
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.screen import first_screen, speakers
from sslaudit.report.shifted import ShiftRecord, shift_notes, shift_rows
from sslaudit.results import Interval

_WIDTH = 80
_LABEL = 28
"""Least width of the labels."""

GROUPS = ("quality", "factor", "data", "guarantee", "shape", "classes", "change", "pretext", "other")
"""Groups of metrics in the order of a card."""
_READ_BESIDE = ("shape", "classes", "change", "pretext")
"""Groups whose rows are read with what stands beside the value."""


def render(card: ReportCard, *, next_step: str = "", everything: bool = False) -> RenderableType:
    """The card; its first screen, or ``everything``."""
    shown, left = (card, 0) if everything else first_screen(card)
    ref, what, where = map(phrases.inert, words.title(card))
    fits = len(ref) + len(what) + 3 <= _WIDTH
    blocks: list[RenderableType] = [
        *(
            [Text(f"{ref}   {what}", style="bold")]
            if fits
            else [Text(phrases.cut(ref, _WIDTH), style="bold"), Text(what)]
        ),
        Text(where),
        Text(),
        listing(words.headline(card, None if everything else speakers(card, shown))),
    ]
    for group in GROUPS:
        spaces = words.spaces(shown, group)
        if group == "guarantee" and spaces and left == 0:
            for term in words.terms(shown, group):
                blocks += [Text(), _guarantees(shown, term, spaces)]
        elif group == "data" and spaces:
            blocks += _of_the_data(shown)
        elif group != "guarantee" and len(spaces) == 2:
            blocks += _beside(shown, group, spaces)
        elif found := [
            row for space in spaces for row in words.rows(shown, group, space) if row.value != "-"
        ]:
            blocks += [Text(), _rows(shown, group, words.heading(shown, group, spaces[0]), found)]
    if card.shift is not None and card.shift.readings:
        blocks += [Text(), _shifted(card.shift, minor=left == 0)]
    if notes := _notes(card, shown, everything=everything):
        blocks += [Text(), listing(notes)]
    if left:
        left += sum(r.minor and r.value is not None for r in card.shift.readings) if card.shift else 0
    blocks += [Text(), Text(_hanging("not checked: ", words.not_checked(card), ", "))]
    if not everything:
        blocks += [Text(_hanging("next: ", _next(card, left), "\xa0| "))]
    if next_step:
        blocks += [_text(next_step, "dim")]
    return Group(*blocks)


def listing(lines: Iterable[tuple[str, str]], *, first: int = 0) -> Table:
    """Names and their sentences in two columns, the first at least ``first`` wide."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=first)
    table.add_column(overflow="fold")  # a digest is of use only whole
    for name, sentence in lines:
        table.add_row(_text(name, "bold" if name.isupper() else ""), _text(sentence))
    return table


def side_by_side(cards: Sequence[ReportCard], names: Sequence[str]) -> RenderableType:
    """One column for each card, one row for each metric of the first; below it the paper's word and
    what belongs to the value."""
    table = Table.grid(padding=(0, 1, 0, 0))
    records = [
        record
        for record in words.first_of_each_row(cards[0].metrics).values()
        if record.group in ("quality", "factor") and not record.minor
    ]
    found = {record.row: [_row_of(card, record) for card in cards] for record in records}
    cells = {row: [_in_one(cell) if cell else "-" for cell in found[row]] for row in found}
    widest = max((len(cell) for row in cells.values() for cell in row), default=0)
    room = max(18, _WIDTH - len(cards) * (1 + max(widest, *map(len, names))))
    table.add_column(min_width=min(room, 22), no_wrap=True)
    table.add_row("", *(_text(name, "bold") for name in names))
    table.add_row("", *(f"{card.encoder.dim}-d, {phrases.count(card.encoder.parameters)}" for card in cards))
    table.add_row("checks passed", *(words.health(card) for card in cards))
    for group, heading in (("quality", "higher is better"), ("factor", "lower is better")):
        if some := [record for record in records if record.group == group]:
            table.add_row("")
            table.add_row(Text(heading, style="italic"))
        for record in some:
            table.add_row(_text(phrases.cut(record.summary, room)), *map(_text, cells[record.row]))
            _second_line(table, record.paper, found[record.row], room)
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


def _text(content: str, style: str = "") -> Text:
    """What may hold a name that somebody else chose."""
    return Text(phrases.inert(content), style=style)


def _notes(card: ReportCard, shown: ReportCard, *, everything: bool) -> list[tuple[str, str]]:
    """What went wrong or was left out; with ``everything`` also how the numbers were made."""
    return [
        *(("not computed", line) for line in words.not_computed(shown)),
        *(("skipped", line) for line in words.skipped(card)),
        *(("problem", line) for line in card.problems),
        *([("input", "; ".join(words.preprocessing(card.encoder.preprocess)))] if everything else []),
        *(words.extraction(card) if everything else []),
        *(shift_notes(card.shift) if card.shift else []),
        *words.anchors(card, missing_only=not everything),
    ]


def _next(card: ReportCard, left: int) -> list[str]:
    """What to type for more."""
    more = [f"sslaudit report CARD --all ({left} more numbers)" if left else "sslaudit report CARD --all"]
    explained = [f"--explain {phrases.inert(term)}" for term in words.terms(card, "guarantee")[:1]]
    return [*more, *explained, *([] if card.failed_checks else ["sslaudit compare CARD..."])]


def _hanging(lead: str, items: Sequence[str], between: str) -> str:
    """A list behind its name, wrapped between items where that does."""
    whole = lead + between.join(item.replace(" ", "\xa0") for item in items)
    indent = " " * len(lead)
    return textwrap.fill(whole, _WIDTH, subsequent_indent=indent, break_on_hyphens=False).replace("\xa0", " ")


def _of_the_data(card: ReportCard) -> list[RenderableType]:
    """One line for the numbers that no encoder changes."""
    found = [row for space in words.spaces(card, "data") for row in words.rows(card, "data", space)]
    said = [
        f"{row.label}{f' ({row.paper})' if row.paper else ''} {row.value} {row.interval}"
        f"{f' at {row.extra}' if row.extra else ''}"
        for row in found
        if row.record.value is not None
    ]
    lead = f"{words.heading(card, 'data')}:"
    return [Text(), _text(f"{lead} {'; '.join(said)}")] if said else []


def _beside(card: ReportCard, group: str, spaces: Sequence[str]) -> list[RenderableType]:
    """Two lines for each metric, one column for each space: the numbers; then the paper's word, and what
    belongs to each number. What has no value is listed with its reason."""
    columns = [{row.term: row for row in words.rows(card, group, space)} for space in spaces]
    terms = dict.fromkeys(term for column in columns for term, row in column.items() if row.value != "-")
    if not terms:
        return []
    found = {term: [column.get(term) for column in columns] for term in terms}
    firsts = {term: next(row for row in rows if row) for term, rows in found.items()}
    label = max(len(row.label) for row in firsts.values()) + 2
    table = _two_columns(spaces, label)
    for term, rows in found.items():
        table.add_row(_text(f"  {firsts[term].label}"), *(_text(_in_one(row) if row else "") for row in rows))
        _second_line(table, firsts[term].paper, rows, label)
    return [Text(), _text(words.heading(card, group)), table]


def _second_line(table: Table, paper: str, rows: Sequence[words.Row | None], width: int) -> None:
    """The paper's word, and what belongs to the values above it: a number is nothing without its delta."""
    extras = [row.extra if row and row.record.value is not None else "" for row in rows]
    if paper or any(extras):
        said = phrases.cut(f"    {paper}".rstrip(), max(width, _LABEL))
        table.add_row(_text(said, "dim"), *(_text(phrases.cut(extra, 48), "dim") for extra in extras))


def _two_columns(spaces: Sequence[str], label: int = 0) -> Table:
    """A table with a column for each space, named where there are two."""
    table = Table.grid(padding=(0, 1, 0, 0))
    label = max(label, _LABEL)
    table.add_column(min_width=label, no_wrap=True)
    if len(spaces) == 2:
        half = (_WIDTH - label - 1) // 2
        table.add_column(width=half)
        table.add_column(width=half)
        table.add_row("", *(Text(words.in_space(space), style="italic") for space in spaces))
    return table


def _in_one(row: words.Row) -> str:
    return "-" if row.record.value is None else f"{row.value} {row.interval}".rstrip()


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
        table.add_row(_text(f"  {label}"), *(_text(_bound(row, short=short) if row else "") for row in found))
    heading = words.heading(card, "guarantee", "" if short else spaces[0])
    if len(words.terms(card, "guarantee")) > 1:
        heading = heading.replace("(", f"({term}; ", 1)
    return Group(_text(heading), table)


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
    anchors = [anchor for anchor in card.anchors if anchor.readings] if group == "quality" else []
    return _anchored(heading, found, anchors) if anchors else _table(heading, found, group in _READ_BESIDE)


def _anchored(heading: str, found: Sequence[words.Row], anchors: Sequence[AnchorRecord]) -> RenderableType:
    """A table with a column for each anchor."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column(min_width=12, no_wrap=True)
    for _ in anchors:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(_text(heading), "", "", *(_text(anchor.name, "italic") for anchor in anchors))
    for row in found:
        cells = []
        for anchor in anchors:
            reading = anchor.reading(row.term)
            cells.append(Text(number(reading.value) if reading else "-"))
        table.add_row(_text(f"  {row.label}"), Text(row.value), _text(row.interval), *cells)
    return table


def _table(heading: str, found: Sequence[words.Row], read_beside: bool) -> RenderableType:
    """Label, the paper's word or the term, value, interval, and what is read with them: on a line of its
    own where it does not fit."""
    papers = [row.paper or ("" if read_beside else row.term) for row in found]
    wide = [
        max(least, *map(len, column))
        for least, column in (
            (_LABEL - 2, [f"  {row.label}" for row in found]),
            (0, papers),
            (6, [row.value for row in found]),
        )
        if any(column)
    ]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=wide[0], no_wrap=True)
    if any(papers):
        table.add_column(no_wrap=True)
    table.add_column(justify="right", min_width=6, no_wrap=True)
    table.add_column()
    room = _WIDTH - sum(width + 2 for width in wide)
    intervals = ["" if read_beside and not row.record.interval else row.interval for row in found]
    even = max(len(row.interval) if row.record.interval else 0 for row in found)
    for row, paper, interval in zip(found, papers, intervals, strict=True):
        last = _text(interval)
        if row.extra:
            beside = f"{interval:{even}}  {row.extra}"
            last = _text(beside) if len(beside) <= room else last.append("\n").append_text(_text(row.extra))
        cells = [_text(paper)] if any(papers) else []
        table.add_row(_text(f"  {row.label}"), *cells, Text(row.value), last)
    return Group(_text(heading), table)


def _shifted(record: ShiftRecord, *, minor: bool) -> RenderableType:
    """The probes on the shifted images, and what they lose."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for label, _, value, drop in shift_rows(record, minor=minor):
        table.add_row(_text(f"  {label}"), _text(value), _text(drop))
    paired = ", paired by image" if record.paired else ""
    return Group(_text(f"on {phrases.cut(record.ref, 30)} (accuracy, drop{paired})"), table)


def _row_of(card: ReportCard, record: MetricRecord) -> words.Row | None:
    """The row of another card that is that of ``record``."""
    rows = words.rows(card, record.group, record.space)
    return next((row for row in rows if row.term == record.row and row.record.name == record.name), None)
