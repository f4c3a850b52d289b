"""Colours without brightness: counts of the pixels of an image in the a, b plane of CIELAB."""

import numpy as np

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ, by the primaries and the white point D65 of IEC 61966-2-1."""

_WIDTH = 20
_LEAST_A, _LEAST_B = -90, -110
_BINS_A, _BINS_B = 10, 11
BINS = _BINS_A * _BINS_B
"""Squares of 20 x 20 that cover all colours of sRGB. Gray, at a = b = 0, is the centre of one."""

_CHUNK = 2**18
"""Pixels that are converted at once: what stays in the cache."""


def cielab(pixels: np.ndarray) -> np.ndarray:
    """L, a, b (..., 3) float32 of sRGB pixels (..., 3) uint8, for white D65.

    White is where red, green and blue are 255, so gray pixels have a = b = 0. Source: CIE 1976 L*a*b* and
    IEC 61966-2-1 (sRGB).
    """
    x, y, z = _cube_roots(np.moveaxis(pixels, -1, 0).reshape(3, -1))
    lab: np.ndarray = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).reshape(pixels.shape)
    return lab


def color_histograms(images: np.ndarray) -> np.ndarray:
    """Shares (n, 110) float64 of the pixels of images (n, 3, H, W) uint8 in squares of the a, b plane."""
    n, pixels = len(images), images.shape[2] * images.shape[3]
    shares = np.empty((n, BINS))
    step = max(1, _CHUNK // pixels)
    for start in range(0, n, step):
        some = images[start : start + step]
        x, y, z = _cube_roots(some.transpose(1, 0, 2, 3).reshape(3, -1))
        a = ((500 * (x - y) - _LEAST_A) / _WIDTH).astype(np.int64)
        b = ((200 * (y - z) - _LEAST_B) / _WIDTH).astype(np.int64)
        place = np.arange(len(some)).repeat(pixels) * BINS + a * _BINS_B + b
        counts = np.bincount(place, minlength=len(some) * BINS)
        shares[start : start + step] = counts.reshape(-1, BINS) / pixels
    return shares


def _cube_roots(pixels: np.ndarray) -> np.ndarray:
    """X, Y, Z (3, m) float32 relative to white, through the curve of CIELAB, of sRGB pixels (3, m)."""
    of_red, of_green, of_blue = _RELATIVE
    red, green, blue = _LINEAR[pixels]
    xyz = of_red * red + of_green * green + of_blue * blue  # a matrix product would round by its shape
    small = xyz < (6 / 29) ** 3
    roots: np.ndarray = np.cbrt(xyz)
    roots[small] = xyz[small] / (3 * (6 / 29) ** 2) + 4 / 29
    return roots


def _linear() -> np.ndarray:
    """Linear light of the 256 levels of sRGB, in [0, 1]."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear()
_RELATIVE = (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T[..., None].astype(np.float32)
