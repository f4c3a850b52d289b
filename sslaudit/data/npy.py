"""NumPy's files, member by member, without loading more than is asked for and without unpickling.

The member of a ``.npz`` that ``np.savez`` wrote is mapped into memory where it lies in the file, as
a ``.npy`` is. One that ``np.savez_compressed`` wrote can only be unpacked whole, so it must fit into
half of the machine's memory.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sslaudit.errors import DataError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins that holds something, and an empty one."""
_BLOCK = 1 << 20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LOCAL_HEADER = 30
"""Bytes of a zip's local header before its name. Source: PKWARE APPNOTE, section 4.3.7."""


@dataclass(frozen=True, slots=True)
class Member:
    """One array of a file, known by its header."""

    path: Path
    name: str
    """As in the ``.npz``; empty for a ``.npy``."""
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int | None
    """Where its numbers begin in the file; None when they are compressed."""
    stored: zipfile.ZipInfo | None = None
    """Its entry in the ``.npz``, when the numbers lie there as they are."""

    @property
    def shown(self) -> str:
        """What a message calls it."""
        return f"array '{self.name}'" if self.name else "the array"

    def open(self) -> np.ndarray:
        """The array, mapped when it can be; what the zip stores is read through once for its checksum.

        Raises ``DataError``; object arrays are never unpickled.
        """
        if self.dtype.hasobject:
            raise DataError(
                f"{self.shown} holds Python objects, which only unpickling opens, and that can run code. "
                "Save it as numbers or texts: array.astype(str), or np.stack for images of one size."
            )
        with _readable():
            if self.stored:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.stored) as inside:
                    while inside.read(_BLOCK):
                        pass  # zipfile compares the checksum at the end
            if self.offset is not None and 0 not in self.shape:
                order = "F" if self.fortran else "C"
                return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)  # type: ignore[call-overload, no-any-return]
            size = self.dtype.itemsize * int(np.prod(self.shape, dtype=np.float64))
            if size > _memory() / 2:
                raise DataError(
                    f"{self.shown} is compressed and takes {size / 1e9:.0f} GB unpacked, more than half of "
                    "this machine's memory. Save it with np.savez or np.save, which are read piece by piece."
                )
            loaded = np.load(self.path, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else np.asarray(loaded[self.name])


def members(path: Path) -> dict[str, Member]:
    """The arrays in a ``.npz`` or ``.npy`` by name, from their headers alone. Raises ``DataError``."""
    with _readable(), path.open("rb") as file:
        if file.read(4) not in _ZIP:
            file.seek(0)
            return {"": _member(path, "", file, 0, None)}
        found = {}
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as inside:
                    stored = info.compress_type == zipfile.ZIP_STORED
                    start = _start(file, info) if stored else None
                    found[name] = _member(path, name, inside, start, info if stored else None)
            if not found:
                held = ", ".join(archive.namelist()[:3]) or "nothing"
                raise DataError(f"it is a zip that holds no arrays, but {held}. np.savez writes one.")
        return found


def _member(
    path: Path, name: str, file: IO[bytes], start: int | None, stored: zipfile.ZipInfo | None
) -> Member:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"format {version[0]}.{version[1]}, which is for tables")
    shape, fortran, dtype = _HEADERS[version](file)
    return Member(path, name, shape, dtype, fortran, None if start is None else start + file.tell(), stored)


def _start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    before = file.tell()
    file.seek(info.header_offset + _LOCAL_HEADER - 4)
    lengths = np.frombuffer(file.read(4), dtype="<u2")
    file.seek(before)
    return info.header_offset + _LOCAL_HEADER + int(lengths.sum())


@contextmanager
def _readable() -> Iterator[None]:
    """Turns what a damaged file raises into a ``DataError``."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"it cannot be opened: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and numpy each have kinds of their own
        reason = " ".join(str(error).split())[:120]
        if "CRC" in reason:
            raise DataError(f"it is damaged ({reason}); copy it again.") from error
        raise DataError(
            f"it is no NumPy file that can be read ({type(error).__name__}: {reason}); pickles stay closed."
        ) from error


def _memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not told on Windows
        return float("inf")
