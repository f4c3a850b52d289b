"""Finds the dictionaries of tensors inside a checkpoint."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from sslaudit.errors import WeightsMismatch

StateDict = dict[str, Tensor]

_DEPTH = 4


def branches(content: Mapping[str, Any]) -> dict[str, StateDict]:
    """Every dictionary of named tensors in ``content`` by its path, ``""`` for the top itself."""
    return dict(_walk(content, "", _DEPTH))


def select(found: Mapping[str, StateDict], key: str | None, text: str) -> dict[str, StateDict]:
    """The branches to try: the one the user named, or all. Raises ``WeightsMismatch`` when there is none."""
    if key is not None:
        if key not in found:
            names = ", ".join(repr(name) for name in found if name) or "none"
            raise WeightsMismatch(f"'{text}' has no part '{key}' with tensors; it has: {names}.")
        return {key: found[key]}
    if not found:
        raise WeightsMismatch(f"'{text}' holds no tensors by name.")
    return dict(found)


def _walk(content: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, StateDict]]:
    tensors = {
        name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield path, tensors
    if depth:
        for name, value in content.items():
            if isinstance(value, Mapping) and isinstance(name, str) and "optim" not in name.lower():
                yield from _walk(value, f"{path}.{name}" if path else name, depth - 1)
