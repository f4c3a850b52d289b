"""A folder of images: a class for each folder, or splits with classes, or no classes at all.

Hidden files, litter of file managers and notebooks, and files that are no images are skipped and
counted. Symbolic links are followed; a loop is cut. Nothing is written into the folder.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sslaudit.data.assemble import SPLITS, assemble
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import examine_all
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataNotFound, EmptyData
from sslaudit.refs import DataRef

_COMMON = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif"}
IMAGE_SUFFIXES = frozenset(_COMMON | {".ppm", ".pgm", ".pbm", ".pnm", ".tga"})
LITTER = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    id: str
    """Path below the root, with slashes."""

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.id.split("/")[:-1])


def open_folder(ref: DataRef) -> Dataset:
    """The images below a folder, in order of path. The option ``levels`` is that of ``decode``.

    Every file is read and looked at once here, so that what cannot be read is known before any
    encoder runs. Raises ``DataNotFound``, ``EmptyData``, or ``DataError`` when more than a tenth
    of the images are unreadable.
    """
    levels = int(text) if (text := ref.option("levels")) else None
    path = os.path.expanduser(ref.locator)
    if not os.path.exists(path):
        raise DataNotFound(f"there is no folder '{ref.locator}'. --data takes a folder of images, or digits.")
    if not os.path.isdir(path):
        raise DataNotFound(
            f"'{ref.locator}' is a file; --data takes a folder of images, or says what a file is: csv:FILE, "
            "arrays:FILE, webdataset:FILE."
        )
    skips = Skips()
    files = sorted(_walk(Path(path), skips), key=lambda file: os.fsencode(file.id))
    if not files:
        raise EmptyData(f"'{ref.locator}' holds no image.{counted(skips.summary())}")
    found = examine_all(
        [file.id for file in files], lambda i: files[i].path.read_bytes(), skips, f"'{ref.locator}'", levels
    )
    splits, classes = _layout(files)
    return assemble(
        ref=str(ref),
        read=lambda i: decode(files[i].path.read_bytes(), levels),
        names=[file.id for file in files],
        examined=found,
        skips=skips,
        classes=classes,
        splits=splits,
        unlabelled="outside any class folder",
        rule="folders",
        alone="Name the train folder alone to hold out 30 % of it.",
    )


def _walk(root: Path, skips: Skips) -> Iterator[_File]:
    """The images below ``root``, without recursion, which a deep tree would end."""
    waiting: list[tuple[Path, str, tuple[Path, ...]]] = [(root, "", ())]
    while waiting:
        folder, prefix, above = waiting.pop()
        real = folder.resolve()
        if real in above:
            skips.add("link back to a folder above", prefix.rstrip("/"))
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            skips.add(f"folder cannot be opened: {error.strerror}", prefix.rstrip("/") or ".")
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name in LITTER:
                skips.add("hidden or litter", name)
            elif os.path.isdir(entry):  # unlike entry.is_dir(), False for a link to itself
                waiting.append((folder / entry.name, f"{name}/", (*above, real)))
            elif not os.path.isfile(entry):
                skips.add("dangling link or no regular file", name)
            elif Path(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
                skips.add("not an image", name)
            else:
                yield _File(folder / entry.name, name)


def _layout(files: list[_File]) -> tuple[list[str] | None, list[str | None]]:
    """Split and class of each file, from the names of its folders.

    Beside ``train``, ``val`` and ``test`` are splits whatever else lies there; names of splits alone
    are no classes either.
    """
    tops = [file.folders[0] if file.folders else None for file in files]
    kinds = {SPLITS.get(top.lower()) for top in tops if top}
    parted = "train" in kinds and bool(kinds & {"val", "test"})
    if parted or (kinds and None not in kinds):
        below = [
            file.folders[1] if len(file.folders) > 1 and top and top.lower() in SPLITS else None
            for top, file in zip(tops, files, strict=True)
        ]
        return [top or "" for top in tops] if parted else None, below
    return None, tops
