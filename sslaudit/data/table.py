"""A list of files: ``csv:FILE`` with a column of paths and, where there are any, labels and splits.

Paths are relative to the folder of the csv or to ``root=``. Nothing but the csv and the files it
names is read. All further columns go with the images, for ``--group``.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslaudit.data.assemble import assemble, parted, split_of
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import examine_all
from sslaudit.data.multilabel import several_columns, several_in_a_cell
from sslaudit.data.rows import Table, read_table, stands_twice
from sslaudit.data.skips import Skips
from sslaudit.errors import DataError, DataNotFound, EmptyData
from sslaudit.refs import DataRef

_KNOWN = {
    "path": (
        "path",
        "file",
        "filename",
        "filepath",
        "file_name",
        "file_path",
        "image",
        "image_path",
        "img_path",
    ),
    "label": ("label", "labels", "class", "class_name", "target", "category"),
    "split": ("split", "subset", "partition"),
}
_CONFLICTS = 0.1
"""With a larger share of paths that have several labels the list is multi-label."""


@dataclass(frozen=True, slots=True)
class _Columns:
    path: int
    label: int | None
    split: int | None


def open_table(ref: DataRef) -> Dataset:
    """The images that a csv lists, in its order.

    Raises ``DataNotFound``, ``EmptyData``, or ``DataError`` when it is not clear what it says, has
    several labels an image, or names more than a tenth of files that cannot be read.
    """
    path = Path(os.path.expanduser(ref.locator))
    if not path.is_file():
        raise DataNotFound(f"there is no file '{ref.locator}'. Write csv:FILE, with columns path and label.")
    root = Path(os.path.expanduser(ref.option("root") or path.parent))
    if not root.is_dir():
        raise DataNotFound(f"'{ref}': there is no folder '{root}' for root=.")
    levels = int(text) if (text := ref.option("levels")) else None
    try:
        asked = [name.lower()] if (name := ref.option("path")) else []
        table = read_table(path.read_bytes(), ref.option("sep"), (*_KNOWN["path"], *asked))
        chosen = _choose(table, ref)
        if chosen.label is None:
            several = several_columns(table.column_values())
        elif several := "" if ref.option("labels") else several_in_a_cell(table.values(chosen.label)):
            name = table.header[chosen.label]
            several = f"column '{name}': {several} labels=single takes each cell as one label."
        if several:
            raise DataError(several)
        skips = Skips()
        table = _once(table, chosen, skips)
    except DataError as error:
        raise type(error)(f"'{ref.locator}': {error}") from error
    names = table.values(chosen.path)
    examined = examine_all(
        names, lambda i: _content(root, names[i]), skips, f"'{ref.locator}'", levels=levels
    )
    used = (chosen.path, chosen.label, chosen.split)
    labels = None if chosen.label is None else table.values(chosen.label)
    unknown = labels is not None and _marks_unknown(labels)
    return assemble(
        ref=str(ref),
        read=lambda i: decode(_content(root, names[i]), levels),
        names=names,
        examined=examined,
        skips=skips,
        classes=labels and [None if unknown and label == "-1" else label or None for label in labels],
        splits=None if chosen.split is None else table.values(chosen.split),
        columns={
            name: table.values(k)
            for k, name in enumerate(table.header)
            if name and k not in used and table.header.count(name) == 1
        },
        notes=_notes(table, chosen, unknown),
        alone="split=none leaves the splits aside.",
    )


def _choose(table: Table, ref: DataRef) -> _Columns:
    path = _column(table, ref, "path")
    if path is None:
        raise DataError(
            f"no column is called {', '.join(_KNOWN['path'][:5])}. Its first line is: {table.shown()}. "
            f"Write such a line first, or name the column: csv,path=COLUMN:{ref.locator}"
        )
    split = _column(table, ref, "split")
    if split is not None:
        _check_splits(table.header[split], set(table.values(split)), bool(ref.option("split")))
    return _Columns(path, _column(table, ref, "label"), split)


def _column(table: Table, ref: DataRef, role: str) -> int | None:
    """The place of the column for ``role``, as the user says or by its name; ``none`` for none."""
    asked = ref.option(role)
    lowered = [name.lower() for name in table.header]
    if asked:
        if asked not in table.header:
            if asked == "none" and role != "path":
                return None
            raise DataError(f"it has no column '{asked}'. Its columns are: {table.shown()}.")
        places = [k for k, name in enumerate(table.header) if name == asked]
    else:
        places = [k for k, name in enumerate(lowered) if name in _KNOWN[role]]
    if len(places) > 1 and len({table.header[k] for k in places}) == 1:
        raise DataError(
            f"{stands_twice(table.header[places[0]])[:-1]} and is its {role}. Rename one of them."
        )
    if len(places) > 1:
        both = " and ".join(f"'{table.header[k]}'" for k in places[:4])
        raise DataError(f"columns {both} may each be its {role}. Say which: csv,{role}=COLUMN:{ref.locator}")
    return places[0] if places else None


def _check_splits(name: str, values: set[str], asked: bool) -> None:
    """Raises ``DataError`` when a column of several splits, or one asked for, is not understood."""
    unknown = sorted(value or "(empty)" for value in values if not split_of(value))
    if (len(values) > 1 or asked) and unknown and not parted({split_of(value) for value in values}):
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise DataError(
            f"column '{name}' holds splits that are not understood: {shown}. Write train, val or test "
            "there; split=none leaves the column aside."
        )


def _marks_unknown(labels: Sequence[str]) -> bool:
    """Whether -1 means no label: all other labels are whole numbers from 0, and more than one."""
    others = set(labels) - {"", "-1"}
    return "-1" in labels and len(others) > 1 and all(map(str.isdecimal, others))


def _once(table: Table, chosen: _Columns, skips: Skips) -> Table:
    """The table with each image once: repeated rows and contradictions are counted.

    Raises ``EmptyData`` without a row, and ``DataError`` when many paths have several labels.
    """
    paths = table.values(chosen.path)
    if urls := [path for path in paths if "://" in path]:
        raise DataError(
            f"column '{table.header[chosen.path]}' holds URLs ({urls[0]}). Download the files first."
        )
    labels = table.values(chosen.label) if chosen.label is not None else [""] * len(paths)
    splits = table.values(chosen.split) if chosen.split is not None else [""] * len(paths)
    pairs = {(path, label) for path, label in zip(paths, labels, strict=True) if path}
    times = Counter(path for path, _ in pairs)
    torn = {path for path, count in times.items() if count > 1}
    if len(torn) > _CONFLICTS * len(times):
        raise DataError(
            f"it is multi-label: {len(torn)} of {len(times)} paths have several labels in several rows "
            f"({min(torn)}). An image has one class here; list each path once."
        )
    kept, seen = [], set()
    for row, key in enumerate(zip(paths, labels, splits, strict=True)):
        line = f"line {table.lines[row]}"
        if not key[0]:
            skips.add("row without a path", line)
        elif key[0] in torn:
            skips.add("path with two labels", key[0])
        elif key in seen:
            skips.add("row repeated", key[0])
        else:
            seen.add(key)
            kept.append(row)
    if not kept:
        raise EmptyData("it lists no image.")
    return table.only(kept)


def _content(root: Path, name: str) -> bytes:
    path = root / name
    if "\\" in name and not path.exists():  # written on Windows
        path = root / name.replace("\\", "/")
    if path.exists() and not path.is_file():
        raise DataError("no regular file")
    return path.read_bytes()


def _notes(table: Table, chosen: _Columns, unknown: bool) -> Sequence[str]:
    notes = [stands_twice(name) for name, count in Counter(table.header).items() if name and count > 1]
    if chosen.label is not None:
        name = table.header[chosen.label]
        if unknown:
            notes.append(f"-1 in the column '{name}' is taken as no label: the others are numbers from 0.")
        if not any(table.values(chosen.label)):
            notes.append(f"The column '{name}' is empty, so there are no labels.")
    elif len(table.header) > 1:
        others = ", ".join([name for k, name in enumerate(table.header) if k != chosen.path][:8])
        notes.append(f"No column is called label, so there are no labels; label= may name one: {others}.")
    return notes
