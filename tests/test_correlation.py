"""Rank correlations against loops and over all orders, and those of every metric over cards."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.correlation import RankCorrelation, kendall, of_metrics, spearman
from sslaudit.errors import CardError
from sslaudit.report.card import (
    DataRecord,
    EncoderRecord,
    LoadRecord,
    MetricRecord,
    PreprocessRecord,
    Provenance,
    ReportCard,
)
from sslaudit.results import Check

ACCURACY = [89.76, 88.48, 83.50, 63.23, 62.74]


def ranks(column: list[float]) -> list[float]:
    """With ties averaged, by counting."""
    return [
        sum(other < value for other in column) + (sum(other == value for other in column) + 1) / 2
        for value in column
    ]


def by_ranks(a: list[float], b: list[float]) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def by_pairs(a: list[float], b: list[float]) -> float:
    """tau-b."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in pairs]
    both = sum(x * y for x, y in signs)
    return float(both / math.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs)))


def test_accuracy_by_number_of_transforms() -> None:
    for measure in (spearman, kendall):
        found = measure(ACCURACY, [5, 4, 3, 2, 1])
        assert found.value == pytest.approx(1, abs=1e-12)
        assert (found.p, found.smallest_p, found.exact) == (
            pytest.approx(2 / 120),
            pytest.approx(2 / 120),
            True,
        )


def test_ties_have_the_mean_of_their_ranks() -> None:
    assert spearman([1, 2, 2, 3], [4, 1, 3, 2]).value == pytest.approx(-0.632455532033676, abs=1e-12)
    assert kendall([1, 2, 2, 3], [4, 1, 3, 2]).value == pytest.approx(-3 / math.sqrt(30), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(3, 5))
def test_against_loops_and_all_orders(data: st.DataObject, n: int) -> None:
    column = st.lists(st.integers(0, 4).map(float), min_size=n, max_size=n)
    a, b = data.draw(column), data.draw(column)
    for measure, naive in ((spearman, by_ranks), (kendall, by_pairs)):
        found = measure(a, b)
        if len(set(a)) == 1 or len(set(b)) == 1:
            assert found == RankCorrelation(value=None, n=n, reason="the values are all equal")
            continue
        assert found.value == pytest.approx(naive(a, b), abs=1e-9)
        null = np.array([naive(list(order), b) for order in itertools.permutations(a)])
        above, below = np.mean(null >= found.value - 1e-9), np.mean(null <= found.value + 1e-9)
        assert found.p == pytest.approx(min(1, 2 * min(above, below)))
        ends = np.mean(null >= null.max() - 1e-9), np.mean(null <= null.min() + 1e-9)
        assert found.smallest_p == pytest.approx(min(1, 2 * min(ends)))


def test_many_values_take_drawn_orders() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=30)
    b = a + generator.normal(size=30) / 3
    for measure in (spearman, kendall):
        found = measure(a, b)
        assert (found.p, found.smallest_p, found.exact) == (2e-4, 2e-4, False)
        assert found == measure(a, b)
    assert spearman(a, generator.normal(size=30)).p > 0.01


def test_p_is_uniform_without_a_relation() -> None:
    generator = np.random.default_rng(1)
    p = np.array([spearman(generator.normal(size=6), generator.normal(size=6)).p for _ in range(200)])
    assert abs(np.mean(p <= 0.2) - 0.2) < 0.08


def test_what_has_no_order() -> None:
    assert spearman([1, 2], [2, 1]).reason == "2 pairs have no order to speak of: it takes three"
    assert kendall([1, 1, 1], [1, 2, 3]).value is None
    with pytest.raises(ValueError, match="of one length"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="not all finite"):
        kendall([1, 2, float("nan")], [1, 2, 3])


def record(name: str, value: float | None, direction: str = "higher", version: int = 1) -> MetricRecord:
    return MetricRecord(
        name=name, term=name.partition(".")[0], version=version, plugin="p 1", source="s", summary=name,
        group="quality", options={}, value=value, reason="" if value is not None else "none",
        interval=None, no_interval="-", direction=direction, unit="", claim="estimate", bias="none",
        verdict="info", note="", details={}, figures=(), n_images=9, n_views=1, space="embedding",
        seconds=0.0,
    )  # fmt: skip


