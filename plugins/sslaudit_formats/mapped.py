"""Pages of a memory-mapped file, given back once they were read.

Weights that are only looked at (hashed, checked) need not stay in memory. What is given back is read
from the file again when it is needed again.
"""

import ctypes
import mmap
import os
from pathlib import Path

from torch import Tensor

_MAPS = Path("/proc/self/maps")
_MADV_DONTNEED = 4


class MappedFile:
    """The places where ``path`` is mapped into this process; none where the system does not tell."""

    def __init__(self, path: Path) -> None:
        self._ranges: list[tuple[int, int]] = []
        wanted = os.path.realpath(path)
        lines = _MAPS.read_text(errors="surrogateescape").splitlines() if _MAPS.exists() else []
        for line in lines:
            place, _, rest = line.partition(" ")
            if rest.split(maxsplit=4)[-1:] == [wanted]:
                start, _, end = place.partition("-")
                self._ranges.append((int(start, 16), int(end, 16)))

    def give_back(self, tensor: Tensor) -> None:
        """Drop the whole pages under ``tensor``, which must not have been written to.

        Nothing happens to a tensor that does not lie in the file: its pages would be lost.
        """
        start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.numel() * tensor.element_size()
        inside = any(low <= start and end <= high for low, high in self._ranges)
        if not inside or not tensor.is_contiguous():
            return
        page = mmap.PAGESIZE
        first, last = -(-start // page) * page, end // page * page
        if last > first:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)
