"""A comparison in a terminal: 80 columns, and no colour needed."""

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.comparison import sentences
from sslaudit.comparison.record import Cell, ComparedRow, Comparison
from sslaudit.figures import Curve
from sslaudit.numbers import number
from sslaudit.report.phrases import cut, inert, percent

_WIDTH = 80
_LABEL = 24
"""Where labels have less room, what is said beside them gives way first."""
_NAME = 24


def render(comparison: Comparison, *, everything: bool = False) -> RenderableType:
    """Title, sentences, the table of encoders, other numbers; ``everything`` with the minor ones."""
    head, how = sentences.title(comparison)
    blocks: list[RenderableType] = [_folded(head, "bold"), _folded(how), Text()]
    blocks += map(_folded, comparison.sentences)
    blocks += [Text(), _encoders(comparison), _folded(sentences.about_ranks(comparison), "dim")]
    if comparison.curves:
        blocks += [Text(), _epochs(comparison.curves)]
    if comparison.curves_note:
        blocks += [_folded(comparison.curves_note, "dim")]
    found = sentences.shown_rows(comparison, everything=everything)
    if found:
        blocks += [Text(), *_others(comparison, found)]
    if not everything and (left := len(comparison.rows) - sum(len(rows) for _, rows in found)):
        blocks += [_folded(f"{left} more numbers: --all", "dim")]
    blocks += [_folded(f"not compared: {line}") for line in comparison.left_out]
    return Group(*blocks)


def _encoders(comparison: Comparison) -> Table:
    best = comparison.encoders[0]
    tested = any(encoder.p is not None for encoder in comparison.encoders)
    table = _grid("right", "left", "left", "left", *(["right"] if tested else []))
    accuracy = _wrapped(f"{sentences.accuracy_of(comparison)}, %", 17)
    table.add_row(
        "rank", "encoder", accuracy, _wrapped("to the best, points", 20), *(["p"] if tested else [])
    )
    for encoder in comparison.encoders:
        interval = encoder.interval
        value = percent(encoder.value)
        value += f" [{percent(interval.low)}, {percent(interval.high)}]" if interval else ""
        apart = sentences.points(encoder.difference, encoder.difference_interval)
        table.add_row(
            sentences.ranks(encoder),
            Text(sentences.name_of(encoder, _NAME)),
            value,
            "the best" if encoder is best else apart,
            *([] if encoder.p is None else [sentences.p_value(encoder.p)]),
        )
    return table


def _others(comparison: Comparison, found: list[tuple[str, list[ComparedRow]]]) -> Iterable[RenderableType]:
    best = sentences.name_of(comparison.encoders[0], 40)
    yield _folded(f"other numbers, and their differences to {best}; each interval is 95 % on its own")
    if len(comparison.encoders) == 2:
        yield _of_two(found)
    else:
        yield _of_many(comparison, found)
    if any(not row.paired for _, rows in found for row in rows):
        yield _folded(sentences.NOT_PAIRED, "dim")


def _of_two(found: list[tuple[str, list[ComparedRow]]]) -> Table:
    rows = [("", "best", "other", "difference", "the other is")]
    for heading, some in found:
        rows.append((heading, "", "", "", ""))
        for row in some:
            best, other = row.cells
            rows.append((f"  {_starred(row)}", number(best.value), *_compared(other)))
            if best.at or other.at:
                name, value = _place(best)
                rows.append((f"    {name}", value, _place(other)[1], "", ""))
    return _fitted(rows, "left", "right", "right", "left", "left")


def _of_many(comparison: Comparison, found: list[tuple[str, list[ComparedRow]]]) -> Table:
    rows = [("", "value", "difference", "it is")]
    for heading, some in found:
        rows.append((heading, "", "", ""))
        for row in some:
            first, *others = row.cells
            rows += [(f"  {_starred(row)}", number(first.value), "compared to this", ""), *_placed(first)]
            for encoder, cell in zip(comparison.encoders[1:], others, strict=True):
                rows += [(f"    {inert(encoder.name)}", *_compared(cell)), *_placed(cell)]
    return _fitted(rows, "left", "right", "left", "left")


def _fitted(rows: Sequence[tuple[str, ...]], *justify: str) -> Table:
    """The first column gives way, so that no number is cut."""
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[1:]]
    room = _WIDTH - sum(width + 2 for width in widths)
    if room < _LABEL:
        short = [
            (label, *(cell.replace("too close to tell", "too close") for cell in cells))
            for label, *cells in rows
        ]
        if short != list(rows):
            return _fitted(short, *justify)
    table = _grid(*justify)
    for label, *cells in rows:
        star = " *" if label.endswith(" *") else ""
        body = label.removesuffix(star)
        indent = " " * (len(body) - len(body.lstrip()))
        table.add_row(Text(indent + cut(body.lstrip(), room - len(indent + star)) + star), *cells)
    return table


def _placed(cell: Cell) -> list[tuple[str, str, str, str]]:
    """The line that says where a number was taken, where that is a question."""
    name, value = _place(cell)
    return [(f"      {name}", value, "", "")] if cell.at else []


def _place(cell: Cell) -> tuple[str, str]:
    """``at delta`` and ``.521``."""
    name, _, value = inert(cell.at).rpartition(" ")
    return f"at {name}".rstrip(), value


def _compared(cell: Cell) -> tuple[str, str, str]:
    return number(cell.value), sentences.signed(cell.difference, cell.difference_interval), cell.said


def _starred(row: ComparedRow) -> str:
    return inert(row.summary) if row.paired else f"{inert(row.summary)} *"


def _epochs(curves: Iterable[Curve]) -> Table:
    """One line for each epoch of each run, one column for each curve: the value above its interval."""
    curves = list(curves)[:4]
    table = _grid("left", *("left" for _ in curves))
    table.add_row("epoch", *(_wrapped(curve.title.removesuffix(" by epoch"), 17) for curve in curves))
    first = curves[0]
    for number_, series in enumerate(first.series):
        if len(first.series) > 1:
            table.add_row(Text(cut(inert(series.name), 17)))
        for place, epoch in enumerate(series.x):
            table.add_row(f"{epoch:g}", *(_at(curve, number_, place, epoch) for curve in curves))
    return table


def _at(curve: Curve, run: int, place: int, epoch: float) -> str:
    if run >= len(curve.series) or epoch not in curve.series[run].x:
        return "-"
    line = curve.series[run]
    place = list(line.x).index(epoch)
    band = (
        f"\n[{number(line.low[place])}, {number(line.high[place])}]"
        if line.low is not None and line.high is not None
        else ""
    )
    return number(line.y[place]) + band


def _grid(*justify: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for side in justify:
        table.add_column(justify=side, no_wrap=True)  # type: ignore[arg-type]
    return table


def _wrapped(text: str, width: int) -> Text:
    """The head of a column, at most three lines."""
    lines = textwrap.wrap(inert(text), width, max_lines=3, placeholder="…", break_on_hyphens=False)
    return Text("\n".join(lines))


def _folded(text: str, style: str = "") -> Text:
    return Text(textwrap.fill(inert(text), _WIDTH, break_on_hyphens=False), style=style)
