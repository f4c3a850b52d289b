"""Checkpoint files of convolutional SSL projects, laid out as each project's own code lays them out.

A builder returns the content of the file, the module whose features the project evaluates, and what
the load audit must say. Names and nesting are the project's; heads and queues are small.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

State = dict[str, Tensor]
WIDTH = 128  # of projections


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A file, and what must come of it."""

    content: Mapping[str, Any]
    reference: nn.Module
    """(B, 3, H, W) -> (B, D), in eval mode."""
    branch: str = ""
    prefix: str
    ignored: tuple[str, ...] = ()
    """Words that the ignored groups must name."""
    name: str = "resnet of basic blocks 2-1-1-1"
    project: str | None = None
    """Key of the project that must be recognised."""
    pixels: int = 64
    mean: tuple[float, float, float] | None = None
    """Of the preprocessing, when the project has one."""
    std: tuple[float, float, float] | None = None
    size: int | None = None
    said: str = ""
    """What one of the assumptions must say."""


LAYOUTS: dict[str, Callable[[], Layout]] = {}

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
CIFAR: dict[str, Any] = {"pixels": 32, "size": 32, "name": "resnet of basic blocks 2-1-1-1, CIFAR stem"}


def layout(build: Callable[[], Layout]) -> Callable[[], Layout]:
    """Lists a builder under its own name."""
    LAYOUTS[build.__name__] = build
    return build


# --- networks


@cache
def _small() -> nn.Module:
    torch.manual_seed(7)
    block = torchvision.models.resnet.BasicBlock
    return _varied(torchvision.models.ResNet(block, [2, 1, 1, 1]))


def _varied(model: nn.Module) -> nn.Module:
    """Norms as after training: nothing in them is at its start."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def resnet(*, fc: bool = False, cifar: bool = False, padding: int = 1) -> nn.Module:
    """torchvision's ResNet with five blocks; with ``cifar`` a 3x3 stem of stride 1 without max-pool."""
    model = copy.deepcopy(_small())
    if not fc:
        model.fc = nn.Identity()
    if cifar:
        torch.manual_seed(8)
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=padding, bias=False)
        model.maxpool = nn.Identity()
    return model.eval()


def shifted(model: nn.Module) -> nn.Module:
    """The same network with other weights: a student, a key encoder."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    return model


def wide(width: int) -> nn.Module:
    """One bottleneck block a stage with all channels times ``width``, as SimCLR's and SwAV's wide nets."""

    class Wide(torchvision.models.ResNet):
        def __init__(self) -> None:
            super().__init__(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
            self.inplanes = 64 * width
            self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
            block = torchvision.models.resnet.Bottleneck
            for stage, (planes, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), 1):
                layer = self._make_layer(block, planes * width, 1, stride=stride)
                self.add_module(f"layer{stage}", layer)
            self.fc = nn.Identity()

    torch.manual_seed(9)
    return _varied(Wide())


class Features(nn.Module):
    """Features (B, D) of a ResNet whose parts are called one by one, as a project's own forward does."""

    def __init__(self, parts: nn.Module, *, stem_relu: bool = True) -> None:
        super().__init__()
        self.parts = parts
        self.stem_relu = stem_relu

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        x = self.parts.bn1(self.parts.conv1(images))
        x = functional.relu(x) if self.stem_relu else x
        if isinstance(self.parts, torchvision.models.ResNet):
            x = self.parts.maxpool(x)
        for stage in (self.parts.layer1, self.parts.layer2, self.parts.layer3, self.parts.layer4):
            x = stage(x)
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


def _same(images: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pads as TensorFlow's SAME does: the odd pixel goes to the right and to the bottom."""
    pads = []
    for length in (images.shape[-1], images.shape[-2]):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(images, pads, value=value)


class SamePadded(nn.Module):
    """A torchvision ResNet computed with TensorFlow's SAME padding."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d):
                module.padding = (0, 0)
                module.register_forward_pre_hook(self._pad)

    @staticmethod
    def _pad(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        kernel, stride = module.kernel_size, module.stride
        first = lambda value: value[0] if isinstance(value, tuple) else value  # noqa: E731
        return _same(inputs[0], first(kernel), first(stride))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        return self.model(images)


# --- parts of files


def under(prefix: str, state: Mapping[str, Tensor]) -> State:
    """The tensors with ``prefix`` before each name."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def tensors(prefix: str, module: nn.Module) -> State:
    """A module's tensors under ``prefix``."""
    return under(prefix, module.state_dict())


def mlp(prefix: str, *layers: nn.Module) -> State:
    """A head in an ``nn.Sequential`` under ``prefix``."""
    return tensors(prefix, nn.Sequential(*layers))


def shortcuts(state: Mapping[str, Tensor]) -> State:
    """The names of kuangliu's networks: ``shortcut`` for ``downsample``."""
    return {name.replace("downsample", "shortcut"): tensor for name, tensor in state.items()}


def places(state: Mapping[str, Tensor], *order: str) -> State:
    """Names by position: ``order`` lists all children of the ``nn.Sequential``."""
    found = {}
    for name, tensor in state.items():
        child, _, rest = name.partition(".")
        if child in order:
            found[f"{order.index(child)}.{rest}"] = tensor
    return found


CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


def optimizer() -> dict[str, Any]:
    """The state of an SGD optimizer."""
    return {
        "state": {0: {"momentum_buffer": torch.randn(3)}},
        "param_groups": [{"lr": 0.1, "momentum": 0.9, "params": [0]}],
    }


def lightning(state: Mapping[str, Tensor], **more: Any) -> dict[str, Any]:
    """What PyTorch Lightning writes around a state dict.

    Source: Lightning-AI/pytorch-lightning src/lightning/pytorch/trainer/connectors/checkpoint_connector.py
    """
    return {
        "epoch": 99,
        "global_step": 1000,
        "pytorch-lightning_version": "1.9.4",
        "state_dict": dict(state),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 100}}}},
        "callbacks": {"ModelCheckpoint": {"best_model_path": "epoch=99.ckpt"}},
        "optimizer_states": [optimizer()],
        "lr_schedulers": [{"last_epoch": 99}],
        **more,
    }
