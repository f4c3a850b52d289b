"""The card as GitHub-flavoured Markdown, for a README: the words of the terminal, and tables."""

import re
from collections.abc import Iterable, Sequence

from sslaudit.numbers import number
from sslaudit.report import phrases, words
from sslaudit.report.card import ReportCard
from sslaudit.report.screen import first_screen, speakers
from sslaudit.report.shifted import shift_notes, shift_rows
from sslaudit.report.terminal import GROUPS

_ACTIVE = re.compile(r"([\\`*_\[\]<>|~&$#@]|:(?=\S)|(?<=www)\.)", re.IGNORECASE)
"""What starts or ends something inside of a line of Markdown, an address or an emoji among it."""


def markdown(card: ReportCard, *, everything: bool = False) -> str:
    """The first screen of a card as Markdown, or ``everything``. Names of others are shown as they are."""
    shown, left = (card, 0) if everything else first_screen(card)
    ref, what, where = map(escaped, words.title(card))
    lines = [f"### {ref}", "", f"{what}, {where}", ""]
    lines += _list(words.headline(card, None if everything else speakers(card, shown)))
    for group in GROUPS:
        if group != "guarantee" or left == 0:
            lines += _group(shown, group)
    if card.shift is not None and card.shift.readings:
        on = f"on {escaped(card.shift.ref)}{', paired by image' if card.shift.paired else ''}"
        rows = [[label, value, drop] for label, _, value, drop in shift_rows(card.shift, minor=left == 0)]
        lines += _table([on, "accuracy", "drop"], [[escaped(cell) for cell in row] for row in rows])
    notes = [("not computed", line) for line in words.not_computed(shown)]
    notes += [("skipped", line) for line in words.skipped(card)]
    notes += [("problem", line) for line in card.problems]
    notes += shift_notes(card.shift) if card.shift else []
    lines += ["", *_list(notes)] if notes else []
    made, data = card.provenance, card.data
    rest = f"{left} more numbers are on the card. " if left else ""
    seed = f"{phrases.plural(data.views, 'view', 'views')}, seed {data.seed}"
    lines += [
        "",
        f"{rest}Not checked: {', '.join(words.not_checked(card))}. Intervals are at 95 %.",
        "",
        f"sslaudit {escaped(made.sslaudit)}; data {escaped(data.digest[:12])}; {seed}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """``text`` on one line so that Markdown shows it letter by letter, also in a cell of a table."""
    return _ACTIVE.sub(r"\\\1", phrases.inert(text))


def _list(lines: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- **{escaped(name)}** {escaped(sentence)}" for name, sentence in lines]


def _group(card: ReportCard, group: str) -> list[str]:
    """The table of one group: one column for each space, and for each anchor."""
    spaces = words.spaces(card, group)
    columns = [{row.term: row for row in words.rows(card, group, space)} for space in spaces]
    anchors = [anchor for anchor in card.anchors if anchor.readings] if group == "quality" else []
    rows = []
    for term in dict.fromkeys(term for column in columns for term in column):
        found = [column.get(term) for column in columns]
        first = next(row for row in found if row)
        if group != "guarantee" and all(row is None or row.record.value is None for row in found):
            continue  # it is listed with its reason
        readings = [anchor.reading(term) for anchor in anchors]
        rows.append(
            [
                escaped(first.label),
                escaped(first.paper or first.term),
                *(_cell(row) for row in found),
                *(number(reading.value) if reading else "-" for reading in readings),
            ]
        )
    alone = len(spaces) == 1
    heading = words.heading(card, group, spaces[0] if alone else "") if spaces else ""
    names = ["value, interval"] if alone else [words.in_space(space) if space else "" for space in spaces]
    titles = [heading, "also called", *names, *(anchor.name for anchor in anchors)]
    return _table(map(escaped, titles), rows) if rows else []


def _cell(row: words.Row | None) -> str:
    if row is None:
        return ""
    interval = row.interval if row.record.interval else escaped(row.interval)
    said = f"{row.value} {interval}".strip()
    return f"{said}, {escaped(row.extra)}" if row.extra and row.record.value is not None else said


def _table(titles: Iterable[str], rows: Sequence[Sequence[str]]) -> list[str]:
    first = list(titles)
    lines = [first, [":--"] * len(first), *rows]
    return ["", *(f"| {' | '.join(line)} |" for line in lines)]
