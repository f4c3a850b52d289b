"""The result of a sweep: rows by methods, what goes with accuracy, and whether rows stand as reported.

An interval over seeds is Student's: it takes the values of the seeds for normal. One over images is a
bootstrap of the mean over seeds. Neither covers the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from sslaudit.correlation import RankCorrelation, kendall, spearman
from sslaudit.refs import DataRef
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.samples import by_image, scored_by
from sslaudit.results import Interval
from sslaudit.stats import bootstrap_mean
from sslaudit.sweep.plan import Run, Sweep
from sslaudit.sweep.suite import Published

LEVEL = 0.95

Verdict = Literal["as reported", "reversed", "not separated", "the same views", "not measured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One metric of one method and row, over seeds."""

    term: str
    label: str
    at: str
    """What stands beside the value, such as delta."""
    direction: str
    of_data: bool
    """Whether it read no features, so that methods and seeds have the same value."""
    value: float | None
    """Mean over seeds."""
    seeds: dict[str, float]
    """By seed."""
    over_seeds: Interval | None
    """None for one seed, and for what is the same for all seeds."""
    over_images: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What was measured of one method trained with one row's recipe."""

    method: str
    row: str
    recipe: str
    accuracy: Measured
    against: tuple[Measured, ...]
    left_out: dict[str, str]
    """By seed, why a run is not in the means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two rows of which the source reports the first as more accurate."""

    method: str
    better: str
    worse: str
    verdict: Verdict
    difference: float | None
    """Accuracy of the first minus the second: mean over the seeds of both."""
    interval: Interval | None
    seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GoesWith:
    """How a metric goes with accuracy over the rows of one method."""

    method: str
    term: str
    label: str
    at: str
    direction: str
    rows: tuple[str, ...]
    """Those that have both; of rows with the same views only the first."""
    spearman: RankCorrelation
    kendall: RankCorrelation


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Everything that a sweep found."""

    suite: str
    version: int
    summary: str
    source: str
    scale: str
    scale_summary: str
    data: str
    data_digest: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    same: tuple[tuple[str, str], ...]
    """Rows whose views are those of an earlier row, so that weights are equal bit by bit."""
    pairs: tuple[Pair, ...]
    correlations: tuple[GoesWith, ...]
    failures: dict[str, str]
    """By run, why it has no card."""
    notes: tuple[str, ...]
    """Of the suite, and of the scale where it ran on the data of that."""
    published: tuple[Published, ...]
    """Reported by others, not measured here."""

    def cell(self, method: str, row: str) -> Cell | None:
        """The cell, None where nothing was measured."""
        return next((c for c in self.cells if (c.method, c.row) == (method, row)), None)

    @property
    def methods(self) -> list[str]:
        """Those of the cells, in order."""
        return list(dict.fromkeys(cell.method for cell in self.cells))


def over_seeds(values: ArrayLike, level: float = LEVEL) -> Interval | None:
    """Student's interval of the mean of ``values`` (n,), one for each seed; None for fewer than two.

    Source: Student, Biometrika 1908.
    """
    column = np.asarray(values, dtype=np.float64)
    if len(column) < 2:
        return None
    factor = student.ppf((1 + level) / 2, len(column) - 1)
    reach = factor * column.std(ddof=1) / len(column) ** 0.5
    mean = column.mean()
    method = f"Student's over {len(column)} seeds, {factor:.2f} standard errors"
    return Interval(low=mean - reach, high=mean + reach, level=level, method=method)


def make_table(sweep: Sweep, cards: Mapping[Run, ReportCard], failures: Mapping[Run, str]) -> Table:
    """The table of the runs that have a card; ``failures`` are those that have none, and why.

    A card with a failed check, as one of a collapsed encoder, is left out of all means and says so.
    """
    grouped = {
        (method, row): {
            run.seed: cards[run]
            for run in sweep.runs
            if (run.method, run.row) == (method, row) and run in cards
        }
        for method in sweep.methods
        for row in sweep.rows
    }
    cells = tuple(_cell(sweep, method, row, by_seed) for (method, row), by_seed in grouped.items() if by_seed)
    same = _same(sweep, grouped)
    scale = sweep.scale
    at_home = str(DataRef.parse(scale.data)) == sweep.data
    return Table(
        suite=sweep.suite.name,
        version=sweep.suite.version,
        summary=sweep.suite.summary,
        source=sweep.suite.source,
        scale=sweep.scale_name,
        scale_summary=scale.summary if at_home else f"{scale.summary}, but on {sweep.data}",
        data=sweep.data,
        data_digest=sweep.data_digest,
        seeds=tuple(sweep.seeds),
        cells=cells,
        same=tuple(same.items()),
        pairs=tuple(
            _pair(cells, method, better, worse, same)
            for method in sweep.methods
            for better, worse in sweep.suite.neighbours(sweep.rows)
        ),
        correlations=tuple(
            _goes_with(rows, place)
            for method in sweep.methods
            if (rows := _different(cells, method, same))
            for place in range(len(sweep.against))
        ),
        failures={str(run): reason for run, reason in failures.items()},
        notes=(*sweep.suite.notes, *(scale.notes if at_home else ())),
        published=sweep.suite.published,
    )


def _cell(sweep: Sweep, method: str, row: str, by_seed: Mapping[int, ReportCard]) -> Cell:
    left_out = {
        str(seed): f"{card.failed_checks[0].name}: {card.failed_checks[0].message}"
        for seed, card in by_seed.items()
        if card.failed_checks
    }
    sound = {seed: card for seed, card in by_seed.items() if not card.failed_checks}
    known = next(iter(by_seed.values()))
    accuracy, *against = (
        _measured(term, known.metric(term), sound) for term in (sweep.accuracy, *sweep.against)
    )
    return Cell(
        method=method,
        row=row,
        recipe=known.data.recipe,
        accuracy=accuracy,
        against=tuple(against),
        left_out=left_out,
    )


def _measured(term: str, record: MetricRecord, cards: Mapping[int, ReportCard]) -> Measured:
    found = {seed: card.metric(term) for seed, card in cards.items()}
    values = {seed: record.value for seed, record in found.items() if record.value is not None}
    of_data = not record.space
    images = next((r.interval for r in found.values()), None) if of_data or len(values) == 1 else None
    return Measured(
        term=term,
        label=record.summary,
        at=str(record.details.get("at", "")),
        direction=record.direction,
        of_data=of_data,
        value=float(np.mean(list(values.values()))) if values else None,
        seeds={str(seed): value for seed, value in values.items()},
        over_seeds=None if of_data else over_seeds(list(values.values())),
        over_images=images or _over_images(term, [cards[seed] for seed in values]),
    )


def _over_images(term: str, cards: Sequence[ReportCard]) -> Interval | None:
    """A bootstrap over images of the mean over seeds; None where cards say nothing of single images."""
    columns = [card.samples for card in cards]
    if not columns or not (name := scored_by(term, *columns)):
        return None
    mean = np.mean([by_image(column[name]) for column in columns], axis=0)
    mean = mean.reshape(len(mean), -1).mean(axis=1)  # of few-shot, over its draws
    mean = mean[~np.isnan(mean)]
    return bootstrap_mean(mean, np.random.default_rng(0)) if len(mean) > 1 else None


def _same(sweep: Sweep, grouped: Mapping[tuple[str, str], Mapping[int, ReportCard]]) -> dict[str, str]:
    """Rows whose encoders are bit by bit those of an earlier row, wherever both were trained."""
    found: dict[str, str] = {}
    for place, later in enumerate(sweep.rows):
        for earlier in sweep.rows[:place]:
            digests = [
                (card.encoder.digest, grouped[method, later][seed].encoder.digest)
                for method in sweep.methods
                for seed, card in grouped[method, earlier].items()
                if seed in grouped[method, later]
            ]
            if digests and all(a == b for a, b in digests):
                found[later] = earlier
                break
    return found


def _pair(cells: Sequence[Cell], method: str, better: str, worse: str, same: Mapping[str, str]) -> Pair:
    ours, theirs = (
        next((c.accuracy.seeds for c in cells if (c.method, c.row) == (method, row)), {})
        for row in (better, worse)
    )
    common = [seed for seed in ours if seed in theirs]
    differences = [ours[seed] - theirs[seed] for seed in common]
    interval = over_seeds(differences)
    verdict: Verdict
    if not differences:
        verdict = "not measured"
    elif same.get(better, better) == same.get(worse, worse):
        verdict = "the same views"
    elif interval is None or interval.low <= 0 <= interval.high:
        verdict = "not separated"
    else:
        verdict = "as reported" if interval.low > 0 else "reversed"
    return Pair(
        method=method,
        better=better,
        worse=worse,
        verdict=verdict,
        difference=float(np.mean(differences)) if differences else None,
        interval=interval,
        seeds=len(differences),
    )


def _different(cells: Sequence[Cell], method: str, same: Mapping[str, str]) -> list[Cell]:
    """Those of a method; of rows with the same views only the first that is there."""
    ours = {cell.row: cell for cell in cells if cell.method == method}
    return [cell for row, cell in ours.items() if same.get(row) not in ours]


def _goes_with(cells: Sequence[Cell], place: int) -> GoesWith:
    both = [
        (cell.row, accuracy, value)
        for cell in cells
        if (accuracy := cell.accuracy.value) is not None and (value := cell.against[place].value) is not None
    ]
    first = cells[0].against[place]
    accuracies, values = [a for _, a, _ in both], [v for _, _, v in both]
    return GoesWith(
        method=cells[0].method,
        term=first.term,
        label=first.label,
        at=first.at,
        direction=first.direction,
        rows=tuple(row for row, _, _ in both),
        spearman=spearman(values, accuracies),
        kendall=kendall(values, accuracies),
    )
