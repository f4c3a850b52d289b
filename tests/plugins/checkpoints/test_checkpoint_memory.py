"""Large files: inspecting leaves the weights on the disk, and an evaluation has its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from sslaudit import load_encoder

PROBE = """
import resource, sys
from sslaudit import load_encoder
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load_encoder(sys.argv[1], mapped=True)
before = peak()
encoder = load_encoder(sys.argv[2], mapped=True)
print(peak() - before, encoder.parameters * 4)
"""


def vit(width: int, depth: int) -> torch.nn.Module:
    options = {"embed_dim": width, "depth": depth, "num_heads": width // 64, "num_classes": 0}
    return timm.create_model("vit_base_patch16_224", **options)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's map of the process")
def test_the_peak_is_far_below_the_backbone(tmp_path: Path) -> None:
    torch.save(vit(192, 1).state_dict(), tmp_path / "small.pt")
    torch.save({"teacher": vit(1024, 6).state_dict()}, tmp_path / "large.pt")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROBE,
            f"file,depth=1:{tmp_path}/small.pt",
            f"file,depth=6:{tmp_path}/large.pt",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, backbone = map(int, done.stdout.split())
    assert backbone > 300e6
    assert grown < 0.5 * backbone


def test_a_file_that_is_written_anew_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    net = vit(192, 1)
    torch.save(net.state_dict(), path)
    encoder = load_encoder(f"file,depth=1:{path}")
    path.write_bytes(b"")  # truncated under a map, reading it would be a bus error
    for name, tensor in encoder.module.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])
