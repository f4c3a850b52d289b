"""``sslaudit report``: a card that was written before, shown again, explained, or as another file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.errors import OutputError, UsageError

if TYPE_CHECKING:
    from sslaudit.report.card import ReportCard

STDOUT = Path("-")


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
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page of the card; - is stdout.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tables for a README; - is stdout.")
    ] = None,
    hub_eval: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the accuracies as metadata of a Hugging Face model card; - is stdout."
        ),
    ] = None,
) -> int:
    """Show a card again, explain one of its metrics, or write it as a page, as Markdown, for the hub."""
    from sslaudit.report.card import read_card

    files = {"--html": html, "--markdown": markdown, "--hub-eval": hub_eval}
    asked = {option: file for option, file in files.items() if file is not None}
    if asked and explain is not None:
        raise UsageError(f"--explain prints to the terminal; write it without {', '.join(asked)}.")
    _refuse_unsafe(asked, card)
    read = read_card(card)
    if explain is not None:
        from sslaudit.report.explain import explanation
        from sslaudit.report.phrases import inert

        for line in explanation(read, explain, registry(), f"'{card}'").splitlines():
            typer.echo(inert(line))
    elif asked:
        texts = {file: _text(option, read, everything=everything) for option, file in asked.items()}
        if hub_eval is not None:
            _refuse_model_card(hub_eval)
        for file, text in texts.items():
            _write(file, text)
    else:
        from sslaudit.report.terminal import console, render

        console().print(render(read, everything=everything))
    return 0


def _text(option: str, card: "ReportCard", *, everything: bool) -> str:
    from sslaudit.report import html, hub, markdown

    renderings: dict[str, Callable[[], str]] = {
        "--html": lambda: html.page(card),
        "--markdown": lambda: markdown.markdown(card, everything=everything),
        "--hub-eval": lambda: hub.metadata(card),
    }
    return renderings[option]()


def _refuse_unsafe(asked: dict[str, Path], card: Path) -> None:
    """Raises ``UsageError`` for one file asked for twice, and for a file of the card itself."""
    folder = card if card.is_dir() else card.parent
    own = {file.resolve() for file in (card, folder / "card.json", folder / "samples.parquet")}
    places: dict[Path, str] = {}
    for option, file in asked.items():
        place = file if file == STDOUT else file.resolve()
        if place in places:
            raise UsageError(f"{places[place]} and {option} name the same file, {file}.")
        if place in own:
            raise UsageError(f"{option} {file} is the card itself; name another file.")
        places[place] = option


def _refuse_model_card(file: Path) -> None:
    """Raises ``OutputError`` where ``file`` holds more than results: a model card is not to be lost."""
    from sslaudit.report.hub import is_metadata

    if file == STDOUT or not file.is_file():
        return
    try:
        ours = is_metadata(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise OutputError(
            f"'{file}' holds more than results and is left as it is: name another file for --hub-eval, and "
            "put its model-index into the head of yours (huggingface_hub.metadata_update merges it)."
        )


def _write(file: Path, text: str) -> None:
    from sslaudit.whole import write_text

    if file == STDOUT:
        typer.echo(text, nl=False)
        return
    write_text(file, text)
    complain(f"wrote {file}")
