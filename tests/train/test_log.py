"""The log: a row for each epoch, cut where a resumed run begins, whole whatever happens."""

import csv
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sslaudit.errors import OutputError
from sslaudit.train.log import Log, log_path

HEADER = "epoch,step,loss,lr,spread,rank,online,images_per_second,seconds\n"


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def epoch(number: int, **changed: float | None) -> SimpleNamespace:
    """One whose numbers are easy to read."""
    numbers = {"loss": 1 / 3, "lr": 1e-3, "spread": 0.5, "rank": 12.25, "online": None}
    return SimpleNamespace(
        **{**numbers, "number": number, "images_per_second": 1234.5, "seconds": 2.0, **changed}
    )


def written(output: Path, numbers: range, **given: object) -> list[str]:
    with Log(output, **given) as log:
        for number in numbers:
            log.write(epoch(number), step=10 * number)
    return log_path(output).read_text().splitlines()


def test_a_row_is_there_when_write_returns(tmp_path: Path) -> None:
    output = tmp_path / "run" / "last.pt"
    with Log(output) as log:
        assert (tmp_path / "run" / "last.csv").read_text() == HEADER
        log.write(epoch(1), step=10)
        assert log.path.read_text() == f"{HEADER}1,10,0.333333,0.001,0.5,12.25,,1234.5,2\n"
        log.write(epoch(2, rank=None, loss=float("nan"), spread=float("inf")), step=20)
    assert log.path.read_text().splitlines()[-1] == "2,20,,0.001,,,,1234.5,2"
    assert [path.name for path in output.parent.iterdir()] == ["last.csv"]


def test_a_new_run_replaces_a_log_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "last.pt"
    whole = written(output, range(1, 6))
    assert written(output, range(4, 6), after_epoch=3) == whole
    assert len(written(output, range(3, 4), after_epoch=2)) == 4
    assert len(written(output, range(1, 2))) == 2
    assert written(tmp_path / "none.pt", range(5, 6), after_epoch=4)[1].startswith("5,50,")


def test_what_a_killed_run_left_unfinished_is_dropped(tmp_path: Path) -> None:
    output = tmp_path / "last.pt"
    whole = written(output, range(1, 4))
    path = log_path(output)
    path.write_bytes(path.read_bytes() + b"\xff;not a row\n4,40,0.3")
    assert written(output, range(4, 5), after_epoch=4) == [*whole, whole[-1].replace("3,30", "4,40", 1)]


def test_accuracy_is_named_by_what_it_is_by(tmp_path: Path) -> None:
    output = tmp_path / "last.pt"
    with Log(output, online="nearest-centre") as log:
        log.write(epoch(1, online=0.75), step=10)
    with log.path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["online_nearest_centre"] == "0.75"
    written(output, range(2, 3), after_epoch=1, online="knn")
    with log.path.open(newline="") as file:
        assert [row["online_knn"] for row in csv.DictReader(file)] == ["", ""]


@pytest.mark.parametrize(
    ("output", "log"),
    [
        ("last.pt", "last.csv"),
        ("last.pth", "last.csv"),
        ("last.ckpt", "last.csv"),
        ("lr0.1", "lr0.1.csv"),
        ("lr0.2", "lr0.2.csv"),
        ("last.csv", "last.csv.csv"),
    ],
)
def test_each_checkpoint_has_a_log_of_its_own(output: str, log: str) -> None:
    assert log_path(Path("runs") / output) == Path("runs") / log


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(OutputError, match=r"cannot write the log '.*taken\.csv': Is a directory\."):
        Log(tmp_path / "taken.pt")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the log"):
        Log(tmp_path / "file" / "last.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"taken.csv", "file"}
    with Log(tmp_path / "last.pt") as log:
        log.path.unlink()
        os.symlink("/dev/full", log.path)
        with pytest.raises(OutputError, match="No space left on device"):
            log.write(epoch(1), step=10)


def test_a_file_that_is_no_log_is_never_replaced(tmp_path: Path) -> None:
    """Labels of photos may lie beside a checkpoint under its name."""
    (tmp_path / "photos.csv").write_text("path,label\n")
    for after in (0, 3):
        with pytest.raises(OutputError, match=r"photos\.csv' is no log of a run; move it away"):
            Log(tmp_path / "photos.pt", after_epoch=after)
    assert (tmp_path / "photos.csv").read_text() == "path,label\n"
    (tmp_path / "photos.csv").write_text("epo")  # a log whose first line was cut
    assert len(written(tmp_path / "photos.pt", range(1, 2))) == 2


def test_with_tensorboard_its_events_follow_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    output = tmp_path / "last.pt"
    written(output, range(1, 9))
    written(output, range(1, 5))
    written(output, range(3, 4), after_epoch=2)
    events = EventAccumulator(str(tmp_path / "last.tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30]
    assert set(events.Tags()["scalars"]) == {"loss", "lr", "spread", "rank", "images_per_second", "seconds"}
