"""Which cards may be compared, and on what: same images, seen in the same way, measured in the same way."""

from collections.abc import Sequence

from sslaudit.errors import CardError
from sslaudit.report.card import MetricRecord, ReportCard

_SAME = {
    "digest": "evaluate both on the same data, with the same --max-images, --per-class and splits",
    "recipe": "evaluate both with the same --recipe",
    "views": "evaluate both with the same --views",
    "views_mode": "evaluate both with the same --views-mode",
    "seed": "evaluate both with the same --seed",
}
"""Fields of the data, and what to do where they differ."""

_SHOWN = 60


def check_comparable(cards: Sequence[ReportCard], names: Sequence[str] = ()) -> None:
    """Raises ``CardError`` for a card with a failed check, and where cards are not of the same images seen in
    the same way and precision, naming the field, both values and what to do. A PARTIAL or COLLAPSED encoder
    is compared with nothing.

    ``names`` are the cards as the user wrote them, the references of their encoders where there are none.
    """
    if not cards:
        raise CardError("there is no card to compare.")
    names = names or [card.encoder.ref for card in cards]
    for card, name in zip(cards, names, strict=True):
        if failed := next(iter(card.failed_checks), None):
            raise CardError(
                f"the card of {name} failed its check '{failed.name}': {failed.message}. "
                "It is left out of every comparison."
            )
        for field, remedy in _SAME.items():
            _check_same(
                f"data {field}",
                getattr(cards[0].data, field),
                getattr(card.data, field),
                names[0],
                name,
                remedy,
            )
        _check_same(
            "precision",
            cards[0].provenance.precision,
            card.provenance.precision,
            names[0],
            name,
            "evaluate both with the same --precision, such as fp32",
        )


def common_accuracy(
    cards: Sequence[ReportCard], term: str | None = None, names: Sequence[str] = ()
) -> list[MetricRecord]:
    """The record of each card of one accuracy: ``term``, or the first of the first card that all cards have.

    ``term`` is a row such as ``knn``, ``few-shot.probe-5`` or ``projection:knn``. Raises ``CardError`` naming
    the card that lacks it, and the version or option that differs.
    """
    names = names or [card.encoder.ref for card in cards]
    there = [record for record in cards[0].metrics if record.group == "quality" and record.value is not None]
    asked = [record for record in there if record.interval if term is None or _is(record, term)]
    for record in asked:
        found = [counterpart(card, record) for card in cards]
        if all(one is not None and one.value is not None for one in found):
            same = [one for one in found if one is not None]
            for one, name in zip(same, names, strict=True):
                if what := differs(record, one):
                    _check_same(f"'{record.row}' {what}", *_values(record, one, what), names[0], name, _AGAIN)
            return same
        if term is not None:
            lacking = next(n for n, one in zip(names, found, strict=True) if one is None or one.value is None)
            raise CardError(f"the card of {lacking} has no value of '{term}', and nothing is compared on it.")
    rows = ", ".join(dict.fromkeys(record.row for record in there)) or "none"
    if term is not None:
        raise CardError(f"the card of {names[0]} has no accuracy '{term}'; it has {rows}.")
    raise CardError(
        f"the cards have no accuracy in common: that of {names[0]} has {rows}. "
        "Evaluate the encoders with the same --metrics, on data with labels."
    )


def counterpart(card: ReportCard, record: MetricRecord) -> MetricRecord | None:
    """The record of the same row in the same space on another card; None where there is none."""
    wanted = (record.row, record.space)
    return next((one for one in card.metrics if (one.row, one.space) == wanted), None)


def differs(a: MetricRecord, b: MetricRecord) -> str:
    """What keeps values of one row from being compared: ``version`` or an option; empty for nothing."""
    if a.version != b.version:
        return "version"
    names = [*a.options, *b.options]
    return next((f"option {name}" for name in names if a.options.get(name) != b.options.get(name)), "")


def same_encoder(a: ReportCard, b: ReportCard) -> bool:
    """Whether weights and preprocessing are the same, whatever the references say."""
    return (a.encoder.digest, a.encoder.preprocess) == (b.encoder.digest, b.encoder.preprocess)


_AGAIN = "evaluate both with one version of sslaudit and its plugins, and the same --metrics"


def _values(a: MetricRecord, b: MetricRecord, what: str) -> tuple[object, object]:
    name = what.removeprefix("option ")
    return (a.version, b.version) if what == "version" else (a.options.get(name), b.options.get(name))


def _is(record: MetricRecord, term: str) -> bool:
    return term in (record.row, record.name, f"{record.space}:{record.row}")


def _check_same(field: str, ours: object, theirs: object, us: str, them: str, remedy: str) -> None:
    if ours != theirs:
        raise CardError(
            f"the cards cannot be compared: {field} is {_short(ours)} in that of {us} and {_short(theirs)} "
            f"in that of {them}; {remedy}."
        )


def _short(value: object) -> str:
    """A value; of a digest as much as is needed to tell it."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
