"""Opens the file that a reference names, or says what it is instead of a checkpoint."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sslaudit.errors import EncoderNotFound, UnreadableFile, UnsafeFile
from sslaudit_checkpoints.formats import pickles, tensors
from sslaudit_checkpoints.formats.folders import describe
from sslaudit_checkpoints.formats.kinds import Kind, sniff
from sslaudit_checkpoints.formats.opened import Opened, Refused, Unread
from sslaudit_checkpoints.formats.shards import shards_of

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
        if shards is not None and len(shards.files) > 1:
            return _sharded(path, shards.files, trust_pickle)
        return _one(shards.files[0] if shards else path, trust_pickle)
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
        path = Path(text).expanduser()
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


def _one(path: Path, trust: bool) -> Opened:
    kind = sniff(path)
    size = path.stat().st_size
    if kind in ("torchscript", "onnx"):
        return Opened(kind=kind, format=_FORMATS[kind], size=size, path=path, content=None)
    content, notes = _content(path, kind, trust)
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


def _sharded(path: Path, files: tuple[Path, ...], trust: bool) -> Opened:
    """All shards as one mapping. Raises ``Unread`` when one is no checkpoint or two hold one name."""
    whole: dict[str, Tensor] = {}
    notes: tuple[str, ...] = ()
    kinds = set()
    trusted = False
    for file in files:
        try:
            part = _one(file, trust)
        except Unread as error:
            raise Unread(f"is a part of a sharded checkpoint, whose shard {file.name} {error}") from None
        except Refused as error:
            raise Refused(f"is a part of a sharded checkpoint, whose shard {file.name} {error}") from None
        if part.content is None or (twice := whole.keys() & part.content.keys()):
            what = f"repeats '{min(twice)}'" if part.content else "holds no tensors"
            raise Unread(f"is a part of a sharded checkpoint, whose shard {file.name} {what}")
        whole.update(part.content)
        notes = (*notes, *(note for note in part.notes if note not in notes))
        kinds.add(part.format)
        trusted = trusted or part.trusted
    return Opened(
        kind="tensors",
        format=f"{' and '.join(sorted(kinds))} in {len(files)} shards",
        size=sum(file.stat().st_size for file in files),
        path=path,
        content=whole,
        notes=notes,
        trusted=trusted,
    )
