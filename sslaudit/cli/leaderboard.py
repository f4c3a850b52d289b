"""``sslaudit leaderboard``: one page and tables of all cards in a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded
from sslaudit.cli.output import prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sslaudit.leaderboard.entries import Entry, Reported


@guarded
def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with cards, at any depth.")],
    output: Annotated[Path, typer.Option(metavar="SITE", help="Folder for the page and the tables.")],
    accuracy: Annotated[
        str | None,
        typer.Option(metavar="TERM", help="What ranks, such as knn; else the first accuracy of the cards."),
    ] = None,
    cards: Annotated[bool, typer.Option("--cards/--no-cards", help="Write a page for each card too.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files; they stay.")
    ] = False,
) -> int:
    """One page of all cards in a folder, sortable, with shared ranks; and leaderboard.csv, .parquet, .md.

    Encoders are ranked together where data, settings and metric versions are the same.
    """
    from sslaudit.leaderboard.boards import make_boards
    from sslaudit.leaderboard.entries import read_entries
    from sslaudit.leaderboard.site import check_site, write_site
    from sslaudit.report.phrases import plural

    check_site(output, folder, overwrite=overwrite)
    entries, left_out = read_entries(folder, figures=cards)
    boards = make_boards(entries, accuracy)
    for one in left_out:
        complain(f"left out: {one.reason}")
    with prepared(output):
        write_site(output, boards, left_out, _reported(entries), pages=cards)
    encoders = sum(len(board.standings) for board in boards)
    typer.echo(
        f"{plural(encoders, 'encoder', 'encoders')} on {plural(len(boards), 'board', 'boards')}, "
        f"from {plural(len(entries), 'card', 'cards')}"
    )
    typer.echo(f"wrote {output / 'index.html'}")
    typer.echo(f"and {', '.join(str(output / f'leaderboard.{end}') for end in ('csv', 'parquet', 'md'))}")
    return 0


def _reported(entries: "Sequence[Entry]") -> "list[Reported]":
    """What papers report of the encoders that have a card here and a name in the registry."""
    from sslaudit.leaderboard.entries import Reported
    from sslaudit.named.models import models

    encoders = {part for entry in entries for part in (entry.card.encoder.digest, entry.name)}
    return [
        Reported(
            model=model.name,
            source=", ".join(filter(None, (one.source, one.place))),
            data=one.data,
            metric=one.protocol,
            value=one.value,
            note=one.unit,
        )
        for model in models()
        if encoders & ({model.digest, model.ref, model.name} - {""})
        for one in model.reported
    ]
