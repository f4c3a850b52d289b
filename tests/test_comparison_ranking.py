"""Ranks of encoders, and what keeps cards from being compared."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from sslaudit.comparison import check_comparable, rank
from sslaudit.errors import CardError
from sslaudit.report.card import ReportCard
from sslaudit.results import Check
from tests.comparison_cards import card, metric, right

BASE = right(400, 0.9, 0)
COLUMNS = {
    "good": BASE,
    "near": right(400, 0.9, 1, of=BASE, change=0.05),
    "poor": right(400, 0.6, 2, of=BASE, change=0.6),
    "worst": right(400, 0.3, 3, of=BASE, change=0.9),
}
CARDS = [card(name, {"knn": column}) for name, column in COLUMNS.items()]


def test_ranks_count_who_is_better_and_worse_for_certain() -> None:
    found = rank(CARDS)
    assert (found.term, found.images, found.balanced) == ("knn", 400, False)
    by_place = {standing.place: standing for standing in found.standings}
    assert set(found.top) == {0, 1}
    assert [(by_place[p].rank, by_place[p].last_rank) for p in range(4)] == [(1, 2), (1, 2), (3, 3), (4, 4)]
    best, *others = found.standings
    assert (best.difference, best.difference_interval, best.p) == (0, None, None)
    assert best.value == max(column.mean() for column in COLUMNS.values())
    for standing in others:
        assert standing.difference == pytest.approx(standing.value - best.value)
        assert standing.difference_interval is not None
        assert (standing.difference_interval.high < 0) == (standing.rank > 1)
    assert others[-1].p is not None
    assert others[-1].p < 1e-6


def test_the_order_of_the_cards_changes_nothing() -> None:
    twin = dataclasses.replace(CARDS[0], encoder=dataclasses.replace(CARDS[0].encoder, ref="twin"))
    cards = [*CARDS, twin]
    expected = None
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        found = rank([cards[i] for i in order])
        said = [dataclasses.replace(standing, place=order[standing.place]) for standing in found.standings]
        expected = expected or said
        assert said == expected


def test_equal_encoders_tie_at_zero_and_equal_answers_of_others_are_no_certainty() -> None:
    twin = dataclasses.replace(CARDS[0], encoder=dataclasses.replace(CARDS[0].encoder, ref="twin"))
    stranger = card("stranger", {"knn": BASE})
    for other, width in ((twin, 0.0), (stranger, 2 * 0.0095)):
        found = rank([CARDS[0], other])
        second = found.standings[1]
        assert [(s.rank, s.last_rank) for s in found.standings] == [(1, 2), (1, 2)]
        assert (second.difference, second.p) == (0, 1)
        interval = second.difference_interval
        assert interval is not None
        assert interval.high - interval.low == pytest.approx(width, abs=2e-3)


def test_balanced_accuracy_is_resampled_within_classes() -> None:
    classes = np.repeat([0, 1], [360, 40])
    weights = (400 / (2 * np.array([360, 40])))[classes]
    cards = []
    for name, column in COLUMNS.items():
        made = card(name, {"knn": column})
        score = weights * column
        cards.append(
            dataclasses.replace(
                made,
                metrics=(metric("knn", float(score.mean()), made.metrics[0].interval),),
                samples={"id": list(range(400)), "class": classes.tolist(), "knn/score": score.tolist()},
            )
        )
    found = rank(cards)
    assert found.balanced
    assert all(standing.p is None for standing in found.standings)
    wide, narrow = (ranking.standings[1].difference_interval for ranking in (found, rank(CARDS)))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > narrow.high - narrow.low


def test_the_accuracy_may_be_chosen_and_is_the_first_that_all_have() -> None:
    one = card("one", {"knn": BASE, "probe": COLUMNS["poor"]})
    two = card("two", {"probe": COLUMNS["worst"]})
    assert rank([one, two]).term == "probe"
    assert rank([one, one], "embedding:probe").term == "probe"
    with pytest.raises(CardError, match="card of two has no value of 'knn'"):
        rank([one, two], "knn")
    with pytest.raises(CardError, match="one has no accuracy 'few-shot'; it has knn, probe"):
        rank([one, two], "few-shot")
    with pytest.raises(CardError, match="no accuracy in common"):
        rank([card("three", {"knn": BASE}), two])


def changed(part: str, **fields: object) -> Callable[[ReportCard], ReportCard]:
    return lambda made: dataclasses.replace(
        made, **{part: dataclasses.replace(getattr(made, part), **fields)}
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("data", digest="e" * 64), rf"data digest is {'d' * 60}…? .*--max-images"),
        (
            changed("data", recipe="flip@1"),
            r"data recipe is crop@1 in that of good and flip@1 in that of near",
        ),
        (changed("data", views=8), "data views is 2 .* and 8 .* --views"),
        (changed("data", views_mode="bank"), "data views_mode is per-image .* bank"),
        (changed("data", seed=1), "data seed is 0 .* and 1"),
        (changed("provenance", precision="bf16"), "precision is fp32 .* and bf16 .* --precision"),
        (
            lambda made: dataclasses.replace(
                made, checks=(Check(name="rank", status="fail", message="flat"),)
            ),
            "card of near failed its check 'rank': flat",
        ),
    ],
)
def test_cards_that_differ_are_refused_by_field(
    change: Callable[[ReportCard], ReportCard], said: str
) -> None:
    with pytest.raises(CardError, match=said):
        check_comparable([CARDS[0], change(CARDS[1])])
    with pytest.raises(CardError, match=r"in that of a/ and .* in that of b/|card of b/ failed"):
        rank([CARDS[0], change(CARDS[1])], names=["a/", "b/"])


def test_versions_and_options_of_the_accuracy_are_the_same() -> None:
    def with_metric(**fields: object) -> ReportCard:
        return dataclasses.replace(CARDS[1], metrics=(dataclasses.replace(CARDS[1].metrics[0], **fields),))

    with pytest.raises(CardError, match="'knn' version is 1 in that of good and 2 in that of near; evaluate"):
        rank([CARDS[0], with_metric(version=2)])
    with pytest.raises(CardError, match="'knn' option k is None in that of good and 5"):
        rank([CARDS[0], with_metric(options={"k": 5})])


def test_other_preprocessing_is_compared_and_missing_samples_are_named() -> None:
    encoder = CARDS[1].encoder
    larger = dataclasses.replace(encoder, preprocess=dataclasses.replace(encoder.preprocess, size=(32, 32)))
    assert len(rank([CARDS[0], dataclasses.replace(CARDS[1], encoder=larger)]).standings) == 2
    with pytest.raises(CardError, match=r"near has no column of 'knn' for single images \(samples.parquet"):
        rank([CARDS[0], dataclasses.replace(CARDS[1], samples={})])
    with pytest.raises(CardError, match="no card to compare"):
        rank([])
