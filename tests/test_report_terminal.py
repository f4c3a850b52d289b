"""The card in a terminal: ten numbers at most, 80 columns, and names that stay names."""

import unicodedata
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from rich.cells import cell_len

from sslaudit.report import words
from sslaudit.report.anchored import AnchorReading, AnchorRecord
from sslaudit.report.card import MetricRecord, ReportCard, read_card
from sslaudit.report.screen import ROOM, first_screen
from sslaudit.report.shifted import ShiftReading, ShiftRecord
from sslaudit.report.terminal import console, render, side_by_side
from sslaudit.results import Check, Interval
from tests.conftest import ROOT

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "two\nlines\r\tof\x00text",
    "\u202egnp.tac\u2066",
    "x" * 200,
    "caf\udce9",
    "[bold]markup[/bold] :smile:",
    "\u7f51\u7edc" * 60,
]


@pytest.fixture(scope="module")
def first() -> ReportCard:
    return read_card(ROOT / "tests" / "data" / "first-card.json")


def record(card: ReportCard, group: str, label: str, **changes: Any) -> MetricRecord:
    """A number of another metric, whose term is its label."""
    return replace(
        card.metrics[0], name=label, term=label, group=group, summary=label, details={}, figures=(), **changes
    )


def long_card(card: ReportCard) -> ReportCard:
    """Two factors in two spaces, a number of the data, and more of the rest than has room."""
    interval = Interval(low=0.25, high=0.75, method="test")
    metrics = [record(card, "quality", f"probe-{i}") for i in range(6)]
    for space in ("embedding", "projection"):
        for label, paper, details in (
            ("view spread", "alignment", {}),
            ("share outside the main part", "1 - sigma, features", {"at": f"delta .3{len(space)}"}),
            ("centre overlap", "divergence, worst pair", {"worst_pair": "a-b"}),
        ):
            made = record(card, "factor", label, paper=paper, space=space, interval=interval)
            metrics.append(replace(made, details=details))
        for group, word in (("guarantee", "GUARANTEE"), ("pretext", "PRETEXT")):
            metrics.append(record(card, group, group, space=space, headline={word: f"of {space}"}))
    pixels = record(card, "data", "of pixels", paper="1 - sigma")
    metrics.append(replace(pixels, details={"at": "delta 3.86"}))
    for group in ("shape", "classes", "change", "other"):
        metrics += [record(card, group, f"{group}-{i}", minor=i > 0) for i in range(3)]
    return replace(card, metrics=tuple(metrics))


def shown(card: ReportCard, **how: Any) -> list[str]:
    screen = console()
    with screen.capture() as text:
        screen.print(render(card, **how))
    return [line.rstrip() for line in text.get().splitlines()]


def test_ten_rows_at_most_and_how_many_are_left(first: ReportCard) -> None:
    card = long_card(first)
    kept, left = first_screen(card)
    groups = {group: len({r.row for r in kept.metrics if r.group == group}) for group in
              ("quality", "factor", "data", "shape", "change", "guarantee", "pretext")}  # fmt: skip
    assert groups == {
        "quality": 4, "factor": 3, "data": 1, "shape": 1, "change": 1, "guarantee": 0, "pretext": 0,
    }  # fmt: skip
    assert sum(groups.values()) == ROOM
    assert left == len({r.row for r in card.metrics}) - ROOM
    lines = shown(card)
    assert any(f"({left} more numbers)" in line for line in lines)
    assert not any("more numbers" in line for line in shown(card, everything=True))
    assert first_screen(first) == (first, 0), "a short card shows all it has"


def test_room_that_is_left_goes_to_further_rows_and_last_to_minor_ones(first: ReportCard) -> None:
    metrics = [record(first, "shape", f"s{i}", minor=i % 2 == 1) for i in range(14)]
    kept, left = first_screen(replace(first, metrics=tuple(metrics)))
    assert [r.term for r in kept.metrics] == ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s8", "s10", "s12"]
    assert left == 4


def test_delta_stands_with_every_sigma_and_the_paper_beside_every_label(first: ReportCard) -> None:
    lines = shown(long_card(first))
    at = next(i for i, line in enumerate(lines) if "share outside the main part" in line)
    assert lines[at].split() == ["share", "outside", "the", "main", "part", *[".500", "[.250,", ".750]"] * 2]
    assert " ".join(lines[at + 1].split()) == "1 - sigma, features delta .39 delta .310"
    assert any(
        "of the data, the same for every encoder: of pixels (1 - sigma) .500" in line for line in lines
    )
    assert "at delta 3.86" in " ".join(lines)
    assert sum("lower is better" in line for line in lines) == 1
    one = [r for r in long_card(first).metrics if r.space != "projection"]
    lines = shown(replace(first, metrics=tuple(one)))
    text = " ".join(" ".join(lines).split())
    assert "share outside the main part 1 - sigma, features .500 [.250, .750] delta .39" in text
    assert "centre overlap divergence, worst pair .500 [.250, .750] a-b" in text