def card(place: int, *metrics: MetricRecord, digest: str = "d", status: str = "pass") -> ReportCard:
    preprocess = PreprocessRecord(
        size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear", crop=1.0, source="given"
    )
    load = LoadRecord(
        matched=0, expected=0, file="", branch="", others=(), prefix="", renamed=(), missing=(), ignored=(),
        assumptions=(),
    )  # fmt: skip
    return ReportCard(
        encoder=EncoderRecord(
            ref=f"e{place}", name="e", digest="x", dim=2, parameters=1, modality="image",
            preprocess=preprocess, facts={}, load=load,
        ),
        data=DataRecord(
            ref="digits", digest=digest, images=9, classes=("a", "b"), splits={}, split_rule="",
            recipe="none", recipe_assumed=False, recipe_details="", views=1, views_mode="per-image", seed=0,
            skipped=(),
        ),
        checks=(Check(name="finite", status=status, message="m"),),
        metrics=metrics,
        problems=(),
        provenance=Provenance(
            sslaudit="1", python="3", torch="2", device="cpu", precision="fp32", precision_floor=None,
            precision_reason="", compiled=False, batch_size=1, command="", started="", seconds=0.0,
            cached_views=0, plugins={},
        ),
    )  # fmt: skip


def cards() -> list[ReportCard]:
    good = [0.5, 0.9, 0.7, 0.8]
    return [
        card(
            place,
            record("probe", value),
            record("spread", 1 - value, "lower"),
            record("spread.worst", [3.0, 1.0, 2.0, 4.0][place], "none"),
            record("fixed", 2.0),
            record("rare", None if place < 2 else value),
            record("changed", value, version=1 + place // 2),
            *([record("single", 1.0)] if place == 3 else []),
        )
        for place, value in enumerate(good)
    ]


def test_of_metrics() -> None:
    found = of_metrics(cards(), "probe")
    assert (found.accuracy, found.encoders) == ("probe", 4)
    rows = {row.name: row for row in found.rows}
    assert [row.name for row in found.rows[:2]] == ["spread", "spread.worst"]
    assert rows["spread"].spearman.value == pytest.approx(-1)
    assert rows["spread"].spearman.p == pytest.approx(2 / 24)
    assert (rows["spread"].as_expected, rows["spread.worst"].as_expected) == (True, None)
    assert rows["spread.worst"].kendall.value == pytest.approx(by_pairs([3, 1, 2, 4], [0.5, 0.9, 0.7, 0.8]))
    assert rows["fixed"].spearman.reason == "the values are all equal"
    assert (rows["rare"].spearman.n, rows["single"].spearman.n) == (2, 1)
    assert rows["changed"].spearman.reason == "the cards have different versions of it"
    assert "probe" not in rows
    assert "No p can be below 0.083, because encoders are few." in found.note
    assert of_metrics(list(reversed(cards())), "probe").rows == found.rows


def test_cards_that_cannot_be_ranked_together() -> None:
    with pytest.raises(CardError, match="three encoders, not 2"):
        of_metrics(cards()[:2], "probe")
    with pytest.raises(CardError, match="e0 has no metric 'knn'"):
        of_metrics(cards(), "knn")
    with pytest.raises(CardError, match="e0 has no value of 'rare': none"):
        of_metrics(cards(), "rare")
    with pytest.raises(CardError, match="data digest is d in that of e0 and other in that of e4"):
        of_metrics([*cards(), card(4, record("probe", 0.1), digest="other")], "probe")
    failed = dataclasses.replace(cards()[0], checks=(Check(name="finite", status="fail", message="NaN"),))
    with pytest.raises(CardError, match="failed its check 'finite'"):
        of_metrics([failed, *cards()[1:]], "probe")
