"""Tar shards as webdataset writes them: ``webdataset:shards-{000..003}.tar``, on this machine.

An index of offsets is built from the headers; samples are then read one at a time where they lie.
Files of one sample share their name up to the first dot. Only the image and its ``.cls``, ``.json``
or ``.txt`` are ever opened, so a ``.pyd`` or ``.pth`` member stays closed.
"""

import glob
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslaudit.data.assemble import assemble
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import examine_all
from sslaudit.data.folder import IMAGE_SUFFIXES, LITTER
from sslaudit.data.multilabel import several_in_a_cell
from sslaudit.data.skips import Skips
from sslaudit.errors import DataError, DataNotFound, EmptyData, UsageError
from sslaudit.refs import DataRef


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
    cut off or compressed, or labels that are not clear.
    """
    levels = int(text) if (text := ref.option("levels")) else None
    patterns = {"train": ref.locator, "test": ref.option("test")}
    shards = {split: _expanded(pattern, ref) for split, pattern in patterns.items() if pattern}
    above = os.path.commonpath([os.path.dirname(path) or "." for paths in shards.values() for path in paths])
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
        raise EmptyData(f"'{ref}' holds no image.")
    images = [next(sample.pieces[end] for end in ending if end in sample.pieces) for sample in with_image]
    names = [sample.name for sample in with_image]
    facts = [_facts(sample) for sample in with_image]
    return assemble(
        ref=str(ref),
        read=lambda i: decode(images[i].read(), levels),
        names=names,
        examined=examine_all(names, lambda i: images[i].read(), skips, f"'{ref}'", levels=levels),
        skips=skips,
        classes=_labels(with_image, facts, ref),
        splits=[sample.split for sample in with_image] if len(shards) == 2 else None,
        columns=_columns(facts),
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
    try:
        paths = list(braceexpand(os.path.expanduser(pattern)))
    except ValueError:  # unbalanced braces that are part of a name
        paths = [os.path.expanduser(pattern)]
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            path = os.path.join(glob.escape(path), "*.tar")
        matches = [path] if os.path.isfile(path) else sorted(glob.glob(path))
        if not matches:
            raise DataNotFound(f"'{ref}': there is no shard '{path}'.")
        found += matches
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
        if Path(path).read_bytes()[:2] == b"\x1f\x8b":
            raise DataError(
                f"shard '{shown}' is compressed, so samples cannot be read by number: gunzip it."
            ) from None
        if not size:
            raise DataError(f"shard '{shown}' is an empty file.") from None
        raise DataError(f"shard '{shown}' is damaged or cut off ({error}); copy it again.") from None
    except OSError as error:
        raise DataError(f"shard '{shown}' cannot be opened: {error.strerror or error}.") from None
    if not whole:
        raise DataError(f"shard '{shown}' is cut off after {size:,} bytes; copy it again.")


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
        found = ", ".join(sorted(several[0].pieces if several else endings))
        raise DataError(
            f"'{ref}': a sample has several images ({found}). Say which: webdataset,image=ENDING:..."
        )
    return plain or tuple(endings)


def _facts(sample: _Sample) -> dict[str, Any]:
    """What the ``.json`` of a sample says; nothing without one. Raises ``DataError``."""
    if "json" not in sample.pieces:
        return {}
    try:
        facts = json.loads(sample.pieces["json"].read())
    except ValueError as error:
        raise DataError(f"'{sample.name}.json' is no JSON: {error}.") from None
    return facts if isinstance(facts, dict) else {}


def _labels(
    samples: Sequence[_Sample], facts: Sequence[dict[str, Any]], ref: DataRef
) -> list[str | None] | None:
    """One class for each sample: from ``.cls``, the JSON key ``label``, or what ``label=`` names."""
    asked = ref.option("label")
    if asked == "none":
        return None
    if asked in ("cls", "txt") or (not asked and any("cls" in sample.pieces for sample in samples)):
        ending = asked or "cls"
        texts = [
            sample.pieces[ending].read().decode("utf-8", "replace").strip() if ending in sample.pieces else ""
            for sample in samples
        ]
        where = f"the .{ending} files"
    else:
        key = asked or "label"
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
    if several := several_in_a_cell(texts):
        raise DataError(f"'{ref}', {where}: {several}")
    return [text or None for text in texts]


def _columns(facts: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The texts and numbers that the JSON of the samples holds beside the label, by key."""
    keys = {key for fact in facts for key, value in fact.items() if isinstance(value, str | int | float)}
    return {key: [str(fact.get(key, "")) for fact in facts] for key in sorted(keys - {"label"})}
