"""What a leaderboard reads and writes: cards in folders, tables and the page; hostile names; many cards."""

import csv
import io
import json
import os
import re
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sslaudit.errors import CardError
from sslaudit.figures import Bars
from sslaudit.leaderboard.boards import make_boards
from sslaudit.leaderboard.entries import Reported, read_entries
from sslaudit.leaderboard.page import page
from sslaudit.leaderboard.say import below
from sslaudit.leaderboard.tables import comma_separated, markdown, table, write_parquet
from sslaudit.report.card import ReportCard, to_json, utf8
from tests.leaderboard_cards import HOSTILE, card, eight, metric


def write(folder: Path, *cards: ReportCard) -> Path:
    for i, one in enumerate(cards):
        path = folder / "suite" / f"model-{i}" / f"{i:064x}.json"
        path.parent.mkdir(parents=True)
        path.write_text(to_json(one), encoding="utf-8")
    return folder


def hostile() -> list[ReportCard]:
    return [
        card(name, metric("knn", 0.5 + i / 100, width=0.02), facts={"licence": name, "method": name})
        for i, name in enumerate(HOSTILE)
    ]


def test_cards_are_found_at_any_depth_and_other_files_named(tmp_path: Path) -> None:
    write(tmp_path, *eight())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "card.json").write_text(to_json(card("z", metric("knn", 0.5))))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "card.json").write_text(to_json(card("hidden", metric("knn", 0.5))))
    (tmp_path / "run" / "again").symlink_to(tmp_path)
    (tmp_path / "copy.json").write_text(to_json(card("z", metric("knn", 0.5))))
    os.mkfifo(tmp_path / "pipe.json")
    whole = json.loads(to_json(card("old", metric("knn", 0.5, width=0.1))))
    wrong = {
        "table.json": "[1]",
        "text.json": "no JSON",
        "deep.json": "[" * 200_000,
        "deeper.json": '{"a":' * 200_000,
        "old.json": json.dumps({**whole, "schema_version": 7}),
        "nan.json": to_json(card("nan", metric("knn", 0.5))).replace('"value": 0.5', '"value": NaN'),
        "huge.json": json.dumps({**whole, "encoder": {**whole["encoder"], "parameters": 2**63}}),
        "upside.json": json.dumps(whole).replace('"low": 0.4', '"low": 0.9'),
        "part.json": json.dumps({**whole, "metrics": 3}),
    }
    for name, content in wrong.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "latin.json").write_bytes(b"\xff")
    assert read_entries(tmp_path, figures=False) == read_entries(tmp_path)
    found, left_out = read_entries(tmp_path)
    assert sorted(one.name for one in found) == sorted(["10", "2", "a", "b", "c", "d", "e", "x|y\nz", "z"])
    assert [one.path for one in left_out] == sorted([*wrong, "latin.json"])
    said = {one.path: one.reason for one in left_out}
    assert said["old.json"].startswith("'old.json' has schema version 7; ")
    assert said["huge.json"] == "'huge.json' is not a report card: parameters is out of range."
    assert "upside down" in said["upside.json"]


