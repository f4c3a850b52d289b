"""Is this encoder loaded, alive and repeatable?"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sslaudit.encoder import Encoder, LoadAudit
from sslaudit.extraction import Extraction, embed_batch
from sslaudit.results import Check, Status
from sslaudit.store import Features

PROBE_IMAGES = 16
_TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2, "fp16": 1e-2}


def check_load(load: LoadAudit) -> Check:
    """All backbone tensors come from the file."""
    return Check(name="load", status="pass" if load.complete else "fail", message=load.sentence())


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
    bad = [
        rows.start + int(i)
        for rows, block in features.chunks()
        for i in np.flatnonzero(~np.isfinite(block).all(axis=(1, 2)))
    ]
    if bad:
        message = f"{len(bad)} images have NaN or Inf, first image {bad[0]}"
        return [Check(name="finite", status="fail", message=message)]
    finite = Check(name="finite", status="pass", message="no NaN or Inf")
    if len(features) < 2:  # whether embeddings differ cannot be seen
        return [finite]
    norms = np.concatenate([np.linalg.norm(block, axis=1) for block in _identity(features)])
    scale, zeros = float(norms.max()), int((norms == 0).sum())
    mean = sum(block.sum(axis=0) for block in _identity(features)) / len(features)
    spread = max(float(np.linalg.norm(block - mean, axis=1).max()) for block in _identity(features))
    if spread <= 1e-6 * max(scale, np.finfo(np.float64).tiny):
        return [finite, Check(name="non-constant", status="fail", message="all images have one embedding")]
    if zeros:
        message = f"{zeros:,} of {len(features):,} images have an embedding of zeros, which has no direction"
        return [finite, Check(name="non-constant", status="fail", message=message)]
    alive = Check(name="non-constant", status="pass", message="embeddings differ between images")
    if len(features) < 3:
        return [finite, alive]
    rank, most = _participation(features, mean, scale), min(len(features) - 1, features.shape[2])
    status: Status = "fail" if rank < 1.01 and most > 1 else "pass"
    message = f"participation ratio {rank:.1f}, at most {most}"
    return [finite, alive, Check(name="rank", status=status, message=message)]


def _identity(features: Features) -> Iterator[np.ndarray]:
    """The identity-view embeddings in float64, block by block: all of them would fill the memory."""
    return (block[:, 0].astype(np.float64) for _, block in features.chunks())


def _participation(features: Features, mean: np.ndarray, scale: float) -> float:
    """(sum of eigenvalues)^2 / sum of their squares, of the covariance."""
    if features.shape[2] <= len(features):
        gram = np.zeros((features.shape[2],) * 2)
        for block in _identity(features):
            centred = (block - mean) / scale
            gram += centred.T @ centred
    else:
        centred = (np.concatenate(list(_identity(features))) - mean) / scale
        gram = centred @ centred.T
    return float(np.trace(gram) ** 2 / (gram**2).sum())


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
