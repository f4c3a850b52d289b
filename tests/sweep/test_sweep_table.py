"""The table of a sweep against naive arithmetic on made-up cards, and what is written of it."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from sslaudit.report import strict_json
from sslaudit.report.card import (
    DataRecord,
    EncoderRecord,
    LoadRecord,
    MetricRecord,
    PreprocessRecord,
    Provenance,
    ReportCard,
)
from sslaudit.report.terminal import console
from sslaudit.results import Check, Interval
from sslaudit.sweep.figure import figure
from sslaudit.sweep.plan import Run, Sweep
from sslaudit.sweep.render import comma_separated, markdown, terminal
from sslaudit.sweep.suite import Audit, MethodAtScale, Published, Row, Scale, Suite
from sslaudit.sweep.table import Table, make_table, over_seeds

ROWS = ("best", "good", "twin", "bad")
T2 = 4.302652729911275
"""The .975 quantile of Student's distribution with 2 degrees of freedom."""
CORRECT = {  # right answers of 8 images, by row and seed
    "best": ((1, 1, 1, 1, 1, 1, 1, 0), (1, 1, 1, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 1, 1, 0)),
    "good": ((1, 1, 1, 1, 0, 0, 1, 0), (1, 1, 1, 1, 0, 0, 1, 1), (1, 1, 1, 1, 0, 0, 1, 0)),
    "twin": ((1, 1, 1, 1, 0, 0, 1, 0), (1, 1, 1, 1, 0, 0, 1, 1), (1, 1, 1, 1, 0, 0, 1, 0)),
    "bad": ((1, 1, 1, 0, 0, 0, 1, 0), (1, 1, 1, 1, 1, 0, 1, 1), (1, 1, 1, 0, 0, 0, 0, 0)),
}
SIGMA = {"best": 0.1, "good": 0.2, "twin": 0.2, "bad": 0.4}


def _metric(term: str, value: float, *, space: str, direction: str, **more: object) -> MetricRecord:
    fields: dict[str, object] = {
        "name": term.partition("(")[0], "term": term, "version": 1, "plugin": "p 1", "source": "",
        "summary": term, "group": "other", "options": {}, "value": value, "reason": "", "interval": None,
        "no_interval": "", "direction": direction, "unit": "", "claim": "estimate", "bias": "none",
        "verdict": "info", "note": "", "details": {}, "figures": (), "n_images": 8, "n_views": 2,
        "space": space, "seconds": 0.0,
    }  # fmt: skip
    return MetricRecord(**{**fields, **more})


def _card(row: str, seed: int, checks: tuple[Check, ...] = ()) -> ReportCard:
    correct = CORRECT[row][seed]
    sigma = Interval(low=SIGMA[row] / 2, high=SIGMA[row] * 2, method="limits")
    return ReportCard(
        encoder=EncoderRecord(
            ref="x", name="x", digest=f"{'good' if row == 'twin' else row}-{seed}", dim=2, parameters=2,
            modality="image", facts={},
            preprocess=PreprocessRecord(
                size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear", crop=1.0, source="x"
            ),
            load=LoadRecord(
                matched=1, expected=1, file="", branch="", others=(), prefix="", renamed=(), missing=(),
                ignored=(), assumptions=(),
            ),
        ),
        data=DataRecord(
            ref="made-up", digest="d", images=10, classes=("0", "1"), splits={}, split_rule="", recipe=row,
            recipe_assumed=False, recipe_details="", views=2, views_mode="per-image", seed=0, skipped=(),
        ),
        checks=checks,
        metrics=(
            _metric("knn(k=5)", sum(correct) / 8, space="embedding", direction="higher"),
            _metric("concentration", SIGMA[row], space="", direction="lower", interval=sigma,
                    details={"at": "delta 2"}),
            _metric("alignment", 0.5 + 0.1 * seed, space="embedding", direction="lower"),
        ),
        problems=(),
        provenance=Provenance(
            sslaudit="0", python="3", torch="2", device="cpu", precision="fp32", precision_floor=None,
            precision_reason="", compiled=False, batch_size=1, command="", started="", seconds=0.0,
            cached_views=0, plugins={},
        ),
        samples={"knn(k=5)/correct": [None, None, *map(float, correct)]},
    )  # fmt: skip


