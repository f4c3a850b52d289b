"""``sslaudit augmentations``: which recipe draws the images of a class together, before any training."""

from typing import Annotated

import typer

from sslaudit.cli.evaluate import Format
from sslaudit.cli.guard import guarded, registry
from sslaudit.cli.options import read_override
from sslaudit.errors import UsageError

USUAL = "none,slides-a,slides-ab,slides-abc,slides-abcd,slides-abcde,simclr,byol"
"""No augmentation, the ablations of the paper, and two recipes in use."""


@guarded
def augmentations(
    data: Annotated[
        str,
        typer.Option("--data", metavar="DATA", help="A folder of images, or SCHEME:NAME."),
    ],
    recipes: Annotated[
        str, typer.Option(metavar="A,B,...", help="Names, or terms such as crop+flip; see `list recipes`.")
    ] = USUAL,
    metrics: Annotated[
        str, typer.Option(help="What is measured, of the data alone; the last one ranks.")
    ] = "concentration(quantile=0.25),concentration",
    views: Annotated[int, typer.Option(help="Views of each image, the plain one included.")] = 8,
    size: Annotated[str, typer.Option("--size", metavar="N|HxW", help="Size of the views in pixels.")] = "32",
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    max_images: Annotated[
        int | None, typer.Option(help="At most so many images, in proportion to the classes.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(help="At most so many images of each class and split.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
) -> int:
    """Rank recipes by concentration: how far their views draw the images of a class together."""
    if views < 2:
        raise UsageError(f"--views {views}: the first is the plain image, so a recipe shows from 2 on.")
    found = registry()
    from sslaudit.augmentations import rank_recipes
    from sslaudit.data import subset
    from sslaudit.loading import load_dataset
    from sslaudit.refs import split_outside
    from sslaudit.report.progress import Meter

    sides = read_override(size, None, None, None, None).size
    assert isinstance(sides, tuple)
    with Meter() as meter:
        meter.wait(f"opening {data}")
        chosen = subset(load_dataset(data, registry=found), max_images=max_images, per_class=per_class)
        ranking = rank_recipes(
            chosen,
            split_outside(recipes, ","),
            registry=found,
            metrics=metrics,
            views=views,
            seed=seed,
            size=sides,
            on_recipe=lambda recipe: meter.wait(f"measuring {recipe}"),
        )
    if format_ is Format.json:
        from sslaudit.report import strict_json

        typer.echo(strict_json.dumps(ranking).rstrip("\n"))
        return 0
    from sslaudit.report.recipes import table
    from sslaudit.report.terminal import console

    console().print(table(ranking))
    return 0
