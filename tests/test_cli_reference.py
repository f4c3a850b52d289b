"""``evaluate --reference``: an encoder trained on the same data, and what it says of the others."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from sslaudit.cli.reference import compared
from sslaudit.report import words
from sslaudit.report.card import ReportCard, from_json, read_card, to_json
from sslaudit.report.referenced import ReferenceRecord, reference_line
from sslaudit.results import Check, Interval
from tests.conftest import ROOT, Run

SCHEMA = json.loads((ROOT / "registry" / "schema" / "report-card-1.json").read_text())
TINY = "simclr(epochs=2,backbone=conv3,size=8,batch_size=64)"
QUICK = ("--no-anchors", "--views", "2", "--metrics", "knn,alignment", "--max-images", "400")


def evaluate(run_here: Run, *args: str, reference: str = TINY, data: str = "digits") -> object:
    return run_here("evaluate", "stub:x", "--data", data, *QUICK, "--reference", reference, *args)


def paired(card: ReportCard, other: ReportCard) -> float:
    """The mean over test images of what one has right minus what the other has."""
    (name,) = (name for name in card.samples if name in ("knn/score", "knn/correct"))
    rows = zip(card.samples[name], other.samples[name], strict=True)
    return float(np.mean([a - b for a, b in rows if a is not None and not np.isnan(a)]))


def test_it_is_trained_once_and_compared(run_here: Run, tmp_path: Path, own_cache: Path) -> None:
    done = evaluate(run_here, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "reference simclr(epochs=2,backbone=conv3,size=8,batch-size=64): conv3 at 8 px" in done.stderr
    assert "2 epochs, 10 steps of 64 images, recipe simclr@1" in done.stderr
    assert "for 1 more epoch." in done.stderr
    for card in json.loads(done.stdout):
        jsonschema.validate(card, SCHEMA)
    [kept] = own_cache.glob("references/*/last.pt")
    trained = kept.stat().st_mtime_ns

    again = evaluate(run_here)
    assert again.returncode == 0, again.stderr
    assert f"reusing {kept}" in again.stderr
    assert "10 steps" not in again.stderr
    assert kept.stat().st_mtime_ns == trained
    ours, theirs = (read_card(tmp_path / "reports" / name) for name in ("stub-x", "reference-simclr"))
    assert theirs.encoder.ref == "reference:simclr(epochs=2,backbone=conv3,size=8,batch-size=64)"
    assert str(own_cache) not in to_json(theirs).partition('"provenance"')[0]
    assert "trained here on the 280 training images of digits" in theirs.encoder.facts["reference"]
    assert ("REFERENCE", theirs.encoder.facts["reference"]) in words.headline(theirs)
    [record] = ours.references
    assert theirs.references == ()
    assert (record.term, record.value, record.digest) == (
        "knn",
        theirs.metric("knn").value,
        theirs.encoder.digest,
    )
    assert record.difference == pytest.approx(paired(ours, theirs), abs=1e-12)
    said = " ".join(again.stdout.split())
    assert f"simclr trained here (conv3 at 8 px, 2 epochs, {ours.data.recipe}): {record.summary}" in said
    assert "paired by image" in said
    assert max(map(len, again.stdout.splitlines())) <= 80
    assert "trained here (conv3" in (tmp_path / "reports" / "stub-x" / "card.html").read_text()
    assert from_json(to_json(ours), "x").references == ours.references

    plain = replace(theirs, data=replace(theirs.data, recipe="crop@1"))
    assert compared(ours, plain, record.what) == record, "accuracy is of plain images"
    other = replace(theirs, data=replace(theirs.data, digest="0"))
    collapsed = replace(theirs, checks=(Check(name="rank", status="fail", message="rank 1."),))
    unscored = replace(ours, metrics=())
    for pair, why in (
        ((ours, other), "data digest is"),
        ((ours, collapsed), "failed its check 'rank'"),
        ((unscored, theirs), "no accuracy"),
    ):
        record = compared(*pair, "simclr")
        assert record.difference is None
        assert why in record.reason
        assert "not compared" in reference_line(record)[1]
        assert "paired" not in reference_line(record)[1]

    assert "and 1 reference," in run_here("cache", "ls").stdout
    assert "1 reference," in run_here("cache", "prune", "--all").stdout
    assert not list(own_cache.glob("references/*"))


@pytest.mark.parametrize(
    ("low", "value", "high", "said"),
    [
        (0.019, 0.032, 0.045, "this encoder is 3.2 points better [1.9, 4.5], paired by image"),
        (-0.05, -0.02, -0.01, "this encoder is 2.0 points worse [1.0, 5.0], paired by image"),
        (-0.01, 0.02, 0.03, "better [-1.0, 3.0], paired by image: too close to tell"),
    ],
)
def test_the_line_says_which_way(low: float, value: float, high: float, said: str) -> None:
    record = ReferenceRecord(
        ref="reference:simclr",
        what="simclr trained here (conv3 at 8 px, 2 epochs)",
        digest="",
        summary="kNN, k=20",
        value=0.951,
        interval=Interval(low=0.9, high=0.97, method="m"),
        difference=value,
        difference_interval=Interval(low=low, high=high, method="m"),
    )
    name, line = reference_line(record)
    assert name == "REFERENCE"
    assert line.startswith("simclr trained here (conv3 at 8 px, 2 epochs): kNN, k=20 95.1 % [90.0, 97.0]; ")
    assert line.endswith(said)


def test_without_labels_there_is_nothing_to_compare(run_here: Run, photos: Path, tmp_path: Path) -> None:
    for path in photos.rglob("*.png"):
        path.rename(photos / f"{path.parent.name}-{path.name}")
    for folder in photos.iterdir():
        if folder.is_dir():
            folder.rmdir()
    done = evaluate(run_here, "--no-cache", data="photos")
    assert done.returncode == 0, done.stderr
    assert "not compared: no accuracy was measured" in " ".join(done.stdout.split())
    assert (tmp_path / "reports" / "reference-simclr" / "card.json").is_file()


def test_a_training_that_fails_leaves_the_other_cards(run_here: Run, tmp_path: Path) -> None:
    done = evaluate(run_here, "--format", "json", reference=TINY.replace("64)", "64,lr=1e30)"))
    assert done.returncode == 1
    assert "error: reference simclr(" in done.stderr
    card = json.loads(done.stdout)
    assert (card["encoder"]["ref"], card["references"]) == ("stub:x", [])
    assert [folder.name for folder in (tmp_path / "reports").iterdir()] == ["stub-x"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--reference", "simclrr", "--data", "digits"), "Did you mean 'simclr'?"),
        (("--reference", "simclr(epoch=3)", "--data", "digits"), "it has: backbone, batch-size, epochs"),
        (("--reference", "simclr"), "goes with --data"),
        (("--reference", "simclr", "--reference", "simclr", "--data", "digits"), "named twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(
    run_here: Run, tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    done = run_here("evaluate", "stub:x", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "reports").exists()


def test_one_of_several_processes_is_refused(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "x"),
        ("RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("LOCAL_RANK", "0"),
    ):
        monkeypatch.setenv(name, value)
    done = evaluate(run_here)
    assert done.returncode == 2
    assert "trains in one process, and torchrun started 2" in done.stderr


def test_a_dry_run_says_what_would_be_trained(run_here: Run, tmp_path: Path, own_cache: Path) -> None:
    two = ("--reference", "simclr", "--reference", "simclr(epochs=3)", "--dry-run")
    done = run_here("evaluate", "stub:x", "--data", "digits", "--metrics", "knn", *two)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["on digits, 1,797 images: knn", "reports/stub-x: stub:x"]
    assert lines[2].startswith(
        "reports/reference-simclr: reference simclr: conv3 at 8 px, for images of 8 px"
    )
    assert "100 epochs, 500 steps of 256 images" in lines[2]
    assert lines[3].startswith("reports/reference-simclr-epochs-3: reference simclr(epochs=3)")
    assert not (tmp_path / "reports").exists()
    assert not list(own_cache.iterdir())