def _sweep(rows: tuple[str, ...] = ROWS) -> Sweep:
    suite = Suite(
        name="made-up", version=1, summary="four rows", source="nobody",
        rows=tuple(Row(name=row, recipe=row) for row in rows), expected=(ROWS, ("bad", "best")),
        audit=Audit(accuracy="knn(k=5)", against=("concentration", "alignment"), views=2),
        scales={
            "cpu": Scale(
                summary="tiny", data="made-up", backbone="conv3", size=8, epochs=1, batch_size=2,
                optimiser="adamw", weight_decay=0.0, warm_up=0.0, seeds=(0, 1, 2),
                methods={"simclr": MethodAtScale(lr=1.0)},
            )
        },
        published=(
            Published(
                source="elsewhere", data="CIFAR-10", columns=("simclr",), rows={"best": ((89.76, 0.12),)}
            ),
        ),
    )  # fmt: skip
    return Sweep(
        suite=suite, scale_name="cpu", output=Path("out"), data="made-up", data_digest="d", device="cpu",
        accuracy="knn(k=5)", against=("concentration", "alignment"), versions=(),
        runs=tuple(
            Run(method="simclr", row=row, seed=seed, folder=Path(f"out/simclr/{row}/seed-{seed}"))
            for seed in range(3) for row in rows
        ),
    )  # fmt: skip


@pytest.fixture
def table() -> Table:
    sweep = _sweep()
    return make_table(sweep, {run: _card(run.row, run.seed) for run in sweep.runs}, {})


def _naive_interval(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / 3
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / 2) / math.sqrt(3)
    return mean - T2 * error, mean + T2 * error


def test_means_and_intervals_over_seeds(table: Table) -> None:
    for row in ROWS:
        cell = table.cell("simclr", row)
        assert cell is not None
        values = [sum(correct) / 8 for correct in CORRECT[row]]
        low, high = _naive_interval(values)
        assert cell.accuracy.value == pytest.approx(sum(values) / 3, abs=1e-12)
        assert (cell.accuracy.over_seeds.low, cell.accuracy.over_seeds.high) == pytest.approx((low, high))
        sigma, alignment = cell.against
        assert (sigma.value, sigma.over_seeds) == (pytest.approx(SIGMA[row]), None), "one for all seeds"
        assert (sigma.over_images.low, sigma.over_images.high) == (SIGMA[row] / 2, SIGMA[row] * 2)
        assert alignment.value == pytest.approx(0.6)
        assert alignment.over_seeds.high == pytest.approx(0.6 + T2 * 0.1 / math.sqrt(3))
    assert over_seeds([0.5]) is None


def test_the_interval_over_images_is_of_the_mean_over_seeds(table: Table) -> None:
    cell = table.cell("simclr", "bad")
    mean = np.mean(CORRECT["bad"], axis=0)
    rng = np.random.default_rng(1)
    drawn = [mean[rng.integers(8, size=8)].mean() for _ in range(20_000)]
    found = cell.accuracy.over_images
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.03)


def test_pairs_are_told_apart_by_seeds_alone(table: Table) -> None:
    pairs = {(pair.better, pair.worse): pair for pair in table.pairs}
    assert {names: pair.verdict for names, pair in pairs.items()} == {
        ("best", "good"): "as reported",
        ("good", "twin"): "the same views",
        ("twin", "bad"): "not separated",
        ("bad", "best"): "not separated",
    }
    differences = [(sum(a) - sum(b)) / 8 for a, b in zip(CORRECT["twin"], CORRECT["bad"], strict=True)]
    low, high = _naive_interval(differences)
    assert (pairs["twin", "bad"].interval.low, pairs["twin", "bad"].interval.high) == pytest.approx(
        (low, high)
    )
    assert low < 0 < high
    assert table.same == (("twin", "good"),)
    said = " ".join(console_text(table).split())
    assert "twin over bad: not told apart" in said
    assert "Row twin gave the very weights of row good" in said


def test_rank_correlations_are_over_rows_that_differ(table: Table) -> None:
    found = {one.term: one for one in table.correlations}
    sigma, alignment = found["concentration"], found["alignment"]
    assert sigma.rows == ("best", "good", "bad")
    assert sigma.spearman.value == pytest.approx(-1)
    orders = [
        abs(sum(a * b for a, b in zip(order, (-1, 0, 1), strict=True))) for order in permutations((1, 0, -1))
    ]
    assert sigma.spearman.p == pytest.approx(sum(order == 2 for order in orders) / 6)
    assert sigma.spearman.smallest_p == sigma.kendall.smallest_p == pytest.approx(2 / 6)
    assert (alignment.spearman.value, alignment.spearman.reason) == (None, "the values are all equal")
    assert "p two-sided by permutation, .333 at least" in console_text(table)


