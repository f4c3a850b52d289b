"""What a user reads when the weights did not load: counts, a few names, and what to try."""

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from sslaudit.errors import WeightsMismatch
from sslaudit.refs import EncoderRef
from sslaudit_checkpoints.fits import Fit, option_of
from sslaudit_checkpoints.match import Match

_SHOWN = 3


def mismatch(text: str, name: str, match: Match, *, prefix: str = "", hint: str = "") -> WeightsMismatch:
    """Not all tensors of ``name`` are in the file."""
    after = f" after removing '{prefix}'." if prefix else "."
    lines = [
        f"the weights of '{text}' did not load: "
        f"matched {len(match.matched)} of {match.expected} tensors of {name}{after}"
    ]
    shapes = [
        f"{n}: {tuple(stored)} in the file, {tuple(wanted)} wanted" for n, stored, wanted in match.reshaped
    ]
    parts = (
        ("missing", match.missing),
        ("other shape", shapes),
        ("too many", match.surplus),
        ("in the file", match.unexpected),
    )
    lines += [f"  {what}: {listed(names)}" for what, names in parts if names]
    if any(stored[2:] == wanted[1::-1] and stored[:2] == wanted[2:] for _, stored, wanted in match.reshaped):
        lines.append("Its convolutions are stored as JAX and Keras do: height, width, in, out.")
    return WeightsMismatch("\n".join([*lines, *([hint] if hint else [])]))


def unknown(text: str, tensors: Mapping[str, Tensor]) -> WeightsMismatch:
    """The names are those of no architecture that is known here."""
    names = list(tensors)
    return WeightsMismatch(
        f"the weights of '{text}' did not load: matched 0 of its {len(names)} tensors to an "
        f"architecture known here.\n  in the file: {listed(names)}\n{_diagnosis(tensors) or hint(text)}"
    )


_SIGNS = (
    (
        r"\.lora_[AB]\.|\.base_layer\.",
        "It holds LoRA adapters: merge them into their model (merge_and_unload) first.",
    ),
    (r"\.weight_mask$", "It is pruned with masks: call torch.nn.utils.prune.remove and save again."),
    (
        r"(^|\.)parametrizations\.|\.weight_g$",
        "Its weights are parametrised: remove the parametrisations where it was trained and save again.",
    ),
    (
        r"(^|\.)visual\.(transformer\.resblocks|attnpool)\.",
        "Its names are those of OpenAI's CLIP, whose weights timm has: timm:vit_base_patch32_clip_224.openai",
    ),
    (
        r"(^|\.)bottom_up\.res2\.",
        "Its names are those of detectron2, which are not read. Convert them to torchvision's.",
    ),
)


def _diagnosis(tensors: Mapping[str, Tensor]) -> str:
    """What the names give away, when the architecture is not known."""
    for sign, said in _SIGNS:
        if any(re.search(sign, name) for name in tensors):
            return said
    return ""


def hint(text: str) -> str:
    """What to type when neither architecture nor prefix was found."""
    return f"Name the architecture, or where its names begin: file,arch=timm:NAME,prefix=encoder:{text}"


def partly(text: str) -> str:
    """What to type when a part of a known architecture was found."""
    return (
        f"Is the file whole? Name another architecture: file,arch=timm:NAME:{text}\n"
        f"Go on without the missing tensors, branded PARTIAL: file,allow-partial=yes:{text}"
    )


def ambiguous(ref: EncoderRef, fits: Sequence[Fit]) -> WeightsMismatch:
    """Several complete backbones, and nothing tells which is meant."""
    lines = [f"'{ref.locator}' holds more than one complete backbone; name one:"]
    for fit in fits:
        name = fit.reading.architecture.name
        lines.append(f"  {name}: {ref.scheme},{option_of(fit, fits)}:{ref.locator}")
    return WeightsMismatch("\n".join(lines))


def no_such_part(text: str, key: str, parts: Iterable[str]) -> WeightsMismatch:
    """``key=`` names nothing in the file."""
    names = [f"'{part}'" for part in parts if part]
    shown = ", ".join(names[:10]) or "none"
    return WeightsMismatch(f"'{text}' has no part '{key}' with tensors; it has: {shown}.")


def no_such_prefix(text: str, prefix: str, fits: Sequence[Fit]) -> WeightsMismatch:
    """``prefix=`` leads to no backbone, but others do."""
    names = [f"'{fit.address}'" for fit in fits]
    return WeightsMismatch(f"'{text}' has no backbone behind '{prefix}'; it has: {listed(names)}.")


def flattened(text: str) -> WeightsMismatch:
    """FSDP wrote its own flat shards, whose names and shapes are gone."""
    return WeightsMismatch(
        f"'{text}' is a flattened FSDP shard (_flat_param): the names and shapes of its tensors are "
        "not in it. Consolidate first: save with StateDictType.FULL_STATE_DICT, or merge the shards of "
        "all ranks where the model was trained."
    )


def listed(names: Sequence[str]) -> str:
    """Three names, and how many more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
