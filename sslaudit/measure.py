"""Runs the metrics of a plan and turns their estimates into records."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sslaudit.described import formula
from sslaudit.encoder import Encoder
from sslaudit.errors import EncoderError, MetricError, StoreError
from sslaudit.extraction import AlteredImages, PixelViews
from sslaudit.inputs import Labels, MetricInputs
from sslaudit.kept import KeptEstimates
from sslaudit.plan import Plan, PlannedMetric, Space
from sslaudit.report.card import MetricRecord
from sslaudit.results import Estimate
from sslaudit.store import Features

ROUNDING = 1e-6
"""How far a value may lie outside of the range that its metric declares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Materials:
    """Everything metrics may ask for."""

    features: Mapping[Space, Features]
    pixels: PixelViews
    labels: Labels | None
    train: np.ndarray
    """Indices of the images that may be fitted on."""
    kept: KeptEstimates
    encoder: Encoder | None
    images: int
    views: int
    altered: Mapping[Space, AlteredImages] = field(default_factory=dict)
    unscorable: str
    """Why no score would mean anything; empty when all is well."""
    device: str = "cpu"
    keep_all: bool = False
    """Whether estimates are kept that depend on features, which ``kept`` then names."""
    held: dict[str, dict[Hashable, Any]] = field(default_factory=dict)
    """By space, what metrics made and share."""