def test_a_table_without_a_value_is_left_out(first: ReportCard) -> None:
    failed = [
        replace(r, value=None, interval=None, reason="it broke") if r.group == "factor" else r
        for r in long_card(first).metrics
    ]
    lines = shown(replace(first, metrics=tuple(failed)))
    assert not any(line.startswith("why (") for line in lines)
    assert any("centre overlap: it broke" in " ".join(pair) for pair in pairwise(lines))


def test_lines_in_words_are_of_embeddings_and_of_what_has_a_row(first: ReportCard) -> None:
    lines = shown(long_card(first))
    assert any(line.startswith("GUARANTEE h  of embedding") for line in lines)
    assert not any(line.startswith(("GUARANTEE z", "PRETEXT", "input", "views", "split")) for line in lines)
    every = shown(long_card(first), everything=True)
    starts = ("GUARANTEE z", "PRETEXT h", "PRETEXT z", "input", "views", "split")
    assert all(any(line.startswith(start) for line in every) for start in starts)
    few = [r for r in long_card(first).metrics if r.group == "pretext"]
    assert any(line.startswith("PRETEXT h") for line in shown(replace(first, metrics=tuple(few))))


def test_it_ends_with_what_was_not_checked_and_what_to_type_next(first: ReportCard) -> None:
    lines = shown(long_card(first))
    said, left = " ".join(" ".join(lines).split()), first_screen(long_card(first))[1]
    assert said.endswith(
        "not checked: fine-tuning, other domains (--shift DATA), near-duplicates across the split, "
        "overlap of these images with the pretraining data next: sslaudit report CARD --all "
        f"({left} more numbers) | --explain guarantee | sslaudit compare CARD..."
    )
    reading = ShiftReading(term="knn", summary="kNN", space="", value=0.5)
    shift = ShiftRecord(
        ref="fog", digest="0", images=9, classes=2, paired=False, sentence="All.", readings=(reading,)
    )
    looked = Check(name="duplicates", status="pass", message="No near-duplicate among 9 test images.")
    fresh = replace(first.encoder, facts={"weights": "untrained, seed 0"})
    control = replace(first, encoder=fresh, shift=shift, checks=(looked,))
    assert "not checked: fine-tuning" in shown(control)
    failed = replace(first, checks=(Check(name="rank", status="fail", message="rank 1"),))
    assert not any("compare" in line for line in shown(failed))
    assert any(line.startswith("COLLAPSED") for line in shown(failed))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_inert_and_nothing_is_wider_than_80_columns(first: ReportCard, name: str) -> None:
    card = long_card(first)
    metrics = tuple(
        replace(
            r,
            term=name if r.group == "guarantee" else r.term,
            summary=name if r.group == "shape" else r.summary,
            details={"worst_pair": f"{name}-{name}"},
        )
        for r in card.metrics
    )
    hostile = replace(
        card,
        encoder=replace(card.encoder, ref=name, name=name),
        data=replace(card.data, ref=name, classes=(name, "b"), skipped=()),
        metrics=metrics,
        problems=(name,),
    )
    for lines in (shown(hostile), shown(hostile, everything=True)):
        text = "".join(lines)
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs")]
        assert max(map(cell_len, lines)) <= 80
        assert shown(hostile, everything=True) == shown(replace(hostile), everything=True)


def test_cards_side_by_side_keep_the_paper_and_delta(first: ReportCard) -> None:
    card = long_card(first)
    screen = console()
    with screen.capture() as text:
        screen.print(side_by_side([card, card, card], ["simclr", "barlow-twins", "untrained"]))
    lines = [" ".join(line.split()) for line in text.get().splitlines()]
    assert max(map(len, text.get().splitlines())) <= 80
    assert lines.count("1 - sigma, features delta .39 delta .39 delta .39") == 1
    assert lines.count("alignment") == 1


def test_the_accuracy_line_names_every_number_that_is_not_above_an_anchor(first: ReportCard) -> None:
    def reading(term: str, low: float) -> AnchorReading:
        apart = Interval(low=low, high=0.2, method="test")
        return AnchorReading(term=term, value=0.4, interval=None, difference=0.1, difference_interval=apart)

    interval = Interval(low=0.4, high=0.6, method="test")
    metrics = [
        record(first, "quality", name, value=0.5, interval=interval) for name in ("probe", "kNN", "centre")
    ]
    pixels = AnchorRecord(
        name="raw pixels",
        what="",
        digest="",
        dim=1,
        readings=(reading("probe", 0.05), reading("kNN", -0.05), reading("centre", 0.01)),
    )
    lines = dict(words.headline(replace(first, metrics=tuple(metrics), anchors=(pixels,))))
    assert lines["ACCURACY"].endswith("; kNN is not above raw pixels (+10.0 points [-5.0, +20.0])")


def test_a_projector_that_is_read_is_not_left_out(first: ReportCard) -> None:
    load = replace(first.encoder.load, ignored=("projector (4 tensors)", "queue (1 tensor)"))
    held = replace(first, encoder=replace(first.encoder, load=load))
    assert "left out: projector (4 tensors), queue" in dict(words.headline(held))["LOADED"]
    read = replace(held, metrics=(*held.metrics, record(first, "factor", "spread", space="projection")))
    said = dict(words.headline(read))["LOADED"]
    assert "; and projector (4 tensors), read for z; left out: queue (1 tensor)" in said
