"""``--shift``: probes of a card tested on other images, from the command line and from Python."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import sslaudit
from sslaudit import Preprocess
from sslaudit.data import only
from sslaudit.loading import load_dataset
from sslaudit.report.card import ReportCard, read_card
from sslaudit.report.terminal import console, render
from tests.conftest import ROOT, Run, make_photos

SCHEMA = json.loads((ROOT / "registry" / "schema" / "report-card-1.json").read_text())
QUICK = ("--no-anchors", "--views", "2", "--metrics", "knn,few-shot")


def copied(photos: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    for path in photos.rglob("*.png"):
        place = folder / path.relative_to(photos)
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = change(np.asarray(Image.open(path)).astype(float))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(place)
    return folder


@pytest.fixture
def fog(photos: Path, tmp_path: Path) -> Path:
    return copied(photos, tmp_path / "fog", lambda pixels: 0.3 * pixels + 150)


def card_of(folder: Path) -> ReportCard:
    [path] = folder.glob("reports/*/card.json")
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    return read_card(path)


def test_a_changed_copy_is_paired_and_said_on_the_first_screen(
    run_here: Run, photos: Path, fog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_here("evaluate", "stub:x", "--data", "photos", "--shift", "fog", *QUICK)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "SHIFT kNN" in said
    assert "paired by image" in said
    assert "left out: forms of training images of photos" in said
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    card = card_of(tmp_path)
    shift = card.shift
    assert shift is not None
    assert (shift.ref, shift.paired, shift.images) == ("fog", True, card.data.splits["test"])
    assert [reading.term for reading in shift.readings if not reading.minor] == ["knn", "few-shot"]
    for reading in shift.readings:
        assert reading.clean_value == pytest.approx(card.metric(reading.term).value, abs=1e-12)
        assert reading.drop == pytest.approx(reading.clean_value - reading.value, abs=1e-12)
        assert reading.drop_interval is not None
        assert reading.drop_interval.low <= reading.drop <= reading.drop_interval.high
    assert "fog" in (tmp_path / "reports" / "stub-x" / "card.html").read_text()
    minor = [reading.summary for reading in shift.readings if reading.minor]
    monkeypatch.setattr("sslaudit.report.screen.ROOM", 2)
    screen = console()
    with screen.capture() as cut:
        screen.print(render(card))
    with screen.capture() as everything:
        screen.print(render(card, everything=True))
    assert minor
    for row in minor:  # among the metrics, and under shift
        assert done.stdout.count(row) == everything.get().count(row) == 2
        assert row not in cut.get()
    left = len(minor) + sum(record.minor for record in card.metrics)
    assert f"{left} more numbers" in cut.get()


def test_the_data_themselves_are_no_shift(run_here: Run, photos: Path, tmp_path: Path) -> None:
    """The same supports are drawn and the same classes predicted, in a folder of another name."""
    shutil.copytree(photos, tmp_path / "again")
    done = run_here("evaluate", "stub:x", "--data", "photos", "--shift", "again", *QUICK)
    assert done.returncode == 0, done.stderr
    card = card_of(tmp_path)
    assert card.shift is not None
    for reading in card.shift.readings:
        assert reading.value == pytest.approx(card.metric(reading.term).value, abs=1e-12)
        assert reading.drop == 0
        assert reading.drop_interval is not None
        assert reading.drop_interval.low < 0 < reading.drop_interval.high  # a few images are no certainty


def test_twice_is_equal_and_other_metrics_do_not_change(
    run_here: Run, photos: Path, fog: Path, tmp_path: Path
) -> None:
    def once(*more: str) -> dict[str, object]:
        done = run_here("evaluate", "stub:x", "--data", "photos", *QUICK, *more)
        assert done.returncode == 0, done.stderr
        card = json.loads((tmp_path / "reports" / "stub-x" / "card.json").read_text())
        for metric in card["metrics"]:
            del metric["seconds"]
        return card

    first, second, without = once("--shift", "fog"), once("--shift", "fog"), once("--overwrite")
    assert first["shift"] == second["shift"]
    assert first["metrics"] == without["metrics"]
    assert without["shift"] is None


def test_other_images_are_not_paired_and_metrics_that_read_more_are_named(
    run_here: Run, photos: Path, tmp_path: Path
) -> None:
    other = make_photos(tmp_path / "other", classes=4, each=10, seed=5)
    shutil.rmtree(other / "class0")
    done = run_here(
        "evaluate",
        "stub:projector",
        "--data",
        "photos",
        "--shift",
        "other",
        *QUICK[:3],
        "--metrics",
        "nearest-centre,knn",
    )
    assert done.returncode == 0, done.stderr
    card = card_of(tmp_path)
    shift = card.shift
    assert shift is not None
    assert (shift.paired, shift.images, shift.classes) == (False, 20, 2)
    assert shift.left_out == {"of classes that photos lacks: class3": 10}
    [reading] = shift.readings
    assert reading.term == "knn"
    assert "nearest-centre" in shift.notes[0]
    assert reading.drop_interval is not None
    assert "Newcombe" in reading.drop_interval.method
    correct = [
        c
        for c, name in zip(card.samples["knn/correct"], card.samples["class"], strict=True)
        if name != "class0"
    ]
    assert reading.clean_value == pytest.approx(np.mean([c for c in correct if c is not None]))


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        ("gone", "there is no folder 'gone'"),
        ("flat", "'flat' has no labels"),
        ("letters", "'letters' has no class of 'photos'"),
    ],
)
def test_what_cannot_be_tested_ends_before_any_features(
    run_here: Run, photos: Path, tmp_path: Path, own_cache: Path, shift: str, message: str
) -> None:
    (tmp_path / "flat").mkdir()
    for name in "ab":
        (tmp_path / "letters" / name).mkdir(parents=True)
        shutil.copy(photos / "class0" / "000.png", tmp_path / "letters" / name)
    shutil.copy(photos / "class0" / "000.png", tmp_path / "flat")
    done = run_here("evaluate", "stub:x", "--data", "photos", "--shift", shift, *QUICK)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(own_cache.rglob("part-*.npy"))
    assert not list(tmp_path.glob("reports/*/card.json"))


def test_shift_goes_with_data(run_here: Run) -> None:
    done = run_here("evaluate", "stub:x", "--shift", "fog")
    assert done.returncode == 2
    assert "--shift" in done.stderr


class Corners(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def test_probes_see_the_training_rows_and_the_shifted_images(photos: Path, fog: Path) -> None:
    """1-NN by hand on the same features gives the same accuracy; from Python, with a ``Dataset``."""
    preprocess = Preprocess(size=(24, 24), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
    data = load_dataset(photos)
    assert data.labels is not None
    other = load_dataset(fog)
    card = sslaudit.evaluate(
        Corners(), data, preprocess=preprocess, shift=other, metrics="knn(k=1)", device="cpu", anchors=False
    )

    def unit(images: sslaudit.Dataset) -> np.ndarray:
        pixels = np.stack([images.read(i) for i in range(len(images))]).transpose(0, 3, 1, 2) / 127.5 - 1
        rows = Corners()(torch.from_numpy(pixels.astype(np.float32))).numpy()
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    tested = [other.ids.index(data.ids[i]) for i in data.test]
    bank, query = unit(data)[data.train], unit(only(other, tested))
    predicted = data.labels[data.train][(query @ bank.T).argmax(axis=1)]
    assert card.shift is not None
    assert card.shift.readings[0].value == pytest.approx((predicted == data.labels[data.test]).mean())
