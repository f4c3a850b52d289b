"""Names of series and groups, above what they name."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslaudit.report.drawing.primitives import WIDTH, text
from sslaudit.report.drawing.text import SIZE, fit, told_apart, width

ROW = 21.0
_SAMPLE = 30.0
"""Room for the sample of a line or marker before its name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample, drawn round (0, 0), 24 across, and its name."""

    sample: str
    name: str


def legend(
    entries: Sequence[Entry], top: float, across: float = WIDTH, rows: int = 6
) -> tuple[list[str], float, int]:
    """Parts, where they end, and how many entries found no room in ``rows`` rows."""
    parts: list[str] = []
    x, y, room = 0.0, top, across - _SAMPLE
    short = told_apart([entry.name for entry in entries], room)
    for i, entry in enumerate(entries):
        name = fit(short[entry.name], room)
        takes = _SAMPLE + width(name)
        if x and x + takes > across:
            x, y = 0.0, y + ROW
        if y >= top + rows * ROW:
            return parts, y, len(entries) - i
        parts.append(f'<g transform="translate({x + 13:g} {y + ROW / 2:g})">{entry.sample}</g>')
        parts.append(text(x + _SAMPLE, y + ROW / 2 + SIZE * 0.35, entry.name, room=room, short=name))
        x = round(x + takes + 16)
    return parts, y + ROW if parts else top, 0
