"""The projector that stands beside a backbone in the file, from its tensors alone.

Projectors are chains of linear layers and batch norms in an ``nn.Sequential``. A position without
tensors is an activation; which one, no tensor shows: ReLU, but GELU in DINO's head.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from sslaudit_checkpoints.fits import Fit
from sslaudit_checkpoints.tensors import Stored

Layer = TypeVar("Layer", bound=nn.Module)

_NAME = re.compile(r"proj|head|(^|\.)(fc|g|neck|mlp)(\.|$)")
_NOT = re.compile(r"predict|classif|prototype|decoder|momentum_proj|target")
_LAYER = re.compile(r"(?P<chain>.*)\.(?P<place>\d+)\.(?P<what>weight|bias|running_mean|running_var)$")


@dataclass(frozen=True, slots=True)
class Projector:
    """A projector (B, D) -> (B, P)."""

    path: str
    """Where it stands in the file."""
    module: nn.Module
    assumption: str
    """What no tensor shows."""


def find(flat: Mapping[str, Stored], fit: Fit, dim: int, *, gelu: bool = False) -> Projector | None:
    """The chain nearest to the backbone that takes its ``dim`` numbers."""
    chains: dict[str, dict[int, dict[str, Tensor]]] = {}
    heads = {f"{fit.prefix}{name}" for name in fit.match.unexpected}
    for name, one in flat.items():
        if name.startswith(fit.prefix) and name not in heads:
            continue
        if match := _LAYER.fullmatch(name):
            chains.setdefault(match["chain"], {}).setdefault(int(match["place"]), {})[match["what"]] = (
                one.tensor
            )
    made = []
    for path, layers in chains.items():
        if not _NAME.search(path) or _NOT.search(path):
            continue
        module = build(layers, dim, gelu=gelu)
        if module is not None:
            made.append((_shared(path, fit.prefix), "proj" in path, -len(path), path, module))
    if not made:
        return None
    *_, path, module = max(made, key=lambda one: one[:4])
    return Projector(path, module, f"{'GELU' if gelu else 'ReLU'} between the layers of the projector")


def build(layers: Mapping[int, Mapping[str, Tensor]], dim: int, *, gelu: bool = False) -> nn.Module | None:
    """The chain with its weights, in eval mode; None when it does not take ``dim`` or does not chain."""
    modules: list[nn.Module] = []
    width, linear = dim, 0
    for place in range(max(layers) + 1):
        tensors = layers.get(place)
        if tensors is None:
            if place > min(layers):
                modules.append(nn.GELU() if gelu else nn.ReLU())
            continue
        layer = _linear(tensors, width) or _norm(tensors, width)
        if layer is None:
            return None
        width, linear = (layer.out_features, linear + 1) if isinstance(layer, nn.Linear) else (width, linear)
        modules.append(layer)
    return nn.Sequential(*modules).eval().requires_grad_(False) if linear > 1 else None


def _linear(tensors: Mapping[str, Tensor], width: int) -> nn.Linear | None:
    weight = tensors.get("weight")
    if weight is None or weight.ndim != 2 or weight.shape[1] != width:
        return None
    return _filled(nn.Linear(width, weight.shape[0], bias="bias" in tensors, device="meta"), tensors)


def _norm(tensors: Mapping[str, Tensor], width: int) -> nn.BatchNorm1d | None:
    layer = nn.BatchNorm1d(width, affine="weight" in tensors, device="meta")
    return _filled(layer, {**tensors, "num_batches_tracked": torch.zeros((), dtype=torch.long)})


def _filled(layer: Layer, tensors: Mapping[str, Tensor]) -> Layer | None:
    """The layer with these tensors as float32, or None when they are not all of it or not numbers."""
    expected = layer.state_dict()
    kinds, wanted = (
        {name: (tensor.shape, tensor.is_floating_point()) for name, tensor in state.items()}
        for state in (tensors, expected)
    )
    if kinds != wanted or any(t.numel() and 0 in t.stride() for t in tensors.values()):
        return None  # a stride of zero: one number stands for many
    ready = {k: v.detach().to(expected[k].dtype) for k, v in tensors.items()}
    if not all(torch.isfinite(v).all() for v in ready.values()):
        return None
    layer.load_state_dict(ready, assign=True)
    return layer


def _shared(path: str, backbone: str) -> int:
    """Number of leading segments that both have."""
    count = 0
    for a, b in zip(path.split("."), backbone.rstrip(".").split("."), strict=False):
        if a != b:
            break
        count += 1
    return count
