"""ResNets: what decides one, its name, and the network itself."""

import re
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture

NAMES = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
    "resnet200": (True, (3, 24, 36, 3)),
    "resnet26": (True, (2, 2, 2, 2)),
    "resnet10": (False, (1, 1, 1, 1)),
}
"""Whether the blocks are bottlenecks, and how many each stage has."""

_BY_LAYERS = {layers: name for name, layers in NAMES.items()}
_NAME = re.compile(
    r"(?P<wide>wide_)?(?:resnet(?P<depth>\d+)(?:w(?P<width>\d+))?(?P<deep>d)?(?P<double>_2)?"
    r"|resnext(?P<next>\d+)_(?P<groups>\d+)x(?P<base>\d+)d)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that decides a ResNet."""

    bottleneck: bool
    layers: tuple[int, ...]
    groups: int = 1
    base_width: int = 64
    width: int = 1
    """Multiple of the usual number of channels."""
    channels: int = 3
    """Input channels: 3, or 1 for gray."""
    cifar_stem: bool = False
    """3x3 conv1 with stride 1."""
    max_pool: bool = True
    """Whether a max-pool follows the first convolution."""
    stem_padding: int = 1
    """Padding of the CIFAR stem."""
    deep_stem: bool = False
    """Three 3x3 convolutions in place of the 7x7 one, average pooling in the shortcuts (ResNet-D)."""
    attention: bool = False
    """Squeeze-and-excitation in each block."""
    stem_relu: bool = True
    """Whether a ReLU follows the first norm."""
    same_padding: bool = False
    """Padding as in TensorFlow: layers of stride 2 pad more on the right and below."""

    @property
    def name(self) -> str:
        """``resnet50``, ``resnet50w2``, ``wide_resnet50_2``, ``resnext50_32x4d``, ``resnet50d``."""
        kind = "bottleneck" if self.bottleneck else "basic"
        name = _BY_LAYERS.get(
            (self.bottleneck, self.layers), f"resnet of {kind} blocks {'-'.join(map(str, self.layers))}"
        )
        if self.groups > 1:
            name = f"{name.replace('resnet', 'resnext')}_{self.groups}x{self.base_width}d"
        elif self.base_width != 64:
            name = f"wide_{name}_{self.base_width / 64:g}"
        name += f"w{self.width}" if self.width > 1 else ""
        return ("se" if self.attention else "") + name + ("d" if self.deep_stem else "")


def named(name: str) -> Plan | None:
    """The plan of a stated name, ``resnet18w2``; None when it is not a ResNet's."""
    match = _NAME.fullmatch(name)
    if match is None or f"resnet{match['depth'] or match['next']}" not in NAMES:
        return None
    bottleneck, layers = NAMES[f"resnet{match['depth'] or match['next']}"]
    return Plan(
        bottleneck=bottleneck,
        layers=layers,
        groups=int(match["groups"] or 1),
        base_width=int(match["base"] or (128 if match["wide"] else 64)),
        width=int(match["width"] or 1),
        deep_stem=bool(match["deep"]),
    )


def architecture(plan: Plan) -> Architecture:
    """The architecture of ``plan``, with what it assumes."""
    size, crop = ((32, 32), 1.0) if plan.cifar_stem else ((224, 224), 0.875)
    assumptions = []
    if plan.cifar_stem and not plan.max_pool:
        assumptions.append("CIFAR stem (3x3 conv1, no max-pool) assumed from conv1 shape")
    if plan.stem_padding != 1:
        assumptions.append(f"conv1 with padding {plan.stem_padding}, as its project builds the CIFAR stem")
    if plan.same_padding:
        assumptions.append("padding as in TensorFlow ('same')")
    if plan.channels == 1:
        assumptions.append("conv1 takes one channel: images are turned to gray")
    return Architecture(
        name=f"{plan.name}, CIFAR stem" if plan.cifar_stem else plan.name,
        build=lambda: build(plan),
        preprocess=Preprocess(size=size, crop=crop, source="assumed"),
        depth="-".join(map(str, plan.layers)),
        published=(plan.bottleneck, plan.layers) in _BY_LAYERS,
        assumptions=tuple(assumptions),
        facts={"stem": _stem_in_words(plan), "pooling": "global average"},
    )


def _stem_in_words(plan: Plan) -> str:
    if plan.deep_stem:
        first = "three 3x3 convolutions"
    elif plan.cifar_stem:
        first = f"3x3 conv1 with stride 1 and padding {plan.stem_padding} (CIFAR stem)"
    else:
        first = "7x7 conv1 with stride 2"
    parts = [first, *([] if plan.stem_relu else ["no ReLU"]), "max-pool" if plan.max_pool else "no max-pool"]
    return ", ".join([*parts, *(["TensorFlow's padding"] if plan.same_padding else [])])


def build(plan: Plan) -> nn.Module:
    """The backbone (B, 3, H, W) -> (B, D) with fresh weights."""
    model = _from_timm(plan) if plan.deep_stem or plan.attention else _FromTorchvision(plan)
    model.fc = nn.Identity()
    out = 64 * plan.width
    if plan.cifar_stem:
        model.conv1 = nn.Conv2d(plan.channels, out, 3, stride=1, padding=plan.stem_padding, bias=False)
    elif plan.channels != 3:
        model.conv1 = nn.Conv2d(plan.channels, out, 7, stride=2, padding=3, bias=False)
    if not plan.max_pool:
        model.maxpool = nn.Identity()
    if not plan.stem_relu:
        model.relu = nn.Identity()  # the blocks have their own
    if plan.same_padding:
        _pad_same(model)
    if plan.channels == 1:
        model.register_forward_pre_hook(_to_gray)
    return model


class _FromTorchvision(ResNet):
    """torchvision's ResNet; with a width, every number of channels times that width.

    Source of the width: Kolesnikov et al., CVPR 2019, Sec. 3.1, as SimCLR, BYOL and SwAV use it.
    """

    def __init__(self, plan: Plan) -> None:
        self._times = plan.width
        super().__init__(
            Bottleneck if plan.bottleneck else BasicBlock,
            list(plan.layers),
            groups=plan.groups,
            width_per_group=plan.base_width,
        )

    def _make_layer(self, block: type, planes: int, *args: int, **kwargs: int) -> nn.Sequential:
        if planes == 64 and self._times > 1:  # the first stage: what stands before it grows too
            self.inplanes = 64 * self._times
            self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
        return super()._make_layer(block, planes * self._times, *args, **kwargs)


def _from_timm(plan: Plan) -> nn.Module:
    from timm.models import resnet as timm_resnet

    return timm_resnet.ResNet(
        timm_resnet.Bottleneck if plan.bottleneck else timm_resnet.BasicBlock,
        plan.layers,
        cardinality=plan.groups,
        base_width=plan.base_width,
        stem_width=32 if plan.deep_stem else 64,
        stem_type="deep" if plan.deep_stem else "",
        avg_down=plan.deep_stem,
        zero_init_last=False,
        block_args={"attn_layer": "se"} if plan.attention else None,
    )


def _pad_same(model: nn.Module) -> None:
    """Replaces every layer of stride 2 by one that pads as TensorFlow does."""
    from timm.layers import Conv2dSame, create_pool2d

    for name, layer in list(model.named_modules()):
        parent, _, child = name.rpartition(".")
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) and layer.kernel_size != (1, 1):
            same: nn.Module = Conv2dSame(
                layer.in_channels, layer.out_channels, layer.kernel_size, 2, groups=layer.groups, bias=False
            )
        elif isinstance(layer, nn.MaxPool2d):
            same = create_pool2d("max", 3, 2, padding="same")
        else:
            continue
        setattr(model.get_submodule(parent), child, same)


def _to_gray(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """ITU-R 601 luma of (B, 3, H, W), as (B, 1, H, W)."""
    (images,) = inputs
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
