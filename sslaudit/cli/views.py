"""``sslaudit views``: a picture of what a recipe does to your images."""

from pathlib import Path
from typing import Annotated

import typer

from sslaudit.cli.evaluate import ViewsMode
from sslaudit.cli.guard import guarded, registry
from sslaudit.cli.options import read_override
from sslaudit.cli.output import prepared
from sslaudit.errors import OutputError, UsageError


@guarded
def views(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of images, digits (embedded), or SCHEME:NAME.")
    ],
    recipe: Annotated[
        str, typer.Option(help="Augmentation: a name, or terms such as crop+flip; see `list recipes`.")
    ] = "simclr",
    views: Annotated[int, typer.Option(help="Views of each image, the plain one included.")] = 8,
    images: Annotated[int, typer.Option(help="Images, spread over the classes.")] = 8,
    size: Annotated[
        str, typer.Option("--size", metavar="N|HxW", help="Size of the views in pixels.")
    ] = "224",
    seed: Annotated[int, typer.Option(help="Seed of all draws, as of evaluate.")] = 0,
    views_mode: Annotated[
        ViewsMode, typer.Option(help="Each image draws its own transforms, or all share one bank.")
    ] = ViewsMode.per_image,
    output: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("views.png"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no contact sheet.")
    ] = False,
) -> int:
    """Draw a contact sheet: some of your images, and the views that a recipe makes of them."""
    _check(views, images, output)
    found = registry()
    from sslaudit.recipes import parse_recipe

    parsed = parse_recipe(recipe, found.recipes.usable())
    sides = read_override(size, None, None, None, None).size
    with prepared(output.parent):
        from sslaudit.data import subset
        from sslaudit.encoder import Preprocess
        from sslaudit.extraction import Extraction
        from sslaudit.extraction.pixels import PixelViews
        from sslaudit.loading import load_dataset
        from sslaudit.sheet import contact_sheet, is_sheet, write_sheet

        if output.exists() and not overwrite and not is_sheet(output):
            raise OutputError(f"'{output}' is no contact sheet; write --overwrite to replace it.")
        assert isinstance(sides, tuple)
        chosen = subset(load_dataset(data, registry=found), max_images=images)
        how = Extraction(recipe=parsed, views=views, seed=seed, views_mode=views_mode.value, batch_size=1)
        pixels = PixelViews(chosen, how, Preprocess(size=sides)).head(len(chosen))
        labels = chosen.labels if chosen.labels is not None else [0] * len(chosen)
        order = sorted(range(len(chosen)), key=lambda i: labels[i])
        names = [chosen.classes[labels[i]] if chosen.classes else "" for i in order]
        said = parsed.describe(sides)
        title = f"{parsed.key()}   {chosen.ref}, {sides[0]} x {sides[1]} px, seed {seed}"
        write_sheet(contact_sheet(pixels[order], names, title=title, description=said), output)
    shape = f"{len(chosen)} images x {views} views of {sides[0]} x {sides[1]} px"
    typer.echo(f"wrote {output}: {shape}, recipe {parsed.key()}, seed {seed}, {views_mode.value}; {said}")
    return 0


def _check(views: int, images: int, output: Path) -> None:
    if not 2 <= views <= 32:
        raise UsageError(
            f"--views {views}: the first is the plain image, so from 2 to 32 views make a sheet."
        )
    if not 1 <= images <= 100:
        raise UsageError(f"--images {images}: from 1 to 100 fit on a sheet.")
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: the sheet is a PNG; name a file that ends in .png.")
    if output.is_dir():
        raise OutputError(f"--output {output} is a folder; name the file to write.")
