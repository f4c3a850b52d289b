"""Boards against naive double loops, on cards made by hand."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslaudit.errors import UsageError
from sslaudit.leaderboard.boards import Board, make_boards, natural
from sslaudit.leaderboard.entries import Entry, Key, read_entries
from sslaudit.leaderboard.page import page
from sslaudit.leaderboard.tables import comma_separated, markdown, table
from sslaudit.report.card import MetricRecord, ReportCard, to_json
from sslaudit.results import Check
from tests.leaderboard_cards import card, eight, metric

Shown = list[tuple[int | None, str, str]]


def entries(cards: list[ReportCard]) -> list[Entry]:
    return [
        Entry(f"{i}.json", Path(f"{i}.json"), to_json(one), one, {Key.of(r): r for r in one.metrics})
        for i, one in enumerate(cards)
    ]


def boards(cards: list[ReportCard], accuracy: str | None = None) -> list[Board]:
    return make_boards(entries(cards), accuracy)


def shown(board: Board) -> Shown:
    return [(one.rank, one.entry.name, one.word) for one in board.standings]


@pytest.mark.parametrize(
    ("width", "ranks"), [(0.0, [1, 2, 2, 4, 5, 5]), (0.001, [1, 1, 1, 4, 5, 5]), (0.08, [1, 1, 1, 4, 4, 4])]
)
def test_the_same_table_for_every_order_of_files(tmp_path: Path, width: float, ranks: list[int]) -> None:
    cards, said = eight(width), set()
    for order in range(3):
        random.Random(order).shuffle(cards)
        folder = tmp_path / str(order)
        folder.mkdir()
        for i, one in enumerate(cards):
            (folder / f"{i:02d}.json").write_text(to_json(one))
        found, left_out = read_entries(folder)
        made = make_boards(found)
        assert not left_out
        said.add((comma_separated(table(made, pages=True)), markdown(made, [], pages=True), page(made)))
        (board,) = made
        assert [one.rank for one in board.standings] == [*ranks, None, None]
    assert len(said) == 1
    assert [one.entry.name for one in board.standings] == ["d", "a", "b", "x|y\nz", "2", "10", "c", "e"]
    assert [one.word for one in board.standings[-2:]] == ["NOT FINITE", "COLLAPSED"]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=60)
def test_a_rank_counts_the_intervals_wholly_above(
    values: list[tuple[int, int]], order: random.Random
) -> None:
    cards = [card(str(i), metric("knn", v / 20, width=w / 40)) for i, (v, w) in enumerate(values)]
    spans = {
        one.encoder.ref: (i.low, i.high) if (i := one.metrics[0].interval) else (one.metrics[0].value,) * 2
        for one in cards
    }
    naive = {
        name: 1 + sum(low > spans[name][1] for low, _ in spans.values())
        for name in spans
    }  # fmt: skip
    (board,) = boards(cards)
    assert {one.entry.name: one.rank for one in board.standings} == naive
    order.shuffle(cards)
    assert shown(boards(cards)[0]) == shown(board)
    placed = [
        (one.rank, -(one.entry.card.metrics[0].value or 0), natural(one.entry.name))
        for one in board.standings
    ]
    assert placed == sorted(placed)


def version(**fields: Any) -> ReportCard:
    return card("other", replace(metric("knn", 0.9, width=0.01), **fields))


@pytest.mark.parametrize(
    "other",
    [
        card("other", metric("knn", 0.9, width=0.01), suite="digits"),
        card("other", metric("knn", 0.9, width=0.01), data={"digest": "e" * 64}),
        card("other", metric("knn", 0.9, width=0.01), data={"recipe": "simclr@2"}),
        card("other", metric("knn", 0.9, width=0.01), data={"views": 8}),
        card("other", metric("knn", 0.9, width=0.01), data={"views_mode": "bank"}),
        card("other", metric("knn", 0.9, width=0.01), data={"seed": 1}),
        card("other", metric("knn", 0.9, width=0.01), made={"precision": "bf16"}),
        version(version=2),
        version(options={"k": 5}),
        version(term="knn(k=5)"),
    ],
)
def test_cards_of_other_data_settings_or_versions_are_never_ranked_together(other: ReportCard) -> None:
    made = boards([*eight(), other])
    assert sorted(len(board.standings) for board in made) == [1, 8]
    assert shown(min(made, key=lambda board: len(board.standings))) == [(1, "other", "")]


def test_what_has_no_rank_is_named_and_what_a_ranked_one_lacks_is_marked() -> None:
    value = metric("knn", 0.5, width=0.1)
    partial = card("partial", value, failed="load")
    load = replace(partial.encoder.load, missing=("conv1.weight",))
    (board,) = boards(
        [
            card("dropout", value, failed="deterministic"),
            replace(partial, encoder=replace(partial.encoder, load=load)),
            card("random", value, failed="load"),
            card("stopped", value, facts={"epoch": "3 of 9, interrupted"}),
            card("other plugin", value, failed="third-party"),
            card("null", metric("knn", None)),
            card("without", metric("spread", 0.1, group="factor", direction="lower")),
            card("below", value, checks=(Check(name="control", status="warn", message="not above pixels"),)),
            card("assumed", value, data={"recipe_assumed": True}),
            card("fresh", value, facts={"weights": "untrained, seed 0"}),
        ]
    )
    assert shown(board) == [
        (1, "assumed", ""),
        (1, "below", ""),
        (1, "fresh", ""),
        (None, "dropout", "NOT DETERMINISTIC"),
        (None, "null", "NO VALUE"),
        (None, "other plugin", "FAILED"),
        (None, "partial", "PARTIAL"),
        (None, "random", "NOT LOADED"),
        (None, "stopped", "UNFINISHED"),
        (None, "without", "NO VALUE"),
    ]
    assert [list(one.marks) for one in board.standings[:3]] == [
        ["ASSUMED"],
        ["NOT ABOVE CONTROL"],
        ["CONTROL"],
    ]


def test_the_newest_card_of_an_encoder_counts() -> None:
    def made(ref: str, value: float, **more: Any) -> ReportCard:
        return card(ref, metric("knn", value), digest="same", **more)

    old, new = made("old", 0.9), made("new", 0.5, made={"started": "2026-02-02"})
    resized = replace(new.encoder.preprocess, size=(64, 64))
    other_size = made("larger input", 0.7, encoder={"preprocess": resized})
    (board,) = boards([old, new, other_size])
    assert shown(board) == [(1, "larger input", ""), (2, "new", "")]
    assert [(a.name, b.name) for a, b in board.superseded] == [("old", "new")]


def test_another_accuracy_may_rank() -> None:
    def made(name: str, probe: float, knn: float, **fields: Any) -> ReportCard:
        top = replace(metric("knn", knn, width=0.01), name="knn.top-5", **fields)
        return card(name, metric("probe", probe, width=0.01), top)

    cards = [made("a", 0.9, 0.5), made("b", 0.5, 0.9), card("c", metric("probe", 0.7, width=0.01))]
    assert shown(boards(cards)[0]) == [(1, "a", ""), (2, "c", ""), (3, "b", "")]
    (board,) = boards(cards, "knn.top-5")
    assert shown(board) == [(1, "b", ""), (2, "a", ""), (None, "c", "NO VALUE")]
    with pytest.raises(UsageError, match=r"no card has the accuracy 'foo'; there is: knn\.top-5, probe\."):
        boards(cards, "foo")


def test_an_accuracy_that_failed_on_one_card_ranks_the_others() -> None:
    def made(name: str, probe: float | None) -> ReportCard:
        return card(name, metric("probe", probe, width=0.01), metric("knn", 0.5, width=0.01))

    (board,) = boards([made("a", 0.9), made("b", 0.8), made("c", None)])
    assert board.leading is not None
    assert board.leading.row == "probe"
    assert shown(board) == [(1, "a", ""), (2, "b", ""), (None, "c", "NO VALUE")]


def test_numbers_of_the_data_stand_beside_the_ranking() -> None:
    def of_data(value: float, size: int, delta: str = "delta 1") -> ReportCard:
        small = card(f"{value} {size}").encoder.preprocess
        spread = metric(
            "concentration", value, group="data", direction="lower", space="", details={"at": delta}
        )
        return card(
            f"{value} {size}", metric("knn", 0.5, width=0.1), spread,
            encoder={"preprocess": replace(small, size=(size, size))},
        )  # fmt: skip

    (board,) = boards([of_data(0.3, 8), of_data(0.3, 9)])
    assert [column.name for column in board.columns] == ["knn"]
    assert [(one.record.value, one.sizes) for one in board.of_data] == [(0.3, ())]
    (board,) = boards([of_data(0.3, 8), of_data(0.3, 9, "delta 2")])
    assert [(one.at, one.sizes) for one in board.of_data] == [("delta 1", ((8, 8),)), ("delta 2", ((9, 9),))]
    (board,) = boards([of_data(0.3, 8), of_data(0.4, 9), of_data(0.3, 7)])
    assert [(one.record.value, one.sizes) for one in board.of_data] == [
        (0.3, ((7, 7), (8, 8))),
        (0.4, ((9, 9),)),
    ]


def test_metrics_of_two_versions_are_two_columns() -> None:
    def made(name: str, *records: MetricRecord) -> ReportCard:
        return card(name, metric("knn", 0.5, width=0.1), *records)

    (board,) = boards(
        [
            made(
                "a",
                metric("spread", 0.1, group="factor"),
                metric("spread", 0.2, group="factor", space="projection"),
            ),
            made("b", metric("spread", 0.3, group="factor", version=2)),
        ]
    )
    assert [column.name for column in board.columns] == ["knn", "spread v1", "spread (z)", "spread v2"]
