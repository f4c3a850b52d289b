"""How an evaluation ends on stdout: its cards, and for several encoders the table to choose from."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len

from sslaudit.comparison.choice import RULE, Candidate, Selection, of_the_data, rate, select, sentence
from sslaudit.report import phrases
from sslaudit.report.card import MetricRecord, ReportCard, to_json
from sslaudit.report.terminal import console, render
from sslaudit.results import Interval

if TYPE_CHECKING:
    from rich.console import Console

Done = Sequence[tuple[ReportCard, Path]]

WHOLE = 3
"""Up to so many cards are printed; of more, their paths."""

_WIDTH, _INDENT = 80, 6
_LICENCE = 20
_SECOND = "      {:<20}{:<22}{:>8}{:>11}{:>6}{:>7}"
"""The second line of a row: accuracy, difference, images/s, parameters, dimension, input."""


def show_json(done: Done) -> None:
    """One card as an object, several as an array."""
    texts = [to_json(card).rstrip("\n") for card, _ in done]
    if texts:
        typer.echo(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")


def show(done: Done, file: str) -> None:
    """The cards as far as ``WHOLE`` goes, then the table of several. ``file`` is what a reader opens."""
    out = console()
    paths = [str(folder / file) for _, folder in done]
    if len(done) <= WHOLE:
        for place, ((card, _), path) in enumerate(zip(done, paths, strict=True)):
            if place:
                out.print()
            out.print(render(card, next_step=f"card: {path}"))
    if len(done) > 1:
        if len(done) <= WHOLE:
            out.print()
        _print(out, table(select([card for card, _ in done])))
    if len(done) > WHOLE:
        out.print()
        _print(out, (f"{'cards: ' if not place else '       '}{path}" for place, path in enumerate(paths)))


def table(selection: Selection) -> Iterator[str]:
    """The table in lines of 80 columns: two for each encoder, then what they mean for a choice."""
    yield from _wrapped(_title(selection))
    yield ""
    yield f"rank  encoder{'licence':>{_WIDTH - 13}}"
    said = "to the best" if selection.ranking else ""
    yield _SECOND.format("accuracy, %", said, "images/s", "parameters", "dim", "input").rstrip()
    shared = _shared(selection)
    for candidate in selection.candidates:
        yield from _row(candidate, shared)
    yield ""
    if selection.unranked:
        yield from _wrapped(f"not ranked: {selection.unranked}")
    for line in of_the_data(selection):
        yield from _wrapped(f"of the data, the same for every encoder: {line}")
    if chosen := sentence(selection):
        yield from _wrapped(chosen if len(selection.top) == 1 else f"{chosen} {RULE}")


def _title(selection: Selection) -> str:
    ranking = selection.ranking
    if ranking is None:
        first = next((r for r in _shared(selection).values() if r is not None), None)
        return f"which encoder? {first.summary}, 95 % intervals" if first else "which encoder?"
    space = " on projection z" if ranking.space == "projection" else ""
    balanced = ", balanced" if ranking.balanced else ""
    return (
        f"which encoder? {ranking.summary}{balanced}{space} on {ranking.images:,} images, 95 % intervals. "
        "Differences are paired by image, and their intervals hold for all pairs at once. "
        "A rank is 1 + how many encoders are better for certain."
    )


def _row(candidate: Candidate, shared: dict[int, MetricRecord | None]) -> Iterator[str]:
    card, standing = candidate.card, candidate.standing
    rank = "-" if standing is None else str(standing.rank)
    licence = phrases.cut(phrases.inert(card.encoder.facts.get("licence", "-")), _LICENCE)
    room = _WIDTH - _INDENT - cell_len(licence) - 2
    name = _fitting(phrases.inert(card.encoder.ref), room)
    yield f"{rank:<{_INDENT}}{name}{' ' * (room + 2 - cell_len(name))}{licence}"
    if candidate.mark:
        yield " " * _INDENT + phrases.cut(
            phrases.inert(f"{candidate.mark}: {candidate.reason}"), _WIDTH - _INDENT
        )
        return
    accuracy, apart = "-", ""
    if standing is not None:
        accuracy = _spanned(standing.value, standing.interval, "")
        spanned = standing.difference_interval
        if spanned is None:
            apart = "the best"
        elif spanned.low == spanned.high == 0:
            apart = "equal"
        else:
            apart = _spanned(standing.difference, spanned, "+")
    elif (record := shared[id(candidate)]) is not None and record.value is not None:
        accuracy = _spanned(record.value, record.interval, "")
    encoder = card.encoder
    height, width = encoder.preprocess.size
    speed = "-" if candidate.speed is None else rate(candidate.speed)
    size = f"{height} px" if height == width else f"{height}x{width}"
    yield _SECOND.format(accuracy, apart, speed, phrases.count(encoder.parameters), f"{encoder.dim:,}", size)


def _shared(selection: Selection) -> dict[int, MetricRecord | None]:
    """The leading accuracy of each encoder, where it is the same one for all."""
    leading = {id(one): None if one.mark else one.card.leading for one in selection.candidates}
    rows = {(r.row, r.space, r.version) for r in leading.values() if r is not None}
    return leading if len(rows) == 1 else dict.fromkeys(leading)


def _spanned(value: float, interval: Interval | None, sign: str) -> str:
    """In percent, ``97.8 [96.1, 98.7]`` or with signs ``-0.8 [-2.0, +0.4]``."""
    if interval is None:
        return f"{100 * value:{sign}.1f}"
    return f"{100 * value:{sign}.1f} [{100 * interval.low:{sign}.1f}, {100 * interval.high:{sign}.1f}]"


def _fitting(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns; some characters take two."""
    fitting = phrases.cut(text, width)
    while cell_len(fitting) > width:
        fitting = phrases.cut(text, len(fitting) - 1)
    return fitting


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(phrases.inert(text), _WIDTH, break_long_words=True, break_on_hyphens=False)


def _print(out: "Console", lines: Iterator[str]) -> None:
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
