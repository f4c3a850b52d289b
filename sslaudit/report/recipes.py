"""Recipes side by side in a terminal, best first."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.numbers import number
from sslaudit.report import phrases, words

if TYPE_CHECKING:
    from sslaudit.augmentations import Ranking


def table(ranking: "Ranking") -> RenderableType:
    """One row for each recipe, one column for each metric; recipes that are not told apart share a place."""
    best = ranking.recipes[0].metrics
    rows = Table.grid(padding=(0, 3, 0, 0))
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(no_wrap=True)
    names = [f"{record.summary}, {words.beside(record)}".removesuffix(", ") for record in best]
    rows.add_row("", "recipe", *(Text(name, style="italic") for name in names))
    for place, one in zip(ranking.places, ranking.recipes, strict=True):
        cells = (f"{number(r.value or 0.0)} {words.interval(r)}" for r in one.metrics)
        rows.add_row(str(place), Text(phrases.cut(one.recipe, 28), style="bold"), *map(Text, cells))
    lines = [
        f"{one.recipe}: {said}." for one in ranking.recipes for said in one.metrics[-1].headline.values()
    ]
    if len(set(ranking.places)) < len(ranking.places):
        lines.append("Recipes with one place change their order from one half of the images to another.")
    first = ranking.recipes[0].recipe
    notes = [(f"{name}, of {first}", record.note) for name, record in zip(names, best, strict=True)]
    lines += [f"{what}: {note}" for what, note in notes if note]
    height, width = ranking.size
    about = (
        f"{ranking.data}: {ranking.images:,} images, {ranking.views} views of {height} x {width} px, "
        f"seed {ranking.seed}"
    )
    return Group(Text(about), Text(), rows, Text(), *map(Text, lines))
