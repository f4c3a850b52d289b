"""Broken and collapsed encoders through the command line: named in the headline, never scored as good."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslaudit
from sslaudit import EncoderScheme, Preprocess
from sslaudit.encoder import from_module
from sslaudit.host import Plugin
from sslaudit.registry import Registry, installed
from sslaudit.train.backbones import build_backbone
from tests.conftest import Run

SMALL = Preprocess(size=(24, 24), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
QUICK = ("--data", "photos", "--views", "3", "--no-anchors", "--no-cache", "--overwrite")


class Dropping(nn.Module):
    """Dropout left on."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.dropout(pixels.flatten(1), 0.1, training=True)


class Normed(nn.Module):
    """Batch norm in train mode."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.batch_norm(pixels, None, None, training=True).flatten(1)


class Edge(nn.Module):
    """One direction: how two pixels differ."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (1 + pixels[:, 0, 3, 5] - pixels[:, 0, 9, 6])[:, None] * torch.arange(1.0, 65.0)


class Coarse(nn.Module):
    """Short of rank 1: brightness, and a little of all else."""

    def forward(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(1)
        return 2 * flat.mean(dim=1, keepdim=True) + 0.1 * flat


class DividedByZero(nn.Module):
    """NaN for dark images."""

    def forward(self, pixels: Tensor) -> Tensor:
        light = torch.relu(pixels.mean(dim=(1, 2, 3)) - pixels.new_tensor(-0.06))
        return pixels.flatten(1) * (light / light)[:, None]


MODULES = {kind.__name__.lower(): kind for kind in (Dropping, Normed, Edge, Coarse, DividedByZero)}


@pytest.fixture(scope="session")
def stub_registry() -> Registry:
    """What is installed, and the modules above as ``made:NAME``."""
    scheme = EncoderScheme(
        scheme="made",
        summary="modules of this test",
        load=lambda ref, device: from_module(MODULES[ref.locator](), preprocess=SMALL, device=device),
    )
    made = Plugin(name="made", distribution="made", version="1", offers={"encoders": [scheme]})
    return Registry([*installed().plugins, made])


def card(tmp_path: Path, name: str) -> sslaudit.ReportCard:
    return sslaudit.read_card(tmp_path / "reports" / name)


@pytest.mark.parametrize(
    ("name", "code", "word", "said"),
    [
        ("dropping", 1, "NOT DETERMINISTIC", "two forward passes of one batch differ"),
        ("normed", 1, "NOT DETERMINISTIC", "alone or in a batch: relative deviation"),
        ("edge", 1, "COLLAPSED", "participation ratio 1.0, at most"),
        ("coarse", 0, "WARNING", "participation ratio 1."),
        ("dividedbyzero", 1, "NOT FINITE", "of 36 images have NaN or Inf: rows "),
    ],
)
def test_a_guard_speaks_on_the_first_screen(
    run_here: Run, photos: Path, name: str, code: int, word: str, said: str
) -> None:
    done = run_here("evaluate", f"made:{name}", *QUICK, "--metrics", "knn")
    assert done.returncode == code, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(word))
    assert said in line
    assert ("ACCURACY" in done.stdout) == (code == 0)


def test_a_collapsed_checkpoint_is_never_good(run_here: Run, photos: Path, tmp_path: Path) -> None:
    drawn, state = torch.Generator().manual_seed(0), build_backbone("resnet18", seed=0).state_dict()
    for name in (name for name in state if name.endswith("bn2.bias")):
        state[name] = torch.rand(state[name].shape, generator=drawn)
    torch.save({"state_dict": state}, tmp_path / "fine.pth")
    dead = {name: v * 0 if "conv" in name or "downsample.0" in name else v for name, v in state.items()}
    torch.save({"state_dict": dead}, tmp_path / "collapsed.pth")
    refs = ("file,size=32:fine.pth", "file,size=32:collapsed.pth")
    assert run_here("evaluate", refs[0], *QUICK, "--metrics", "knn,alignment").returncode == 0
    done = run_here("evaluate", refs[1], *QUICK, "--metrics", "knn,alignment")
    assert done.returncode == 1
    assert "COLLAPSED  all images have one embedding" in done.stdout
    assert "HEALTHY" not in done.stdout
    assert "ACCURACY" not in done.stdout
    row = " ".join(done.stdout.partition("view spread")[2].split())
    assert row.startswith("alignment .000 trivial: features are constant")

    fine, collapsed = (card(tmp_path, f"file-size-32-{name}.pth") for name in ("fine", "collapsed"))
    assert collapsed.metric("knn").value == pytest.approx(1 / 3)
    alignment = collapsed.metric("alignment")
    assert (alignment.value, alignment.interval, alignment.verdict) == (0, None, "vacuous")
    assert "trivial: features are constant" in alignment.note
    for one, other in ((fine, collapsed), (collapsed, fine)):
        with pytest.raises(sslaudit.CardError, match="failed its check 'non-constant'"):
            sslaudit.paired_difference(one, other, "knn")


@pytest.mark.parametrize(
    ("tensor", "value"), [("layer2.1.bn2.weight", float("nan")), ("layer1.0.bn1.running_var", float("inf"))]
)
def test_weights_that_are_not_finite_are_refused_by_name(
    run_here: Run, photos: Path, tmp_path: Path, tensor: str, value: float
) -> None:
    state = build_backbone("resnet18", seed=0).state_dict()
    state[tensor][5] = value
    torch.save({"state_dict": state}, tmp_path / "broken.pth")
    done = run_here("evaluate", "file,size=32:broken.pth", *QUICK)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: 'broken.pth': the weights '{tensor}' hold NaN or infinity.\n"
    assert not list((tmp_path / "reports").rglob("card.json"))


def test_an_overflow_of_half_precision_is_never_scored(run_here: Run, photos: Path, tmp_path: Path) -> None:
    """Finite in float32, above 65,504 on the way: refused where float16 is asked for, else not used."""
    state = build_backbone("resnet18", seed=0).state_dict()
    state["bn1.weight"] *= 3e5
    torch.save({"state_dict": state}, tmp_path / "large.pth")
    scored = {}
    for precision in ("fp32", "fp16", "auto"):
        args = ("--precision", precision, "--metrics", "knn,alignment", "--output", precision)
        done = run_here("evaluate", "file,size=32:large.pth", *QUICK, *args)
        made = json.loads((tmp_path / precision / "file-size-32-large.pth" / "card.json").read_text())
        scored[precision] = {metric["name"]: metric["value"] for metric in made["metrics"]}
        assert done.returncode == (1 if precision == "fp16" else 0), done.stderr
        assert ("NOT FINITE" in done.stdout) == (precision == "fp16")
    assert scored["fp16"] == {"knn": None, "alignment": None}
    assert None not in scored["fp32"].values()
    assert scored["auto"]["alignment"] == pytest.approx(scored["fp32"]["alignment"], rel=0.05)
