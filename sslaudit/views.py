"""Views: the augmented draws of an image, equal for every encoder.

All randomness is in one array of uniform numbers, which ``draw`` makes from the run seed and the
content of each image. ``make_views`` is a deterministic function of it.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import resized_crop

from sslaudit import augment
from sslaudit.encoder import Preprocess
from sslaudit.recipes import Crop, Recipe

CROP_TRIES = 10
"""Boxes that are tried before the centre of the image is taken."""

SLOTS = 40
"""Uniform numbers of one view, whatever the recipe. Those without a name are for terms to come."""


class Slot(IntEnum):
    """What each uniform number decides. One meaning in all recipes: ``crop`` and ``simclr`` cut alike."""

    CROP_AREA = 0
    """The first of ``CROP_TRIES``."""
    CROP_RATIO = 10
    """The first of ``CROP_TRIES``."""
    CROP_TOP = 20
    CROP_LEFT = 21
    FLIP = 22
    COLOR = 23
    BRIGHTNESS = 24
    CONTRAST = 25
    SATURATION = 26
    HUE = 27
    ORDER = 28
    GRAY = 29
    BLUR = 30
    SIGMA = 31


ORDERS = np.array(list(itertools.permutations(range(4))))
"""(24, 4): the orders in which ``augment.jitter`` may apply its four operations."""

_CPU_BLOCK, _GPU_BLOCK = 2**19, 2**26
"""Numbers that are augmented at once: what stays in the cache of a CPU, what fits the memory of a GPU."""

_DENSE = 2**18
"""Multiplications for each channel up to which a CPU crops by matrix products, many boxes at once."""


def draw(
    seed: int, digests: Sequence[str], views: int, *, mode: Literal["per-image", "bank"] = "per-image"
) -> np.ndarray:
    """Uniform numbers in [0, 1), (N, V, SLOTS) float64.

    Each image has a generator of its own, keyed by ``seed`` and its digest, so its numbers depend on
    no other image, and those of fewer views are the first of those of more. With ``mode="bank"``
    every image gets the same numbers.
    """
    if mode == "bank":
        return np.repeat(_rows(f"{seed}/bank", views)[None], len(digests), axis=0)
    rows = [_rows(f"{seed}/image/{digest}", views) for digest in digests]
    return np.stack(rows) if rows else np.empty((0, views, SLOTS))


def _rows(name: str, views: int) -> np.ndarray:
    key = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key)).random((views, SLOTS))


def identity_view(image: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Resize and centre crop of (H, W, 3) uint8 to the input size (h, w, 3), byte for byte as timm does it.

    A square size resizes the shorter side and rounds the longer one down; any other size rounds both.
    """
    height, width = image.shape[:2]
    h, w = preprocess.size
    side = (math.floor(h / preprocess.crop), math.floor(w / preprocess.crop))
    if side[0] == side[1]:
        short, long = sorted((height, width))
        longer = int(side[0] * long / short)
        to = (side[0], longer) if height <= width else (longer, side[0])
    else:
        ratio = min(height / side[0], width / side[1])
        to = (round(height / ratio), round(width / ratio))
    top, left = round((to[0] - h) / 2), round((to[1] - w) / 2)
    pixels = Image.fromarray(image)
    if to != (height, width):
        pixels = pixels.resize(to[::-1], Image.Resampling[preprocess.interpolation.upper()])
    return np.asarray(pixels.crop((left, top, left + w, top + h)))


