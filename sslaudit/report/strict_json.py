"""Records as strict JSON (no NaN, no Infinity) and as JSON schemas."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NoReturn

from sslaudit.errors import OutputError

_FLAT = re.compile(r'\[\n +([^"\[\]{}]+?)\n *\]')
"""A list that holds no text, no list and no object; line ends stand outside of text alone."""


def dumps(record: Any, *, leave_out: tuple[str, ...] = ()) -> str:
    """A dataclass as text, UTF-8, undecodable file names escaped; equal numbers give equal text, and a
    list of them stands on one line.

    Scalars of array libraries become plain numbers, and paths become text. Raises ``OutputError`` naming
    the field that is no JSON: NaN, infinity, bytes, sets, arrays, keys that are no text.
    """
    names = [f.name for f in dataclasses.fields(record) if f.name not in leave_out]
    plain = {name: _plain(getattr(record, name), name) for name in names}
    text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False)
    return _FLAT.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def loads(text: str) -> Any:
    """What strict JSON says. Raises ``ValueError`` for other text, NaN, Infinity and 1e999 among it."""
    return json.loads(text, parse_constant=_refuse, parse_float=_float)


def schema(record: type, title: str, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON schema of what ``dumps`` writes."""
    from pydantic import TypeAdapter

    found = TypeAdapter(record).json_schema(mode="serialization")
    for name in leave_out:
        del found["properties"][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found}


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OutputError(f"the record cannot be written: {where} is {value}, which JSON does not have.")
        return float(value) + 0.0  # -0.0 equals 0.0, and is written like it
    if isinstance(value, str | PurePath):
        return utf8(str(value))
    if dataclasses.is_dataclass(value):
        return {
            f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {_key(name, where): _plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}.{i}") for i, item in enumerate(value)]
    if getattr(value, "shape", None) == () and type(plain := value.item()) is not type(value):
        return _plain(plain, where)  # a scalar of an array library
    raise OutputError(f"the record cannot be written: {where} is a {type(value).__name__}, which is no JSON.")


def utf8(text: str) -> str:
    """``text`` with bytes that are no UTF-8, as file names may hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _key(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise OutputError(f"the record cannot be written: {where} has the key {name!r}, which is no text.")
    return utf8(name)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _float(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _refuse(text)
