"""SqueezeNet 1.0 and 1.1, in torchvision's names (``features.3.squeeze.weight``)."""

import re

import torchvision
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit

_BY_KERNEL = {7: "squeezenet1_0", 3: "squeezenet1_1"}


def _read(state: State, hints: Hints) -> Reading:
    stem = state.get("features.0.weight")
    name = None if stem is None else _BY_KERNEL.get(stem.shape[-1])
    if name is None:
        raise Unfit("it has Fire modules of a SqueezeNet, but neither stem (7x7 in 1.0, 3x3 in 1.1).")
    architecture = Architecture(
        name=name,
        build=lambda: _build(name),
        preprocess=Preprocess(size=(224, 224), crop=0.875, source="assumed"),
        facts={"pooling": "global average of the last Fire module"},
    )
    return Reading(architecture=architecture, state=dict(state))


def _build(name: str) -> nn.Module:
    model: nn.Module = torchvision.models.get_model(name, weights=None)
    model.classifier = nn.AdaptiveAvgPool2d(1)  # in place of dropout, the 1x1 classifier and its pooling
    return model


DIALECTS = (
    Dialect(name="SqueezeNet (torchvision)", anchor=re.compile(r"features\.3\.squeeze\.weight$"), read=_read),
)
