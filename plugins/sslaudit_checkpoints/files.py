"""Reads a checkpoint file without running anything from it, and names what is not one."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sslaudit.errors import EncoderNotFound, UnreadableFile, UnsafeFile

_GLOBAL = re.compile(r"GLOBAL ([A-Za-z_][\w.]*)")


class _Named(Exception):
    """The file was recognised as something else; the message says as what."""


def read(text: str) -> Mapping[str, Any]:
    """The mapping stored in the file ``text`` names, tensors on the CPU.

    Raises ``EncoderNotFound``, ``UnsafeFile`` when only running its code could open the file, and
    ``UnreadableFile`` saying what the file is instead of a checkpoint.
    """
    path = Path(text).expanduser()
    if not path.exists():
        raise EncoderNotFound(f"there is no file '{text}'.")
    if path.is_dir():
        raise EncoderNotFound(f"'{text}' is a folder; name the checkpoint file in it.")
    try:
        head = _head(path)
    except OSError as error:
        raise UnreadableFile(f"'{text}' cannot be opened: {error.strerror or error}.") from error
    if reason := _not_a_checkpoint(head):
        raise UnreadableFile(f"'{text}' {reason}.")
    try:
        content = _safetensors(path) if _is_safetensors(path, head) else _torch(path)
    except _Named as error:
        raise UnreadableFile(f"'{text}' {error}.") from None
    except pickle.UnpicklingError as error:
        if match := _GLOBAL.search(str(error)):
            raise UnsafeFile(
                f"'{text}' needs {match[1].rstrip('.')} to open, which is code and was not run. "
                "Save model.state_dict() alone, or convert it where that code is trusted."
            ) from None
        raise UnreadableFile(f"'{text}' is no PyTorch checkpoint, or is damaged.") from None
    except Exception as error:  # a broken file breaks the reader in any place
        raise UnreadableFile(f"'{text}' is damaged or truncated ({type(error).__name__}).") from error
    if not isinstance(content, Mapping):
        raise UnreadableFile(
            f"'{text}' holds a {type(content).__name__}, no dictionary of tensors. Save model.state_dict()."
        )
    return content


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _not_a_checkpoint(head: bytes) -> str:
    if not head:
        return "is empty (0 bytes)"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights; run `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "is an HTML page: the download was answered by a web page"
    try:
        text = head.decode("ascii")
    except UnicodeDecodeError:
        return ""
    printable = all(c.isprintable() or c.isspace() for c in text)
    return "is a text file, not a checkpoint" if printable else ""


def _is_safetensors(path: Path, head: bytes) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= path.stat().st_size


def _safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _Named(f"is a damaged safetensors file: {error}") from None


def _torch(path: Path) -> Any:
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise _Named(
                    "is a TorchScript archive, which this version does not read; save the state_dict"
                )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # about pickle protocols of files that are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
