"""k nearest neighbours by cosine, each voting with weight exp(cosine / T): the protocol of DINO.

Traps: top-5 must not credit classes that got no vote; k is at most the number of rows that may vote; a
query that lies in the bank is its own nearest neighbour and must not vote for itself; neighbours that tie
with the last one all vote. And the best k on the test images is a choice made on the test images: all k of
the protocol are shown, and none is chosen.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslaudit.results import Detail, Estimate
from sslaudit_probes.classifiers.accuracy import TIE, accuracy, first_best
from sslaudit_probes.classifiers.neighbours import UnitRows
from sslaudit_probes.classifiers.votes import Protocol, log_votes

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

PROTOCOLS: tuple[Protocol, ...] = ((10, 0.07), (20, 0.07), (100, 0.07), (200, 0.07), (200, 0.1))
"""k and T of Caron et al. 2021; the last of Wu et al. 2018 and Huang et al. 2023 differs in T."""


def knn_votes(
    query: np.ndarray | Tensor,
    bank: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    k: int,
    T: float,
    classes: int,
    *,
    leave_one_out: bool = False,
) -> np.ndarray:
    """Sum of exp(cosine / T) over the k nearest rows of ``bank``, by class: (Q, K) float64.

    Takes what ``knn_log_votes`` takes. Below T of about .0014 a vote may overflow; ``knn_log_votes`` does
    not. Source: Caron et al., ICCV 2021; Wu et al., CVPR 2018, Sec. 3.4.
    """
    votes: np.ndarray = np.exp(
        knn_log_votes(query, bank, labels, k, T, classes, exact=True, leave_one_out=leave_one_out)
    )
    return votes


def knn_log_votes(
    query: np.ndarray | Tensor,
    bank: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    k: int,
    T: float,
    classes: int,
    *,
    exact: bool = False,
    leave_one_out: bool = False,
) -> np.ndarray:
    """Logarithm of the votes of the k nearest rows, -inf for a class without votes: (Q, K) float64.

    ``query`` (Q, D) and ``bank`` (N, D) are arrays or tensors, of any length of their rows; a zero row has
    cosine 0 with everything. ``labels`` (N,) are 0..K-1. Computes on the device of ``bank``. A k above N
    is N. Neighbours that tie with the k-th all vote, so the order of the bank does not matter.
    ``leave_one_out`` takes queries and bank for the same rows in the same order; none votes for itself,
    and k is at most N - 1. ``exact`` computes all cosines in float64, which gives the same neighbours;
    else a faster product finds candidates first. Raises ``ValueError`` for k < 1, T <= 0, an empty bank,
    entries that are not finite, or shapes that do not fit.
    """
    rows, others = UnitRows(_on(query, bank)), UnitRows(bank)
    voters = len(others) - leave_one_out
    if k < 1 or T <= 0 or voters < 1:
        raise ValueError(f"kNN needs k >= 1, T > 0 and a bank, not k={k}, T={T} and {voters} rows.")
    if len(labels) != len(others):
        raise ValueError(f"{len(labels)} labels do not belong to a bank of {len(others)} rows.")
    if rows.raw.shape[1] != others.raw.shape[1]:
        raise ValueError(f"queries of {rows.raw.shape[1]} dimensions, a bank of {others.raw.shape[1]}.")
    own = None
    if leave_one_out:
        if len(rows) != len(others):
            raise ValueError(
                f"leaving one out needs one set, not {len(rows)} queries and {len(others)} rows."
            )
        own = torch.arange(len(rows))
    named = torch.as_tensor(labels, dtype=torch.int64, device=others.raw.device)
    protocols = [(min(k, voters), T)]
    blocks = [votes for (votes,) in log_votes(rows, others, named, protocols, classes, own=own, exact=exact)]
    answer: np.ndarray = torch.cat(blocks).cpu().numpy() if blocks else np.empty((0, classes))
    return answer


def top_hits(log_votes: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class is among the k of (Q, K) with the most votes, and has any: (Q,) bool.

    Ties go to the lowest class index.
    """
    own = np.take_along_axis(log_votes, labels[:, None], axis=1)
    earlier = np.arange(log_votes.shape[1]) < labels[:, None]
    ahead = (log_votes > own + TIE) | ((log_votes >= own - TIE) & earlier)
    hits: np.ndarray = (ahead.sum(axis=1) < k) & np.isfinite(own[:, 0])
    return hits


