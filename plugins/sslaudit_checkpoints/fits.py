"""Every way in which the tensors of a file can be read as a backbone, and which of them is meant."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sslaudit_checkpoints.architectures.base import Dialect, Hints, Reading, Unfit
from sslaudit_checkpoints.match import Match, match
from sslaudit_checkpoints.tensors import Stored

_TAKEN = (
    re.compile(r"teacher"),
    re.compile(r"(^|[._])ema([._]|$)"),
)
"""Among several complete backbones these are evaluated by their projects: averages of the weights
that stand for the final model (DINO, timm)."""
_LEFT = re.compile(r"student|momentum|target|encoder_k|_key|key_encoder")
"""And these are not: moving averages that only serve training (MoCo, BYOL), DINO's student."""

_STEM = "patch_embed.backbone."
"""Where a hybrid ViT keeps the network that makes its patches: a part, never the encoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """One reading of the file as a backbone, complete or not."""

    prefix: str
    """What stands before the backbone's names, branch included, without wrapper segments."""
    origin: str
    """The same as it stands in the file."""
    branch: str
    """The part of ``origin`` that is a path of mapping keys."""
    reading: Reading
    skeleton: nn.Module
    match: Match

    @property
    def address(self) -> str:
        """``state_dict.module.encoder_q``: names this backbone among those of the file."""
        return self.origin.rstrip(".")

    def weights(self) -> dict[str, Tensor]:
        """The tensors that matched, by the architecture's names."""
        return {name: self.reading.state[name] for name in self.match.matched}


def find(
    flat: Mapping[str, Stored], dialects: Iterable[Dialect], hints: Hints
) -> tuple[list[Fit], list[Unfit]]:
    """All readings, and the reasons why some that were recognised cannot be built."""
    fits: list[Fit] = []
    unfit: list[Unfit] = []
    for dialect in dialects:
        for prefix in dialect.prefixes(flat):
            if prefix.endswith(_STEM):
                continue
            told = replace(hints, project="mocov3") if "base_encoder." in prefix else hints
            state = {name[len(prefix) :]: one.tensor for name, one in flat.items() if name.startswith(prefix)}
            try:
                reading = dialect.read(state, told)
            except Unfit as error:
                unfit.append(error)
                continue
            skeleton = reading.architecture.skeleton()
            fits.append(
                Fit(
                    prefix=prefix,
                    **_origin(flat, prefix),
                    reading=reading,
                    skeleton=skeleton,
                    match=match(reading.state, skeleton.state_dict()),
                )
            )
    return fits, unfit


def choose(fits: Sequence[Fit], taken: str | None) -> tuple[Fit | None, list[Fit]]:
    """The complete fit that is meant, or None when nothing tells; and the complete ones that differ.

    ``taken`` is the pattern of the address that the file's project evaluates.
    """
    distinct = _distinct(fits, taken)
    if len({fit.reading.architecture.name for fit in distinct}) > 1 and not taken:
        return None, distinct  # a distilled student beside its teacher, or the like
    rules = [lambda fit, rule=rule: bool(rule.search(fit.address)) for rule in _TAKEN]
    if taken:
        rules.insert(0, lambda fit: bool(re.search(taken, fit.address)))
    rules.append(lambda fit: not _LEFT.search(fit.address))
    left = distinct
    for rule in rules:
        if len(left) > 1:
            left = [fit for fit in left if rule(fit)] or left
    return (left[0] if len(left) == 1 else None), distinct


def fullest(fits: Iterable[Fit]) -> Fit | None:
    """The reading of which most was found; among equals the one that would have been taken."""
    return max(fits, key=lambda fit: (*fit.match.share, not _LEFT.search(fit.address)), default=None)


def by_key(fits: Iterable[Fit], key: str) -> list[Fit]:
    """The fits whose address has ``key`` among its segments, ``teacher`` or ``model.encoder_q``."""
    wanted = f".{key.strip('.')}."
    return [fit for fit in fits if wanted in f".{fit.address}." or wanted in f".{fit.prefix.rstrip('.')}."]


def by_prefix(fits: Iterable[Fit], prefix: str) -> list[Fit]:
    """The fits whose names begin with ``prefix``, inside their branch or from the top."""
    wanted = prefix.strip(".")
    return [
        fit
        for fit in fits
        for whole in (fit.address, fit.prefix.rstrip("."))
        if wanted in (whole, whole.removeprefix(fit.branch).strip("."))
    ]


def option_of(fit: Fit, others: Iterable[Fit]) -> str:
    """The shortest option that takes ``fit`` and no other: ``key=teacher``, ``prefix=`` for a bare one."""
    others = [other for other in others if other is not fit]
    for segment in fit.address.split("."):
        if segment and not by_key(others, segment):
            return f"key={segment}"
    return f"prefix={fit.address}"


def _origin(flat: Mapping[str, Stored], prefix: str) -> dict[str, str]:
    """The prefix as it stands in the file: the longest start that all its names share."""
    depth = prefix.count(".")
    starts = []
    for name, one in flat.items():
        if name.startswith(prefix):
            rest = name[len(prefix) :]
            starts.append(one.path[: -len(rest)] if one.path.endswith(rest) else None)
    whole = {start for start in starts if start is not None}
    origin = prefix
    if len(whole) == 1:
        origin = whole.pop()
    branches = {one.branch for name, one in flat.items() if name.startswith(prefix)}
    branch = min(branches, key=len) if depth or branches else ""
    return {"origin": origin, "branch": branch if origin.startswith(branch) else ""}


def _distinct(fits: Sequence[Fit], taken: str | None) -> list[Fit]:
    """One of each set of equal tensors; the one that ``taken`` names, else the first in the file."""
    ordered = sorted(fits, key=lambda fit: not (taken and re.search(taken, fit.address)))
    distinct: list[Fit] = []
    for fit in ordered:
        if not any(_same(fit, other) for other in distinct):
            distinct.append(fit)
    return sorted(distinct, key=fits.index)


def _same(a: Fit, b: Fit) -> bool:
    first, second = a.weights(), b.weights()
    return first.keys() == second.keys() and all(
        first[name].data_ptr() == second[name].data_ptr() or torch.equal(first[name], second[name])
        for name in first
    )
