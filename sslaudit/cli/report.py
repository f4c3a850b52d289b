"""``sslaudit report``: a card that was written before, shown again or explained."""

from pathlib import Path
from typing import Annotated

import typer

from sslaudit.cli.guard import guarded, registry


@guarded
def report(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="A folder with a card, or its card.json.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Show every row, also those that the first screen leaves out.")
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="The formula of a metric, with the numbers of this card."),
    ] = None,
) -> int:
    """Show a card again, or explain one of its metrics."""
    from sslaudit.report.card import read_card

    read = read_card(card)
    if explain is None:
        from sslaudit.report.terminal import console, render

        console().print(render(read, everything=everything))
        return 0
    from sslaudit.report.explain import explanation

    for line in explanation(read, explain, registry(), f"'{card}'").splitlines():
        typer.echo(line)
    return 0
