"""The checkpoint of the trainers: plain tensors and a header that says everything ``evaluate`` needs.

::

    {"sslaudit": {header}, "backbone": {name: tensor}, "projector": {name: tensor}}

It opens with ``torch.load(weights_only=True)``.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import OutputError, UnreadableFile

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a checkpoint says of itself."""

    format: int = FORMAT
    method: str
    backbone: str
    """A name of ``sslaudit.train.backbones``."""
    dim: int
    recipe: str
    """The recipe of the views, with its version."""
    size: int
    """Input size in pixels."""
    mean: list[float]
    std: list[float]
    interpolation: str
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
        """How images become inputs, as in training."""
        return Preprocess(
            size=(self.size, self.size),
            mean=(self.mean[0], self.mean[1], self.mean[2]),
            std=(self.std[0], self.std[1], self.std[2]),
            interpolation=self.interpolation,  # type: ignore[arg-type]
            crop=self.crop,
            source="checkpoint header",
        )


def is_checkpoint(content: Mapping[str, Any]) -> bool:
    """Whether this was written by the trainers."""
    return isinstance(content.get("sslaudit"), Mapping) and "backbone" in content


def read_checkpoint(
    content: Mapping[str, Any],
) -> tuple[Header, dict[str, Tensor], dict[str, Tensor] | None]:
    """Header, backbone and projector. Raises ``UnreadableFile`` for a newer format or a broken header."""
    stored = dict(content["sslaudit"])
    if stored.get("format") != FORMAT:
        raise UnreadableFile(
            f"the checkpoint has format {stored.get('format')}; this sslaudit reads format {FORMAT}."
        )
    names = {field.name for field in fields(Header)}
    if missing := names - stored.keys():
        raise UnreadableFile(f"the checkpoint header lacks {', '.join(sorted(missing))}.")
    header = Header(**{name: stored[name] for name in names})
    return header, dict(content["backbone"]), content.get("projector")


def write_checkpoint(path: Path, header: Header, backbone: nn.Module, projector: nn.Module) -> None:
    """Write the file whole or not at all. Raises ``OutputError`` when it cannot be written."""
    content = {
        "sslaudit": asdict(header),
        "backbone": _on_cpu(backbone.state_dict()),
        "projector": _on_cpu(projector.state_dict()),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(content, file)
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OutputError(f"cannot write the checkpoint '{path}': {error}.") from error


def _on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in state.items()}
