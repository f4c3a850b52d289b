"""``sslaudit plugins`` and ``sslaudit list``: what is installed or has a name, without importing any of it.

Only the page of one metric imports that metric, for its docstring.
"""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from sslaudit.cli.guard import guarded, registry
from sslaudit.host import Plugin, name_of
from sslaudit.registry import installed
from sslaudit.specs import Option


class Kind(StrEnum):
    """What can be listed."""

    encoders = "encoders"
    metrics = "metrics"
    datasets = "datasets"
    recipes = "recipes"
    methods = "methods"
    models = "models"
    suites = "suites"


_NAMED = (Kind.models, Kind.suites)
"""What has a short name, and comes from no plugin."""


@guarded
def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when a plugin failed or conflicts.")
    ] = False,
) -> int:
    """Show the installed plugins, what each offers, and which of them failed."""
    found = installed().plugins
    if as_json:
        typer.echo(json.dumps([_record(plugin) for plugin in found], indent=2))
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("plugin", "distribution", "state", "offers"):
            table.add_column(column, no_wrap=column != "offers")
        for plugin in found:
            offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in _names(plugin).items())
            cells = (plugin.name, f"{plugin.distribution} {plugin.version}", plugin.status)
            table.add_row(*map(Text, (*cells, plugin.reason or offers)))
        _print(table)
    return int(strict and any(plugin.status in ("failed", "conflict") for plugin in found))


@guarded
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    name: Annotated[
        str | None, typer.Argument(help="One of them: all that is known of it, and its options.")
    ] = None,
) -> int:
    """List encoder schemes, metrics, data schemes, recipes, methods, models or suites, or show one."""
    if name is not None:
        _print(_page(kind, name))
        return 0
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    if kind in _NAMED:
        from sslaudit.cli.named import rows

        for row in rows(kind.value):
            table.add_row(*map(Text, row))
        _print(table)
        return 0
    for plugin in installed().plugins:
        for spec in sorted(plugin.offers.get(kind.value, []), key=name_of):
            options = _options(getattr(spec, "options", ()))
            summary = spec.summary + (f"  ({options})" if options else "")
            table.add_row(Text(name_of(spec)), Text(summary))
    if kind is Kind.recipes:
        from sslaudit.recipes import TERMS

        for term in TERMS.values():
            table.add_row(Text(f"+ {term.name}"), Text(f"{term.summary}  ({_options(term.options)})"))
    _print(table)
    return 0


def _page(kind: Kind, name: str) -> object:
    """All of one of them, or of a term that recipes are written in. Raises ``RefError``, ``PluginError``."""
    if kind in _NAMED:
        from sslaudit.cli.named import page as named_page

        return named_page(kind.value, name)
    from sslaudit.cli.page import page

    if kind is Kind.recipes:
        from sslaudit.recipes import TERMS

        if name in TERMS:
            return page(name, TERMS[name], None)
    table = getattr(registry(), kind.value)
    return page(name, table.get(name), table.owner(name))


def _print(table: object) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(80, console.width))
    console.print(table)


def _names(plugin: Plugin) -> dict[str, list[str]]:
    return {kind: sorted(name_of(spec) for spec in specs) for kind, specs in plugin.offers.items() if specs}


def _record(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "reason": plugin.reason,
        "offers": _names(plugin),
    }


def _options(options: Sequence[Option]) -> str:
    """``k=20, seed``: names and what they are when nothing is said."""
    return ", ".join(
        option.name if option.default is None else f"{option.name}={option.default}" for option in options
    )
