"""``sslaudit compare`` as a program: what it prints, writes and refuses."""

import dataclasses
import json
from pathlib import Path

import pytest

from sslaudit.report.card import read_card, write_card
from tests.comparison_cards import card, right
from tests.conftest import Run

BASE = right(200, 0.9, 0)


@pytest.fixture
def cards(tmp_path: Path) -> list[str]:
    """Two folders with a card in each."""
    write_card(card("a.pt", {"knn": BASE, "probe": BASE}, factors={"spread": BASE}), tmp_path / "a")
    worse = right(200, 0.5, 1, of=BASE, change=0.6)
    write_card(card("b.pt", {"knn": worse, "probe": BASE}, factors={"spread": worse}), tmp_path / "b")
    return ["a", "b/card.json"]


def test_the_program_says_which_is_better(run: Run, cards: list[str]) -> None:
    done = run("compare", *cards)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 encoders on photos: 200 images tested, paired by image" in done.stdout
    assert "a.pt is better than b.pt by knn, and that is real at 95 %" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_page_and_output(run_here: Run, cards: list[str], tmp_path: Path) -> None:
    done = run_here("compare", *cards, "--format", "json", "--html", "both.html")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)["encoders"]] == ["a.pt", "b.pt"]
    assert done.stderr == "wrote both.html\n"
    assert "a.pt is better than b.pt" in (tmp_path / "both.html").read_text()
    done = run_here("compare", *cards, "--metric", "probe", "--output", "said.txt")
    assert (done.returncode, done.stdout) == (0, "")
    assert "by probe cannot be told" in " ".join((tmp_path / "said.txt").read_text().split())


def test_cards_of_one_reference_are_told_apart_by_path(
    run_here: Run, cards: list[str], tmp_path: Path
) -> None:
    other = read_card(tmp_path / "b")
    write_card(
        dataclasses.replace(other, encoder=dataclasses.replace(other.encoder, ref="a.pt")), tmp_path / "c"
    )
    done = run_here("compare", "a", "c")
    assert done.returncode == 0
    assert "a is better than c by knn" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["a"], 2, "two cards or more"),
        (["a", "a/card.json"], 2, "the card 'a/card.json' is named twice"),
        (["a", "nowhere"], 1, "cannot read the card 'nowhere': No such file or directory."),
        (["a", "b", "--metric", "few-shot"], 1, "a.pt has no accuracy 'few-shot'; it has knn, probe"),
        (["a", "b", "--html", "b/card.json"], 2, "b/card.json is part of a card"),
        (["a", "b", "--html", "x", "--output", "x"], 2, "name the same file"),
        (["a", "b", "--output", "a"], 1, "cannot write 'a': it is there, and no regular file"),
        (["a", "b", "--html", "no/where.html"], 1, "cannot write 'no/where.html'"),
        (["a", "broken"], 1, "cannot read the samples of a card, 'broken/samples.parquet'"),
        (["a", "damaged"], 1, "cannot read the samples of a card, 'damaged/samples.parquet'"),
        (["a", "logs", "b", "more"], 1, "'logs', 'more' hold no card.json; name folders that"),
        (["a", "b.pt"], 1, "'b.pt' is not a report card: it is no text."),
        (["a", "views"], 1, "data views is 2 in that of a.pt and 8 in that of v.pt; evaluate both with"),
    ],
)
def test_refusals_are_one_line(
    run_here: Run, cards: list[str], tmp_path: Path, args: list[str], code: int, said: str
) -> None:
    other = read_card(tmp_path / "b")
    write_card(other, tmp_path / "broken")
    (tmp_path / "broken" / "samples.parquet").write_bytes(b"PAR1 no more")
    write_card(other, tmp_path / "damaged")
    samples = tmp_path / "damaged" / "samples.parquet"
    content = samples.read_bytes()
    samples.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    (tmp_path / "logs").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "b.pt").write_bytes(b"PK\x03\x04\x80\xff")
    data = dataclasses.replace(other.data, views=8)
    write_card(
        dataclasses.replace(other, data=data, encoder=dataclasses.replace(other.encoder, ref="v.pt")),
        tmp_path / "views",
    )
    done = run_here("compare", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".tmp")]
