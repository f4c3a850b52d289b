"""Is the difference of two cards real? Paired by image, so what both find hard cancels."""

import numpy as np

from sslaudit import stats
from sslaudit.errors import CardError
from sslaudit.report.card import ReportCard
from sslaudit.results import Interval

_SAME = ("digest", "recipe", "views", "views_mode", "seed")


def paired_difference(
    a: ReportCard, b: ReportCard, term: str, *, column: str = "correct", seed: int = 0
) -> tuple[float, Interval]:
    """Mean over images of ``column`` of metric ``term`` in ``a`` minus that in ``b``, with a paired interval.

    The bootstrap resamples images, and random draws where the column has several for each image.
    Raises ``CardError`` when the cards are not of the same images seen in the same way, naming what
    differs, and for a card with a failed check: a PARTIAL encoder is compared with nothing.
    """
    for card in (a, b):
        if failed := next(iter(card.failed_checks), None):
            raise CardError(
                f"the card of {card.encoder.ref} failed its check '{failed.name}': {failed.message}. "
                "It is left out of every comparison."
            )
    for name in _SAME:
        ours, theirs = getattr(a.data, name), getattr(b.data, name)
        if ours != theirs:
            raise CardError(
                f"the cards cannot be compared: data {name} is {ours} in one and {theirs} in the other."
            )
    ours, theirs = ({(m.version, str(m.options)) for m in card.metrics if m.term == term} for card in (a, b))
    if len(ours) != 1 or ours != theirs:
        raise CardError(f"the cards cannot be compared on '{term}': it is missing, or of another version.")
    name = f"{term}/{column}"
    for card in (a, b):
        if name not in card.samples:
            raise CardError(
                f"the card of {card.encoder.ref} has no column '{name}' (samples.parquet is missing?)."
            )
    try:
        first, second = (stats.by_image(card.samples[name]) for card in (a, b))
        return stats.paired_difference(first, second, np.random.default_rng(seed))
    except ValueError as error:
        raise CardError(f"the cards cannot be compared on '{term}': {error}.") from None
