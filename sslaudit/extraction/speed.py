"""How fast an encoder is on this device: its forward passes alone, as a run makes them."""

import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from sslaudit.extraction.embedder import Embedder

FASTER = 1.2
"""How many times as fast is faster: less is noise."""

_BUDGET = 0.2
"""Seconds after which no further pass begins."""

_MOST = 25
"""Passes that are timed."""

_KEPT = 2**25 - 2**16
"""Bytes, a little under the 32 MB up to which glibc learns to keep memory that was freed."""


def images_per_second(embedder: Embedder, images: Tensor, most: int) -> float | None:
    """Images a second through ``embedder``, one view of each, where a run has ``most`` views in all.

    ``images`` (n, 3, H, W) uint8 are repeated to a batch of the run. One pass warms up; the rate is that
    of the median of the passes after it, 25 at most, and no more than begin within a fifth of a
    second. Decoding and drawing views are left out. None where there is nothing to measure.
    """
    rows = embedder.rows if embedder.how.compiled else min(embedder.rows, most)
    if not len(images) or rows < 1:
        return None
    # Freed at once. Without it glibc asks for fresh pages in every pass until something large was freed: the
    # first encoder of a run would look up to twice as slow as the same encoder in second place.
    torch.empty(_KEPT, dtype=torch.uint8)
    batch = images.repeat(math.ceil(rows / len(images)), 1, 1, 1)[:rows].to(embedder.how.device)
    seconds_of(lambda: embedder(batch))
    began = time.perf_counter()
    times: list[float] = []
    while not times or (len(times) < _MOST and time.perf_counter() - began < _BUDGET):
        times.append(seconds_of(lambda: embedder(batch)))
    middle = statistics.median(times)
    return float(f"{rows / middle:.4g}") if middle > 0 else None


def seconds_of(call: Callable[[], Tensor]) -> float:
    """How long ``call`` takes, to the last kernel of the device."""
    start = time.perf_counter()
    call().flatten()[:1].cpu()
    return time.perf_counter() - start


def alike(a: float, b: float) -> bool:
    """Whether two rates are too close to be told apart."""
    return max(a, b) < FASTER * min(a, b)
