"""What a handful of labels is worth: 1-NN on k labelled images of each class, over many draws."""

from typing import TYPE_CHECKING

import numpy as np

from sslaudit.encoder import unit_rows
from sslaudit.results import Detail, Estimate, Interval
from sslaudit.stats import clopper_pearson, two_way_bootstrap_mean
from sslaudit_probes.classifiers.accuracy import first_best, imbalance, majority, on_test
from sslaudit_probes.classifiers.knn import knn_log_votes

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs


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


def one_nn(query: np.ndarray, support: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The class of the nearest support row (S, D) by cosine, for queries (Q, D) of unit norm: (Q,).

    Rows that tie all vote; equal votes go to the lowest class index.
    """
    return first_best(knn_log_votes(query, support, labels, 1, 1.0, classes))


def compute(inputs: "MetricInputs") -> Estimate:
    """The metric ``few-shot``."""
    k, draws = inputs.options["k"], inputs.options["draws"]
    rng = inputs.rng()
    features, labels = unit_rows(inputs.embeddings), inputs.labels
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
    uneven = imbalance(inputs)
    scores = correct if uneven is None else correct * uneven.weights[:, None]
    samples = {"correct": on_test(inputs, correct.astype(int).tolist())}
    details: dict[str, Detail] = {"majority": majority(inputs), "tested": len(correct)}
    if uneven is not None:
        note = f"Balanced accuracy, the mean recall of the classes. {note}"
        samples["score"] = on_test(inputs, scores.tolist())
        details |= {"accuracy": correct.mean(), "balanced": True, "reading": "balanced"}
    return Estimate(
        value=scores.mean(),
        interval=_interval(correct, scores, rng),
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


def _interval(correct: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> Interval | None:
    if len(correct) < 2:
        return None
    if correct.all() or not correct.any():  # nothing varies, so a bootstrap would claim certainty
        return clopper_pearson(int(correct[:, 0].sum()), len(correct))
    return two_way_bootstrap_mean(scores, rng)
