"""Did training collapse in the space of its loss, where batch norms of the encoder can hide it?

The check fails where projections of images with different pixels are not finite or are one, by the rules
of ``sslaudit.checks.features``, or where too much of the variance of their directions lies along one line:
the loss no longer tells images apart, and what the embedding still tells is left from before.

Classes alone, each in a direction of its own, put a share s of the variance along one line: 1 / (K - 1) for K
equally large ones, more where some are rare, all for two. With labels the check fails above two thirds of
the way from s to all of it, so never for two classes. Where classes are not known it warns from two thirds
on, since images of two kinds look so too, and fails above nine tenths.

Simsiam without its stop-gradient ends at .78 to .998 on ten classes of digits (24 runs). Six methods that
train well there end at .04 to .28, two seeds each; nor does any of their epochs lie above the limit with
three classes, or with one class far larger than the rest.
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
_WAY, _UNKNOWN = 2 / 3, 0.9
"""How far from what classes give to all of the variance; the share that fails where they are not known."""
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
    along, limit = _along_one_line(z.astype(np.float64)), _limit(shown)
    said = f"{100 * along:.1f} % of the variance of directions lies along one line"
    enough = z.shape[1] > 1 and len(z) >= _IMAGES
    if enough and along > (most := _UNKNOWN if limit is None else limit):
        whose = "" if limit is None else " for these classes"
        return _collapsed(f"{said}, above the limit of {100 * most:.1f} %{whose}")
    if enough and limit is None and along > _WAY:
        message = f"in the space of the loss, {said}, as for images of two kinds"
        return Check(name=CHECK, status="warn", message=message)
    return Check(name=CHECK, status="pass", message="the space of the loss tells images apart")


def _limit(data: Dataset | None) -> float | None:
    """The share that classes allow; None where they are not known."""
    if data is None or data.labels is None or len(data.classes) < 2:
        return None
    if len(data.classes) == 2:
        return 1.0  # by rounding it could be less, and two groups of one direction each lie on one line
    alone = _along_one_line(np.eye(len(data.classes))[data.labels])
    return alone + _WAY * (1 - alone)


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
    return min(1.0, float(strength[0] ** 2) / total)
