"""Corruptions of images after Hendrycks and Dietterich, as alterations of identity views.

Views are uint8 (n, 3, H, W) and come back so. Blur is in proportion to the side of a view: the
benchmark's widths are for 224 pixels. Its blocks of JPEG are 8 pixels at any size, so small views suffer
more from it. Bytes of a JPEG depend on the library that writes it, in the last level.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslaudit import augment
from sslaudit.extraction import Alteration
from sslaudit_probes.change.options import CORRUPTIONS, SEVERITIES
from sslaudit_probes.change.pixels import generator

VERSION = 1
"""Part of the key of each alteration, and raised whenever pixels change."""

FULL_SIDE = 224
"""The side of the images that the widths of blur are for."""


def corruption(name: str, severity: int, seed: int) -> Alteration:
    """The corruption ``name`` of ``CORRUPTIONS`` at severity 1 to 5.

    Raises ``ValueError`` for an unknown name and another severity.
    """
    if name not in CORRUPTIONS or not 1 <= severity <= SEVERITIES:
        raise ValueError(f"there is no corruption '{name}' of severity {severity}.")
    parameter = CORRUPTIONS[name].parameters[severity - 1]
    if name == "noise":
        key = f"noise@{VERSION}({parameter},seed={seed})"
        return Alteration(key, lambda pixels, digests: noise(pixels, parameter, key, digests))
    change = _CHANGES[name]
    return Alteration(f"{name}@{VERSION}({parameter})", lambda pixels, digests: change(pixels, parameter))


def noise(pixels: Tensor, deviation: float, key: str, digests: Sequence[str]) -> Tensor:
    """Gaussian noise of this standard deviation, in units of [0, 1], drawn by ``key`` and digest."""
    shape = tuple(pixels.shape[1:])
    drawn = np.stack([generator(key, digest).standard_normal(shape, dtype=np.float32) for digest in digests])
    return _levels(pixels + 255 * deviation * torch.from_numpy(drawn).to(pixels.device))


def blur(pixels: Tensor, width: float) -> Tensor:
    """Gaussian blur whose sigma is ``width`` / 224 of the shorter side, reflected at the edge."""
    side = min(pixels.shape[2:])
    sigma = width * side / FULL_SIDE
    reach = min(side - 1, math.ceil(4 * sigma))
    if not reach:
        return pixels
    levels = pixels.float()
    augment.blur(levels, np.full(len(levels), sigma), 2 * reach + 1)
    return _levels(levels)


def brighten(pixels: Tensor, added: float) -> Tensor:
    """The value of HSV, the largest channel, raised by ``added`` up to 1; hue and saturation stay."""
    levels = pixels.float()
    value = levels.amax(dim=1, keepdim=True)
    raised = (value + 255 * added).clamp(max=255)
    return _levels(torch.where(value > 0, levels * (raised / value.clamp(min=1)), raised))


def fade(pixels: Tensor, factor: float) -> Tensor:
    """The distance of each channel to its mean over the view times ``factor``."""
    levels = pixels.float()
    mean = levels.mean(dim=(2, 3), keepdim=True)
    return _levels((levels - mean) * factor + mean)


def pixelate(pixels: Tensor, factor: float) -> Tensor:
    """Means over boxes, ``factor`` times as many along each side, each shown as one flat area."""
    height, width = pixels.shape[2:]
    few = (max(1, int(width * factor)), max(1, int(height * factor)))
    box = Image.Resampling.BOX
    return _by_pillow(pixels, lambda image: image.resize(few, box).resize((width, height), box))


def jpeg(pixels: Tensor, quality: float) -> Tensor:
    """Written as JPEG of this quality and read back, with colour at half the resolution."""

    def written(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality))
        return Image.open(file)

    return _by_pillow(pixels, written)


_CHANGES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "blur": blur,
    "brightness": brighten,
    "contrast": fade,
    "pixelate": pixelate,
    "jpeg": jpeg,
}


def _levels(values: Tensor) -> Tensor:
    return augment.to_uint8(values.round().clamp(0, 255))


def _by_pillow(pixels: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    views = pixels.permute(0, 2, 3, 1).cpu().numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(view))) for view in views])
    return torch.from_numpy(changed).permute(0, 3, 1, 2).contiguous().to(pixels.device)
