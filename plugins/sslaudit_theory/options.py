"""Options that several metrics have: descriptions only, no array library."""

from sslaudit.specs import Option

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
