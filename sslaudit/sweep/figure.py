"""Accuracy against 1 - sigma, or whatever a suite names first, as an SVG that needs nothing else.

One colour and marker for each method; bars are intervals. Colours are those of Okabe and Ito, which
people with colour blindness tell apart, and ink follows the reader's light or dark scheme.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from sslaudit.numbers import number
from sslaudit.report.words import cut
from sslaudit.sweep.sentences import heading
from sslaudit.sweep.table import Cell, Measured, Table

WIDTH, HEIGHT = 720, 448
LEFT, RIGHT, TOP, BOTTOM = 66, 700, 44, 380
FONT, LETTER = 12, 6.6
"""Size of the text, and about how wide a letter of it is, in pixels."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLE = """
text { font: 12px sans-serif; fill: #222 } .soft { fill: #666 } .ground { fill: #fff }
.grid { stroke: #e3e3e3 } .axis { stroke: #666 } .lead { stroke: #999 }
@media (prefers-color-scheme: dark) {
text { fill: #e8e8e8 } .soft { fill: #a8a8a8 } .ground { fill: #16181c }
.grid { stroke: #33373d } .axis { stroke: #a8a8a8 } .lead { stroke: #777 } }
"""


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
    parts: list[str] = [f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>']
    if not cells:
        parts.append(_text(LEFT, TOP + 20, "nothing was measured"))
        return _svg(parts)
    across = _axis([c.against[0] for c in cells], LEFT + 14, RIGHT - 14)
    down = _axis([c.accuracy for c in cells], BOTTOM - 12, TOP + 12)
    methods = list(dict.fromkeys(cell.method for cell in cells))
    points = [
        _Point(
            cell,
            across.place(cell.against[0].value or 0.0),
            down.place(cell.accuracy.value or 0.0),
            methods.index(cell.method),
        )
        for cell in cells
    ]
    bars, boxes = _whiskers(points, across.place, down.place)
    said = "bars: 95 % over seeds" if bars else "one seed: no bars"
    parts += _frame(across, down, cells[0], said)
    parts += bars + [_marker(point.x, point.y, point.place) for point in points]
    parts += _labels(points, boxes)
    parts += _legend(methods)
    return _svg(parts)


@dataclass(frozen=True, slots=True)
class _Axis:
    ticks: tuple[float, ...]
    place: Callable[[float], float]


def _axis(measured: Sequence[Measured], start: float, end: float) -> _Axis:
    """From the lowest value or end of an interval over seeds to the highest, in round steps."""
    ends = [m.value for m in measured if m.value is not None]
    ends += [limit for m in measured if m.over_seeds for limit in (m.over_seeds.low, m.over_seeds.high)]
    low, high = min(ends), max(ends)
    if high - low < 1e-3:
        low, high = low - 0.05, high + 0.05
    step = _round_step((high - low) / 5)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    ticks = tuple(round(step * k, 10) for k in range(first, last + 1))
    return _Axis(ticks, lambda value: start + (end - start) * (value - low) / (high - low))


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``rough``."""
    power: float = 10.0 ** floor(log10(rough))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rough * 0.999)


def _frame(across: _Axis, down: _Axis, known: Cell, bars: str) -> list[str]:
    parts = []
    for tick in down.ticks:
        y = down.place(tick)
        parts += [_line(LEFT, y, RIGHT, y, "grid"), _text(LEFT - 8, y + 4, number(tick), "end")]
    for tick in across.ticks:
        x = across.place(tick)
        parts += [_line(x, TOP, x, BOTTOM, "grid"), _text(x, BOTTOM + 18, number(tick), "middle")]
    parts += [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), _line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    said = {"lower": " (lower is better)", "higher": " (higher is better)"}
    x_name = heading(known.against[0]) + said.get(known.against[0].direction, "")
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 42, x_name, "middle"))
    parts.append(_text(RIGHT, BOTTOM + 58, bars, "end", ' class="soft"'))
    middle = (TOP + BOTTOM) / 2
    turned = f' transform="rotate(-90 16 {middle:.0f})"'
    parts.append(_text(16, middle, f"accuracy, {known.accuracy.term}", "middle", turned))
    return parts


def _whiskers(
    points: Sequence[_Point], across: Callable[[float], float], down: Callable[[float], float]
) -> tuple[list[str], list[tuple[float, float, float, float]]]:
    """The bars, and the boxes that they take."""
    parts, boxes = [], []
    for point in points:
        style = f'stroke="{COLOURS[point.place % len(COLOURS)]}" stroke-width="1.4" opacity="0.75"'
        if (spread := point.cell.accuracy.over_seeds) is not None:
            top, bottom = down(spread.high), down(spread.low)
            parts.append(_line(point.x, top, point.x, bottom, "", style))
            boxes.append((point.x - 1, top, point.x + 1, bottom))
        if (spread := point.cell.against[0].over_seeds) is not None:
            left, right = across(spread.low), across(spread.high)
            parts.append(_line(left, point.y, right, point.y, "", style))
            boxes.append((left, point.y - 1, right, point.y + 1))
    return parts, boxes


def _marker(x: float, y: float, place: int) -> str:
    """That of the method at ``place``, round (x, y)."""
    colour, r = COLOURS[place % len(COLOURS)], 5.0
    if place % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"/>'
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0, -1.25 * r), (1.2 * r, r), (-1.2 * r, r)),
        3: ((0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)),
    }[place % 4]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{path}" fill="{colour}"/>'


