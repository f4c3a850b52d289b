"""Scales in round steps, their ticks, and the frame that they make."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise

from sslaudit.report.drawing.primitives import WIDTH, line, text
from sslaudit.report.drawing.text import SIZE, decimal, width

_TINY = 1e-300
_SAME = 1e-6
"""Spread, as a share of the largest value, from which values are told apart on an axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` at the place ``start`` to ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    names: tuple[str, ...]

    def place(self, value: float) -> float:
        """Where ``value`` stands; halves, since differences of the largest numbers are infinite."""
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.start + (self.end - self.start) * share


def axis(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    zero: bool = False,
    pad: float = 0.0,
    round_to: bool = False,
) -> Axis:
    """An axis for ``values``.

    ``zero`` includes it; ``pad`` is the share of the range that is added on both sides; ``round_to`` lets it
    begin and end with a tick.
    """
    low, high = span(values, zero=zero)
    by = pad * (high / 2 - low / 2) * 2 if pad else 0.0
    low, high = _bounded(low - by), _bounded(high + by)
    step = _step(low, high, max(2, round(abs(end - start) / 50)))
    first, last = _steps(low, step, ROUND_CEILING), _steps(high, step, ROUND_FLOOR)
    if round_to:
        first, last = _steps(low, step, ROUND_FLOOR), _steps(high, step, ROUND_CEILING)
        low, high = min(low, _bounded(first * step)), max(high, _bounded(last * step))
    ticks = tuple(t for k in range(int(first), int(last) + 1) if math.isfinite(t := float(k * step)))
    reach = max(abs(low), abs(high))
    return Axis(low, high, start, end, ticks, tuple(_name(tick, step, reach) for tick in ticks))


def span(values: Iterable[float], *, zero: bool = False) -> tuple[float, float]:
    """The lowest and highest of ``values``, wider where all are the same."""
    found = [*values, *((0.0,) if zero else ())] or [0.0, 1.0]
    low, high = min(found), max(found)
    reach = max(abs(low), abs(high))
    if reach < _TINY:
        return (0.0 if zero else -1.0), 1.0
    if high / 2 - low / 2 <= reach * _SAME:
        return _bounded(low - reach / 10), _bounded(high + reach / 10)
    return low, high


def total(values: Sequence[float]) -> float:
    """The sum; the largest number there is where it is beyond that."""
    try:
        return math.fsum(values)
    except OverflowError:
        return _bounded(math.fsum(value / 1e9 for value in values) * 1e9)


def _bounded(value: float | Decimal) -> float:
    return max(-sys.float_info.max, min(sys.float_info.max, float(value)))


def _step(low: float, high: float, count: int) -> Decimal:
    """1, 2 or 5 times a power of ten, for at most about ``count`` steps."""
    rough = (Decimal(high) - Decimal(low)) / count
    power = Decimal(1).scaleb(rough.adjusted())
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rough * Decimal("0.999"))


def _steps(value: float, step: Decimal, rounding: str) -> Decimal:
    """``value`` in whole steps; what misses one by rounding has it."""
    slack = Decimal("1e-9") if rounding == ROUND_FLOOR else Decimal("-1e-9")
    return (Decimal(value) / step + slack).to_integral_value(rounding)


def _name(tick: float, step: Decimal, reach: float) -> str:
    digits = step.normalize().adjusted()
    if tick == 0:
        return "0"
    if reach >= 1e6 or digits < -5:
        return f"{tick:.{max(0, Decimal(tick).adjusted() - digits)}e}"
    return decimal(tick, max(0, -digits))


@dataclass(frozen=True, slots=True)
class Frame:
    """Two axes and where they stand."""

    across: Axis
    down: Axis

    @property
    def left(self) -> float:
        """The edge of the plot."""
        return min(self.across.start, self.across.end)

    @property
    def right(self) -> float:
        """The edge of the plot."""
        return max(self.across.start, self.across.end)

    @property
    def top(self) -> float:
        """The edge of the plot."""
        return min(self.down.start, self.down.end)

    @property
    def bottom(self) -> float:
        """The edge of the plot."""
        return max(self.down.start, self.down.end)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point stands."""
        return self.across.place(x), self.down.place(y)

    def below(self, labelled: bool = True) -> float:
        """The end of what stands under the plot."""
        return self.bottom + 20 + (20 if labelled else 0)


def room_for(values: Iterable[float], height: float, *, zero: bool = False) -> float:
    """What the names of the ticks of a vertical axis take at its left."""
    names = axis(values, height, 0, zero=zero, round_to=True).names
    return min(120.0, max(map(width, names), default=0.0) + 10)


def frame_parts(
    frame: Frame, x_label: str, y_label: str, *, upright: bool = False, apart: float = 0.0
) -> list[str]:
    """Grid, axes, names of ticks and of axes; that of the vertical one stands above it.

    ``upright`` draws a grid for the horizontal axis, too; ``apart`` leaves room between plot and name.
    """
    parts = []
    if y_label:
        parts.append(text(0, frame.top - 12 - apart, y_label, kind="soft"))
    for tick, name in zip(frame.down.ticks, frame.down.names, strict=True):
        y = frame.down.place(tick)
        parts += [line(frame.left, y, frame.right, y, "grid"), text(frame.left - 7, y + 5, name, "end")]
    for tick in frame.across.ticks:
        x = frame.across.place(tick)
        if upright:
            parts.append(line(x, frame.top, x, frame.bottom, "grid"))
        parts.append(line(x, frame.bottom, x, frame.bottom + 4, "axis"))
    parts.append(line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    return parts + names_across(frame.across, frame.bottom, x_label)


def names_across(across: Axis, bottom: float, label: str) -> list[str]:
    """The names of the ticks and of the axis under a plot that ends at ``bottom``."""
    edge = max(WIDTH, across.end)
    halves = [width(name) / 2 for name in across.names]
    places = [
        max(half, min(across.place(tick), edge - half))
        for tick, half in zip(across.ticks, halves, strict=True)
    ]
    parts = [text(places[i], bottom + 18, across.names[i], "middle") for i in _apart(places, halves)]
    if label:
        middle = (across.start + across.end) / 2
        room = 2 * min(middle, edge - middle)
        parts.append(text(middle, bottom + 38, label, "middle", "soft", room))
    return parts


def _apart(places: Sequence[float], halves: Sequence[float]) -> range:
    """Which names stand there so that none touches the next: every one, every second, ..."""
    for every in range(1, len(places) + 1):
        kept = range(0, len(places), every)
        if all(places[b] - places[a] >= halves[a] + halves[b] + SIZE / 2 for a, b in pairwise(kept)):
            return kept
    return range(0)
