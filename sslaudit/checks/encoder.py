"""Is this encoder loaded, repeatable, and the same for an image whatever stands beside it?

Deviations are held against the distance between images: behind a large common mean everything is small
relative to the length of an embedding. What rounding alone does is relative to the length, and allowed
beside it.
"""

import numpy as np
import torch
from torch import Tensor

from sslaudit.encoder import Encoder, LoadAudit
from sslaudit.extraction import Extraction, embed_batch
from sslaudit.results import Check
from sslaudit.store import Features

PROBE_IMAGES = 16

_ALONE = 4
"""Images that are embedded one by one."""
_TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2, "fp16": 1e-2}
"""Deviation allowed, relative to the spread of the images."""
_ROUNDING = {"fp32": 1e-5, "bf16": 1e-2, "fp16": 2e-3}
"""Deviation allowed besides, relative to the longest embedding: other shapes take other kernels."""
_REPEATED = 0.1
"""Share of both that two passes of one shape may differ by."""


def check_load(load: LoadAudit) -> Check:
    """All backbone tensors come from the file."""
    return Check(name="load", status="pass" if load.complete else "fail", message=load.sentence())


def check_behaviour(encoder: Encoder, images: Tensor, how: Extraction) -> list[Check]:
    """Two forwards are equal, the batch does not matter, no buffer changes. Takes uint8 (B, 3, H, W).

    An image is embedded alone, in the batch, and beside negatives of images: a batch of equal images
    would not show that its statistics are used.
    """
    first = embed_batch(encoder, images, how)  # what is computed once and kept is there after it
    before = _buffers(encoder)
    again = embed_batch(encoder, images, how)
    changed = _changed(before, _buffers(encoder))
    allowed = _allowed(first, how)
    same = torch.equal(first, again) or _apart(first, again) <= _REPEATED * allowed
    return [
        Check(
            name="deterministic",
            status="pass" if same else "fail",
            message="two forward passes agree" if same else "two forward passes of one batch differ",
        ),
        _check_batch(encoder, images, first, how, allowed),
        Check(
            name="buffers",
            status="fail" if changed else "pass",
            message=_said_of(changed) if changed else "buffers unchanged",
        ),
    ]


def check_cache(encoder: Encoder, images: Tensor, features: Features, how: Extraction) -> bool:
    """Whether features read from the cache are what the encoder computes now, to float error."""
    now = embed_batch(encoder, images, how)
    then = torch.from_numpy(np.array(next(features.chunks())[1][: len(now), 0]))
    return now.shape == then.shape and _apart(now, then) <= _TOLERANCE[how.precision] * _longest(now)


def _check_batch(encoder: Encoder, images: Tensor, first: Tensor, how: Extraction, allowed: float) -> Check:
    few = images[:_ALONE]
    try:
        alone = torch.cat([embed_batch(encoder, image[None], how) for image in few])
        beside = embed_batch(encoder, torch.cat([few, 255 - few]), how)[: len(few)]
    except Exception as error:  # batch statistics of one image, or a shape that is fixed
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return Check(name="batch-invariant", status="fail", message=f"it fails on other batches: {reason}")
    apart = max(_apart(first[: len(few)], alone), _apart(beside, alone))
    longest, spread = _longest(first), _spread(first)
    message = f"alone or in a batch: relative deviation {apart / longest if longest else 0.0:.0e}"
    if apart > allowed and spread and np.isfinite(apart):
        message += f", {apart / spread:.0%} of the spread of images"
    return Check(name="batch-invariant", status="pass" if apart <= allowed else "fail", message=message)


def _allowed(embedded: Tensor, how: Extraction) -> float:
    """The deviation (an l2 distance) that passes."""
    return _TOLERANCE[how.precision] * _spread(embedded) + _ROUNDING[how.precision] * _longest(embedded)


def _spread(embedded: Tensor) -> float:
    """Median distance of (B, D) from their mean, of what is finite."""
    rows = _finite_rows(embedded)
    return float((rows - rows.mean(dim=0)).norm(dim=1).median())


def _longest(embedded: Tensor) -> float:
    return float(_finite_rows(embedded).norm(dim=1).max())


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest distance of two rows; infinite where one has numbers and the other has none."""
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)):
        return float("inf")
    return float((_finite_rows(a) - _finite_rows(b)).norm(dim=1).max())


def _finite_rows(embedded: Tensor) -> Tensor:
    """In float64, zero in place of what is not finite: that is for another check."""
    return torch.where(torch.isfinite(embedded), embedded, 0.0).double()


def _buffers(encoder: Encoder) -> dict[str, Tensor]:
    """Copies, by name."""
    if encoder.module is None:
        return {}
    return {name: buffer.clone() for name, buffer in encoder.module.named_buffers()}


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names of buffers that came, went or have other numbers."""
    kept = (name for name in before if name in after and not _equal(before[name], after[name]))
    return [*sorted(before.keys() ^ after.keys()), *kept]


def _equal(a: Tensor, b: Tensor) -> bool:
    """To the last bit or both not a number: NaN differs from itself."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _said_of(changed: list[str]) -> str:
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"evaluating changes buffers (running statistics?): {changed[0]}{more}"
