"""Backbones of the reference encoders: images (B, 3, S, S) to embeddings (B, D), with fresh weights.

``conv3``, ``conv4``, ``resnet18``, ``resnet18-cifar``, or a model of a library without its classifier:
``timm:NAME``, ``torchvision:NAME``. A ResNet named with ``-cifar`` at the end has the stem for small
images.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torchvision
from torch import nn

from sslaudit.errors import UsageError
from sslaudit.registry import nearest
from sslaudit.train.convolution import Convolution

BACKBONES = {
    "conv3": "three convolutions, D = 128, for images of 8 to 16 pixels",
    "conv4": "four convolutions, D = 256, for images of about 32 pixels",
    "resnet18": "ResNet-18, D = 512, for images of 64 pixels and more",
    "resnet18-cifar": "ResNet-18 with a 3x3 stem and no max-pooling, D = 512, for images of about 32 pixels",
}
"""Own names and what each is for."""

_CIFAR = "-cifar"
_LAYERS = {"conv3": ((32, 1), (64, 2), (128, 2)), "conv4": ((32, 2), (64, 2), (128, 2), (256, 2))}
"""Width and stride of each convolution: maps of 8, 4 and 2 at 8 pixels; of 16, 8, 4 and 2 at 32."""
_FAILURES = (RuntimeError, TypeError, AssertionError, ValueError, KeyError, AttributeError, IndexError)
"""What the libraries raise for what they cannot build or compute."""


def build_backbone(name: str, *, seed: int | None = None, size: int | None = None) -> nn.Module:
    """The backbone ``name`` with fresh weights, from ``seed`` or from torch's global generator.

    With a seed the global generator is left as it was. ``size`` is the side of the images in pixels,
    which networks with a table of positions must be told: their weights depend on it. Raises
    ``UsageError`` for an unknown name, for what is no encoder, and for images it cannot take.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        net = _build(name, size)
    device = next(net.parameters()).device
    if size is not None and device.type != "meta":
        _check(net, name, torch.zeros(1, 3, size, size, device=device))
    return net


def _build(name: str, size: int | None) -> nn.Module:
    if name in _LAYERS:
        return _convolutions(_LAYERS[name])
    spelled = f"torchvision:{name}" if name in BACKBONES else name
    library, _, model_name = spelled.partition(":")
    model_name, stem = model_name.removesuffix(_CIFAR), model_name.endswith(_CIFAR)
    if library == "timm":
        net = _from_timm(name, model_name, size)
    elif library == "torchvision" and model_name:
        net = _from_torchvision(name, model_name, size)
    else:
        raise _unknown(name)
    net = _with_cifar_stem(net, name) if stem else net
    return net.to(memory_format=torch.channels_last)  # quicker to train, on CPUs too


def _unknown(name: str) -> UsageError:
    import timm

    if name.removesuffix(_CIFAR) in _torchvision_names():
        hint = f" Did you mean 'torchvision:{name}'?"
    elif timm.is_model(name.removesuffix(_CIFAR)):
        hint = f" Did you mean 'timm:{name}'?"
    else:
        hint = nearest(name, BACKBONES)
    return UsageError(f"there is no backbone '{name}'.{hint} Others are timm:NAME and torchvision:NAME.")


def _convolutions(convolutions: Iterable[tuple[int, int]]) -> nn.Module:
    """3x3 convolutions without bias, each with batch norm and ReLU; then global average pooling."""
    layers: list[nn.Module] = []
    channels_in = 3
    for channels, stride in convolutions:
        layers += [
            Convolution(channels_in, channels, stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        channels_in = channels
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return model.to(memory_format=torch.channels_last)  # a fifth faster to train on a CPU


def _from_timm(name: str, model_name: str, size: int | None) -> nn.Module:
    import timm  # a second, which own backbones do not need

    bare, _, tag = model_name.partition(".")
    if not timm.is_model(bare):
        raise UsageError(f"timm has no model '{model_name}'.{nearest(model_name, timm.list_models())}")
    if tag:
        raise UsageError(
            f"backbone '{name}': '.{tag}' names pretrained weights, and training starts from fresh ones; "
            f"write timm:{bare}."
        )
    record = timm.get_pretrained_cfg(bare)
    fixed = record is not None and record.fixed_input_size
    options: dict[str, Any] = {"img_size": size} if fixed and size is not None else {}
    try:
        net: nn.Module = timm.create_model(bare, pretrained=False, num_classes=0, **options)
    except _FAILURES as error:
        raise _refusal(name, size, error) from error
    return net


def _from_torchvision(name: str, model_name: str, size: int | None) -> nn.Module:
    known = _torchvision_names()
    if model_name not in known:
        raise UsageError(f"torchvision has no image classifier '{model_name}'.{nearest(model_name, known)}")
    options: dict[str, Any] = {}
    if model_name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True, "dropout": 0.0}
    elif model_name.startswith("vit_") and size is not None:
        options = {"image_size": size}
    elif model_name.startswith("maxvit_") and size is not None:
        options = {"input_size": (size, size)}
    try:
        if model_name.startswith("regnet_"):  # it computes its widths with tensors, which meta ones have not
            with torch.device("cpu"):
                net: nn.Module = torchvision.models.get_model(model_name, weights=None)
        else:
            net = torchvision.models.get_model(model_name, weights=None, **options)
    except _FAILURES as error:
        raise _refusal(name, size, error) from error
    return _without_classifier(net)


def _torchvision_names() -> list[str]:
    names: list[str] = torchvision.models.list_models(torchvision.models)
    return names


def _without_classifier(net: nn.Module) -> nn.Module:
    """``net`` without the layer that scores the classes, and without the dropout beside it.

    torchvision keeps both in the last child. What else stands there, a norm or hidden layers, is kept.
    """
    name, head = list(net.named_children())[-1]
    layers = head if isinstance(head, nn.Sequential) else nn.Sequential(head)
    scores = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear | nn.Conv2d))
    for i, layer in enumerate(layers):
        if i == scores or isinstance(layer, nn.Dropout):
            layers[i] = nn.Identity()
    setattr(net, name, layers if layers is head else layers[0])
    return net


def _with_cifar_stem(net: nn.Module, name: str) -> nn.Module:
    """Source: Chen et al., ICML 2020, Appendix B.9: 3x3 stem with stride 1, no max-pooling."""
    if not all(hasattr(net, part) for part in ("conv1", "bn1", "maxpool", "layer4")):
        raise UsageError(f"backbone '{name}': {_CIFAR} is the stem of a ResNet, and this is none.")
    channels = len(net.get_parameter("bn1.weight"))
    net.conv1 = nn.Conv2d(3, channels, kernel_size=3, stride=1, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


@torch.inference_mode()
def _check(net: nn.Module, name: str, image: torch.Tensor) -> None:
    """Raises ``UsageError`` unless ``image`` (1, 3, S, S) has an embedding (1, D)."""
    try:
        h = net.eval()(image)
    except _FAILURES as error:
        raise _refusal(name, image.shape[-1], error) from error
    net.train()
    if not isinstance(h, torch.Tensor) or h.ndim != 2 or not h.numel():
        shape = tuple(h.shape) if isinstance(h, torch.Tensor) else type(h).__name__
        raise UsageError(
            f"backbone '{name}' is no encoder: it returns {shape} for one image; it must return (1, D)."
        )


def _refusal(name: str, size: int | None, error: Exception) -> UsageError:
    images = f" for images of {size} x {size} pixels" if size is not None else ""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return UsageError(
        f"backbone '{name}' cannot be used{images}; try another --size. Its library says: {reason}"
    )
