"""Text in drawings: any name, made harmless and fitted to the room there is."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape

from sslaudit.numbers import number
from sslaudit.report.phrases import cut

SIZE = 14
"""Height of all text, in units of the drawing: 9.6 pixels where a figure is 328 pixels wide."""
LONGEST = 300
"""Characters of a name that are kept where the whole of it is shown on hovering."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
"""What XML forbids, what nobody sees, and what turns the direction of the text that follows."""


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """``text`` in one line; characters without a shape are written as escapes."""
    text = re.sub("[\t\n\r]", " ", text)
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """Markup of a name, ``plain``; one written from right to left leaves the text round it in order."""
    text = plain(text)
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        text = f"\u2068{text}\u2069"
    return escape(text)


def whole(text: str, longest: int = LONGEST) -> str:
    """Markup of a name of up to ``longest`` characters."""
    return safe(cut(plain(text), longest))


def width(text: str) -> float:
    """About how wide ``text`` is drawn; rather too wide than too narrow."""
    return SIZE * sum(map(_letter, text))


@lru_cache(maxsize=4096)
def _letter(c: str) -> float:
    if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(c) in ("W", "F"):
        return 1.05
    for letters, wide in _WIDE:
        if c in letters:
            return wide
    return 0.72 if c.isupper() else 0.63


_WIDE = (("ijlI.,:;'| ", 0.34), ("frt()[]-/\\", 0.42), ("cskvxyz", 0.58), ("mwMW@%\u2026", 0.99))
"""Of DejaVu Sans, which is wider than most."""


@lru_cache(maxsize=4096)
def fit(text: str, room: float) -> str:
    """``plain`` text in at most ``room`` units, the middle left out."""
    text = cut(plain(text), LONGEST)
    shown = text
    for letters in range(min(len(text), int(room / (0.2 * SIZE))), 0, -1):
        shown = cut(text, letters)
        if width(shown) <= room:
            break
    return shown


def told_apart(names: Iterable[str], room: float) -> dict[str, str]:
    """What stands for each name in ``room``: of names that ``fit`` would make the same, what differs."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        short = fit(name, room)
        alike.setdefault(short if short != plain(name) else name, []).append(name)
    return {name: short for group in alike.values() for name, short in _differing(group)}


def _differing(names: list[str]) -> Iterable[tuple[str, str]]:
    """Each name without what all begin and end with; as it is where it is alone."""
    head = _alike(names) if len(names) > 1 else 0
    rest = [name[head:] for name in names]
    tail = _alike([name[::-1] for name in rest]) if head else 0
    before, after = "\u2026" if head else "", "\u2026" if tail else ""
    return [(n, f"{before}{r[: len(r) - tail]}{after}") for n, r in zip(names, rest, strict=True)]


def _alike(names: Sequence[str]) -> int:
    """With how many characters all of them begin."""
    first, last = min(names), max(names)
    return next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )


def wrap(text: str, room: float) -> list[str]:
    """Lines of ``plain`` text."""
    return textwrap.wrap(plain(text), max(8, int(room / (0.56 * SIZE)))) if text else []


def shown(value: float) -> str:
    """``number``, plain for zero."""
    return number(value) if value else "0"


def decimal(value: float, decimals: int) -> str:
    """So many decimals in the card's manner, without a zero before the point: ``.25``."""
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        return "0"
    return re.sub(r"^(-?)0\.", r"\1.", text)
