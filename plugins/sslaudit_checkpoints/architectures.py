"""Architectures that a file without a header may hold, and how their images are prepared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import RefError
from sslaudit.registry import nearest

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One backbone: how to make it, and what goes without saying about it."""

    name: str
    build: Callable[[], nn.Module]
    """A backbone (B, 3, H, W) -> (B, D) with fresh weights from torch's global generator."""
    preprocess: Callable[[nn.Module], Preprocess]
    rename: Callable[[Mapping[str, Tensor], nn.Module], dict[str, Tensor]] | None = None
    """From the names of another project to this architecture's, when they are recognised."""
    assumptions: tuple[str, ...] = ()

    def skeleton(self) -> nn.Module:
        """The backbone without memory for its weights, for names and shapes."""
        with torch.device("meta"):
            return self.build()


def named(arch: str) -> list[Architecture]:
    """The architecture of ``arch=``, with its variants. Raises ``RefError`` for an unknown one."""
    if arch.startswith("timm:"):
        return [_timm(arch.removeprefix("timm:"))]
    if arch not in RESNETS:
        hint = nearest(arch, RESNETS)
        raise RefError(f"arch={arch} is not a torchvision ResNet; write arch=timm:NAME for others.{hint}")
    return [_resnet(arch), _resnet(arch, cifar_stem=True)]


def inferable() -> list[Architecture]:
    """Architectures that are recognised from names and shapes alone."""
    return [_resnet(name, cifar_stem=stem) for name in RESNETS for stem in (False, True)]


def _resnet(name: str, *, cifar_stem: bool = False) -> Architecture:
    def build() -> nn.Module:
        model = torchvision.models.get_model(name, weights=None)
        model.fc = nn.Identity()
        if cifar_stem:
            model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return model

    size, crop = ((32, 32), 1.0) if cifar_stem else ((224, 224), 0.875)
    stem = ("CIFAR stem (3x3 conv1, no max-pool) assumed from the shape of conv1",) if cifar_stem else ()
    return Architecture(
        name=f"{name}, CIFAR stem" if cifar_stem else name,
        build=build,
        preprocess=lambda model: Preprocess(size=size, crop=crop, source="assumed"),
        assumptions=(
            *stem,
            f"preprocessing: ImageNet mean and std at {size[0]} pixels; the file says nothing",
        ),
    )


def _timm(name: str) -> Architecture:
    from sslaudit_checkpoints.efficientnet import rename
    from sslaudit_timm.model import build, preprocessing

    return Architecture(
        name=f"timm:{name}",
        build=lambda: build(name, pretrained=False),
        preprocess=preprocessing,
        rename=rename,
        assumptions=("preprocessing: timm's record of the architecture, not of this file",),
    )
