"""Opens the file that a reference names, or says what it is instead of a checkpoint."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sslaudit.errors import EncoderNotFound, UnreadableFile, UnsafeFile
from sslaudit_formats import pickles, tensors
from sslaudit_formats.checksums import Checksums
from sslaudit_formats.folders import describe
from sslaudit_formats.kinds import Kind, sniff
from sslaudit_formats.opened import Opened, Refused, Unread
from sslaudit_formats.parts import refuse_partitioned
from sslaudit_formats.shards import Shards, shards_of

_FORMATS: dict[Kind, str] = {
    "zip": "PyTorch checkpoint",
    "legacy": "PyTorch checkpoint from before 1.6",
    "safetensors": "safetensors",
    "torchscript": "TorchScript archive",
    "onnx": "ONNX graph",
}


def read(text: str, *, trust_pickle: bool = False) -> Opened:
    """What the file ``text`` holds; code in it runs only with ``trust_pickle``.

    Raises ``EncoderNotFound``, ``UnsafeFile`` when only running its code could open the file, and
    ``UnreadableFile`` saying what the file is instead of a checkpoint.
    """
    path = _regular(text)
    try:
        shards = shards_of(path)
        opened = _one(path, trust_pickle) if shards is None else _sharded(path, shards, trust_pickle)
        return replace(opened, verify=partial(_verify, text, opened.verify))
    except Unread as error:
        raise UnreadableFile(_sentence(text, str(error))) from None
    except Refused as error:
        raise UnsafeFile(_sentence(text, str(error))) from None
    except OSError as error:
        raise UnreadableFile(f"'{text}' cannot be read: {error.strerror or error}.") from None
    except RecursionError:
        raise UnreadableFile(f"'{text}' is nested too deeply to be a checkpoint.") from None


def _regular(text: str) -> Path:
    """The path of an ordinary file; pipes and devices are refused, because reading them may never end."""
    try:
        path = Path(os.path.expanduser(text))  # Path.expanduser fails for users that are not there
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            raise EncoderNotFound(
                f"there is no such file: '{text}' is a link to '{os.readlink(path)}', which is not there."
            ) from None
        raise EncoderNotFound(f"there is no such file: '{text}'.") from None
    except NotADirectoryError:
        raise EncoderNotFound(f"there is no such file: '{text}' (a part of the path is a file).") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(f"'{text}' cannot be opened: {reason}.") from None
    if stat.S_ISDIR(mode):
        raise UnreadableFile(_sentence(text, describe(path, text)))
    if not stat.S_ISREG(mode):
        raise UnreadableFile(f"'{text}' is a pipe, socket or device; name an ordinary file.")
    return path


def _sentence(text: str, reason: str) -> str:
    """The message; a command in its last line is left as it is to paste."""
    end = "" if "\n" in reason else "."
    return f"'{text}' {reason}{end}"


def _verify(text: str, wait: Callable[[], None]) -> None:
    try:
        wait()
    except Unread as error:
        raise UnreadableFile(_sentence(text, str(error))) from None


def _one(path: Path, trust: bool) -> Opened:
    kind = sniff(path)
    if kind not in ("zip", "torchscript"):
        return _of_kind(path, kind, trust)
    checksums = Checksums(path)
    try:
        opened = _of_kind(path, kind, trust)
    except Exception:
        checksums.wait()  # damage is the better reason
        raise
    notes = (*opened.notes, checksums.note) if checksums.note else opened.notes
    return replace(opened, notes=notes, verify=checksums.wait)


def _of_kind(path: Path, kind: Kind, trust: bool) -> Opened:
    size = path.stat().st_size
    if kind in ("torchscript", "onnx"):
        return Opened(kind=kind, format=_FORMATS[kind], size=size, path=path, content=None)
    content, notes = _content(path, kind, trust)
    refuse_partitioned(content)
    return Opened(
        kind="tensors",
        format=_FORMATS[kind],
        size=size,
        path=path,
        content=content,
        notes=notes,
        trusted=trust and kind != "safetensors",
    )


def _content(path: Path, kind: Kind, trust: bool) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    if kind == "safetensors":
        return tensors.load(path), ()
    opener: Callable[..., tuple[Any, tuple[str, ...]]] = pickles.load_trusted if trust else pickles.load
    content, notes = opener(path, zipped=kind == "zip")
    if isinstance(content, list | tuple) and any(isinstance(part, Mapping) for part in content):
        listed = f"the file holds a list; its parts are named 0 to {len(content) - 1}"
        return {str(i): part for i, part in enumerate(content)}, (*notes, listed)
    if not isinstance(content, Mapping):
        raise Unread(f"holds a {type(content).__name__}, no dictionary of tensors; save model.state_dict()")
    return content, notes


def _sharded(path: Path, shards: Shards, trust: bool) -> Opened:
    """All shards as one mapping.

    Raises ``Unread`` when one is no checkpoint, lacks what the index lists, or two hold one name.
    """
    files = shards.files
    if len(files) == 1 and not shards.listed:
        return _one(files[0], trust)
    whole: dict[str, Tensor] = {}
    parts: list[Opened] = []
    for file in files:
        where = f"is a part of a sharded checkpoint, whose shard {file.name}"
        try:
            part = _one(file, trust)
        except (Unread, Refused) as error:
            raise type(error)(f"{where} {error}") from None
        if part.content is None:
            raise Unread(f"{where} holds no tensors")
        if twice := whole.keys() & part.content.keys():
            raise Unread(f"{where} repeats '{min(twice)}'")
        if lacking := shards.lacking(file, part.content.keys()):
            raise Unread(
                f"{where} lacks '{lacking}', which the index lists there; copy or download both again"
            )
        whole.update(part.content)
        parts.append(part)

    def verify() -> None:
        for file, part in zip(files, parts, strict=True):
            try:
                part.verify()
            except Unread as error:
                raise Unread(f"is a part of a sharded checkpoint, whose shard {file.name} {error}") from None

    kinds = sorted({part.format for part in parts})
    return Opened(
        kind="tensors",
        format=f"{' and '.join(kinds)} in {len(files)} shard{'' if len(files) == 1 else 's'}",
        size=sum(part.size for part in parts),
        path=path,
        content=whole,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        trusted=any(part.trusted for part in parts),
        verify=verify,
    )
