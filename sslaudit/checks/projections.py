"""Did training collapse in the space of its loss, where batch norms of the encoder can hide it?

The check fails where projections of images with different pixels are not finite or are one, by the rules
of ``sslaudit.checks.features``, or where nine tenths of the variance of their directions lie along one
line, unless the data have two classes: the loss no longer tells images apart, and what the embedding
still tells is left from before.
"""

from collections.abc import Callable

import numpy as np
from sklearn.utils.extmath import randomized_svd

from sslaudit.checks.features import check_features, sampled
from sslaudit.data import Dataset
from sslaudit.data.dataset import only
from sslaudit.results import Check
from sslaudit.store import Features, InMemory

CHECK = "projections"
_LINE = 0.9
_TWO = 2
_IMAGES = 10
"""Fewer are too few for a failure by direction."""


def check_projections(
    features: Features,
    project: Callable[[np.ndarray], np.ndarray],
    data: Dataset | None = None,
    *,
    precision: str = "fp32",
) -> Check:
    """What the projector makes of some embeddings.

    ``project`` takes embeddings (n, D) float32 to projections (n, P).
    """
    images, h = sampled(features)
    z = project(h.astype(np.float32))
    shown = only(data, images.tolist()) if data is not None else None
    found = check_features(InMemory(z), shown, precision=precision)
    if failed := [check for check in found if check.status == "fail"]:
        return _collapsed(failed[0].message.replace("embedding", "projection"))
    along = _along_one_line(z.astype(np.float64))
    two = data is not None and len(data.classes) == _TWO
    if along > _LINE and z.shape[1] > 1 and len(z) >= _IMAGES and not two:
        return _collapsed(f"{100 * along:.1f} % of the variance of directions lies along one line")
    return Check(name=CHECK, status="pass", message="the space of the loss tells images apart")


def _collapsed(what: str) -> Check:
    left = "what the embedding still tells apart is left from before"
    return Check(name=CHECK, status="fail", message=f"in the space of the loss, {what}; {left}")


def _along_one_line(z: np.ndarray) -> float:
    """The largest share of the variance of the l2-normalised rows (n, P) along one line; 0 without any."""
    lengths = np.linalg.norm(z, axis=1, keepdims=True)
    rows = z / np.where(lengths > 0, lengths, 1.0)
    centred = rows - rows.mean(axis=0)
    if not (total := float(np.square(centred).sum())):
        return 0.0
    _, strength, _ = randomized_svd(centred, n_components=1, random_state=0)
    return float(strength[0] ** 2) / total
