"""Makes of what an unpickler returned plain dictionaries, lists and tensors, and says what is inert."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn, strided

from sslaudit_formats.arrays import Array, as_tensor
from sslaudit_formats.opened import Inert, Unread
from sslaudit_formats.standins import QUIET, StandIn

_FIELDS = re.compile(r"(argparse\.Namespace|types\.SimpleNamespace)")
_CONTENT = re.compile(r"omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig)")
_VALUE = re.compile(r"omegaconf\.nodes\.\w+Node")
_NOTES = 5


@dataclass(slots=True)
class Plain:
    """One walk over a content; ``notes`` tells what was met."""

    inert: dict[str, list[str]] = field(default_factory=dict)
    """Where each class that was not imported stands, by its name."""
    modules: dict[str, str] = field(default_factory=dict)
    """Name of the class of each network that ``--trust-pickle`` unpickled, by its place."""
    changed: dict[str, list[str]] = field(default_factory=dict)
    """Where tensors stood that are no ordinary ones, by what they were and became."""
    _memo: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def of(self, value: Any, path: str = "") -> Any:
        """``value`` with everything in it plain; parts that are shared or cyclic stay so."""
        if isinstance(value, Tensor):
            tensor, change = dense(value, path)
            if change:
                self.changed.setdefault(change, []).append(path)
            return tensor
        if id(value) in self._memo:
            return self._memo[id(value)][1]
        if isinstance(value, nn.Module):
            self.modules[path] = _type_name(type(value))
            return self.of(value.state_dict(), path)
        if isinstance(value, type) and issubclass(value, StandIn):
            return self._note(value.named, path)
        if isinstance(value, StandIn):
            return self._object(value, value.named, value.state, path)
        if name := _data_type(value):
            return self._object(value, name, vars(value), path)
        if isinstance(value, Array):
            value = value.values
        if isinstance(value, np.ndarray):
            return as_tensor(value)
        if isinstance(value, np.generic):
            return value.item()
        return self._container(value, path)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of tensor that was changed and each class not imported, the first few."""
        said = [
            f"{places[0] or 'the file'} is a {name}: not run, read as inert data"
            + (f" ({len(places)} places)" if len(places) > 1 else "")
            for name, places in self.inert.items()
            if not QUIET.fullmatch(name)
        ]
        more = [f"{len(said) - _NOTES} more classes read as inert data"] if len(said) > _NOTES else []
        unpacked = [
            f"{path or 'the file'} is a {name}: its state_dict is read" for path, name in self.modules.items()
        ]
        return (*unpacked, *_changes(self.changed), *said[:_NOTES], *more)

    def _container(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            made: dict[Any, Any] = {}
            self._memo[id(value)] = (value, made)
            for key, part in value.items():
                name = _key(key)
                made[name] = self.of(part, f"{path}.{name}" if path else str(name))
            return made
        if isinstance(value, list):
            items: list[Any] = []
            self._memo[id(value)] = (value, items)
            items.extend(self.of(part, f"{path}.{i}" if path else str(i)) for i, part in enumerate(value))
            return items
        if isinstance(value, tuple):
            return tuple(self.of(part, f"{path}.{i}" if path else str(i)) for i, part in enumerate(value))
        return value

    def _object(self, value: Any, name: str, state: Any, path: str) -> Any:
        known = state if isinstance(state, dict) else {}
        if _FIELDS.fullmatch(name):
            return self.of(known, path)
        if _CONTENT.fullmatch(name):
            return self.of(known.get("_content"), path)
        if _VALUE.fullmatch(name):
            return self.of(known.get("_val"), path)
        inert = self._note(name, path)
        self._memo[id(value)] = (value, inert)
        stored = state if state is not None else getattr(value, "arguments", ()) or list(value) or None
        inner = Plain(_memo=self._memo)  # the parts of an object are no news beside the object
        inert.state = inner.of(stored, path)
        return inert

    def _note(self, name: str, path: str) -> Inert:
        self.inert.setdefault(name, []).append(path)
        return Inert(name)


def dense(tensor: Tensor, path: str) -> tuple[Tensor, str]:
    """The tensor as an ordinary one, and how it was stored when that is not how it comes.

    Out of a Parameter, dequantised, not sparse. Raises ``Unread``.
    """
    tensor = tensor.detach()
    if tensor.is_meta:
        raise Unread(f"holds no data for the tensor '{path}' (device meta); save the weights themselves")
    if tensor.is_nested:
        raise Unread(f"holds the nested tensor '{path}', which is no weight of an encoder")
    if tensor.is_quantized:
        return tensor.dequantize(), f"quantised ({str(tensor.dtype).removeprefix('torch.')}): dequantised"
    if tensor.layout != strided:
        return tensor.to_dense(), f"sparse ({str(tensor.layout).removeprefix('torch.')}): made dense"
    return tensor, ""


def _changes(changed: dict[str, list[str]]) -> list[str]:
    return [
        f"'{places[0]}' is stored {change}"
        if len(places) == 1
        else f"'{places[0]}' and {len(places) - 1} more are stored {change}"
        for change, places in changed.items()
    ]


def _key(key: Any) -> Any:
    """A key as text where it is an object: members of one enumeration stay apart by their values."""
    if isinstance(key, type) and issubclass(key, StandIn):
        return key.named
    if isinstance(key, StandIn):
        values = ", ".join(repr(one) for one in key.arguments if isinstance(one, int | float | str | None))
        return f"{key.named}({values})" if values else key.named
    return key


def _data_type(value: Any) -> str:
    """The name of the type of a real object (``--trust-pickle``) that is read as data."""
    name = _type_name(type(value))
    return name if any(known.fullmatch(name) for known in (_FIELDS, _CONTENT, _VALUE)) else ""


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
