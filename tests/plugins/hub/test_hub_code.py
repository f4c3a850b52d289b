"""Folders that bring Python code: refused at once, without a prompt, and nothing of them runs."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sslaudit.errors import UnsafeFile
from sslaudit.refs import EncoderRef
from sslaudit_hub.layout import shipped_code
from sslaudit_hub.resolve import resolve

MODEL = """
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
import torch
open({marker!r}, "w").close()
class OwnConfig(PretrainedConfig):
    model_type = "ownnet"
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"
    def __init__(self, config):
        super().__init__(config)
        self.conv = torch.nn.Conv2d(3, 4, 8, 8)
        self.post_init()
    def forward(self, pixel_values):
        return BaseModelOutput(last_hidden_state=self.conv(pixel_values))
"""


@pytest.fixture
def brings_code(tmp_path: Path) -> Path:
    """A folder whose every Python file leaves a marker when it is run."""
    folder = tmp_path / "net"
    folder.mkdir()
    config = {
        "model_type": "ownnet",
        "image_size": 32,
        "auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text(MODEL.format(marker=str(tmp_path / "MARKER")))
    for name in ("__init__", "hubconf", "conftest", "setup"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'MARKER')!r}, 'w').close()")
    import torch
    from safetensors.torch import save_file

    weights = {"conv.weight": torch.ones(4, 3, 8, 8), "conv.bias": torch.arange(4.0)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_code_is_refused_by_name_and_not_run(brings_code: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile) as refused:
        resolve(EncoderRef("hf", str(brings_code)))
    assert str(refused.value) == (
        f"'{brings_code}' ships Python code (modeling_own.py), which was not run; "
        "pass --trust-remote-code to run it."
    )
    assert not (tmp_path / "MARKER").exists()


def test_no_prompt_on_a_terminal(brings_code: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sslaudit", "inspect", "hf:./net"],
            stdin=theirs,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
            env={**os.environ, "COLUMNS": "300"},
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: './net' ships Python code (modeling_own.py), which was not run; "
        "pass --trust-remote-code to run it."
    ]
    assert done.stdout == ""
    assert not (tmp_path / "MARKER").exists()


def test_code_runs_when_it_is_trusted_and_the_card_says_so(brings_code: Path, tmp_path: Path) -> None:
    script = (
        "from sslaudit import load_encoder; import torch;"
        "e = load_encoder('hf,trust-remote-code=yes:./net');"
        "print(e.facts['remote code'], e.dim, e.embed(torch.ones(1, 3, 32, 32)).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "run, by --trust-remote-code 4 [[192.0, 193.0, 194.0, 195.0]]\n", done.stderr
    assert (tmp_path / "MARKER").exists()


def test_every_form_of_auto_map_is_seen() -> None:
    assert shipped_code({}) == []
    assert shipped_code({"auto_map": {"AutoModel": "a.X", "AutoTokenizer": ["b.Y", None]}}) == [
        "a.py",
        "b.py",
    ]
    assert shipped_code({"auto_map": {"AutoModel": "org/other--c.Z"}}) == ["org/other/c.py"]
    assert shipped_code({"auto_map": "d.W"}) == ["d.py"]
