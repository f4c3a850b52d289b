"""Options that several metrics have: descriptions only, no array library."""

from collections.abc import Mapping

from sslaudit.pretext.options import OF_A_CROP, check_options
from sslaudit.specs import Option, OptionValue

NORMS = ("sphere", "as-is", "center-sphere")
"""``sphere``: f / ||f||, r = 1. ``as-is``: f, with r the largest norm. ``center-sphere``: the mean of the
training images is subtracted, then the sphere."""

NORM = Option(
    name="norm",
    type=str,
    default="sphere",
    choices=NORMS,
    help="sphere (unit norm), as-is, or center-sphere (minus the training mean, then unit norm)",
)

IMAGES = Option(
    name="images", type=int, default=5000, minimum=10, help="at most so many images, over all classes"
)

PRETEXT = (
    Option(
        name="z",
        type=str,
        default="disjoint-crop",
        help="what is predicted: disjoint-crop, patch, rotation, color; several joined by +",
    ),
    *OF_A_CROP,
    IMAGES,
)
"""Which pretext target, seen on which images: the same for all metrics of pretext learning."""


def pretext_mistake(options: Mapping[str, OptionValue | None]) -> str:
    """What is wrong with the options of ``PRETEXT`` together; empty when nothing is."""
    given = {name: str(options[name] or "") for name in ("z", "crop", "seen", "describe")}
    return check_options(**given)
