"""The names in a pickle, read without running it.

A pickle names the classes and functions it needs (opcodes GLOBAL and STACK_GLOBAL). ``pickletools``
walks over the opcodes and does nothing.
"""

import _compat_pickle
import io
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from sslaudit_formats.opened import Unread

_PICKLES_BEFORE_TENSORS = 4
"""Magic number, protocol, system, content: torch/serialization.py, _legacy_save."""


def names_in(path: Path, *, zipped: bool) -> tuple[list[str], int]:
    """``module.name`` of every global in the order of the file, without repeats, and the pickle protocol."""
    names: dict[str, None] = {}
    if zipped:
        protocol = _collect(io.BytesIO(_record(path)), names)
        return list(names), protocol
    with path.open("rb") as file:
        for _ in range(_PICKLES_BEFORE_TENSORS):
            protocol = _collect(file, names)
    return list(names), protocol


def _record(path: Path) -> bytes:
    """The pickle in an archive. Raises ``Unread`` when it does not come out whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            record = next(r for r in archive.infolist() if r.filename.rpartition("/")[2] == "data.pkl")
            if not record.CRC:
                del record.CRC  # it was written without; zipfile then compares nothing
            return archive.read(record)
    except Exception as error:  # zipfile raises kinds of its own for each damage
        raise Unread(
            f"is damaged or truncated: its record data.pkl cannot be read ({type(error).__name__}); "
            "copy or download it again"
        ) from error


def shown(name: str) -> str:
    """The name for a reader: ``subprocess.Popen`` for what protocol 2 calls ``commands.Popen``."""
    module, _, last = name.rpartition(".")
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{last}"


def _collect(stream: IO[bytes], names: dict[str, None]) -> int:
    """Adds the names of one pickle to ``names``; a damaged pickle gives those before the damage."""
    protocol = 0
    texts = ["", ""]
    memo: dict[int, str] = {}
    try:
        argument: Any
        for opcode, argument, _ in pickletools.genops(stream):
            match opcode.name:
                case "PROTO":
                    protocol = argument
                case "GLOBAL":
                    names[_current_name(*argument.split(" ", 1))] = None
                case "STACK_GLOBAL":
                    names[_current_name(*texts)] = None
                case "MEMOIZE":
                    memo[len(memo)] = texts[1]
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = texts[1]
                case "BINGET" | "LONG_BINGET":
                    texts = [texts[1], memo.get(argument, "")]
                case "BINUNICODE" | "SHORT_BINUNICODE" | "UNICODE":
                    texts = [texts[1], argument]
    except Exception:  # what damages a pickle is said by the reader that comes next
        return protocol
    return protocol


def _current_name(module: str, name: str) -> str:
    """The name that torch goes by, which brings some names of Python 2 into those of Python 3."""
    if (module, name) in NAME_MAPPING:
        return ".".join(NAME_MAPPING[module, name])
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"
