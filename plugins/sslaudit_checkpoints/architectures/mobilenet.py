"""MobileNetV2 by position in ``features``: torchvision's names, and those of the first PyTorch ports.

========================  =================================  =====================================
dialect                   anchor                             difference
========================  =================================  =====================================
torchvision               ``features.1.conv.0.0.weight``     each convolution with its norm nested
tonylins/pytorch-         ``features.1.conv.3.weight``       one flat ``nn.Sequential`` per block
mobilenet-v2
========================  =================================  =====================================
"""

import re

import torchvision
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit

_FLAT = re.compile(r"features\.(\d+)\.conv\.(\d)\.(.+)")
_EXPANDED = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
_PLAIN = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
_BLOCKS = 17


def _read(state: State, hints: Hints) -> Reading:
    stem = state.get("features.0.0.weight")
    if stem is None or "features.18.0.weight" not in state:
        raise Unfit("it has inverted residual blocks, but not the stem and the 19 parts of a MobileNetV2.")
    width = stem.shape[0] / 32
    name = "mobilenet_v2" if width == 1 else f"mobilenet_v2, width {width:g}"
    architecture = Architecture(
        name=name,
        build=lambda: _build(width),
        preprocess=Preprocess(size=(224, 224), crop=0.875, source="assumed"),
        facts={"pooling": "global average"},
    )
    return Reading(architecture=architecture, state=dict(state))


def _read_flat(state: State, hints: Hints) -> Reading:
    plain = {str(block) for block in range(_BLOCKS + 1) if f"features.{block}.conv.6.weight" not in state}
    renamed = {}
    for name, tensor in state.items():
        if match := _FLAT.fullmatch(name):
            places = _PLAIN if match[1] in plain else _EXPANDED
            name = f"features.{match[1]}.conv.{places.get(match[2], match[2])}.{match[3]}"
        renamed[name] = tensor
    reading = _read(renamed, hints)
    return Reading(
        architecture=reading.architecture,
        state=reading.state,
        renamed=("flat positions in each block (conv.3) are torchvision's nested ones (conv.1.0)",),
    )


def _build(width: float) -> nn.Module:
    model: nn.Module = torchvision.models.mobilenet_v2(weights=None, width_mult=width)
    model.classifier = nn.Identity()
    return model


DIALECTS = (
    Dialect(
        name="MobileNetV2 (torchvision)",
        anchor=re.compile(r"features\.1\.conv\.0\.0\.weight$"),
        read=_read,
    ),
    Dialect(
        name="MobileNetV2, flat blocks",
        anchor=re.compile(r"features\.1\.conv\.3\.weight$"),
        read=_read_flat,
    ),
)
