"""A folder of images: a class for each folder, or splits with classes, or no classes at all.

Hidden files, litter of file managers and notebooks, and files that are no images are skipped and
counted. Symbolic links are followed; a loop is cut. Nothing is written into the folder.
"""

import contextlib
import heapq
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sslaudit.data.assemble import assemble, parted, split_of
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import examine_all
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError, DataNotFound, EmptyData
from sslaudit.refs import DataRef

_COMMON = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif"}
IMAGE_SUFFIXES = frozenset(_COMMON | {".ppm", ".pgm", ".pbm", ".pnm", ".tga"})
LITTER = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
_SHEET = b"tEXtSoftware\0sslaudit views"
"""How a contact sheet of ``sslaudit views`` begins, behind the header of the PNG."""
Folders = tuple[str, ...]
"""Names of the folders above a file, from the data set down."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    id: str
    """Path below the root, with slashes."""

    @property
    def folders(self) -> Folders:
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
        raise DataNotFound(
            f"there is no folder '{ref.locator}'. --data takes a folder of images, or SCHEME:NAME; "
            "`sslaudit list datasets` shows the schemes."
        )
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
    splits, classes = _layout([file.folders for file in files], f"'{ref.locator}'")
    return assemble(
        ref=str(ref),
        read=lambda i: decode(files[i].path.read_bytes(), levels),
        names=[file.id for file in files],
        examined=found,
        skips=skips,
        classes=classes,
        splits=splits,
        notes=_notes([files[i].path for i in found], levels),
        unlabelled="outside any class folder",
        rule="folders",
        alone="Name the train folder alone to hold out 30 % of it.",
    )


def _walk(root: Path, skips: Skips) -> Iterator[_File]:
    """The images below ``root``, without recursion, which a deep tree would end.

    Below each top folder a folder is read once, by the way with fewest links. A link to a folder
    that holds ``root`` is not followed.
    """
    home = root.resolve()
    waiting: list[tuple[int, bytes, str, tuple[Path, ...]]] = [(0, b"", "", ())]
    read: set[tuple[str, Path]] = set()
    while waiting:
        links, _, prefix, above = heapq.heappop(waiting)
        folder = root / prefix
        real, top = folder.resolve(), prefix.split("/")[0]
        if real in above or (prefix and home.is_relative_to(real)):
            skips.add("link back to a folder above", prefix.rstrip("/"))
            continue
        if (top, real) in read:
            skips.add("link to a folder that is read already", prefix.rstrip("/"))
            continue
        read.add((top, real))
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
                below = f"{name}/"
                heapq.heappush(
                    waiting, (links + entry.is_symlink(), os.fsencode(below), below, (*above, real))
                )
            elif not os.path.isfile(entry):
                skips.add("dangling link or no regular file", name)
            elif Path(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
                skips.add("not an image", name)
            elif _is_sheet(folder / entry.name):
                skips.add("contact sheet of sslaudit views", name)
            else:
                yield _File(folder / entry.name, name)


def _is_sheet(path: Path) -> bool:
    if path.suffix.lower() != ".png":
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return _SHEET in file.read(128)
    return False


def _layout(places: list[Folders], owner: str) -> tuple[list[str] | None, list[str | None]]:
    """Split and class of each file, from the folders it lies in.

    Beside ``train``, ``val`` and ``test`` are splits whatever else lies there; names of splits alone
    are no classes either. A folder around everything is neither. Raises ``DataError`` for what looks
    like splits by other names.
    """
    while True:
        kinds = {split_of(place[0]) for place in places if place}
        if parted(kinds) or (kinds and "" not in kinds):
            break
        inner = _unwrapped(places)
        if inner is places:
            _refuse_unknown_splits(places, owner)
            return None, [place[0] if place else None for place in places]
        places = inner
    classes: list[str | None] = [None] * len(places)
    for top, members in _by_top(places).items():
        below = _unwrapped([places[i][1:] for i in members])
        if split_of(top):
            for i, place in zip(members, below, strict=True):
                classes[i] = place[0] if place else None
    return [place[0] if place else "" for place in places], classes


def _by_top(places: Sequence[Folders]) -> dict[str, list[int]]:
    """Numbers of the files in each top folder."""
    found = defaultdict(list)
    for i, place in enumerate(places):
        if place:
            found[place[0]].append(i)
    return found


def _unwrapped(places: list[Folders]) -> list[Folders]:
    """Without the folder that all lie in, when most lie in folders of that one; else the same list."""
    deep = sum(len(place) > 1 for place in places)
    if len({place[:1] for place in places}) == 1 and 2 * deep > len(places):
        return [place[1:] for place in places]
    return places


def _refuse_unknown_splits(places: Sequence[Folders], owner: str) -> None:
    """Several top folders with the same two or more folders in them are splits, not classes."""
    tops_by_names: dict[frozenset[str], list[str]] = defaultdict(list)
    for top, members in _by_top(places).items():
        below = _unwrapped([places[i][1:] for i in members])
        if all(below):
            tops_by_names[frozenset(place[0] for place in below)].append(top)
    for names, tops in tops_by_names.items():
        if len(names) > 1 and len(tops) > 1:
            raise DataError(
                f"{owner} looks like splits by names that are not understood: {_listed(tops)} hold the "
                f"same folders, {_listed(sorted(names))}. Rename them to train and test; if they are "
                "classes, list the images in a csv with a column label."
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _notes(paths: Sequence[Path], levels: int | None) -> Sequence[str]:
    if levels is None or any(map(_is_deep, paths)):
        return ()
    return (f"levels={levels} had no effect: no image is gray of more than 8 bits.",)


def _is_deep(path: Path) -> bool:
    """Whether a readable image is of the kind that ``levels`` is about."""
    with Image.open(path) as image:
        return image.mode.startswith(("I", "F"))
