"""A first look at every image when a data set is opened: can it be read, and what does it hold?

JPEGs are read at an eighth of their size where they are large enough, which still passes over
every byte, so a file that is cut off is found. All pixels are made only when an encoder needs them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sslaudit.data.decode import loaded
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError

THUMB = 16
"""Side of a thumbnail in pixels."""
UNREADABLE_SHARE = 0.1
"""With a larger share of unreadable images a data set is refused."""

_DRAFT = 4 * THUMB
_BLOCK = 1024
"""Images handed to the threads at once."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of an image without keeping its pixels."""

    digest: str
    """sha256 of the content."""
    thumb: np.ndarray
    """(16, 16) uint8, gray, the whole image whatever its shape."""
    note: str = ""
    """A kind of oddity, in words that are the same for all images that have it."""


def examine(content: bytes, levels: int | None = None) -> Examined:
    """A look at an image file. Raises ``DataError`` with the reason when it cannot be read."""
    pixels, note = loaded(content, levels, _DRAFT)
    return Examined(hashlib.sha256(content).hexdigest(), thumb_of(pixels), note)


def examine_pixels(pixels: np.ndarray) -> Examined:
    """A look at (H, W, 3) uint8 pixels; the digest is over their shape and bytes."""
    content = hashlib.sha256(f"{pixels.shape}".encode())
    content.update(np.ascontiguousarray(pixels).data)
    return Examined(content.hexdigest(), thumb_of(pixels))


def thumb_of(pixels: np.ndarray, side: int = THUMB) -> np.ndarray:
    """(side, side) uint8: brightness of (H, W, 3) uint8 pixels, resized with antialiasing."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def examine_all(
    names: Sequence[str],
    read: Callable[[int], bytes],
    skips: Skips,
    owner: str,
    levels: int | None = None,
) -> dict[int, Examined]:
    """A look at every image, in threads: what was found, by number. ``read(i)`` gives the file.

    Unreadable ones go to ``skips``. Raises ``DataError`` when they are more than a tenth.
    """

    def look(i: int) -> Examined | DataError:
        try:
            return examine(read(i), levels)
        except OSError as error:
            return DataError(f"cannot be opened: {error.strerror or error}")
        except DataError as error:
            return error

    examined: dict[int, Examined] = {}
    unreadable = Skips()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), _BLOCK):
            block = range(start, min(start + _BLOCK, len(names)))
            for i, answer in zip(block, pool.map(look, block), strict=True):
                if isinstance(answer, DataError):
                    skips.add(str(answer), names[i])
                    unreadable.add(str(answer), names[i])
                else:
                    examined[i] = answer
    failed = len(names) - len(examined)
    if failed > UNREADABLE_SHARE * len(names):
        raise DataError(
            f"{owner}: {failed} of {len(names)} images cannot be read, more than a tenth."
            f"{counted(unreadable.summary())} Remove them, or name other data."
        )
    return examined


def notes_of(examined: Mapping[int, Examined], names: Sequence[str]) -> tuple[str, ...]:
    """One sentence for each kind of oddity: how many images have it, and up to three of them."""
    by_note: dict[str, list[str]] = {}
    for i in sorted(examined):
        if note := examined[i].note:
            by_note.setdefault(note, []).append(names[i])
    return tuple(
        f"{len(found)} of {len(examined)} images: {note} ({', '.join(found[:3])}"
        f"{' and others' if len(found) > 3 else ''})."
        for note, found in sorted(by_note.items())
    )
