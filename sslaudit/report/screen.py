"""Which rows of a card stand on its first screen. The others are one flag away, and all are on the page."""

from collections.abc import Sequence
from dataclasses import replace

from sslaudit.report.card import MetricRecord, ReportCard

ROOM = 20
"""A card with no more rows than this shows all of them."""

_MOST = {"guarantee": 0, "shape": 2, "classes": 2, "change": 1, "pretext": 2, "other": 0}
"""Rows of a group on the first screen of a longer card; a group that is not named here shows its own."""


def first_screen(card: ReportCard) -> tuple[ReportCard, int]:
    """``card`` with the rows of the first screen, and how many with a value were left out.

    Rows that a metric calls minor go first, then those that come late in the order of their plugin.
    """
    if len(_rows(card.metrics)) <= ROOM:
        return card, 0
    kept: list[MetricRecord] = []
    rows: dict[str, set[str]] = {}
    for record in card.metrics:
        there = rows.setdefault(record.group, set())
        row = record.row
        if record.value is None and not record.minor:
            kept.append(record)  # it is listed with its reason
        elif not record.minor and (row in there or len(there) < _MOST.get(record.group, len(card.metrics))):
            there.add(row)
            kept.append(record)
    return replace(card, metrics=tuple(kept)), len(_rows(card.metrics) - _rows(kept))


def _rows(records: Sequence[MetricRecord]) -> set[str]:
    return {record.row for record in records if record.value is not None}
