"""The first look at an image: cheap, and nothing that cannot be read slips through."""

import hashlib
import io
import random
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import resize

from sslaudit.data.decode import decode
from sslaudit.data.examine import Examined, examine, examine_all, examine_pixels, notes_of, thumb_of
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError


def photo(width: int = 300, height: int = 200, seed: int = 0) -> Image.Image:
    """Smooth random colours with edges."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def readable(look: object, content: bytes) -> bool:
    try:
        look(content)
    except DataError:
        return False
    return True


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_file_is_readable_at_first_look_when_it_can_be_decoded(
    mode: str, options: dict[str, object]
) -> None:
    content, draw = saved(photo().convert(mode), **options), random.Random(0)
    cuts = [*range(len(content) - 30, len(content) + 1), *range(0, len(content), 211)]
    for cut in cuts:
        assert readable(examine, content[:cut]) == readable(decode, content[:cut]), cut
    assert readable(examine, content)
    assert not readable(examine, content[:-100])
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        assert readable(examine, bytes(damaged)) == readable(decode, bytes(damaged))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_digest_and_thumbnail_of_a_file(kind: str) -> None:
    content = saved(photo(), kind)
    look = examine(content)
    assert (look.digest, look.note) == (hashlib.sha256(content).hexdigest(), "")
    assert (look.thumb.shape, look.thumb.dtype) == ((16, 16), np.uint8)
    # At a fraction of the size a JPEG has nearly the same means.
    exact = thumb_of(decode(content)).astype(int)
    assert np.abs(look.thumb - exact).max() <= (4 if kind == "JPEG" else 0)


def test_a_thumbnail_is_the_image_resized_with_antialiasing() -> None:
    """Against torchvision's tensor resize of the Rec. 601 brightness."""
    pixels = np.asarray(photo(70, 50))
    gray = torch.from_numpy(pixels @ np.array([0.299, 0.587, 0.114]))[None]
    expected = resize(gray, [16, 16], antialias=True)[0].numpy()
    assert np.abs(thumb_of(pixels) - expected).max() <= 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_thumbnail_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    content = saved(photo(), exif=exif)
    assert np.abs(examine(content).thumb - thumb_of(decode(content)).astype(int)).max() <= 4


def test_pixels_have_a_digest_of_shape_and_bytes() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    look = examine_pixels(pixels)
    assert look.digest == hashlib.sha256(b"(2, 4, 3)" + bytes(range(24))).hexdigest()
    assert look.digest == examine_pixels(np.asfortranarray(pixels)).digest
    assert look.digest != examine_pixels(pixels.reshape(4, 2, 3)).digest


@pytest.mark.parametrize(
    ("peak", "used"), [(0, 4096), (4095, 4096), (4096, 16384), (16383, 16384), (16384, None)]
)
def test_16_bit_gray_with_upper_levels_unused_is_noted(peak: int, used: int | None) -> None:
    content = saved(Image.fromarray(np.array([[0, peak]], np.uint16)), "PNG")
    note = examine(content).note
    assert note.startswith(f"16-bit gray that uses only {used} of 65536 levels") == (used is not None)
    assert examine(content, levels=65536).note == ""


def test_all_images_in_threads_with_what_cannot_be_read() -> None:
    contents = {i: saved(photo(40, 30, seed=i), "PNG") for i in range(30)}
    contents[7] = b""
    names, skips = [f"{i}.png" for i in range(30)], Skips()

    def read(i: int) -> bytes:
        time.sleep(random.random() / 200)
        if i == 20:
            raise PermissionError(13, "Permission denied")
        return contents[i]

    found = examine_all(names, read, skips, "'photos'")
    assert list(found) == [i for i in range(30) if i not in (7, 20)]
    assert all(look.digest == examine(contents[i]).digest for i, look in found.items())
    assert {(s.reason, s.examples) for s in skips.summary()} == {
        ("empty file", ("7.png",)),
        ("cannot be opened: Permission denied", ("20.png",)),
    }
    contents[7] = contents[8]
    with pytest.raises(DataError, match=r"^'photos': 2 of 19 images cannot be read, more than a tenth\. "):
        examine_all(names[:19], lambda i: contents[i] if i > 1 else b"x", Skips(), "'photos'")


def test_an_unforeseen_error_ends_the_look_and_not_the_process() -> None:
    def read(_: int) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        examine_all(["a"] * 3000, read, Skips(), "x")
    assert threading.active_count() < 20


def test_notes_are_summed_up_by_kind() -> None:
    def look(note: str) -> Examined:
        return Examined("", np.zeros((16, 16), np.uint8), note)

    looks = {i: look(note) for i, note in enumerate(["", "odd", "odd", "", "odd", "odd", "even"])}
    assert notes_of(looks, list("abcdefg")) == (
        "1 of 7 images: even (g).",
        "4 of 7 images: odd (b, c, e and others).",
    )
    assert notes_of({0: look("")}, ["a"]) == ()


def test_a_message_shows_the_most_frequent_reasons() -> None:
    skips = Skips()
    for k in range(8):
        for i in range(k + 1):
            skips.add(f"reason {k}", f"{i}.png")
    text = counted(skips.summary())
    assert text.startswith(" 8 skipped: reason 7 (0.png, 1.png, 2.png). 7 skipped: reason 6 (")
    assert text.endswith(" 6 skipped for other reasons.")
    assert counted(()) == ""
