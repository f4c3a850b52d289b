"""Counts between edges."""

from dataclasses import replace
from itertools import pairwise

from sslaudit.figures import Histogram
from sslaudit.report.drawing.axes import Frame, axis, frame_parts, room_for, total
from sslaudit.report.drawing.primitives import WIDTH, Drawing, box, nothing
from sslaudit.report.drawing.text import shown

HEIGHT = 200.0
MOST_BINS = 240


def draw_histogram(figure: Histogram) -> Drawing:
    """A box for each bin; where bins differ in width, its area is the count."""
    said = f"Histogram of {figure.x_label} in {len(figure.counts)} bins"
    if not figure.counts:
        return nothing(said)
    bins = [
        (min(a, b), max(a, b), n) for (a, b), n in zip(pairwise(figure.edges), figure.counts, strict=True)
    ]
    many = -(-len(bins) // MOST_BINS)
    remarks = [f"Boxes hold {many} bins each."] if many > 1 else []
    if many > 1:
        bins = [_merged(bins[k : k + many]) for k in range(0, len(bins), many)]
    widths = [high / 2 - low / 2 for low, high, _ in bins]
    even = max(widths) - min(widths) <= 1e-6 * max(widths)
    narrowest = min(filter(None, widths), default=0.0)
    heights = [n if even or not w else n * (narrowest / w) for (*_, n), w in zip(bins, widths, strict=True)]
    left = room_for(heights, HEIGHT, zero=True) if even else 10.0
    down = axis(heights, 26 + HEIGHT, 26, zero=True, round_to=True)
    if not even:
        remarks.append("Bins differ in width: areas, not heights, are counts.")
        down = replace(down, ticks=(), names=())
    frame = Frame(axis(figure.edges, left, WIDTH - 10), down)
    parts = frame_parts(frame, figure.x_label, "count" if even else "")
    ground = frame.down.place(0.0)
    for (low, high, count), height in zip(bins, heights, strict=True):
        x, end, y = frame.across.place(low), frame.across.place(high), frame.down.place(height)
        gap = 0.6 if end - x > 3 else 0.0
        title = f"{shown(low)} to {shown(high)}: {shown(count)}"
        parts.append(box(x + gap, min(y, ground), end - x - 2 * gap, abs(ground - y), "f0", title))
    return Drawing(parts, frame.below(bool(figure.x_label)) + 4, said, remarks)


def _merged(bins: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    low, high, counts = zip(*bins, strict=True)
    return min(low), max(high), total(counts)
