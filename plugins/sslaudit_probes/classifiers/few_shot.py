"""What a handful of labels is worth: 1-NN on k images of each class, and probes on shares of the labels.

Trap: a share of few labels may be no more images than a smaller share, since each class gives one at
least; then it is left out, and said.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sslaudit.figures import Curve, Series
from sslaudit.results import Detail, Estimate
from sslaudit.stats import accuracy
from sslaudit_probes.classifiers.accuracy import first_best, imbalance, majority, on_test
from sslaudit_probes.classifiers.knn import knn_log_votes
from sslaudit_probes.classifiers.linear_probe import fitted, training_features
from sslaudit_probes.classifiers.logistic import Probe, fit_logistic
from sslaudit_probes.classifiers.penalty import search_penalty

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

SHARES = (0.01, 0.05, 0.1)
"""Of the training labels, for the linear probes; the probe on all of them is the metric ``linear-probe``."""


def draw_support(
    labels: np.ndarray, train: np.ndarray, k: int, draws: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """``draws`` times k different images of each class out of the indices ``train``.

    A class with fewer than k gives all it has. ``labels`` (N,) are those of all images.
    """
    members = [train[labels[train] == label] for label in np.unique(labels[train])]
    return [
        np.concatenate([rng.choice(rows, size=min(k, len(rows)), replace=False) for rows in members])
        for _ in range(draws)
    ]


def share_sizes(labels: np.ndarray, share: float) -> np.ndarray:
    """How many images of each class 0..K-1 a share of the labels (n,) has: (K,).

    The nearest whole number, one at least, none of a class without images.
    """
    counts = np.bincount(labels)
    sizes: np.ndarray = np.minimum(counts, np.maximum(1, np.rint(share * counts))).astype(int)
    return sizes


def draw_share(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A stratified draw of a share of the rows with labels (n,): their indices in order.

    Raises ``ValueError`` for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share is in (0, 1], not {share}.")
    chosen = [
        rng.choice(np.flatnonzero(labels == label), size=size, replace=False)
        for label, size in enumerate(share_sizes(labels, share))
        if size
    ]
    return np.sort(np.concatenate(chosen))


def one_nn(query: np.ndarray, support: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The class of the nearest support row (S, D) by cosine, for queries (Q, D): (Q,).

    Rows that tie all vote; equal votes go to the lowest class index. A zero row has cosine 0 with all.
    """
    return first_best(knn_log_votes(query, support, labels, 1, 1.0, classes))


def compute(inputs: "MetricInputs") -> dict[str, Estimate]:
    """The metric ``few-shot``: test accuracy where few images are labelled, over random draws of them.

    Formula: mean over draws of the share of test images whose nearest labelled image by cosine, among k of
        each class, has their class. Beside it the accuracy of linear probes on 1, 5 and 10 % of the training
        labels, and on all of them; a share searches its penalty on a fifth of the labels of its first draw,
        and takes 1 where no class has two. Balanced accuracy where the largest class has more than twice the
        images of the smallest.
    Shapes: embeddings (N, D), labels (N,), split into train and test.
    Range: 0 to 1; ``majority`` in the details is what no features at all reach.
    Typical: .82 for 1-NN on the pixels of 8-pixel digits with three labels a class; .59, .84, .90 and .98 for
        probes on 1, 5, 10 and 100 % of 1,200 labels; .10 for random features, all measured.
    High: images of one class lie together, so that one of them speaks for the others.
    Low: what tells the classes apart is there, if at all, only for a classifier that many labels fit.
    Bias: under, for what the features allow: the labelled images are few by intent. The interval is over test
        images and draws, for this training set; few draws make it a little short.
    Source: Cover and Hart, IEEE Trans. Inf. Theory 1967 (1-NN); Chen et al., ICML 2020 (SimCLR; shares of
        the labels, there with fine-tuning).
    """
    main, probes = _nearest(inputs), _probes(inputs)
    taken = {probe.details["share"] for probe in probes.values()}
    note = main.note
    if left := [f"{share:.0%}" for share in SHARES if share not in taken]:
        note += f" No linear probe on {' and '.join(left)} of the labels: as many images as another share."
    return {"": replace(main, note=note, figures=[_curve(probes)]), **probes}