def test_a_collapsed_encoder_is_in_no_mean_and_a_failed_run_is_named() -> None:
    sweep = _sweep(("best", "bad"))
    fail = Check(name="collapse", status="fail", message="all embeddings are one point")
    cards = {
        run: _card(run.row, run.seed, (fail,) if run.seed == 2 else ())
        for run in sweep.runs
        if run.row == "best"
    }
    failed = {run: "loss is nan" for run in sweep.runs if run.row == "bad"}
    table = make_table(sweep, cards, failed)
    cell = table.cell("simclr", "best")
    assert cell.accuracy.seeds == {"0": 7 / 8, "1": 1.0}
    assert cell.left_out == {"2": "collapse: all embeddings are one point"}
    assert [(pair.verdict, pair.difference) for pair in table.pairs] == [("not measured", None)] * 2
    said = console_text(table)
    assert "simclr/bad/seed-1 failed: loss is nan" in said
    json.loads(strict_json.dumps(table))
    empty = make_table(sweep, {}, dict.fromkeys(sweep.runs, "no"))
    assert "nothing was measured" in figure(empty)
    assert "failed: no" in markdown(empty)
    assert "failed: no" in console_text(empty)


def test_what_is_written_holds_the_same_numbers(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert len(rows) == len(ROWS) * 3
    first = rows[0]
    assert (first["method"], first["row"], first["metric"]) == ("simclr", "best", "knn(k=5)")
    assert float(first["mean"]) == pytest.approx(22 / 24)
    assert first["by_seed"] == "0:0.875 1:1.0 2:0.875"
    text = strict_json.dumps(table)
    again = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert again["cells"][0]["accuracy"]["value"] == pytest.approx(22 / 24)
    written = markdown(table)
    assert "## CIFAR-10: reported, not measured here" in written
    assert "| best | 89.76 +- 0.12 |" in written
    assert max(map(len, console_text(table).splitlines())) <= 80


def test_one_seed_and_other_data_claim_no_more_than_they_show() -> None:
    sweep = _sweep()
    cards = {run: _card(run.row, run.seed) for run in sweep.runs if run.seed == 0}
    one = make_table(replace(sweep, runs=tuple(cards), against=("alignment", "concentration")), cards, {})
    said = " ".join(console_text(one).split())
    assert "One seed says nothing of the scatter over seeds." in said
    assert " concentration, delta 2: of data and recipe alone" in said
    assert "alignment: of data" not in said
    assert "[ ] there: limits." in said
    assert "simclr: of 4 pairs of rows whose order is reported, 0 told apart that way here" in said
    assert {pair.verdict for pair in one.pairs} == {"not separated", "the same views"}
    assert "one seed: no bars" in figure(one)

    scale = replace(sweep.suite.scales["cpu"], notes=("Of made-up images.",))
    suite = replace(sweep.suite, scales={"cpu": scale})
    for data, notes in (("made-up", ("Of made-up images.",)), ("digits", ())):
        table = make_table(replace(sweep, suite=suite, data=data), cards, {})
        assert table.notes == notes
        assert ("but on digits" in console_text(table)) == (not notes)


def test_long_names_and_markup_leave_numbers_whole(table: Table) -> None:
    wide = replace(
        table,
        cells=tuple(replace(cell, row=cell.row * 16, against=cell.against * 4) for cell in table.cells),
        published=(replace(table.published[0], source="[/bold]", columns=("[/x]",)),),
    )
    said = console_text(wide)
    assert max(map(len, said.splitlines())) <= 80
    assert ".917 +-.179 [.750, 1.000]" in said
    assert said.count(".600") == len(ROWS) * 4
    assert "[/x]" in said


def console_text(table: Table) -> str:
    out = console()
    with out.capture() as caught:
        out.print(terminal(table))
    return caught.get()


def test_the_figure_is_readable_and_its_labels_lie_apart(table: Table) -> None:
    crowded = replace(
        table,
        cells=tuple(
            replace(
                table.cells[0],
                row=f"row{i}",
                against=(replace(table.cells[0].against[0], value=0.1 + 0.001 * i),),
            )
            for i in range(10)
        ),
    )
    for one in (table, crowded):
        root = ElementTree.fromstring(figure(one))
        assert "prefers-color-scheme: dark" in figure(one)
        assert all(int(size) >= 11 for size in re.findall(r"font: (\d+)px", figure(one)))
        names = {cell.row for cell in one.cells}
        texts = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if text.text in names]
        assert len(texts) == len(one.cells)
        boxes = [(float(t.get("x")), float(t.get("y")), 6.6 * len(t.text)) for t in texts]
        for i, (x, y, width) in enumerate(boxes):
            assert x >= 0
            assert x + width <= 720
            assert all(abs(y - b) >= 12 or x + width <= a or a + w <= x for a, b, w in boxes[:i])
