"""The card as HTML: one self-contained page, and the fragment that notebooks show."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslaudit.numbers import number
from sslaudit.report import phrases, sections, words
from sslaudit.report.card import ReportCard
from sslaudit.report.referenced import reference_line
from sslaudit.report.shifted import shift_notes, shift_rows
from sslaudit.report.templating import environment
from sslaudit.report.verdict import obstacles, sentence
from sslaudit.whole import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

_FEW = 12
"""Names of a list that are written out; the others are counted."""


def fragment(card: ReportCard) -> str:
    """The first screen of the card without page round it. Every text is escaped."""
    return _render("card.html.j2", **_first_screen(card))


def page(card: ReportCard) -> str:
    """A whole page that needs nothing beside itself, no script, and makes no request."""
    from sslaudit.report.drawing import STYLE

    found, metrics = sections.sections(card), sections.metrics(card)
    contents = [
        ("checks", "Health checks"),
        ("numbers", "Numbers"),
        *((section.name, section.heading.partition(",")[0]) for section in found),
        *([("metrics", "Every metric")] if metrics else []),
        ("provenance", "Provenance"),
    ]
    return _render(
        "page.html.j2",
        **_first_screen(card),
        figure_style=_markup(STYLE),
        contents=contents,
        sections=found,
        obstacles=obstacles(card),
        two_spaces=len({record.space for record in card.metrics if record.space}) > 1,
        metrics=metrics,
        shifted=shift_rows(card.shift) if card.shift else [],
        shift_notes=shift_notes(card.shift) if card.shift else [],
        anchors=words.anchors(card),
        references=[(record.ref, reference_line(record)[1]) for record in card.references],
        provenance=[("The encoder", _encoder(card)), ("The data", _data(card)), ("The run", _run(card))],
        classes=sections.capped(card.data.classes, _FEW),
    )


def write_page(card: ReportCard, path: Path) -> None:
    """Write the page to ``path``, whole or not at all. Raises ``OutputError`` when the disk refuses."""
    write_text(path, page(card))


def _first_screen(card: ReportCard) -> dict[str, Any]:
    ref, what, where = words.title(card)
    return {
        "card": card,
        "ref": ref,
        "what": what,
        "where": where,
        "verdict": sentence(card),
        "headline": words.headline(card),
        "numbers": sections.numbers(card),
        "not_checked": words.not_checked(card),
    }


def _encoder(card: ReportCard) -> Iterator[tuple[str, str]]:
    """Which encoder, and how it was loaded."""
    encoder, load = card.encoder, card.encoder.load
    yield "encoder", f"{encoder.name}, {encoder.dim}-d, {encoder.parameters:,} parameters"
    yield "digest", encoder.digest
    said = {
        "file": load.file,
        "tensors": f"{load.matched:,} of {load.expected:,} matched" if load.expected else "",
        "part of the file": load.branch,
        "prefix removed": load.prefix,
        "renamed": _some(load.renamed),
        "also in the file": _some(load.others),
        "left fresh": _some(load.missing),
        "ignored": _some(load.ignored),
        "assumed": "; ".join(load.assumptions),
    }
    yield from ((name, text) for name, text in said.items() if text)
    yield from encoder.facts.items()
    yield "input", "; ".join(words.preprocessing(encoder.preprocess))


def _data(card: ReportCard) -> Iterator[tuple[str, str]]:
    """Which images, how they were split, and their views."""
    data = card.data
    yield "data", f"{data.ref}: {phrases.plural(data.images, 'image', 'images')}"
    yield "digest", data.digest
    if data.classes:
        yield phrases.plural(len(data.classes), "class", "classes"), _some(data.classes)
        yield "split", f"{data.splits['train']:,} train, {data.splits['test']:,} test: {data.split_rule}"
    yield from (("skipped", line) for line in words.skipped(card))
    views = phrases.plural(data.views, "view", "views")
    shared = "one bank for all images" if data.views_mode == "bank" else "drawn for each image"
    yield "views", f"{views} of each image, {shared}, of recipe {data.recipe}"
    if data.views > 1:
        yield "recipe in full", data.recipe_details
    yield "seed", str(data.seed)


def _run(card: ReportCard) -> Iterator[tuple[str, str]]:
    """On what machine, with what software, and what went wrong."""
    made = card.provenance
    if card.suite:
        yield "suite", card.suite
    yield from (("problem", line) for line in card.problems)
    floor = f"; off float32 by at most {number(made.precision_floor)}" if made.precision_floor else ""
    yield "precision", f"{made.precision}: {made.precision_reason}{floor}"
    yield "device", f"{made.device}, batches of {made.batch_size:,}{', compiled' if made.compiled else ''}"
    if made.images_per_second is not None:
        yield "speed", f"{made.images_per_second:,.0f} images a second through the encoder"
    yield "time", f"{made.started}, {made.seconds:,.1f} s; {made.cached_views:,} views from the cache"
    yield "versions", f"sslaudit {made.sslaudit}, Python {made.python}, torch {made.torch}"
    yield "plugins", ", ".join(f"{name} ({version})" for name, version in made.plugins.items())
    yield "intervals", "at level 95 % where nothing else is said; how each was made stands with its metric"


def _some(names: Sequence[str]) -> str:
    first, more = sections.capped(names, _FEW)
    return ", ".join(first) + (f" and {more:,} more" if more else "")


def _render(template: str, **given: Any) -> str:
    text = _environment().get_template(template).render(**given)
    return text.encode("utf-8", "backslashreplace").decode()


def _markup(text: str) -> Any:
    """Text that is HTML already."""
    from markupsafe import Markup

    return Markup(text)


def _breakable(ref: str) -> Any:
    """A reference whose line may end behind a slash, before it ends within a word."""
    from markupsafe import Markup, escape

    return Markup("/<wbr>").join(map(escape, phrases.inert(ref).split("/")))


def _shown(value: Any) -> Any:
    """Text that stays in its line and in its direction; what is HTML already stays as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else phrases.inert(value)


@functools.cache
def _environment() -> "Environment":
    from sslaudit.report import drawing

    made = environment("sslaudit.report", _shown)
    made.globals.update(
        interval_bar=sections.bar,
        beside=sections.beside,
        breakable=_breakable,
        details=sections.details,
        draw=lambda figure: _markup(drawing.draw(figure)),
        facts=sections.facts,
        in_space=words.in_space,
        linked=sections.linked,
        method=sections.method,
        number=number,
        plural=phrases.plural,
        sign=sections.sign,
    )
    return made
