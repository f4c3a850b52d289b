"""The penalty of a probe, chosen on a part of the training images: the search of CLIP, coarse to fine.

The grid has 96 steps, eight a decade. The search looks at every sixteenth point of it, then at half that
distance on both sides of the best one, and so on: 15 fits at most. It finds a peak, and the highest one
where accuracy has a single peak. Equal accuracies are decided by the cross-entropy on the same part, and
then by the larger penalty; test images decide nothing.
"""

import math

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from sslaudit_probes.classifiers.logistic import Design, Probe, Search

GRID = tuple(np.logspace(-6, 6, 97).tolist())
"""Penalties; 1 / C of scikit-learn."""
COARSEST = 16
"""Steps of the grid between the penalties that are tried first."""
SHARE = 0.2
"""Of the images that choose the penalty."""
UNSEARCHED = 1.0
"""The penalty where nothing can choose one."""
TOLERANCE = 1e-4
"""Of the fits of the search; the probe itself is fitted with a finer one."""


def split_validation(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows to validate, both in order, stratified by the labels (N,).

    Each class of two rows or more has one on the fitting side at least; a class of one row is fitted only.
    Where every class is like that there are no rows to validate.
    """
    counts = np.bincount(labels)
    often = np.flatnonzero(counts[labels] > 1)
    if not len(often):
        return np.arange(len(labels)), often
    share = max(math.ceil(SHARE * len(often)), int((counts > 1).sum()))
    state = int(rng.integers(2**32))
    _, validation = train_test_split(often, test_size=share, stratify=labels[often], random_state=state)
    validation = np.sort(validation)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def search_penalty(
    features: np.ndarray | Tensor, labels: np.ndarray, classes: int, rng: np.random.Generator
) -> Search:
    """The penalty of ``GRID`` with the highest accuracy on the validation rows of features (N, D).

    Raises ``ValueError`` as ``fit_logistic`` does.
    Source: Radford et al., ICML 2021 (CLIP), App. A.3.
    """
    fitting, held = split_validation(labels, rng)
    design = Design.of(features[fitting], labels[fitting], classes)
    unseen, truth = features[held], torch.from_numpy(labels[held])
    tried: dict[int, tuple[tuple[float, float, float], Probe]] = {}

    def attempt(place: int) -> None:
        if place in tried or not 0 <= place < len(GRID):
            return
        near = min(tried, key=lambda other: (abs(other - place), other), default=None)
        start = None if near is None else tried[near][1]
        probe = design.fit(GRID[place], start, tolerance=TOLERANCE)
        logits = torch.as_tensor(probe.logits(unseen)).cpu()
        loss = float(torch.nn.functional.cross_entropy(logits, truth))
        tried[place] = ((_accuracy(logits, truth), -loss, GRID[place]), probe)

    def best() -> int:
        return max(tried, key=lambda place: tried[place][0])

    if not len(held) or not design.rows.shape[1]:
        probe = design.fit(UNSEARCHED)
    else:
        step = COARSEST
        for place in range(len(GRID) - 1, -1, -step):
            attempt(place)
        while step := step // 2:
            peak = best()
            attempt(peak - step)
            attempt(peak + step)
        probe = tried[best()][1]
    logits = torch.as_tensor(probe.logits(unseen)).cpu()
    return Search(
        penalty=probe.penalty,
        at_end=probe.penalty in (GRID[0], GRID[-1]),
        accuracy=_accuracy(logits, truth) if len(held) else None,
        rows=held,
        logits=logits.numpy(),
        probe=probe,
        fits=len(tried),
    )


def _accuracy(logits: Tensor, truth: Tensor) -> float:
    return float((logits.argmax(dim=1) == truth).double().mean())
