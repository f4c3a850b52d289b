"""From file bytes to pixels: one stated rule for every pixel format.

========================  ==========================================================================
1 bit, gray, RGB          8-bit values as they are
gray, 16 or 32 bit        divided by 257 and rounded: 0..65535 becomes 0..255; other values refused
gray, float               0..1 becomes 0..255, rounded; other values, NaN and infinity refused
the same with ``levels``  0..levels-1 becomes 0..255, rounded; other values refused
colour or alpha, 16 bit   the high byte of each value, as Pillow reads it
alpha, in any form        composited over white: channel, palette or one transparent value
CMYK, YCbCr, LAB, HSV     as Pillow converts them to RGB; profiles of colour are not applied
EXIF orientation          applied; metadata that cannot be read count as upright
several frames or pages   the first
more than 89 Mpixel       refused: what may be a decompression bomb
========================  ==========================================================================
"""

import io
import re
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from sslaudit.data.pixels import check_range, eight_bit
from sslaudit.errors import DataError

LARGEST = 89_478_485
"""Pixels of the largest image: the level at which Pillow warns."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of odd metadata that does not touch pixels. One filter for the process, since
# catch_warnings is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(content: bytes, levels: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8 pixels of an image file. Raises ``DataError`` with the reason."""
    return loaded(content, levels)[0]


def loaded(content: bytes, levels: int | None = None, thumb: int = 0) -> tuple[np.ndarray, str]:
    """Pixels as ``decode`` gives them, and a remark on their values. Raises ``DataError``.

    With ``thumb`` a JPEG is decoded at a fraction of its size, but with sides of ``thumb`` or more,
    and only its brightness.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST:
                raise Image.DecompressionBombError
            if thumb and image.format == "JPEG":
                image.draft("L", (thumb, thumb))
            pixels = to_rgb(image, levels)
            if (turn := _TURNS.get(_orientation(image))) is not None:
                pixels = np.asarray(Image.fromarray(pixels).transpose(turn))
            return pixels, _remark(image) if levels is None else ""
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("not an image" if content else "empty file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"more than {LARGEST:,} pixels (decompression bomb?)") from None
    except MemoryError:
        raise DataError("does not fit into memory") from None
    except Exception as error:  # each format has its own parser, with its own kinds of error
        raise DataError(f"damaged: {_reason(error)}") from None


def to_rgb(image: Image.Image, levels: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8 pixels of an open image, not turned. Raises ``DataError`` for other values."""
    key = image.info.get("transparency")
    tile = getattr(image, "tile", ())
    raw = str(tile[0].args) if image.format == "PNG" and tile else ""  # how the file holds its values
    image.load()
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        gray = _gray(values, levels)
        if isinstance(key, int):
            gray[values == key] = 255
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.mode in ("1", "L", "RGB") and isinstance(key, int | tuple):
        return _without_colour(image, key, raw)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.has_transparency_data:
        white = Image.new("RGB", image.size, "white")
        rgba = image.convert("RGBA")
        white.paste(rgba, mask=rgba)  # exact: rounds once
        return np.asarray(white)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _gray(values: np.ndarray, levels: int | None) -> np.ndarray:
    """(H, W) uint8 from whole numbers of more than 8 bits, or floats."""
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind != "f" and levels is None:
        if low < 0 or high > 65535:
            raise DataError(
                f"its values go from {low:.0f} to {high:.0f}; gray of more than 8 bits is taken as "
                "0..65535. levels= says that the full range is another."
            )
        values = values.astype(np.uint16)
    check_range(low, high, values.dtype, levels)
    return eight_bit(values, levels)


def _without_colour(image: Image.Image, key: int | tuple[int, ...], raw: str) -> np.ndarray:
    """White where a pixel of a gray or RGB image is the one value that stands for nothing.

    A PNG states that value in the depth of the file, from which Pillow has scaled the pixels.
    """
    if raw.startswith("L;"):
        key = int(key) * 255 // (2 ** int(raw[2:]) - 1) if isinstance(key, int) else key
    elif raw == "RGB;16B" and isinstance(key, tuple):
        key = tuple(level >> 8 for level in key)
    pixels = np.array(image.convert("RGB"))
    pixels[(pixels == np.asarray(key)).all(axis=-1)] = 255
    return pixels


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata do not touch the pixels
        return 1


def _remark(image: Image.Image) -> str:
    """What is odd about the values of a 16-bit image: it leaves the upper ones unused."""
    if not image.mode.startswith("I;16"):
        return ""
    peak = int(np.asarray(image).max())
    used = next((levels for levels in (4096, 16384) if peak < levels), None)
    return (
        f"16-bit gray that uses only {used} of 65536 levels; levels={used} makes them black to white"
        if used
        else ""
    )


def _reason(error: Exception) -> str:
    """The message of a parser on one line, without the counts that differ from file to file."""
    text = re.sub(r"\s*\([^()]*\d[^()]*\)", "", " ".join(str(error).split()))
    return text[:80] or type(error).__name__
