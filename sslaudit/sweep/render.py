"""A table as text: in a terminal at 80 columns, as Markdown, as CSV. JSON is the record itself."""

import csv
import io
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from sslaudit.sweep import sentences as say
from sslaudit.sweep.suite import Published
from sslaudit.sweep.table import Cell, GoesWith, Measured, Table

REPORTED = "reported, not measured here"
_LONGEST = 16
"""Letters that names and heads are given beside numbers, which are never cut."""

_Columns = list[tuple[tuple[str, str], tuple[str, ...]]]
"""The two lines of a head, and a number for each row."""


def terminal(table: Table) -> RenderableType:
    """The table, what it shows, and below it what others reported."""
    blocks: list[RenderableType] = [Text(say.title(table)), Text(f"data {table.data}, from {table.source}")]
    for method in table.methods:
        blocks += [Text(), _measured([cell for cell in table.cells if cell.method == method])]
    if table.cells:
        lines = [*say.reading(table), *table.notes, *say.same_views(table)]
        blocks += [Text(), *map(Text, lines), Text(), *map(Text, say.order(table))]
        blocks += [Text(), _correlations(table), *map(Text, say.correlations(table))]
    if missing := say.left_out(table):
        blocks += [Text(), *map(Text, missing)]
    for reported in table.published:
        blocks += [Text(), _reported(reported)]
    blocks += map(Text, dict.fromkeys(reported.note for reported in table.published if reported.note))
    return Group(*blocks)


def markdown(table: Table) -> str:
    """The whole result as GitHub reads it."""
    parts = [f"# {table.summary}", f"{say.title(table)}. Data `{table.data}`. Source: {table.source}."]
    if table.cells:
        known = table.cells[0]
        names = [say.heading(one) for one in known.against]
        rows = [
            [cell.method, cell.row, *(_whole(one) for one in (cell.accuracy, *cell.against))]
            for cell in table.cells
        ]
        parts.append(_grid(["method", "row", say.heading(known.accuracy), *names], rows))
        parts += [_list([*say.reading(table), *table.notes, *say.same_views(table)])]
        parts += ["## Order of the rows", _list([line.strip() for line in say.order(table)])]
        ranks = [[one.method, _name(one), *say.rank(one)] for one in table.correlations]
        parts += [
            "## What goes with accuracy",
            _grid(["method", "metric", "Spearman", "p", "Kendall", "p"], ranks),
        ]
        parts += [_list(say.correlations(table))]
    if missing := say.left_out(table):
        parts += ["## Left out", _list(missing)]
    for reported in table.published:
        rows = [[name, *map(_mean_and_deviation, cells)] for name, cells in reported.rows.items()]
        parts += [f"## {reported.data}: {REPORTED}", f"{reported.source}. {reported.note}".strip()]
        parts.append(_grid(["row", *reported.columns], rows))
    return "\n\n".join(parts) + "\n"


def comma_separated(table: Table) -> str:
    """One line for each method, row and metric; empty where there is no number."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    head = ("suite", "scale", "data", "method", "row", "metric", "mean", "seeds")
    writer.writerow([*head, "seeds_low", "seeds_high", "images_low", "images_high", "by_seed"])
    for cell in table.cells:
        for one in (cell.accuracy, *cell.against):
            limits = [
                limit
                for i in (one.over_seeds, one.over_images)
                for limit in ((i.low, i.high) if i else ("", ""))
            ]
            by_seed = " ".join(f"{seed}:{value!r}" for seed, value in one.seeds.items())
            mean = "" if one.value is None else one.value
            where = (table.suite, table.scale, table.data, cell.method, cell.row)
            writer.writerow([*where, one.term, mean, len(one.seeds), *limits, by_seed])
    return lines.getvalue()


def _measured(cells: Sequence[Cell]) -> RenderableType:
    """The rows of one method: accuracy and the first metric with intervals, the others by value.

    Metrics that 80 columns do not take stand in further lines.
    """
    heads = [("accuracy", ""), *map(_two_lines, cells[0].against)]
    shown = [
        [_whole(cell.accuracy), _whole(cell.against[0]), *map(say.value, cell.against[1:])] for cell in cells
    ]
    names = min(max(len(cell.row) for cell in cells), _LONGEST)
    blocks, room = list[_Columns](), 0
    for head, values in zip(heads, zip(*shown, strict=True), strict=True):
        width = max(*map(len, values), min(max(map(len, head)), _LONGEST)) + 1
        if width > room:
            blocks.append([])
            room = 80 - 2 - names
        blocks[-1].append((head, values))
        room -= width
    return Group(Text(cells[0].method, style="bold"), *(_block(cells, block) for block in blocks))


def _block(cells: Sequence[Cell], columns: _Columns) -> RenderableType:
    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_column(overflow="fold")
    for _, values in columns:
        grid.add_column(no_wrap=True, min_width=max(map(len, values)))
    for line in (0, 1):
        grid.add_row("", *(Text(head[line]) for head, _ in columns))
    for place, cell in enumerate(cells):
        grid.add_row(Text(f" {cell.row}"), *(Text(values[place]) for _, values in columns))
    return grid


def _two_lines(measured: Measured) -> tuple[str, str]:
    """The head of a narrow column."""
    label = measured.label.partition(",")[0]
    if measured.at:
        return label, measured.at
    first, _, rest = label.partition(" ")
    return first, rest


def _correlations(table: Table) -> RenderableType:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_row("goes with accuracy over rows", "", "Spearman", "p", "Kendall", "p")
    for one in table.correlations:
        grid.add_row(Text(f"  {_name(one)}"), Text(one.method), *map(Text, say.rank(one)))
    return grid


def _reported(reported: Published) -> RenderableType:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_row("", *map(Text, reported.columns))
    for name, cells in reported.rows.items():
        grid.add_row(Text(f"  {name}"), *(Text(_mean_and_deviation(cell)) for cell in cells))
    return Group(Text(f"{reported.data} ({REPORTED}): {reported.source}"), grid)


def _name(one: GoesWith) -> str:
    return ", ".join(filter(None, [one.label.partition(",")[0], one.at]))


def _whole(measured: Measured) -> str:
    """A value with both of its intervals."""
    return " ".join(
        filter(None, [say.value(measured), say.reach(measured.over_seeds), say.span(measured.over_images)])
    )


def _mean_and_deviation(cell: tuple[float, float]) -> str:
    return f"{cell[0]:.2f} +- {cell[1]:.2f}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
