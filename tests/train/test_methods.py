"""Projectors, the methods made of them, and what reaches their builders."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from sslaudit import load_dataset
from sslaudit.data import subset
from sslaudit.errors import UsageError
from sslaudit.specs import MethodSpec, Option
from sslaudit.train.backbones import build_backbone
from sslaudit.train.choices import Choices
from sslaudit.train.heads import barlow_twins_projector, simclr_projector
from sslaudit.train.loop import train
from sslaudit.train.losses import barlow_twins as barlow_twins_loss
from sslaudit.train.losses import nt_xent
from sslaudit.train.methods import Method, barlow_twins, simclr


def layers(net: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in net]


def test_projectors_have_the_layers_of_the_papers() -> None:
    two = simclr_projector(16)
    assert layers(two) == ["Linear", "ReLU", "Linear"]
    assert two(torch.zeros(3, 16)).shape == (3, 128)
    assert simclr_projector(16, hidden=5, out=7)[0].weight.shape == (5, 16)
    three = barlow_twins_projector(16)
    assert layers(three) == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
    assert [net.weight.shape for net in three if isinstance(net, nn.Linear)] == [(32, 16), (32, 32), (32, 32)]
    assert barlow_twins_projector(16, hidden=5, out=7)(torch.zeros(3, 16)).shape == (3, 7)


@pytest.mark.parametrize("name", ["simclr", "barlow-twins"])
def test_the_loss_compares_the_projections_of_the_two_views(name: str) -> None:
    backbone = build_backbone("conv3", seed=0)
    if name == "simclr":
        method: Method = simclr(backbone, 128, temperature=0.3)
    else:
        method = barlow_twins(backbone, 128, lambd=0.1)
    a, b = torch.rand(2, 6, 3, 8, 8)
    twin = copy.deepcopy(method)  # the batch norm of both sees a first, then b
    z_a, z_b = twin.projector(twin.backbone(a)), twin.projector(twin.backbone(b))
    expected = (
        nt_xent(z_a, z_b, temperature=0.3) if name == "simclr" else barlow_twins_loss(z_a, z_b, lambd=0.1)
    )
    loss = method.loss(a, b)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.backbone is backbone


def test_options_that_mean_nothing_are_refused() -> None:
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="temperature"):
            simclr(nn.Identity(), 4, temperature=temperature)
    with pytest.raises(UsageError, match="lambd"):
        barlow_twins(nn.Identity(), 4, lambd=-1e-3)


def test_defaults_that_are_declared_reach_the_builder(tmp_path: Path) -> None:
    """Not those of its signature, which a plugin may spell otherwise."""
    seen: dict[str, object] = {}

    def build(backbone: nn.Module, dim: int, *, teacher_temp: float = 0.5, width: int = 7) -> Method:
        seen.update(teacher_temp=teacher_temp, width=width)
        return simclr(backbone, dim)

    options = (
        Option(name="teacher-temp", type=float, default=0.04, help=""),
        Option(name="width", type=int, default=None, help=""),
    )
    spec = MethodSpec(name="mine", summary="", source="", build=build, options=options)
    few = subset(load_dataset("digits"), max_images=40)
    train(spec, few, output=tmp_path / "x.pt", named={}, choices=Choices(size=8, epochs=1, recipe="crop"))
    assert seen == {"teacher_temp": 0.04, "width": 7}
