"""Every other number of several cards, with its difference to the best encoder."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from sslaudit.comparison.columns import accuracy_columns, close_to_values, columns_of_means
from sslaudit.comparison.comparable import counterpart, differs, same_encoder
from sslaudit.comparison.differences import LEVEL, Differences
from sslaudit.comparison.record import Cell, ComparedRow, Said
from sslaudit.errors import CardError
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.results import Interval

_Z = float(norm.ppf((1 + LEVEL) / 2))

Limits = list[tuple[float, float] | None]


def compared_rows(cards: Sequence[ReportCard], deciding: MetricRecord) -> tuple[list[ComparedRow], list[str]]:
    """The rows of all numbers but ``deciding`` that every card has, and why others are left out.

    The first card is that of the best encoder, which differences are to. Each interval is that of one pair
    and one number alone. Numbers of the data are the same for every encoder, and left out.
    """
    rows: list[ComparedRow] = []
    left: list[str] = []
    of_data: list[str] = []
    lacking: list[str] = []
    for record in cards[0].metrics:
        if record.group == "data":
            named = f" ({record.row})" if record.row != record.summary else ""
            of_data.append(f"{record.summary}{named}")
        elif (record.row, record.space) != (deciding.row, deciding.space) and record.value is not None:
            found = [
                one for one in (counterpart(card, record) for card in cards) if one and one.value is not None
            ]
            if len(found) < len(cards):
                lacking.append(f"{record.row}{' on projection z' if record.space == 'projection' else ''}")
            elif what := next(filter(None, (differs(record, one) for one in found)), ""):
                left.append(f"{record.row}: its {what} differs between the cards")
            else:
                rows.append(_row(cards, found))
    if lacking:
        names = ", ".join(dict.fromkeys(lacking))
        left.insert(0, f"{names}: not every card has a value")
    if of_data:
        left.insert(0, f"of the data, the same for every encoder: {', '.join(dict.fromkeys(of_data))}")
    return rows, left


def mover(a: MetricRecord, b: MetricRecord) -> tuple[float, float] | None:
    """Limits of ``a`` - ``b`` from their own intervals as if they were independent; None without both.

    On the same images most numbers go up and down together, so this is wide rather than narrow.
    Source: Zou and Donner, Statistics in Medicine 2008, eq. 3.
    """
    if a.interval is None or b.interval is None or a.value is None or b.value is None:
        return None
    below = np.hypot(max(0.0, a.value - a.interval.low), max(0.0, b.interval.high - b.value))
    above = np.hypot(max(0.0, a.interval.high - a.value), max(0.0, b.value - b.interval.low))
    return a.value - b.value - float(below), a.value - b.value + float(above)


def _row(cards: Sequence[ReportCard], records: Sequence[MetricRecord]) -> ComparedRow:
    first = records[0]
    paired = _paired(cards, records)
    limits = paired or [mover(record, first) for record in records]
    for place, (card, record) in enumerate(zip(cards, records, strict=True)):
        if same_encoder(card, cards[0]) and record.value == first.value:
            limits[place] = (0.0, 0.0)
    how = "paired by image" if paired else "not paired, from both intervals"
    return ComparedRow(
        term=first.row,
        summary=first.summary,
        paper=first.paper,
        group=first.group,
        space=first.space,
        direction=first.direction,
        unit=first.unit,
        minor=first.minor,
        paired=paired is not None,
        cells=tuple(
            _cell(record, first, reach if place else None, how, first=not place)
            for place, (record, reach) in enumerate(zip(records, limits, strict=True))
        ),
    )


def _paired(cards: Sequence[ReportCard], records: Sequence[MetricRecord]) -> Limits | None:
    """Limits of each value minus the first, where columns of single images have these means."""
    found = None
    if records[0].group == "quality":
        try:
            found = accuracy_columns(cards, records)
        except CardError:
            return None
        apart = Differences.of(found)
        if not close_to_values(apart.means, records):
            return None
        return [apart.limits(place, 0, _Z) for place in range(len(cards))]
    if (found := columns_of_means(cards, records)) is None:
        return None
    apart = Differences.of(found)
    differences = (apart.means - apart.means[0]).tolist()
    reach = [apart.reach(place, 0, _Z) for place in range(len(cards))]
    return [(d - r, d + r) for d, r in zip(differences, reach, strict=True)]


def _cell(
    record: MetricRecord, best: MetricRecord, limits: tuple[float, float] | None, how: str, *, first: bool
) -> Cell:
    assert record.value is not None
    assert best.value is not None
    interval = limits and Interval(low=limits[0], high=limits[1], level=LEVEL, method=how)
    return Cell(
        value=record.value,
        interval=record.interval,
        difference=record.value - best.value,
        difference_interval=interval,
        at=str(record.details.get("at") or ""),
        said="equal" if first else _said(record.direction, interval),
    )


def _said(direction: str, interval: Interval | None) -> Said:
    if interval is None:
        return "no interval"
    if interval.low == interval.high == 0:
        return "equal"
    if interval.low <= 0 <= interval.high:
        return "too close to tell"
    above = interval.low > 0
    if direction not in ("higher", "lower"):
        return "higher" if above else "lower"
    return "better" if above == (direction == "higher") else "worse"
