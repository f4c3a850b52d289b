"""An opened file, and why a file is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A file that was recognised, with what it holds."""

    kind: Literal["tensors", "torchscript", "onnx"]
    format: str
    """In words: ``PyTorch checkpoint``, ``safetensors in 3 shards``."""
    size: int
    """Bytes on disk."""
    path: Path
    content: Mapping[str, Any] | None
    """For ``tensors``: the nested mapping as stored, tensors on the CPU, memory-mapped where possible."""
    notes: tuple[str, ...] = ()
    """What a reader must know, a sentence each."""
    trusted: bool = False
    """Whether code in the file was allowed to run."""
    verify: Callable[[], None] = _nothing
    """Waits until all bytes of the file were compared with its checksums; nothing where it has none.

    Raises ``UnreadableFile`` naming the first record that is damaged.
    """

    @property
    def title(self) -> str:
        """``PyTorch checkpoint, 44.7 MB``."""
        return f"{self.format}, {_megabytes(self.size)}"


@dataclass(eq=False, slots=True)
class Inert:
    """An object of a class that was not imported: its name, and what was stored of it."""

    name: str
    """Module and class as the file names them."""
    state: Any = None


class Unread(Exception):
    """The file was recognised as something that is not read; the message follows the file's name."""


class Refused(Exception):
    """Only running code could open the file; the message follows the file's name."""


def _megabytes(size: int) -> str:
    """``44.7 MB``, ``1.2 GB``, ``11 kB``: powers of ten, as file managers show them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
