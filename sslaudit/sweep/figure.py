"""Accuracy against 1 - sigma, or whatever a suite names first, as an SVG that needs nothing else.

One colour and marker for each method; bars are intervals over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sslaudit.report.drawing.axes import Axis, Frame, axis, frame_parts
from sslaudit.report.drawing.legend import Entry, legend
from sslaudit.report.drawing.names import Box, Named, names_beside
from sslaudit.report.drawing.primitives import colour, line, symbol, text
from sslaudit.report.drawing.render import whole_svg
from sslaudit.report.drawing.text import whole
from sslaudit.sweep.sentences import heading
from sslaudit.sweep.table import Cell, Measured, Table

WIDTH, HEIGHT = 720.0, 460.0
LEFT, RIGHT, BOTTOM = 66.0, 704.0, 392.0
NAME_ROOM = 170.0


@dataclass(frozen=True, slots=True)
class _Point:
    cell: Cell
    x: float
    y: float
    place: int
    """Of the method among all."""


def figure(table: Table) -> str:
    """The SVG; without a cell that has both numbers it says so."""
    cells = [c for c in table.cells if c.accuracy.value is not None and c.against[0].value is not None]
    if not cells:
        return whole_svg([text(LEFT, 64, "nothing was measured")], WIDTH, HEIGHT, "nothing was measured")
    methods = list(dict.fromkeys(cell.method for cell in cells))
    entries = [Entry(symbol(0, 0, place, 5), method) for place, method in enumerate(methods)]
    named, top, _ = legend(entries, 10, RIGHT)
    top += 34
    frame = Frame(
        _axis([c.against[0] for c in cells], LEFT, RIGHT), _axis([c.accuracy for c in cells], BOTTOM, top)
    )
    points = [
        _Point(
            cell,
            *frame.place(cell.against[0].value or 0.0, cell.accuracy.value or 0.0),
            methods.index(cell.method),
        )
        for cell in cells
    ]
    bars, boxes = _whiskers(points, frame)
    parts = [*named, *frame_parts(frame, _across(cells[0]), _down(cells[0]), upright=True), *bars]
    parts += [symbol(point.x, point.y, point.place, 5, whole(point.cell.row)) for point in points]
    parts += names_beside([Named(p.x, p.y, p.cell.row) for p in points], boxes, frame, NAME_ROOM)
    said = "bars: 95 % over seeds" if bars else "one seed: no bars"
    parts.append(text(RIGHT, BOTTOM + 58, said, "end", "soft"))
    return whole_svg(parts, WIDTH, HEIGHT, whole(f"{_down(cells[0])}, against {_across(cells[0])}"))


def _axis(measured: Sequence[Measured], start: float, end: float) -> Axis:
    """From the lowest value or end of an interval over seeds to the highest."""
    ends = [m.value for m in measured if m.value is not None]
    ends += [limit for m in measured if m.over_seeds for limit in (m.over_seeds.low, m.over_seeds.high)]
    return axis(ends, start, end, pad=0.03)


def _across(known: Cell) -> str:
    said = {"lower": " (lower is better)", "higher": " (higher is better)"}
    return heading(known.against[0]) + said.get(known.against[0].direction, "")


def _down(known: Cell) -> str:
    return f"accuracy, {known.accuracy.term}"


def _whiskers(points: Sequence[_Point], frame: Frame) -> tuple[list[str], list[Box]]:
    """The bars, and the boxes that they take."""
    parts, boxes = [], []
    for point in points:
        kind = f"whisker s{colour(point.place)}"
        if (spread := point.cell.accuracy.over_seeds) is not None:
            top, bottom = frame.down.place(spread.high), frame.down.place(spread.low)
            parts.append(line(point.x, top, point.x, bottom, kind))
            boxes.append((point.x - 1, top, point.x + 1, bottom))
        if (spread := point.cell.against[0].over_seeds) is not None:
            left, right = frame.across.place(spread.low), frame.across.place(spread.high)
            parts.append(line(left, point.y, right, point.y, kind))
            boxes.append((left, point.y - 1, right, point.y + 1))
    return parts, boxes
