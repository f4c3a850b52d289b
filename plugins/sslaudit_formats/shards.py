"""Checkpoints in several files: ``model-00001-of-00003.safetensors`` with ``model.safetensors.index.json``.

Source: transformers, modeling_utils.py (names of shards); huggingface_hub, serialization/_base.py (index).
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslaudit_formats.opened import Unread

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.(?P<end>safetensors|bin|pt|pth)")
_INDEX = re.compile(r".+\.(safetensors|bin)\.index\.json")


@dataclass(frozen=True, slots=True)
class Shards:
    """The files that are one checkpoint together."""

    files: tuple[Path, ...]
    listed: Mapping[str, str]
    """The name of the file of each tensor, where an index tells."""

    def lacking(self, file: Path, held: Collection[str]) -> str:
        """A tensor that the index lists in ``file``, and that is not ``held``; empty when all are."""
        return next(
            (name for name, where in self.listed.items() if where == file.name and name not in held), ""
        )


def shards_of(path: Path) -> Shards | None:
    """The whole checkpoint that ``path`` is a shard or the index of; None when it stands alone.

    Raises ``Unread`` when a shard is missing.
    """
    if _INDEX.fullmatch(path.name):
        return _whole(path.parent, *_indexed(path))
    match = _SHARD.fullmatch(path.name)
    if match is None:
        return None
    index = path.with_name(f"{match['stem']}.{match['end']}.index.json")
    if index.is_file():
        return _whole(path.parent, *_indexed(index))
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= 9999:
        return None
    names = [f"{match['stem']}-{i:05d}-of-{match['count']}.{match['end']}" for i in range(1, count + 1)]
    return _whole(path.parent, names, {})


def _indexed(index: Path) -> tuple[list[str], Mapping[str, str]]:
    try:
        listed = json.loads(index.read_text("utf-8"))["weight_map"]
        names = sorted(set(listed.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unread(f"belongs to a sharded checkpoint whose index {index.name} is damaged") from None
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise Unread(f"belongs to a sharded checkpoint whose index {index.name} names no files beside it")
    return names, listed


def _whole(folder: Path, names: list[str], listed: Mapping[str, str]) -> Shards:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise Unread(
            f"is a part of a checkpoint in {len(names)} shards; missing beside it: "
            f"{', '.join(missing[:3])}{more}"
        )
    return Shards(tuple(folder / name for name in names), listed)
