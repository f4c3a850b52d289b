"""The tensor names of the EfficientNet-PyTorch family (``_blocks.N._depthwise_conv``) in timm's names."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

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


def rename(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """``state`` in timm's names when it is of this family; otherwise as it is.

    Blocks are counted through in the file and stage by stage in timm. Wrapper prefixes in front of
    the names are removed.
    """
    stem = next((name for name in state if name.endswith("_conv_stem.weight")), None)
    if stem is None or not hasattr(model, "blocks"):
        return dict(state)
    prefix = stem.removesuffix("_conv_stem.weight")
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(model.blocks) for b in range(len(stage))]
    expanded = {
        m[1]
        for name in state
        if (m := _BLOCK.fullmatch(name.removeprefix(prefix))) and m[2] == "_expand_conv"
    }
    renamed = {}
    for full, tensor in state.items():
        name = full.removeprefix(prefix)
        head, _, rest = name.partition(".")
        if (match := _BLOCK.fullmatch(name)) and int(match[1]) < len(places):
            parts = _EXPANDED if match[1] in expanded else _PLAIN
            name = f"{places[int(match[1])]}.{parts.get(match[2], match[2])}.{match[3]}"
        elif head in _TOP:
            name = f"{_TOP[head]}.{rest}"
        renamed[name] = tensor
    return renamed
