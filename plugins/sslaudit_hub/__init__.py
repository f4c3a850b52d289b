"""Encoders of the Hugging Face hub, ``hf:ORG/NAME@REV``, or of a folder laid out like a repository."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sslaudit.hookspecs import hookimpl
from sslaudit.refs import EncoderRef
from sslaudit.specs import EncoderScheme, Option, Source

if TYPE_CHECKING:
    from sslaudit.encoder import Encoder

OPTIONS = (
    Option(
        name="pool",
        type=str,
        default=None,
        help="transformers: cls, mean or pooler; timm: avg, token, max (default: the model's own)",
    ),
    Option(
        name="size",
        type=int,
        default=None,
        minimum=1,
        maximum=4096,
        help="input size in pixels (default: the repository's)",
    ),
    Option(
        name="trust-remote-code",
        type=bool,
        default=False,
        help="run the Python code that the repository ships",
    ),
)


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    """The scheme ``hf``."""
    return [
        EncoderScheme(
            scheme="hf",
            summary="a repository of the Hugging Face hub, timm or transformers format, or a folder like one",
            load=_load,
            untrained=_untrained,
            resolve=_resolve,
            options=OPTIONS,
            example="hf:facebook/dinov2-small@main",
        )
    ]


def _load(ref: EncoderRef, device: str) -> "Encoder":
    from sslaudit_hub.load import load

    return load(ref, device)


def _untrained(ref: EncoderRef, seed: int, device: str) -> "Encoder":
    from sslaudit_hub.load import untrained

    return untrained(ref, seed, device)


def _resolve(ref: EncoderRef) -> Source:
    from sslaudit_hub.resolve import resolve

    return resolve(ref)
