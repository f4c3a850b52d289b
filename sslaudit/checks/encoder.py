"""Is this encoder loaded, alive and repeatable, and is the data what it seems?"""

import numpy as np
import torch
from torch import Tensor

from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, LoadAudit
from sslaudit.extraction import Extraction, embed_batch
from sslaudit.results import Check, Status
from sslaudit.store import Features

PROBE_IMAGES = 16
_TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2, "fp16": 1e-2}


def check_load(load: LoadAudit) -> Check:
    """All backbone tensors come from the file."""
    return Check(name="load", status="pass" if load.complete else "fail", message=load.sentence())


def check_data(data: Dataset) -> Check:
    """No image has two labels, and none stands on both sides of the split."""
    test = set(data.test.tolist())
    seen: dict[str, tuple[int, bool]] = {}
    torn, leaked = set(), set()
    for i, digest in enumerate(data.digests):
        label, held_out = -1 if data.labels is None else int(data.labels[i]), i in test
        first_label, first_held_out = seen.setdefault(digest, (label, held_out))
        torn |= {digest} if label != first_label else set()
        leaked |= {digest} if held_out != first_held_out else set()
    found = [
        f"{len(digests)} identical images {what}"
        for digests, what in ((torn, "have different labels"), (leaked, "stand in both train and test"))
        if digests
    ]
    message = "; ".join(found) or "no image has two labels or stands in both train and test"
    return Check(name="data", status="warn" if found else "pass", message=message)


def check_behaviour(encoder: Encoder, images: Tensor, how: Extraction) -> list[Check]:
    """Two forwards are equal, the batch does not matter, no buffer changes. Takes uint8 (B, 3, H, W)."""
    before = _buffers(encoder)
    first, again = embed_batch(encoder, images, how), embed_batch(encoder, images, how)
    alone = torch.cat([embed_batch(encoder, image[None], how) for image in images[:4]])
    same = torch.equal(first, again) or _deviation(first, again) <= _TOLERANCE[how.precision] * 1e-2
    apart = _deviation(first[: len(alone)], alone)
    unchanged = all(torch.equal(a, b) for a, b in zip(before, _buffers(encoder), strict=True))
    return [
        Check(
            name="deterministic",
            status="pass" if same else "fail",
            message="two forward passes agree" if same else "two forward passes of one batch differ",
        ),
        Check(
            name="batch-invariant",
            status="pass" if apart <= _TOLERANCE[how.precision] else "fail",
            message=f"alone or in a batch: relative deviation {apart:.0e}",
        ),
        Check(
            name="buffers",
            status="pass" if unchanged else "fail",
            message="buffers unchanged" if unchanged else "evaluating changes buffers (running statistics?)",
        ),
    ]


def check_features(features: Features) -> list[Check]:
    """The identity-view embeddings are finite, vary, and fill more than one direction."""
    h = features.identity().astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(h).all(axis=1))
    bad_views = sum(int((~np.isfinite(block)).any(axis=(1, 2)).sum()) for _, block in features.chunks())
    if bad_views:
        first = f", first image {bad[0]}" if len(bad) else ""
        return [Check(name="finite", status="fail", message=f"{bad_views} images have NaN or Inf{first}")]
    finite = Check(name="finite", status="pass", message="no NaN or Inf")
    spread = np.linalg.norm(h - h.mean(axis=0), axis=1).max()
    scale = np.linalg.norm(h, axis=1).max()
    if spread <= 1e-6 * max(scale, np.finfo(np.float64).tiny):
        return [finite, Check(name="non-constant", status="fail", message="all images have one embedding")]
    if zeros := int((np.linalg.norm(h, axis=1) == 0).sum()):
        message = f"{zeros:,} of {len(h):,} images have an embedding of zeros, which has no direction"
        return [finite, Check(name="non-constant", status="fail", message=message)]
    alive = Check(name="non-constant", status="pass", message="embeddings differ between images")
    if len(h) < 3:
        return [finite, alive]
    centred = (h - h.mean(axis=0)) / scale
    gram = centred.T @ centred if h.shape[1] <= len(h) else centred @ centred.T
    rank = float(np.trace(gram) ** 2 / (gram**2).sum())
    most = min(len(h) - 1, h.shape[1])
    status: Status = "fail" if rank < 1.01 and most > 1 else "pass"
    message = f"participation ratio {rank:.1f}, at most {most}"
    return [finite, alive, Check(name="rank", status=status, message=message)]


def check_cache(encoder: Encoder, images: Tensor, features: Features, how: Extraction) -> bool:
    """Whether features read from the cache are what the encoder computes now, to float error."""
    now = embed_batch(encoder, images, how)
    then = torch.from_numpy(np.array(next(features.chunks())[1][: len(now), 0]))
    return now.shape == then.shape and _deviation(now, then) <= _TOLERANCE[how.precision]


def _deviation(a: Tensor, b: Tensor) -> float:
    """Largest distance of two rows over the largest norm; infinite when not a number."""
    scale = max(float(a.norm(dim=1).max()), float(b.norm(dim=1).max()))
    apart = float((a - b).norm(dim=1).max())
    if not np.isfinite(apart):
        return 0.0 if torch.equal(torch.isfinite(a), torch.isfinite(b)) else float("inf")
    return apart / scale if scale else 0.0


def _buffers(encoder: Encoder) -> list[Tensor]:
    return [buffer.clone() for buffer in encoder.module.buffers()] if encoder.module is not None else []
