"""The metric ``knn``: one search for the whole protocol, and the edge cases that break others."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from sslaudit.errors import UsageError
from sslaudit.results import Estimate
from sslaudit.stats import wilson
from sslaudit_probes import first_best, knn_log_votes

Measure = Callable[..., Mapping[str, Estimate]]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(seed: int, n: int, q: int, d: int, classes: int) -> tuple[np.ndarray, ...]:
    """Bank, its labels, queries and theirs: noisy copies of one centre for each class."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(classes, d))
    labels, truth = generator.integers(0, classes, n), generator.integers(0, classes, q)
    bank = unit(centres[labels] + generator.normal(scale=1.5, size=(n, d)))
    return bank, labels, unit(centres[truth] + generator.normal(scale=1.5, size=(q, d))), truth


def split(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, range, range]:
    """Features of both splits as one view each, and their indices."""
    images = len(train) + len(test)
    return np.concatenate([train, test])[:, None], range(len(train)), range(len(train), images)


def neighbours(k: int, T: float) -> KNeighborsClassifier:
    return KNeighborsClassifier(
        k, algorithm="brute", metric="cosine", weights=lambda distance: np.exp((1 - distance) / T)
    )


def test_the_metric(measure_term: Measure) -> None:
    bank, labels, query, truth = world(5, 300, 100, 6, 6)
    scale = np.random.default_rng(6).uniform(0.1, 10, (400, 1, 1))
    views, train, test = split(bank, query)
    names = tuple("abcdef")
    estimate = measure_term("knn", views * scale, [*labels, *truth], train, test, classes=names)[""]
    predicted = neighbours(20, 0.07).fit(bank, labels).predict(query)
    correct = predicted == truth
    assert estimate.value == pytest.approx(correct.mean())
    assert 0.3 < estimate.value < 1
    assert estimate.interval == wilson(int(correct.sum()), 100)
    assert estimate.samples["prediction"] == [None] * 300 + [names[k] for k in predicted]
    assert estimate.samples["correct"] == [None] * 300 + [int(hit) for hit in correct]
    assert estimate.details["majority"] == (truth == np.bincount(labels).argmax()).mean()
    assert estimate.details["tested"] == 100


def test_every_k_of_the_protocol_is_tested_and_none_is_chosen(measure_term: Measure) -> None:
    bank, labels, query, truth = world(5, 300, 100, 6, 6)
    views, train, test = split(bank, query)
    found = measure_term("knn", views, [*labels, *truth], train, test)
    assert list(found) == ["", "top-5", "k10", "k100", "k200", "k200-T0.1"]
    for name, k, T in (("k10", 10, 0.07), ("k100", 100, 0.07), ("k200", 200, 0.07), ("k200-T0.1", 200, 0.1)):
        one, correct = found[name], neighbours(k, T).fit(bank, labels).predict(query) == truth
        assert one.value == pytest.approx(correct.mean())
        assert one.interval == wilson(int(correct.sum()), 100)
        assert one.minor
        assert len(one.label) <= 26
        assert one.details["k"] == k
    assert not found[""].minor
    other = measure_term("knn(k=200,T=.1)", views, [*labels, *truth], train, test)
    assert list(other) == ["", "top-5", "k10", "k20", "k100", "k200"]
    assert other[""].value == found["k200-T0.1"].value
    assert other["k20"].value == found[""].value


def test_top_5_against_scikit_learn(measure_term: Measure) -> None:
    bank, labels, query, truth = world(9, 400, 120, 4, 9)
    views, train, test = split(bank, query)
    found = measure_term("knn", views, [*labels, *truth], train, test)
    shares = neighbours(20, 0.07).fit(bank, labels).predict_proba(query)
    best = np.argsort(-shares, axis=1, kind="stable")[:, :5]
    hits = (best == truth[:, None]).any(axis=1) & (shares[np.arange(120), truth] > 0)
    assert found["top-5"].value == found[""].details["top5"] == hits.mean()
    assert found["top-5"].interval == wilson(int(hits.sum()), 120)
    assert found[""].value < hits.mean() < 1


def test_k_above_the_bank(measure_term: Measure) -> None:
    views, train, test = split(np.eye(4)[[0, 0, 1, 1, 1]] + 0.01, np.eye(4)[np.arange(32) % 2] + 0.01)
    labels = np.concatenate([[0, 0, 1, 1, 1], np.arange(32) % 2])
    estimate = measure_term("knn(k=200)", views, labels, train, test)[""]
    assert estimate.value == 1
    assert estimate.details["k"] == 5
    assert "k = 200 is more than the 5 training images" in estimate.note
    flat = measure_term("knn(k=200,T=1e6)", views, labels, train, test)[""]
    assert flat.value == 0.5  # without weights the larger class wins everywhere


