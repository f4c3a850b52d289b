"""The strict rule for weights that a library loads: every backbone tensor comes from the file.

Libraries load what fits and log the rest. Here the rest is a refusal, except for heads.
"""

from collections import Counter
from collections.abc import Collection, Iterable

import torch
from torch import nn

from sslaudit.errors import WeightsMismatch

_HEADS = {"head", "heads", "head_dist", "fc", "classifier", "cls_classifier", "distillation_classifier"}
_HEADS |= {"decoder", "lm_head", "pooler", "projector", "predictions"}
# Names inside the backbone that evaluation does not read
_UNREAD = ("mask_token", "position_ids", "relative_position_index", "attn_mask", "num_batches_tracked")


def ignored_or_refused(
    what: str,
    architecture: str,
    *,
    expected: Collection[str],
    missing: Collection[str],
    unexpected: Collection[str],
    reshaped: Collection[str] = (),
) -> tuple[str, ...]:
    """Heads left out, each with its count. Raises ``WeightsMismatch`` when anything else is amiss.

    Names are those of the model: a base prefix is already removed from ``unexpected``. A tensor in
    the file inside a part of the backbone that has no such tensor means a larger net.
    """
    stages = {name.split(".")[0] for name in expected}
    surplus = [name for name in unexpected if name.split(".")[0] in stages and not _harmless(name)]
    if missing or reshaped or surplus:
        matched = len(expected) - len(missing) - len(reshaped)
        lines = [
            f"the weights of '{what}' did not load: matched {matched} of {len(expected)} tensors "
            f"of {architecture}."
        ]
        parts = (("missing", missing), ("other shape", reshaped), ("too many", surplus))
        lines += [f"  {label}: {_three(names)}" for label, names in parts if names]
        heads = sorted(set(unexpected) - set(surplus))
        lines += [f"  in the file, outside the backbone: {_three(heads)}"] if heads else []
        raise WeightsMismatch("\n".join(lines))
    return grouped(unexpected)


def grouped(names: Iterable[str]) -> tuple[str, ...]:
    """Names gathered by their first part: ``classifier (2 tensors)``."""
    counts = Counter(name.split(".")[0] for name in sorted(names))
    return tuple(f"{part} ({count} tensor{'s' if count > 1 else ''})" for part, count in counts.items())


def refuse_non_finite(what: str, model: nn.Module) -> None:
    """Raises ``WeightsMismatch`` when a tensor of ``model`` holds NaN or infinity."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsMismatch(f"'{what}': the weights '{name}' hold NaN or infinity.")


def _harmless(name: str) -> bool:
    return name.endswith(_UNREAD) or not _HEADS.isdisjoint(name.split("."))


def _three(names: Collection[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(sorted(names)[:3])}{more}"
