"""File bytes to pixels: the exact values of every pixel format, and no crash on damaged bytes."""

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sslaudit.data import decode as decode_module
from sslaudit.data.decode import decode, to_rgb
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


Turn = Callable[[np.ndarray], np.ndarray]
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


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def tiff(levels: list[float], kind: type) -> bytes:
    return saved(Image.fromarray(np.array([levels], kind)), "TIFF")


def test_levels_say_the_full_range_of_16_bit_gray() -> None:
    content = saved(Image.fromarray((RAMP // 16).astype(np.uint16)), "PNG")
    pixels = gray(decode(content, levels=4096))
    np.testing.assert_array_equal(pixels, np.rint((RAMP // 16) * 255 / 4095))
    assert (pixels.min(), pixels.max()) == (0, 255)
    with pytest.raises(DataError, match=r"from 0 to 4095, outside 0\.\.1023 as levels=1024 says"):
        decode(content, levels=1024)
    assert decode(saved(Image.new("L", (1, 1), 200), "PNG"), levels=4096).max() == 200, "8 bits stay"


@pytest.mark.parametrize("levels", [[-5, 0], [0, 70000]])
def test_32_bit_integers_beyond_16_bits_are_refused_and_not_clipped(levels: list[float]) -> None:
    assert gray(decode(tiff([0, 257, 65535], np.int32))).tolist() == [[0, 1, 255]]
    with pytest.raises(DataError, match=rf"from {levels[0]} to {levels[1]}; .* 0\.\.65535\. levels="):
        decode(tiff(levels, np.int32))
    if levels[0] == 0:
        assert gray(decode(tiff(levels, np.int32), levels=70001)).tolist() == [[0, 255]]


def test_float_gray_is_0_to_1() -> None:
    assert gray(decode(tiff([0, 0.5, 1], np.float32))).tolist() == [[0, 128, 255]]
    pixels = gray(encoded(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"))
    assert np.abs(pixels - RAMP / 257).max() <= 0.51


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ([0, 255], r"from 0 to 255; floats are taken as 0\.\.1.*levels=256"),
        ([-1, 1], r"from -1 to 1; .*not normalised"),
        ([0, np.nan], "NaN or infinity"),
        ([0, np.inf], "NaN or infinity"),
    ],
)
def test_other_floats_are_refused_and_not_clipped(levels: list[float], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode(tiff(levels, np.float32))


def test_levels_say_the_full_range_of_floats() -> None:
    assert gray(decode(tiff([0, 100, 255], np.float32), levels=256)).tolist() == [[0, 100, 255]]


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


def png(depth: int, colour: int, rows: list[bytes], width: int, clear: bytes = b"") -> bytes:
    """A PNG written by hand: bit depth, colour type, and the value that is transparent (tRNS)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    image = zlib.compress(b"".join(b"\0" + row for row in rows))
    trns = chunk(b"tRNS", clear) if clear else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + trns + chunk(b"IDAT", image) + chunk(b"IEND", b"")


def cutouts() -> dict[str, bytes]:
    """Black, nothing and white side by side, in every form that says so."""
    rgba = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    rgba.putpixel((1, 0), (85, 85, 85, 0))
    rgba.putpixel((2, 0), (255, 255, 255, 255))
    palette = Image.new("P", (3, 1))
    palette.putpalette([0, 0, 0, 85, 85, 85, 255, 255, 255])
    palette.putdata([0, 1, 2])
    return {
        "RGBA": saved(rgba, "PNG"),
        "LA": saved(rgba.convert("LA"), "PNG"),
        "palette, one index": saved(palette, "PNG", transparency=1),
        "palette, a table": saved(palette, "PNG", transparency=b"\xff\x00\xff"),
        "gray 2 bit": png(2, 0, [b"\x1c"], 3, b"\0\1"),
        "gray 4 bit": png(4, 0, [b"\x05\xf0"], 3, b"\0\5"),
        "gray 8 bit": png(8, 0, [b"\0\x55\xff"], 3, b"\0\x55"),
        "gray 16 bit": png(16, 0, [b"\0\0\x55\x55\xff\xff"], 3, b"\x55\x55"),
        "RGB 8 bit": png(8, 2, [b"\0\0\0UUU\xff\xff\xff"], 3, b"\0U\0U\0U"),
        "RGB 16 bit": png(16, 2, [b"\0\0" * 3 + b"UU" * 3 + b"\xff\xff" * 3], 3, b"UU" * 3),
        "LA 16 bit": png(16, 4, [b"\0\0\xff\xff" + b"UU\0\0" + b"\xff" * 4], 3),
        "RGBA 16 bit": png(16, 6, [b"\0" * 6 + b"\xff\xff" + b"U" * 6 + b"\0\0" + b"\xff" * 8], 3),
        "GIF": saved(palette, "GIF", transparency=1),
        "WebP": saved(rgba, "WEBP", lossless=True),
        "TIFF": saved(rgba, "TIFF"),
        "TIFF LA": saved(rgba.convert("LA"), "TIFF"),
        "TGA": saved(rgba, "TGA"),
    }


@pytest.mark.parametrize("form", cutouts())
def test_a_cutout_is_the_same_picture_in_every_form(form: str) -> None:
    assert gray(decode(cutouts()[form])).tolist() == [[0, 255, 255]]


def test_a_transparent_colour_is_one_colour() -> None:
    content = png(8, 2, [b"\1\2\3" + b"\1\2\4" + b"\3\2\1"], 3, b"\0\1\0\2\0\3")
    assert decode(content)[0].tolist() == [[255, 255, 255], [1, 2, 4], [3, 2, 1]]


def test_one_bit_gray_with_a_transparent_value() -> None:
    black = [b"\x40"]  # 0, 1, 0
    assert gray(decode(png(1, 0, black, 3))).tolist() == [[0, 255, 0]]
    assert gray(decode(png(1, 0, black, 3, b"\0\0"))).tolist() == [[255, 255, 255]]
    assert gray(decode(png(1, 0, black, 3, b"\0\1"))).tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
@pytest.mark.parametrize(("alpha", "expected"), [(255, 100), (51, 224), (0, 255)])
def test_half_transparent_pixels_are_the_same_in_every_mode(mode: str, alpha: int, expected: int) -> None:
    if mode == "PA":
        image = Image.new("PA", (1, 1), (0, alpha))
        image.putpalette([100] * 3)
    else:
        image = Image.new("RGBA", (1, 1), (100, 100, 100, alpha))
        image = image.convert("LA").convert(mode) if mode in ("LA", "La") else image.convert(mode)
    # A premultiplied colour of 8 bits is known to within a level after division by its alpha.
    assert np.abs(to_rgb(image).astype(int) - expected).max() <= (mode in ("La", "RGBa"))


def test_cmyk_is_converted_to_rgb() -> None:
    assert encoded(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF")[0, 0].tolist() == [0, 255, 255]
    for ink, expected in [
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0,) * 4, (255,) * 3),
    ]:
        jpeg = encoded(Image.new("CMYK", (8, 8), ink), "JPEG")  # with the inverted inks of Adobe
        assert np.abs(jpeg[0, 0].astype(int) - expected).max() <= 3


def test_other_colour_spaces_are_converted_to_rgb() -> None:
    assert encoded(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF")[0, 0].min() >= 254
    red = Image.new("RGB", (2, 2), (254, 0, 0)).convert("YCbCr")
    assert np.abs(encoded(red, "TIFF")[0, 0].astype(int) - (254, 0, 0)).max() <= 2
    assert to_rgb(Image.new("RGB", (1, 1), (255, 0, 0)).convert("HSV"))[0, 0].tolist() == [255, 0, 0]


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
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, turned: Turn, kind: str) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    exif = Image.Exif()
    exif[0x112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(Image.fromarray(pixels), kind, exif=exif, **options)
    np.testing.assert_array_equal(decode(content), turned(pixels))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_exif_does_not_lose_the_picture(kind: str) -> None:
    draw, image, exif = random.Random(0), Image.new("RGB", (5, 3), (200, 200, 200)), Image.Exif()
    exif[0x112], exif[0x10E], exif[0x11A] = 1, "a camera", 72.0
    whole = exif.tobytes()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            damaged[draw.randrange(6, len(damaged))] = draw.randrange(256)
        assert sorted(decode(saved(image, kind, exif=bytes(damaged))).shape) == [3, 3, 5]


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


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "does not fit into memory"), (RecursionError(), "damaged: RecursionError")],
)
def test_running_out_of_memory_or_stack_is_a_reason_too(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=reason):
        decode(b"anything")


@pytest.mark.parametrize("pillow", [100, 250, None])
def test_one_limit_of_pixels_whatever_pillow_does(
    pillow: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "LARGEST", 400)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow)  # 420 pixels: an error, a warning, nothing
    with pytest.raises(DataError, match=r"more than 400 pixels \(decompression bomb\?\)"):
        decode(saved(Image.new("L", (21, 20)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert decode(saved(Image.new("L", (20, 20)), "PNG")).shape == (20, 20, 3)


def test_the_reason_is_the_same_for_files_cut_off_at_different_places() -> None:
    content = saved(Image.fromarray(RAMP.astype(np.uint8)), "JPEG")
    reasons = set()
    for cut in range(len(content) - 40, len(content) - 4, 3):
        with pytest.raises(DataError) as caught:
            decode(content[:cut])
        reasons.add(str(caught.value))
    assert reasons == {"damaged: image file is truncated"}


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone() -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [content.getvalue()] * 2000))
    assert list(warnings.filters) == before
