"""Columns of samples that belong to a number of several cards, on the images that all speak about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from sslaudit.errors import CardError
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.samples import by_image, scored_by

_CLOSE = 1e-6
"""A column belongs to a value that its mean misses by no more than this share of it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What K cards say of the same N images, over R random draws."""

    values: np.ndarray
    """(K, N, R) float64."""
    classes: np.ndarray | None
    """(N,) of the images where the mean is that of classes, so images are resampled within them."""

    @property
    def images(self) -> int:
        """N."""
        return int(self.values.shape[1])

    def only(self, places: Sequence[int]) -> "Columns":
        """Those of some of the cards, in that order."""
        return Columns(values=self.values[list(places)], classes=self.classes)


def key(card: ReportCard, record: MetricRecord) -> str:
    """What the columns of ``record`` are named by: its row, marked where it is that of a second space."""
    beside = f"projection:{record.row}"
    marked = record.space == "projection" and any(
        (one.row, one.space) == (record.row, "embedding") for one in card.metrics
    )
    return beside if marked else record.row


def accuracy_columns(cards: Sequence[ReportCard], records: Sequence[MetricRecord]) -> Columns:
    """The columns whose means are the accuracies ``records``, one of each card.

    Raises ``CardError`` for a card without the column, and where fewer than two images are common.
    """
    name = scored_by(key(cards[0], records[0]), *(card.samples for card in cards))
    if not name:
        silent = next(
            (card for card in cards if not scored_by(key(cards[0], records[0]), card.samples)), cards[0]
        )
        raise CardError(
            f"the card of {silent.encoder.ref} has no column of '{records[0].row}' for single images "
            "(samples.parquet is missing?), so nothing can be paired."
        )
    found = paired_columns(cards, name)
    if found is None:
        raise CardError(
            f"the cards cannot be compared on '{records[0].row}': "
            "their columns for single images are not of the same images or draws."
        )
    if found.images < 2:
        raise CardError(f"the cards cannot be compared on '{records[0].row}': it takes two images.")
    return found


def columns_of_means(cards: Sequence[ReportCard], records: Sequence[MetricRecord]) -> Columns | None:
    """The columns whose means are the values ``records``, whatever they are called; None without such."""
    start = key(cards[0], records[0]) + "/"
    for name in (name for name in cards[0].samples if name.startswith(start)):
        if not all(name in card.samples for card in cards):
            continue
        try:
            found = paired_columns(cards, name)
        except (TypeError, ValueError):  # a column of words
            continue
        if found is not None and found.images > 1 and close_to_values(found.values.mean((1, 2)), records):
            return found
    return None


def close_to_values(means: np.ndarray, records: Sequence[MetricRecord]) -> bool:
    """Whether the means of columns (K,) are the values of the ``records``, but for rounding."""
    return bool(np.allclose(means, [cast(float, record.value) for record in records], _CLOSE, 0))


def paired_columns(cards: Sequence[ReportCard], name: str) -> Columns | None:
    """Column ``name`` of all cards on the images that all speak about; None where it cannot be paired."""
    ids = cards[0].samples.get("id")
    if any(card.samples.get("id") != ids for card in cards[1:]):
        return None
    tables = [by_image(card.samples[name]) for card in cards]
    if len({table.shape for table in tables}) != 1:
        return None
    values = np.stack(tables).reshape(len(cards), len(tables[0]), -1)
    said = np.isfinite(values).all(axis=(0, 2))
    values = values[:, said]
    if values.shape[2] > 1 and (values == values[:, :, :1]).all():
        values = values[:, :, :1]  # draws that agree are one
    classes = cards[0].samples.get("class")
    balanced = name.endswith("/score") and classes is not None
    return Columns(values=values, classes=np.asarray(classes)[said] if balanced else None)
