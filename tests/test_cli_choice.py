"""The table that ends an evaluation of several encoders: who stands where, who is the cheapest."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sslaudit.audit import Line
from sslaudit.cli.closing import table
from sslaudit.comparison.choice import of_the_data, select, sentence
from sslaudit.registry import Registry
from sslaudit.report.card import ReportCard
from sslaudit.report.samples import by_image
from sslaudit.results import Check, Interval
from sslaudit.settings import Settings
from tests.conftest import Run, make_photos

TERMS = "knn(k=3),alignment,concentration"
QUICK = ("--no-anchors", "--views", "2", "--data", "photos")


@pytest.fixture(scope="module")
def cards(stub_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> list[ReportCard]:
    """Cards of one encoder under two names, of one that has fewer images right, and of one loaded in part."""
    folder = tmp_path_factory.mktemp("cards")
    settings = Settings(metrics=TERMS, views=2, anchors=False, device="cpu", cache=folder / "cache")
    line = Line(stub_registry, settings)
    data = line.open(make_photos(folder / "photos"))
    one, twin, partial = (
        line.run(line.load(ref), data) for ref in ("stub:a", "stub:b", "stub,allow-partial=yes:partial")
    )
    return [one, twin, right(one, [0.0] * images_of(one), "stub:none"), partial]


def images_of(card: ReportCard) -> int:
    return int(np.isfinite(by_image(card.samples["knn(k=3)/correct"])).sum())


def fast(card: ReportCard, speed: float | None, parameters: int = 1000, name: str = "") -> ReportCard:
    encoder = replace(card.encoder, parameters=parameters, name=name or card.encoder.name)
    return replace(card, encoder=encoder, provenance=replace(card.provenance, images_per_second=speed))


def right(card: ReportCard, right: Sequence[float], ref: str) -> ReportCard:
    """``card`` of an encoder that has other test images right, by kNN."""
    name = "knn(k=3)/correct"
    column = by_image(card.samples[name])
    column[np.isfinite(column)] = right
    value = float(np.mean(right))
    spanned = {"value": value, "interval": Interval(low=value, high=value, method="none")}
    metrics = tuple(replace(m, **spanned) if m.name == "knn" else m for m in card.metrics)
    encoder = replace(card.encoder, ref=ref, digest=ref)
    return replace(card, encoder=encoder, metrics=metrics, samples={**card.samples, name: column.tolist()})


def test_several_encoders_end_in_one_table(run_here: Run, photos: Path) -> None:
    two = ("stub:a", "stub:b")
    done = run_here("evaluate", *two, *QUICK, "--metrics", TERMS)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.count("HEALTHY") == 2, "few cards are printed whole"
    end = done.stdout[done.stdout.index("which encoder?") :]
    rows = [line for line in end.splitlines() if line.startswith("1 ")]
    assert [row.split() for row in rows] == [["1", f"stub:{x}", "apache-2.0"] for x in "ab"]
    said = " ".join(end.split())
    assert "16 8 px" in said
    assert "stub:b is not better for certain. Cheapest: most images a second" in said
    assert said.count("of the data, the same for every encoder: ") == 1
    assert "delta" in said
    as_json = run_here("evaluate", *two, *QUICK, "--metrics", "knn(k=3)", "--format", "json", "--overwrite")
    assert [card["encoder"]["ref"] for card in json.loads(as_json.stdout)] == list(two)

    four = (*two, "stub:c", "stub,allow-partial=yes:partial")
    many = run_here("evaluate", *four, *QUICK, "--metrics", "knn(k=3)", "--overwrite")
    assert many.returncode == 1
    assert "HEALTHY" not in many.stdout
    assert "PARTIAL: " in many.stdout
    for place in ("stub-a", "stub-b", "stub-c", "stub-allow-partial-yes-partial"):
        assert f" reports/{place}/card.html\n" in many.stdout


def test_who_stands_where(cards: list[ReportCard]) -> None:
    one, twin, none_right, partial = cards
    all_right = right(one, [1.0] * images_of(one), "all")
    found = select([none_right, partial, all_right, replace(all_right, encoder=twin.encoder)])
    assert [c.standing.rank if c.standing else None for c in found.candidates] == [1, 1, 3, None]
    assert found.candidates[2].card is none_right
    assert found.candidates[3].mark == "PARTIAL"
    assert found.candidates[3].reason.startswith("only 2 of 3 backbone tensors")
    lines = list(table(found))
    assert [line[0] for line in lines if line[:6] in ("1     ", "3     ", "-     ")] == ["1", "1", "3", "-"]
    assert any("-100.0 [-100.0, " in line for line in lines)
    assert max(map(len, lines)) <= 80
    alone = select([none_right, all_right])
    assert sentence(alone).startswith("Alone in the top group: all, ")


@pytest.mark.parametrize(
    ("costs", "cheapest"),
    [
        ([(100.0, 9, "x"), (200.0, 99, "y")], 1),
        ([(190.0, 9, "x"), (200.0, 99, "y")], 0),
        ([(100.0, 9, "x"), (200.0, 9, "x")], 0),
        ([(None, 99, "x"), (200.0, 9, "y")], 1),
        ([(None, 9, "x"), (None, 9, "y")], 0),
    ],
    ids=["by speed", "alike", "one architecture", "a speed is missing", "no speed"],
)
def test_the_cheapest(
    cards: list[ReportCard], costs: list[tuple[float | None, int, str]], cheapest: int
) -> None:
    given = [fast(card, *cost) for card, cost in zip(cards[: len(costs)], costs, strict=True)]
    for order in itertools.permutations(given):
        found = select(order)
        assert len(found.top) == 2
        chosen = found.cheapest
        assert chosen is not None
        assert chosen.card.encoder.ref == given[cheapest].encoder.ref
        assert sentence(found).startswith(f"Cheapest of the top group: {chosen.card.encoder.ref}, ")
        assert ("speed not measured" in sentence(found)) == (chosen.speed is None)


def test_what_cannot_be_ranked_stands_without_ranks(cards: list[ReportCard]) -> None:
    one, _, other, partial = cards
    low = replace(other, provenance=replace(other.provenance, precision="bf16"))
    unscored = replace(other, metrics=tuple(m for m in other.metrics if m.group != "quality"))
    moved = replace(other, data=replace(other.data, digest="0" * 64))
    for given, why in (
        ([one, low], "precision is fp32 in that of stub:a and bf16 in that of stub:none"),
        ([one, unscored], "no accuracy in common"),
        ([one, moved], "data digest"),
        ([one, partial], "only one encoder passed its checks."),
        ([partial, partial], "no encoder passed its checks."),
    ):
        found = select(given)
        assert found.ranking is None
        assert why in found.unranked
        assert sentence(found) == ""
        lines = list(table(found))
        assert f"not ranked: {found.unranked}" in " ".join(" ".join(lines).split())
        assert not any("Cheapest" in line or "the best" in line for line in lines)
        assert max(map(len, lines)) <= 80
        assert (" 0.0 [0.0, " in " ".join(lines)) == (given[1] in (low, moved)), "values stand all the same"


def test_plain_images_are_the_same_whatever_gives_the_views(cards: list[ReportCard]) -> None:
    one, _, other, _ = cards
    found = select([one, replace(other, data=replace(other.data, recipe="crop@1"))])
    assert found.ranking is not None


def test_numbers_of_the_data_say_where_they_were_taken(cards: list[ReportCard]) -> None:
    one, twin, _, _ = cards
    [line] = of_the_data(select([one, twin]))
    assert " at " not in line
    large = replace(twin.encoder, preprocess=replace(twin.encoder.preprocess, size=(16, 16)))
    metrics = tuple(replace(m, value=0.5) if m.group == "data" else m for m in twin.metrics)
    [line] = of_the_data(select([one, replace(twin, encoder=large, metrics=metrics)]))
    assert "at 8 x 8 px, recipe simclr@1; .500" in line
    assert line.endswith("at 16 x 16 px, recipe simclr@1")


@pytest.mark.parametrize(
    "ref", ["x" * 300, "图" * 60, "שלום\u202eabc\n\x1b[31m", "a\udcff.pt", "[bold]x[/bold]"]
)
def test_a_row_holds_any_name(cards: list[ReportCard], ref: str) -> None:
    one, twin, _, _ = cards
    odd = replace(twin, encoder=replace(twin.encoder, ref=ref, facts={"licence": ref}))
    failed = replace(odd, checks=(Check(name="rank", status="fail", message=ref),))
    lines = list(table(select([one, odd, failed])))
    assert all(line.isprintable() for line in lines)
    "\n".join(lines).encode()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("COLLAPSED") == 1
