"""Heat maps in one hue."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from sslaudit.figures import Matrix
from sslaudit.report.drawing.axes import span
from sslaudit.report.drawing.primitives import WIDTH, Drawing, box, nothing, px, text
from sslaudit.report.drawing.style import FULL_HEAT, HEAT_STEPS
from sslaudit.report.drawing.text import SIZE, decimal, fit, plain, shown, told_apart, whole, width

NAME_ROOM = 108.0
MOST_CELLS = 1600
"""Cells up to which each says its value on hovering."""
PRINTED = 12
"""Columns up to which cells hold their values."""
MOST_ROWS = 320
"""Rows and columns up to which each is drawn; more are averaged."""
LINE = SIZE + 1.0


def draw_matrix(figure: Matrix) -> Drawing:
    """Names at the left and above, the scale on top; cells of one colour are one path where they are many."""
    rows, columns, values = figure.rows, figure.columns, figure.values
    said = f"Heat map of {figure.value_label}, {len(rows)} rows and {len(columns)} columns"
    if not rows or not columns:
        return nothing(said)
    remarks = []
    if max(len(rows), len(columns)) > MOST_ROWS:
        rows, columns, values, said_of = _coarser(rows, columns, values)
        remarks.append(said_of)
    n, m = len(rows), len(columns)
    trivial = _diagonal(rows, columns, values)
    low, high = span(
        [v for i, row in enumerate(values) for j, v in enumerate(row) if not (trivial and i == j)]
    )
    short = told_apart([*rows, *columns], NAME_ROOM)
    left = max(_name_width(short[name]) for name in rows) + 8
    across = min(56.0, (WIDTH - left) / m)
    down = max(LINE, min(across, 34.0)) if n <= 48 else min(LINE, max(across, WIDTH / n))
    parts, top = _scale(figure.value_label, low, high)
    named, top = _columns(columns, short, left, across, top)
    parts += named
    every = ceil(LINE / down - 1e-9)
    for i in range(0, n, every):
        y = top + (i + 0.5) * down + 5
        parts.append(text(left - 6, y, rows[i], "end", room=NAME_ROOM, short=short[rows[i]]))
    steps = [[_step(v, low, high) for v in row] for row in values]
    if trivial:
        for i in range(n):
            steps[i][i] = -1
        remarks.append(f"The diagonal is {shown(values[0][0])} throughout and left without colour.")
    if n * m <= MOST_CELLS:
        printed = _printed(values, across - 2) if m <= PRINTED and down >= LINE else None
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                title = f"{whole(short[rows[i]], 60)}, {whole(short[columns[j]], 60)}: {shown(value)}"
                parts.append(_cell(left + j * across, top + i * down, across, down, steps[i][j], title))
        if printed:
            parts += _values(printed, steps, left, top, across, down)
    else:
        where = f"translate({px(left)} {px(top)}) scale({across:.4f} {down:.4f}) translate(0 .5)"
        parts.append(f'<g class="heat-lines" shape-rendering="crispEdges" transform="{where}">')
        parts += _runs(steps)
        parts.append("</g>")
        remarks.append(f"{n * m:,} cells: values are shown by colour alone, in {HEAT_STEPS} steps.")
    if every > 1 or across + 1e-9 < LINE:
        remarks.append("There is no room for every name.")
    frame = f'd="M{px(left)} {px(top)}h{px(across * m)}v{px(down * n)}h-{px(across * m)}z"'
    parts.append(f'<path class="grid" {frame}/>')
    return Drawing(parts, top + down * n + 4, f"{said}, from {shown(low)} to {shown(high)}", remarks)


def _name_width(name: str) -> float:
    return width(fit(name, NAME_ROOM))


def _opacity(step: int) -> str:
    """Of the hue over the ground."""
    return f"{0.04 + 0.96 * step / (HEAT_STEPS - 1):.2f}"


def _step(value: float, low: float, high: float) -> int:
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return max(0, min(HEAT_STEPS - 1, round(share * (HEAT_STEPS - 1))))


def _cell(x: float, y: float, across: float, down: float, step: int, title: str) -> str:
    if step < 0:
        return box(x, y, across, down, "clear", title)
    return box(x, y, across, down, "heat", title, f' fill-opacity="{_opacity(step)}"')


def _scale(label: str, low: float, high: float) -> tuple[list[str], float]:
    """What the colours mean, and where that ends."""
    parts = [text(0, 14, label, kind="soft")]
    least, most = shown(low), shown(high)
    x = width(least) + 8
    for step in range(HEAT_STEPS):
        parts.append(box(x + 7 * step, 24, 7, 12, "heat", more=f' fill-opacity="{_opacity(step)}"'))
    end = x + 7 * HEAT_STEPS
    parts += [text(0, 35, least), text(end + 8, 35, most)]
    parts.append(f'<path class="grid" d="M{px(x)} 24H{px(end)}V36H{px(x)}z"/>')
    return parts, 48.0


def _columns(
    columns: Sequence[str], short: Mapping[str, str], left: float, across: float, top: float
) -> tuple[list[str], float]:
    """The names of columns, turned where they are wider than a column, and where cells begin."""
    every = ceil(LINE / across - 1e-9)
    if every == 1 and all(width(plain(name)) <= across - 3 for name in columns):
        middle = [left + (j + 0.5) * across for j in range(len(columns))]
        return [text(x, top + 12, name, "middle") for x, name in zip(middle, columns, strict=True)], top + 20
    height = max(_name_width(short[name]) for name in columns[::every]) + 8
    places = [left + (j + 0.5) * across + 5 for j in range(0, len(columns), every)]
    if len(places) > 1 and places[-1] > WIDTH - 3:
        places[-1] = WIDTH - 3 if WIDTH - 3 - places[-2] >= SIZE * 0.8 else 0.0
    return [
        text(x, top + height - 6, name, room=NAME_ROOM, turn=-90, short=short[name])
        for x, name in zip(places, columns[::every], strict=True)
        if x
    ], top + height


def _printed(values: Sequence[Sequence[float]], room: float) -> list[list[str]] | None:
    """Values with as many decimals as fit into every cell; None where none does."""
    flat = [abs(value) for row in values for value in row]
    if all(value == int(value) for value in flat) and max(flat) < 1e5:
        decimals: tuple[int, ...] = (0,)
    else:
        decimals = tuple(d for d in (3, 2, 1) if 10 <= max(flat) * 10**d < 1e7)
    for d in decimals:
        texts = [[decimal(value, d) for value in row] for row in values]
        if max(width(one) for row in texts for one in row) <= room:
            return texts
    return None


def _values(
    printed: Sequence[Sequence[str]],
    steps: Sequence[Sequence[int]],
    left: float,
    top: float,
    across: float,
    down: float,
) -> Iterator[str]:
    for i, row in enumerate(printed):
        for j, value in enumerate(row):
            kind = "soft" if steps[i][j] < 0 else "on" if steps[i][j] < FULL_HEAT else "on-full"
            yield text(left + (j + 0.5) * across, top + (i + 0.5) * down + 5, value, "middle", kind)


def _runs(steps: Sequence[Sequence[int]]) -> Iterator[str]:
    """One path of strokes for each colour; neighbours in a row are one stroke."""
    strokes: dict[int, list[str]] = {}
    for i, row in enumerate(steps):
        start = 0
        for j in range(1, len(row) + 1):
            if j == len(row) or row[j] != row[start]:
                strokes.setdefault(row[start], []).append(f"M{start} {i}h{j - start}")
                start = j
    for step in sorted(strokes):
        if step >= 0:
            yield f'<path stroke-opacity="{_opacity(step)}" d="{"".join(strokes[step])}"/>'


def _diagonal(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> bool:
    """Whether the diagonal is each class with itself and says nothing, being the same throughout."""
    if len(rows) < 3 or tuple(rows) != tuple(columns):
        return False
    diagonal = [values[i][i] for i in range(len(rows))]
    return max(diagonal) / 2 - min(diagonal) / 2 <= 1e-9 * max(map(abs, diagonal))


def _coarser(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]
) -> tuple[list[str], list[str], list[list[float]], str]:
    """Means of blocks of cells, so that at most ``MOST_ROWS`` rows and columns are left."""
    tall, wide = ceil(len(rows) / MOST_ROWS), ceil(len(columns) / MOST_ROWS)
    means = []
    for i in range(0, len(rows), tall):
        block = values[i : i + tall]
        sums = [sum(v / len(block) for v in column) for column in zip(*block, strict=True)]
        chunks = (sums[j : j + wide] for j in range(0, len(columns), wide))
        means.append([sum(v / len(chunk) for v in chunk) for chunk in chunks])
    said = f"Each cell is the mean of up to {tall} x {wide} of {len(rows):,} x {len(columns):,} values."
    return list(rows[::tall]), list(columns[::wide]), means, said
