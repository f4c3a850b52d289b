"""``compare``: one comparison of several cards, what goes with it, and epochs of a run as curves."""

import dataclasses
import json

import numpy as np
import pytest

import sslaudit
from sslaudit.comparison import compare
from sslaudit.comparison.factors import mover
from sslaudit.comparison.page import page
from sslaudit.comparison.record import Comparison, json_schema, to_json
from sslaudit.comparison.terminal import render
from sslaudit.errors import CardError
from sslaudit.report.card import MetricRecord, ReportCard
from sslaudit.report.terminal import console
from sslaudit.results import Interval
from tests.comparison_cards import card, metric, right

N = 300
BASE = right(N, 0.9, 0)
WORSE = right(N, 0.5, 1, of=BASE, change=0.5)
SPREAD = np.random.default_rng(0).random(N)
HOSTILE = "<script>alert(1)</script>|\n\u202egnp.\x1b[31m" + "x" * 200 + "\udcff"


def overlap(value: float, low: float, high: float, **fields: object) -> MetricRecord:
    interval = Interval(low=low, high=high, method="stub")
    return metric("overlap", value, interval, group="factor", direction="lower", **fields)


def best(*records: MetricRecord) -> ReportCard:
    return card(
        "best", {"knn": BASE, "probe": BASE}, overlap(0.5, 0.4, 0.7), *records, factors={"spread": SPREAD}
    )


def other(*records: MetricRecord) -> ReportCard:
    factors = {"spread": SPREAD + 0.1}
    return card("other", {"knn": WORSE, "probe": BASE}, overlap(0.6, 0.5, 0.7), *records, factors=factors)


def shown(comparison: Comparison, *, everything: bool = False) -> str:
    screen = console()
    with screen.capture() as printed:
        screen.print(render(comparison, everything=everything))
    return printed.get()


def test_one_comparison_of_two() -> None:
    found = sslaudit.compare([other(), best()])
    assert [one.name for one in found.encoders] == ["best", "other"]
    assert (found.term, found.images, found.precision) == ("knn", N, "fp32")
    rows = {row.term: row for row in found.rows}
    assert list(rows) == ["probe", "spread", "overlap"]
    assert {term: (row.paired, row.cells[1].said) for term, row in rows.items()} == {
        "probe": (True, "too close to tell"),
        "spread": (True, "worse"),
        "overlap": (False, "too close to tell"),
    }
    spread, overlap_ = (rows[term].cells[1] for term in ("spread", "overlap"))
    assert spread.difference == pytest.approx(0.1)
    assert spread.difference_interval is not None
    assert spread.difference_interval.high - spread.difference_interval.low < 1e-8  # what both share cancels
    assert overlap_.difference_interval is not None
    assert overlap_.difference_interval.low == pytest.approx(0.1 - np.hypot(0.1, 0.2))
    assert overlap_.difference_interval.high == pytest.approx(0.1 + np.hypot(0.1, 0.1))
    assert found.sentences[0].startswith("best is better than other by knn, and that is real at 95 %: +")
    assert found.sentences[1].startswith(
        "best has less spread (-.100 [-.100, -.100]) than other; overlap does not"
    )
    assert "need not be their cause" in found.sentences[1]


def test_a_tie_is_said_and_equal_encoders_are_equal() -> None:
    near = card("near", {"knn": right(N, 0.9, 5, of=BASE, change=0.05)})
    assert compare([best(), near]).sentences[0].startswith("Which of ")
    twin = dataclasses.replace(best(), encoder=dataclasses.replace(best().encoder, ref="twin"))
    found = compare([best(), twin])
    assert found.sentences == ("best and twin are equal: the same weights, right on the same images.",)
    assert {row.cells[1].said for row in found.rows} == {"equal"}
    three = compare([best(), twin, other()])
    assert "best is better than every other encoder" in three.sentences[0]
    assert three.sentences[0].endswith("points; twin is equal to it.")
    assert three.sentences[1].startswith("best has less spread")
    with pytest.raises(CardError, match="two cards or more, not 1"):
        compare([best()])


def test_what_is_not_compared_is_said() -> None:
    of_data = metric("concentration", 0.3, group="data")
    pixels = metric("pixels", 0.3, group="data", summary="share outside")
    newer = dataclasses.replace(overlap(0.1, 0.0, 0.2), name="other", term="other")
    found = compare(
        [
            best(of_data, pixels, newer, metric("rank", 3.0)),
            other(of_data, pixels, dataclasses.replace(newer, version=2), metric("rank", None)),
        ]
    )
    assert not {"concentration", "other", "rank"} & {row.term for row in found.rows}
    assert found.left_out == (
        "of the data, the same for every encoder: concentration, share outside (pixels)",
        "rank: not every card has a value",
        "other: its version differs between the cards",
    )


