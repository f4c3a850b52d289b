"""The file of a refined encoder: a head on top of another encoder, which is named and not copied.

::

    {"sslaudit_refined": {header}, "head": {name: tensor}}

It opens with ``torch.load(weights_only=True)``. The base stays where it is; a base that lies in a file
is named from the folder of this one, so that both can be moved together.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from sslaudit.errors import TrainingError, UnreadableFile
from sslaudit.train.checkpoint import on_cpu, read_header, state_of, write_whole

FORMAT = 1

_KEY = "sslaudit_refined"

Layer = Literal["linear", "relu", "gelu", "tanh"]

_ACTIVATIONS: dict[Layer, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinedHeader:
    """What the file of a refined encoder says of itself."""

    format: int = FORMAT
    method: str
    """The method, with the options that were given: ``pretext-boost(lam=0.1)``."""
    options: dict[str, str | int | float | bool]
    """All options of the method."""
    base: str
    """The reference of the encoder below the head; a file is named from the folder of this file."""
    base_digest: str
    base_dim: int
    dim: int
    layers: list[Layer]
    """The head, from the base's embedding upwards."""
    results: dict[str, float]
    """What was reached, by name: the loss and its terms."""
    data: str
    """The training data as the user wrote it."""
    data_digest: str
    images: int
    """Training images."""
    labelled: int
    """How many of them lent their labels."""
    seed: int
    sslaudit: str
    torch: str


_HEADER = TypeAdapter(RefinedHeader)


def is_refined(content: Mapping[str, Any]) -> bool:
    """Whether this is the file of a refined encoder."""
    return isinstance(content.get(_KEY), Mapping)


def read_refined_header(content: Mapping[str, Any]) -> RefinedHeader:
    """The header of what ``torch.load`` returned. Raises ``UnreadableFile`` as ``read_refined`` does."""
    return read_header(content[_KEY], _HEADER, FORMAT)


def read_refined(content: Mapping[str, Any]) -> tuple[RefinedHeader, nn.Sequential]:
    """Header and head, (B, base_dim) to (B, dim), of what ``torch.load`` returned.

    Raises ``UnreadableFile`` for a newer format, a malformed header, and tensors that are not this head.
    """
    header = read_refined_header(content)
    state = state_of(content, "head")
    with torch.device("meta"):
        head = fresh_head(header, state)
    fits = {name: tensor.shape for name, tensor in head.state_dict().items()}
    if {name: tensor.shape for name, tensor in state.items()} != fits or not _leads(head, header):
        raise UnreadableFile(
            f"the tensors of the checkpoint's 'head' are no {' + '.join(header.layers) or 'layers'} "
            f"from {header.base_dim} to {header.dim} dimensions."
        )
    if not all(tensor.is_floating_point() for tensor in state.values()):
        raise UnreadableFile("the tensors of the checkpoint's 'head' are not all floating-point numbers.")
    ready = {name: tensor.detach().float().clone() for name, tensor in state.items()}
    head.load_state_dict(ready, assign=True)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in head.state_dict().values()):
        raise UnreadableFile("the tensors of the checkpoint's 'head' hold NaN or infinity.")
    return header, head.eval()


def base_named_in(path: Path) -> str | None:
    """How the file of a refined encoder names its base; None for any other file."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        content = torch.load(path, map_location="meta", weights_only=True, mmap=True)
        return read_refined_header(content).base if is_refined(content) else None
    except Exception:  # whatever torch says of a file of another kind
        return None


def write_refined(path: Path, header: RefinedHeader, head: nn.Sequential) -> None:
    """Write the file whole or not at all. Raises ``OutputError`` when it cannot be written."""
    write_whole(path, {_KEY: asdict(header), "head": on_cpu(head)})


def layers_of(head: nn.Sequential) -> list[Layer]:
    """The layers by name. Raises ``TrainingError`` for one that the file has no word for."""
    kinds: dict[type[nn.Module], Layer] = {nn.Linear: "linear", **{v: k for k, v in _ACTIVATIONS.items()}}
    for layer in head:
        if type(layer) not in kinds:
            known = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise TrainingError(f"a head is made of {known}; this one has a {type(layer).__name__}.")
    return [kinds[type(layer)] for layer in head]


def fresh_head(header: RefinedHeader, state: Mapping[str, Tensor]) -> nn.Sequential:
    """The head of ``header``, as wide as the tensors in ``state``, with weights from torch's generator.

    Raises ``UnreadableFile`` when a linear layer has no matrix there.
    """
    layers: list[nn.Module] = []
    for place, kind in enumerate(header.layers):
        if kind != "linear":
            layers.append(_ACTIVATIONS[kind]())
            continue
        weight = state.get(f"{place}.weight")
        if weight is None or weight.ndim != 2 or not weight.numel():
            raise UnreadableFile(f"the checkpoint's 'head' has no matrix '{place}.weight'.")
        width, height = weight.shape[1], weight.shape[0]
        layers.append(nn.Linear(width, height, bias=f"{place}.bias" in state))
    return nn.Sequential(*layers)


def _leads(head: nn.Sequential, header: RefinedHeader) -> bool:
    """Whether ``head`` maps the base's dimensions to its own."""
    widths = [header.base_dim]
    for layer in head:
        if isinstance(layer, nn.Linear):
            if layer.in_features != widths[-1]:
                return False
            widths.append(layer.out_features)
    return len(widths) > 1 and widths[-1] == header.dim
