"""Cards of one training run as curves over epochs."""

import re
from collections.abc import Mapping, Sequence

from sslaudit.comparison.comparable import counterpart
from sslaudit.figures import Curve, Series
from sslaudit.report.card import MetricRecord, ReportCard

_FACTS = ("method", "recipe", "trained on", "training data digest", "training seed", "learning rate")
_TOLD = (
    "Checkpoints are taken for one run where method, recipe, training data, architecture, seed, learning "
    "rate and length agree."
)
_MISSING = (
    "Epochs are not drawn: different checkpoints of one epoch agree in method, recipe, training data, "
    "architecture, seed, learning rate and length: compare the checkpoints of each run on their own."
)

Run = tuple[str, ...]


def epoch_of(card: ReportCard) -> int | None:
    """After how many epochs the encoder was saved; None where its file does not say, or it is a control."""
    said = re.match(r"(\d+) of \d+", card.encoder.facts.get("epoch", ""))
    return int(said[1]) if said and "weights" not in card.encoder.facts else None


def runs(cards: Sequence[ReportCard]) -> list[list[ReportCard]]:
    """Cards of the same run with two epochs at least, by epoch; one of those with equal weights."""
    return [
        [of_run[epoch][0] for epoch in sorted(of_run)]
        for of_run in _by_run(cards)
        if len(of_run) > 1 and not _mixed(of_run)
    ]


def about_runs(cards: Sequence[ReportCard]) -> str:
    """What runs are told by where some are drawn, what is missing where some could not be; else empty."""
    if runs(cards):
        return _TOLD
    return _MISSING if any(len(of_run) > 1 and _mixed(of_run) for of_run in _by_run(cards)) else ""


def curves(cards: Sequence[ReportCard], deciding: MetricRecord) -> tuple[Curve, ...]:
    """The deciding accuracy and the factors over epochs, a line for each run; empty where there is none."""
    of_runs = runs(cards)
    if not of_runs:
        return ()
    factors = [record for record in of_runs[0][0].metrics if record.group == "factor" and not record.minor]
    records = [deciding, *sorted(factors, key=lambda record: record.space == "projection")]
    drawn = []
    for record in records:
        series = [
            line
            for number, run in enumerate(of_runs, 1)
            if (line := _line(run, record, number if len(of_runs) > 1 else 0)) is not None
        ]
        if series:
            where = ", projection z" if record.space == "projection" else ""
            better = f"{record.direction} is better" if record.direction in ("higher", "lower") else ""
            drawn.append(
                Curve(
                    title=f"{record.summary}{where} by epoch",
                    x_label="epoch",
                    y_label=record.unit or record.summary,
                    series=series,
                    note=f"Bands are 95 % intervals{f'; {better}' if better else ''}.",
                )
            )
    return tuple(drawn)


def _line(run: Sequence[ReportCard], record: MetricRecord, number: int) -> Series | None:
    found = [
        (epoch_of(card), one, one.value, one.interval)
        for card in run
        if (one := counterpart(card, record)) is not None and one.version == record.version
    ]
    there = [
        (epoch, value, interval)
        for epoch, _, value, interval in found
        if epoch is not None and value is not None
    ]
    if len(there) < 2:
        return None
    bands = [interval for _, _, interval in there if interval is not None]
    name = run[0].encoder.facts.get("method", run[0].encoder.name)
    return Series(
        name=f"{name}, run {number}" if number else name,
        x=[epoch for epoch, _, _ in there],
        y=[value for _, value, _ in there],
        low=[band.low for band in bands] if len(bands) == len(there) else None,
        high=[band.high for band in bands] if len(bands) == len(there) else None,
    )


def _by_run(cards: Sequence[ReportCard]) -> list[dict[int, list[ReportCard]]]:
    """Cards by run and epoch."""
    found: dict[Run, dict[int, list[ReportCard]]] = {}
    for card in cards:
        if (epoch := epoch_of(card)) is not None:
            found.setdefault(_run(card), {}).setdefault(epoch, []).append(card)
    return list(found.values())


def _mixed(of_run: Mapping[int, Sequence[ReportCard]]) -> bool:
    """Whether two encoders claim one epoch, so that these are two runs that no fact tells apart."""
    return any(len({card.encoder.digest for card in held}) > 1 for held in of_run.values())


def _run(card: ReportCard) -> Run:
    facts = card.encoder.facts
    length = re.sub(r"^\d+ of (\d+).*", r"\1", facts.get("epoch", ""))
    return (
        *(facts.get(name, "") for name in _FACTS),
        card.encoder.name,
        str(card.encoder.parameters),
        length,
    )
