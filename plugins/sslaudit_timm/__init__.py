"""Encoders of timm by name: ``timm:NAME``, with the preprocessing that timm records for them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sslaudit.hookspecs import hookimpl
from sslaudit.refs import EncoderRef
from sslaudit.specs import EncoderScheme, Option, Source

if TYPE_CHECKING:
    from sslaudit.encoder import Encoder

OPTIONS = (
    Option(
        name="pool", type=str, default=None, help="how timm pools: avg, token, max (default: the model's own)"
    ),
    Option(
        name="size",
        type=int,
        default=None,
        minimum=1,
        maximum=4096,
        help="input size in pixels (default: the model's own)",
    ),
)


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    """The scheme ``timm``."""
    return [
        EncoderScheme(
            scheme="timm",
            summary="a pretrained timm model by name, classifier removed",
            load=_load,
            untrained=_untrained,
            resolve=_resolve,
            options=OPTIONS,
            example="timm:resnet50.a1_in1k",
        )
    ]


def _load(ref: EncoderRef, device: str) -> "Encoder":
    from sslaudit_timm.load import load

    return load(ref, device)


def _untrained(ref: EncoderRef, seed: int, device: str) -> "Encoder":
    from sslaudit_timm.load import untrained

    return untrained(ref, seed, device)


def _resolve(ref: EncoderRef) -> Source:
    from sslaudit_timm.load import resolve

    return resolve(ref)
