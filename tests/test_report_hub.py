"""Metadata for model cards: what huggingface_hub reads back is what was said."""

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData, metadata_load

from sslaudit.errors import CardError
from sslaudit.report.card import ReportCard, read_card
from sslaudit.report.hub import eval_results, is_metadata, metadata
from sslaudit.results import Check
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def card() -> ReportCard:
    return read_card(ROOT / "tests" / "data" / "first-card.json")


def test_the_hub_reads_back_what_was_said(card: ReportCard, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(metadata(card), encoding="utf-8")
    read = ModelCard.load(file).data
    assert read.eval_results == eval_results(card)
    assert ModelCardData(**metadata_load(file)).eval_results == eval_results(card)
    knn, centre = eval_results(card)
    assert (knn.dataset_name, knn.dataset_split, knn.metric_type, knn.metric_value) == (
        "digits",
        "test",
        "accuracy",
        0.5,
    )
    assert knn.metric_args["images"] == 90
    assert knn.metric_args["interval"] == pytest.approx([0.399, 0.601], abs=1e-3)
    assert knn.verified is False
    assert centre.metric_config == "nearest-centre"


def test_names_are_inert_and_paths_stay_at_home(card: ReportCard, tmp_path: Path) -> None:
    odd = "a: [b]\n---\n# <script>\u202e\udce9"
    data = replace(card.data, ref="/home/somebody/photos")
    data = replace(data, digest=odd)
    made = replace(card.provenance, sslaudit=odd)
    hostile = replace(card, encoder=replace(card.encoder, name=odd), data=data, provenance=made)
    file = tmp_path / "README.md"
    file.write_text(metadata(hostile), encoding="utf-8")
    read = ModelCard.load(file).data
    assert read.eval_results == eval_results(hostile)
    assert read.eval_results[0].dataset_name == "photos"
    assert "somebody" not in file.read_text()
    assert "\u202e" not in file.read_text()
    assert is_metadata(file.read_text())
    for ref, name in (("hf-datasets:org/name", "org/name"), ("arrays:/x/y.npz", "y.npz"), ("", "")):
        named = replace(card, data=replace(card.data, ref=ref))
        assert eval_results(named)[0].dataset_name == name


def test_a_model_card_is_told_from_results(card: ReportCard) -> None:
    ours = metadata(card)
    assert is_metadata(ours)
    assert not is_metadata(ours + "# My model\n")
    assert not is_metadata(ours.replace("---\nmodel", "---\nlicense: mit\nmodel", 1))
    assert not is_metadata("")


def test_what_failed_or_has_no_accuracy_is_not_published(card: ReportCard) -> None:
    failed = replace(card, checks=(Check(name="rank", status="fail", message="rank 1"),))
    with pytest.raises(CardError, match="failed its check 'rank'"):
        metadata(failed)
    with pytest.raises(CardError, match="no accuracy"):
        metadata(replace(card, metrics=()))
