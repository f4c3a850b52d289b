"""The table: one comparison a row, printed as it is measured."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """sslaudit against one other way to do the same work."""

    what: str
    """What sslaudit did: the network, the views, the precision."""
    against: str
    unit: str
    ours: float
    """Rate of sslaudit in ``unit``, higher is better."""
    other: float
    ratio: float
    """Of sslaudit to the other, median over the rounds."""
    spread: tuple[float, float]
    """Least and largest ratio of a round."""
    target: float | None = None
    """The ratio that is wanted at least; None where there is no target."""


Entry = Row | str
"""A row, or a line of text between rows."""

_HEAD = ("sslaudit", "against", "unit", "sslaudit", "other", "ratio", "in rounds", "target")
_LAYOUT = "{:<34} {:<45} {:<8}{:>9}{:>8}{:>7}  {:<10}  {}"


def render(entries: Iterable[Entry]) -> Iterator[str]:
    """Lines of the table, head first."""
    yield _LAYOUT.format(*_HEAD)
    for entry in entries:
        yield entry if isinstance(entry, str) else _line(entry)


def _line(row: Row) -> str:
    target = ""
    if row.target is not None:
        target = f"{row.target:g} {'met' if row.ratio >= row.target else 'missed'}"
    low, high = row.spread
    figures = (f"{row.ours:,.4g}", f"{row.other:,.4g}", f"{row.ratio:.2f}", f"{low:.2f}-{high:.2f}")
    return _LAYOUT.format(row.what, row.against, row.unit, *figures, target).rstrip()