def test_top_5_gives_no_credit_without_votes(measure_term: Measure) -> None:
    views, train, test = split(np.eye(10), np.eye(10)[[0]])
    found = measure_term("knn(k=1)", views, [*range(10), 1], train, test)
    assert (found[""].value, found["top-5"].value) == (0, 0)
    assert "more than" not in found[""].note
    everyone = measure_term("knn(k=10,T=10)", views, [*range(10), 1], train, test)
    assert (everyone[""].value, everyone["top-5"].value) == (0, 1)


def test_few_classes_have_no_top_5(measure_term: Measure) -> None:
    bank, labels, query, truth = world(7, 30, 10, 4, 5)
    views, train, test = split(bank, query)
    found = measure_term("knn", views, [*labels, *truth], train, test)
    assert "top-5" not in found
    assert "top5" not in found[""].details


def test_an_image_in_both_splits_does_not_vote_for_itself(measure_term: Measure) -> None:
    generator = np.random.default_rng(7)
    rows, labels = generator.normal(size=(500, 16)), generator.integers(0, 10, 500)
    found = measure_term("knn(k=1)", rows[:, None], labels, range(500), range(500))
    for name, k in (("", 1), ("k10", 10)):
        votes = knn_log_votes(rows, rows, labels, k, 0.07, 10, leave_one_out=True)
        uneven = np.mean([(first_best(votes) == labels)[labels == c].mean() for c in range(10)])
        expected = uneven if found[name].details.get("balanced") else (first_best(votes) == labels).mean()
        assert found[name].value == pytest.approx(expected)
    assert found[""].value < 0.2
    assert "do not vote for themselves" in found[""].note
    some = measure_term("knn(k=1)", rows[:, None], labels, range(0, 300), range(200, 500))[""]
    assert some.value < 0.25


def test_a_bank_of_the_test_image_alone_is_refused(measure_term: Measure) -> None:
    estimate = measure_term("knn", np.eye(2)[:, None], [0, 1], [1], [1])
    assert isinstance(estimate, Estimate)
    assert estimate.value is None
    assert "beside the test image itself" in estimate.reason


@pytest.mark.parametrize("value", [0.7, 0.0])
def test_a_collapsed_encoder_gets_the_majority_rate(measure_term: Measure, value: float) -> None:
    labels = np.array([0, 1, 1, 2, 1, 0, 0, 2, 1, 1])
    found = measure_term("knn(k=2)", np.full((10, 1, 8), value), labels, range(5), range(5, 10))
    assert found[""].details["accuracy"] == found[""].details["majority"] == 0.4
    for estimate in found.values():  # balanced: class 1 has 2.5 times the images of class 2
        assert estimate.value == pytest.approx(1 / 3)
    assert ("are zero" in found[""].note) == (value == 0)


def test_a_large_collapsed_world(measure_term: Measure) -> None:
    labels = np.repeat(np.arange(4), 250)
    order = np.random.default_rng(0).permutation(1000)
    row = np.random.default_rng(1).normal(size=64)
    features = np.tile(row, (1000, 1)) * np.random.default_rng(2).uniform(0.1, 10, (1000, 1))
    for estimate in measure_term("knn", features[:, None], labels, order[:700], order[700:]).values():
        assert estimate.value == estimate.details["majority"]


def test_a_shuffled_bank_gives_the_same_answers(measure_term: Measure) -> None:
    bank, labels, query, truth = world(8, 80, 40, 3, 4)
    bank = np.concatenate([bank, bank])  # every place is a tie, and between classes
    labels = np.concatenate([labels, labels[::-1]])
    order = np.random.default_rng(9).permutation(160)
    answers = [
        measure_term("knn(k=5)", split(rows, query)[0], [*ys, *truth], range(160), range(160, 200))
        for rows, ys in ((bank, labels), (bank[order], labels[order]))
    ]
    assert answers[0] == answers[1]


def test_pixels_of_digits(measure_term: Measure) -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    train, test = order[:1257], order[1257:]
    found = measure_term("knn", digits.data[:, None], digits.target, train, test)
    for name, k, T in (("", 20, 0.07), ("k200-T0.1", 200, 0.1)):
        other = neighbours(k, T).fit(digits.data[train], digits.target[train])
        assert found[name].value == other.score(digits.data[test], digits.target[test])
    assert found[""].value > 0.95


@pytest.mark.parametrize("term", ["knn(k=0)", "knn(k=-3)", "knn(T=0)", "knn(T=-.1)"])
def test_bad_options_are_named(measure_term: Measure, term: str) -> None:
    with pytest.raises(UsageError, match=r"option (k|T)=.* is below"):
        measure_term(term, np.eye(4)[:, None], [0, 1, 0, 1], [0, 1], [2, 3])


def test_equal_inputs_give_equal_answers(measure_term: Measure) -> None:
    features = torch.randn(200, 1, 32, generator=torch.Generator().manual_seed(0)).numpy()
    labels = np.arange(200) % 7
    first, second = (measure_term("knn", features, labels, range(150), range(150, 200)) for _ in range(2))
    assert first == second
