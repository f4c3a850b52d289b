"""What lies in a cache, features and reference encoders: listed, and pruned."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sslaudit.errors import StoreError
from sslaudit.store import ABOUT, PART_IMAGES

REFERENCES = "references"
"""Below a cache: the reference encoders, a folder for each key."""

_KEY_LENGTH = 64
_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The features or the reference encoder of one key."""

    kind: Literal["features", "reference"]
    folder: Path
    about: dict[str, str | int]
    """What a run wrote about them; empty when nothing readable is there."""
    parts: int
    """Parts of features, or epochs of training, that are done."""
    bytes: int
    used: float
    """Seconds since the epoch of the last use."""

    @property
    def wanted(self) -> int:
        """Parts that a whole set has, or epochs; 0 when nobody says."""
        if self.kind == "reference":
            return int(self.about.get("epochs", 0))
        return -(-int(self.about.get("images", 0)) // PART_IMAGES)

    @property
    def whole(self) -> bool:
        """Whether all of it is there."""
        return 0 < self.wanted == self.parts


def entries(cache: Path) -> list[Entry]:
    """What is kept in ``cache``, last used first. Nothing else that lies there is looked at."""
    found = [_entry(folder) for folder in _folders(cache)]
    return sorted(found, key=lambda entry: (-entry.used, entry.folder.name))


def prune(
    cache: Path,
    *,
    days: float | None = None,
    below: int | None = None,
    unfinished: bool = False,
    everything: bool = False,
    now: Callable[[], float] = time.time,
) -> list[Entry]:
    """Remove what is kept in ``cache`` and return what was removed.

    Removed is what was not used for ``days``, what is not whole when ``unfinished``, and then
    the longest unused until at most ``below`` bytes are left. Raises ``StoreError`` when the disk
    refuses.
    """
    removed: list[Entry] = []
    kept: list[Entry] = []
    for entry in entries(cache):
        old = days is not None and now() - entry.used > days * _DAY
        gone = everything or old or (unfinished and not entry.whole)
        (removed if gone else kept).append(entry)
    while below is not None and kept and sum(entry.bytes for entry in kept) > below:
        removed.append(kept.pop())
    for entry in removed:
        try:
            shutil.rmtree(entry.folder)
        except OSError as error:
            raise StoreError(f"cannot remove {entry.folder}: {error.strerror}.") from error
    return removed


def _folders(cache: Path) -> Iterator[Path]:
    hexadecimal = set("0123456789abcdef")
    for folder in [*_inside(cache, "features"), *_inside(cache, REFERENCES)]:
        if len(folder.name) == _KEY_LENGTH and set(folder.name) <= hexadecimal and folder.is_dir():
            yield folder


def _inside(cache: Path, place: str) -> list[Path]:
    try:
        return sorted((cache / place).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"the cache {cache} cannot be read: {error.strerror}.") from error


def _entry(folder: Path) -> Entry:
    sizes, parts, used = 0, 0, folder.stat().st_mtime
    for file in folder.iterdir():
        try:
            stat = file.stat()
        except FileNotFoundError:  # another process is at work here
            continue
        sizes += stat.st_size
        parts += file.suffix == ".npy"
        used = max(used, stat.st_mtime)
    about = _about(folder / ABOUT)
    kind: Literal["features", "reference"] = "features"
    if folder.parent.name == REFERENCES:
        kind, parts = "reference", int(about.get("done", 0))
    return Entry(kind=kind, folder=folder, about=about, parts=parts, bytes=sizes, used=used)


def _about(path: Path) -> dict[str, str | int]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    images = read.get("images") if isinstance(read, dict) else None
    return read if isinstance(images, int) and images > 0 else {}
