"""Reads what ``torch.save`` wrote, by default without importing or running anything that it names."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._utils import _sparse_tensors_to_validate

from sslaudit_formats.archives import stored_plainly
from sslaudit_formats.globals import names_in, shown
from sslaudit_formats.opened import Inert, Refused, Unread
from sslaudit_formats.parts import has_weights, networks
from sslaudit_formats.plain import Plain
from sslaudit_formats.standins import Called, is_data, stand_in

_NAMES = 2000
"""A pickle of more classes is no checkpoint."""
_ORDINARY = re.compile(
    r"(torch\._\w+|torch|_codecs|collections|torch\.nn\.parameter|torch\.storage)\.\w+"
    r"|builtins\.(set|bytearray|bytes|complex|dict|list|int|float|str|bool)"
)
"""Names that every checkpoint of tensors holds."""
_BLOCKED = re.compile(r"GLOBAL (\S+) whose module \S+ is blocked")
_UNKNOWN = re.compile(r"Unsupported global: GLOBAL (\S+) ")
_SET_ITEM = re.compile(r"Can only SETITEMS? for dict.* but got <class '([^']+)'>")
_ADVICE = (
    "Save model.state_dict() alone, or, where the file is trusted, "
    "--trust-pickle with that project on the path"
)

_CONSOLIDATE = "holds parts of a sharded model (FSDP); consolidate them into one state_dict first"


def load(path: Path, *, zipped: bool) -> tuple[Any, tuple[str, ...]]:
    """The plain content of the file and what a reader must know. Nothing in the file is run.

    Raises ``Refused`` when only running its code could open the file, ``Unread`` when it is damaged
    or holds what cannot be read.
    """
    names, protocol = names_in(path, zipped=zipped)
    if len(names) > _NAMES:
        raise Refused(f"names {len(names):,} classes and functions, which is code and was not run. {_ADVICE}")
    dictionaries: set[str] = set()
    walk = Plain()
    while True:
        try:
            stands = {name: stand_in(name, dictionary=name in dictionaries) for name in names}
            with _only(stands):
                content = walk.of(_torch_load(path, zipped=zipped, weights_only=True))
            break
        except (Unread, RecursionError):
            raise
        except Exception as error:  # a broken file breaks the reader in any place
            match = _SET_ITEM.search(str(error))
            if match is None or match[1] in dictionaries or match[1] not in names:
                raise _explained(error, names, protocol) from error
            dictionaries.add(match[1])
    if isinstance(content, Inert):
        raise _needs(content.name)
    if (found := networks(content)) and not has_weights(content):
        raise _needs(found[0])
    if _sharded(names) and not has_weights(content):
        raise Unread(_CONSOLIDATE)
    return content, walk.notes


def load_trusted(path: Path, *, zipped: bool) -> tuple[Any, tuple[str, ...]]:
    """The plain content of the file, its code run as it asks. Raises ``Unread`` in one line."""
    walk = Plain()
    try:
        content = walk.of(_torch_load(path, zipped=zipped, weights_only=False))
    except ModuleNotFoundError as error:
        raise Unread(f"needs the module '{error.name}', which is not installed or not on the path") from None
    except AttributeError as error:
        raise Unread(f"needs a class that is not there: {_first_line(error)}") from None
    except (Unread, RecursionError):
        raise
    except (Exception, SystemExit) as error:
        raise Unread(
            f"does not open, with its code run: {type(error).__name__}: {_first_line(error)}"
        ) from error
    return content, ("code in this file was run (--trust-pickle)", *walk.notes)


def _torch_load(path: Path, *, zipped: bool, weights_only: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about protocols, dtypes and sources of others' files
        if zipped and path.suffix != ".safetensors" and _is_utf8(path) and stored_plainly(path):
            return torch.load(path, map_location="cpu", weights_only=weights_only, mmap=True)
        with path.open("rb") as file:  # torch.load goes by the ending of a path
            return torch.load(file, map_location="cpu", weights_only=weights_only)


def _is_utf8(path: Path) -> bool:
    """Whether torch can open the path itself; the name of a file may hold any bytes."""
    return "\ufffd" not in os.fsencode(path).decode(errors="replace")


@contextmanager
def _only(stands: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Nothing but ``stands`` beside torch's own names: what other libraries allowed does not count here."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals([(stand, name) for name, stand in stands.items()])
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
        # A load that fails leaves its sparse tensors here, and torch would find fault with the next file.
        _sparse_tensors_to_validate.clear()


def _explained(error: Exception, names: list[str], protocol: int) -> Exception:
    text = str(error)
    unknown = [name for name in names if not _ORDINARY.fullmatch(name)]
    if _sharded(names):
        return Unread(_CONSOLIDATE)
    if isinstance(error, Called):
        return _refused(text)
    if match := _BLOCKED.search(text) or _UNKNOWN.search(text):
        return _refused(match[1])
    if unknown and ("persistent_load" in text or "torch._tensor._rebuild_from_type_v2" in names):
        return _needs(unknown[0])
    if "Unsupported operand" in text and protocol != 2:
        if code := [name for name in unknown if not is_data(name)]:
            return _refused(code[0])
        return Unread(
            f"is pickled with protocol {protocol} (torch.save(..., pickle_protocol={protocol})), which is "
            "not read without running it; save it again without pickle_protocol, or, where it is trusted, "
            "--trust-pickle"
        )
    if unknown and ("Can only" in text or "reduce for unrecognized" in text):
        return _refused(unknown[0])
    if "UntypedStorage' has no attribute 'dtype'" in text:
        return Unread(
            "holds tensors of a type (float8, uint16) that torch cannot read back from its format of "
            "before 1.6; save it again without _use_new_zipfile_serialization=False"
        )
    return Unread(f"is damaged or truncated ({type(error).__name__}); copy or download it again")


def _sharded(names: list[str]) -> bool:
    return any(name.startswith(("torch.distributed.tensor.", "torch.distributed._")) for name in names)


def _refused(name: str) -> Refused:
    return Refused(f"calls {shown(name)} when it is opened, which is code and was not run. {_ADVICE}")


def _needs(name: str) -> Refused:
    return Refused(f"needs {shown(name)} to open, which is code and was not run. {_ADVICE}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