def test_no_interval_and_no_direction_are_said() -> None:
    bare = metric("bare", 0.5, group="factor")
    alpha = metric("alpha", 1.0, Interval(low=0.9, high=1.1, method="stub"), group="shape", direction="none")
    found = compare(
        [
            best(bare, alpha),
            other(
                bare,
                dataclasses.replace(alpha, value=2.0, interval=Interval(low=1.9, high=2.1, method="stub")),
            ),
        ]
    )
    said = {row.term: row.cells[1].said for row in found.rows}
    assert (said["bare"], said["alpha"]) == ("no interval", "higher")
    assert mover(bare, alpha) is None
    assert "alpha" not in shown(found)
    assert "alpha" in shown(found, everything=True)


def test_only_what_stands_in_the_tables_is_explained() -> None:
    shares = metric("spread", 0.4, Interval(low=0.3, high=0.5, method="stub"), group="factor")
    paired = [
        card(name, {"knn": column}, factors={"s": SPREAD}) for name, column in (("a", BASE), ("b", WORSE))
    ]
    unpaired = [dataclasses.replace(one, metrics=(*one.metrics, shares)) for one in paired]
    for cards, starred in ((paired, False), (unpaired, True)):
        found = compare(cards)
        for said in (shown(found), page(found)):
            assert ("not paired" in said) == starred
            assert "McNemar's exact test" in " ".join(said.replace("&#39;", "'").split())
    shares_of_draws = [
        dataclasses.replace(one, samples={**one.samples, "knn/correct": [[x, 0.5] for x in column]})
        for one, column in zip(paired, (BASE, WORSE), strict=True)
    ]
    drawn = compare(shares_of_draws)
    assert "McNemar" not in shown(drawn) + page(drawn)


def run_of(epochs: tuple[int, ...], method: str = "simclr", tag: str = "") -> list[ReportCard]:
    cards = []
    for epoch in epochs:
        facts = {"method": method, "recipe": "crop@1", "trained on": "photos", "epoch": f"{epoch} of 9"}
        column = right(N, 0.5 + 0.04 * epoch, epoch, of=BASE, change=0.4)
        spread = {"spread": SPREAD / epoch}
        cards.append(card(f"{method}-{epoch}{tag}.pt", {"knn": column}, factors=spread, facts=facts))
    return cards


def test_epochs_of_a_run_are_curves() -> None:
    found = compare(list(reversed(run_of((1, 3, 9)))))
    accuracy, spread = found.curves
    assert (accuracy.title, accuracy.x_label) == ("knn by epoch", "epoch")
    assert [list(line.x) for line in spread.series] == [[1, 3, 9]]
    assert spread.series[0].y == pytest.approx([SPREAD.mean() / epoch for epoch in (1, 3, 9)])
    assert spread.series[0].low is not None
    assert spread.series[0].low[0] < spread.series[0].y[0]
    assert "seed, learning rate" in found.curves_note
    assert "epoch  knn" in shown(found)
    two = compare([*run_of((1, 3)), *run_of((1, 3), "byol")])
    assert [line.name for line in two.curves[0].series] in (
        ["simclr, run 1", "byol, run 2"],
        ["byol, run 1", "simclr, run 2"],
    )


def test_runs_that_cannot_be_told_apart_are_not_drawn() -> None:
    mixed = compare([*run_of((1, 3)), *run_of((3,), tag="-again")])
    assert mixed.curves == ()
    assert mixed.curves_note.startswith("Epochs are not drawn")
    assert compare([best(), other()]).curves_note == ""
    control = run_of((3,))[0]
    fresh = dataclasses.replace(
        control,
        encoder=dataclasses.replace(control.encoder, facts={**control.encoder.facts, "weights": "fresh"}),
    )
    assert compare([run_of((1,))[0], fresh]).curves == ()


def test_json_is_strict_and_follows_its_schema() -> None:
    import jsonschema

    found = json.loads(
        to_json(compare([*run_of((1, 3)), other()])), parse_constant=lambda name: pytest.fail(name)
    )
    jsonschema.validate(found, json_schema())
    assert found["schema_version"] == 1


def test_hostile_names_are_inert_everywhere() -> None:
    hostile = dataclasses.replace(other(), encoder=dataclasses.replace(other().encoder, ref=HOSTILE))
    for cards in ([best(), hostile], [best(), hostile, run_of((1,))[0]]):
        found = compare(cards)
        text, html = shown(found, everything=True), page(found)
        assert max(map(len, text.splitlines())) <= 80
        assert all(c.isprintable() for line in text.splitlines() for c in line)
        assert "<script>" not in html
        assert "\u202e" not in html
        assert html == page(compare(cards))  # equal comparisons are equal pages
        json.loads(to_json(found))


def test_the_place_where_a_number_was_taken_stands_beside_it_for_each_encoder() -> None:
    cards = [
        card(name, {"knn": BASE}, overlap(0.5, 0.4, 0.7, details={"at": f"delta {delta}"}))
        for name, delta in (("a", ".51"), ("b", ".62"), ("c", ".73"))
    ]
    two, three = shown(compare(cards[:2])), shown(compare(cards))
    assert [line.split()[2:] for line in two.splitlines() if "at delta" in line] == [[".51", ".62"]]
    assert [line.split()[2:] for line in three.splitlines() if "at delta" in line] == [
        [".51"],
        [".62"],
        [".73"],
    ]
    assert page(compare(cards)).count('<span class="soft">delta .') == 3
