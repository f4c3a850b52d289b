"""What alterations do to the pixels of a data set, and the random numbers that they draw."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from sslaudit.extraction import Alteration

if TYPE_CHECKING:
    from sslaudit.extraction import AlteredImages

LOOKED_AT = 64
"""Images whose pixels are compared."""

LEVEL = 1
"""A change of no more grey levels is rounding: luma of gray pixels is one level off at times."""


def _as_they_are(pixels: Tensor, digests: Sequence[str]) -> Tensor:
    return pixels


IDENTITY = Alteration("identity@1", _as_they_are)
"""Leaves pixels as they are."""


@dataclass(frozen=True, slots=True)
class PixelChange:
    """How far an alteration moves pixels of [0, 1]."""

    mean: float
    """Mean absolute difference."""
    images: int
    """How many images were looked at."""
    nothing: bool
    """Whether no pixel of theirs moved by more than one level of 255."""

    @property
    def reason(self) -> str:
        """Why a metric has nothing to say."""
        return (
            f"changes nothing here: no pixel of the {self.images:,} images looked at moves by more than "
            "one level of 255"
        )


def pixel_changes(
    altered: "AlteredImages", alterations: Sequence[Alteration], images: np.ndarray
) -> list[PixelChange]:
    """What each alteration does to at most 64 of ``images``, evenly spaced.

    The alterations must leave the size of a view as it is. Raises ``DataError`` as ``AlteredImages``.
    """
    few = images[np.linspace(0, len(images) - 1, min(len(images), LOOKED_AT)).astype(np.int64)]
    plain = altered.pixels(IDENTITY, few, also=alterations).astype(np.int16)
    found = []
    for alteration in alterations:
        moved = np.abs(altered.pixels(alteration, few) - plain)
        found.append(PixelChange(float(moved.mean()) / 255, len(few), bool(moved.max() <= LEVEL)))
    return found


def generator(key: str, digest: str) -> np.random.Generator:
    """A generator of its own for each key and image: equal whatever images are beside it."""
    words = np.frombuffer(hashlib.sha256(f"{key}/{digest}".encode()).digest()[:16], dtype="<u8")
    return np.random.Generator(np.random.Philox(key=words))
