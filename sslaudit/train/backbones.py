"""Backbones of the reference encoders: images (B, 3, H, W) to embeddings (B, D)."""

from collections.abc import Callable

import torch
import torchvision
from torch import nn

from sslaudit.errors import UsageError
from sslaudit.registry import nearest


def _conv3() -> nn.Module:
    """Three 3x3 convolutions without bias, each with batch norm and ReLU; then global average pooling.

    Widths 32, 64, 128; strides 1, 2, 2: at 8 pixels the maps have sides 8, 4 and 2.
    """
    layers: list[nn.Module] = []
    for channels_in, channels, stride in ((3, 32, 1), (32, 64, 2), (64, 128, 2)):
        layers += [
            nn.Conv2d(channels_in, channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return model.to(memory_format=torch.channels_last)  # a fifth faster to train on a CPU


def _resnet18() -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(weights=None)
    model.fc = nn.Identity()
    return model


def _resnet18_cifar() -> nn.Module:
    """Source: Chen et al., ICML 2020, Appendix B.9: 3x3 stem with stride 1, no max-pooling."""
    model = _resnet18()
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


_BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "conv3": _conv3,
    "resnet18": _resnet18,
    "resnet18-cifar": _resnet18_cifar,
}

BACKBONES = {
    "conv3": "three convolutions, D = 128, for images of 8 to 16 pixels",
    "resnet18": "ResNet-18, D = 512, for images of 64 pixels and more",
    "resnet18-cifar": "ResNet-18 with a 3x3 stem and no max-pooling, D = 512, for images of about 32 pixels",
}
"""Names and what each is for."""


def build_backbone(name: str, *, seed: int | None = None) -> nn.Module:
    """The backbone ``name`` with fresh weights, from ``seed`` or from torch's global generator.

    With a seed the global generator is left as it was. Raises ``UsageError`` for an unknown name.
    """
    if name not in _BUILDERS:
        raise UsageError(f"there is no backbone '{name}'.{nearest(name, _BUILDERS)}")
    if seed is None:
        return _BUILDERS[name]()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        return _BUILDERS[name]()
