"""What can be done to images, by the names that users write: without any array library."""

from collections.abc import Mapping
from dataclasses import dataclass

from sslaudit.specs import OptionValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One transformation whose effect on the embedding ``invariance`` measures."""

    recipe: str = ""
    """The recipe of this term alone; empty for what no recipe has."""
    about: str
    """What is done to every image, at which strength."""


TRANSFORMS: Mapping[str, Transform] = {
    "crop": Transform(recipe="crop", about="a box of 8 to 100 % of the area, resized to the input size"),
    "flip": Transform(recipe="flip(p=1.0)", about="left and right exchanged"),
    "color": Transform(
        recipe="color(strength=1.0,p=1.0)",
        about="brightness, contrast and saturation x 0.2 to 1.8, hue by up to 0.2 turns",
    ),
    "gray": Transform(recipe="gray(p=1.0)", about="luma in all three channels"),
    "blur": Transform(recipe="blur(p=1.0)", about="Gaussian, sigma 0.1 to 2 px; none below 32 px"),
    "solarize": Transform(recipe="solarize(p=1.0)", about="levels of 128 and above inverted"),
    "rotate": Transform(about="a quarter turn anticlockwise"),
    "translate": Transform(about="by an eighth of the height and of the width, edge pixels repeated"),
}
"""The terms of the recipe simclr at its strengths, each done to every image, and three more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One corruption of images, whose parameter grows worse with severity 1 to 5."""

    parameters: tuple[float, float, float, float, float]
    about: str
    """What is done; ``{}`` stands for the parameter."""


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(
        parameters=(0.08, 0.12, 0.18, 0.26, 0.38), about="Gaussian noise of standard deviation {}"
    ),
    "blur": Corruption(
        parameters=(1.0, 2.0, 3.0, 4.0, 6.0),
        about="Gaussian blur of sigma {} px where the shorter side is 224 px, in proportion elsewhere",
    ),
    "brightness": Corruption(parameters=(0.1, 0.2, 0.3, 0.4, 0.5), about="{} added to the value of HSV"),
    "contrast": Corruption(
        parameters=(0.4, 0.3, 0.2, 0.1, 0.05), about="distance to the mean of each channel times {}"
    ),
    "pixelate": Corruption(
        parameters=(0.6, 0.5, 0.4, 0.3, 0.25), about="{} times as many pixels along each side"
    ),
    "jpeg": Corruption(parameters=(25, 18, 15, 10, 7), about="JPEG of quality {}"),
}
"""Six of the corruptions of ImageNet-C with its parameters, for pixels in [0, 1]."""

SEVERITIES = 5


def listed(text: str) -> tuple[str, ...]:
    """The names joined by ``+`` in ``text``."""
    return tuple(name.strip() for name in text.split("+"))


def transforms_mistake(options: Mapping[str, OptionValue | None]) -> str:
    """What is wrong with the option ``transforms``; empty when nothing is."""
    return _mistake("transforms", str(options["transforms"]), TRANSFORMS)


def corruptions_mistake(options: Mapping[str, OptionValue | None]) -> str:
    """What is wrong with the option ``corruptions``; empty when nothing is."""
    return _mistake("corruptions", str(options["corruptions"]), CORRUPTIONS)


def _mistake(option: str, text: str, known: Mapping[str, object]) -> str:
    names = listed(text)
    if unknown := [name for name in names if name not in known]:
        return f"{option} has no '{unknown[0]}'; there are {', '.join(known)}, joined by +."
    if twice := [name for name in names if names.count(name) > 1]:
        return f"{option} names '{twice[0]}' twice."
    return ""
