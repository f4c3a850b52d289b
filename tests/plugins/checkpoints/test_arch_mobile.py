"""MobileNetV2, EfficientNet, EfficientNet-Lite and SqueezeNet from names and shapes."""

import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from sslaudit.errors import WeightsMismatch


@pytest.mark.parametrize(("name", "size"), [("squeezenet1_0", 64), ("squeezenet1_1", 64)])
def test_squeezenet(loads, telling, name: str, size: int) -> None:
    model = telling(torchvision.models.get_model(name, weights=None))
    state = {f"encoder.{k}": v for k, v in model.state_dict().items()}
    model.classifier = nn.Identity()
    reference = nn.Sequential(model.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    encoder = loads(state, reference, torch.randn(2, 3, size, size))
    assert (encoder.name, encoder.dim) == (name, 512)
    assert encoder.load.ignored == ("encoder.classifier (2 tensors)",)


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_mobilenet_v2_in_torchvisions_names(loads, telling, images: Tensor, width: float) -> None:
    model = telling(torchvision.models.mobilenet_v2(weights=None, width_mult=width))
    state = model.state_dict()
    model.classifier = nn.Identity()
    assert loads(state, model, images).name == ("mobilenet_v2" if width == 1 else "mobilenet_v2, width 0.5")


def flat(name: str) -> str:
    """The names of tonylins/pytorch-mobilenet-v2 MobileNetV2.py: one Sequential per block."""
    match = re.fullmatch(r"features\.(\d+)\.conv\.(\d)\.(.+)", name)
    if match is None:
        return name
    block, place, rest = match[1], int(match[2]), match[3]
    if rest[0].isdigit():  # a convolution with its norm
        return f"features.{block}.conv.{3 * place + int(rest[0])}{rest[1:]}"
    steps = 2 if block == "1" else 3
    return f"features.{block}.conv.{3 * (steps - 1) + place - (steps - 1)}.{rest}"


def test_mobilenet_v2_with_flat_blocks(loads, telling, images: Tensor) -> None:
    model = telling(torchvision.models.mobilenet_v2(weights=None))
    model.classifier = nn.Identity()
    state = {f"module.{flat(k)}": v for k, v in model.state_dict().items()}
    assert "module.features.2.conv.7.running_var" in state
    encoder = loads({"state_dict": state}, model, images)
    assert encoder.load.renamed == (
        "flat positions in each block (conv.3) are torchvision's nested ones (conv.1.0)",
    )


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("efficientnet_b0", "timm:efficientnet_b0"),
        ("efficientnet_b2", "timm:efficientnet_b2"),
        ("tf_efficientnet_lite0", "timm:tf_efficientnet_lite0"),
        ("tf_efficientnet_lite2", "timm:tf_efficientnet_lite2"),
        ("mobilenetv2_100", "timm:mobilenetv2_100"),
        ("mobilenetv2_140", "timm:mobilenetv2_140"),
    ],
)
def test_timms_names(loads, telling, images: Tensor, name: str, called: str) -> None:
    model = telling(timm.create_model(name, num_classes=0))
    encoder = loads({f"backbone.{k}": v for k, v in model.state_dict().items()}, model, images)
    assert encoder.name == called
    said = any("padding alone" in assumption for assumption in encoder.load.assumptions)
    assert said == name.startswith(("efficientnet", "tf_efficientnet"))


PLAIN = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
EXPANDED = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
SE = {"se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
TOP = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}


def lukemelas(model: nn.Module) -> dict[str, Tensor]:
    """The names of lukemelas/EfficientNet-PyTorch efficientnet_pytorch/model.py."""
    places = [f"blocks.{s}.{b}." for s, stage in enumerate(model.blocks) for b in range(len(stage))]
    renamed = {}
    for name, tensor in model.state_dict().items():
        for number, place in enumerate(places):
            if name.startswith(place):
                rest = name.removeprefix(place)
                parts = SE | (PLAIN if number < len(model.blocks[0]) else EXPANDED)
                part = next(p for p in parts if rest.startswith(f"{p}."))
                renamed[f"_blocks.{number}.{parts[part]}{rest.removeprefix(part)}"] = tensor
        head, _, rest = name.partition(".")
        if head in TOP:
            renamed[f"{TOP[head]}.{rest}"] = tensor
    assert len(renamed) == len(model.state_dict())
    return renamed


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "tf_efficientnet_b1", "tf_efficientnet_lite0"])
def test_efficientnet_pytorchs_names(loads, telling, images: Tensor, name: str) -> None:
    model = telling(timm.create_model(name, num_classes=0))
    encoder = loads({"net": lukemelas(model)}, model, images)
    assert encoder.name == f"timm:{name}"
    assert encoder.facts["padding"] == "padding as in TensorFlow ('same')"


def test_torchvisions_efficientnet(loads, telling, images: Tensor) -> None:
    model = telling(torchvision.models.efficientnet_b0(weights=None))
    model.classifier = nn.Identity()
    assert loads(model.state_dict(), model, images).name == "efficientnet_b0"


def test_a_net_of_no_known_depth_asks_for_its_name(tmp_path: Path) -> None:
    state = timm.create_model("efficientnet_b0", num_classes=0).state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("blocks.6.")}, tmp_path / "m.pt")
    with pytest.raises(WeightsMismatch, match="arch=timm:NAME"):
        load_encoder(str(tmp_path / "m.pt"))
