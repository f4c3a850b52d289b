"""The page of a leaderboard in a browser: sorting, filters, the scatter, hostile names, both widths."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from sslaudit.leaderboard.boards import make_boards
from sslaudit.leaderboard.entries import LeftOut, Reported, read_entries
from sslaudit.leaderboard.site import write_site
from sslaudit.report.card import ReportCard, to_json
from sslaudit.results import Check
from tests.leaderboard_cards import HOSTILE, card, eight, metric

OpenPage = Callable[..., Page]
Flaws = Callable[[Page], list[str]]
Sideways = Callable[[Page], int]


def site(folder: Path, *cards: ReportCard, pages: bool = False) -> Path:
    for i, one in enumerate(cards):
        (folder / "cards").mkdir(exist_ok=True)
        (folder / "cards" / f"{i}.json").write_text(to_json(one), encoding="utf-8")
    boards = make_boards(read_entries(folder / "cards")[0])
    (folder / "site").mkdir()
    reported = [Reported("a", "Doe 2024, Table 1", "ImageNet-1k", "linear probe", 81.2, "percent")]
    write_site(folder / "site", boards, [LeftOut("x.json", "no card")], reported, pages=pages)
    return folder / "site" / "index.html"


def rich() -> list[ReportCard]:
    """Two suites, a superseded card, marks, licences, minor metrics, numbers of the data."""
    more = [
        metric("uniformity", -1.5, width=0.1, group="shape", minor=True, details={"at": "t 2"}),
        metric("concentration", 0.3, width=0.1, group="data", direction="lower", space=""),
        metric("knn", 0.7, width=0.05),
    ]
    control = (Check(name="control", status="warn", message="not above raw pixels"),)
    return [
        *eight(0.01),
        card("mae", *more, suite="digits", facts={"licence": "MIT", "method": "mae"}),
        card("dino", *more, suite="digits", facts={"licence": "Apache-2.0"}, checks=control),
        card("old mae", *more, suite="digits", digest="mae", made={"started": "2020"}),
    ]


def names(page: Page, board: int = 0) -> list[str]:
    found = page.locator("section.board").nth(board).locator("tbody.rows tr:visible th bdi:first-child")
    return [text for text in found.all_inner_texts() if "resnet18" not in text]


def head(page: Page, label: str) -> Locator:
    return page.locator("section.board").last.locator("thead th", has=page.get_by_role("button", name=label))


def test_a_click_sorts_and_what_has_no_value_or_rank_stays_last(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(site(tmp_path, *eight(0.001), card("null", metric("knn", 0.1, width=0.001))))
    ranked = ["d", "a", "b", "x|y z", "2", "10", "null"]
    assert names(page) == [*ranked, "c", "e"]
    assert head(page, "rank").get_attribute("aria-sort") == "ascending"
    spread = head(page, "alignment")
    spread.get_by_role("button").click()
    assert spread.get_attribute("aria-sort") == "ascending"
    assert head(page, "rank").get_attribute("aria-sort") is None
    assert names(page) == ["d", "a", "b", "2", "10", "x|y z", "null", "e", "c"]
    spread.get_by_role("button").press("Enter")
    assert spread.get_attribute("aria-sort") == "descending"
    assert names(page) == ["x|y z", "10", "2", "b", "a", "d", "null", "e", "c"]
    head(page, "knn").get_by_role("button").click()
    assert head(page, "knn").get_attribute("aria-sort") == "descending"
    assert names(page) == [*ranked, "e", "c"]
    head(page, "encoder").get_by_role("button").click()
    assert names(page)[:3] == ["2", "10", "a"]


def test_filters_leave_what_matches(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(site(tmp_path, *rich()))
    said = page.locator("#count")
    assert said.inner_text() == "10 of 10 encoders shown"
    page.fill("#text", "apache dino")
    assert (names(page), said.inner_text()) == (["dino"], "1 of 10 encoders shown")
    assert page.locator("section.suite:visible h2").all_inner_texts() == ["Suite digits"]
    assert page.locator("#of option:checked").inner_text().startswith("1: D, recipe simclr@1")
    assert page.locator("#plotted").inner_text().startswith("0 encoders, 1 without one of the two numbers")
    page.fill("#text", "")
    page.select_option("#status", "COLLAPSED")
    assert names(page, 1) == ["e"]
    page.select_option("#status", "NOT ABOVE CONTROL")
    assert names(page) == ["dino"]
    page.select_option("#status", "")
    page.select_option("#suite", label="no suite")
    assert said.inner_text() == "8 of 10 encoders shown"
    assert page.locator(".point[role=img]").count() == 7


def test_points_are_named_on_hover_and_on_focus(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(site(tmp_path, *rich()))
    page.select_option("#x", "alignment")
    page.select_option("#y", "knn")
    points, tip = page.locator(".point[role=img]"), page.locator("#tip")
    assert points.count() == 7
    assert not tip.is_visible()
    points.nth(3).hover()
    assert tip.is_visible()
    assert tip.locator("bdi").inner_text() == "b"
    assert "alignment 0.3, knn 0.81" in tip.inner_text()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    points.nth(0).focus()
    assert (tip.is_visible(), tip.locator("bdi").inner_text()) == (True, "e")
    assert "COLLAPSED" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert tip.locator("bdi").inner_text() == "d"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert page.locator(".point[role=img][tabindex='0']").count() == 1
    page.select_option("#x", "parameters")
    page.select_option("#of", label="all boards")
    page.select_option("#by", "board")
    assert points.count() == 9
    assert page.locator("#legend li").count() == 2
    page.select_option("#x", "uniformity")
    points.nth(0).focus()
    assert "uniformity -1.5 (t 2), knn 0.7" in tip.inner_text()


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1440, False)])  # no colour depends on the width
def test_the_page_is_accessible_and_holds_at_every_width(
    open_page: OpenPage, flaws: Flaws, sideways: Sideways, tmp_path: Path, width: int, dark: bool
) -> None:
    page = open_page(site(tmp_path, *rich(), pages=True), width=width, dark=dark)
    page.locator("#all").check()
    page.locator("summary").click()
    assert sideways(page) == 0
    assert flaws(page) == []


def test_hostile_names_are_text(
    open_page: OpenPage, flaws: Flaws, sideways: Sideways, tmp_path: Path
) -> None:
    cards = [
        card(name, metric("knn", 0.5 + i / 50, width=0.02), facts={"licence": name, "method": name})
        for i, name in enumerate(HOSTILE)
    ]
    page = open_page(site(tmp_path, *cards), width=360)
    assert page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in names(page)
    page.select_option("#x", "parameters")
    for i in range(len(HOSTILE)):
        page.locator(".point[role=img]").nth(i).focus()
        assert page.locator("#tip").is_visible()
    assert sideways(page) == 0
    assert flaws(page) == []


def test_without_scripts_the_tables_are_whole(open_page: OpenPage, tmp_path: Path) -> None:
    cards = [card(f"encoder-{i}", metric("knn", 0.5, width=0.1)) for i in range(60)]
    path = site(tmp_path, *cards)
    page = open_page(path, script=False)
    assert page.locator("tbody.rows tr:visible").count() == 60
    assert "sorting, filters and the scatter" in page.locator("noscript").inner_text()
    assert not page.locator("#scatter").is_visible()
    page = open_page(path)
    assert page.locator("tbody.rows tr:visible").count() == 50
    page.get_by_role("button", name="Show 10 more rows").click()
    assert page.locator("tbody.rows tr:visible").count() == 60


def test_a_row_leads_to_its_card(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(site(tmp_path, *rich(), pages=True))
    page.get_by_role("link", name="dino", exact=True).click()
    assert page.locator("h1").inner_text() == "dino"
