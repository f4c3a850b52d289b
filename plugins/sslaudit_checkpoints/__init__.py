"""Encoders in local files: state dicts and checkpoints of sslaudit's own trainers.

A bare path is ``file:PATH``. The name of a training method may stand as the scheme
(``simclr:runs/last.pt``): it is recorded as a fact.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sslaudit.hookspecs import hookimpl
from sslaudit.refs import EncoderRef
from sslaudit.specs import EncoderScheme, Option

if TYPE_CHECKING:
    from sslaudit.encoder import Encoder

METHODS = ("simclr", "barlow-twins", "byol", "moco", "simsiam", "dino", "swav", "vicreg", "rotnet", "bigan")

OPTIONS = (
    Option(name="arch", type=str, default=None, help="architecture: resnet18 (torchvision) or timm:NAME"),
    Option(name="key", type=str, default=None, help="which part of the file: state_dict, teacher, ..."),
    Option(name="prefix", type=str, default=None, help="prefix of the backbone's tensor names"),
    Option(name="size", type=int, default=None, help="input size in pixels"),
)


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    """The scheme ``file``, and one for each method name."""
    yield EncoderScheme(
        scheme="file",
        summary="a checkpoint file; a bare path means this",
        load=_load,
        untrained=_untrained,
        options=OPTIONS,
        example="runs/simclr.pt",
    )
    for method in METHODS:
        yield EncoderScheme(
            scheme=method,
            summary=f"a checkpoint file, known to come from {method}",
            load=_load,
            untrained=_untrained,
            options=OPTIONS,
            example=f"{method}:last.pt",
        )


def _load(ref: EncoderRef, device: str) -> "Encoder":
    from sslaudit_checkpoints.load import load

    return load(ref, device)


def _untrained(ref: EncoderRef, seed: int, device: str) -> "Encoder":
    from sslaudit_checkpoints.load import untrained

    return untrained(ref, seed, device)
