"""File bytes to pixels: the exact values of every pixel format, and no crash on damaged bytes."""

import io
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sslaudit.data.decode import decode
from sslaudit.errors import DataError


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    content = io.BytesIO()
    image.save(content, kind, **options)
    pixels = decode(content.getvalue())
    assert (pixels.dtype, pixels.shape) == (np.uint8, (image.height, image.width, 3))
    return pixels


def gray(pixels: np.ndarray) -> np.ndarray:
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


RAMP = np.linspace(0, 65535, 64 * 64).round().reshape(64, 64)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_uses_the_full_range(kind: str) -> None:
    pixels = gray(encoded(Image.fromarray(RAMP.astype(np.uint16)), kind))
    np.testing.assert_array_equal(pixels, np.floor(RAMP / 257 + 0.5))
    assert len(np.unique(pixels)) == 256
    assert abs(pixels.mean() - 127.5) < 0.1


@pytest.mark.parametrize(
    ("level", "expected"), [(0, 0), (8192, 32), (16384, 64), (24576, 96), (32768, 128), (65535, 255)]
)
def test_16_bit_levels(level: int, expected: int) -> None:
    assert (encoded(Image.fromarray(np.full((2, 3), level, np.uint16))) == expected).all()


def test_12_bits_in_16_stay_dark_and_are_not_clipped() -> None:
    pixels = gray(encoded(Image.fromarray((RAMP // 16).astype(np.uint16))))
    assert (pixels.min(), pixels.max()) == (0, 16)


def test_32_bit_integers_are_clipped_to_16_bits() -> None:
    levels = np.array([[-5, 0, 257, 65535, 70000]], np.int32)
    assert gray(encoded(Image.fromarray(levels), "TIFF")).tolist() == [[0, 0, 1, 255, 255]]


def test_float_gray_is_0_to_1() -> None:
    levels = np.array([[0, 0.5, 1, 2, -1, np.nan, np.inf]], np.float32)
    assert gray(encoded(Image.fromarray(levels), "TIFF")).tolist() == [[0, 128, 255, 255, 0, 0, 255]]
    pixels = gray(encoded(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"))
    assert np.abs(pixels - RAMP / 257).max() <= 0.51


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 100, 255, 51), (204, 224, 255)),  # a fifth of the colour, four fifths of white
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("L", 7, (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_alpha_is_composited_over_white(mode: str, pixel: object, expected: tuple[int, ...]) -> None:
    assert encoded(Image.new(mode, (3, 2), pixel))[1, 2].tolist() == list(expected)


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    assert encoded(image)[0].tolist() == [[200, 0, 0], [0, 0, 200]]
    assert encoded(image, transparency=1)[0].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert encoded(image, transparency=b"\x33\xff")[0].tolist() == [[244, 204, 204], [0, 0, 200]]
    assert encoded(image, "GIF", transparency=0)[0].tolist() == [[255, 255, 255], [0, 0, 200]]


def test_cmyk_is_converted_to_rgb() -> None:
    assert encoded(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF")[0, 0].tolist() == [0, 255, 255]
    assert np.abs(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG")[0, 0]).max() <= 2


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied(orientation: int, turned: object) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(pixels).save(content, "PNG", exif=exif)
    np.testing.assert_array_equal(decode(content.getvalue()), turned(pixels))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), (level, level, level)) for level in (0, 120, 255)]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options).max() == 0


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_bytes_give_pixels_or_a_data_error() -> None:
    draw, pixels = random.Random(0), np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x112], exif[0x10E] = 6, "a camera"
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "TGA"):
        whole = io.BytesIO()
        options = {"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}
        Image.fromarray(pixels).save(whole, kind, **options)
        for _ in range(150):
            content = bytearray(whole.getvalue())
            for _ in range(draw.randint(1, 4)):
                content[draw.randrange(min(len(content), draw.choice([40, 400])))] = draw.randrange(256)
            try:
                out = decode(bytes(content[: draw.choice([len(content), draw.randrange(len(content))])]))
            except DataError:
                continue
            assert out.ndim == 3
            assert (out.shape[2], out.dtype) == (3, np.uint8)


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone() -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [content.getvalue()] * 2000))
    assert list(warnings.filters) == before
