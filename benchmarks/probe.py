"""The linear probe with its search over 96 steps of the penalty, against a fit of scikit-learn for each.

Features are noisy clouds whose axes have very different lengths, as those of networks have, so that neither
is the accuracy 1 nor chance, nor is the fit easy.
"""

import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.plan import Plan
from benchmarks.race import Result, seconds
from benchmarks.table import Entry
from sslaudit_probes.classifiers.logistic import Probe, fit_logistic
from sslaudit_probes.classifiers.penalty import GRID, search_penalty, split_validation

IMAGES, TESTED, DIM, CLASSES = 50_000, 10_000, 512, 10
TARGET = 8.0
"""Times as fast as the fits of scikit-learn, at least."""
POINTS = 0.2
"""Percentage points that the accuracies may differ by."""
GIGABYTES = 8.0
"""What one fit of a thousand classes may take."""

_LARGE = """
import resource, sys, time
import torch
from sslaudit_probes.classifiers.logistic import fit_logistic
n, dim, classes = map(int, sys.argv[1:])
generator = torch.Generator().manual_seed(0)
labels = torch.arange(n) % classes
rows = 0.1 * torch.randn(classes, dim, generator=generator)[labels]
rows += torch.randn(n, dim, generator=generator)
start = time.perf_counter()
probe = fit_logistic(rows, labels, classes, 100.0)
print(time.perf_counter() - start, probe.steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def measure(plan: Plan) -> Iterator[Entry]:
    """A row for the search, a line for the accuracies, and one for a thousand classes."""
    scale = min(1.0, plan.seconds / 2)
    images, dim = int(IMAGES * scale), int(DIM * scale)
    train, test = _world(images, dim, 1), _world(TESTED, dim, 2)
    found: dict[str, float] = {}

    def ours() -> None:
        found["ours"] = _accuracy_of(_probe(*train), *test)

    def peer() -> None:
        found["peer"] = _scikit_learn(*train, *test)

    yield f"A linear probe, its penalty searched: {images:,} images, {dim} features, {CLASSES} classes"
    ours()  # once unmeasured, so that nothing is loaded in the race
    times = seconds(ours), seconds(peer)
    mine, other = (
        Result(name=name, rates=(60 / took,))
        for name, took in zip(("sslaudit", f"scikit-learn lbfgs, {len(GRID) - 1} fits"), times, strict=True)
    )
    yield mine.row(f"probe, n={images:,}, d={dim}", other, "per min", TARGET)
    apart = 100 * abs(found["ours"] - found["peer"])
    met = "met" if apart <= POINTS else "missed"
    yield (
        f"  {times[0]:.2f} and {times[1]:.2f} s; test accuracy {found['ours']:.4f} and {found['peer']:.4f}, "
        f"within {POINTS:g} points: {met}"
    )
    yield _large(images, 4 * dim, int(1000 * scale))


def _probe(features: np.ndarray, labels: np.ndarray) -> Probe:
    search = search_penalty(features, labels, CLASSES, np.random.default_rng(0))
    return fit_logistic(features, labels, CLASSES, search.penalty, search.probe)


def _accuracy_of(probe: Probe, features: np.ndarray, labels: np.ndarray) -> float:
    return float((probe.logits(features).argmax(axis=1) == labels).mean())


def _scikit_learn(features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, truth: np.ndarray) -> float:
    """The accuracy at the best of the penalties on the same validation images, refitted to all."""
    fitting, held = split_validation(labels, np.random.default_rng(0))
    scaler = StandardScaler().fit(features[fitting])
    rows, others = scaler.transform(features[fitting]), scaler.transform(features[held])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = [
            LogisticRegression(C=1 / penalty, max_iter=1000)
            .fit(rows, labels[fitting])
            .score(others, labels[held])
            for penalty in GRID[1:]
        ]
        best = GRID[1:][int(np.argmax(scores))]
        scaler = StandardScaler().fit(features)
        whole = LogisticRegression(C=1 / best, max_iter=1000).fit(scaler.transform(features), labels)
    return float(whole.score(scaler.transform(unseen), truth))


def _large(images: int, dim: int, classes: int) -> str:
    command = [sys.executable, "-c", _LARGE, *map(str, (images, dim, classes))]
    took, steps, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    met = "met" if float(peak) <= GIGABYTES else "missed"
    return (
        f"  one fit, {images:,} images, {dim:,} features, {classes:,} classes: {float(took):.1f} s, "
        f"{steps} steps; peak memory {float(peak):.2f} GiB, within {GIGABYTES:g}: {met}"
    )


def _world(n: int, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, dim) float32 and labels: the same clouds for every seed, other draws."""
    clouds, generator = np.random.default_rng(0), np.random.default_rng(seed)
    axes = np.arange(1, dim + 1) ** -0.5
    centres = 0.15 * clouds.normal(size=(CLASSES, dim)) * axes
    turn = np.linalg.qr(clouds.normal(size=(dim, dim)))[0]
    labels = np.arange(n) % CLASSES
    rows = (centres[labels] + generator.normal(size=(n, dim)) * axes) @ turn
    return np.maximum(rows, 0.1 * rows).astype(np.float32), labels
