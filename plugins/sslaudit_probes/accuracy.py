"""From predicted classes to an estimate: the accuracy on the test images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sslaudit.results import Detail, Estimate
from sslaudit.stats import wilson

if TYPE_CHECKING:
    from sslaudit.inputs import MetricInputs

TIE = 1e-9
"""Scores closer than this are equal: far above the rounding of float64, far below any real difference."""


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


def accuracy(
    inputs: "MetricInputs", predicted: np.ndarray, note: str, details: Mapping[str, Detail] | None = None
) -> Estimate:
    """The estimate of classes ``predicted`` for the test images, in their order."""
    correct = predicted == inputs.labels[inputs.test]
    return Estimate(
        value=correct.mean(),
        interval=wilson(int(correct.sum()), len(correct)),
        note=note,
        details={"majority": majority(inputs), "tested": len(correct), **(details or {})},
        samples={
            "prediction": on_test(inputs, [inputs.classes[k] for k in predicted]),
            "correct": on_test(inputs, correct.astype(int).tolist()),
        },
    )
