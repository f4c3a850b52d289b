"""The strict rule of loading: after one stated prefix is removed, every backbone tensor must match.

There is no partial load. Either every expected name is in the file with the expected shape, or the
answer is a mismatch with counts and names.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

Shapes = Mapping[str, torch.Size]

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Match:
    """How the tensors of a file fit an architecture under one prefix."""

    prefix: str
    matched: tuple[str, ...]
    """Expected names found with their shape."""
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    """Expected names found with another shape, in words."""
    surplus: tuple[str, ...]
    """Names in the file inside a part of the backbone that has no such tensor: a larger net."""
    unexpected: tuple[str, ...]
    """Names in the file outside the backbone (heads, projectors), as they stand in the file."""

    @property
    def complete(self) -> bool:
        """Whether every backbone tensor is there and no part of the backbone has more."""
        return bool(self.matched) and not (self.missing or self.reshaped or self.surplus)

    @property
    def expected(self) -> int:
        """Number of tensors of the backbone."""
        return len(self.matched) + len(self.missing) + len(self.reshaped)


def match_all(file: Shapes, expected: Shapes, prefix: str | None = None) -> list[Match]:
    """One match for each prefix that could be meant, the fullest first; with ``prefix`` only that one."""
    prefixes = {_dotted(prefix)} if prefix is not None else _prefixes(file, expected)
    matches = [_match(file, expected, one) for one in prefixes]
    return sorted(matches, key=lambda m: (-len(m.matched), len(m.reshaped), len(m.prefix), m.prefix))


def groups(match: Match) -> tuple[str, ...]:
    """What lies outside the backbone, gathered by its first part: ``projector (4 tensors)``."""
    names = (name.removeprefix(match.prefix).removeprefix("module.") for name in match.unexpected)
    counts = Counter(name.split(".")[0] for name in names)
    return tuple(f"{name} ({count} tensor{'s' if count > 1 else ''})" for name, count in counts.items())


def _match(file: Shapes, expected: Shapes, prefix: str) -> Match:
    counted = any(name.endswith(_COUNTER) for name in file)
    matched, missing, reshaped = [], [], []
    for name, shape in expected.items():
        if name.endswith(_COUNTER) and not counted:
            continue  # files before torch 0.4.1 lack this counter, which evaluation does not read
        stored = file.get(prefix + name)
        if stored is None:
            missing.append(name)
        elif stored != shape:
            reshaped.append(f"{name}: {tuple(stored)} in the file, {tuple(shape)} wanted")
        else:
            matched.append(name)
    stages = {name.split(".")[0] for name in expected}
    surplus, unexpected = [], []
    for name in file:
        if not name.startswith(prefix):
            unexpected.append(name)
        elif name.removeprefix(prefix) not in expected:
            inside = name.removeprefix(prefix).split(".")[0] in stages
            (surplus if inside else unexpected).append(name)
    return Match(
        prefix=prefix,
        matched=tuple(matched),
        missing=tuple(missing),
        reshaped=tuple(reshaped),
        surplus=tuple(surplus),
        unexpected=tuple(unexpected),
    )


def _prefixes(file: Shapes, expected: Shapes) -> set[str]:
    """What stands in front of a tensor deep inside the backbone, whose name alone is telling.

    The first one would not do: ``conv1.weight`` is also the end of ``layer1.0.conv1.weight``.
    """
    anchor = next((name for name in expected if name.count(".") > 2), next(iter(expected)))
    ends = {name[: -len(anchor)] for name in file if name.endswith(anchor)}
    return {prefix for prefix in ends if prefix == "" or prefix.endswith(".")} or {""}


def _dotted(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."
