"""NumPy files: ``arrays:FILE.npz`` with images and labels, ``arrays:FILE.npy`` with images alone.

Arrays are found by name: ``x``, ``images`` or ``data`` beside ``y``, ``labels`` or ``targets``, alone
or with the name of a split, as in ``x_train`` and ``val_images``. Values follow ``sslaudit.data.pixels``.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from sslaudit.data.assemble import assemble, split_of
from sslaudit.data.dataset import Dataset
from sslaudit.data.examine import examine_pixels
from sslaudit.data.labels import distinct, named
from sslaudit.data.npy import Member, members
from sslaudit.data.pixels import CHANNELS, as_rgb, check_range, eight_bit
from sslaudit.data.skips import Skips
from sslaudit.errors import DataError, DataNotFound
from sslaudit.refs import DataRef

LAYOUTS = ("nhwc", "nchw", "nhw", "flat-hwc", "flat-chw")
_ROLES = {
    "images": ("x", "image", "images", "img", "imgs", "data", "pixels"),
    "labels": ("y", "label", "labels", "target", "targets"),
    "names": ("classes", "class_names", "label_names"),
}
_BLOCK = 1 << 26
"""Bytes looked at in one go."""

Roles = dict[str, str]
"""Names of arrays by what they hold: ``images``, ``labels``."""


def open_arrays(ref: DataRef) -> Dataset:
    """The images of a NumPy file. Raises ``DataNotFound``, or ``DataError`` with what is not clear."""
    path = Path(os.path.expanduser(ref.locator))
    if not path.is_file():
        raise DataNotFound(f"there is no file '{ref.locator}'. Write arrays:FILE.npz or arrays:FILE.npy.")
    try:
        return _open(ref, members(path))
    except DataError as error:
        if type(error) is not DataError:
            raise
        raise DataError(f"'{ref.locator}': {error}") from error


def _open(ref: DataRef, found: Mapping[str, Member]) -> Dataset:
    levels = int(text) if (text := ref.option("levels")) else None
    rows, names = _roles(found, ref)
    titles = _titles(found[names]) if names else None
    images: list[Callable[[int], np.ndarray]] = []
    ids, classes, splits = [], [], []
    notes = _unused(found, rows, names, ref)
    for split, roles in rows.items():
        member = found[roles["images"]]
        make, count, note = _images(member, ref.option("layout"), levels)
        labels = _labels(found, roles, titles, member, count)
        images += [make] * count
        ids += [f"{split}/{i}" if split else str(i) for i in range(count)]
        classes += labels
        splits += [split] * count
        notes += [note] if note else []
    starts = [int(name.rpartition("/")[2]) for name in ids]

    def read(i: int) -> np.ndarray:
        return images[i](starts[i])

    return assemble(
        ref=str(ref),
        read=read,
        names=ids,
        examined={i: examine_pixels(read(i)) for i in range(len(ids))},
        skips=Skips(),
        classes=classes,
        splits=splits if any(splits) else None,
        notes=notes,
        alone="Name the arrays of train alone with images= and labels=.",
    )


def _titles(member: Member) -> tuple[str, ...]:
    if len(member.shape) != 1:
        raise DataError(f"{member.shown} of shape {member.shape} is no row of class names, (K,).")
    return distinct(member.open().tolist())


def _roles(found: Mapping[str, Member], ref: DataRef) -> tuple[dict[str, Roles], str]:
    """The names of images and labels by split (empty for none), and that of the class names."""
    held = ", ".join(f"{name or 'one array'} {member.shape}" for name, member in list(found.items())[:12])
    given = {role: name for role in ("images", "labels") if (name := ref.option(role))}
    for name in given.values():
        if name not in found:
            raise DataError(f"it has no array '{name}'. It holds: {held}.")
    if set(found) == {""}:
        return {"": {"images": ""}}, ""
    rows: dict[str, Roles] = {}
    for name in found:
        role, split = _parted(name)
        if not role or role in given:
            continue
        place = rows.setdefault(split, {})
        if role in place:
            raise DataError(
                f"'{place[role]}' and '{name}' may both be its {role}. "
                f"Say which: arrays,{role}={name}:{ref.locator}"
            )
        place[role] = name
    titles = [place.pop("names") for place in rows.values() if "names" in place]
    if "images" in given:
        own = rows.get(_parted(given["images"])[1], {})
        rows = {"": {**own, "images": given["images"]}}
        if "labels" in own and found[own["labels"]].shape[:1] != found[given["images"]].shape[:1]:
            del rows[""]["labels"]  # those of other images
    rows = {split: place for split, place in rows.items() if "images" in place}
    if not rows:
        raise DataError(
            f"no array is called x, images or data. It holds: {held}. "
            f"Name them: arrays,images=NAME,labels=NAME:{ref.locator}"
        )
    if "" in rows and len(rows) > 1:
        other = next(place["images"] for split, place in rows.items() if split)
        raise DataError(
            f"'{rows['']['images']}' has no split and '{other}' has one; images= says which to use."
        )
    if "labels" in given:
        if len(rows) > 1:
            several = " and ".join(f"'{place['images']}'" for place in rows.values())
            raise DataError(f"labels={given['labels']} belongs to one of {several}: images= says to which.")
        next(iter(rows.values()))["labels"] = given["labels"]
    return rows, titles[0] if titles else ""


def _unused(found: Mapping[str, Member], rows: Mapping[str, Roles], titles: str, ref: DataRef) -> list[str]:
    """A remark on what looks like labels and is not used, unless options left it out."""
    bare = any("labels" not in place for place in rows.values())
    if not bare and (ref.option("images") or ref.option("labels")):
        return []
    used = {name for place in rows.values() for name in place.values()}
    idle = [name for name in found if _parted(name)[0] == "labels" and name not in used]
    if titles and all("labels" not in place for place in rows.values()):
        idle.append(titles)
    if not idle:
        return []
    images = next(place["images"] for place in rows.values() if not bare or "labels" not in place)
    return [
        f"Not used, though it may hold labels: {', '.join(idle[:8])}. "
        f"Options name what belongs together, as in images={images},labels={idle[0]}."
    ]


def _parted(name: str) -> tuple[str, str]:
    """Role and split: ``("images", "train")`` from ``X_train``, ``x_train`` or ``train_x``; else empty."""
    name = name.lower()
    for role, known in _ROLES.items():
        for bare in known:
            if name == bare:
                return role, ""
            for rest in (name.removeprefix(bare), name.removesuffix(bare)):
                if rest != name and (split := split_of(rest.strip("_-"))):
                    return role, split
    return "", ""


def _images(
    member: Member, asked: str | None, levels: int | None
) -> tuple[Callable[[int], np.ndarray], int, str]:
    """What makes the pixels of image i, how many there are, and a remark on their values."""
    array = member.open()
    arrange = arrangement(member.shape, asked, member.shown)
    note = _check_values(array, levels, member.shown)
    native = array.dtype.newbyteorder("=")

    def make(i: int) -> np.ndarray:
        return as_rgb(eight_bit(arrange(array[i].astype(native, copy=False)), levels))

    return make, len(array), note


def _check_values(array: np.ndarray, levels: int | None, owner: str) -> str:
    """Raises ``DataError`` when a value is no pixel; returns a remark when few levels are used."""
    kind = array.dtype.newbyteorder("=")
    if not array.size or (kind in (np.uint8, np.bool_) and levels is None):
        return ""
    step = max(1, _BLOCK // max(1, array[0].nbytes))
    blocks = (array[start : start + step] for start in range(0, len(array), step))
    try:
        if kind.kind not in "buif":
            check_range(0, 0, kind, levels)
        ends = [(block.min(), block.max()) for block in blocks]
        low, high = float(np.min([low for low, _ in ends])), float(np.max([high for _, high in ends]))
        check_range(low, high, kind, levels)
        if levels is not None and levels > 2 and kind.kind == "f" and high <= 1:
            raise DataError(
                f"its values go from {low:.6g} to {high:.6g}; levels={levels} is for whole numbers from 0 to "
                f"{levels - 1}. Floats in 0..1 need no levels=."
            )
    except DataError as error:
        raise DataError(f"{owner}: {error}") from None
    if kind == np.uint16 and levels is None and high < 32768:
        return (
            f"{owner} holds 16-bit values that reach only {high:.0f} of 65535; option levels= says the range."
        )
    return ""


def _labels(
    found: Mapping[str, Member],
    roles: Mapping[str, str],
    titles: tuple[str, ...] | None,
    images: Member,
    count: int,
) -> list[str | None]:
    if "labels" not in roles:
        return [None] * count
    member = found[roles["labels"]]
    labels = named(member.open(), titles, f"the labels in {member.shown}")
    if len(labels) != count:
        raise DataError(f"{images.shown} has {count} images and {member.shown} has {len(labels)} labels.")
    return labels


def arrangement(shape: tuple[int, ...], asked: str | None, owner: str) -> Callable[[np.ndarray], np.ndarray]:
    """What turns one entry of an array of ``shape`` into (H, W) or (H, W, C).

    Raises ``DataError`` when two readings are possible, with the option that decides, or none is.
    """
    if 0 in shape[1:]:
        raise DataError(f"{owner} of shape {shape} holds no pixels: one of its axes is 0.")
    readings = _readings(shape)
    if len(shape) == 3 and shape[2] in (3, 4) and not asked:
        raise DataError(
            f"{owner} of shape {shape} can be one image (H, W, {shape[2]}) or {shape[0]} narrow gray ones. "
            "Put images one after the other, (N, H, W, C), or say layout=nhw."
        )
    layout = asked or (next(iter(readings)) if len(readings) == 1 else None)
    if layout in readings:
        return readings[layout]
    if asked:
        raise DataError(f"{owner} of shape {shape} is not {asked}{_or(readings)}.")
    if readings:
        raise DataError(
            f"{owner} of shape {shape} can be read as {' or '.join(readings)}. "
            f"Say which, as in layout={next(iter(readings))}."
        )
    raise DataError(
        f"{owner} of shape {shape} holds no images that are recognised: (N, H, W, C), (N, C, H, W) with 1, 3 "
        "or 4 channels, (N, H, W), or (N, D) with D a square or three times one."
    )


def _or(readings: Mapping[str, object]) -> str:
    return f"; it can be {' or '.join(readings)}" if readings else ""


def _readings(shape: tuple[int, ...]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Every way to read one entry of an array of ``shape``, by the name of its layout."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if len(shape) == 4:
        if shape[3] in CHANNELS:
            found["nhwc"] = lambda image: image
        if shape[1] in CHANNELS:
            found["nchw"] = lambda image: image.transpose(1, 2, 0)
    elif len(shape) == 3:
        found["nhw"] = lambda image: image
    elif len(shape) == 2 and shape[1]:
        gray, colour = round(shape[1] ** 0.5), round((shape[1] / 3) ** 0.5)
        if gray**2 == shape[1]:
            found["flat-hwc"] = lambda row: row.reshape(gray, gray)
        elif 3 * colour**2 == shape[1]:
            found["flat-hwc"] = lambda row: row.reshape(colour, colour, 3)
            found["flat-chw"] = lambda row: row.reshape(3, colour, colour).transpose(1, 2, 0)
    return found
