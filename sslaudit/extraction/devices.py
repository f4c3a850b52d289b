"""Which device, how large a batch, how many threads: what ``auto`` means."""

import os

import torch

from sslaudit.errors import UsageError

_MOST_WORKERS = 8


def pick_device(name: str) -> str:
    """``auto`` as the best device there is. Raises ``UsageError`` for one that is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise UsageError(f"--device {name} is not a device; write auto, cpu, cuda, cuda:1 or mps.") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise UsageError(f"--device {name}: torch sees no such device here; write --device cpu.")
    return name


def pick_batch_size(size: tuple[int, int], device: str) -> int:
    """Views in a forward pass: 256, and 16 for large images on a CPU, where small batches stay in cache."""
    return 16 if is_large(size) and torch.device(device).type == "cpu" else 256


def pick_workers(device: str) -> int:
    """Threads that decode: beside a GPU one for each core, up to 8; on a CPU one that works ahead."""
    if torch.device(device).type == "cpu":
        return 1
    return min(_MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def is_large(size: tuple[int, int]) -> bool:
    """Whether images of so many pixels leave the cache of a CPU."""
    return size[0] * size[1] > 64 * 64
