"""All tensors of a checkpoint by their full path, with the segments of wrappers taken out.

A checkpoint is a mapping of mappings of any depth. Its tensors are laid out flat, each under the
dotted path that leads to it: ``state_dict.module.encoder.conv1.weight``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

WRAPPERS = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
)
"""Segments that DataParallel, torch.compile, FSDP, activation checkpointing and Fabric put into names."""

_TWICE = 2
"""How often one container is entered: pickles share and nest them, and can make a file endless."""
_COUNTED = ("total_ops", "total_params")
"""Scalars that the profiler thop leaves in every module."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of the file."""

    branch: str
    """The path of mapping keys that leads to its dictionary, ``state_dict``; empty for the top."""
    name: str
    """Its key there, as it stands in the file."""
    tensor: Tensor

    @property
    def path(self) -> str:
        """Branch and name together."""
        return f"{self.branch}.{self.name}" if self.branch else self.name


def flatten(content: Mapping[str, Any]) -> dict[str, Stored]:
    """Every tensor by its path without wrapper segments; by its full path where two would collide."""
    found = list(_walk(content))
    count = Counter(unwrapped(stored.path) for stored in found)
    return {
        stored.path if count[unwrapped(stored.path)] > 1 else unwrapped(stored.path): stored
        for stored in found
    }


def unwrapped(path: str) -> str:
    """``path`` without the segments of wrappers."""
    return ".".join(part for part in path.split(".") if part not in WRAPPERS)


def keys(content: Any, path: str = "", depth: int = 4) -> Iterator[str]:
    """The dotted paths of all keys that are no tensors, not too deep."""
    for key, value in _items(content):
        if not isinstance(value, Tensor):
            here = f"{path}.{key}" if path else key
            yield here
            if depth and isinstance(value, Mapping):
                yield from keys(value, here, depth - 1)


def branches(stored: Iterable[Stored]) -> list[str]:
    """The dictionaries that hold tensors, in the order of the file."""
    return list(dict.fromkeys(one.branch for one in stored))


def counted(labels: Iterable[str]) -> tuple[str, ...]:
    """Each label with the number of tensors that carry it: ``projector (4 tensors)``."""
    counts = Counter(labels)
    return tuple(f"{label} ({count} tensor{'s' if count > 1 else ''})" for label, count in counts.items())


def _walk(content: Any) -> Iterator[Stored]:
    entered: Counter[int] = Counter()
    waiting: list[tuple[str, str, Any]] = [("", "", content)]
    while waiting:
        branch, name, value = waiting.pop()
        if isinstance(value, Tensor):
            yield Stored(branch, name, value)
            continue
        entered[id(value)] += 1
        if entered[id(value)] <= _TWICE and not _is_optimizer(value):
            path = f"{branch}.{name}" if branch else name
            items = [(path, key, one) for key, one in _items(value) if not _is_count(key, one)]
            waiting.extend(reversed(items))


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, Mapping) and ("param_groups" in value or set(value) == {"state"})


def _is_count(key: str, value: Any) -> bool:
    return isinstance(value, Tensor) and key.rpartition(".")[2] in _COUNTED


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(key, bytes):
                yield key.decode(errors="replace"), value
            elif isinstance(key, str | int):
                yield str(key), value
    elif isinstance(content, list | tuple):
        yield from ((str(place), value) for place, value in enumerate(content))
