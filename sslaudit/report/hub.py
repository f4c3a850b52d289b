"""The accuracies of a card as metadata of a Hugging Face model card, by the classes of huggingface_hub."""

from pathlib import PurePath
from typing import TYPE_CHECKING

from sslaudit.errors import CardError, RefError
from sslaudit.refs import DataRef, is_path_like
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.phrases import inert
from sslaudit.report.words import in_space

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def eval_results(card: ReportCard) -> "list[EvalResult]":
    """One result for each accuracy of the card, with its interval among the arguments of the metric.

    Raises ``CardError`` for a card that failed a check, and for one without an accuracy.
    """
    if failed := next(iter(card.failed_checks), None):
        raise CardError(
            f"the card of {card.encoder.ref} failed its check '{failed.name}': {failed.message}. "
            "Its numbers are not to be published."
        )
    found = [record for record in card.metrics if _is_accuracy(record)]
    if not found:
        raise CardError(f"the card of {card.encoder.ref} has no accuracy to publish.")
    return [_result(card, record) for record in found]


def metadata(card: ReportCard) -> str:
    """The block of YAML at the head of a model card, with its ``model-index``. Raises as ``eval_results``."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(model_name=inert(card.encoder.name), eval_results=eval_results(card))
    return f"---\n{data.to_yaml()}\n---\n"


def is_metadata(text: str) -> bool:
    """Whether ``text`` is a block of results and nothing else, as ``metadata`` writes it."""
    lines = text.splitlines()
    inside = all(line.startswith(("- ", "  ")) for line in lines[2:-1])
    return lines[:2] == ["---", "model-index:"] and lines[-1] == "---" and inside


def _is_accuracy(record: MetricRecord) -> bool:
    shares = record.group == "quality" and record.unit == "fraction" and record.direction == "higher"
    return shares and record.value is not None


def _result(card: ReportCard, record: MetricRecord) -> "EvalResult":
    from huggingface_hub import EvalResult

    data, interval = card.data, record.interval
    spread = (
        {
            "interval": [interval.low, interval.high],
            "level": interval.level,
            "method": inert(interval.method),
        }
        if interval
        else {"no_interval": inert(record.no_interval)}
    )
    name = _data_name(data.ref)
    return EvalResult(
        task_type="image-classification" if card.encoder.modality == "image" else "text-classification",
        task_name="classification on frozen features",
        dataset_type=name,
        dataset_name=name,
        dataset_split="test",
        dataset_args={"digest": inert(data.digest), "classes": len(data.classes)},
        metric_type="balanced_accuracy" if record.details.get("balanced") else "accuracy",
        metric_value=record.value,
        metric_name=inert(f"{record.summary}, {in_space(record.space)}" if record.space else record.summary),
        metric_config=inert(record.row),
        metric_args={
            **spread,
            "images": record.details.get("tested", data.splits["test"]),
            "seed": data.seed,
            "source": inert(f"sslaudit {card.provenance.sslaudit}"),
        },
        verified=False,
    )


def _data_name(ref: str) -> str:
    """Its name alone: a path of this machine is nobody's business."""
    try:
        parsed = DataRef.parse(ref)
    except RefError:  # data made in Python carries any name
        return inert(ref)
    named = parsed.scheme == "hf-datasets" and not is_path_like(parsed.locator)
    return inert(parsed.locator if named else PurePath(parsed.locator).name or ref)
