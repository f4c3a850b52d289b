"""Markdown of a card: tables that no name breaks."""

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from sslaudit.report.card import ReportCard, read_card
from sslaudit.report.markdown import escaped, markdown
from sslaudit.report.phrases import inert
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def card() -> ReportCard:
    return read_card(ROOT / "tests" / "data" / "first-card.json")


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table, split at the pipes that are not escaped."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block] for block in blocks]


def test_the_words_of_the_terminal_in_tables(card: ReportCard) -> None:
    text = markdown(card)
    assert text.startswith("### simclr.pt\n\nsimclr, conv3, 128-d, 93 k parameters, on digits: 300 images")
    assert "- **ACCURACY** kNN 50.0 % \\[39.9, 60.1\\]; majority class 10.0 %\n" in text
    assert "| how good (higher is better) | also called | value, interval |\n| :-- | :-- | :-- |\n" in text
    assert "| kNN | knn | .500 [.399, .601] |\n" in text
    assert "| centre overlap, worst pair | divergence | .802 [.778, .818], 3-6 |\n" in text
    assert "Not checked: fine-tuning, other domains (--shift DATA)" in text
    assert markdown(read_card(ROOT / "tests" / "data" / "first-card.json")) == text


@pytest.mark.parametrize(
    "name",
    [
        "a|b\\|c",
        "`x` **y** _z_ ~~s~~",
        "<script>alert(1)</script>",
        "[a](http://b)",
        "![i](j)\n\n# h",
        "\u202ex",
    ],
)
def test_a_name_breaks_no_table_and_becomes_no_markup(card: ReportCard, name: str) -> None:
    metrics = tuple(replace(m, summary=name, details={"worst_pair": name}) for m in card.metrics)
    hostile = replace(
        card,
        encoder=replace(card.encoder, ref=name, name=name),
        data=replace(card.data, ref=name),
        metrics=metrics,
        problems=(name,),
    )
    text, plain = markdown(hostile), markdown(card)
    assert len(text.splitlines()) == len(plain.splitlines()) + 1, "the problem"
    for table in tables(text):
        assert len({len(line) for line in table}) == 1
    parsed, usual = (
        MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(t) for t in (text, plain)
    )
    assert [token.type for token in parsed if token.type != "inline"].count("table_open") == 2
    pieces = [piece for token in parsed for piece in token.children or ()]
    assert {piece.type for piece in pieces} == {p.type for token in usual for p in token.children or ()}
    assert inert(name) in {token.children and "".join(p.content for p in token.children) for token in parsed}
    assert not re.search(r"(?<!\\)://", text)
    assert "\u202e" not in text


def test_what_has_no_meaning_in_markdown_stays_as_it_is() -> None:
    assert (
        escaped("linear probe, 1 % of labels (k = 20): 0.5 + 1")
        == "linear probe, 1 % of labels (k = 20): 0.5 + 1"
    )
