"""The order of encoders by an accuracy, with ranks as sure as the images allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np

from sslaudit.comparison.columns import Columns, accuracy_columns
from sslaudit.comparison.comparable import check_comparable, common_accuracy
from sslaudit.comparison.differences import LEVEL, Differences, critical_value
from sslaudit.report.card import ReportCard
from sslaudit.results import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where one encoder stands."""

    place: int
    """Of its card among those given."""
    value: float
    interval: Interval | None
    rank: int
    """1 + how many encoders are better for certain."""
    last_rank: int
    """How many encoders there are, less those that are worse for certain."""
    difference: float
    """To the best, which is the first; paired by image."""
    difference_interval: Interval | None
    """Holds for all pairs at once; None for the best."""
    p: float | None
    """Of McNemar's exact test against the best; None for the best, and for what is not right or wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Encoders by one accuracy."""

    term: str
    summary: str
    space: str
    balanced: bool
    images: int
    """That all cards speak about."""
    standings: tuple[Standing, ...]
    """Best first, by value."""

    @property
    def top(self) -> tuple[int, ...]:
        """Places of the encoders that none is better than for certain."""
        return tuple(standing.place for standing in self.standings if standing.rank == 1)


def rank(
    cards: Sequence[ReportCard], term: str | None = None, *, seed: int = 0, names: Sequence[str] = ()
) -> Ranking:
    """The order of encoders by the accuracy ``term``: one row, or the first of the first card that all have.

    All pairs are compared at once by image, with intervals that hold together at 95 %. A rank says how many
    encoders are better for certain, a last rank how many are not worse for certain. Equal encoders tie:
    their difference is 0. Others of which no image differs tie too, and their interval says how far such
    encoders may be apart. The order of the cards changes nothing.

    ``names`` are for errors, as in ``check_comparable``. Raises ``CardError`` as that, and for an accuracy
    that a card lacks or has in another version.
    Source: Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 2024 (ranks).
    """
    check_comparable(cards, names)
    records = common_accuracy(cards, term, names)
    columns = accuracy_columns(cards, records)
    order = _best_first(cards, columns)
    ours, columns = [cards[place] for place in order], columns.only(order)
    twins = _first_equal(ours, columns)
    apart = Differences.of(columns)
    z = critical_value(columns.only(sorted(set(twins))), apart.trials, np.random.default_rng(seed))
    limits = np.zeros((len(ours), len(ours), 2))
    for a, b in combinations(range(len(ours)), 2):
        if twins[a] != twins[b]:
            limits[a, b] = apart.limits(a, b, z)
            limits[b, a] = -limits[a, b, ::-1]
    better, worse = (limits[:, :, 1] < 0).sum(axis=1), (limits[:, :, 0] > 0).sum(axis=1)
    method = f"simultaneous over {len(ours):,} encoders: max-t bootstrap over {columns.images:,} images"
    return Ranking(
        term=records[0].row,
        summary=records[0].summary,
        space=records[0].space,
        balanced=columns.classes is not None,
        images=columns.images,
        standings=tuple(
            Standing(
                place=place,
                value=cast(float, records[place].value),
                interval=records[place].interval,
                rank=1 + int(better[i]),
                last_rank=len(ours) - int(worse[i]),
                difference=float(apart.means[i] - apart.means[0]),
                difference_interval=Interval(
                    low=limits[i, 0, 0], high=limits[i, 0, 1], level=LEVEL, method=method
                )
                if i
                else None,
                p=float(apart.p[i, 0]) if i and apart.p is not None else None,
            )
            for i, place in enumerate(order)
        ),
    )


def _best_first(cards: Sequence[ReportCard], columns: Columns) -> list[int]:
    """Places by value. Between equal values no place decides: the order given changes nothing."""
    means = columns.values.mean(axis=(1, 2))
    encoders = [card.encoder for card in cards]

    def key(place: int) -> tuple[float, bytes, str, str]:
        encoder = encoders[place]
        return -means[place], columns.values[place].tobytes(), encoder.digest, encoder.ref

    return sorted(range(len(cards)), key=key)


def _first_equal(cards: Sequence[ReportCard], columns: Columns) -> list[int]:
    """For each card the first of the same encoder: weights, preprocessing and every image alike."""
    seen: dict[tuple[object, ...], int] = {}
    return [
        seen.setdefault((card.encoder.digest, card.encoder.preprocess, values.tobytes()), place)
        for place, (card, values) in enumerate(zip(cards, columns.values, strict=True))
    ]
