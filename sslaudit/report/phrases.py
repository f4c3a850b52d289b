"""A number, a name or a list as a reader sees it. Nothing here knows a card."""

from collections.abc import Sequence


def percent(share: float) -> str:
    """``88.4`` of .884."""
    return f"{100 * share:.1f}"


def count(number: int) -> str:
    """``11.2 M``, ``25 k``."""
    if number >= 1_000_000:
        return f"{number / 1e6:.1f} M"
    return f"{number / 1e3:.0f} k" if number >= 10_000 else f"{number:,}"


def size(number: int) -> str:
    """``44.7 MB``, ``812 kB``: decimal units, as file managers and hubs show them."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number / 1e3:.0f} kB" if number >= 1000 else f"{number} B"


def plural(number: int, one: str, many: str) -> str:
    """``1 class``, ``10 classes``."""
    return f"{number:,} {one if number == 1 else many}"


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, the middle left out."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def listed(names: Sequence[str]) -> str:
    """At most three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def inert(text: str) -> str:
    """``text`` on one line, with each character escaped that moves a cursor, hides or turns directions."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
