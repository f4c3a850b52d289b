"""Metrics of the probes on features that break formulas: values and intervals stay defined and true."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from sslaudit.results import Estimate

Measure = Callable[..., Any]

N, D, V = 80, 6, 3
SHAPE = ("spectrum", "uniformity", "self-cluster", "intrinsic-dimension")
LABELLED = (
    "knn", "linear-probe", "nearest-centre", "few-shot(draws=2,probes=1)", "calibration", "neural-collapse",
    "silhouette", "transferability",
)  # fmt: skip


def clouds() -> tuple[np.ndarray, np.ndarray]:
    """(N, V, D) of four classes, and their labels."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 4
    centres = 2 * generator.normal(size=(4, D))
    images = centres[labels, None] + generator.normal(size=(N, 1, D))
    return images + generator.normal(size=(N, V, D)) / 3, labels


def hard(what: str) -> tuple[np.ndarray, np.ndarray]:
    views, labels = clouds()
    if what == "two points":
        views = np.where(labels[:, None, None] % 2, 1.0, -2.0) * np.ones((N, V, D))
    elif what == "rank 1":
        views = views[..., :1] * np.arange(1, D + 1)
    elif what == "one dimension":
        views = views[..., :1]
    elif what == "most are equal":
        views[8:] = views[8]
    elif what == "one is huge":
        views[5] = 1e30
    elif what == "a class of one and uneven":
        labels = np.where(np.arange(N) % 9, 0, 1 + np.arange(N) % 2)
        labels[1] = 3
    return views, labels


def by_name(answer: Estimate | Mapping[str, Estimate]) -> Mapping[str, Estimate]:
    return {"": answer} if isinstance(answer, Estimate) else answer


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e35])
@pytest.mark.parametrize("term", SHAPE)
def test_the_scale_of_features_does_not_matter(measure_term: Measure, term: str, scale: float) -> None:
    """Squares of float32 leave its range beyond 1e19 and below 1e-19."""
    views, _ = clouds()
    plain, scaled = by_name(measure_term(term, views)), by_name(measure_term(term, scale * views))
    assert set(scaled) == set(plain)
    for name, estimate in plain.items():
        if estimate.value is None:
            assert scaled[name].reason == estimate.reason
        else:
            assert scaled[name].value == pytest.approx(estimate.value, rel=1e-4), name


@pytest.mark.parametrize(
    "what",
    ["two points", "rank 1", "one dimension", "most are equal", "one is huge", "a class of one and uneven"],
)
def test_every_value_is_inside_its_interval_or_says_why_there_is_none(
    measure_term: Measure, what: str
) -> None:
    views, labels = hard(what)
    train, test = np.arange(56), np.arange(56, N)
    for term in (*SHAPE, "lidar", "embedding-map", *LABELLED):
        answer = by_name(measure_term(term, views, labels, train, test))
        for name, estimate in answer.items():
            where = f"{term} {name}"
            assert estimate.verdict != "error", where
            if estimate.value is None:
                assert estimate.reason, where
            elif estimate.interval is None:
                assert estimate.no_interval, where
            else:
                assert estimate.interval.low <= estimate.value <= estimate.interval.high, where
        again = by_name(measure_term(term, views, labels, train, test))
        assert {key: repr(value) for key, value in again.items()} == {
            key: repr(value) for key, value in answer.items()
        }, term
