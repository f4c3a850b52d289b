"""Probes of a card on shifted images: fitted on the training images of one data set, tested on another.

The other set is a changed copy of the card's data (corrupted, stylised), whose images pair with the
originals, or holds other images of the same classes. Only probes that read embeddings and labels alone
are asked, and they do not know of it: they see the training rows in their order, and other rows to test.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sslaudit import stats
from sslaudit.data import Dataset
from sslaudit.data.shifts import Shift
from sslaudit.extraction import Embedder, OnProgress, PixelViews, features_of
from sslaudit.inputs import Labels
from sslaudit.kept import KeptEstimates
from sslaudit.measure import Materials, Measured, measure
from sslaudit.plan import Plan, PlannedMetric, Space
from sslaudit.report.card import MetricRecord
from sslaudit.report.samples import by_image
from sslaudit.report.shifted import ShiftReading, ShiftRecord
from sslaudit.results import Interval
from sslaudit.store import Features

_SEED = 0
"""Of bootstraps."""


def measure_shift(
    shift: Shift,
    data: Dataset,
    embedder: Embedder,
    features: Mapping[Space, Features],
    plan: Plan,
    measured: Measured,
    *,
    cache: Path,
    seed: int,
    on_progress: OnProgress | None = None,
    on_metric: Callable[[str], None] = lambda term: None,
) -> ShiftRecord:
    """The probes of ``plan`` on the shifted images, beside what they gave on the card's own.

    ``features`` are those of ``data`` by ``embedder``, and ``measured`` what ``plan`` gave on them.
    Costs a pass over the identity views of the shifted images, and fits the probes again. Raises
    ``StoreError``.
    """
    probes, notes = _probes(plan, measured)
    readings: list[ShiftReading] = []
    if probes.metrics:
        there = measure(
            probes,
            _materials(shift, data, embedder, features, probes, cache, on_progress),
            seed=seed,
            on_metric=lambda term: on_metric(f"{term} on {shift.images.ref}"),
        )
        notes += there.problems
        readings = [
            reading
            for metric in probes.metrics
            for record in there.records
            if (record.term, record.space) == (metric.term, metric.space)
            and (reading := _reading(metric, record, shift, data, measured.samples, there.samples))
        ]
    return ShiftRecord(
        ref=shift.images.ref,
        digest=shift.images.digest,
        images=len(shift.images),
        classes=len(np.unique(shift.labels)),
        paired=shift.originals is not None,
        sentence=shift.sentence,
        left_out=dict(shift.left_out),
        leaks=shift.leaks,
        notes=tuple(notes),
        readings=tuple(readings),
    )


def paired_drop(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, *, balanced: bool, rng: np.random.Generator
) -> tuple[float, Interval | None]:
    """Accuracy ``before`` minus ``after`` on the same images in the same order, (n,) or (n, R) each.

    The interval is a bootstrap over images and draws. Where no image changes it reaches as far as the
    changes that so few images can hide. None for one image.
    """
    if len(before) < 2:
        return float((before - after).mean()), None
    if not balanced:
        return stats.difference_of_accuracies(before, after, rng)
    tested = np.bincount(labels)
    first, second = (stats.balancing(correct, labels) for correct in (before, after))
    return stats.difference_of_accuracies(first, second, rng, tested[tested > 0])


def independent_drop(before: float, limits: Interval, after: float, others: Interval) -> Interval:
    """Interval of ``before`` - ``after`` from the intervals of two values on different images.

    Their distances to their limits are combined as roots of summed squares. Draws that both share make
    it wide rather than short. Source: Newcombe, Statistics in Medicine 1998, method 10, for two
    proportions; Zou and Donner, Statistics in Medicine 2008 (MOVER), in general.
    """
    drop = before - after
    both = limits.method if limits.method == others.method else f"{limits.method}; {others.method}"
    return Interval(
        low=drop - float(np.hypot(before - limits.low, others.high - after)),
        high=drop + float(np.hypot(limits.high - before, after - others.low)),
        level=limits.level,
        method=f"two intervals ({both}) combined (Newcombe's hybrid, MOVER)",
    )


class _Rows(Features):
    """Identity views of some rows of other features, one after another: (N, 1, D)."""

    def __init__(self, pieces: Sequence[tuple[Features, np.ndarray]]) -> None:
        self._pieces = pieces  # rows in ascending order
        self.shape = (sum(len(rows) for _, rows in pieces), 1, pieces[0][0].shape[2])

    def _blocks(self) -> Iterator[np.ndarray]:
        for features, rows in self._pieces:
            for place, block in features.chunks():
                first, last = np.searchsorted(rows, (place.start, place.stop))
                if first < last:
                    yield block[rows[first:last] - place.start, :1]


def _probes(plan: Plan, measured: Measured) -> tuple[Plan, list[str]]:
    """The metrics that say of each image whether it was right, from embeddings alone; what else there is."""
    said = {column.rpartition("/")[0] for column in measured.samples if column.endswith("/correct")}

    def says(metric: PlannedMetric) -> bool:
        return any(key == metric.key or key.startswith(f"{metric.key}.") for key in said)

    able = [metric for metric in plan.metrics if metric.spec.needs.labels is True and says(metric)]
    chosen = [metric for metric in able if metric.spec.needs.embeddings_alone]
    rest = [metric.key for metric in able if not metric.spec.needs.embeddings_alone]
    notes = [f"Not under shift, since they read more than embeddings: {', '.join(rest)}."] if rest else []
    if not able:
        notes = ["no metric of this card says of each test image whether it was right."]
    return Plan(metrics=tuple(chosen)), notes


def _materials(
    shift: Shift,
    data: Dataset,
    embedder: Embedder,
    features: Mapping[Space, Features],
    probes: Plan,
    cache: Path,
    on_progress: OnProgress | None,
) -> Materials:
    """Training rows of ``data`` in their order, then the shifted images."""
    assert data.labels is not None
    encoder = embedder.encoder
    seen: dict[Space, Features] = {}
    for space in probes.spaces:
        how = replace(embedder.how, views=1, space=space)
        seen[space] = features_of(
            encoder,
            shift.images,
            how,
            cache=cache,
            embedder=embedder.of(how),
            embedded=seen.get("embedding"),
            on_progress=on_progress,
        )
    known, new = len(data.train), len(shift.labels)
    labels = Labels(
        values=np.concatenate([data.labels[data.train], shift.labels]),
        classes=data.classes,
        train=np.arange(known),
        test=np.arange(known, known + new),
    )
    rows = np.arange(new)
    return Materials(
        features={space: _Rows([(features[space], data.train), (seen[space], rows)]) for space in seen},
        pixels=PixelViews(shift.images, replace(embedder.how, views=1), encoder.preprocess),
        labels=labels,
        train=labels.train,
        kept=KeptEstimates({}, cache / "estimates", {}),
        encoder=None,
        images=known + new,
        views=1,
        unscorable="",
        device=embedder.how.device,
    )


def _reading(
    metric: PlannedMetric,
    record: MetricRecord,
    shift: Shift,
    data: Dataset,
    ours: Mapping[str, Sequence[Any]],
    theirs: Mapping[str, Sequence[Any]],
) -> ShiftReading | None:
    """One estimate under shift; None for one that does not say of each image whether it was right."""
    part = record.name.removeprefix(metric.spec.name)
    column = f"{metric.key}{part}/correct"
    if column not in ours and record.value is not None:
        return None
    uneven = shift.originals is None and stats.size_ratio(shift.labels) > stats.UNEVEN
    reading = ShiftReading(
        term=f"{record.term}{part}",
        summary=record.summary,
        space=record.space,
        minor=record.minor,
        balanced=f"{metric.key}{part}/score" in ours or uneven,
        reason=record.reason,
    )
    if column not in ours or column not in theirs:
        return reading
    assert data.labels is not None
    rows = shift.originals
    if rows is None:
        rows = data.test[np.isin(data.labels[data.test], shift.labels)]
    return replace(
        reading,
        **_compared(
            by_image(ours[column])[rows],
            data.labels[rows],
            by_image(theirs[column])[len(data.train) :],
            shift.labels,
            paired=shift.originals is not None,
            balanced=reading.balanced,
        ),
    )


def _compared(
    before: np.ndarray,
    classes: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    *,
    paired: bool,
    balanced: bool,
) -> dict[str, Any]:
    """Both accuracies and the drop, as fields of a ``ShiftReading``."""
    rng = np.random.default_rng(_SEED)
    value, interval = stats.accuracy(after, labels, balanced=balanced, rng=rng)
    fields: dict[str, Any] = {"value": value, "interval": interval}
    if not len(before):
        return {**fields, "reason": "the data has no test image of these classes"}
    clean, limits = stats.accuracy(before, classes, balanced=balanced, rng=rng)
    if paired:
        drop, between = paired_drop(before, after, labels, balanced=balanced, rng=rng)
    else:
        drop = clean - value
        between = independent_drop(clean, limits, value, interval) if limits and interval else None
    return {**fields, "clean_value": clean, "drop": drop, "drop_interval": between}
