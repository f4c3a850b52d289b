"""Tar shards as webdataset writes them: ``webdataset:shards-{000..003}.tar``, on this machine.

An index of offsets is built from the headers; samples are then read one at a time where they lie.
Files of one sample share their name up to the first dot. Only the image and its ``.cls``, ``.json``
or ``.txt`` are ever opened, so a ``.pyd`` or ``.pth`` member stays closed.
"""

import glob
import json
import math
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sslaudit.data.assemble import assemble
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import UNREADABLE_SHARE, examine_all
from sslaudit.data.folder import IMAGE_SUFFIXES, LITTER
from sslaudit.data.multilabel import several_in_a_cell
from sslaudit.data.skips import Skips, counted
from sslaudit.errors import DataError, DataNotFound, EmptyData, UsageError
from sslaudit.refs import DataRef

LABEL_KEYS = ("label", "class", "target", "category")
"""Keys of the ``.json`` that are taken as labels."""
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2", b"\x28\xb5\x2f\xfd": "unzstd"}
"""What unpacks a file that begins so."""
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?\}")
_MOST_SHARDS = 1_000_000
_SHOWN = 8
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    """One file inside a shard."""

    shard: str
    offset: int
    size: int

    def read(self) -> bytes:
        with open(self.shard, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class _Sample:
    name: str
    split: str
    pieces: dict[str, _Piece] = field(default_factory=dict)
    """By ending: ``jpg``, ``cls``, ``seg.png``."""


def open_shards(ref: DataRef) -> Dataset:
    """The samples of all shards, in their order; ``test=PATTERN`` names shards to report on.

    Raises ``UsageError`` for a URL or pipe, ``DataNotFound``, and ``DataError`` for a shard that is
    cut off, damaged or compressed, or labels that are not clear.
    """
    levels = int(text) if (text := ref.option("levels")) else None
    patterns = {"train": ref.locator, "test": ref.option("test")}
    shards = {split: _expanded(pattern, ref) for split, pattern in patterns.items() if pattern}
    above = os.path.commonpath([os.path.dirname(path) for paths in shards.values() for path in paths])
    skips = Skips()
    samples = [
        sample
        for split, paths in shards.items()
        for path in paths
        for sample in _samples(path, os.path.relpath(path, above), split, skips)
    ]
    ending = _image_ending(samples, ref)
    with_image = []
    for sample in samples:
        if any(end in sample.pieces for end in ending):
            with_image.append(sample)
        else:
            skips.add("sample without an image", sample.name)
    if not with_image:
        held = _listed({end for sample in samples for end in sample.pieces})
        found = f" Its files end in {held}." if held else ""
        none = f"no file that ends in .{ending[0]}" if ref.option("image") else "no image"
        raise EmptyData(f"'{ref}' holds {none}.{found}{counted(skips.summary())}")
    with_image, facts = _with_facts(with_image, skips, ref)
    labels, notes = _labels(with_image, facts, ref)
    images = [next(sample.pieces[end] for end in ending if end in sample.pieces) for sample in with_image]
    names = [sample.name for sample in with_image]
    return assemble(
        ref=str(ref),
        read=lambda i: decode(images[i].read(), levels),
        names=names,
        examined=examine_all(names, lambda i: images[i].read(), skips, f"'{ref}'", levels=levels),
        skips=skips,
        classes=labels,
        splits=[sample.split for sample in with_image] if len(shards) == 2 else None,
        columns={key: cells for key, cells in _columns(facts).items() if cells != labels},
        notes=notes,
    )


def _expanded(pattern: str, ref: DataRef) -> list[str]:
    """The shards of a pattern with braces and globs, or the ``.tar`` files of a folder."""
    if re.match(r"(pipe:|[A-Za-z][\w+.-]+://)", pattern):
        raise UsageError(
            f"'{ref}': only shards on this machine are read, no URLs or pipes. Download them first."
        )
    try:
        from braceexpand import braceexpand
    except ImportError as error:
        raise DataError(
            f"'{ref}' needs the packages of the extra data: pip install 'sslaudit[data]'"
        ) from error
    ranges = [
        abs(int(low) - int(high)) // (int(step or 1) or 1) for low, high, step in _RANGE.findall(pattern)
    ]
    if math.prod(steps + 1 for steps in ranges) > _MOST_SHARDS:
        raise DataNotFound(
            f"'{ref}' names more than {_MOST_SHARDS:,} shards. Write a smaller range or a glob."
        )
    pattern = os.path.expanduser(pattern)
    try:
        paths = braceexpand(pattern)
    except ValueError:  # unbalanced braces that are part of a name
        paths = iter([pattern])
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            path = os.path.join(glob.escape(path), "*.tar")
        matches = [path] if os.path.isfile(path) else sorted(glob.glob(path))
        if not matches:
            raise DataNotFound(f"'{ref}': there is no shard '{path}'.")
        found += map(os.path.abspath, matches)
    return found


def _samples(path: str, shown: str, split: str, skips: Skips) -> Iterator[_Sample]:
    """The samples of one shard. Raises ``DataError`` naming it when it is damaged."""
    samples: dict[str, _Sample] = {}
    for name, piece in _pieces(path, shown):
        folder, _, base = name.rpartition("/")
        parts = name.split("/")
        if any(part.startswith(".") or part in LITTER for part in parts if part != "."):
            skips.add("hidden or litter", f"{shown}/{name}")
            continue
        key, _, ending = base.partition(".")
        sample = samples.setdefault(
            f"{folder}/{key}", _Sample(f"{shown}/{name.removesuffix(f'.{ending}')}", split)
        )
        if not ending:
            skips.add("file without an ending", f"{shown}/{name}")
        elif ending.lower() in sample.pieces:
            skips.add("second file of that name in its shard", f"{shown}/{name}")
        else:
            sample.pieces[ending.lower()] = piece
    yield from (sample for sample in samples.values() if sample.pieces)


def _pieces(path: str, shown: str) -> Iterator[tuple[str, _Piece]]:
    size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as tar:
            end = 0
            for member in tar:
                end = member.offset_data + member.size
                if end > size:
                    break
                if member.isreg() and not member.issparse():
                    yield member.name, _Piece(path, member.offset_data, member.size)
            whole = end <= size and tar.offset <= size and (size - tar.offset) % tarfile.BLOCKSIZE == 0
    except tarfile.ReadError as error:
        if not size:
            raise DataError(f"shard '{shown}' is an empty file.") from None
        head = _Piece(path, 0, 8).read()
        if unpack := next((tool for magic, tool in _COMPRESSED.items() if head.startswith(magic)), None):
            raise DataError(
                f"shard '{shown}' is compressed, so samples cannot be read by number: {unpack} it."
            ) from None
        raise DataError(f"shard '{shown}' is damaged or cut off ({error}); copy it again.") from None
    except OSError as error:
        raise DataError(f"shard '{shown}' cannot be opened: {error.strerror or error}.") from None
    if not whole:
        raise DataError(f"shard '{shown}' is cut off after {size:,} bytes; copy it again.")
    if not _zero_from(path, tar.offset):  # tarfile takes a later header that is damaged as the end
        raise DataError(
            f"shard '{shown}' goes on behind its end, at byte {tar.offset:,}: it is damaged, or tars were "
            "joined with cat. Copy it again, or join them with tar --concatenate."
        )


def _zero_from(path: str, offset: int) -> bool:
    with open(path, "rb") as file:
        file.seek(offset)
        return all(not block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK), b""))


