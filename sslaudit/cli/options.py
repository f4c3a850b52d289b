"""Flags that commands share, what may be trusted and what preprocessing is given, and long ones of one."""

import math
import os
import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.errors import UsageError
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry

if TYPE_CHECKING:
    from sslaudit.encoder import Override

_PER_FILE = ("trust-pickle", "trust-remote-code")


class Interpolation(StrEnum):
    """How images are resized."""

    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    box = "box"
    hamming = "hamming"
    lanczos = "lanczos"


AllowPartial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Score weights that fit in part: brands the card PARTIAL, exit 1."),
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Open one file although that runs whatever code it holds.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the code that one model repository brings.")
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no hub: weights come from local files and caches alone.")
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="METHOD",
        help="Compare with an encoder trained here on the training images; may be given again: "
        "simclr, or simclr(epochs=20,backbone=conv3,size=8,batch_size=64,lr=1e-3,temperature=0.2).",
    ),
]
Size = Annotated[
    str | None, typer.Option("--size", metavar="N|HxW", help="Input size in pixels; wins over the encoder's.")
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", metavar="R,G,B", help="Mean of the normalisation: three numbers or one."),
]
Std = Annotated[
    str | None,
    typer.Option("--std", metavar="R,G,B", help="Deviation of the normalisation: three numbers or one."),
]
Resize = Annotated[Interpolation | None, typer.Option("--interpolation", help="How images are resized.")]
Crop = Annotated[
    float | None, typer.Option("--crop", help="Share of the shorter side that the centre crop keeps, 0 to 1.")
]


def go_offline(wanted: bool) -> None:
    """Tell the hub clients, which read the environment once, when they are imported."""
    if wanted:
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def with_flags(
    refs: list[EncoderRef],
    registry: Registry,
    *,
    allow_partial: bool,
    trust_pickle: bool,
    trust_remote_code: bool,
) -> list[EncoderRef]:
    """The references with ``NAME=yes`` wherever a flag is set and the scheme has an option of its name.

    The control of a file is built from the file's own names, so ``untrained:PATH`` hands flags on to
    PATH. What the reference says itself stands. Raises ``UsageError`` for a flag that no reference
    takes, and for one that would trust more than one file.
    """
    flags = (
        ("allow-partial", allow_partial),
        ("trust-pickle", trust_pickle),
        ("trust-remote-code", trust_remote_code),
    )
    for name in (name for name, wanted in flags if wanted):
        takers = [ref for ref in refs if _takes(ref, name, registry)]
        if not takers:
            named = ", ".join(f"'{ref}'" for ref in refs[:3])
            raise UsageError(f"--{name} is for nothing here: {named} has no option of that name.")
        if name in _PER_FILE and len({ref.target().locator for ref in takers}) > 1:
            raise UsageError(
                f"--{name} trusts one file, and {len(takers)} are named. "
                f"Say it at the one that you trust: {_with_option(takers[0], name)}"
            )
        refs = [_with_option(ref, name) if ref in takers else ref for ref in refs]
    return refs


def read_override(
    size: str | None,
    mean: str | None,
    std: str | None,
    interpolation: Interpolation | None,
    crop: float | None,
) -> "Override":
    """What was given of preprocessing. Raises ``UsageError`` for a text that is no size or no numbers."""
    from sslaudit.encoder import Override

    return Override(
        size=_size(size) if size is not None else None,
        mean=_channels("--mean", mean) if mean is not None else None,
        std=_channels("--std", std) if std is not None else None,
        interpolation=interpolation.value if interpolation is not None else None,
        crop=crop,
    )


def _takes(ref: EncoderRef, name: str, registry: Registry) -> bool:
    return any(option.name == name for option in registry.encoder_scheme(ref.target()).options)


def _with_option(ref: EncoderRef, name: str) -> EncoderRef:
    target = ref.target()
    if target is not ref:
        return replace(ref, locator=str(_with_option(EncoderRef.parse(ref.locator), name)))
    return ref if ref.option(name) is not None else replace(ref, options=(*ref.options, (name, "yes")))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if match is None:
        raise UsageError(f"--size {text} is no size: write --size 224, or HEIGHTxWIDTH as in --size 224x160.")
    return int(match[1]), int(match[2] or match[1])


def _channels(option: str, text: str) -> tuple[float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise UsageError(
            f"{option} {text} is neither one number nor three: write {option} 0.5 or 0.5,0.4,0.4."
        )
    red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    return red, green, blue
