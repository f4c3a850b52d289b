"""Changes of pixels by which x and z are made of a view: each a function of the pixels that it may use.

Views are uint8 (n, 3, H, W). Sums are sums of whole numbers, so that a view is changed in one way whatever
views are beside it.
"""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sslaudit import augment
from sslaudit.errors import UsageError
from sslaudit.extraction import Alteration
from sslaudit.pretext.regions import GAP, WHOLE, Box, places

VERSION = 1
"""Part of the key of each alteration, and raised whenever pixels change."""

COARSE = 16
"""Largest side of a coarse view."""

GRID = 64
"""Most rows and columns of pixels whose colours are counted."""


def beside(crop: Box, seen: Box | None) -> Alteration:
    """What lies in ``seen``, outside of the crop and its gap; the rest is covered.

    The cover is the mean of the pixels that are seen, so that it tells nothing of the crop. None sees
    everything. Raises ``UsageError`` on views of too few pixels.
    """
    open_box = seen or WHOLE

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        _, hidden, shown = places(crop, open_box, _size(pixels))
        mask = torch.zeros(_size(pixels), dtype=torch.bool, device=pixels.device)
        mask[shown] = True
        mask[hidden] = False
        visible = pixels[..., mask]
        count = visible.shape[-1]
        mean = (2 * visible.sum(dim=-1, dtype=torch.int64) + count) // (2 * count)
        return torch.where(mask, pixels, mean.to(torch.uint8)[..., None, None])

    return Alteration(f"beside@{VERSION}(crop={crop},seen={open_box},gap=1/{GAP})", apply)


def cut_out(crop: Box) -> Alteration:
    """The crop alone, at its own size. Raises ``UsageError`` on views of too few pixels."""

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        return _cut(pixels, crop).contiguous()

    return Alteration(f"cut-out@{VERSION}(crop={crop})", apply)


def enlarged(crop: Box) -> Alteration:
    """The crop alone, stretched to the size of the view, as an encoder takes it; bilinear."""

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        part = _cut(pixels, crop).float()
        size = _size(pixels)
        return _levels(interpolate(part, size=size, mode="bilinear", antialias=True))

    return Alteration(f"enlarged@{VERSION}(crop={crop})", apply)


def coarse(before: Alteration) -> Alteration:
    """What ``before`` gives, in at most 16 x 16 pixels, each the mean of an area."""

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        pixels = before.apply(pixels, digests)
        height, width = _size(pixels)
        if max(height, width) <= COARSE:
            return pixels
        size = (min(height, COARSE), min(width, COARSE))
        return _levels(interpolate(pixels.float(), size=size, mode="area"))

    return Alteration(f"{before.key}/coarse@{VERSION}({COARSE})", apply)


def turned(seed: int) -> Alteration:
    """Each view turned anticlockwise by its quarter turns, as ``quarter_turns`` draws them.

    Raises ``UsageError`` for views that are not square: turned, they would have another size.
    """
    key = f"turned@{VERSION}(seed={seed})"

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        height, width = _size(pixels)
        if height != width:
            raise UsageError(
                f"z=rotation needs a square input; views of {height} x {width} px cannot be turned by 90 "
                "degrees. Take another target, such as disjoint-crop."
            )
        turns = torch.tensor(quarter_turns(key, digests), device=pixels.device)
        result = pixels.clone()
        for turn in range(1, 4):
            result[turns == turn] = pixels[turns == turn].rot90(turn, (2, 3))
        return result

    return Alteration(key, apply)


def quarter_turns(key: str, digests: Sequence[str]) -> list[int]:
    """0 to 3 for each image, by a hash of ``key`` and its digest: equal whatever images are beside it."""
    return [hashlib.sha256(f"{key}/{digest}".encode()).digest()[0] % 4 for digest in digests]


def gray() -> Alteration:
    """Luma in all three channels, as the ``gray`` of a recipe makes it."""

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        levels = pixels.float()
        augment.gray(levels)
        return augment.to_uint8(levels)

    return Alteration(f"gray@{VERSION}", apply)


def grid() -> Alteration:
    """Every k-th pixel of every k-th row, at most 64 x 64: pixels as they are, none mixed."""

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        down, right = (math.ceil(side / GRID) for side in _size(pixels))
        return pixels[..., down // 2 :: down, right // 2 :: right].contiguous()

    return Alteration(f"grid@{VERSION}({GRID})", apply)


def _cut(pixels: Tensor, crop: Box) -> Tensor:
    (rows, columns), _, _ = places(crop, WHOLE, _size(pixels))
    return pixels[..., rows, columns]


def _levels(values: Tensor) -> Tensor:
    return augment.to_uint8(values.round_().clamp_(0, 255))


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[-2], pixels.shape[-1]
