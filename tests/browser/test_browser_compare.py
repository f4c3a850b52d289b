"""The page of a comparison in a browser: readable at both widths, light and dark, without a script."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from sslaudit.comparison import compare
from sslaudit.comparison.page import page
from tests.comparison_cards import card, right

N = 200
BASE = right(N, 0.9, 0)
HOSTILE = "<img src=x onerror=alert(1)>|\u202e\n" + "x" * 200


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs of a run, and an encoder with a hostile name."""
    spread = np.random.default_rng(0).random(N)
    cards = [card(HOSTILE, {"knn": right(N, 0.5, 9), "probe": BASE}, factors={"spread": spread})]
    for epoch in (1, 4, 9):
        column = right(N, 0.9, epoch, of=BASE, change=1 / epoch)
        facts = {"method": "simclr", "epoch": f"{epoch} of 9"}
        made = card(
            f"run/{epoch}.pt", {"knn": column, "probe": BASE}, factors={"spread": spread / epoch}, facts=facts
        )
        cards.append(made)
    path = tmp_path_factory.mktemp("site") / "comparison.html"
    path.write_text(page(compare(cards)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1440, False), (1440, True)])
def test_a_comparison_is_read_at_any_width(
    comparison: Path,
    open_page: Callable[..., Page],
    flaws: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
    width: int,
    dark: bool,
) -> None:
    opened = open_page(comparison, width=width, dark=dark)
    assert flaws(opened) == []
    assert sideways(opened) == 0
    assert opened.locator("figure").count() == 3  # the differences, and two curves
    assert opened.locator("img").count() == 0
    assert "too close to tell" in opened.locator(".sentences").inner_text()


def test_it_needs_no_script(comparison: Path, open_page: Callable[..., Page]) -> None:
    opened = open_page(comparison, script=False)
    assert opened.get_by_role("heading", name="Which is better").is_visible()
    assert "<script" not in comparison.read_text(encoding="utf-8")
