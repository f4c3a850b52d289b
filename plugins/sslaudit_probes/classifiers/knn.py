"""k nearest neighbours by cosine, each voting with weight exp(cosine / T): the protocol of DINO."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslaudit.encoder import unit_rows
from sslaudit.results import Detail, Estimate
from sslaudit_probes.classifiers.accuracy import TIE, accuracy, first_best

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

CHUNK = 2**25
"""Similarities held at one time."""

_MARGIN = 4e-6
"""Float32 cosines closer than this may be in the wrong order: over ten times the error measured."""
_BANK_TILE = 8192


def knn_votes(
    query: np.ndarray, bank: np.ndarray, labels: np.ndarray, k: int, T: float, classes: int
) -> np.ndarray:
    """Sum of exp(cosine / T) over the k nearest rows of ``bank``, by class: (Q, K) float64.

    ``query`` (Q, D) and ``bank`` (N, D) have unit rows, ``labels`` (N,) are 0..K-1. A k above N is N.
    Neighbours that tie with the k-th all vote, so the order of the bank does not matter. Raises
    ``ValueError`` for k < 1, T <= 0 or an empty bank. Below T of about .0014 a vote may overflow;
    ``knn_log_votes`` does not.
    Source: Caron et al., ICCV 2021; Wu et al., CVPR 2018, Sec. 3.4.
    """
    votes: np.ndarray = np.exp(knn_log_votes(query, bank, labels, k, T, classes, exact=True))
    return votes


def knn_log_votes(
    query: np.ndarray,
    bank: np.ndarray,
    labels: np.ndarray,
    k: int,
    T: float,
    classes: int,
    *,
    exact: bool = False,
) -> np.ndarray:
    """Logarithm of ``knn_votes``, -inf for a class without votes.

    Unless ``exact``, float32 decides where neighbours and classes are clearly apart, and only close
    cases are repeated in float64. The order of the classes is the same.
    """
    if k < 1 or T <= 0 or not len(bank):
        raise ValueError(f"kNN needs k >= 1, T > 0 and a bank, not k={k}, T={T} and {len(bank)} rows.")
    k = min(k, len(bank))
    target = torch.tensor(labels, dtype=torch.int64)
    if exact:
        return _exact(query, bank, target, k, T, classes)
    columns = torch.tensor(bank, dtype=torch.float32).T
    parts = [
        _fast(torch.tensor(chunk, dtype=torch.float32) @ columns, target, k, T, classes)
        for chunk in _chunks(query, CHUNK // len(bank))
    ]
    log_votes: np.ndarray = torch.cat([part for part, _ in parts]).numpy()
    close = torch.cat([close for _, close in parts]).numpy()
    if close.any():
        log_votes[close] = _exact(query[close], bank, target, k, T, classes)
    return log_votes


def top_hits(log_votes: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class is among the k of (Q, K) with the most votes, and has any: (Q,) bool.

    Ties go to the lowest class index.
    """
    own = np.take_along_axis(log_votes, labels[:, None], axis=1)
    earlier = np.arange(log_votes.shape[1]) < labels[:, None]
    ahead = (log_votes > own + TIE) | ((log_votes >= own - TIE) & earlier)
    hits: np.ndarray = (ahead.sum(axis=1) < k) & np.isfinite(own[:, 0])
    return hits


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``knn``."""
    k, T = inputs.options["k"], inputs.options["T"]
    features, truth = unit_rows(inputs.embeddings), inputs.labels[inputs.test]
    bank, labels = features[inputs.train], inputs.labels[inputs.train]
    log_votes = knn_log_votes(features[inputs.test], bank, labels, k, T, len(inputs.classes))
    used = min(k, len(bank))
    details: dict[str, Detail] = {"k": used}
    if len(inputs.classes) > 5:
        details["top5"] = top_hits(log_votes, truth, 5).mean()
    note = f"Cosine, {used} neighbours with weights exp(cosine / {T:g}), all ties at the last place included."
    if used < k:
        note += f" k = {k} is more than the {used} training images, so all of them vote."
    return accuracy(inputs, first_best(log_votes), note, details)


def _fast(cosine: Tensor, labels: Tensor, k: int, T: float, classes: int) -> tuple[Tensor, Tensor]:
    """Log votes from float32 cosines (q, N), and which rows float32 cannot decide."""
    nearest, places = cosine.topk(min(k + 1, cosine.shape[1]), dim=1)
    nearest = nearest.double()
    close = (nearest[:, k - 1 : k] - nearest[:, k:] <= _MARGIN).any(dim=1)
    best = nearest[:, :1]
    votes = torch.zeros(len(cosine), classes, dtype=torch.float64)
    votes.scatter_add_(1, labels[places[:, :k]], ((nearest[:, :k] - best) / T).exp())
    log_votes = votes.log() + best / T
    leading = log_votes.topk(min(6, classes), dim=1).values  # what decides the best class and the best five
    return log_votes, close | (leading[:, :-1] - leading[:, 1:] <= 2 * _MARGIN / T).any(dim=1)


def _exact(query: np.ndarray, bank: np.ndarray, labels: Tensor, k: int, T: float, classes: int) -> np.ndarray:
    """Log votes from float64 cosines."""
    log_votes = []
    tiles = [bank[start : start + _BANK_TILE] for start in range(0, len(bank), _BANK_TILE)]
    for chunk in _chunks(query, CHUNK // (8 * len(bank))):
        rows = torch.tensor(chunk, dtype=torch.float64)
        cosine = torch.cat([rows @ torch.tensor(tile, dtype=torch.float64).T for tile in tiles], dim=1)
        nearest = cosine.topk(k, dim=1).values
        best = nearest[:, :1]
        weights = ((cosine - best) / T).exp().masked_fill(cosine < nearest[:, -1:] - TIE, 0)
        votes = torch.zeros(len(chunk), classes, dtype=torch.float64).index_add_(1, labels, weights)
        log_votes.append(votes.log() + best / T)
    answer: np.ndarray = torch.cat(log_votes).numpy()
    return answer


def _chunks(query: np.ndarray, rows: int) -> list[np.ndarray]:
    rows = max(1, rows)
    return [query[start : start + rows] for start in range(0, len(query), rows)]
