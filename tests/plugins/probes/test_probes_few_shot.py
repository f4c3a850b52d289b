"""Few-shot 1-NN: fair draws, the same for every encoder; accuracy against loops; honest intervals."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from sslaudit.errors import UsageError
from sslaudit.results import Estimate
from sslaudit.stats import clopper_pearson, paired_difference
from sslaudit_probes import draw_support, one_nn

Measure = Callable[..., Estimate]


def noisy(seed: int, n: int, noise: float = 0.6, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Unit features (n, 1, d) of three classes with noise, and labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    rows = np.eye(3, d)[labels] + generator.normal(scale=noise, size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True))[:, None], labels


def test_draws_are_fair_and_without_repetition() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 9])
    train = np.array([0, 1, 2, 3, 4, 5, 6])
    draws = draw_support(labels, train, 2, 3000, np.random.default_rng(0))
    assert len(draws) == 3000
    for support in draws[:200]:
        assert len(set(support)) == 4
        assert set(support) <= set(train)
        assert sorted(labels[support]) == [0, 0, 1, 1]
    taken = np.bincount(np.concatenate(draws), minlength=7) / 3000
    np.testing.assert_allclose(taken, [1 / 2, 2 / 3, 1 / 2, 2 / 3, 1 / 2, 2 / 3, 1 / 2], atol=0.04)


def test_a_small_class_gives_all_it_has() -> None:
    (support,) = draw_support(np.array([0, 0, 0, 1]), np.arange(4), 3, 1, np.random.default_rng(0))
    assert sorted(support) == [0, 1, 2, 3]


def test_one_nn_against_loops() -> None:
    features, labels = noisy(1, 60)
    query, support = features[:40, 0], features[40:, 0]
    expected = []
    for q in query:
        distances = [math.dist(q, row) for row in support]
        expected.append(labels[40:][distances.index(min(distances))])
    np.testing.assert_array_equal(one_nn(query, support, labels[40:], 3), expected)


def test_ties_do_not_depend_on_order() -> None:
    support, query = np.eye(2)[[0, 1, 0]], np.array([[1.0, 0.0]])
    for labels in ([2, 0, 1], [1, 0, 2]):
        assert one_nn(query, support, np.array(labels), 3)[0] == 1


def test_the_metric(measure_term: Measure) -> None:
    views, labels = noisy(2, 240)
    train, test = np.arange(0, 240, 2), np.arange(1, 240, 2)
    estimate = measure_term("few-shot(k=3,draws=8)", views, labels, train, test)
    column = estimate.samples["correct"]
    assert {column[i] for i in train} == {None}
    table = np.array([column[i] for i in test])
    assert table.shape == (120, 8)
    assert set(table.ravel()) == {0, 1}
    assert len(set(table.mean(axis=0))) > 1
    assert estimate.value == pytest.approx(table.mean())
    assert estimate.interval.low < estimate.value < estimate.interval.high
    assert "120 images and 8 random draws" in estimate.interval.method
    assert estimate.details["lowest_draw"] == table.mean(axis=0).min()
    assert estimate.details["highest_draw"] == table.mean(axis=0).max()
    assert "fewer than" not in estimate.note


def test_more_labels_help(measure_term: Measure) -> None:
    views, labels = noisy(3, 300)
    train, test = np.arange(150), np.arange(150, 300)
    values = [measure_term(f"few-shot(k={k})", views, labels, train, test).value for k in (1, 5, 40)]
    assert values[0] + 0.02 < values[1] < values[2] + 0.02


def test_every_encoder_sees_the_same_draws(measure_term: Measure) -> None:
    views, labels = noisy(4, 90)
    train, test = np.arange(45), np.arange(45, 90)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    first = measure_term("few-shot", views, labels, train, test)
    turned = measure_term("few-shot", views @ rotation, labels, train, test)
    assert turned.samples == first.samples
    assert (turned.value, turned.interval) == (first.value, first.interval)
    assert measure_term("few-shot", views, labels, train, test, seed=1).samples != first.samples


def test_two_encoders_are_compared_on_images_and_draws(measure_term: Measure) -> None:
    sharp, labels = noisy(6, 180, noise=0.3)
    blurred = sharp + np.random.default_rng(7).normal(scale=0.5, size=sharp.shape)
    train, test = np.arange(90), np.arange(90, 180)
    columns = [
        [[np.nan] * 20 if entry is None else entry for entry in estimate.samples["correct"]]
        for estimate in (measure_term("few-shot", views, labels, train, test) for views in (sharp, blurred))
    ]
    value, interval = paired_difference(*columns, np.random.default_rng(0))
    assert 0 < interval.low < value < interval.high


def test_classes_with_too_few_images_are_said(measure_term: Measure) -> None:
    views, labels = noisy(8, 24)
    train = [0, 1, 2, 3, 4]  # two of class 0, two of class 1, one of class 2
    estimate = measure_term("few-shot(k=2)", views, labels, train, range(5, 24))
    assert "Classes with fewer than 2, which give all they have: 1." in estimate.note
    assert estimate.value is not None


def test_unanimous_images_do_not_claim_certainty(measure_term: Measure) -> None:
    views = np.eye(3)[np.arange(60) % 3][:, None]
    labels = np.arange(60) % 3
    perfect = measure_term("few-shot", views, labels, range(30), range(30, 60))
    assert perfect.value == 1
    assert perfect.interval == clopper_pearson(30, 30)
    wrong = measure_term("few-shot", views, [*labels[:30], *(labels[30:] + 1) % 3], range(30), range(30, 60))
    assert wrong.value == 0
    assert wrong.interval == clopper_pearson(0, 30)


def test_one_draw_and_one_image(measure_term: Measure) -> None:
    views, labels = noisy(9, 60)
    single = measure_term("few-shot(draws=1)", views, labels, range(30), range(30, 60))
    assert "30 images" in single.interval.method
    alone = measure_term("few-shot", views, labels, range(30), [30])
    assert (alone.interval, alone.no_interval) == (None, "one test image only")


@pytest.mark.parametrize("term", ["few-shot(k=0)", "few-shot(draws=0)"])
def test_bad_options_are_named(measure_term: Measure, term: str) -> None:
    views, labels = noisy(10, 12)
    with pytest.raises(UsageError, match=r"option (k|draws)=0 is below 1"):
        measure_term(term, views, labels, range(6), range(6, 12))
