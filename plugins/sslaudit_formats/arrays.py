"""numpy's pickled arrays, types and scalars, rebuilt from their bytes without numpy's own unpickling.

Source: numpy/_core/src/multiarray/methods.c, array_reduce, and descriptor.c, arraydescr_reduce:
an array is (version, shape, dtype, Fortran order, bytes or list), a dtype is (text) with
(version, byte order, ...).
"""

import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PLAIN = re.compile(r"[?biufcSU]\d{0,6}")
"""Types whose bytes are their value: no objects, no records."""


class Dtype:
    """The type of an array; objects and records keep their text only."""

    def __init__(self, text: Any, *_: Any) -> None:
        self.text = text if isinstance(text, str) else "O"
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    @property
    def plain(self) -> "np.dtype[Any] | None":
        """The type in numpy, None for objects and records."""
        return np.dtype(self.text).newbyteorder(self.order) if _PLAIN.fullmatch(self.text) else None


class Array:
    """An array before its state is known; ``values`` is an array, or a list of what is no number."""

    def __init__(self) -> None:
        self.values: NDArray[Any] | list[Any] = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state[-5:]
        if isinstance(raw, list) or kind.plain is None:
            self.values = raw if isinstance(raw, list) else []
            return
        flat = np.frombuffer(raw, dtype=kind.plain)
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def array(*_: Any) -> Array:
    """The empty array that ``Array.__setstate__`` fills."""
    return Array()


def scalar(kind: Dtype, raw: Any = b"") -> Any:
    """The Python number or text of a numpy scalar; ``raw`` itself when it is an object."""
    if not isinstance(raw, bytes) or kind.plain is None:
        return raw
    return np.frombuffer(raw, dtype=kind.plain)[0].item()


def as_tensor(values: NDArray[Any]) -> Tensor | list[Any]:
    """The array as a tensor, or as a list when torch has no such type."""
    try:
        return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))
    except TypeError:
        return list(values.tolist())
