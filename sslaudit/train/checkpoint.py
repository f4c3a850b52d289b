"""The checkpoint of the trainers: plain tensors and a header that says everything ``evaluate`` needs.

::

    {"sslaudit": {header}, "backbone": {name: tensor}, "projector": {name: tensor}}

That of a run which is not finished holds a fourth part, ``training``: all tensors of the method, and
the state from which the run goes on. It opens with ``torch.load(weights_only=True)``.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from sslaudit.encoder import Interpolation, Preprocess
from sslaudit.errors import OutputError, TrainingError, UnreadableFile, UsageError
from sslaudit.train.choices import Optimiser, Precision
from sslaudit.whole import replacing

FORMAT = 2
"""Format 1 said nothing of what has a default in ``Header``: it was so."""

H = TypeVar("H")


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
    views: str = ""
    """What the recipe draws at this input size, in words: blur is left out of small images."""
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
    """Of the whole run."""
    epoch: int
    """Epochs done."""
    batch_size: int
    """Images in a step, over all processes."""
    optimiser: Optimiser = "adamw"
    lr: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    clip: float | None = None
    precision: Precision = "fp32"
    """Of the forward pass, as it was."""
    seed: int
    processes: int = 1
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
    stored = content["sslaudit"]
    if stored.get("format") == 1 and "epochs" in stored:
        stored = {"epoch": stored["epochs"], **stored}
    header = read_header(stored, _HEADER, FORMAT)
    try:
        header.preprocessing()
    except UsageError as error:
        raise UnreadableFile(f"the checkpoint header is malformed: {error}") from None
    projector = content.get("projector")
    return (
        header,
        state_of(content, "backbone"),
        None if projector is None else state_of(content, "projector"),
    )


def read_header(stored: Mapping[str, Any], reader: TypeAdapter[H], newest: int) -> H:
    """The header that ``reader`` makes of what is ``stored``, whose format is ``newest`` or older.

    Raises ``UnreadableFile`` for a newer format or a malformed header.
    """
    form = stored.get("format")
    if isinstance(form, int) and form > newest:
        raise UnreadableFile(
            f"the checkpoint has format {form}, made by a newer sslaudit; this one reads format {newest}."
        )
    try:
        return reader.validate_python(dict(stored))
    except ValidationError as error:
        raise UnreadableFile(f"the checkpoint header {_first(error)}.") from None


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    if missing := sorted(str(one["loc"][-1]) for one in found if one["type"] == "missing"):
        return f"lacks {', '.join(missing)}"
    return f"is malformed: {'.'.join(str(part) for part in found[0]['loc'])}: {found[0]['msg']}"


def state_of(content: Mapping[str, Any], part: str) -> dict[str, Tensor]:
    """The tensors of one part of a checkpoint. Raises ``UnreadableFile`` when it holds none."""
    state = content.get(part)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UnreadableFile(f"the checkpoint has a header, but its '{part}' is no mapping of tensors.")
    return dict(state)


def training_of(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part from which an unfinished run goes on; None when there is none."""
    part = content.get("training")
    return part if isinstance(part, Mapping) else None


def write_checkpoint(
    path: Path, header: Header, method: nn.Module, training: Mapping[str, object] | None = None
) -> None:
    """Write the backbone and the projector of ``method``, and of an unfinished run what it goes on from.

    The file is written whole or not at all. Raises ``TrainingError`` when a weight is not finite and
    ``OutputError`` when the file cannot be written.
    """
    state = on_cpu(method)
    if name := not_finite(state):
        raise TrainingError(f"the weights '{name}' hold NaN or infinity; '{path}' is not written with them.")
    parts: dict[str, object] = {
        "sslaudit": asdict(header),
        "backbone": _below("backbone.", state),
        "projector": _below("projector.", state),
    }
    if training is not None:
        parts["training"] = {"method": state, **training}  # torch.save writes equal tensors once
    write_whole(path, parts)


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with NaN or infinity; None when there is none."""
    return next(
        (name for name, t in state.items() if t.is_floating_point() and not torch.isfinite(t).all()), None
    )


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def write_whole(path: Path, parts: Mapping[str, object]) -> None:
    """Save ``parts`` as one file, whole or not at all. Raises ``OutputError`` when it cannot be written."""
    content = io.BytesIO()  # torch.save into a real file loses the reason when the disk is full
    torch.save(dict(parts), content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_bytes(content.getbuffer())
    except OSError as error:
        raise OutputError(f"cannot write the checkpoint '{path}': {error.strerror}.") from error


def check_output(path: Path) -> None:
    """Raises ``OutputError`` when ``path`` is no file that can be written, before any work."""
    try:
        if path.is_dir():
            raise OutputError(f"--output {path} is a folder; name the file to write.")
        if path.exists() and not path.is_file():
            raise OutputError(f"--output {path} is no regular file; name the file to write.")
        near = next(folder for folder in (path.parent, *path.absolute().parents) if folder.exists())
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise OutputError(f"cannot write to --output {path}: {error.strerror}.") from error
    if not near.is_dir():
        raise OutputError(f"cannot write to --output {path}: {near} is a file.")
    if not os.access(near, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to --output {path}: no permission to write in {near}.")


def on_cpu(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``module`` by name, as a checkpoint keeps them."""
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
