"""The checkpoint of the trainers: plain tensors and a header that says everything ``evaluate`` needs.

::

    {"sslaudit": {header}, "backbone": {name: tensor}, "projector": {name: tensor}}

It opens with ``torch.load(weights_only=True)``.
"""

import io
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from sslaudit.encoder import Interpolation, Preprocess
from sslaudit.errors import OutputError, UnreadableFile, UsageError

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a checkpoint says of itself."""

    format: int = FORMAT
    method: str
    """The method, with the options that were changed: ``simclr(temperature=0.2)``."""
    backbone: str
    """A name of ``sslaudit.train.backbones``."""
    dim: int
    recipe: str
    """The recipe of the views, with its version."""
    size: int
    """Input size in pixels."""
    mean: list[float]
    std: list[float]
    interpolation: Interpolation
    crop: float
    data: str
    """The training data as the user wrote it."""
    data_digest: str
    images: int
    """Images trained on."""
    epochs: int
    batch_size: int
    lr: float
    seed: int
    sslaudit: str
    torch: str

    def preprocessing(self) -> Preprocess:
        """How images become inputs, as in training. Raises ``UsageError`` when it cannot be meant."""
        return Preprocess(
            size=(self.size, self.size),
            mean=tuple(self.mean),  # type: ignore[arg-type]
            std=tuple(self.std),  # type: ignore[arg-type]
            interpolation=self.interpolation,
            crop=self.crop,
            source="checkpoint header",
        )


_HEADER = TypeAdapter(Header)


def is_checkpoint(content: Mapping[str, Any]) -> bool:
    """Whether this was written by the trainers."""
    return isinstance(content.get("sslaudit"), Mapping)


def read_checkpoint(
    content: Mapping[str, Any],
) -> tuple[Header, dict[str, Tensor], dict[str, Tensor] | None]:
    """Header, backbone and projector of what ``torch.load`` returned.

    Raises ``UnreadableFile`` for a newer format, a malformed header, or what holds no tensors.
    """
    stored = dict(content["sslaudit"])
    form = stored.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise UnreadableFile(
            f"the checkpoint has format {form}, made by a newer sslaudit; this one reads format {FORMAT}."
        )
    try:
        header = _HEADER.validate_python(stored)
        header.preprocessing()
    except ValidationError as error:
        raise UnreadableFile(f"the checkpoint header {_first(error)}.") from None
    except UsageError as error:
        raise UnreadableFile(f"the checkpoint header is malformed: {error}") from None
    projector = content.get("projector")
    return header, _state(content, "backbone"), None if projector is None else _state(content, "projector")


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    if missing := sorted(str(one["loc"][-1]) for one in found if one["type"] == "missing"):
        return f"lacks {', '.join(missing)}"
    return f"is malformed: {'.'.join(str(part) for part in found[0]['loc'])}: {found[0]['msg']}"


def _state(content: Mapping[str, Any], part: str) -> dict[str, Tensor]:
    state = content.get(part)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UnreadableFile(f"the checkpoint has a header, but its '{part}' is no mapping of tensors.")
    return dict(state)


def write_checkpoint(path: Path, header: Header, backbone: nn.Module, projector: nn.Module) -> None:
    """Write the file whole or not at all. Raises ``OutputError`` when it cannot be written."""
    content = io.BytesIO()  # torch.save into a real file loses the reason when the disk is full
    torch.save(
        {
            "sslaudit": asdict(header),
            "backbone": _on_cpu(backbone),
            "projector": _on_cpu(projector),
        },
        content,
    )
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content.getbuffer())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write the checkpoint '{path}': {error.strerror}.") from error


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
