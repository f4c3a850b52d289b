"""Reads safetensors files lazily: the header says where each tensor lies, the rest is memory-mapped."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sslaudit_formats.opened import Unread


def load(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file by name. Raises ``Unread`` when the file is damaged or truncated."""
    _check_size(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unread(f"is a damaged safetensors file ({str(error).splitlines()[0][:120]})") from None


def _check_size(path: Path) -> None:
    """Raises ``Unread`` when the file is shorter than its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= size else b""
    if len(header) < length:
        raise Unread(
            f"is a truncated safetensors file: its header has {length:,} bytes, the file {size:,}; "
            "copy or download it again"
        )
    try:
        parts = json.loads(header)
        end = max(
            (part["data_offsets"][1] for name, part in parts.items() if name != "__metadata__"), default=0
        )
        announced = 8 + length + int(end)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise Unread("is a damaged safetensors file: its header does not parse") from None
    if announced > size:
        raise Unread(
            f"is a truncated safetensors file: its header says {announced:,} bytes, the file has {size:,}; "
            "copy or download it again"
        )
