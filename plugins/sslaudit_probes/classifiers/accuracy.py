"""From predicted classes to an estimate: the accuracy on the test images, balanced where classes are not.

Where the largest class has more than twice the images of the smallest, naming the largest one looks
good. Then the value is balanced accuracy, the mean of the recalls of the classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sslaudit.numbers import number
from sslaudit.results import Detail, Estimate
from sslaudit.stats import UNEVEN, balancing, mean_of_proportions, size_ratio, wilson

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

TIE = 1e-9
"""Scores closer than this are equal: far above the rounding of float64, far below any real difference."""

_WORST = 3


def first_best(scores: np.ndarray) -> np.ndarray:
    """The class with the highest score of each row (Q, K): (Q,). Ties go to the lowest class index."""
    best: np.ndarray = (scores >= scores.max(axis=1, keepdims=True) - TIE).argmax(axis=1)
    return best


def majority(inputs: "MetricInputs") -> float:
    """Accuracy on the test images of always naming the largest class of the training images."""
    largest = np.bincount(inputs.labels[inputs.train], minlength=len(inputs.classes)).argmax()
    return float((inputs.labels[inputs.test] == largest).mean())


def on_test(inputs: "MetricInputs", values: Sequence[Any]) -> list[Any]:
    """A column of samples: ``values`` of the test images in their places, None for all others."""
    column: list[Any] = [None] * len(inputs.labels)
    for place, value in zip(inputs.test.tolist(), values, strict=True):
        column[place] = value
    return column


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Classes of unequal size, and the weights that make the mean over test images balanced."""

    ratio: float
    """Images of the largest class over those of the smallest."""
    weights: np.ndarray
    """(Q,) of the test images; their mean is 1, and that of weights times correct balanced accuracy."""

    def headline(self, inputs: "MetricInputs", correct: np.ndarray) -> dict[str, str]:
        """The line of the first screen; ``correct`` (Q,) is the share of draws in which an image is right."""
        truth = inputs.labels[inputs.test]
        recalls = {k: float(correct[truth == k].mean()) for k in np.unique(truth)}
        worst = sorted(recalls, key=lambda k: (recalls[k], k))[:_WORST]
        listed = ", ".join(f"{inputs.classes[k]} {number(recalls[k])}" for k in worst)
        return {
            "IMBALANCED": f"the largest class has {self.ratio:.1f} times the images of the smallest, so "
            f"balanced accuracy leads; plain accuracy {number(float(correct.mean()))}, naming the largest "
            f"class {number(majority(inputs))}. Worst recalls: {listed}."
        }


def imbalance(inputs: "MetricInputs") -> Imbalance | None:
    """What balances the test images, where the largest class exceeds twice the smallest; else None."""
    ratio = size_ratio(inputs.labels[np.concatenate([inputs.train, inputs.test])])
    if ratio <= UNEVEN:
        return None
    truth = inputs.labels[inputs.test]
    return Imbalance(ratio=ratio, weights=balancing(np.ones(len(truth)), truth))


def accuracy(
    inputs: "MetricInputs", predicted: np.ndarray, note: str, details: Mapping[str, Detail] | None = None
) -> Estimate:
    """The estimate of classes ``predicted`` for the test images, in their order."""
    truth = inputs.labels[inputs.test]
    correct = (predicted == truth).astype(int)
    known: dict[str, Detail] = {"majority": majority(inputs), "tested": len(correct)}
    samples = {
        "prediction": on_test(inputs, [inputs.classes[k] for k in predicted]),
        "correct": on_test(inputs, correct.tolist()),
    }
    if (uneven := imbalance(inputs)) is None:
        return Estimate(
            value=correct.mean(),
            interval=wilson(int(correct.sum()), len(correct)),
            note=note,
            details={**known, **(details or {})},
            samples=samples,
        )
    tested = np.bincount(truth)
    right = np.bincount(truth, weights=correct).astype(int)
    known |= {"accuracy": correct.mean(), "balanced": True, "reading": "balanced"}
    return Estimate(
        value=(uneven.weights * correct).mean(),
        interval=mean_of_proportions(right[tested > 0], tested[tested > 0]),
        note=f"Balanced accuracy, the mean recall of the classes. {note}",
        headline=uneven.headline(inputs, correct),
        details={**known, **(details or {})},
        samples={**samples, "score": on_test(inputs, (uneven.weights * correct).tolist())},
    )