def crop_boxes(uniforms: np.ndarray, sizes: np.ndarray, crop: Crop) -> np.ndarray:
    """Boxes (M, 4) of top, left, height, width in images of ``sizes`` (M, 2), height and width.

    The first box that fits of ``CROP_TRIES``; else the largest one in the centre within the aspect
    ratios. Source: the rule of torchvision's ``RandomResizedCrop``.
    """
    H, W = sizes[:, :1], sizes[:, 1:]
    area = uniforms[:, Slot.CROP_AREA : Slot.CROP_AREA + CROP_TRIES]
    ratio = uniforms[:, Slot.CROP_RATIO : Slot.CROP_RATIO + CROP_TRIES]
    area = H * W * (crop.scale + area * (crop.max_scale - crop.scale))
    ratio = np.exp((1 - 2 * ratio) * math.log(crop.ratio))
    h, w = np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))
    fits = (h > 0) & (h <= H) & (w > 0) & (w <= W)
    first = (np.arange(len(fits)), fits.argmax(axis=1))
    H, W = sizes.T
    h, w = h[first], w[first]
    top = np.floor(uniforms[:, Slot.CROP_TOP] * (H - h + 1))
    left = np.floor(uniforms[:, Slot.CROP_LEFT] * (W - w + 1))
    centre_h = np.minimum(H, np.rint(W / crop.ratio))
    centre_w = np.minimum(W, np.rint(H / crop.ratio))
    centre = np.stack([(H - centre_h) // 2, (W - centre_w) // 2, centre_h, centre_w], axis=1)
    found = np.stack([top, left, h, w], axis=1)
    return np.where(fits.any(axis=1)[:, None], found, centre).astype(np.int64)


def make_views(
    images: Sequence[np.ndarray],
    uniforms: np.ndarray,
    recipe: Recipe,
    preprocess: Preprocess,
    *,
    identity: bool = True,
    device: str = "cpu",
) -> Tensor:
    """Views (N, V, 3, h, w) uint8 on ``device`` of N decoded images (H, W, 3) uint8 of any sizes.

    ``uniforms`` is (N, V, SLOTS): from ``draw``, or any numbers in [0, 1). With ``identity`` view 0 is
    the identity view and its numbers are not read; without, all V views are drawn. Raises
    ``ValueError`` when the numbers do not fit the images.
    """
    if uniforms.shape[::2] != (len(images), SLOTS):
        raise ValueError(f"uniforms {uniforms.shape} must be ({len(images)}, V, {SLOTS}).")
    n, v = uniforms.shape[:2]
    h, w = preprocess.size
    out = torch.empty((n, v, 3, h, w), dtype=torch.uint8, device=device)
    start = int(identity)
    still = start if recipe.crop else v
    if still:
        for image, row in zip(images, out, strict=True):
            row[:still] = torch.tensor(identity_view(image, preprocess)).permute(2, 0, 1)
    if recipe.identity or not uniforms[:, start:].size:
        return out
    drawn, u = out[:, start:], uniforms[:, start:]
    if recipe.crop:
        _crop(images, u, recipe.crop, drawn)
    if set(recipe.operations) - {recipe.crop}:
        step = max(1, _block(device) // (u.shape[1] * 3 * h * w))
        for i in range(0, n, step):
            block = drawn[i : i + step]
            levels = _augment(block.float().flatten(0, 1), u[i : i + step].reshape(-1, SLOTS), recipe)
            # From float straight to uint8 torch is several times slower.
            block.copy_(levels.to(torch.int16).view_as(block))
    return out


def _block(device: str) -> int:
    return _CPU_BLOCK if torch.device(device).type == "cpu" else _GPU_BLOCK


def _crop(images: Sequence[np.ndarray], u: np.ndarray, crop: Crop, out: Tensor) -> None:
    """Fill ``out`` (N, V, 3, h, w) with random crops, images of one size together."""
    h, w = out.shape[-2:]
    alike: dict[tuple[int, int], list[int]] = {}
    for i, image in enumerate(images):
        alike.setdefault((image.shape[0], image.shape[1]), []).append(i)
    for (H, W), members in alike.items():
        sizes = np.tile([H, W], (len(members) * u.shape[1], 1))
        boxes = crop_boxes(u[members].reshape(-1, SLOTS), sizes, crop).reshape(len(members), -1, 4)
        if out.device.type == "cpu" and h * W * (H + w) > _DENSE:
            for i, row in zip(members, boxes.tolist(), strict=True):
                pixels = torch.from_numpy(np.require(images[i], requirements=["C", "W"])).permute(2, 0, 1)
                for view, box in zip(out[i], row, strict=True):
                    view.copy_(resized_crop(pixels, *box, size=[h, w], antialias=True))
            continue
        step = max(1, _block(out.device.type) // (u.shape[1] * 3 * max(H, W) * max(h, w)))
        for i in range(0, len(members), step):
            group = members[i : i + step]
            pixels = torch.from_numpy(np.stack([images[j] for j in group])).to(out.device).permute(0, 3, 1, 2)
            where = torch.from_numpy(boxes[i : i + step]).to(out.device)
            out[group] = augment.resized_crop(pixels, where, (h, w))


def _augment(levels: Tensor, u: np.ndarray, recipe: Recipe) -> Tensor:
    """All operations but the crop on grey levels (M, 3, h, w), each on the views for which it was drawn."""

    def drawn(slot: Slot, p: float) -> np.ndarray:
        return np.flatnonzero(u[:, slot] < p)

    def between(slot: Slot, low: float, high: float) -> Tensor:
        return torch.from_numpy(low + u[rows, slot] * (high - low)).float().to(levels.device)

    def change(operation: Callable[..., Tensor], **parameters: Any) -> None:
        at = torch.from_numpy(rows).to(levels.device)
        levels.index_copy_(0, at, operation(levels.index_select(0, at), **parameters))

    if recipe.flip and len(rows := drawn(Slot.FLIP, recipe.flip.p)):
        change(augment.flip)
    if recipe.color and len(rows := drawn(Slot.COLOR, recipe.color.p)):
        change(
            augment.jitter,
            brightness=between(Slot.BRIGHTNESS, *recipe.color.factors),
            contrast=between(Slot.CONTRAST, *recipe.color.factors),
            saturation=between(Slot.SATURATION, *recipe.color.factors),
            hue=between(Slot.HUE, -recipe.color.hue, recipe.color.hue),
            order=ORDERS[(u[rows, Slot.ORDER] * len(ORDERS)).astype(np.int64)],
        )
    if recipe.gray and len(rows := drawn(Slot.GRAY, recipe.gray.p)):
        change(augment.gray)
    kernel = recipe.blur and recipe.blur.kernel_size((levels.shape[2], levels.shape[3]))
    if recipe.blur and kernel and len(rows := drawn(Slot.BLUR, recipe.blur.p)):
        sigma = between(Slot.SIGMA, recipe.blur.min_sigma, recipe.blur.max_sigma)
        change(augment.blur, sigma=sigma, kernel=kernel)
    return levels
