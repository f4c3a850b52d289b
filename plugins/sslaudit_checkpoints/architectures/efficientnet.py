"""EfficientNet, EfficientNet-Lite and MobileNetV2 in timm's names, and the names of EfficientNet-PyTorch.

=====================  ==========================================  ===================================
dialect                anchor                                      brought to timm's names by
=====================  ==========================================  ===================================
timm                   ``blocks.0.0.conv_dw.weight``               nothing
EfficientNet-PyTorch   ``_blocks.0._depthwise_conv.weight``        blocks counted through -> by stage
torchvision            ``features.1.0.block.0.0.weight``           its own names are kept
=====================  ==========================================  ===================================
"""

import re
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit

_BY_STAGES = {
    (1, 2, 2, 3, 3, 4, 1): ("efficientnet_b0", "efficientnet_lite0"),
    (2, 3, 3, 4, 4, 5, 2): ("efficientnet_b1", "efficientnet_b2"),
    (2, 3, 3, 5, 5, 6, 2): ("efficientnet_b3",),
    (2, 4, 4, 6, 6, 8, 2): ("efficientnet_b4",),
    (3, 5, 5, 7, 7, 9, 3): ("efficientnet_b5",),
    (3, 6, 6, 8, 8, 11, 3): ("efficientnet_b6",),
    (4, 7, 7, 10, 10, 13, 4): ("efficientnet_b7",),
    (1, 3, 3, 4, 4, 5, 1): ("efficientnet_lite1", "efficientnet_lite2"),
    (1, 3, 3, 5, 5, 6, 1): ("efficientnet_lite3",),
    (1, 4, 4, 6, 6, 8, 1): ("efficientnet_lite4",),
    (1, 2, 3, 4, 3, 3, 1): (
        "mobilenetv2_100",
        "mobilenetv2_140",
        "mobilenetv2_050",
        "mobilenetv2_075",
        "mobilenetv2_035",
    ),
    (1, 3, 4, 5, 4, 4, 1): ("mobilenetv2_110d",),
    (1, 3, 5, 6, 5, 5, 1): ("mobilenetv2_120d",),
}
"""Names in timm by the number of blocks in each stage."""

_BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(.+)")
_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
# A block without expansion has no pointwise convolution in front, so its later parts move up.
_PLAIN = _EXPANDED | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

_TF_PADDING = "padding as in TensorFlow ('same')"


def _read_timm(state: State, hints: Hints) -> Reading:
    """The net in timm's names; of the two that differ in padding alone, the one that timm publishes."""
    name = _identify(state)
    lite = name.startswith("efficientnet_lite")
    tf = lite or name in ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")
    if not name.startswith("efficientnet"):
        return Reading(architecture=_architecture(name), state=dict(state))
    taken, other = (f"tf_{name}", name) if tf else (name, f"tf_{name}")
    said = f"{taken} and {other} differ in padding alone, which no tensor shows: {taken} assumed"
    return Reading(
        architecture=_architecture(taken, assumptions=(f"{said} (or arch=timm:{other})",)), state=dict(state)
    )


def _read_pytorch(state: State, hints: Hints) -> Reading:
    renamed = _rename(state)
    return Reading(
        architecture=_architecture(f"tf_{_identify(renamed)}", facts={"padding": _TF_PADDING}),
        state=renamed,
        renamed=("names of EfficientNet-PyTorch (_blocks.N) are timm's, stage by stage (blocks.S.B)",),
    )


def _read_torchvision(state: State, hints: Hints) -> Reading:
    for name in (f"efficientnet_b{i}" for i in range(8)):
        build = partial(_build_torchvision, name)
        if _fits(build, state):
            return Reading(
                architecture=Architecture(
                    name=name,
                    build=build,
                    preprocess=_preprocess(f"tf_{name}"),
                    facts={"pooling": "global average"},
                ),
                state=dict(state),
            )
    raise Unfit("it has blocks of a torchvision EfficientNet, but the shapes of none of b0 to b7.")


