"""``compare``: several cards of the same images become one comparison."""

from collections.abc import Sequence

from sslaudit.comparison.comparable import common_accuracy
from sslaudit.comparison.curves import about_runs, curves, epoch_of
from sslaudit.comparison.factors import compared_rows
from sslaudit.comparison.ranking import rank
from sslaudit.comparison.record import Compared, Comparison
from sslaudit.comparison.sentences import sentences
from sslaudit.errors import CardError
from sslaudit.report.card import ReportCard


def compare(
    cards: Sequence[ReportCard], *, metric: str | None = None, names: Sequence[str] = (), seed: int = 0
) -> Comparison:
    """Which encoder is better by the accuracy ``metric``, whether that is sure, and which factor differs.

    ``metric`` is a row as in ``rank``, by default the first accuracy of the first card that all have.
    ``names`` tell the cards apart in the result and in errors, such as their paths; by default the references
    of their encoders. Raises ``CardError`` for fewer than two cards and as ``rank``.
    """
    if len(cards) < 2:
        raise CardError(f"a comparison takes two cards or more, not {len(cards)}.")
    names = names or _distinct([card.encoder.ref for card in cards])
    ranking = rank(cards, metric, seed=seed, names=names)
    order = [standing.place for standing in ranking.standings]
    ordered = [cards[place] for place in order]
    row = f"{ranking.space}:{ranking.term}" if ranking.space else ranking.term
    deciding = common_accuracy(ordered, row)[0]
    encoders = tuple(
        Compared(
            name=names[standing.place],
            ref=cards[standing.place].encoder.ref,
            digest=cards[standing.place].encoder.digest,
            epoch=epoch_of(cards[standing.place]),
            rank=standing.rank,
            last_rank=standing.last_rank,
            value=standing.value,
            interval=standing.interval,
            difference=standing.difference,
            difference_interval=standing.difference_interval,
            p=standing.p,
        )
        for standing in ranking.standings
    )
    rows, left = compared_rows(ordered, deciding)
    drawn = curves(ordered, deciding)
    what = f"balanced {ranking.summary}" if ranking.balanced else ranking.summary
    data = cards[0].data
    return Comparison(
        data=data.ref,
        data_digest=data.digest,
        classes=len(data.classes),
        images=ranking.images,
        recipe=data.recipe,
        views=data.views,
        seed=data.seed,
        precision=cards[0].provenance.precision,
        term=ranking.term,
        summary=ranking.summary,
        space=ranking.space,
        balanced=ranking.balanced,
        encoders=encoders,
        rows=tuple(rows),
        sentences=tuple(sentences(encoders, rows, what, ranking.images)),
        left_out=tuple(left),
        curves=drawn,
        curves_note=about_runs(ordered),
    )


def _distinct(refs: Sequence[str]) -> list[str]:
    """The references, with a number behind each that was there before."""
    seen: dict[str, int] = {}
    names = []
    for ref in refs:
        seen[ref] = seen.get(ref, 0) + 1
        names.append(f"{ref} ({seen[ref]})" if seen[ref] > 1 else ref)
    return names
