"""Named values as bars, one below the other, with their intervals; and the rows that waterfalls share."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslaudit.figures import Bars
from sslaudit.report.drawing.axes import Axis, axis, names_across
from sslaudit.report.drawing.primitives import WIDTH, Drawing, box, line, nothing, text
from sslaudit.report.drawing.text import plain, shown, told_apart, whole, width

MOST_BARS = 60
NAME_ROOM = 185.0
"""The widest name that stands at the left of its bar; above it where names are wider and bars few."""
FEW = 14


@dataclass(frozen=True, slots=True)
class Rows:
    """Where names, bars and values of ``count`` rows stand below ``top``."""

    names: Sequence[str]
    values: Sequence[str]
    top: float
    above: bool
    left: float
    right: float
    pitch: float

    @property
    def bottom(self) -> float:
        """Where the last row ends."""
        return self.top + self.pitch * len(self.names)

    def bar(self, row: int) -> tuple[float, float]:
        """Top and thickness of the bar in ``row``."""
        y = self.top + self.pitch * row
        return (y + 20, self.pitch - 28) if self.above else (y + self.pitch * 0.16, self.pitch * 0.68)

    def words(self, row: int, kind: str = "") -> list[str]:
        """Its name and its value."""
        y = self.top + self.pitch * row
        halo = f"halo {kind}".strip()
        worth = text(
            WIDTH - (7 if self.above else 0),
            y + (14 if self.above else self.pitch / 2 + 5),
            self.values[row],
            "end",
            halo,
        )
        room = WIDTH - 22 - max(map(width, self.values)) if self.above else NAME_ROOM
        name = self.names[row]
        short = told_apart(self.names, room)[name]
        if self.above:
            return [text(self.left + 7, y + 14, name, kind=halo, room=room, short=short), worth]
        return [text(self.left - 8, y + self.pitch / 2 + 5, name, "end", kind, room, short=short), worth]

    def below(self, across: Axis, label: str) -> list[str]:
        """Upright lines of the grid, the names of its ticks and that of the values."""
        places = map(across.place, across.ticks)
        return [
            *(line(x, self.top, x, self.bottom, "grid") for x in places),
            *names_across(across, self.bottom, label),
        ]


def lay_out(names: Sequence[str], values: Sequence[str], top: float) -> Rows:
    """Names at the left, or above the bars where they are few and long."""
    longest = 1.1 * max(width(plain(name)) for name in names)  # a strong one is wider
    worth = max(map(width, values))
    if longest > NAME_ROOM and len(names) <= FEW:
        return Rows(names, values, top, True, 1.0, WIDTH - 1, 42.0)
    pitch = 28.0 if len(names) <= FEW else 21.0
    return Rows(names, values, top, False, min(longest, NAME_ROOM) + 9, WIDTH - 12 - worth, pitch)


def draw_bars(figure: Bars) -> Drawing:
    """Bars from zero, in the order they came in."""
    count = len(figure.labels)
    said = f"Bars of {figure.value_label} for {', '.join(figure.labels[:MOST_BARS]) or 'nothing'}"
    if not count:
        return nothing(said)
    names, values = figure.labels[:MOST_BARS], figure.values[:MOST_BARS]
    rows = lay_out(names, [shown(value) for value in values], 2)
    ends = [v for column in (values, figure.low, figure.high) if column for v in column[:MOST_BARS]]
    across = axis(ends, rows.left, rows.right, zero=True, pad=0.0)
    parts = rows.below(across, figure.value_label)
    ground = across.place(0.0)
    for row, value in enumerate(values):
        end = across.place(value)
        y, thick = rows.bar(row)
        said_of = f"{whole(names[row])}: {shown(value)}"
        if figure.low and figure.high:
            said_of += f" [{shown(figure.low[row])}, {shown(figure.high[row])}]"
        parts.append(box(min(ground, end), y, abs(end - ground), thick, "f0", said_of))
        if figure.low and figure.high:
            parts += _error(across.place(figure.low[row]), across.place(figure.high[row]), y + thick / 2)
        parts += rows.words(row)
    parts.append(line(ground, rows.top, ground, rows.bottom, "axis"))
    remarks = [f"The first {MOST_BARS} of {count:,} are drawn."] if count > MOST_BARS else []
    return Drawing(parts, rows.bottom + 44, said, remarks)


def _error(low: float, high: float, y: float) -> list[str]:
    if high - low < 0.05:
        return []
    caps = [line(x, y - 4, x, y + 4, "error") for x in (low, high)]
    return [line(low, y, high, y, "error"), *caps]
