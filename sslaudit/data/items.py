"""What one item of a map-style data set holds: an image in one of three forms, and perhaps a label."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from sslaudit.data.decode import to_rgb
from sslaudit.data.pixels import CHANNELS, as_rgb, check_range, eight_bit
from sslaudit.errors import DataError

IMAGE_KEYS = ("image", "img", "pixel_values", "x")
LABEL_KEYS = ("label", "labels", "target", "class", "y")


def taken_apart(item: Any) -> tuple[Any, Any]:
    """Image and label of an item; the label is None when it has none. Raises ``DataError``."""
    if isinstance(item, Mapping):
        image = _one_of(item, IMAGE_KEYS, "image")
        if image is None:
            raise DataError(f"its keys are {', '.join(map(str, item))}; an image is called image.")
        label = _one_of(item, LABEL_KEYS, "label")
        return item[image], None if label is None else item[label]
    if isinstance(item, tuple | list):
        if not 1 <= len(item) <= 2:
            raise DataError(f"it holds {len(item)} things; an item is (image, label) or an image.")
        return item[0], item[1] if len(item) == 2 else None
    return item, None


def pixels_of(image: Any) -> np.ndarray:
    """(H, W, 3) uint8 of a PIL image, an array (H, W[, C]) or a tensor ([C, ]H, W). Raises ``DataError``."""
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, torch.Tensor):
        values = image.detach().cpu()
        values = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
        return _checked(_channels_last(values.numpy()))
    if isinstance(image, np.ndarray):
        return _checked(image)
    if isinstance(image, tuple | list):
        raise DataError(
            f"in place of an image it holds {len(image)} (views?). Give one image; the recipe makes views."
        )
    raise DataError(f"its image is a {type(image).__name__}, not a PIL image, an array or a tensor.")


def _channels_last(tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim == 3 and tensor.shape[0] in CHANNELS:
        return tensor.transpose(1, 2, 0)
    if tensor.ndim == 2:
        return tensor
    raise DataError(f"its tensor has the shape {tensor.shape}, not (C, H, W) with 1, 3 or 4 channels.")


def _checked(values: np.ndarray) -> np.ndarray:
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] in CHANNELS)) or not values.size:
        raise DataError(
            f"its array has the shape {values.shape}, not (H, W) or (H, W, C) with 1, 3 or 4 channels."
        )
    if values.dtype.kind in "buif":
        check_range(float(values.min()), float(values.max()), values.dtype, None)
    else:
        check_range(0, 0, values.dtype, None)
    return as_rgb(eight_bit(values))


def _one_of(item: Mapping[Any, Any], keys: tuple[str, ...], role: str) -> str | None:
    found = [key for key in keys if key in item]
    if len(found) > 1:
        raise DataError(f"'{found[0]}' and '{found[1]}' may both be its {role}. Give (image, label).")
    return found[0] if found else None
