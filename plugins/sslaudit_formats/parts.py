"""What is in a plain content: tensors by name, networks that stayed inert, weights that are elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from sslaudit_formats.opened import Inert, Unread

_BESIDE_WEIGHTS = ("optim", "sched", "scaler", "rng", "callbacks", "loops")


def networks(content: Any) -> list[str]:
    """Names of the classes of pickled networks that were left inert in the dictionaries of ``content``."""
    return [
        part.name
        for _, part in _parts(content, set())
        if isinstance(part, Inert)
        and isinstance(part.state, Mapping)
        and {"_modules", "_parameters"} <= part.state.keys()
    ]


def has_weights(content: Any) -> bool:
    """Whether a tensor stands by its name anywhere outside the state of the training."""
    return any(True for _ in _weights(content))


def refuse_partitioned(content: Any) -> None:
    """Raises ``Unread`` when most weights are empty: DeepSpeed ZeRO-3 keeps them in other files.

    Source: deepspeed, runtime/zero/partition_parameters.py: the parameter itself becomes ``empty(0)``.
    """
    weights = [(path, tensor) for path, tensor in _weights(content) if path.endswith(".weight")]
    empty = [path for path, tensor in weights if tensor.shape == (0,)]
    if 2 * len(empty) > len(weights):
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise Unread(
            f"holds no numbers for '{empty[0]}'{more}: the weights are partitioned by DeepSpeed ZeRO-3; "
            "make one file of them with the zero_to_fp32.py that DeepSpeed wrote beside the checkpoint"
        )


def _weights(content: Any) -> Iterator[tuple[str, Tensor]]:
    for path, part in _parts(content, set()):
        if isinstance(part, Tensor) and not any(word in path.lower() for word in _BESIDE_WEIGHTS):
            yield path.removeprefix("."), part


def _parts(content: Any, seen: set[int], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested dictionaries with its path; a shared or cyclic dictionary comes once."""
    if id(content) in seen:
        return
    if isinstance(content, Mapping):
        seen.add(id(content))
        for key, part in content.items():
            yield from _parts(part, seen, f"{path}.{key}")
    else:
        yield path, content
