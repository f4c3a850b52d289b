"""Tables of TOML to dataclasses: every field has its type, and a wrong one is said by its name."""

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sslaudit.errors import UsageError
from sslaudit.registry import nearest

T = TypeVar("T")

_SAID = {str: "a text", int: "a whole number", float: "a number", dict: "a table", list: "a list"}


def read_fields(kind: type[T], table: object, where: str) -> T:
    """``table`` as a ``kind``, lists as tuples and tables inside as the dataclasses they stand for.

    ``where`` begins every message. Raises ``UsageError`` for a field that is missing, unknown or of
    another type.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where}: a table is needed here, and there is {_name(table)}.")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            raise UsageError(f"{where}: there is no field '{name}'.{nearest(name, known)}")
    hints = get_type_hints(kind)
    for name, field in known.items():
        if name not in table and field.default is MISSING:
            raise UsageError(f"{where}: the field '{name}' is missing.")
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in table.items()})


def _value(kind: Any, value: object, where: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):  # X | None; TOML has no null
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where} is a list, not {_name(value)}.")
        one = get_args(kind)[0]
        return tuple(_value(one, entry, f"{where}, entry {i}") for i, entry in enumerate(value, 1))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{where} is one of {', '.join(get_args(kind))}, not {value!r}.")
        return value
    if is_dataclass(kind):
        return read_fields(kind, value, where)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # a bool is no number here
        raise UsageError(f"{where} is {_SAID[kind]}, not {_name(value)}.")
    return value


def _name(value: object) -> str:
    return _SAID.get(type(value), "true or false" if isinstance(value, bool) else type(value).__name__)