@dataclass(slots=True)
class Measured:
    """Records of all metrics, their columns by image, and what went wrong."""

    records: tuple[MetricRecord, ...] = ()
    samples: dict[str, Sequence[Any]] = field(default_factory=dict)
    tables: dict[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """Tables of the estimates, by key of the metric and name of the estimate."""
    problems: list[str] = field(default_factory=list)


def measure(
    plan: Plan,
    materials: Materials,
    *,
    seed: int,
    on_metric: Callable[[str], None] = lambda term: None,
) -> Measured:
    """Run every metric. One that raises gets the verdict ``error``; the others go on.

    ``on_metric`` hears of each by its term before it runs.
    """
    measured = Measured()
    records: list[MetricRecord] = []
    results: dict[str, dict[str, Estimate]] = {}
    for metric in plan.metrics:
        clock = time.perf_counter()
        on_metric(metric.term)
        estimates = _estimates(metric, materials, _read_by(metric, results), seed, measured.problems)
        seconds = round((time.perf_counter() - clock) / len(estimates), 4)
        results[metric.key] = estimates
        how = formula(metric.spec)
        for part, estimate in estimates.items():
            name = _named(metric.spec.name, part)
            records.append(_record(metric, name, estimate, materials, formula=how, seconds=seconds))
            prefix = _named(metric.key, part)
            measured.tables[prefix] = estimate.tables
            for column, values in estimate.samples.items():
                measured.samples[f"{prefix}/{column}"] = values
    measured.records = tuple(records)
    return measured


def _named(metric: str, part: str) -> str:
    return f"{metric}.{part}" if part else metric


def _read_by(metric: PlannedMetric, results: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """The results that ``metric`` declared to read, by name of the metric and of the estimate."""
    return {
        _named(name, part): estimate
        for name, key in metric.reads.items()
        for part, estimate in results[key].items()
    }


def _estimates(
    metric: PlannedMetric,
    materials: Materials,
    results: Mapping[str, Estimate],
    seed: int,
    problems: list[str],
) -> dict[str, Estimate]:
    if reason := _not_applicable(metric, materials):
        return {"": Estimate.not_applicable(reason)}
    inputs = MetricInputs(
        metric.spec,
        options=metric.options,
        seed=seed,
        features=materials.features.get(metric.space) if metric.space else None,
        pixels=materials.pixels,
        labels=materials.labels,
        train=materials.train,
        encoder=materials.encoder,
        altered=materials.altered.get(metric.space) if metric.space else None,
        results=results,
        device=materials.device,
        held=materials.held.setdefault(metric.space, {}),
    )

    def compute() -> dict[str, Estimate]:
        answer = metric.spec.compute(inputs)
        estimates = dict(answer) if isinstance(answer, Mapping) else {"": answer}
        _check_answer(metric, estimates, materials.images)
        return estimates

    try:
        return (
            materials.kept.of(metric, seed, compute)
            if materials.keep_all or metric.spec.data_scoped
            else compute()
        )
    except StoreError:
        raise
    except EncoderError as error:  # such as embeddings of zeros: no fault of the metric
        return {"": Estimate.not_applicable(" ".join(str(error).split()))}
    except Exception as error:  # a metric may be anybody's code: its failure is a line on the card
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        problems.append(f"metric '{metric.term}' of {metric.plugin} failed: {reason}")
        return {"": Estimate(value=None, reason=reason, verdict="error")}


def _not_applicable(metric: PlannedMetric, materials: Materials) -> str:
    needs = metric.spec.needs
    if materials.unscorable and not metric.spec.data_scoped:
        return f"not computed: {materials.unscorable}"
    if metric.space and metric.space not in materials.features:
        return f"the encoder has no {metric.space} space"
    if max(needs.views, needs.pixel_views) > materials.views:
        return (
            f"needs {max(needs.views, needs.pixel_views)} views of each image; this run has {materials.views}"
        )
    return _labels_missing(metric, materials.labels) if needs.labels is True else ""


def _labels_missing(metric: PlannedMetric, labels: Labels | None) -> str:
    if labels is None:
        return "the data has no labels"
    if len(labels.classes) < 2:
        return f"the data has one class only ('{labels.classes[0]}')"
    if not len(labels.train) or not len(labels.test):
        return "the data has no held-out images" if len(labels.train) else "the data has no training images"
    counts = np.bincount(labels.values[labels.train], minlength=len(labels.classes))
    fewest = int(counts.argmin())
    if counts[fewest] < metric.spec.needs.min_per_class:
        needed = metric.spec.needs.min_per_class
        return f"class '{labels.classes[fewest]}' has {counts[fewest]} training images; needs {needed}"
    return ""


def _check_answer(metric: PlannedMetric, estimates: Mapping[str, Estimate], images: int) -> None:
    if not estimates:
        raise MetricError("it gave no estimate")
    for estimate in estimates.values():
        if not isinstance(estimate, Estimate):
            raise MetricError(f"it gave a {type(estimate).__name__}, not an Estimate")
        _check_range(metric, estimate)
        for column, values in estimate.samples.items():
            if len(values) != images:
                raise MetricError(f"its column '{column}' has {len(values)} entries for {images} images")


def _check_range(metric: PlannedMetric, estimate: Estimate) -> None:
    """Refuses a value that cannot be."""
    low, high = metric.spec.range
    value = estimate.value
    if value is None:
        return
    if (low is not None and value < low - ROUNDING) or (high is not None and value > high + ROUNDING):
        raise MetricError(f"it gave {value}, outside of its range {low} to {high}")


def _record(
    metric: PlannedMetric,
    name: str,
    estimate: Estimate,
    materials: Materials,
    *,
    formula: str,
    seconds: float,
) -> MetricRecord:
    spec = metric.spec
    return MetricRecord(
        name=name,
        term=metric.term,
        version=spec.version,
        plugin=metric.plugin,
        source=spec.source,
        summary=estimate.label or metric.label,
        paper=estimate.paper or spec.paper,
        formula=formula,
        group=spec.group,
        options=dict(metric.options),
        value=estimate.value,
        reason=estimate.reason,
        interval=estimate.interval,
        no_interval=estimate.no_interval,
        direction=spec.direction,
        unit=estimate.unit or spec.unit,
        claim=estimate.claim,
        bias=estimate.bias,
        verdict=estimate.verdict,
        minor=estimate.minor,
        note=estimate.note,
        headline=dict(estimate.headline),
        details=dict(estimate.details),
        figures=tuple(estimate.figures),
        n_images=materials.images,
        n_views=materials.views if max(spec.needs.views, spec.needs.pixel_views) else 1,
        space=metric.space,
        seconds=seconds,
    )