def _nearest(inputs: "MetricInputs") -> Estimate:
    k, draws = inputs.options["k"], inputs.options["draws"]
    rng = inputs.rng()
    features, labels = inputs.embeddings, inputs.labels
    query, truth = features[inputs.test], labels[inputs.test]
    correct = np.stack(
        [
            one_nn(query, features[support], labels[support], len(inputs.classes)) == truth
            for support in draw_support(labels, inputs.train, k, draws, rng)
        ],
        axis=1,
    )
    note = f"Mean over {draws} draws of {k} labelled training images a class, the same for every encoder."
    if short := int((np.bincount(labels[inputs.train]) < k).sum()):
        note += f" Classes with fewer than {k}, which give all they have: {short}."
    return _over_draws(inputs, correct, note, rng)


def _probes(inputs: "MetricInputs") -> dict[str, Estimate]:
    """Estimates of the linear probe by name, on growing shares of the training labels, then on all."""
    (rng,) = inputs.rng().spawn(1)
    labels, classes = inputs.labels[inputs.train], len(inputs.classes)
    features = training_features(inputs)
    query, truth = inputs.embeddings[inputs.test], inputs.labels[inputs.test]
    estimates, before = {}, np.bincount(labels)
    for share in SHARES:
        sizes = share_sizes(labels, share)
        if np.array_equal(sizes, before) or np.array_equal(sizes, np.bincount(labels)):
            continue
        before = sizes
        drawn = [draw_share(labels, share, rng) for _ in range(inputs.options["probes"])]
        chosen = search_penalty(features[drawn[0]], labels[drawn[0]], classes, rng)
        probes = [
            fit_logistic(features[rows], labels[rows], classes, chosen.penalty, chosen.probe)
            for rows in drawn
        ]
        correct = np.stack([first_best(probe.logits(query)) == truth for probe in probes], axis=1)
        estimates[f"probe-{100 * share:g}"] = _of_share(inputs, share, int(sizes.sum()), probes, correct, rng)
    whole = fitted(inputs)
    correct = (first_best(whole.logits(query)) == truth)[:, None]
    estimates["probe-100"] = _of_share(inputs, 1.0, len(labels), [whole], correct, rng)
    return estimates


def _of_share(
    inputs: "MetricInputs",
    share: float,
    images: int,
    probes: list[Probe],
    correct: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    draws = f"mean over {len(probes)} draws, " if len(probes) > 1 else ""
    note = f"Logistic regression on {images:,} training images, {draws}the same for every encoder."
    if slow := sum(not probe.converged for probe in probes):
        note += f" Not converged: {slow} of {len(probes)}."
    estimate = _over_draws(inputs, correct, note, rng)
    return replace(
        estimate,
        bias="under",
        label=f"linear probe, {share:.0%} labels".replace("%", " %"),
        minor=True,
        headline={},
        details={
            **estimate.details,
            "share": share,
            "images": images,
            "penalty": probes[0].penalty,
        },
    )


def _over_draws(inputs: "MetricInputs", correct: np.ndarray, note: str, rng: np.random.Generator) -> Estimate:
    """The estimate of which test images were right in which draw, (m, R)."""
    uneven = imbalance(inputs)
    truth = inputs.labels[inputs.test]
    value, interval = accuracy(correct, truth, balanced=uneven is not None, rng=rng)
    scores = correct if uneven is None else correct * uneven.weights[:, None]
    samples = {"correct": on_test(inputs, correct.astype(int).tolist())}
    details: dict[str, Detail] = {"majority": majority(inputs), "tested": len(correct)}
    if uneven is not None:
        note = f"Balanced accuracy, the mean recall of the classes. {note}"
        samples["score"] = on_test(inputs, scores.tolist())
        details |= {"accuracy": correct.mean(), "balanced": True, "reading": "balanced"}
    return Estimate(
        value=value,
        interval=interval,
        no_interval="" if len(correct) > 1 else "one test image only",
        note=note,
        headline={} if uneven is None else uneven.headline(inputs, correct.mean(axis=1)),
        details={
            **details,
            "lowest_draw": scores.mean(axis=0).min(),
            "highest_draw": scores.mean(axis=0).max(),
        },
        samples=samples,
    )


def _curve(probes: Mapping[str, Estimate]) -> Curve:
    values = [float(probe.value or 0) for probe in probes.values()]
    limits = [probe.interval for probe in probes.values()]
    banded = all(limit is not None for limit in limits)
    return Curve(
        title="accuracy of a linear probe against its labels",
        x_label="% of the training labels",
        y_label="accuracy",
        series=[
            Series(
                name="linear probe",
                x=[100 * float(probe.details["share"] or 0) for probe in probes.values()],
                y=values,
                low=[limit.low for limit in limits if limit] if banded else None,
                high=[limit.high for limit in limits if limit] if banded else None,
            )
        ],
        note="Where the line is flat, more labels no longer help a linear probe.",
    )
