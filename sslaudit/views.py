"""Views: the augmented draws of an image, equal for every encoder.

All randomness is in one array of uniform numbers, which ``draw`` makes from the run seed and the
content of each image. ``make_views`` is a deterministic function of it.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import partial
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslaudit import augment
from sslaudit.encoder import Preprocess
from sslaudit.recipes import Blur, Color, Crop, Distribution, Interpolation, Recipe, factors

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
    SOLARIZE = 32


ORDERS = np.array(list(itertools.permutations(range(4))))
"""(24, 4): the orders in which ``augment.jitter`` may apply its four operations."""

_CPU_BLOCK, _GPU_BLOCK = 2**21, 2**26
"""Numbers that are augmented at once: near the cache of a CPU in few calls, in the memory of a GPU."""

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
    the identity view and its numbers are not read; without, all V views are drawn. The drawn views
    take the distributions of the recipe in turn, from the first on. Raises ``ValueError`` when the
    numbers do not fit the images.
    """
    if uniforms.shape[::2] != (len(images), SLOTS):
        raise ValueError(f"uniforms {uniforms.shape} must be ({len(images)}, V, {SLOTS}).")
    n, v = uniforms.shape[:2]
    out = torch.empty((n, v, 3, *preprocess.size), dtype=torch.uint8, device=device)
    start, turns = int(identity), len(recipe.distributions)
    turn_of = np.where(np.arange(v) < start, -1, (np.arange(v) - start) % turns)
    still = [i for i in range(v) if turn_of[i] < 0 or not recipe.distributions[turn_of[i]].crop]
    if still:
        for image, row in zip(images, out, strict=True):
            view = augment.upload(np.array(identity_view(image, preprocess)), device).permute(2, 0, 1)
            for i in still:
                row[i] = view
    for turn, distribution in enumerate(recipe.distributions):
        at = np.flatnonzero(turn_of == turn)
        u, rows = uniforms[:, at], (np.arange(n)[:, None] * v + at).ravel()
        if not u.size:
            continue
        flipped = u[..., Slot.FLIP] < (distribution.flip.p if distribution.flip else 0.0)
        views = out.view(n * v, 3, *preprocess.size)
        if distribution.crop:
            sizes = np.array([image.shape[:2] for image in images]).repeat(len(at), axis=0)
            boxes = crop_boxes(u.reshape(-1, SLOTS), sizes, distribution.crop).reshape(n, len(at), 4)
            _crop(images, boxes, flipped, distribution.crop.interpolation, views, rows.reshape(n, -1))
        elif flipped.any():
            mirrored = augment.upload(rows[flipped.ravel()], device)
            augment.put(views, rows[flipped.ravel()], views.index_select(0, mirrored).flip(-1))
        _augment(views, rows, u.reshape(-1, SLOTS), distribution)
    return out


def _crop(
    images: Sequence[np.ndarray],
    boxes: np.ndarray,
    flipped: np.ndarray,
    how: Interpolation,
    views: Tensor,
    rows: np.ndarray,
) -> None:
    """Fill ``rows`` (N, V) of ``views`` with ``boxes`` (N, V, 4), mirrored where ``flipped`` (N, V)."""
    h, w = size = (views.shape[2], views.shape[3])
    alone: list[int] = []
    alike: dict[tuple[int, int], list[int]] = {}
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        dear = views.device.type == "cpu" and w * height * (width + h) > _DENSE
        (alone if dear else alike.setdefault((height, width), [])).append(i)
    if alone:
        pixels = views.numpy()

        def cut(i: int) -> None:
            for row, box, mirrored in zip(rows[i], boxes[i].tolist(), flipped[i], strict=True):
                view = augment.resized_crop(images[i], box, size, how)
                pixels[row] = (view[:, ::-1] if mirrored else view).transpose(2, 0, 1)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(cut, alone))
    for (height, width), members in alike.items():
        step = max(1, _block(views) // (rows.shape[1] * 3 * max(height, width) * max(size)))
        for i in range(0, len(members), step):
            some = members[i : i + step]
            stacked = augment.upload(np.stack([images[j] for j in some]), views.device)
            where, mirrored = (augment.upload(each[some], views.device) for each in (boxes, flipped))
            done = augment.resized_crops(stacked, where, mirrored, size, how)
            augment.put(views, rows[some].ravel(), done.flatten(0, 1))


Change = Callable[[Tensor, np.ndarray], None]
"""``change(levels, u)`` works on grey levels (M, 3, h, w) by the uniform numbers (M, SLOTS)."""


@torch.inference_mode()
def _augment(views: Tensor, rows: np.ndarray, u: np.ndarray, distribution: Distribution) -> None:
    """Apply all operations behind crop and flip to ``rows`` of ``views`` (M, 3, h, w) uint8."""
    changes = _changes(distribution, (views.shape[2], views.shape[3]))
    changed = np.flatnonzero(sum((u[:, slot] < p for slot, p, _ in changes), np.zeros(len(u), dtype=bool)))
    # What is blurred comes together, and therein what is jittered, in one order of its operations.
    dear = [u[changed, slot] < p for slot, p, _ in changes if slot in (Slot.COLOR, Slot.BLUR)]
    changed = changed[np.lexsort([u[changed, Slot.ORDER], *dear])]
    step = max(1, _block(views) // views[0].numel())
    for i in range(0, len(changed), step):
        some = changed[i : i + step]
        at = augment.upload(rows[some], views.device)
        levels = views.index_select(0, at).float()
        for slot, p, change in changes:
            drawn = np.flatnonzero(u[some, slot] < p)
            augment.on_rows(levels, drawn, change, u[some])
        augment.put(views, rows[some], augment.to_uint8(levels))


def _changes(distribution: Distribution, size: tuple[int, int]) -> list[tuple[Slot, float, Change]]:
    """The operations behind crop and flip in their order: what decides on them, how likely, what they do."""
    changes: list[tuple[Slot, float, Change]] = []
    if color := distribution.color:
        changes.append((Slot.COLOR, color.p, partial(_jitter, color=color)))
    if distribution.gray:
        changes.append((Slot.GRAY, distribution.gray.p, lambda levels, u: augment.gray(levels)))
    if (blur := distribution.blur) and (kernel := blur.kernel_size(size)):
        changes.append((Slot.BLUR, blur.p, partial(_blur, blur=blur, kernel=kernel)))
    if solarize := distribution.solarize:
        threshold = solarize.threshold
        changes.append((Slot.SOLARIZE, solarize.p, lambda levels, u: augment.solarize(levels, threshold)))
    return changes


def _jitter(levels: Tensor, u: np.ndarray, color: Color) -> None:
    augment.jitter(
        levels,
        brightness=_between(u[:, Slot.BRIGHTNESS], *factors(color.brightness)),
        contrast=_between(u[:, Slot.CONTRAST], *factors(color.contrast)),
        saturation=_between(u[:, Slot.SATURATION], *factors(color.saturation)),
        hue=_between(u[:, Slot.HUE], -color.hue, color.hue),
        order=ORDERS[(u[:, Slot.ORDER] * len(ORDERS)).astype(np.int64)],
    )


def _blur(levels: Tensor, u: np.ndarray, blur: Blur, kernel: int) -> None:
    augment.blur(levels, _between(u[:, Slot.SIGMA], blur.min_sigma, blur.max_sigma), kernel)


def _between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + u * (high - low)


def _block(views: Tensor) -> int:
    return _CPU_BLOCK if views.device.type == "cpu" else _GPU_BLOCK
