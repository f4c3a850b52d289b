"""A linear probe: multinomial logistic regression on frozen features."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sslaudit.results import Detail, Estimate
from sslaudit.stats import wilson
from sslaudit_probes.classifiers.accuracy import accuracy, first_best
from sslaudit_probes.classifiers.knn import top_hits
from sslaudit_probes.classifiers.logistic import Probe, Search, fit_logistic
from sslaudit_probes.classifiers.penalty import GRID, search_penalty

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


TOP = 5
"""Classes named, for the second accuracy where there are more."""


def fitted(inputs: "MetricInputs") -> Probe:
    """The linear probe of a run: made once, on the training images, for all metrics that read it.

    Its ``search`` holds the validation rows, which are indices into ``inputs.train``, and their logits.
    """
    return inputs.once("linear-probe", lambda: _fit(inputs))


def training_features(inputs: "MetricInputs") -> torch.Tensor:
    """(n, D) of the training images, on the device of the run, or on the CPU where that has no float64."""
    features = torch.from_numpy(inputs.embeddings[inputs.train])
    return features if inputs.device == "mps" else features.to(inputs.device)


def _fit(inputs: "MetricInputs") -> Probe:
    features, labels = training_features(inputs), inputs.labels[inputs.train]
    # Not inputs.rng(), which draws differently for each metric that may be the first to ask.
    rng = np.random.default_rng(inputs.seed)
    search = search_penalty(features, labels, len(inputs.classes), rng)
    probe = fit_logistic(features, labels, len(inputs.classes), search.penalty, search.probe)
    return replace(probe, search=search)


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``linear-probe``: test accuracy of multinomial logistic regression on frozen features.

    Formula: share of test images with argmax_k (W x + b)_k = y, where W and b minimise
        sum_i -log softmax(W x_i + b)[y_i] + penalty / 2 ||W||^2 over the training images, x standardised on
        them. The penalty is the best of 97 from 1e-6 to 1e6 on a fifth of the training images, found coarse
        to fine; then all of them are fitted. penalty = 1 / C of scikit-learn. Equal scores go to the first
        class. Balanced accuracy where the largest class has more than twice the images of the smallest.
    Shapes: embeddings (N, D), labels (N,), split into train and test.
    Range: 0 to 1; ``majority`` in the details is what no features at all reach.
    Typical: .98 for the pixels of 8-pixel digits and 1,200 labels, .10 for random features there, both
        measured.
    High: the classes are linearly separable in the features, up to the few images that are wrong.
    Low: they are not; a kNN that is clearly better says that the classes are there, but not linear.
    Bias: under, with few labels: the best linear classifier is not reached, and the more features, the
        further from it. The interval is of the test images alone, for this training set and split.
    Source: Radford et al., ICML 2021 (CLIP), App. A.3 (the search); Alain and Bengio, ICLR 2017 workshop.
    """
    probe = fitted(inputs)
    search = probe.search
    assert search is not None
    logits, truth = probe.logits(inputs.embeddings[inputs.test]), inputs.labels[inputs.test]
    details: dict[str, Detail] = {
        "penalty": probe.penalty,
        "converged": probe.converged,
        "validation_accuracy": search.accuracy,
        "validated": len(search.rows),
        "steps": probe.steps,
    }
    estimates = {"": accuracy(inputs, first_best(logits), _note(probe, search), details)}
    if len(inputs.classes) > TOP:
        hits = top_hits(logits, truth, TOP)
        estimates[f"top-{TOP}"] = Estimate(
            value=hits.mean(),
            interval=wilson(int(hits.sum()), len(hits)),
            bias="under",
            label=f"linear probe, top {TOP}",
            minor=True,
            note=f"The true class is among the {TOP} with the highest scores; over all test images alike.",
        )
    return estimates


def _note(probe: Probe, search: Search) -> str:
    how = f"penalty {probe.penalty:.3g}, the best of {len(GRID)} on {len(search.rows):,} training images"
    if search.accuracy is None:
        how = f"penalty {probe.penalty:g}, since no class has an image to spare for choosing one"
    elif not search.fits:
        how = f"penalty {probe.penalty:g}, since the features are constant"
    note = f"Logistic regression on standardised features, {how}."
    if search.at_end:
        note += " That is the end of the range, so a better one may lie beyond."
    if not probe.converged:
        note += f" It had not converged after {probe.steps:,} steps."
    return note
