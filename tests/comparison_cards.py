"""Small report cards of encoders that were never run, for tests of what is done with cards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sslaudit.report.card import (
    DataRecord,
    EncoderRecord,
    LoadRecord,
    MetricRecord,
    PreprocessRecord,
    Provenance,
    ReportCard,
)
from sslaudit.results import Interval
from sslaudit.stats import bootstrap_mean, wilson


def metric(name: str, value: float | None, interval: Interval | None = None, **fields: Any) -> MetricRecord:
    """A record of ``name``, an accuracy unless ``fields`` say otherwise."""
    record = MetricRecord(
        name=name,
        term=name.partition(".")[0],
        version=1,
        plugin="stub 1.0",
        source="",
        summary=name,
        group="quality",
        options={},
        value=value,
        reason="" if value is not None else "for a test",
        interval=interval,
        no_interval="" if interval else "for a test",
        direction="higher",
        unit="fraction",
        claim="estimate",
        bias="none",
        verdict="info",
        note="",
        details={},
        figures=(),
        n_images=1,
        n_views=1,
        space="embedding",
        seconds=0.0,
    )
    return replace(record, **fields)


def card(
    ref: str,
    columns: Mapping[str, Sequence[float]] | None = None,
    *records: MetricRecord,
    facts: Mapping[str, str] | None = None,
    digest: str = "",
    factors: Mapping[str, Sequence[float]] | None = None,
) -> ReportCard:
    """The card of ``ref``: an accuracy for each 0/1 column, a factor for each of ``factors``, and more."""
    columns, factors = columns or {}, factors or {}
    accuracies = [
        metric(name, float(np.mean(column)), wilson(int(np.sum(column)), len(column)))
        for name, column in columns.items()
    ]
    spreads = [
        metric(
            name,
            float(np.mean(column)),
            bootstrap_mean(column, np.random.default_rng(0), 200),
            group="factor",
            direction="lower",
        )
        for name, column in factors.items()
    ]
    every = [*columns.values(), *factors.values()]
    n = len(every[0]) if every else 0
    return ReportCard(
        encoder=EncoderRecord(
            ref=ref,
            name="conv",
            digest=digest or f"weights of {ref}",
            dim=8,
            parameters=100,
            modality="image",
            preprocess=PreprocessRecord(
                size=(8, 8),
                mean=(0, 0, 0),
                std=(1, 1, 1),
                interpolation="bilinear",
                crop=1.0,
                source="assumed",
            ),
            facts=dict(facts or {}),
            load=LoadRecord(
                matched=1,
                expected=1,
                file="",
                branch="",
                others=(),
                prefix="",
                renamed=(),
                missing=(),
                ignored=(),
                assumptions=(),
            ),
        ),
        data=DataRecord(
            ref="photos",
            digest="d" * 64,
            images=n,
            classes=("a", "b"),
            splits={"train": 0, "test": n},
            split_rule="",
            recipe="crop@1",
            recipe_assumed=False,
            recipe_details="",
            views=2,
            views_mode="per-image",
            seed=0,
            skipped=(),
        ),
        checks=(),
        metrics=(*accuracies, *spreads, *records),
        problems=(),
        provenance=Provenance(
            sslaudit="1",
            python="3",
            torch="2",
            device="cpu",
            precision="fp32",
            precision_floor=None,
            precision_reason="",
            compiled=False,
            batch_size=1,
            command="",
            started="2026-01-01T00:00:00Z",
            seconds=0.0,
            cached_views=0,
            plugins={},
        ),
        samples={
            "id": list(range(n)),
            "class": [i % 2 for i in range(n)],
            **{f"{name}/correct": list(column) for name, column in columns.items()},
            **{f"{name}/each": list(column) for name, column in factors.items()},
        },
    )


def right(
    n: int, share: float, seed: int, *, of: np.ndarray | None = None, change: float = 0.1
) -> np.ndarray:
    """n images, right or not: a draw, or that of another encoder with a share of the images drawn anew."""
    rng = np.random.default_rng(seed)
    fresh = rng.random(n) < share
    return (fresh if of is None else np.where(rng.random(n) < change, fresh, of > 0)).astype(np.float64)
