"""From file bytes to pixels: one stated rule for every pixel format.

========================  ====================================================================
gray, 16 bit or ``I``     divided by 257: the full range 0..65535 becomes 0..255
gray, float               0..1 becomes 0..255, values outside are clipped
alpha, palette with it    composited over white
CMYK and other modes      as Pillow converts them to RGB
EXIF orientation          applied
animated                  first frame
more than 179 Mpixel      refused (Pillow's limit against decompression bombs)
========================  ====================================================================
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sslaudit.errors import DataError

# Pillow warns of odd metadata that does not touch pixels. One filter for the process, since
# catch_warnings is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 pixels of an image file. Raises ``DataError`` with the reason."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.seek(0)
            return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        raise DataError("not an image" if content else "empty file") from None
    except Image.DecompressionBombError:
        raise DataError("too many pixels (decompression bomb)") from None
    except Exception as error:  # each format has its own parser, with its own kinds of error
        raise DataError(f"damaged: {' '.join(str(error).split())[:80] or type(error).__name__}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        return _gray((np.clip(levels, 0, 65535) + 128) // 257)
    if image.mode == "F":
        return _gray(np.rint(np.clip(np.nan_to_num(np.asarray(image)), 0, 1) * 255))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _gray(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
