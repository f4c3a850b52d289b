"""Groups of points in a plane, some of them joined."""

from collections.abc import Sequence
from dataclasses import replace

from sslaudit.figures import Points, Scatter, Series
from sslaudit.report.drawing.axes import Axis, Frame, axis, frame_parts, room_for
from sslaudit.report.drawing.legend import Entry, legend
from sslaudit.report.drawing.names import Named, names_beside
from sslaudit.report.drawing.primitives import WIDTH, Drawing, colour, marker, nothing, path, symbol
from sslaudit.report.drawing.text import shown, whole

HEIGHT = 320.0
MOST_POINTS = 4000
MOST_LINES = 1000
FEW = 16
"""Points up to which each has its label beside it."""
NAME_ROOM = 170.0


def draw_scatter(figure: Scatter) -> Drawing:
    """One colour and marker for each group; labels beside the points where they are few, else on hovering."""
    groups = [group for group in figure.groups if group.x]
    count = sum(len(group.x) for group in groups)
    said = f"{count:,} points of {figure.y_label} over {figure.x_label}: {', '.join(g.name for g in groups)}"
    if not count:
        return nothing(said)
    kept = [_kept(group, count) for group in groups]
    lines = [one for one in figure.lines if one.x][:MOST_LINES]
    drawn: list[Points | Series] = [*groups, *lines]
    xs = [v for one in drawn for v in one.x]
    ys = [v for one in drawn for v in one.y]
    named = [group for group in groups if group.name]
    places = {group.name: i for i, group in reversed(list(enumerate(groups)))}
    samples = (
        [Entry(symbol(0, 0, places[g.name], 4.5), g.name) for g in named]
        if len(named) > 1 or count > FEW
        else []
    )
    parts, top, left_out = legend(samples, 0)
    top += 30 if figure.y_label else 8
    left = room_for(ys, HEIGHT)
    height = HEIGHT
    if figure.equal:
        height = _height(xs, ys, WIDTH - 10 - left)
    frame = Frame(axis(xs, left, WIDTH - 10, pad=0.04), axis(ys, top + height, top, pad=0.05))
    if figure.equal:
        frame = _equal(frame)
    parts += frame_parts(frame, figure.x_label, figure.y_label, upright=True)
    for one in lines:
        kind = f"thin s{colour(places[one.name])}" if one.name in places else "lead"
        points = [frame.place(x, y) for x, y in zip(one.x, one.y, strict=True)]
        parts.append(f'<path class="{kind}" d="{path(points)}"/>')
    r = 5.0 if count <= 60 else 3.6 if count <= 1000 else 2.6
    for i, (group, chosen) in enumerate(zip(groups, kept, strict=True)):
        few = bool(group.labels) and len(group.x) <= FEW < count
        parts += _group(group, chosen, i, frame, 6.5 if few else r, "points few" if few else "points")
    if count <= FEW:
        parts += _names(groups, frame)
    return Drawing(
        parts, frame.below(bool(figure.x_label)) + 4, said, _remarks(figure, kept, count, left_out)
    )


def _remarks(figure: Scatter, kept: Sequence[range | list[int]], count: int, left_out: int) -> list[str]:
    remarks = []
    if (drawn := sum(map(len, kept))) < count:
        remarks.append(f"{drawn:,} of {count:,} points are drawn, evenly from each group.")
    if left_out:
        remarks.append(f"{left_out:,} more groups are named on hovering over their points.")
    if len(figure.lines) > MOST_LINES:
        remarks.append(f"The first {MOST_LINES:,} of {len(figure.lines):,} lines are drawn.")
    return remarks


def _kept(group: Points, count: int) -> list[int]:
    """Which points of ``group`` are drawn: all, or evenly spaced ones, at least one."""
    here = len(group.x)
    if count <= MOST_POINTS:
        return list(range(here))
    most = max(1, here * MOST_POINTS // count)
    return [i * here // most for i in range(most)]


def _group(group: Points, chosen: Sequence[int], place: int, frame: Frame, r: float, kind: str) -> list[str]:
    """The markers of one group; a few labelled ones among many have an outline."""
    parts = [f'<g class="{kind} f{colour(place)}">']
    of = whole(group.name, 24)
    for i in chosen:
        x, y = frame.place(group.x[i], group.y[i])
        label = whole(group.labels[i], 32) if group.labels else ""
        said = ", ".join(filter(None, (label, of))) or f"{shown(group.x[i])}, {shown(group.y[i])}"
        parts.append(f'<path d="{marker(x, y, place, r)}"><title>{said}</title></path>')
    return [*parts, "</g>"]


def _names(groups: Sequence[Points], frame: Frame) -> list[str]:
    points = [
        Named(*frame.place(x, y), label)
        for group in groups
        for x, y, label in zip(group.x, group.y, group.labels or (group.name,) * len(group.x), strict=True)
        if group.labels or len(group.x) == 1
    ]
    taken = [
        (px - 6, py - 6, px + 6, py + 6)
        for group in groups
        for px, py in (frame.place(x, y) for x, y in zip(group.x, group.y, strict=True))
    ]
    return names_beside([point for point in points if point.name.strip()], taken, frame, NAME_ROOM)


def _height(xs: Sequence[float], ys: Sequence[float], across: float) -> float:
    """As the data want it, within what fits a page."""
    wide, high = (max(v) / 2 - min(v) / 2 for v in (xs, ys))
    return max(180.0, min(across * 1.15, across * min(high / wide, 9.0) if wide > 0 else across))


def _equal(frame: Frame) -> Frame:
    """The same, with the axis that has room to spare made longer on both sides."""
    across, down = frame.across, frame.down
    per_x = (across.high / 2 - across.low / 2) / (frame.right - frame.left)
    per_y = (down.high / 2 - down.low / 2) / (frame.bottom - frame.top)
    if per_x > per_y:
        return replace(frame, down=_longer(down, per_x))
    return replace(frame, across=_longer(across, per_y))


def _longer(one: Axis, per_unit: float) -> Axis:
    """With ``per_unit`` halves of the values' unit for each unit of the drawing."""
    middle = one.low / 2 + one.high / 2
    half = per_unit * abs(one.end - one.start)
    return axis([max(-1.7e308, middle - half), min(1.7e308, middle + half)], one.start, one.end)
