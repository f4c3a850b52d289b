"""The transformations of ``invariance`` as alterations of identity views.

Terms of recipes are drawn and applied as in a recipe that has this term alone and does it to every
image. A crop is cut from the identity view, so it is enlarged from the pixels that the encoder sees.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslaudit.encoder import Preprocess
from sslaudit.extraction import Alteration
from sslaudit.recipes import BLUR_MIN_SIDE, parse_recipe
from sslaudit.views import draw, make_views
from sslaudit_probes.change.options import TRANSFORMS
from sslaudit_probes.change.pixels import generator

VERSION = 1
"""Part of the key of each alteration, and raised whenever pixels change."""

SHIFT = 8
"""The part of a side that ``translate`` moves an image by: one of so many."""


def transform(name: str, seed: int) -> Alteration:
    """The transformation ``name`` of ``TRANSFORMS``; what it draws depends on seed and content of an image.

    Raises ``ValueError`` for an unknown name.
    """
    if name not in TRANSFORMS:
        raise ValueError(f"there is no transformation '{name}'; there are {', '.join(TRANSFORMS)}.")
    if TRANSFORMS[name].recipe:
        return _of_recipe(TRANSFORMS[name].recipe, seed)
    return _quarter_turn() if name == "rotate" else _shifted(seed)


def impossible(name: str, size: tuple[int, int]) -> str:
    """Why views of ``size`` (h, w) cannot be transformed so; empty where they can."""
    if name == "rotate" and size[0] != size[1]:
        return f"views of {size[0]} x {size[1]} px, turned by a quarter, would have another size"
    if name == "blur" and min(size) < BLUR_MIN_SIDE:
        return f"recipes leave blur out below {BLUR_MIN_SIDE} px, and views have {size[0]} x {size[1]} px"
    return ""


def _of_recipe(text: str, seed: int) -> Alteration:
    recipe = parse_recipe(text, {})

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        images = list(pixels.permute(0, 2, 3, 1).cpu().numpy())
        return make_views(
            images,
            draw(seed, digests, views=1),
            recipe,
            Preprocess(size=(pixels.shape[2], pixels.shape[3])),
            identity=False,
            device=str(pixels.device),
        )[:, 0]

    return Alteration(f"transform@{VERSION}(recipe={recipe.key()},seed={seed})", apply)


def _quarter_turn() -> Alteration:
    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        return pixels.rot90(1, (2, 3)).contiguous()

    return Alteration(f"quarter-turn@{VERSION}", apply)


def _shifted(seed: int) -> Alteration:
    key = f"translate@{VERSION}(part=1/{SHIFT},seed={seed})"

    def apply(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        signs = [generator(key, digest).integers(2, size=2) * 2 - 1 for digest in digests]
        down, right = (_places(side, pixels.device) for side in pixels.shape[2:])
        moved = [view[:, down(y)][:, :, right(x)] for view, (y, x) in zip(pixels, signs, strict=True)]
        return torch.stack(moved)

    return Alteration(key, apply)


def _places(side: int, device: torch.device) -> Callable[[int], Tensor]:
    """From which row or column each one of a side is taken, for a shift of either sign."""
    reach, places = max(1, round(side / SHIFT)), torch.arange(side, device=device)
    return lambda sign: (places - int(sign) * reach).clamp(0, side - 1)
