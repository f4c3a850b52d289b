"""Options that several metrics have: descriptions only, no array library."""

from collections.abc import Mapping

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
        choices=("pixels", "embedding"),
        help="what z is of its crop: principal components of the pixels, or of the embedding",
    ),
    IMAGES,
)
"""Which pretext target, seen on which images: the same for all metrics of pretext learning."""


def pretext_mistake(options: Mapping[str, OptionValue | None]) -> str:
    """What is wrong with the options of ``PRETEXT`` together; empty when nothing is."""
    from sslaudit.pretext import check_options

    given = {name: str(options[name] or "") for name in ("z", "crop", "seen", "describe")}
    return check_options(**given)
