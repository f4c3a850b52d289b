"""Pieces of SVG: lines, names, boxes, markers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sslaudit.report.drawing.style import COLOURS
from sslaudit.report.drawing.text import fit, plain, safe, whole

WIDTH = 480.0
"""Units across a figure: pixels on a page that gives it 30rem."""
SHAPES = 7
DASHES = ("", "7 4", "2 4", "9 3 2 3", "12 5", "4 2 1 2")


@dataclass(frozen=True, slots=True)
class Drawing:
    """What was drawn of a figure, ``WIDTH`` across."""

    parts: Sequence[str]
    height: float
    said: str
    """What it shows, for those who do not see it."""
    remarks: Sequence[str] = ()
    """Sentences under it."""


def nothing(said: str) -> Drawing:
    """In place of a figure without values."""
    return Drawing([text(0, 20, "no values to draw", kind="soft")], 28, said)


def px(value: float) -> str:
    """A place, to a tenth of a unit."""
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight one."""
    return f'<path class="{kind}" d="M{px(x1)} {px(y1)}L{px(x2)} {px(y2)}"/>'


def path(points: Iterable[tuple[float, float]]) -> str:
    """The data of a line through ``points``."""
    return "M" + "L".join(f"{px(x)} {px(y)}" for x, y in points)


def box(x: float, y: float, across: float, down: float, kind: str, title: str = "", more: str = "") -> str:
    """A filled one, with markup that hovering shows."""
    inside = f"><title>{title}</title></rect>" if title else "/>"
    where = f'x="{px(x)}" y="{px(y)}" width="{px(max(across, 0.0))}" height="{px(max(down, 0.0))}"'
    return f'<rect class="{kind}" {where}{more}{inside}'


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    kind: str = "",
    room: float = WIDTH,
    turn: int = 0,
    short: str | None = None,
) -> str:
    """``words``, or ``short`` in their place, in at most ``room`` units; what is cut is whole on hovering.

    ``turn`` is in degrees.
    """
    short = fit(words if short is None else short, room)
    more = "" if anchor == "start" else f' text-anchor="{anchor}"'
    more += f' class="{kind}"' if kind else ""
    more += f' transform="rotate({turn} {px(x)} {px(y)})"' if turn else ""
    title = f"<title>{whole(words)}</title>" if short != plain(words) else ""
    return f'<text x="{px(x)}" y="{px(y)}"{more}>{safe(short)}{title}</text>'


def marker(x: float, y: float, place: int, r: float) -> str:
    """The data of the marker of the group at ``place``, round (x, y)."""
    a, b, c, d = px(r * 0.9), px(r * 1.1), px(r * 0.4), px(r * 1.3)
    wide, high = px(r * 1.8), px(r * 2.2)
    gap, far = px(r * 0.8), px(r * 0.7)
    shape = (
        f"m-{px(r)} 0a{px(r)} {px(r)} 0 1 0 {px(2 * r)} 0a{px(r)} {px(r)} 0 1 0-{px(2 * r)} 0",
        f"m-{a}-{a}h{wide}v{wide}h-{wide}z",
        f"m0-{b}l{b} {px(r * 2)}h-{high}z",
        f"m0-{d}l{d} {d}l-{d} {d}l-{d}-{d}z",
        f"m0 {b}l{b}-{px(r * 2)}h-{high}z",
        f"m-{c}-{px(r * 1.2)}h{gap}v{gap}h{gap}v{gap}h-{gap}v{gap}h-{gap}v-{gap}h-{gap}v-{gap}h{gap}z",
        f"m-{b} 0l{far}-{b}h{gap}l{far} {b}l-{far} {b}h-{gap}z",
    )[place % SHAPES]
    return f"M{px(x)} {px(y)}{shape}"


def symbol(x: float, y: float, place: int, r: float, title: str = "") -> str:
    """The marker of the group at ``place`` in its colour, with markup that hovering shows."""
    inside = f"><title>{title}</title></path>" if title else "/>"
    return f'<path class="f{colour(place)}" d="{marker(x, y, place, r)}"{inside}'


def colour(place: int) -> int:
    """Which colour the group at ``place`` has."""
    return place % COLOURS


def dash(place: int) -> str:
    """The attribute that breaks the line of the series at ``place``."""
    pattern = DASHES[place % len(DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""
