"""``torchrun``: the processes share the parts, and one card comes out, as from one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sslaudit.world import ALONE, World
from tests.conftest import Run

WHAT = ("evaluate", "net.pt", "--data", "digits", "--views", "2", "--metrics", "alignment,knn")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_part_is_taken_once(size: int) -> None:
    takers = [[rank for rank in range(size) if World(rank, size).takes(part)] for part in range(20)]
    assert all(len(some) == 1 for some in takers)


def test_only_torchrun_makes_a_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training script of one's own sets RANK too, and its ranks do not come here together."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert World.from_environment() == ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert World.from_environment() == World(1, 2, 1)
    monkeypatch.delenv("RANK")
    assert World.from_environment() == ALONE
    assert World(1, 2, 1).device("cuda") == "cuda:1"
    assert World(1, 2, 1).device("cpu") == "cpu"
    assert ALONE.device("cuda") == "cuda"


@pytest.fixture
def net(run: Run, tmp_path: Path) -> Path:
    what = ("train", "simclr", "--data", "digits", "--recipe", "crop", "--size", "8", "--epochs", "1")
    done = run(*what, "--output", "net.pt")
    assert done.returncode == 0, done.stderr
    return tmp_path / "net.pt"


def torchrun(folder: Path, ranks: int, *args: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return subprocess.Popen(
        [*command, "-m", "sslaudit", *args],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def features(cache: Path) -> dict[str, np.ndarray]:
    files = (cache / "features").glob("*/part-*.npy")
    return {f"{file.parent.name}/{file.name}": np.load(file) for file in files}


def test_two_processes_equal_one_also_after_a_kill(run: Run, net: Path, tmp_path: Path) -> None:
    one = run(*WHAT, "--output", "one", "--cache", "alone")
    assert one.returncode == 0, one.stderr
    killed = torchrun(tmp_path, 2, *WHAT, "--output", "two", "--cache", "shared")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("shared/features/*/part-*.npy")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    process = torchrun(tmp_path, 2, *WHAT, "--output", "two", "--cache", "shared")
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    alone, shared = features(tmp_path / "alone"), features(tmp_path / "shared")
    assert len(alone) == 4 * 8, "parts of embeddings, of projections, and of two anchors"
    assert alone.keys() == shared.keys()
    for name, block in alone.items():
        np.testing.assert_array_equal(shared[name], block)
    assert stdout.replace("two/", "one/") == one.stdout
    cards = [json.loads((tmp_path / out / "net.pt" / "card.json").read_text()) for out in ("one", "two")]
    for card in cards:
        del card["provenance"]
        for metric in card["metrics"]:
            del metric["seconds"]
    assert cards[0] == cards[1]


def test_processes_without_a_common_cache_are_refused(run: Run, tmp_path: Path) -> None:
    world = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    done = run("evaluate", "untrained:timm:resnet18", "--data", "digits", "--no-cache", env=world)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "[rank 1] error: 2 processes share their work through the cache, and it is switched off; "
        "give --cache FOLDER.\n"
    )