def _labels(points: Sequence[_Point], taken: Sequence[tuple[float, float, float, float]]) -> list[str]:
    """The name of each row near its point, where it covers neither a marker nor a bar nor another name."""
    boxes = [*taken, *((p.x - 6, p.y - 6, p.x + 6, p.y + 6) for p in points)]
    parts = []
    for point in sorted(points, key=lambda p: (p.y, p.x)):
        name = cut(point.cell.row, 24)
        width = LETTER * len(name)
        for dx, dy in _AROUND:
            left = point.x + (dx if dx > 0 else dx - width if dx < 0 else -width / 2)
            box = (left - 1, point.y + dy - FONT + 1, left + width + 1, point.y + dy + 3)
            if _free(box, boxes):
                break
        else:
            left = min(max(left, LEFT + 2), RIGHT - width)
            dy = min(max(dy, TOP - point.y), BOTTOM - 4 - point.y)
        boxes.append(box)
        if abs(dx) + abs(dy) > 40:
            end = left if dx > 0 else left + width
            parts.append(_line(point.x, point.y, end, point.y + dy - 4, "lead"))
        parts.append(_text(left, point.y + dy, name))
    return parts


_AROUND = tuple(
    (dx * reach, dy * reach + 4)
    for reach in (1, 1.7, 2.6, 3.8, 5.4, 7.4)
    for dx, dy in ((10, 0), (-10, 0), (9, -10), (9, 10), (-9, -10), (-9, 10), (0, -14), (0, 14))
)
"""Where a name may stand, the nearest places first."""


def _free(box: tuple[float, float, float, float], boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    left, top, right, bottom = box
    if left < LEFT + 2 or right > RIGHT or top < TOP - 8 or bottom > BOTTOM - 1:
        return False
    return all(right <= a or left >= c or bottom <= b or top >= d for a, b, c, d in boxes)


def _legend(methods: Sequence[str]) -> list[str]:
    parts, x = [], float(LEFT)
    for place, method in enumerate(methods):
        parts.append(_marker(x + 6, 20, place))
        parts.append(_text(x + 17, 24, method))
        x += 17 + LETTER * len(method) + 18
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, name: str, style: str = "") -> str:
    kind = f'class="{name}"' if name else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {kind} {style}/>'


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _svg(parts: Sequence[str]) -> str:
    sides = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {sides}>'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>"]) + "\n"
