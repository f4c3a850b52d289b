"""What stands on the first screen of a card. The rest is one flag away, and all of it is on the page."""

from collections import Counter
from dataclasses import replace

from sslaudit.report import words
from sslaudit.report.card import MetricRecord, ReportCard

ROOM = 10
"""Rows on the first screen. A card with no more than these shows all it has."""

_SHARE = {
    "quality": 4,
    "factor": 3,
    "data": 1,
    "shape": 1,
    "change": 1,
    "classes": 0,
    "pretext": 0,
    "other": 0,
}
"""Rows of each group on the first screen of a longer card, before others take the room that is left."""


def first_screen(card: ReportCard) -> tuple[ReportCard, int]:
    """``card`` with the rows of the first screen, and how many with a value were left out.

    Each group has its share, in the order of its metrics; what room is left goes to further rows, and
    last to those that a metric calls minor. Guarantees are said in words, and have no row here.
    """
    there = words.first_of_each_row(record for record in card.metrics if record.value is not None)
    if len(there) <= ROOM:
        return card, 0
    places: Counter[str] = Counter()
    ranked: list[tuple[bool, bool, int, str]] = []
    for row, record in there.items():
        if record.group in _SHARE:
            beyond = places[record.group] >= _SHARE[record.group]
            ranked.append((record.minor, beyond, list(_SHARE).index(record.group), row))
            places[record.group] += not record.minor
    ranked.sort(key=lambda rank: rank[:3])
    chosen = {row for *_, row in ranked[:ROOM]}
    kept = [r for r in card.metrics if (r.row in chosen if r.row in there else not r.minor)]
    shown = replace(card, metrics=tuple(kept))
    return shown, len(there) - len(chosen)


def speakers(card: ReportCard, shown: ReportCard) -> list[MetricRecord]:
    """The metrics whose lines in words stand on the first screen: the guarantee, and those with a row there.

    Of the two spaces of one metric only the embedding speaks.
    """
    rows = {record.row for record in shown.metrics}
    found = [r for r in card.metrics if r.headline and (r.group == "guarantee" or r.row in rows)]
    embedded = {record.row for record in found if record.space != "projection"}
    return [r for r in found if r.space != "projection" or r.row not in embedded]
