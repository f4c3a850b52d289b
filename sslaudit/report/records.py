"""From what a run used to the records of its card."""

import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.registry import Registry
from sslaudit.report.card import DataRecord, EncoderRecord, LoadRecord, PreprocessRecord, Provenance, utf8
from sslaudit.report.phrases import plural

if TYPE_CHECKING:  # it imports all augmentations, which an inspection does without
    from sslaudit.extraction import Choice, Extraction


def encoder_record(encoder: Encoder) -> EncoderRecord:
    """Which encoder, how it was loaded, and how its images are prepared."""
    return EncoderRecord(
        ref=encoder.ref,
        name=encoder.name,
        digest=encoder.digest,
        dim=encoder.dim,
        parameters=encoder.parameters,
        modality=encoder.modality,
        preprocess=PreprocessRecord(**asdict(encoder.preprocess)),
        facts=dict(encoder.facts),
        load=LoadRecord(**asdict(encoder.load)),
    )


def data_record(
    data: Dataset, how: "Extraction", encoder: Encoder, *, assumed: bool, own: bool
) -> DataRecord:
    """Which data, seen through which views; ``assumed`` when nothing named the recipe, ``own`` when it
    is the one that the encoder was trained with."""
    return DataRecord(
        ref=data.ref,
        digest=data.digest,
        images=len(data),
        classes=data.classes,
        splits={"train": len(data.train), "test": len(data.test)},
        split_rule=data.split_rule,
        recipe=how.recipe.key(),
        recipe_assumed=assumed,
        recipe_own=own,
        recipe_details=how.recipe.describe(encoder.preprocess.size),
        views=how.views,
        views_mode=how.views_mode,
        seed=how.seed,
        skipped=data.skipped,
    )


def identity_columns(data: Dataset) -> dict[str, Sequence[str]]:
    """The columns that say which image a row of ``samples.parquet`` is: ``id`` and ``class``."""
    ids = [utf8(name) for name in data.ids]
    if data.labels is None:
        return {"id": ids}
    return {"id": ids, "class": [utf8(data.classes[label]) for label in data.labels]}


def provenance(
    registry: Registry,
    how: "Extraction",
    choice: "Choice",
    *,
    floor: float | None,
    cached: int,
    speed: float | None,
    started: datetime,
    clock: float,
) -> Provenance:
    """How the run was made.

    ``speed`` is in images a second, ``cached`` are views; ``clock`` is ``time.perf_counter()`` at the start.
    """
    return Provenance(
        sslaudit=version("sslaudit"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        device=_device_name(how.device),
        precision=how.precision,
        precision_floor=floor,
        precision_reason=choice.reason,
        compiled=how.compiled,
        batch_size=how.batch_size,
        command=shlex.join(["sslaudit", *sys.argv[1:]]),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
        cached_views=cached,
        images_per_second=speed,
        plugins={p.name: f"{p.distribution} {p.version}" for p in registry.plugins if p.offers},
    )


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = plural(torch.get_num_threads(), "thread", "threads")
    return f"{device} ({threads})" if device == "cpu" else device