def _image_ending(samples: Sequence[_Sample], ref: DataRef) -> tuple[str, ...]:
    """The endings that images have: the one asked for, else all plain ones, else the only compound."""
    if asked := ref.option("image"):
        return (asked.lower(),)
    endings = {
        ending
        for sample in samples
        for ending in sample.pieces
        if f".{ending.split('.')[-1]}" in IMAGE_SUFFIXES
    }
    plain = tuple(sorted(ending for ending in endings if "." not in ending))
    several = [sample for sample in samples if sum(ending in sample.pieces for ending in plain) > 1]
    if several or (not plain and len(endings) > 1):
        found = set(several[0].pieces) if several else endings
        if not several and len(endings) > max(_SHOWN, sum(map(_count_images, samples)) // 2):
            raise DataError(
                f"'{ref}': the images end in {_listed(found)}, nearly each in its own way. Files of one "
                "sample share their name up to the first dot; write img-0.png in place of img.0.png."
            )
        raise DataError(
            f"'{ref}': a sample has several images ({_listed(found)}). Say which: webdataset,image=ENDING:..."
        )
    return plain or tuple(endings)


def _count_images(sample: _Sample) -> int:
    return sum(f".{ending.split('.')[-1]}" in IMAGE_SUFFIXES for ending in sample.pieces)


def _listed(names: Iterable[str]) -> str:
    """Up to eight names for a message, in order."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(name[:40] for name in ordered[:_SHOWN]) + more


def _with_facts(
    samples: Sequence[_Sample], skips: Skips, ref: DataRef
) -> tuple[list[_Sample], list[dict[str, Any]]]:
    """The samples whose ``.json`` can be read, and what it says.

    The others go to ``skips``. Raises ``DataError`` when they are more than a tenth.
    """
    kept, facts, broken = [], [], []
    for sample in samples:
        try:
            facts.append(_facts(sample))
            kept.append(sample)
        except DataError as error:
            broken.append(str(error))
            skips.add("its .json cannot be read", sample.name)
    if len(broken) > UNREADABLE_SHARE * len(samples):
        raise DataError(
            f"'{ref}': {broken[0]} {len(broken)} of {len(samples)} samples have such a "
            ".json, more than a tenth."
        )
    return kept, facts


def _facts(sample: _Sample) -> dict[str, Any]:
    """What the ``.json`` of a sample says; nothing without one. Raises ``DataError``."""
    if "json" not in sample.pieces:
        return {}
    try:
        facts = json.loads(sample.pieces["json"].read())
        json.dumps(facts, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{sample.name}.json' is no JSON: {str(error)[:120]}.") from None
    return facts if isinstance(facts, dict) else {}


def _labels(
    samples: Sequence[_Sample], facts: Sequence[dict[str, Any]], ref: DataRef
) -> tuple[list[str | None] | None, list[str]]:
    """One class for each sample, and remarks: from ``.cls``, a key of the JSON, or what ``label=`` names."""
    asked = ref.option("label")
    if asked == "none":
        return None, []
    keys = [key for key in LABEL_KEYS if any(fact.get(key) is not None for fact in facts)]
    notes = []
    if asked in ("cls", "txt") or (not asked and any("cls" in sample.pieces for sample in samples)):
        ending = asked or "cls"
        if not any(ending in sample.pieces for sample in samples):
            raise DataError(f"'{ref}': no sample has a .{ending} file.")
        texts = [
            sample.pieces[ending].read().decode("utf-8", "replace").strip() if ending in sample.pieces else ""
            for sample in samples
        ]
        where = f"the .{ending} files"
        if keys and not asked:
            notes.append(f"The labels are those of the .cls files; '{keys[0]}' of the .json is not used.")
    else:
        if len(keys) > 1 and not asked:
            raise DataError(
                f"'{ref}': '{keys[0]}' and '{keys[1]}' of the .json may each be its label. "
                f"Say which: webdataset,label={keys[0]}:{ref.locator}"
            )
        key = asked or (keys[0] if keys else LABEL_KEYS[0])
        values = [fact.get(key) for fact in facts]
        if listed := [value for value in values if isinstance(value, list | dict)]:
            raise DataError(
                f"'{ref}' is multi-label: '{key}' in the .json files holds {json.dumps(listed[0])[:60]}."
            )
        texts = ["" if value is None else str(value).strip() for value in values]
        where = f"'{key}' in the .json files"
        if not any(texts) and asked:
            raise DataError(
                f"'{ref}': no .json file has the key '{key}'. label= takes cls, txt, none or such a key."
            )
        if not any(texts) and any("txt" in sample.pieces for sample in samples):
            raise DataError(
                f"'{ref}' has .txt files, which may be captions. label=txt takes them as classes, "
                "label=none goes on without labels."
            )
        if not any(texts) and (others := _columns(facts)):
            notes.append(
                f"No .json key is called {', '.join(LABEL_KEYS)}, so there are no labels; "
                f"label= may name one: {_listed(others)}."
            )
    if several := several_in_a_cell(texts):
        raise DataError(f"'{ref}', {where}: {several}")
    return [text or None for text in texts], notes


def _columns(facts: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The texts and numbers that the JSON of the samples holds, by key."""
    keys = {key for fact in facts for key, value in fact.items() if isinstance(value, str | int | float)}
    return {key: [str(fact.get(key, "")) for fact in facts] for key in sorted(keys)}
