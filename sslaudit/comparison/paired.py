"""Is the difference of two cards real? Paired by image, so what both find hard cancels."""

from sslaudit.comparison.comparable import check_comparable
from sslaudit.errors import CardError
from sslaudit.report import samples
from sslaudit.report.card import ReportCard
from sslaudit.results import Interval


def paired_difference(
    a: ReportCard, b: ReportCard, term: str, *, column: str | None = None, seed: int = 0
) -> tuple[float, Interval]:
    """Mean over images of a column of metric ``term`` in ``a`` minus that in ``b``, with a paired interval.

    The column is the one whose mean is the accuracy, unless ``column`` names another. The bootstrap
    resamples images, and random draws where the column has several for each image. Raises ``CardError``
    as ``check_comparable``, and for a term that is missing or of another version in one of the cards.
    """
    check_comparable((a, b))
    ours, theirs = ({(m.version, str(m.options)) for m in card.metrics if m.term == term} for card in (a, b))
    if len(ours) != 1 or ours != theirs:
        raise CardError(f"the cards cannot be compared on '{term}': it is missing, or of another version.")
    name = (
        f"{term}/{column}" if column else samples.scored_by(term, a.samples, b.samples) or f"{term}/correct"
    )
    for card in (a, b):
        if name not in card.samples:
            raise CardError(
                f"the card of {card.encoder.ref} has no column '{name}' (samples.parquet is missing?)."
            )
    try:
        return samples.paired_difference(a.samples, b.samples, name, a.samples.get("class"), seed)
    except ValueError as error:
        raise CardError(f"the cards cannot be compared on '{term}': {error}.") from None
