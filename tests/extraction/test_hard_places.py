"""Where other loaders break: spawn without a main guard, few file descriptors, no shared memory, no disk."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sslaudit
from tests.conftest import ROOT

SCRIPT = """
import json, multiprocessing, resource, sys
multiprocessing.set_start_method("spawn", force=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import sslaudit
card = sslaudit.evaluate(
    "untrained:timm:resnet18", "photos", views=2, workers=4, batch_size=2, metrics="alignment,knn",
    cache=False, override=sslaudit.Override(size=32),
)
print(json.dumps([metric.value for metric in card.metrics]))
"""


def private(folder: Path, mount: str, *command: str) -> list[str]:
    """``command`` in a mount namespace of its own in which ``mount`` was run."""
    quoted = " ".join(f"'{part}'" for part in command)
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", f"{mount} && {quoted}"]


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = private(folder, f"mount -t tmpfs -o size=16k tmpfs {folder}", "true")
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def test_spawn_few_descriptors_and_no_shared_memory_change_nothing(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    if may_mount(tmp_path):
        command = private(tmp_path, "mount -t tmpfs -o size=64k tmpfs /dev/shm", *command)
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    card = sslaudit.evaluate(
        "untrained:timm:resnet18",
        photos,
        views=2,
        workers=0,
        batch_size=2,
        metrics="alignment,knn",
        cache=False,
        override=sslaudit.Override(size=32),
    )
    assert json.loads(done.stdout) == [metric.value for metric in card.metrics]


@pytest.mark.parametrize("room", ["8k", "48k", "72k"])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(
    photos: Path, tmp_path: Path, room: str
) -> None:
    """The room ends in the features, in the samples, in the card, or not at all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("this system lets no user mount a small disk")
    what = ["evaluate", "untrained:timm:mobilenetv2_050", "--data", "photos", "--size", "32", "--views", "4"]
    where = ["--output", "disk/reports", "--cache", "disk/cache", "--metrics", "knn,alignment"]
    command = (
        f"'{sys.executable}' -m sslaudit {' '.join([*what, *where])}; code=$?; find disk -type f; exit $code"
    )
    done = subprocess.run(
        private(disk, f"mount -t tmpfs -o size={room} tmpfs disk", "sh", "-c", command.replace("'", "")),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    left = {Path(line).name for line in done.stdout.splitlines() if line.startswith("disk/reports")}
    assert not any(line.endswith(".tmp") for line in done.stdout.splitlines())
    if done.returncode:
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert left in (set(), {"card.json", "samples.parquet"})
    else:
        assert left == {"card.json", "card.html", "samples.parquet"}
