"""The strict rule of loading: every backbone tensor must match by name and shape.

Either every expected name is there with the expected shape, and no part of the backbone has more,
or the answer is a mismatch with counts and names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_COUNTER = "num_batches_tracked"
_ACTS = re.compile(
    r"(ln_pre|pre_norm|norm_pre|adapters?|(deep_)?prompt_embeddings?|prompts?|time_embed|temporal_embed\w*|"
    r"cls_pos_embed|rel_pos_bias|lora_\w+)(\.|$)"
)
"""Parts that change the forward pass of a backbone, wherever they stand."""


@dataclass(frozen=True, slots=True)
class Match:
    """How the tensors of a file fit an architecture."""

    matched: tuple[str, ...]
    """Expected names found with their shape."""
    missing: tuple[str, ...]
    reshaped: tuple[tuple[str, torch.Size, torch.Size], ...]
    """Expected names found with another shape: name, shape in the file, shape wanted."""
    surplus: tuple[str, ...]
    """Names in the file inside a part of the backbone that has no such tensor: a larger net."""
    unexpected: tuple[str, ...]
    """Names in the file outside the backbone: heads, projectors."""

    @property
    def complete(self) -> bool:
        """Whether every backbone tensor is there and no part of the backbone has more."""
        return bool(self.matched) and not (self.missing or self.reshaped or self.surplus)

    @property
    def expected(self) -> int:
        """Number of tensors of the backbone."""
        return len(self.matched) + len(self.missing) + len(self.reshaped)

    @property
    def share(self) -> tuple[float, int]:
        """The share of the backbone that matched, a smaller backbone last among equals: for sorting."""
        return len(self.matched) / max(1, self.expected), -self.expected

    @property
    def mostly(self) -> bool:
        """Whether it is this network without a few of its tensors, and not another one."""
        return not self.surplus and len(self.matched) > 0.8 * self.expected

    @property
    def absent(self) -> tuple[str, ...]:
        """Expected names that the file does not give, by name or by shape."""
        return (*self.missing, *(name for name, _, _ in self.reshaped))


def match(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Match:
    """How ``state``, in the architecture's names, fits the ``expected`` tensors."""
    matched, missing, reshaped = [], [], []
    for name, wanted in expected.items():
        stored = state.get(name)
        if stored is None:
            missing.append(name)
        elif stored.shape != wanted.shape:
            reshaped.append((name, stored.shape, wanted.shape))
        else:
            matched.append(name)
    if matched and all(name.endswith(_COUNTER) for name in missing):
        missing = []  # files before torch 0.4.1 lack these counters, which evaluation does not read
    stages = {name.split(".")[0] for name in expected}
    surplus, unexpected = [], []
    for name in state:
        if name not in expected:
            inside = name.split(".")[0] in stages or _ACTS.match(name)
            (surplus if inside else unexpected).append(name)
    return Match(tuple(matched), tuple(missing), tuple(reshaped), tuple(surplus), tuple(unexpected))
