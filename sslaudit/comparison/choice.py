"""Which of several encoders to take: the table that ends a run of two or more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sslaudit.comparison.ranking import Ranking, Standing, rank
from sslaudit.comparison.sentences import joined
from sslaudit.errors import CardError
from sslaudit.extraction.speed import FASTER, alike
from sslaudit.numbers import number
from sslaudit.report import phrases, words
from sslaudit.report.card import MetricRecord, ReportCard

RULE = (
    f"Cheapest: most images a second; encoders within {100 * (FASTER - 1):.0f} % of the fastest, or of its "
    "architecture, count as equally fast: of them the fewest parameters, then the best value. Speed was "
    "measured once, of the encoder alone."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One encoder of the table."""

    card: ReportCard
    standing: Standing | None = None
    """None where nothing could be ranked, and for an encoder that failed a check."""
    mark: str = ""
    """In capitals, why it stands below; empty for an encoder that passed its checks."""
    reason: str = ""

    @property
    def speed(self) -> float | None:
        """Images a second; None where it was not measured."""
        return self.card.provenance.images_per_second

    @property
    def architecture(self) -> tuple[str, int, tuple[int, int]]:
        """What costs the same: name, parameters and input size."""
        encoder = self.card.encoder
        return encoder.name, encoder.parameters, encoder.preprocess.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Encoders of one run, best first; those that failed a check below, in the order given."""

    candidates: tuple[Candidate, ...]
    ranking: Ranking | None
    unranked: str
    """Why there are no ranks; empty where there are."""

    @property
    def top(self) -> tuple[Candidate, ...]:
        """The encoders that none is better than for certain."""
        return tuple(one for one in self.candidates if one.standing is not None and one.standing.rank == 1)

    @property
    def cheapest(self) -> Candidate | None:
        """Of the top group, by ``RULE``; by parameters alone where a speed is missing. None without ranks."""
        near = self.top
        rated = [(one.speed, one) for one in self.top if one.speed is not None]
        if rated and len(rated) == len(near):
            most, fastest = max(rated, key=lambda pair: pair[0])
            near = tuple(
                one for speed, one in rated if alike(speed, most) or one.architecture == fastest.architecture
            )
        return min(near, key=lambda one: one.card.encoder.parameters, default=None)


def select(cards: Sequence[ReportCard]) -> Selection:
    """The cards of one run as a table. A card with a failed check is not ranked."""
    good = [card for card in cards if not card.failed_checks]
    below = [
        Candidate(card=card, mark=failed[0], reason=failed[1])
        for card in cards
        if (failed := words.failure(card))
    ]
    if len(good) < 2:
        why = "no encoder passed its checks" if not good else "only one encoder passed its checks"
        return Selection(candidates=(*_unranked(good), *below), ranking=None, unranked=f"{why}.")
    try:
        ranking = rank(on_plain_images(good))
    except CardError as error:
        return Selection(candidates=(*_unranked(good), *below), ranking=None, unranked=str(error))
    ranked = [Candidate(card=good[one.place], standing=one) for one in ranking.standings]
    return Selection(candidates=(*ranked, *below), ranking=ranking, unranked="")


def on_plain_images(cards: Sequence[ReportCard]) -> list[ReportCard]:
    """The cards, with the views of the first where no accuracy reads views.

    Plain images are the same whatever recipe gives the views, and each encoder may have its own.
    """
    accuracies = [r for card in cards for r in card.metrics if r.group == "quality" and r.value is not None]
    if any(record.n_views > 1 for record in accuracies):
        return list(cards)
    first = cards[0].data
    return [
        replace(
            card,
            data=replace(card.data, recipe=first.recipe, views=first.views, views_mode=first.views_mode),
        )
        for card in cards
    ]


def sentence(selection: Selection) -> str:
    """Which encoder of the top group is the cheapest, and which others are no better; empty without ranks."""
    chosen = selection.cheapest
    if chosen is None:
        return ""
    made, name = chosen.card.provenance, _name(chosen.card)
    speed = (
        "speed not measured" if chosen.speed is None else f"{rate(chosen.speed)} images/s on {made.device}"
    )
    cost = f"{speed}, {phrases.count(chosen.card.encoder.parameters)} parameters"
    others = [_name(one.card) for one in selection.top if one is not chosen]
    if not others:
        return f"Alone in the top group: {name}, {cost}."
    are = "is" if len(others) == 1 else "are"
    return f"Cheapest of the top group: {name}, {cost}; {joined(others)} {are} not better for certain."


def of_the_data(selection: Selection) -> list[str]:
    """What is of the data, and so no matter of the encoders; each number once, and where it was taken if
    there are several, since encoders see the images at their own size.
    """
    found: dict[str, dict[str, str]] = {}
    for candidate in selection.candidates:
        card = candidate.card
        height, width = card.encoder.preprocess.size
        for record in card.metrics:
            if record.group == "data" and record.value is not None:
                where = f"at {height} x {width} px, recipe {card.data.recipe}"
                found.setdefault(record.summary, {}).setdefault(_said(record, record.value), where)
    return [f"{summary} {_listed(values)}" for summary, values in found.items()]


def rate(speed: float) -> str:
    """Images a second, ``1.2 M``, ``1,240`` or ``3.2``."""
    if speed >= 1e6:
        return phrases.count(round(speed))
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.2g}"


def _listed(values: Mapping[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{said} {where}" for said, where in values.items())


def _said(record: MetricRecord, value: float) -> str:
    interval = f" {words.interval(record)}" if record.interval else ""
    beside = f" ({words.beside(record)})" if words.beside(record) else ""
    return f"{number(value)}{interval}{beside}"


def _name(card: ReportCard) -> str:
    return phrases.cut(card.encoder.ref, 40)


def _unranked(cards: Sequence[ReportCard]) -> list[Candidate]:
    return [Candidate(card=card) for card in cards]
