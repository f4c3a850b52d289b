"""Data-parallel training: two processes give what one gives, stop together, and leave one file."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sslaudit import load_encoder

SCRIPT = """
import dataclasses, os, signal, sys
from pathlib import Path
from torch import nn, zeros
from sslaudit import load_dataset
from sslaudit.registry import installed
from sslaudit.train import loop
from sslaudit.train.choices import Choices
from sslaudit.world import World

def plain(name, size):
    # Without norms a process computes what it would with the others' images beside its own.
    net = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.GELU(), nn.Flatten(), nn.LazyLinear(32))
    net(zeros(2, 3, size, size))
    return net

def stop(done, total):
    if done == 4 and "stop" in sys.argv:
        signal.raise_signal(signal.SIGTERM)

loop.build_backbone = plain
found, data = installed(), load_dataset("digits")
loop.train(
    found.methods.get("simclr"),
    dataclasses.replace(data, train=data.train[:100]),
    output=Path(sys.argv[1]),
    named=found.recipes.usable(),
    choices=Choices(size=8, recipe="crop(scale=0.5)", epochs=2, batch_size=33, optimiser="sgd", lr=0.1),
    world=World.from_environment(),
    resume="resume" in sys.argv,
    on_message=lambda message: print(message, file=sys.stderr),
    on_step=stop,
)
"""


def torchrun(folder: Path, *args: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *args]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stored(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, weights_only=True)
    return content


@pytest.mark.slow
def test_two_processes_train_what_one_trains_and_stop_together(tmp_path: Path) -> None:
    """32 images a step for both; only the first process is told to stop."""
    (tmp_path / "one.py").write_text(SCRIPT.replace("batch_size=33", "batch_size=32"))
    (tmp_path / "two.py").write_text(SCRIPT)

    def alone(*args: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, *args], cwd=tmp_path, capture_output=True, text=True)

    assert alone("one.py", "one.pt").returncode == 0
    stopped = torchrun(tmp_path, "two.py", "two.pt", "stop")
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode
    assert said.count("--batch-size 33: a step takes 32, an equal share for each of 2 processes.") == 1
    assert said.count("interrupted at epoch 2, step 1 of 4, which is saved.") == 1
    assert stored(tmp_path / "two.pt")["training"]["course"]["step"] == 1
    assert "begun with processes 2; this run has processes 1" in alone("one.py", "two.pt", "resume").stderr
    resumed = torchrun(tmp_path, "two.py", "two.pt", "resume")
    _, said = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, said
    one, two = stored(tmp_path / "one.pt"), stored(tmp_path / "two.pt")
    assert (one["sslaudit"]["processes"], two["sslaudit"]["processes"]) == (1, 2)
    for part in ("backbone", "projector"):
        torch.testing.assert_close(two[part], one[part], rtol=0, atol=1e-6)


def test_the_plain_command_gives_a_file_that_loads(tmp_path: Path) -> None:
    what = ("train", "simclr", "--data", "digits", "--recipe", "crop", "--size", "8", "--epochs", "2")
    process = torchrun(tmp_path, "-m", "sslaudit", *what, "--output", "run/last.pt")
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert stdout.count("wrote run/last.pt") == 1
    assert stderr.count("each of 2 processes normalises its own 128 images of a step") == 1
    assert (tmp_path / "run" / "last.csv").read_text().count("\n") == 3
    encoder = load_encoder(str(tmp_path / "run" / "last.pt"))
    assert encoder.facts["epoch"] == "2 of 2"
    assert encoder.load.missing == ()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_when_one_process_is_killed_the_others_end_and_the_file_stays(tmp_path: Path, place: int) -> None:
    (tmp_path / "script.py").write_text(
        SCRIPT.replace("epochs=2", "epochs=100000").replace("on_step=stop", "save_seconds=0")
    )
    process = torchrun(tmp_path, "script.py", "x.pt")
    deadline = time.monotonic() + 120
    while not (tmp_path / "x.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(children(process.pid)[place], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode
    assert re.search(r"TrainingError: process \d of 2 lost the others", said) or "SIGTERM" in said
    content = stored(tmp_path / "x.pt")
    assert content["sslaudit"]["epoch"] >= 1
    assert "training" in content
