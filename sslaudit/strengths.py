"""How strongly each transform acts on each view: what tells which one drives a metric."""

import numpy as np

from sslaudit.recipes import Color, Distribution, Recipe
from sslaudit.views import Slot

_JITTERED = (Slot.BRIGHTNESS, Slot.CONTRAST, Slot.SATURATION, Slot.HUE)


def strengths(recipe: Recipe, uniforms: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """By name of a transform of ``recipe``, its strength in each view at input size (h, w): (N, V) in [0, 1].

    ``uniforms`` (N, V, SLOTS) are those of the views; view 0 is the identity view and has strength 0
    everywhere. A transform that is done or not has 1 or 0. Crop has the share of the area that is cut
    away, of the first box that was drawn. Color has how far its four factors are drawn towards their
    limits, on average.
    """
    found: dict[str, np.ndarray] = {}
    turns = len(recipe.distributions)
    for turn, distribution in enumerate(recipe.distributions):
        mine = slice(1 + turn, None, turns)
        for name, strength in _of(distribution, uniforms[:, mine], size).items():
            found.setdefault(name, np.zeros(uniforms.shape[:2]))[:, mine] = strength
    return found


def _of(distribution: Distribution, u: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    if crop := distribution.crop:
        found["crop"] = 1 - (crop.scale + u[..., Slot.CROP_AREA] * (crop.max_scale - crop.scale))
    if color := distribution.color:
        found["color"] = (u[..., Slot.COLOR] < color.p) * _jitter(color, u)
    if blur := distribution.blur:
        found["blur"] = u[..., Slot.BLUR] < (blur.p if blur.kernel_size(size) else 0.0)
    for name, slot in (("flip", Slot.FLIP), ("gray", Slot.GRAY), ("solarize", Slot.SOLARIZE)):
        if operation := getattr(distribution, name):
            found[name] = u[..., slot] < operation.p
    return found


def _jitter(color: Color, u: np.ndarray) -> np.ndarray:
    limits = (color.brightness, color.contrast, color.saturation, color.hue)
    drawn = [slot for slot, limit in zip(_JITTERED, limits, strict=True) if limit]
    if not drawn:
        return np.zeros(u.shape[:2])
    mean: np.ndarray = np.abs(2 * u[..., drawn] - 1).mean(axis=-1)
    return mean