def compute(inputs: "MetricInputs") -> Estimate | dict[str, Estimate]:
    """The metric ``knn``: accuracy of the k nearest training images, on the test images.

    Formula: class = argmax_c sum over the k nearest i with y_i = c of exp(cos(f, f_i) / T); all that tie
      with the k-th nearest vote, and equal votes go to the first class. Top-5 asks whether the true class
      is among the five with the most votes, and got any.
    Shapes: the identity view of each image, (N, D); labels (N,); the training images are the bank. One
      search serves every k of the protocol: 10, 20, 100 and 200 with T = .07, and 200 with T = .1. All are
      tested on the test images and none is chosen: the best of them would be a choice made on the test
      images.
    Range: 0 to 1, attainable where no two images of different classes share their neighbours. Naming the
      largest class gives the detail majority.
    Typical: measured here, .967 to .980 for the raw pixels of the digits of scikit-learn (five splits, 1,257
      training images) and .10 for random features with ten classes. Caron et al. state .783 on ImageNet
      for a small vision transformer.
    High: images of one class lie together on the sphere; no training of a classifier was needed.
    Low: classes overlap in cosine; a linear probe may still tell them apart where few directions carry the
      class among many that do not.
    Bias: none for this bank. It rises with the number of training images, and the interval (Wilson, over
      test images) does not cover another draw of them.
    Source: Caron et al., ICCV 2021, k-NN protocol; Wu et al., CVPR 2018, Sec. 3.4.
    """
    asked = (inputs.options["k"], inputs.options["T"])
    features = torch.from_numpy(inputs.embeddings).to(inputs.device)
    query, bank = UnitRows(features[inputs.test]), UnitRows(features[inputs.train])
    own = _places(inputs.test, inputs.train)
    voters = len(bank) - bool((own >= 0).any())
    if voters < 1:
        return Estimate.not_applicable("no training image beside the test image itself")
    protocols = [asked, *(protocol for protocol in PROTOCOLS if protocol != asked)]
    used = [(min(k, voters), T) for k, T in protocols]
    labels = torch.from_numpy(inputs.labels[inputs.train]).to(bank.raw.device)
    blocks = log_votes(query, bank, labels, used, len(inputs.classes), own=own)
    predicted, hits = _decide(blocks, inputs.labels[inputs.test], len(protocols))
    zeros = int((~features.any(dim=1)).sum())
    notes = [_note(k, T, voters, left_out=voters < len(bank), zeros=zeros) for k, T in protocols]
    details: dict[str, Detail] = {"k": used[0][0], "T": asked[1]}
    found = {}
    if len(inputs.classes) > 5:
        details["top5"] = hits.mean()
        found["top-5"] = _top_5(inputs, predicted[0], hits, notes[0])
    for (k, T), column, note, (clamped, _) in zip(
        protocols[1:], predicted[1:], notes[1:], used[1:], strict=True
    ):
        one = accuracy(inputs, column, note, {"k": clamped, "T": T})
        name = f"k{k}" if (k, T) in PROTOCOLS[:-1] else f"k{k}-T{T:g}"
        found[name] = replace(one, label=f"kNN, k={k}, T={T:g}", minor=True, headline={}, samples={})
    return {"": accuracy(inputs, predicted[0], notes[0], details), **found}


def _decide(
    blocks: Iterable[list[Tensor]], truth: np.ndarray, protocols: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """The classes (Q,) of each protocol, and whether the true class is among the best five of the first."""
    predicted: list[list[np.ndarray]] = [[] for _ in range(protocols)]
    hits: list[np.ndarray] = []
    start = 0
    for block in blocks:
        votes = [part.cpu().numpy() for part in block]
        for column, part in zip(predicted, votes, strict=True):
            column.append(first_best(part))
        hits.append(top_hits(votes[0], truth[start : start + len(votes[0])], 5))
        start += len(votes[0])
    return [np.concatenate(column) for column in predicted], np.concatenate(hits)


def _top_5(inputs: "MetricInputs", predicted: np.ndarray, hits: np.ndarray, note: str) -> Estimate:
    """The share of test images whose class is among the best five."""
    named = np.where(hits, inputs.labels[inputs.test], predicted)  # what misses the five misses the first
    said = f"The true class is among the five with the most votes, and has any. {note}"
    found = accuracy(inputs, named, said)
    return replace(found, label="kNN, top 5", minor=True, headline={}, samples={})


def _places(test: np.ndarray, train: np.ndarray) -> Tensor:
    """The row of the bank that each test image is itself, -1 where it is none: (Q,)."""
    place = np.full(max(test.max(), train.max()) + 1, -1)
    place[train] = np.arange(len(train))
    return torch.from_numpy(place[test])


def _note(k: int, T: float, voters: int, *, left_out: bool, zeros: int) -> str:
    used = min(k, voters)
    note = f"Cosine, {used} neighbours with weights exp(cosine / {T:g}), all ties at the last place included."
    if used < k:
        note += f" k = {k} is more than the {voters} training images, so all of them vote."
    if left_out:
        note += " Test images that are training images too do not vote for themselves."
    if zeros:
        note += f" Embeddings that are zero, whose cosine with everything counts as 0: {zeros:,}."
    return note


def _on(rows: np.ndarray | Tensor, like: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """``rows`` on the device of ``like``."""
    if not isinstance(like, Tensor):
        return rows.cpu() if isinstance(rows, Tensor) else rows
    return torch.as_tensor(rows).to(like.device)
