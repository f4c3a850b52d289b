"""Pretext targets of images, and the pairs of features and targets that they give.

What is predicted (z) and what the encoder sees (x) share no pixel, but for ``color``, where they share the
pixels and not what is read from them, and ``rotation``, where z is not read from pixels at all. Where they
overlap, any encoder that keeps its input fails the condition Cov[f(x), z | y] = 0, which then says nothing.

- ``disjoint-crop``: z is a crop, x is the rest, or what the user lets be seen of it. The crop has one place
  in all images. A place that is drawn for each image is a common cause of x and z: the hole in x tells
  where the crop was taken, and the two depend on each other whatever the image shows.
- ``patch``: z is the centre, half as high and half as wide as the view, and x surrounds it: the inpainting
  of Lee et al., NeurIPS 2021.
- ``rotation``: x is turned by a multiple of 90 degrees that is drawn for each image, z says which
  (Gidaris et al., ICLR 2018). z is independent of the label by design. Views must be square.
- ``color``: x is the gray image, z the histogram of its pixels in the a, b plane of CIELAB. Very dark and
  very bright pixels can have little colour, so that gray levels tell of z for this reason alone.

``describe`` says how a crop becomes numbers: ``pixels`` are the principal components of its pixels in at
most 16 x 16 areas, ``embedding`` those of the encoder's own embedding of the crop, stretched to the input
size. Principal components are at most 64, and at most a tenth of the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sslaudit.extraction import Alteration, AlteredImages
from sslaudit.pretext import alterations
from sslaudit.pretext.color import color_histograms
from sslaudit.pretext.describe import indicators, principal, shares
from sslaudit.pretext.options import CENTRE, Description, Options, read_options
from sslaudit.pretext.regions import Box

VERSION = 1
"""Version of the targets, raised whenever z or the floor change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the encoder may see, and what is to be predicted."""

    name: str
    version: int = VERSION
    about: str
    """In words: what z is, and what it is predicted from."""
    x: Alteration | None
    """What the encoder sees of an image; None for text."""
    z: Alteration | None = None
    """The pixels that z is made of; None where it is not made of pixels."""
    read_as: Literal["pixels", "embedding", "colors", "turns", "text"]
    """How z is put into numbers."""

    def __str__(self) -> str:
        return f"{self.name} ({self.about})"

    @property
    def categories(self) -> bool:
        """Whether z is a category, one column for each but the last."""
        return self.read_as == "turns"


@dataclass(frozen=True, kw_only=True, slots=True)
class PretextPairs:
    """m images or sentences through one pretext target."""

    target: Target
    f: np.ndarray
    """(m, D) float32: embeddings of what the encoder may see."""
    z: np.ndarray
    """(m, d_z) float64: what is to be predicted; constant columns are left out, if need be all."""
    floor: np.ndarray
    """(m, at most 64) float64: principal components of what the encoder saw, without any encoder."""
    labels: np.ndarray | None = None
    """(m,) int64: the topic or document of each sentence; None for images, whose labels the data has."""

    @property
    def categories(self) -> bool:
        """Whether z is a category, one column for each but the last."""
        return self.target.categories


def parse_targets(
    z: str, *, crop: str = "", seen: str = "", describe: str = "pixels", seed: int = 0
) -> tuple[Target, ...]:
    """The targets that ``z`` names, joined by ``+``: ``rotation+color``.

    ``crop`` and ``seen`` are boxes left:top:right:bottom for ``disjoint-crop``, as fractions of the view;
    by default the right half and everything else. ``seed`` decides the turns of ``rotation``. Raises
    ``UsageError`` for unknown names, one name twice, options without use, and boxes that are malformed,
    empty or overlap.
    """
    options = read_options(z, crop=crop, seen=seen, describe=describe)
    return tuple(_target(name, options, seed) for name in options.names)


def pairs(target: Target, altered: AlteredImages, images: Sequence[int] | np.ndarray) -> PretextPairs:
    """Features, pretext target and floor of ``images``, given by index; made once for all metrics of a run.

    Raises ``ValueError`` for no images, for a target of text and for embeddings that are not finite, and
    ``UsageError`` for views that the target cannot take.
    """
    if not len(images):
        raise ValueError("pretext pairs are made of one image or more.")
    if target.x is None:
        raise ValueError(f"'{target.name}' is for text, and has no pairs of images.")
    x = target.x
    key = (target, tuple(int(i) for i in images))
    return altered.once(key, lambda: _pairs(target, x, altered, images))


def _pairs(
    target: Target, x: Alteration, altered: AlteredImages, images: Sequence[int] | np.ndarray
) -> PretextPairs:
    also = () if target.z is None or target.read_as == "embedding" else (target.z,)
    floor = principal(altered.pixels(alterations.coarse(x), images, also=also))
    z = _read(target, x, altered, images)
    return PretextPairs(target=target, f=altered.embedded(x, images), z=z, floor=floor)


def _read(
    target: Target, x: Alteration, altered: AlteredImages, images: Sequence[int] | np.ndarray
) -> np.ndarray:
    if target.z is None:
        return indicators(alterations.quarter_turns(x.key, altered.digests(images)))
    if target.read_as == "embedding":
        return principal(altered.embedded(target.z, images))
    pixels = altered.pixels(target.z, images)
    return shares(color_histograms(pixels)) if target.read_as == "colors" else principal(pixels)


def _target(name: str, options: Options, seed: int) -> Target:
    if name == "rotation":
        return Target(
            name=name,
            about=f"the image turned by 0, 90, 180 or 270 degrees, drawn with seed {seed}",
            x=alterations.turned(seed),
            read_as="turns",
        )
    if name == "color":
        return Target(
            name=name,
            about="histogram of colours in the a, b plane of CIELAB, from the gray image",
            x=alterations.gray(),
            z=alterations.grid(),
            read_as="colors",
        )
    if name == "patch":
        return _cropped(name, CENTRE, None, options.describe)
    return _cropped(name, options.crop, options.seen, options.describe)


def _cropped(name: str, crop: Box, seen: Box | None, describe: Description) -> Target:
    beside = f"{seen} beside it" if seen else "the rest"
    if describe == "embedding":
        z = alterations.enlarged(crop)
    else:
        z = alterations.coarse(alterations.cut_out(crop))
    return Target(
        name=name,
        about=f"{'embedding' if describe == 'embedding' else 'pixels'} of the crop {crop}, from {beside}",
        x=alterations.beside(crop, seen),
        z=z,
        read_as=describe,
    )
