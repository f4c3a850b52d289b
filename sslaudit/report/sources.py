"""Where the weights of several encoders come from: one table before any of them is fetched."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslaudit.report import phrases
from sslaudit.specs import Source

_REFERENCE = 28
_REVISION = 8
_LICENCE = 12


def source_table(refs: Sequence[str], sources: Sequence[Source]) -> RenderableType:
    """One row for each reference, below it the repository that it means, and what is to be downloaded."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in ("reference", "revision", "size", "to fetch", "licence", "access"):
        right = column in ("size", "to fetch")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    table.add_row(*(Text(str(column.header), style="bold") for column in table.columns))
    for ref, source in zip(refs, sources, strict=True):
        size = "?" if source.bytes is None else phrases.size(source.bytes)
        fetch = phrases.size(source.to_fetch) if source.to_fetch else "-"
        licence, access = phrases.cut(source.licence, _LICENCE), "gated" if source.gated else ""
        cells = (phrases.cut(ref, _REFERENCE), source.revision[:_REVISION], size, fetch, licence, access)
        table.add_row(*map(Text, cells))
        if source.name not in ref:
            table.add_row(Text(f"  {phrases.cut(source.name, _REFERENCE - 2)}"))
    total = sum(source.to_fetch for source in sources)
    return Group(
        table, Text(f"to download: {phrases.size(total)} in total" if total else "to download: nothing")
    )
