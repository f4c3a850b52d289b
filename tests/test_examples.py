"""Every script in ``examples/`` runs as its docstring says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


SHOWN = {
    "audit_a_module.py": "kNN",
    "audit_your_own_dataset.py": "Give images that are not normalised",
    "digits_ladder.py": "held back by",
    "load_a_checkpoint.py": "120 of 120 tensors behind 'module.encoder_q.'",
    "pretext_boost_synthetic.py": "lambda = 0.02: refining helps at n0 = 1000, inf",
    "similar_encoders.py": "No p can be below",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_it_runs(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert SHOWN[script.name] in done.stdout


def test_every_example_is_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    for path in (ROOT / "examples").iterdir():
        assert path.name == "README.md" or path.name in listed
