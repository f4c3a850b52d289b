"""Lines over a common axis, with bands, and the places on it that matter."""

from collections.abc import Sequence

from sslaudit.figures import Curve, Mark, Series
from sslaudit.report.drawing.axes import Axis, Frame, axis, frame_parts, room_for
from sslaudit.report.drawing.legend import ROW, Entry, legend
from sslaudit.report.drawing.primitives import (
    WIDTH,
    Drawing,
    colour,
    dash,
    line,
    nothing,
    path,
    symbol,
    text,
)
from sslaudit.report.drawing.text import fit, plain, safe, shown, whole, width

HEIGHT = 230.0
MOST_POINTS = 600
"""Of one line; of a longer one, the lowest and highest of each of 300 stretches are drawn."""
MOST_SERIES = 60
MARKED = 16
"""Points up to which each has a marker."""
MARK_ROWS = 5
MARK_ROOM = 220.0


def draw_curve(figure: Curve) -> Drawing:
    """One colour and dash for each series, with markers where they are few."""
    series = [s for s in figure.series[:MOST_SERIES] if s.x]
    said = f"Lines of {figure.y_label} over {figure.x_label}: {', '.join(s.name for s in series) or 'none'}"
    if not series:
        return nothing(said)
    ys = [v for s in series for column in (s.y, s.low, s.high) if column for v in column]
    zero = min(ys) >= 0 and min(ys) < max(ys) / 2
    left = room_for(ys, HEIGHT, zero=zero)
    xs = [*(v for s in series for v in s.x), *(mark.x for mark in figure.marks)]
    across = axis(xs, left, WIDTH - 10)
    parts, top, left_out = legend([Entry(_sample(s, i), s.name) for i, s in enumerate(series)], 0)
    above = top + (30 if figure.y_label else 8)
    marks, top = _marks(figure.marks, across, above, HEIGHT)
    frame = Frame(across, axis(ys, top + HEIGHT, top, zero=zero, round_to=True))
    parts += frame_parts(frame, figure.x_label, figure.y_label, apart=top - above)
    parts += [_band(s, i, frame) for i, s in enumerate(series) if s.low and s.high]
    parts += marks
    for i, one in enumerate(series):
        parts += series_parts(one, i, frame)
    remarks = []
    if left_out:
        remarks.append(f"{left_out} more lines are named on hovering.")
    if any(len(s.x) > MOST_POINTS for s in series):
        remarks.append("Of long lines the lowest and highest points of each stretch are drawn.")
    if len(figure.series) > MOST_SERIES:
        remarks.append(f"The first {MOST_SERIES} of {len(figure.series):,} lines are drawn.")
    return Drawing(parts, frame.below(bool(figure.x_label)) + 4, said, remarks)


def series_parts(series: Series, place: int, frame: Frame) -> list[str]:
    """The line of the series at ``place``, with what is exact on hovering where points are few."""
    title = f"<title>{whole(series.name)}</title>"
    points = [frame.place(x, y) for x, y in _thinned(series)]
    kind = f"series s{colour(place)}"
    parts = [f'<path class="{kind}" d="{path(points)}"{dash(place)}>{title}</path>']
    if len(points) > MARKED:
        return parts
    for i, (x, y) in enumerate(points):
        if len(points) == 1 and series.low and series.high:
            parts.append(
                line(x, frame.down.place(series.low[0]), x, frame.down.place(series.high[0]), "error")
            )
        said = f"{whole(series.name)}: {shown(series.x[i])}, {shown(series.y[i])}"
        if series.low and series.high:
            said += f" [{shown(series.low[i])}, {shown(series.high[i])}]"
        parts.append(symbol(x, y, place, 3.6, said))
    return parts


def _sample(series: Series, place: int) -> str:
    parts = [f'<path class="series s{colour(place)}" d="M-12 0L12 0"{dash(place)}/>']
    if series.low and series.high:
        parts.insert(0, f'<rect class="band f{colour(place)}" x="-12" y="-7" width="24" height="14"/>')
    if len(series.x) <= MARKED:
        parts.append(symbol(0, 0, place, 3.6))
    return "".join(parts)


def _thinned(series: Series) -> list[tuple[float, float]]:
    points = list(zip(series.x, series.y, strict=True))
    if len(points) <= MOST_POINTS:
        return points
    kept = {0, len(points) - 1}
    for k in range(MOST_POINTS // 2):
        stretch = _stretch(k, len(points))
        kept |= {min(stretch, key=series.y.__getitem__), max(stretch, key=series.y.__getitem__)}
    return [points[i] for i in sorted(kept)]


def _stretch(k: int, points: int) -> range:
    count = MOST_POINTS // 2
    return range(k * points // count, (k + 1) * points // count)


def _band(series: Series, place: int, frame: Frame) -> str:
    assert series.low is not None
    assert series.high is not None
    columns = list(zip(series.x, series.low, series.high, strict=True))
    if len(columns) > MOST_POINTS:
        columns = [
            (series.x[s[0]], min(series.low[i] for i in s), max(series.high[i] for i in s))
            for s in (_stretch(k, len(columns)) for k in range(MOST_POINTS // 2))
        ]
    around = [frame.place(x, high) for x, _, high in columns]
    around += [frame.place(x, low) for x, low, _ in reversed(columns)]
    return f'<path class="band f{colour(place)}" d="{path(around)}z"/>'


def _marks(marks: Sequence[Mark], across: Axis, top: float, height: float) -> tuple[list[str], float]:
    """Upright lines with their labels in rows above the plot, and where the plot begins."""
    if not marks:
        return [], top
    ends = [0.0] * MARK_ROWS  # how far to the right each row is taken
    found: list[tuple[Mark, float, float, int]] = []
    for mark in sorted(marks, key=lambda mark: (mark.x, mark.label)):
        x = across.place(mark.x)
        label = width(fit(mark.label, MARK_ROOM))
        left = max(0.0, min(x - label / 2, WIDTH - label))
        row = next((row for row, end in enumerate(ends) if left >= end), None)
        if row is None or not plain(mark.label).strip():
            found.append((mark, x, left, -1))
            continue
        ends[row] = left + label + 10
        found.append((mark, x, left, row))
    rows = 1 + max(row for *_, row in found)
    plot = top + ROW * rows
    parts, labels = [], []
    for mark, x, left, row in found:
        start = plot - 4 - ROW * row if row >= 0 else plot
        title = f"<title>{safe(mark.label)}: {shown(mark.x)}</title>"
        parts.append(f'<path class="mark" d="{path([(x, start), (x, plot + height)])}">{title}</path>')
        if row >= 0:
            labels.append(text(left, plot - 8 - ROW * row, mark.label, kind="halo", room=MARK_ROOM))
    return parts + labels, plot
