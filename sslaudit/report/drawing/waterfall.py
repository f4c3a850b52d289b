"""Shares that add up to a total, against the limit that the total is to keep."""

from collections.abc import Sequence

from sslaudit.figures import Waterfall
from sslaudit.report.drawing.axes import axis, total
from sslaudit.report.drawing.bars import lay_out
from sslaudit.report.drawing.primitives import WIDTH, Drawing, box, line, text
from sslaudit.report.drawing.text import shown, whole, width

MOST_SHARES = 24


def draw_waterfall(figure: Waterfall) -> Drawing:
    """Each share begins where the last one ended; the limit is a line through all rows."""
    labels, values, remarks = _folded(figure.labels, figure.values)
    reached = total(values)
    sums = [total(values[:row]) for row in range(len(values))] + [reached]
    rows = lay_out([*labels, figure.total_label], [shown(v) for v in (*values, reached)], 30)
    across = axis([*sums, figure.limit], rows.left, rows.right, zero=True)
    parts = rows.below(across, figure.value_label)
    ground, limit = across.place(0.0), across.place(figure.limit)
    names = rows.words(len(values), "strong")
    for row, (label, value) in enumerate(zip(labels, values, strict=True)):
        start, end = across.place(sums[row]), across.place(sums[row + 1])
        y, thick = rows.bar(row)
        kind = "f0" if value >= 0 else "f0 faint"
        left, wide = min(start, end), max(abs(end - start), 1.0)
        parts.append(box(left, y, wide, thick, kind, f"{whole(label)}: {shown(value)}"))
        parts.append(line(end, y + thick, end, rows.bar(row + 1)[0], "lead"))
        names += rows.words(row)
    y, thick = rows.bar(len(values))
    end = across.place(reached)
    met = reached <= figure.limit
    title = f"{whole(figure.total_label)}: {shown(reached)}"
    parts.append(box(min(ground, end), y, max(abs(end - ground), 1.0), thick, "f2" if met else "f1", title))
    parts.append(line(ground, rows.top, ground, rows.bottom, "axis"))
    parts += _limit(figure, limit, rows.bottom)
    parts += names
    verdict = _verdict(figure, reached)
    said = f"{', '.join(f'{n} {shown(v)}' for n, v in zip(labels, values, strict=True))}. {verdict}"
    return Drawing(parts, rows.bottom + 44, said, [verdict, *remarks])


def _limit(figure: Waterfall, x: float, bottom: float) -> list[str]:
    words = f"{figure.limit_label} {shown(figure.limit)}".strip()
    half = min(1.1 * width(words), WIDTH) / 2  # strong letters are wider
    middle = max(half, min(x, WIDTH - half))
    title = f"<title>{whole(words)}</title>"
    return [
        f'<path class="mark" d="M{x:.1f} 20L{x:.1f} {bottom:.1f}">{title}</path>',
        text(middle, 14, words, "middle", "halo strong", WIDTH / 1.1),
    ]


def _verdict(figure: Waterfall, reached: float) -> str:
    """How the total stands to the limit, in words."""
    limit = figure.limit
    if reached <= limit:
        return f"The total, {shown(reached)}, is within the limit, {shown(limit)}."
    if limit <= 0:
        return (
            f"The total, {shown(reached)}, is above the limit, {shown(limit)}, which leaves no room at all."
        )
    if reached / 1e6 > limit:
        return f"The total, {shown(reached)}, is over a million times the limit, {shown(limit)}."
    times = reached / limit
    if times < 1.05:
        return f"The total, {shown(reached)}, is just above the limit, {shown(limit)}."
    often = f"{times:.1f}" if times < 10 else f"{times:,.0f}"
    return f"The total, {shown(reached)}, is {often} times the limit, {shown(limit)}."


def _folded(labels: Sequence[str], values: Sequence[float]) -> tuple[list[str], list[float], list[str]]:
    """Labels and values, the last of very many as one."""
    if len(labels) <= MOST_SHARES:
        return list(labels), list(values), []
    kept = MOST_SHARES - 1
    rest = f"{len(labels) - kept:,} others"
    return (
        [*labels[:kept], rest],
        [*values[:kept], total(values[kept:])],
        [f"The last bar but one is {rest}."],
    )
