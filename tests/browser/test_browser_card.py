"""The page of a card in a browser: readable at both widths and in both schemes, printed, without script."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page
from torch import nn

import sslaudit
from sslaudit import LoadAudit, Preprocess, ReportCard
from sslaudit.encoder import module_digest
from sslaudit.figures import Bars
from sslaudit.report.html import write_page
from sslaudit.results import Check

OpenPage = Callable[..., Page]
Flaws = Callable[[Page], list[str]]
Sideways = Callable[[Page], int]

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")
METRICS = "knn,alignment,divergence,theorem1"
HOSTILE = (
    "<script>window.x=1</script><img src=x onerror=window.x=1>\"'|\n\u202e"
    + b"\xff".decode("utf-8", "surrogateescape")
    + "n" * 200
)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ReportCard:
    """A real one: a small encoder with a projector, on a few digits."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        body, head = nn.Sequential(nn.Flatten(), nn.Linear(192, 16)).eval(), nn.Linear(16, 4).eval()
    encoder = sslaudit.Encoder(
        ref="small", name="Small", embed=body, project=head, dim=16, preprocess=SMALL, modality="image",
        digest=module_digest(body, "small"), parameters=3088, module=body,
        facts={}, load=LoadAudit(matched=2, expected=2),
    )  # fmt: skip
    return sslaudit.evaluate(
        encoder, "digits", metrics=METRICS, max_images=120, views=3, cache=tmp_path_factory.mktemp("cache")
    )


@pytest.fixture(scope="module")
def written(card: ReportCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "card.html"
    write_page(card, path)
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1440, False)])
def test_the_page_is_readable(
    written: Path, open_page: OpenPage, flaws: Flaws, sideways: Sideways, width: int, dark: bool
) -> None:
    page = open_page(written, width=width, dark=dark)
    opened = page.locator("details.metric").filter(has_text="alignment").first
    opened.evaluate("one => one.parentNode.querySelectorAll('details').forEach(d => { d.open = true })")
    assert sideways(page) == 0
    units = page.eval_on_selector_all(
        "figure svg", "all => all.map(one => one.clientWidth / one.viewBox.baseVal.width)"
    )
    assert min(units) * 14 >= 9.5, "text in figures is readable"
    opened.evaluate("one => document.querySelectorAll('details').forEach(d => { d.open = one.contains(d) })")
    assert flaws(page) == []


def test_a_reader_finds_the_way(written: Path, open_page: OpenPage) -> None:
    page = open_page(written, script=False)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the verdict"
    headings = page.locator("h2").all_inner_texts()
    assert headings[:3] == [
        "Health checks",
        "The numbers to look at",
        "The three factors, and what Theorem 1 asks of them",
    ]
    assert headings[-2:] == ["Every metric", "Provenance"]
    assert "spread, rho, is" in page.locator("#factors .lead").first.inner_text()
    details = page.locator("details.metric").filter(has_text="alignment").first
    assert not details.locator("dl").is_visible()
    details.locator("summary").first.press("Enter")
    assert details.locator("dl").is_visible()


def test_print_shows_what_is_closed_on_screen(written: Path, open_page: OpenPage) -> None:
    page = open_page(written)
    closed = page.locator("details.metric dl").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()
    assert not page.locator("details.scalars table").first.is_visible()
    page.set_viewport_size({"width": 703, "height": 1000})
    tops = page.locator(".pair").first.evaluate("one => [...one.children].map(each => each.offsetTop)")
    assert len(tops) == 2
    assert tops[0] == tops[1], "the spaces of one metric stand side by side on paper"
    assert not page.locator("nav").is_visible()


def test_hostile_names_do_nothing(
    card: ReportCard, tmp_path: Path, open_page: OpenPage, flaws: Flaws, sideways: Sideways
) -> None:
    bars = Bars(title=HOSTILE, labels=[HOSTILE], values=[1.0], value_label=HOSTILE, note=HOSTILE)
    metrics = tuple(
        dataclasses.replace(
            record, group="other", summary=HOSTILE, paper=HOSTILE, note=HOSTILE, figures=(bars,),
            unit=HOSTILE, details={HOSTILE: HOSTILE}, source=HOSTILE, formula=HOSTILE,
            headline={HOSTILE: HOSTILE},
        )
        for record in card.metrics[:2]
    )  # fmt: skip
    strange = dataclasses.replace(
        card,
        encoder=dataclasses.replace(card.encoder, ref=HOSTILE, name=HOSTILE, facts={HOSTILE: HOSTILE}),
        data=dataclasses.replace(card.data, ref=HOSTILE, classes=(HOSTILE,) * 20),
        checks=(*card.checks, Check(name=HOSTILE, status="warn", message=HOSTILE)),
        metrics=metrics,
        problems=(HOSTILE,),
        provenance=dataclasses.replace(card.provenance, command=HOSTILE),
    )
    write_page(strange, tmp_path / "card.html")
    page = open_page(tmp_path / "card.html", width=360)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("window.x === undefined && document.querySelectorAll('img, script').length === 0")
    assert sideways(page) == 0
    assert flaws(page) == []