def test_no_card_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"is no folder"):
        read_entries(tmp_path / "nothing")
    with pytest.raises(CardError, match=r"there is no card under '.*': no JSON file\."):
        read_entries(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(CardError, match=r"the first JSON file is none: 'a\.json' is not a"):
        read_entries(tmp_path)


def test_tables_hold_the_same_rows_and_unrounded_numbers(tmp_path: Path) -> None:
    third = card("third", metric("knn", 1 / 3, width=0.1), made={"images_per_second": None})
    boards = make_boards(read_entries(write(tmp_path, *eight(), third))[0])
    columns = table(boards, pages=True)
    write_parquet(columns, tmp_path / "t.parquet")
    kept = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert kept == columns
    text = comma_separated(columns)
    assert text.count("\r\n") == 10
    assert "nan" not in text.lower()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["encoder"] for row in rows] == kept["encoder"]
    assert rows[-3]["encoder"] == "third"
    for name, values in kept.items():
        for row, value in zip(rows, values, strict=True):
            assert row[name] == ("" if value is None else value if isinstance(value, str) else repr(value))
    assert rows[-3]["value"] == "0.3333333333333333"
    assert (rows[-3]["metric alignment"], rows[-3]["images_per_second"]) == ("", "")
    assert [row["status"] for row in rows[-2:]] == ["NOT FINITE", "COLLAPSED"]
    lines = [line for line in markdown(boards, [], pages=True).splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + len(rows)
    assert "| 0.3333333333333333 |" in lines[-3]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {len(re.split(r"(?<!\\)\|", lines[0]))}


def test_a_share_stands_beside_its_delta_everywhere(tmp_path: Path) -> None:
    def made(name: str, delta: float) -> ReportCard:
        share = {"paper": "1 - sigma", "space": "", "direction": "lower"}
        own = metric("inside", 0.25, width=0.1, group="factor", details={"at": f"delta {delta}"}, **share)
        data = metric("outside", 0.5, width=0.1, group="data", details={"at": "delta 9.5"}, **share)
        return card(name, metric("knn", 0.5, width=0.1), own, data)

    boards = make_boards(read_entries(write(tmp_path, made("a", 1.5), made("b|", 2.5)))[0])
    assert [one.at for one in boards[0].of_data] == ["delta 9.5"]
    columns = table(boards, pages=False)
    assert (columns["metric inside"], columns["at inside"]) == ([0.25, 0.25], ["delta 1.5", "delta 2.5"])
    write_parquet(columns, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == columns
    text = markdown(boards, [], pages=False)
    assert "every encoder: outside (1 - sigma) 0.5 \\[0.4, 0.6\\], delta 9.5." in text
    assert "| 0.25, delta 1.5 |" in text
    shown = " ".join(page(boards, pages=False).split())
    assert "outside (1 - sigma) <b>.500</b> [.400, .600], delta 9.5." in shown
    assert '<td data-v="0.25" data-at="delta 2.5">.250<small>[.150, .350]<br>delta 2.5</small></td>' in shown


@pytest.mark.parametrize(
    ("paper", "said"),
    [
        ("", "spread (z)"),
        ("the label", "spread (z)"),
        ("spread", "spread (z)"),
        ("spread, worst pair", "spread (z), worst pair"),
        ("G_f", "G_f, spread (z)"),
    ],
)
def test_the_head_of_a_column_says_nothing_twice(paper: str, said: str) -> None:
    assert below(metric("spread", 0.1, summary="the label", paper=paper), "spread (z)") == said


def test_no_cell_and_no_head_is_a_formula() -> None:
    texts = [f"{first}1" for first in "=+-@\t\r\n"]
    head, *rows = csv.reader(io.StringIO(comma_separated({"=h": [*texts, "1", -0.5, None]}), newline=""))
    assert head == ["'=h"]
    assert rows == [*([f"'{text}"] for text in texts), ["1"], ["-0.5"], [""]]


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    entries, _ = read_entries(write(tmp_path, *hostile()))
    pages = [one.page for one in entries]
    assert len({name.lower() for name in pages}) == len(HOSTILE)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}-[0-9a-f]{12}\.html", name) for name in pages)
    boards = make_boards(entries)
    reported = [Reported(name, name, name, name, 1.0, name) for name in HOSTILE]
    shown = page(boards, [], reported)
    assert shown.count("<script>") == shown.count("</script>") == 2
    assert shown.count("<!--") == 0
    assert shown.count("<img") == 0
    assert shown.count("</style>") == 1
    columns = table(boards, pages=True)
    rows = list(csv.DictReader(io.StringIO(comma_separated(columns), newline="")))
    assert sorted(row["encoder"] for row in rows) == sorted(
        f"'{utf8(name)}" if name.startswith("=") else utf8(name) for name in HOSTILE
    )
    text = markdown(boards, [], pages=True)
    assert "<" not in text
    assert "\u202e" not in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + len(HOSTILE)


def test_reported_numbers_stand_apart(tmp_path: Path) -> None:
    boards = make_boards(read_entries(write(tmp_path, *eight()))[0])
    reported = [Reported("a", "Doe 2024, Table 1", "ImageNet-1k", "linear probe", 81.25, "percent")]
    shown = page(boards, [], reported)
    ranked, apart = shown.split('<section id="reported"')
    assert "81.25" in apart
    assert "81.25" not in ranked
    assert "not measured here" in apart


@pytest.mark.slow
def test_a_thousand_encoders_with_forty_metrics(tmp_path: Path) -> None:
    drawn = Bars(title="t", labels=["a"] * 400, values=[0.1234567] * 400, value_label="v")
    records = [metric(f"metric-{i}", 0.5, width=0.01, figures=(drawn,) * (i < 20)) for i in range(40)]
    text = to_json(card("NAME", *records))
    for i in range(1000):
        value = 0.2 + (i * 37 % 997) / 1999
        (tmp_path / f"{i}.json").write_text(
            text.replace('"NAME"', f'"encoder-{i}"').replace('"value": 0.5', f'"value": {value}')
        )
    began = time.process_time()
    boards = make_boards(read_entries(tmp_path, figures=False)[0])
    shown = page(boards)
    columns = table(boards, pages=True)
    texts = (comma_separated(columns), markdown(boards, [], pages=True))
    write_parquet(columns, tmp_path / "t.parquet")
    assert time.process_time() - began < 10
    assert len(shown.encode()) < 6_000_000
    assert all("encoder-999" in text for text in (shown, *texts))
