"""Which pretext targets there are, and what may be said of them: without any array library."""

import difflib
from dataclasses import dataclass
from typing import Literal, get_args

from sslaudit.errors import RefError, UsageError
from sslaudit.pretext.regions import Box, check_apart
from sslaudit.refs import split_outside
from sslaudit.specs import Option

TARGETS = {
    "disjoint-crop": "a crop, from the rest of the image",
    "patch": "the centre of the image, from what surrounds it",
    "rotation": "by which multiple of 90 degrees the image was turned",
    "color": "the colours of the image, from its gray levels",
    "next-sentence": "the next sentence of a text, from the one before (from Python)",
}
"""What is to be predicted, by the name of the target."""

Description = Literal["pixels", "embedding"]
DESCRIPTIONS: tuple[Description, ...] = get_args(Description)
"""How the crop of a target is put into numbers."""

OF_A_CROP = (
    Option(
        name="crop",
        type=str,
        default=None,
        help="the box of z as left:top:right:bottom in shares of the image, for disjoint-crop",
    ),
    Option(
        name="seen",
        type=str,
        default=None,
        help="the box that the encoder sees, which must not overlap; else the rest of the image",
    ),
    Option(
        name="describe",
        type=str,
        default="pixels",
        choices=DESCRIPTIONS,
        help="what z is of its crop: principal components of the pixels, or of the embedding",
    ),
)
"""What may be said of a crop, wherever a target is named."""

DEFAULT_CROP = Box(0.5, 0.0, 1.0, 1.0)
CENTRE = Box(0.25, 0.25, 0.75, 0.75)

_CROPPED = ("disjoint-crop", "patch")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one run, read."""

    names: tuple[str, ...]
    crop: Box
    seen: Box | None
    """None for everything but the crop."""
    describe: Description


def read_options(z: str, *, crop: str = "", seen: str = "", describe: str = "pixels") -> Options:
    """Read what the user wrote; ``z`` holds one name or more, joined by ``+``. Raises ``UsageError``."""
    names = _names(z)
    if "disjoint-crop" not in names:
        for option, text in (("crop", crop), ("seen", seen)):
            if text:
                raise UsageError(f"{option}={text} is for z=disjoint-crop; z={z} has no use for it.")
    described = next((each for each in DESCRIPTIONS if each == describe), None)
    if described is None:
        raise UsageError(f"describe={describe} is not known; write {' or '.join(DESCRIPTIONS)}.")
    if described != "pixels" and not set(names) & set(_CROPPED):
        raise UsageError(f"describe={describe} is for z={' and z='.join(_CROPPED)}; z={z} has no crop.")
    crop_box = Box.parse(crop, "crop") if crop else DEFAULT_CROP
    seen_box = Box.parse(seen, "seen") if seen else None
    check_apart(crop_box, seen_box)
    return Options(names, crop_box, seen_box, described)


def check_options(*, z: str, crop: str = "", seen: str = "", describe: str = "pixels") -> str:
    """What is wrong with these options, in one sentence for the user; empty when nothing is."""
    try:
        read_options(z, crop=crop, seen=seen, describe=describe)
    except UsageError as error:
        return str(error)
    return ""


def _names(z: str) -> tuple[str, ...]:
    try:
        names = split_outside(z, "+")
    except RefError:
        raise UsageError(f"z={z} lacks a name; there are {', '.join(TARGETS)}, joined by '+'.") from None
    for name in names:
        if name not in TARGETS:
            near = difflib.get_close_matches(name.lower(), TARGETS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            raise UsageError(f"z={z}: there is no target '{name}'{hint} There are {', '.join(TARGETS)}.")
        if names.count(name) > 1:
            raise UsageError(f"z={z} names '{name}' twice.")
    if "next-sentence" in names:
        raise UsageError(
            "z=next-sentence is for text; an encoder that is evaluated here reads images. "
            "From Python, sslaudit.pretext.text_pairs takes documents and an encoder of sentences."
        )
    return tuple(names)
