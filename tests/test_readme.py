"""Every command in README runs, in its order, in one folder; the demo tells the story it promises."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image

from sslaudit.train.backbones import build_backbone
from tests.conftest import ROOT, Run, make_photos

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
]


def test_every_command_runs(run_here: Run, tmp_path: Path) -> None:
    for file in make_photos(tmp_path / "photos", each=8).rglob("*.png"):
        dark = tmp_path / "photos-dark" / file.relative_to(tmp_path / "photos")
        dark.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).point(lambda level: level // 3).save(dark)
    torch.save(build_backbone("resnet18", seed=0).state_dict(), tmp_path / "model.pt")
    shutil.copytree(ROOT / "registry" / "suites", tmp_path / "registry" / "suites")
    assert len(COMMANDS) >= 9
    for command in COMMANDS:
        name, *args = shlex.split(command)
        assert name == "sslaudit"
        done = run_here(*args)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout or done.stderr.startswith("wrote ")


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_make_commands_set_up_and_do_their_job(target: str, tmp_path: Path) -> None:
    """Without ``.venv`` each makes it first; what it then runs is what CI and these tests run."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    planned = subprocess.run(
        ["make", "--dry-run", target], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"-m venv \.venv.*pip install.*{target}", planned, re.DOTALL)


def test_the_demo_tells_its_story(run: Run, tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "both trained encoders beat their untrained copy" in " ".join(done.stdout.split())
    assert "still tells them apart" in " ".join(done.stdout.split())
    assert "matched 17 of 18 tensors" in done.stdout
    for name in ("simclr", "barlow-twins", "untrained"):
        assert (tmp_path / "reports" / "demo" / name / "card.json").is_file()
