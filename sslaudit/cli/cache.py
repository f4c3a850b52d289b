"""``sslaudit cache``: what features and reference encoders lie on disk, and how to be rid of them."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import guarded
from sslaudit.errors import UsageError

if TYPE_CHECKING:
    from sslaudit.shelf import Entry

Folder = Annotated[Path | None, typer.Option("--cache", help="The cache (default: the user's).")]

cache = typer.Typer(
    name="cache", help="Features and references kept on disk: list them, remove them.", no_args_is_help=True
)

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@cache.command("ls")
@guarded
def ls(folder: Folder = None) -> None:
    """List the features and the reference encoders in the cache, last used first."""
    from sslaudit.shelf import entries

    place = _place(folder)
    _show(entries(place), f"in {place}")


@cache.command("prune")
@guarded
def prune(
    folder: Folder = None,
    unused: Annotated[
        float | None, typer.Option(metavar="DAYS", help="What was not used for so many days.")
    ] = None,
    below: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The longest unused, until so much is left: 20GB.")
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="What a run did not finish.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
) -> None:
    """Remove features and references from the cache. A run that needs them makes them again."""
    from sslaudit.shelf import prune as remove

    if unused is None and below is None and not unfinished and not everything:
        raise UsageError("say what to remove: --unused DAYS, --below SIZE, --unfinished or --all.")
    if unused is not None and not 0 <= unused < float("inf"):
        raise UsageError(f"--unused {unused:g} is not a number of days.")
    place = _place(folder)
    removed = remove(
        place,
        days=unused,
        below=None if below is None else _bytes(below),
        unfinished=unfinished,
        everything=everything,
    )
    _show(removed, f"removed from {place}")


def _place(folder: Path | None) -> Path:
    from sslaudit.store import default_cache

    return default_cache() if folder is None else folder


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--below {text} is no size: write --below 20GB or --below 500MB.")
    unit = {name.lower(): factor for name, factor in _UNITS.items()}[match[2].lower()]
    return int(float(match[1]) * unit)


def _show(found: list["Entry"], where: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from sslaudit.report import phrases
    from sslaudit.report.terminal import console

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("encoder", "data", "recipe", "views", "size", "last used"):
        table.add_column(column, justify="right" if column in ("views", "size") else "left")
    alike: dict[tuple[str, ...], list[Entry]] = {}
    for entry in found:
        alike.setdefault(_cells(entry), []).append(entry)
    for (name, *cells, used), some in alike.items():
        count = (
            f" ({len(some)} {'sets' if some[0].kind == 'features' else 'of them'})" if len(some) > 1 else ""
        )
        size = phrases.size(sum(entry.bytes for entry in some))
        table.add_row(*map(Text, (name + count, *cells, size, used)))
    out = console()
    if found:
        out.print(table)
        out.print()
    total = phrases.size(sum(entry.bytes for entry in found))
    references = sum(entry.kind == "reference" for entry in found)
    counts = phrases.plural(len(found) - references, "set of features", "sets of features")
    if references:
        counts += f" and {phrases.plural(references, 'reference', 'references')}"
    out.print(Text(f"{counts}, {total}, {where}"))


def _cells(entry: "Entry") -> tuple[str, ...]:
    """What a row says of an entry, but for its size: encoder, data, recipe, views, last use."""
    from sslaudit.report import phrases

    about = entry.about
    name = phrases.cut(str(about.get("encoder", entry.folder.name[:12])), 24)
    if not entry.whole:
        unit = "epochs" if entry.kind == "reference" else "parts"
        name += f" ({entry.parts} of {entry.wanted or '?'} {unit})"
    return (
        name,
        phrases.cut(str(about.get("data", "?")), 16),
        phrases.cut(str(about.get("recipe", "?")), 16),
        str(about.get("views", "?")),
        time.strftime("%Y-%m-%d", time.localtime(entry.used)),
    )
