"""Few-shot 1-NN: fair draws, the same for every encoder; accuracy against loops; honest intervals."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from sslaudit.errors import UsageError
from sslaudit.figures import Curve
from sslaudit.results import Estimate
from sslaudit.stats import paired_difference, wilson
from sslaudit_probes import draw_support, one_nn
from sslaudit_probes.classifiers.few_shot import draw_share, share_sizes
from sslaudit_probes.classifiers.logistic import fit_logistic

Measure = Callable[..., dict[str, Estimate]]


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
    estimate = measure_term("few-shot(k=3,draws=8,probes=1)", views, labels, train, test)[""]
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
    values = [
        measure_term(f"few-shot(k={k},probes=1)", views, labels, train, test)[""].value for k in (1, 5, 40)
    ]
    assert values[0] + 0.02 < values[1] < values[2] + 0.02


def test_every_encoder_sees_the_same_draws(measure_term: Measure) -> None:
    views, labels = noisy(4, 90)
    train, test = np.arange(45), np.arange(45, 90)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    first = measure_term("few-shot", views, labels, train, test)
    turned = measure_term("few-shot", views @ rotation, labels, train, test)
    assert turned[""].samples == first[""].samples
    assert (turned[""].value, turned[""].interval) == (first[""].value, first[""].interval)
    assert measure_term("few-shot", views, labels, train, test) == first
    scaled = measure_term("few-shot", 1e3 * views, labels, train, test)
    assert [one.samples for one in scaled.values()] == [one.samples for one in first.values()]
    other = measure_term("few-shot", views, labels, train, test, seed=1)
    assert all(other[name].samples != first[name].samples for name in ("", "probe-1", "probe-10"))


def test_two_encoders_are_compared_on_images_and_draws(measure_term: Measure) -> None:
    sharp, labels = noisy(6, 180, noise=0.3)
    blurred = sharp + np.random.default_rng(7).normal(scale=0.5, size=sharp.shape)
    train, test = np.arange(90), np.arange(90, 180)
    columns = [
        [[np.nan] * 20 if entry is None else entry for entry in estimate.samples["correct"]]
        for estimate in (
            measure_term("few-shot(probes=1)", views, labels, train, test)[""] for views in (sharp, blurred)
        )
    ]
    value, interval = paired_difference(*columns, np.random.default_rng(0))
    assert 0 < interval.low < value < interval.high


def test_classes_with_too_few_images_are_said(measure_term: Measure) -> None:
    views, labels = noisy(8, 24)
    train = [0, 1, 2, 3, 4]  # two of class 0, two of class 1, one of class 2
    estimate = measure_term("few-shot(k=2)", views, labels, train, range(5, 24))[""]
    assert "Classes with fewer than 2, which give all they have: 1." in estimate.note
    assert estimate.value is not None


def test_unanimous_images_do_not_claim_certainty(measure_term: Measure) -> None:
    views = np.eye(3)[np.arange(60) % 3][:, None]
    labels = np.arange(60) % 3
    perfect = measure_term("few-shot", views, labels, range(30), range(30, 60))[""]
    assert perfect.value == 1
    assert perfect.interval == wilson(30, 30)
    shifted = [*labels[:30], *(labels[30:] + 1) % 3]
    wrong = measure_term("few-shot", views, shifted, range(30), range(30, 60))[""]
    assert wrong.value == 0
    assert wrong.interval == wilson(0, 30)


def test_one_draw_and_one_image(measure_term: Measure) -> None:
    views, labels = noisy(9, 60)
    single = measure_term("few-shot(draws=1)", views, labels, range(30), range(30, 60))[""]
    assert single.interval.method == "Wilson"
    alone = measure_term("few-shot", views, labels, range(30), [30])[""]
    assert (alone.interval, alone.no_interval) == (None, "one test image only")


@pytest.mark.parametrize("term", ["few-shot(k=0)", "few-shot(draws=0)", "few-shot(probes=0)"])
def test_bad_options_are_named(measure_term: Measure, term: str) -> None:
    views, labels = noisy(10, 12)
    with pytest.raises(UsageError, match=r"option (k|draws|probes)=0 is below 1"):
        measure_term(term, views, labels, range(6), range(6, 12))


def test_shares_are_stratified() -> None:
    labels = np.repeat([0, 1, 3], [500, 40, 2])
    assert share_sizes(labels, 0.01).tolist() == [5, 1, 0, 1]
    assert share_sizes(labels, 0.1).tolist() == [50, 4, 0, 1]
    assert share_sizes(labels, 1.0).tolist() == [500, 40, 0, 2]
    generator = np.random.default_rng(0)
    taken = np.zeros(542)
    for _ in range(2000):
        rows = draw_share(labels, 0.1, generator)
        assert (np.diff(rows) > 0).all()
        assert np.bincount(labels[rows]).tolist() == [50, 4, 0, 1]
        taken[rows] += 1 / 2000
    np.testing.assert_allclose(taken[:540], 0.1, atol=0.03)
    np.testing.assert_allclose(taken[540:], 0.5, atol=0.05)
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match="share is in"):
            draw_share(labels, share, generator)


def test_probes_on_shares_of_the_labels(measure_term: Measure) -> None:
    views, labels = noisy(11, 900, d=12)
    train, test = np.arange(600), np.arange(600, 900)
    answer = measure_term("few-shot(probes=4)", views, labels, train, test)
    assert list(answer) == ["", "probe-1", "probe-5", "probe-10", "probe-100"]
    assert [one.details.get("images") for one in answer.values()] == [None, 6, 30, 60, 600]
    assert [one.minor for one in answer.values()] == [False, True, True, True, True]
    values = [one.value for one in list(answer.values())[1:]]
    assert values[0] + 0.05 < values[1] < values[2] + 0.03 < values[3] + 0.06
    for one in answer.values():
        assert one.interval.low < one.value < one.interval.high
        assert len(one.label) <= 26
    table = np.array([answer["probe-5"].samples["correct"][i] for i in test])
    assert table.shape == (300, 4)
    assert answer["probe-5"].value == pytest.approx(table.mean())
    assert "300 images and 4 random draws" in answer["probe-5"].interval.method
    (figure,) = answer[""].figures
    assert isinstance(figure, Curve)
    assert list(figure.series[0].x) == [1, 5, 10, 100]
    assert list(figure.series[0].y) == values
    whole = measure_term("linear-probe", views, labels, train, test)[""]
    assert values[-1] == whole.value
    penalty = answer["probe-100"].details["penalty"]
    probe = fit_logistic(views[:600, 0].astype(np.float32), labels[:600], 3, penalty)
    assert (probe.logits(views[600:, 0]).argmax(axis=1) == labels[600:]).mean() == pytest.approx(
        values[-1], abs=0.01
    )


def test_shares_of_as_many_images_are_left_out(measure_term: Measure) -> None:
    views, labels = noisy(12, 60)
    some = measure_term("few-shot", views, labels, range(30), range(30, 60))
    assert list(some) == ["", "probe-1", "probe-100"]  # ten a class: 1, 5 and 10 % are one of each
    assert "No linear probe on 5% and 10% of the labels" in some[""].note
    single = measure_term("few-shot", views, labels, range(3), range(30, 60))
    assert list(single) == ["", "probe-100"]
    assert single["probe-100"].details["penalty"] == 1


def test_shares_are_balanced_where_classes_are_not(measure_term: Measure) -> None:
    generator = np.random.default_rng(13)
    labels = generator.permutation(np.repeat([0, 1], [360, 40]))
    views = (labels[:, None] + generator.normal(size=(400, 4)))[:, None]
    answer = measure_term("few-shot(probes=2)", views, labels, range(200), range(200, 400))
    assert "IMBALANCED" in answer[""].headline
    for one in answer.values():
        assert one.details["balanced"] is True
        scores = np.array([one.samples["score"][i] for i in range(200, 400)])
        assert one.value == pytest.approx(scores.mean())
    assert not answer["probe-10"].headline


def test_a_collapsed_encoder_has_shares_too(measure_term: Measure) -> None:
    labels = np.random.default_rng(14).permutation(np.arange(120) % 3)
    for value in (0.0, 1.0):
        answer = measure_term("few-shot", np.full((120, 1, 5), value), labels, range(60), range(60, 120))
        assert all(0.1 < one.value < 0.6 for one in answer.values())
