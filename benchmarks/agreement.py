"""Whether kNN names the classes that other implementations name, on the same features with the same k and T.

And whether confidences of the linear probe have the calibration error that another implementation gives.
No times here. Where a prediction differs, the line says how far apart the votes of both classes are, as a
difference of logarithms in float64: far below 1e-5 it is a tie that rounding in float32 decides.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import torch
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.knn import world
from benchmarks.plan import Plan
from benchmarks.table import Entry
from sslaudit_probes.classifiers.accuracy import first_best
from sslaudit_probes.classifiers.calibration import calibration_error
from sslaudit_probes.classifiers.knn import PROTOCOLS, knn_log_votes, top_hits
from sslaudit_probes.classifiers.logistic import fit_logistic

CLASSES = 10
BANK, QUERIES = 10_000, 2_000
BATCH = 500
BINS = 15
"""Of confidences, for the calibration error."""

Features = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Unit rows of the bank, their labels, queries and theirs."""
Predict = Callable[[Features, int, float], np.ndarray]


def measure(plan: Plan) -> Iterator[Entry]:
    """A line for each peer, data set and protocol, one for accuracies and one for calibration errors."""
    yield "Agreement of kNN with other implementations"
    scale = min(1.0, plan.seconds / 2)
    data = {"digits": _digits(), "noisy classes": world(int(BANK * scale), int(QUERIES * scale))}
    for name, predict in _peers():
        for what, features in data.items():
            yield from _lines(name, predict, what, features)
    for peer in ("lightly", "torchmetrics"):
        if find_spec(peer) is None:
            yield f"  {peer} is not installed here, so not compared"
    if find_spec("torchmetrics"):
        yield from (_torchmetrics(what, features) for what, features in data.items())
        yield from (_calibration(what, features) for what, features in data.items())


def _lines(name: str, predict: Predict, what: str, features: Features) -> Iterator[str]:
    bank, labels, query, _ = features
    for k, T in PROTOCOLS:
        votes = knn_log_votes(query, bank, labels, k, T, CLASSES)
        ours, theirs = first_best(votes), predict(features, k, T)
        rows = np.flatnonzero(ours != theirs)
        line = (
            f"  {name}, {what}, k={k}, T={T:g}: {len(ours) - len(rows):,} of {len(ours):,} predictions equal"
        )
        if len(rows):
            apart = (votes[rows, ours[rows]] - votes[rows, theirs[rows]]).max()
            line += f"; the others' votes are {apart:.1e} apart at most"
        yield line


def _peers() -> Iterator[tuple[str, Predict]]:
    yield "scikit-learn", _scikit_learn
    if find_spec("lightly"):
        yield "lightly", _lightly


def _scikit_learn(features: Features, k: int, T: float) -> np.ndarray:
    bank, labels, query, _ = features
    other = KNeighborsClassifier(
        k, algorithm="brute", metric="cosine", weights=lambda distance: np.exp((1 - distance) / T)
    )
    predicted: np.ndarray = other.fit(bank, labels).predict(query)
    return predicted


def _lightly(features: Features, k: int, T: float) -> np.ndarray:
    from lightly.utils.benchmarking.knn import knn_predict

    bank, labels, query, _ = map(torch.from_numpy, features)
    parts = [knn_predict(part, bank.T, labels, CLASSES, k, T)[:, 0] for part in query.split(BATCH)]
    return torch.cat(parts).numpy()


def _torchmetrics(what: str, features: Features) -> str:
    """Top-1 and top-5 accuracy of the same votes."""
    from torchmetrics.functional.classification import multiclass_accuracy

    bank, labels, query, truth = features
    votes = knn_log_votes(query, bank, labels, *PROTOCOLS[-1], CLASSES)
    scores = torch.from_numpy(np.exp(votes - votes.max(axis=1, keepdims=True)))
    target = torch.from_numpy(truth)
    pairs = [
        ((first_best(votes) == truth).mean(), 1),
        (top_hits(votes, truth, 5).mean(), 5),
    ]
    said = [
        f"top {k} {ours:.4f} and "
        f"{float(multiclass_accuracy(scores, target, CLASSES, average='micro', top_k=k)):.4f}"
        for ours, k in pairs
    ]
    return f"  torchmetrics, {what}, accuracy of ours and theirs: {', '.join(said)}"


def _calibration(what: str, features: Features) -> str:
    """The calibration error of a linear probe, over the same bins."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    bank, labels, query, truth = features
    logits = fit_logistic(bank, labels, CLASSES, penalty=1.0).logits(query)
    probabilities = softmax(logits, axis=1)
    ours = calibration_error(probabilities.max(axis=1), first_best(logits) == truth, BINS)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(truth), CLASSES, n_bins=BINS, norm="l1"
    )
    return f"  torchmetrics, {what}, calibration error of ours and theirs: {ours:.6f} and {float(theirs):.6f}"


def _digits() -> Features:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    rows = (data.data / np.linalg.norm(data.data, axis=1, keepdims=True)).astype(np.float32)[order]
    labels = data.target[order]
    return rows[:1257], labels[:1257], rows[1257:], labels[1257:]
