"""The runs of a sweep: resumed, reused, refused, recorded, and the same in one process and in several."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate

import pytest
import torch
from PIL import Image

from sslaudit.data import Dataset
from sslaudit.errors import OutputError, UsageError
from sslaudit.loading import load_dataset
from sslaudit.registry import installed
from sslaudit.sweep import run as running
from sslaudit.sweep.plan import Sweep, plan_sweep
from sslaudit.sweep.run import Outcome, carry_out, standings
from sslaudit.sweep.suite import read_suite
from sslaudit.sweep.workers import Workers
from tests.conftest import Run as Command

SUITE = """
name = "small"
version = {version}
summary = "two recipes"
source = "nobody"
rows = [{{ name = "c", recipe = "crop+color" }}, {{ name = "a", recipe = "crop" }}]
expected = [["c", "a"]]
[audit]
accuracy = "knn(k=200,T=0.1)"
against = ["{against}"]
views = 2
[scales.cpu]
summary = "small"
data = "{data}"
backbone = "conv3"
size = 8
epochs = {epochs}
batch_size = 32
optimiser = "adamw"
weight_decay = 1e-4
warm_up = 0.1
seeds = [0, 1]
[scales.cpu.methods.simclr]
lr = 3e-3
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 80 digits of two classes."""
    folder, digits = tmp_path_factory.mktemp("digits"), load_dataset("digits")
    for i in [i for i in range(len(digits)) if digits.labels[i] < 2][:80]:
        path = folder / digits.classes[digits.labels[i]] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(digits.read(i)).save(path)
    return folder


@pytest.fixture
def data(images: Path) -> Dataset:
    return load_dataset(images)


def _plan(
    folder: Path,
    data: Dataset,
    *,
    version: int = 1,
    epochs: int = 2,
    against: str = "alignment",
    **some: list[str],
) -> Sweep:
    path = folder / "suite.toml"
    path.write_text(SUITE.format(version=version, epochs=epochs, against=against, data=data.ref), "utf-8")
    return plan_sweep(read_suite(path), "cpu", data, folder / "out", registry=installed(), **some)


def _do(sweep: Sweep, data: Dataset, jobs: int = 1, overwrite: bool = False) -> list[Outcome]:
    registry = installed()
    before = standings(sweep, registry, overwrite=overwrite)
    return list(carry_out(sweep, before, registry=registry, data=data, jobs=jobs))


def _weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {
        str(path.relative_to(folder)): torch.load(path, weights_only=True)["backbone"]
        for path in sorted(folder.rglob("last.pt"))
    }


def _equal(a: dict[str, dict[str, torch.Tensor]], b: dict[str, dict[str, torch.Tensor]]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(tensor, b[path][name]) for path, state in a.items() for name, tensor in state.items()
    )


def test_finished_runs_are_reused_and_new_metrics_only_audited(tmp_path: Path, data: Dataset) -> None:
    sweep = _plan(tmp_path, data, rows=["a"])
    first = _do(sweep, data)
    assert [(str(one.run), one.before, one.reason) for one in first] == [
        ("simclr/a/seed-0", None, ""),
        ("simclr/a/seed-1", None, ""),
    ]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {path.name for path in kept} >= {"last.pt", "card.json", "run.json"}
    assert _do(sweep, data) == []
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    wider = _plan(tmp_path, data)
    assert [str(one.run) for one in _do(wider, data)] == ["simclr/c/seed-0", "simclr/c/seed-1"]

    other = _plan(tmp_path, data, against="uniformity", rows=["a"])
    assert [one.before for one in _do(other, data)] == ["trained", "trained"]
    card = json.loads((tmp_path / "out/simclr/a/seed-0/card.json").read_text())
    assert {metric["term"] for metric in card["metrics"]} == {"knn(k=200,T=0.1)", "uniformity"}
    checkpoint = tmp_path / "out/simclr/a/seed-0/last.pt"
    assert checkpoint.stat().st_mtime_ns == kept[checkpoint], "trained weights stay"


def test_what_was_made_otherwise_is_refused_before_any_work(tmp_path: Path, data: Dataset) -> None:
    _do(_plan(tmp_path, data, rows=["a"], seeds=[0]), data)
    for changed, said in (
        (_plan(tmp_path, data, epochs=3), "made with epochs 2, not 3"),
        (_plan(tmp_path, data, version=2), "version 1 of suite 'small', not version 2"),
    ):
        with pytest.raises(UsageError, match=said):
            _do(changed, data)
    assert not (tmp_path / "out/simclr/c").exists()
    done = _do(_plan(tmp_path, data, epochs=3, rows=["a"], seeds=[0]), data, overwrite=True)
    assert [(one.before, one.reason) for one in done] == [(None, "")]
    record = json.loads((tmp_path / "out/simclr/a/seed-0/run.json").read_text())
    assert record["training"]["choices"]["epochs"] == 3
    assert (record["status"], record["reason"]) == ("finished", "")


def test_a_run_that_fails_is_recorded_and_the_others_go_on(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = running.train

    def broken(*given: object, **named: object) -> object:
        if "/c/" in str(named["output"]):
            raise ZeroDivisionError("no such number")
        return true(*given, **named)

    monkeypatch.setattr(running, "train", broken)
    sweep = _plan(tmp_path, data, seeds=[0])
    assert [(one.run.row, one.reason) for one in _do(sweep, data)] == [
        ("c", "ZeroDivisionError: no such number"),
        ("a", ""),
    ]
    record = json.loads((tmp_path / "out/simclr/c/seed-0/run.json").read_text())
    assert (record["status"], record["reason"]) == ("failed", "ZeroDivisionError: no such number")
    monkeypatch.undo()

    def full(*given: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(running, "write_record", full)
    assert [one.reason for one in _do(sweep, data)] == ["no space left"]
    monkeypatch.undo()
    assert [(one.run.row, one.before, one.reason) for one in _do(sweep, data)] == [("c", "started", "")]


def test_an_interrupted_run_goes_on_to_the_same_weights(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _plan(
        tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path, data, rows=["a"], seeds=[0]
    )
    _do(whole, data)
    (tmp_path / "b").mkdir()
    sweep = _plan(tmp_path / "b", data, rows=["a"], seeds=[0])
    true = running.train

    def interrupted(*given: object, **named: object) -> object:
        def stop(done: int, total: int) -> None:
            if done == 1:
                os.kill(os.getpid(), signal.SIGINT)

        return true(*given, **named, on_step=stop)

    monkeypatch.setattr(running, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _do(sweep, data)
    monkeypatch.undo()
    assert [one.before for one in _do(sweep, data)] == ["started"]
    assert _equal(_weights(tmp_path / "a/out"), _weights(tmp_path / "b/out"))


@pytest.mark.slow
def test_two_processes_give_the_files_of_one(tmp_path: Path, data: Dataset, run: Command) -> None:
    _plan(tmp_path, data)
    for jobs in ("1", "2"):
        done = run("sweep", str(tmp_path / "suite.toml"), "--output", str(tmp_path / jobs), "--jobs", jobs)
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines()[:-3])) <= 80
    one, two = _weights(tmp_path / "1"), _weights(tmp_path / "2")
    assert len(one) == 4
    assert _equal(one, two)
    for name in ("table.md", "table.csv", "table.json", "figure.svg"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_workers_share_tasks_and_one_that_dies_harms_no_other() -> None:
    with Workers(2, locate, "math.factorial") as workers:
        assert dict(workers.each([3, 4, 5, 6], int)) == {3: 6, 4: 24, 5: 120, 6: 720}
    with Workers(2, locate, "os._exit") as workers:
        assert dict(workers.each([3, 4, 5], int)) == {n: f"exit code {n}" for n in (3, 4, 5)}
    with Workers(1, locate, "signal.raise_signal") as workers:
        assert dict(workers.each([9], int)) == {9: "killed by SIGKILL"}


@pytest.fixture
def long_sweep(tmp_path: Path, data: Dataset) -> Iterator[subprocess.Popen[str]]:
    """Two workers with far more to do than the test waits for."""
    _plan(tmp_path, data, epochs=100_000)
    command = [sys.executable, "-m", "sslaudit", "sweep", str(tmp_path / "suite.toml"), "--jobs", "2"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_an_interruption_stops_all_workers_and_they_save(
    tmp_path: Path, long_sweep: subprocess.Popen[str], number: signal.Signals
) -> None:
    logs = [tmp_path / "out/simclr" / row / "seed-0/last.csv" for row in ("a", "c")]
    for _ in range(1200):
        if all(log.is_file() and log.read_text().count("\n") > 2 for log in logs):
            break
        time.sleep(0.1)
    if number == signal.SIGINT:
        os.killpg(long_sweep.pid, number)  # as a terminal does
    else:
        long_sweep.send_signal(number)
    _, said = long_sweep.communicate(timeout=45)  # less than a worker would be waited for
    assert long_sweep.returncode == 128 + number
    assert "Traceback" not in said
    for log in logs:
        saved = torch.load(log.with_suffix(".pt"), weights_only=True)
        assert "training" in saved, "it can be gone on with"
        assert json.loads(log.with_name("run.json").read_text())["status"] == "started"
