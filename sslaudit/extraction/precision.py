"""Which precision ``--precision auto`` takes, by what was measured."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder
from sslaudit.extraction.embedder import Embedder, embed_batch
from sslaudit.extraction.how import Extraction, Precision
from sslaudit.extraction.speed import FASTER, seconds_of
from sslaudit.store import write_whole

SHARE = 0.01
"""The deviation allowed, as a share of the median distance of two views of one image."""

_FIRST = "as the first encoder of this run"

_SIDE = 512
"""Side of the matrices whose product tells whether a CPU computes in bfloat16 at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A precision, and why."""

    precision: Precision
    reason: str
    """In words, with the numbers."""


def choose_precision(encoder: Encoder, views: Tensor, how: Extraction, lower: Precision) -> Choice:
    """The ``lower`` precision if it is faster and deviates little enough, else float32.

    ``views`` (B, 2, 3, H, W) are two drawn views of each probe image. The deviation is the largest
    l2 distance between the unit embeddings of one view in the two precisions; it must stay below
    1 % of the median distance of two views of one image in float32.
    """
    tried = _Tried.on(encoder, views, how, lower)
    if not tried.allowed:
        return Choice(precision="fp32", reason=tried.measured)
    times = [_seconds(lambda: tried.fast(tried.probe)), _seconds(lambda: tried.slow(tried.probe))]
    if times[1] < FASTER * times[0]:
        return Choice(precision="fp32", reason=f"{lower} is not clearly faster here")
    return Choice(precision=lower, reason=tried.measured)


def kept_precision(encoder: Encoder, views: Tensor, how: Extraction, first: Precision) -> Choice:
    """``first``, that of the first encoder of a run, where this one deviates little enough, else float32.

    Nothing is timed: the cards of a run are compared, and numbers in two precisions are not.
    """
    if first == "fp32":
        return Choice(precision="fp32", reason=_FIRST)
    tried = _Tried.on(encoder, views, how, first)
    if tried.allowed:
        return Choice(precision=first, reason=f"{_FIRST}; {tried.measured}")
    return Choice(
        precision="fp32", reason=f"{tried.measured}, so not {first}, the first encoder's of this run"
    )


class SettledOnce:
    """What ``--precision auto`` means in one run: decided for its first encoder, kept for the others."""

    def __init__(self) -> None:
        self._first: tuple[str, Choice] | None = None

    def of(
        self, encoder: Encoder, data: Dataset, how: Extraction, views: Callable[[], Tensor], *, cache: Path
    ) -> Choice:
        """The precision for ``encoder``, of ``views`` as ``choose_precision`` takes them.

        Raises ``StoreError``.
        """
        if self._first is None or self._first[0] == encoder.digest:
            choice = settled_precision(encoder, data, how, views, cache=cache)
            self._first = encoder.digest, choice
            return choice
        first = self._first[1].precision
        if first == "fp32":
            return Choice(precision="fp32", reason=_FIRST)
        path = cache / "precision" / f"{how.key(encoder, data)}-{first}-kept.json"
        return _kept_in(path, lambda: kept_precision(encoder, views(), how, first))


def settled_precision(
    encoder: Encoder, data: Dataset, how: Extraction, views: Callable[[], Tensor], *, cache: Path
) -> Choice:
    """The precision for this device, decided once by ``choose_precision``.

    A later run, or one that resumes, finds the choice in ``cache``. What one machine found says
    nothing of one with another lower precision, or with none. Raises ``StoreError``.
    """
    lower = lower_precision(how.device)
    if lower is None:
        return Choice(precision="fp32", reason=f"{how.device} computes nothing lower any faster")
    path = cache / "precision" / f"{how.key(encoder, data)}-{lower}.json"
    return _kept_in(path, lambda: choose_precision(encoder, views(), how, lower))


def lower_precision(device: str) -> Precision | None:
    """The lower precision that a device has arithmetic of its own for; None when there is none."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if kind == "mps":
        return "fp16"
    square = torch.ones(_SIDE, _SIDE)
    low = square.to(torch.bfloat16)
    return "bf16" if 1.5 * _seconds(lambda: low @ low) < _seconds(lambda: square @ square) else None


def precision_floor(embedder: Embedder, images: Tensor) -> float | None:
    """Largest l2 distance between unit embeddings as extracted and in plain float32, over a probe batch.

    None where embeddings are not finite.
    """
    full = replace(embedder.how, precision="fp32", compiled=False)
    low = normalize(embedder(images).cpu(), dim=1)
    exact = normalize(embed_batch(embedder.encoder, images, full), dim=1)
    floor = float((low - exact).norm(dim=1).max())
    return floor if math.isfinite(floor) else None


@dataclass(frozen=True, slots=True)
class _Tried:
    """A lower precision on the views of some images."""

    probe: Tensor
    fast: Embedder
    slow: Embedder
    allowed: bool
    measured: str

    @classmethod
    def on(cls, encoder: Encoder, views: Tensor, how: Extraction, lower: Precision) -> "_Tried":
        full = replace(how, precision="fp32")
        probe = views.flatten(0, 1)
        slow, fast = Embedder(encoder, full), Embedder(encoder, replace(how, precision=lower))
        exact = normalize(embed_batch(encoder, probe, full), dim=1)
        deviation = float((normalize(fast(probe).cpu(), dim=1) - exact).norm(dim=1).max())
        pairs = exact.view(len(views), 2, -1)
        most = SHARE * float((pairs[:, 0] - pairs[:, 1]).norm(dim=1).median())
        measured = (
            f"{lower} deviates from float32 by up to {deviation:.1e}; allowed is {most:.1e}, "
            f"{SHARE:.0%} of the median distance of two views"
        )
        return cls(probe, fast, slow, deviation < most, measured)


def _kept_in(path: Path, choose: Callable[[], Choice]) -> Choice:
    """The choice in the file at ``path``, which is made where there is none."""
    try:
        return Choice(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        choice = choose()
    write_whole(path, json.dumps(asdict(choice)).encode())
    return choice


def _seconds(call: Callable[[], Tensor]) -> float:
    """The best of three; one before them warms up."""
    return min([seconds_of(call) for _ in range(4)][1:])
