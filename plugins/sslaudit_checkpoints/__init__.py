"""Encoders in local files: checkpoints of any SSL project, TorchScript and ONNX graphs.

A bare path is ``file:PATH``. The name of a training method may stand as the scheme
(``simclr:runs/last.pt``): it decides the preprocessing when the file says nothing.
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sslaudit.errors import EncoderNotFound
from sslaudit.hookspecs import hookimpl
from sslaudit.refs import EncoderRef
from sslaudit.specs import EncoderScheme, Option, Source
from sslaudit_checkpoints.folder import hub_ref

if TYPE_CHECKING:
    from sslaudit.encoder import Encoder

METHODS = ("simclr", "barlow-twins", "byol", "moco", "simsiam", "dino", "swav", "vicreg", "rotnet", "bigan")

OPTIONS = (
    Option(
        name="arch",
        type=str,
        default=None,
        help="architecture: resnet18 (torchvision), timm:NAME or torchvision:NAME",
    ),
    Option(name="key", type=str, default=None, help="which backbone of several: teacher, encoder_k, ..."),
    Option(name="prefix", type=str, default=None, help="prefix of the backbone's tensor names"),
    Option(name="size", type=str, default=None, help="input size in pixels: 224, or 96x128 (height x width)"),
    Option(name="heads", type=int, default=None, minimum=1, help="attention heads of a ViT"),
    Option(
        name="depth", type=str, default=None, help="number of blocks, where no published net has it: 2-2-2-1"
    ),
    Option(
        name="padding",
        type=str,
        default="torch",
        choices=("torch", "same"),
        help="same: a ResNet that was trained in TensorFlow or JAX",
    ),
    Option(
        name="allow-partial",
        type=bool,
        default=False,
        help="go on when tensors are missing; the card is branded PARTIAL",
    ),
    Option(
        name="trust-pickle",
        type=bool,
        default=False,
        help="run the code pickled in this file; the card says so",
    ),
    Option(
        name="trust-remote-code",
        type=bool,
        default=False,
        help="for a Hugging Face folder: run the Python code in it; the card says so",
    ),
)


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    """The scheme ``file``, and one for each method name."""
    yield EncoderScheme(
        scheme="file",
        summary="a checkpoint file; a bare path means this",
        load=_load,
        untrained=_untrained,
        resolve=_resolve,
        options=OPTIONS,
        example="runs/simclr.pt",
    )
    for method in METHODS:
        yield EncoderScheme(
            scheme=method,
            summary=f"a checkpoint file, known to come from {method}",
            load=_load,
            untrained=_untrained,
            resolve=_resolve,
            options=OPTIONS,
            example=f"{method}:last.pt",
        )


def _resolve(ref: EncoderRef) -> Source:
    if (folder := hub_ref(ref)) is not None:
        from sslaudit_hub.resolve import resolve

        return resolve(folder)
    path = os.path.expanduser(ref.locator)
    if not os.path.exists(path):
        raise EncoderNotFound(f"there is no such file: '{ref.locator}'.")
    return Source(name=str(ref), bytes=os.path.getsize(path) if os.path.isfile(path) else None)


def _load(ref: EncoderRef, device: str) -> "Encoder":
    if (folder := hub_ref(ref)) is not None:
        from sslaudit_hub.load import load as load_folder

        return load_folder(folder, device)
    from sslaudit_checkpoints.load import load

    return load(ref, device)


def _untrained(ref: EncoderRef, seed: int, device: str) -> "Encoder":
    if (folder := hub_ref(ref)) is not None:
        from sslaudit_hub.load import untrained as untrained_folder

        return untrained_folder(folder, seed, device)
    from sslaudit_checkpoints.load import untrained

    return untrained(ref, seed, device)
