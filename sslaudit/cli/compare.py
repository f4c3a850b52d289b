"""``sslaudit compare``: cards of the same images, paired by image."""

from pathlib import Path
from typing import Annotated

import typer

from sslaudit.cli.evaluate import Format
from sslaudit.cli.guard import complain, guarded
from sslaudit.errors import UsageError


@guarded
def compare(
    cards: Annotated[
        list[Path], typer.Argument(metavar="CARD...", help="Two or more: folders with a card, or card.json.")
    ],
    metric: Annotated[
        str | None,
        typer.Option(metavar="TERM", help="The accuracy that decides; by default the first that all have."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Compare every number, also the minor ones.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with figures.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table or JSON here, not to stdout.")
    ] = None,
) -> int:
    """Say which encoder is better, whether that is sure, and which factor differs."""
    if len(cards) < 2:
        raise UsageError("a comparison takes two cards or more; name another.")
    if html is not None and output is not None and html.resolve() == output.resolve():
        raise UsageError(f"--html and --output name the same file, {html}.")
    from sslaudit.comparison.comparing import compare as compared
    from sslaudit.comparison.page import page
    from sslaudit.comparison.reading import read_cards
    from sslaudit.comparison.record import to_json
    from sslaudit.comparison.terminal import render
    from sslaudit.report.terminal import console

    _refuse_files(cards, html, output)
    read, names = read_cards(cards)
    found = compared(read, metric=metric, names=names)
    files = {} if html is None else {html: page(found)}
    if format_ is Format.json:
        text = to_json(found)
    else:
        screen = console()
        with screen.capture() as printed:
            screen.print(render(found, everything=everything))
        text = printed.get()
    if output is not None:
        files[output] = text
    for file, content in files.items():
        _write(file, content)
    if output is None:
        typer.echo(text, nl=False)
    return 0


def _refuse_files(cards: list[Path], *files: Path | None) -> None:
    """Raises ``UsageError`` for a file of a card, which is not to be lost."""
    parts = ("card.json", "samples.parquet", "card.html")
    own = {(card if card.is_dir() else card.parent).resolve() / part for card in cards for part in parts}
    for file in files:
        if file is None:
            continue
        if file.resolve() in own:
            raise UsageError(f"{file} is part of a card that is compared; name another file.")


def _write(file: Path, text: str) -> None:
    from sslaudit.whole import write_text

    write_text(file, text)
    complain(f"wrote {file}")
