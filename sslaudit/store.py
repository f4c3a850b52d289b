"""Features on disk: content-addressed parts that a killed run can resume.

A *part* holds a fixed block of images as ``(n, V, D)`` float32 in a ``.npy`` file without pickle,
written under a temporary name and renamed. The key of a set of parts is the sha256 of canonical
JSON that says what was computed, never where or when.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslaudit.errors import StoreError
from sslaudit.whole import replacing

LAYOUT = 1
"""Version of the layout on disk; a part of every key."""

PART_IMAGES = 256
"""Images in a part."""

ABOUT = "about.json"
"""Beside the parts: what they are, for people. Its time is when they were last used."""


def key_of(facts: Mapping[str, object]) -> str:
    """sha256 of ``facts`` as canonical JSON."""
    text = json.dumps({"layout": LAYOUT, **facts}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one key: ``count`` blocks of images of one data set."""

    folder: Path
    images: int

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.images // PART_IMAGES)

    def block(self, part: int) -> range:
        """The images of a part."""
        return range(part * PART_IMAGES, min(self.images, (part + 1) * PART_IMAGES))

    def path(self, part: int) -> Path:
        """Where a part lies."""
        return self.folder / f"part-{part:06d}.npy"

    def has(self, part: int) -> bool:
        """Whether a part is written."""
        return self.path(part).is_file()

    def missing(self) -> list[int]:
        """Parts not yet written."""
        return [part for part in range(self.count) if not self.has(part)]

    def write(self, part: int, features: np.ndarray) -> None:
        """Write a part whole or not at all. Raises ``StoreError`` when the disk refuses."""
        content = io.BytesIO()  # np.save into a real file loses the reason when the disk is full
        np.save(content, features, allow_pickle=False)
        write_whole(self.path(part), content.getbuffer())

    def describe(self, about: Mapping[str, str | int]) -> None:
        """Say in words what these features are, and that they are in use now."""
        text = json.dumps(dict(about), ensure_ascii=True, indent=1)
        write_whole(self.folder / ABOUT, text.encode())

    def read(self, part: int) -> np.ndarray:
        """A part, memory-mapped, (n, V, D). Raises ``StoreError`` when it is missing or damaged."""
        return _open(self.path(part))

    def drop(self) -> None:
        """Remove all parts."""
        for part in range(self.count):
            self.path(part).unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file below a cache whole or not at all. Raises ``StoreError`` when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise StoreError(f"cannot write features to {path.parent}: {error.strerror}.") from error


class Features:
    """Embeddings (N, V, D) float32, memory-mapped part by part. View 0 is the identity view.

    Raises ``StoreError`` when a part is missing or damaged.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        _, views, dim = parts.read(0).shape
        self.shape: tuple[int, int, int] = (parts.images, views, dim)
        for _ in self._blocks():
            pass

    def __len__(self) -> int:
        return self.shape[0]

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their features (n, V, D), piece by piece in order."""
        start = 0
        for block in self._blocks():
            yield slice(start, start + len(block)), block
            start += len(block)

    def identity(self) -> np.ndarray:
        """View 0 of every image, (N, D)."""
        rows = np.empty((self.shape[0], self.shape[2]), dtype=np.float32)
        for place, block in self.chunks():
            rows[place] = block[:, 0]
        return rows

    def read(self) -> np.ndarray:
        """All of it in memory, (N, V, D)."""
        return np.concatenate([block.copy() for block in self._blocks()])

    def _blocks(self) -> Iterator[np.ndarray]:
        # One map at a time: each holds a file descriptor, and a million images are 4,000 parts.
        for part in range(self.parts.count):
            block = self.parts.read(part)
            wanted = (len(self.parts.block(part)), *self.shape[1:])
            if block.shape != wanted:
                path = self.parts.path(part)
                raise StoreError(f"{path} holds {block.shape}, not {wanted}; remove it and run again.")
            yield block


class InMemory(Features):
    """Embeddings (N, D) of one view of each image, held in memory."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows[:, None]
        self.shape = (len(rows), 1, rows.shape[1])

    def _blocks(self) -> Iterator[np.ndarray]:
        yield self._rows


def _open(path: Path) -> np.ndarray:
    try:
        block: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # numpy parses the header as Python, which fails in many ways
        raise StoreError(f"{path} is damaged ({error}); remove it and run again.") from error
    if block.ndim != 3 or block.dtype != np.float32:
        raise StoreError(f"{path} is no part: {block.dtype} {block.shape}; remove it and run again.")
    return np.asarray(block)


def default_cache() -> Path:
    """``$SSLAUDIT_CACHE``, else ``sslaudit`` below the user's cache folder."""
    if own := os.environ.get("SSLAUDIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sslaudit"


def writable(folder: Path) -> bool:
    """Whether files can be written in ``folder``, which is made when missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
