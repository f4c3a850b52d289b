"""The card as HTML: one self-contained page, and the fragment that notebooks show."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from sslaudit.errors import OutputError
from sslaudit.numbers import number
from sslaudit.report import words
from sslaudit.report.anchored import against
from sslaudit.report.card import ReportCard
from sslaudit.report.shifted import shift_notes, shift_rows

if TYPE_CHECKING:
    from jinja2 import Environment

_GROUPS = (
    ("quality", "How good", "higher is better"),
    ("factor", "Why", "lower is better"),
    ("data", "Of the data", "the same for every encoder"),
    ("guarantee", "Guarantee", "error at most"),
    ("shape", "Shape of the embedding", "without labels"),
    ("classes", "Classes in the embedding", ""),
    ("change", "When the image changes", ""),
    ("pretext", "Pretext", "what f(x) says of z within a class; lower is better"),
    ("other", "Other", ""),
)


def fragment(card: ReportCard) -> str:
    """The card without page round it. Every text is escaped."""
    return _render("card.html.j2", card)


def page(card: ReportCard) -> str:
    """A whole page that needs nothing beside itself."""
    return _render("page.html.j2", card)


def write_page(card: ReportCard, path: Path) -> None:
    """Write the page to ``path``. Raises ``OutputError`` when the disk refuses."""
    text = page(card)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        path.unlink(missing_ok=True)  # half a page
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error


def _render(template: str, card: ReportCard) -> str:
    ref, what, where = words.title(card)
    groups = [
        (heading, _in_space(space, direction), words.rows(card, name, space))
        for name, heading, direction in _GROUPS
        for space in words.spaces(card, name)
    ]
    text = (
        _environment()
        .get_template(template)
        .render(
            card=card,
            ref=ref,
            what=what,
            where=where,
            headline=words.headline(card),
            shifted=shift_rows(card.shift) if card.shift else [],
            shift_notes=shift_notes(card.shift) if card.shift else [],
            groups=groups,
            number=number,
            against=against,
            anchors=words.anchors(card),
            skipped=words.skipped(card),
            input="; ".join(words.preprocessing(card.encoder.preprocess)),
        )
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _in_space(space: str, direction: str) -> str:
    """``projection z; lower is better``."""
    return "; ".join(filter(None, (words.in_space(space) if space else "", direction)))


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader

    return Environment(
        loader=PackageLoader("sslaudit.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
