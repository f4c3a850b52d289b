"""Boxes of a view: where a crop lies, and what the encoder may see beside it.

Boxes are fractions of the identity view. Their borders are rounded to the nearest pixel, all by one rule,
so that boxes that share no area share no pixel.

A gap of one sixteenth of each side, rounded up to a pixel, lies round the crop and belongs to neither
part: resampling smears a pixel of the image over a border. The identity view is resampled from a stretch of
s pixels of the image to S pixels. Two of its pixels mix no common pixel of the image when they are further
apart than 2 a max(1, S / s), where a is 1 for bilinear and 2 for bicubic resampling. So the gap is wide
enough when s and S are at least 32 (bilinear) or 64 (bicubic). Of a smaller image that is enlarged, up to
2 a - s / 16 columns or rows of pixels still reach both sides: two where s = 32, by bicubic resampling. Views
of the size of the image itself share none. What a camera or a JPEG file smeared before is not undone.
"""

import math
from dataclasses import dataclass
from typing import Self

from sslaudit.errors import UsageError

GAP = 16
"""The gap is one part in so many of a side."""

_HOW = "write left:top:right:bottom as fractions of the view, such as 0.5:0:1:1 for its right half"

Place = tuple[slice, slice]
"""Rows and columns of pixels."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a view, by fractions of its width and height from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def parse(cls, text: str, what: str) -> Self:
        """The box that ``text`` spells. Raises ``UsageError``, which calls it ``what``."""
        parts = text.split(":")
        if len(parts) != 4:
            raise UsageError(f"{what}={text} is not a box of four numbers; {_HOW}.")
        try:
            left, top, right, bottom = (float(part) + 0.0 for part in parts)  # no -0.0
        except ValueError:
            raise UsageError(f"{what}={text} is not a box of four numbers; {_HOW}.") from None
        if not all(0 <= edge <= 1 for edge in (left, top, right, bottom)):
            raise UsageError(f"{what}={text} does not lie within the view, from 0 to 1; {_HOW}.")
        if left >= right or top >= bottom:
            raise UsageError(f"{what}={text} is empty: left is below right, and top below bottom; {_HOW}.")
        return cls(left, top, right, bottom)

    def __str__(self) -> str:
        edges = (self.left, self.top, self.right, self.bottom)
        return ":".join(str(edge).removesuffix(".0") for edge in edges)

    def common(self, other: Self) -> float:
        """The share of the view that lies in both boxes."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """First row, first column, and the row and column behind the last, in a view (height, width)."""
        height, width = size
        return (
            math.floor(self.top * height + 0.5),
            math.floor(self.left * width + 0.5),
            math.floor(self.bottom * height + 0.5),
            math.floor(self.right * width + 0.5),
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def check_apart(crop: Box, seen: Box | None) -> None:
    """Raises ``UsageError`` when crop and seen box overlap, or when nothing is left to be seen."""
    if seen is not None and (common := crop.common(seen)) > 0:
        raise UsageError(
            f"crop={crop} and seen={seen} overlap in {_percent(common)} of the view: the encoder would see "
            "what is to be predicted. Move one of them, or leave out seen: then it is all but the crop."
        )
    if _within(seen or WHOLE, crop, 1 / GAP):
        rest = "the rest of the view" if seen is None else f"seen={seen}"
        raise UsageError(
            f"crop={crop} and the gap of 1/{GAP} of a side round it cover {rest}, so the encoder would see "
            "nothing. Make the crop smaller" + (", or move seen away from it." if seen else ".")
        )


def places(crop: Box, seen: Box, size: tuple[int, int]) -> tuple[Place, Place, Place]:
    """The pixels of the crop, those of the crop with its gap, and those of the box that may be seen.

    Raises ``UsageError`` for views (height, width) of too few pixels, in which one of the parts is empty.
    """
    height, width = size
    top, left, bottom, right = crop.pixels(size)
    above, before, below, behind = seen.pixels(size)
    tall, wide = math.ceil(height / GAP), math.ceil(width / GAP)
    hidden = max(0, top - tall), max(0, left - wide), min(height, bottom + tall), min(width, right + wide)
    if top == bottom or left == right:
        raise _too_small("crop", crop, size)
    covered = hidden[0] <= above and hidden[1] <= before and hidden[2] >= below and hidden[3] >= behind
    if above == below or before == behind or covered:
        raise _too_small("what may be seen beside the crop", crop, size)
    return (
        (slice(top, bottom), slice(left, right)),
        (slice(hidden[0], hidden[2]), slice(hidden[1], hidden[3])),
        (slice(above, below), slice(before, behind)),
    )


def _within(inner: Box, outer: Box, margin: float) -> bool:
    """Whether ``inner`` lies in ``outer`` with a margin round it."""
    return (
        inner.left >= outer.left - margin
        and inner.right <= outer.right + margin
        and inner.top >= outer.top - margin
        and inner.bottom <= outer.bottom + margin
    )


def _too_small(what: str, crop: Box, size: tuple[int, int]) -> UsageError:
    return UsageError(
        f"{what} is less than a pixel of views of {size[0]} x {size[1]} px for crop={crop}; "
        "give other boxes, or a larger input size."
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
