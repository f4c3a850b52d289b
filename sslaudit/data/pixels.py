"""From numbers in memory to pixels: one stated rule for every type of number.

===================  ==========================================================================
uint8                as they are
bool                 0 and 255
uint16               divided by 257: the full range 0..65535 becomes 0..255
other whole numbers  0..255 as they are
floats               0..1 becomes 0..255, rounded
alpha                composited over white
===================  ==========================================================================

With ``levels`` L the values 0..L-1 become 0..255, whatever their type. What does not fit is refused.
"""

import numpy as np
from PIL import Image

from sslaudit.errors import DataError

CHANNELS = (1, 3, 4)
"""Gray, RGB, RGB with alpha."""


def check_range(low: float, high: float, kind: np.dtype, levels: int | None) -> None:
    """Raises ``DataError`` when values from ``low`` to ``high`` of type ``kind`` are no pixels."""
    if kind.kind not in "buif":
        raise DataError(f"its numbers are of type {kind}, which pixels are not")
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("it holds NaN or infinity")
    span = f"its values go from {low:.6g} to {high:.6g}"
    if levels is not None:
        if low < 0 or high > levels - 1:
            raise DataError(f"{span}, outside 0..{levels - 1} as levels={levels} says")
    elif kind.kind == "f" and (low < 0 or high > 1):
        raise DataError(f"{span}; floats are taken as 0..1. {_advice(low, high)}")
    elif kind.kind in "iu" and kind != np.uint16 and (low < 0 or high > 255):
        raise DataError(f"{span}; whole numbers are taken as 0..255. {_advice(low, high)}")


def eight_bit(values: np.ndarray, levels: int | None = None) -> np.ndarray:
    """``values``, which ``check_range`` has let pass, as uint8 of the same shape."""
    if levels is not None:
        return np.rint(values * (255 / (levels - 1))).astype(np.uint8)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype.kind == "f":
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    return values.astype(np.uint8)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 from (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8."""
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] == 1:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] == 4:
        rgba = Image.fromarray(np.ascontiguousarray(image), "RGBA")
        return np.array(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    return np.array(image)


def _advice(low: float, high: float) -> str:
    if low < 0:
        return "Give images that are not normalised: the encoder does that itself."
    return f"levels={2 ** int(np.ceil(np.log2(high + 1)))} says that the full range is another."