def _identify(state: State) -> str:
    """The timm name, without ``tf_``, whose shapes are those of ``state``. Raises ``Unfit``."""
    stages: dict[int, int] = {}
    for key in state:
        if match := re.match(r"blocks\.(\d+)\.(\d+)\.", key):
            stage, block = int(match[1]), int(match[2])
            stages[stage] = max(stages.get(stage, 0), block + 1)
    count = tuple(stages.get(stage, 0) for stage in range(max(stages, default=-1) + 1))
    names = _BY_STAGES.get(count, ())
    for name in names:
        if _fits(partial(_build, name), state):
            return name
    if names:
        return names[0]  # the strict match will say which tensors differ
    raise Unfit(
        f"it has inverted residual blocks, {'-'.join(map(str, count))} in its stages, of no EfficientNet, "
        "EfficientNet-Lite or MobileNetV2. Name it: arch=timm:NAME"
    )


def _fits(build: Callable[[], nn.Module], state: State) -> bool:
    with torch.device("meta"):
        expected = build().state_dict()
    return all(
        name in state and state[name].shape == tensor.shape
        for name, tensor in expected.items()
        if not name.endswith("num_batches_tracked")
    )


def _rename(state: State) -> dict[str, torch.Tensor]:
    """EfficientNet-PyTorch's names in timm's: a stage begins where the number of channels changes."""
    expanded = {m[1] for name in state if (m := _BLOCK.fullmatch(name)) and m[2] == "_expand_conv"}
    places = _places(state)
    renamed = {}
    for name, tensor in state.items():
        head, _, rest = name.partition(".")
        if (match := _BLOCK.fullmatch(name)) and int(match[1]) in places:
            parts = _EXPANDED if match[1] in expanded else _PLAIN
            name = f"{places[int(match[1])]}.{parts.get(match[2], match[2])}.{match[3]}"
        elif head in _TOP:
            name = f"{_TOP[head]}.{rest}"
        renamed[name] = tensor
    return renamed


def _places(state: State) -> dict[int, str]:
    blocks = sorted({int(m[1]) for name in state if (m := _BLOCK.fullmatch(name))})
    places, stage, inside, before = {}, -1, 0, -1
    for block in blocks:
        out = state.get(f"_blocks.{block}._project_conv.weight")
        width = -1 if out is None else out.shape[0]
        stage, inside = (stage, inside + 1) if width == before else (stage + 1, 0)
        places[block] = f"blocks.{stage}.{inside}"
        before = width
    return places


def _architecture(
    name: str, *, assumptions: tuple[str, ...] = (), facts: dict[str, str] | None = None
) -> Architecture:
    return Architecture(
        name=f"timm:{name}",
        build=partial(_build, name),
        preprocess=_preprocess(name),
        assumptions=assumptions,
        facts={"pooling": "global average", **(facts or {})},
    )


def _build(name: str) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return model


def _build_torchvision(name: str) -> nn.Module:
    import torchvision

    model: nn.Module = torchvision.models.get_model(name, weights=None)
    model.classifier = nn.Identity()
    return model


def _preprocess(name: str) -> Preprocess:
    """timm's record of the architecture, which the file itself does not confirm."""
    import timm
    from timm.data import resolve_data_config

    config = resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    _, height, width = config["input_size"]
    return Preprocess(
        size=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop=float(config["crop_pct"]),
        source="assumed: timm's record of the architecture",
    )


DIALECTS = (
    Dialect(
        name="EfficientNet, MobileNetV2 (timm)",
        anchor=re.compile(r"(?<![^.])blocks\.0\.0\.conv_dw\.weight$"),
        read=_read_timm,
    ),
    Dialect(
        name="EfficientNet-PyTorch",
        anchor=re.compile(r"_blocks\.0\._depthwise_conv\.weight$"),
        read=_read_pytorch,
    ),
    Dialect(
        name="EfficientNet (torchvision)",
        anchor=re.compile(r"features\.1\.0\.block\.0\.0\.weight$"),
        read=_read_torchvision,
    ),
)
