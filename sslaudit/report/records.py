"""From what a run used to the records of its card."""

from collections.abc import Sequence
from dataclasses import asdict

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.extraction import Extraction
from sslaudit.report.card import DataRecord, EncoderRecord, LoadRecord, PreprocessRecord


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


def data_record(data: Dataset, how: Extraction, encoder: Encoder, *, assumed: bool) -> DataRecord:
    """Which data, seen through which views; ``assumed`` when nothing named the recipe."""
    return DataRecord(
        ref=data.ref,
        digest=data.digest,
        images=len(data),
        classes=data.classes,
        splits={"train": len(data.train), "test": len(data.test)},
        split_rule=data.split_rule,
        recipe=how.recipe.key(),
        recipe_assumed=assumed,
        recipe_details=how.recipe.describe(encoder.preprocess.size),
        views=how.views,
        views_mode=how.views_mode,
        seed=how.seed,
        skipped=data.skipped,
    )


def identity_columns(data: Dataset) -> dict[str, Sequence[str]]:
    """The columns that say which image a row of ``samples.parquet`` is: ``id`` and ``class``."""
    # Parquet holds UTF-8: a file name that is not keeps its bytes as escapes.
    ids = [name.encode("utf-8", "backslashreplace").decode() for name in data.ids]
    if data.labels is None:
        return {"id": ids}
    names = [name.encode("utf-8", "backslashreplace").decode() for name in data.classes]
    return {"id": ids, "class": [names[label] for label in data.labels]}
