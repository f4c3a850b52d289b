"""A folder of images: a class for each folder, or splits with classes, or no classes at all.

Hidden files, litter of file managers and notebooks, and files that are no images are skipped and
counted. Symbolic links are followed; a loop is cut. Nothing is written into the folder.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sslaudit.data.dataset import Dataset, Skipped
from sslaudit.data.decode import decode
from sslaudit.errors import DataError, DataNotFound, EmptyData
from sslaudit.refs import DataRef

_COMMON = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif"}
IMAGE_SUFFIXES = frozenset(_COMMON | {".ppm", ".pgm", ".pbm", ".pnm", ".tga"})
LITTER = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
UNREADABLE_SHARE = 0.1
"""With a larger share of unreadable images the folder is refused."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    id: str
    """Path below the root, with slashes."""

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.id.split("/")[:-1])


class _Skips:
    def __init__(self) -> None:
        self._by_reason: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, name: str) -> None:
        self._by_reason[reason].append(name)

    def summary(self) -> tuple[Skipped, ...]:
        return tuple(
            Skipped(reason=reason, count=len(ids), examples=tuple(ids[:3]))
            for reason, ids in sorted(self._by_reason.items())
        )


def open_folder(ref: DataRef) -> Dataset:
    """The images below a folder, in order of path.

    Every file is read and decoded once here, so that what cannot be read is known before any
    encoder runs. Raises ``DataNotFound``, ``EmptyData``, or ``DataError`` when more than a tenth
    of the images are unreadable.
    """
    path = os.path.expanduser(ref.locator)
    if not os.path.exists(path):
        raise DataNotFound(f"there is no folder '{ref.locator}'. --data takes a folder of images, or digits.")
    if not os.path.isdir(path):
        raise DataNotFound(f"'{ref.locator}' is a file; --data takes a folder of images, or digits.")
    skips = _Skips()
    files = sorted(_walk(Path(path), "", (), skips), key=lambda file: os.fsencode(file.id))
    if not files:
        raise EmptyData(f"'{ref.locator}' holds no image.{_counted(skips.summary())}")
    digests = _read_all(files, skips)
    files = [file for file in files if file.id in digests]
    files, splits, classes = _matched(files, *_layout(files), skips)
    if splits and not {"train", "test"} <= set(splits):
        raise DataError(
            f"'{ref.locator}' has splits, but no class of train has images to report on."
            f"{_counted(skips.summary())} Name the train folder alone to hold out 30 % of it."
        )
    return Dataset.build(
        ref=str(ref),
        read=lambda i: decode(files[i].path.read_bytes()),
        digests=[digests[file.id] for file in files],
        class_names=classes,
        ids=[file.id for file in files],
        splits=splits,
        skipped=skips.summary(),
    )


def _walk(folder: Path, prefix: str, above: tuple[Path, ...], skips: _Skips) -> Iterator[_File]:
    real = folder.resolve()
    if real in above:
        skips.add("link back to a folder above", prefix.rstrip("/"))
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        skips.add(f"folder cannot be opened: {error.strerror}", prefix.rstrip("/") or ".")
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name in LITTER:
            skips.add("hidden or litter", name)
        elif os.path.isdir(entry):  # unlike entry.is_dir(), False for a link to itself
            yield from _walk(folder / entry.name, f"{name}/", (*above, real), skips)
        elif not os.path.isfile(entry):
            skips.add("dangling link or no regular file", name)
        elif Path(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
            skips.add("not an image", name)
        else:
            yield _File(folder / entry.name, name)


def _read_all(files: list[_File], skips: _Skips) -> dict[str, str]:
    """The content digest of each readable file by id."""

    def read(file: _File) -> str | DataError:
        try:
            content = file.path.read_bytes()
            decode(content)
            return hashlib.sha256(content).hexdigest()
        except OSError as error:
            return DataError(f"cannot be opened: {error.strerror}")
        except DataError as error:
            return error

    digests: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        for file, answer in zip(files, pool.map(read, files), strict=True):
            if isinstance(answer, DataError):
                skips.add(str(answer), file.id)
            else:
                digests[file.id] = answer
    unreadable = len(files) - len(digests)
    if unreadable > UNREADABLE_SHARE * len(files):
        raise DataError(
            f"{unreadable} of {len(files)} images cannot be read, more than a tenth."
            f"{_counted(skips.summary())} Remove them, or name another folder."
        )
    return digests


def _layout(files: list[_File]) -> tuple[list[str | None] | None, list[str | None]]:
    """Split and class of each file, from the names of its folders.

    Beside ``train``, ``val`` and ``test`` are splits whatever else lies there; names of splits alone
    are no classes either.
    """
    kinds = [SPLITS.get(file.folders[0].lower()) if file.folders else None for file in files]
    tops = {kind for kind, file in zip(kinds, files, strict=True) if file.folders}
    parted = "train" in tops and bool(tops & {"val", "test"})
    if parted or (tops and None not in tops):
        below = [
            file.folders[1] if kind and len(file.folders) > 1 else None
            for kind, file in zip(kinds, files, strict=True)
        ]
        return kinds if parted else None, below
    return None, [file.folders[0] if file.folders else None for file in files]


def _matched(
    files: list[_File], splits: list[str | None] | None, classes: list[str | None], skips: _Skips
) -> tuple[list[_File], list[str] | None, list[str] | None]:
    """Leave out what has no class, no use, or a class that train lacks."""
    named = any(classes)
    pairs = set(zip(splits or [], classes, strict=False))
    known = {name for split, name in pairs if split == "train"}
    present = {split for split, _ in pairs}
    usable = {split for split, name in pairs if not named or (name and name in known)} - {"train"}
    reported = "test" if "test" in (usable or present) else "val"
    kept: list[int] = []
    for i, file in enumerate(files):
        if splits and splits[i] is None:
            skips.add("outside train, val and test", file.id)
        elif named and classes[i] is None:
            skips.add("outside any class folder", file.id)
        elif splits and splits[i] not in ("train", reported):
            skips.add(f"in {splits[i]}, while {reported} is reported on", file.id)
        elif splits and named and classes[i] not in known:
            skips.add(f"class '{classes[i]}' is not in train", file.id)
        else:
            kept.append(i)
    names = [name for i in kept if (name := classes[i]) is not None] if named else None
    chosen = None if splits is None else ["train" if splits[i] == "train" else "test" for i in kept]
    return [files[i] for i in kept], chosen, names


def _counted(skipped: tuple[Skipped, ...]) -> str:
    return "".join(f" {s.count} skipped: {s.reason} ({', '.join(s.examples)})." for s in skipped)
