"""Records as strict JSON (no NaN, no Infinity) and as JSON schemas."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any


def dumps(record: Any, *, leave_out: tuple[str, ...] = ()) -> str:
    """A dataclass as text, UTF-8, undecodable file names escaped. Raises ``ValueError`` for NaN."""
    names = [f.name for f in dataclasses.fields(record) if f.name not in leave_out]
    plain = {name: _plain(getattr(record, name)) for name in names}
    return json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def schema(record: type, title: str, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON schema of what ``dumps`` writes."""
    from pydantic import TypeAdapter

    found = TypeAdapter(record).json_schema(mode="serialization")
    for name in leave_out:
        del found["properties"][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):  # a file name that is not UTF-8 keeps its bytes as \udcXX escapes
        return value.encode("utf-8", "backslashreplace").decode()
    return value
