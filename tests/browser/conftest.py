"""A Chromium that opens pages as a reader does: no network, no error in the console, at any width."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import chromium

WIDTHS = (360, 1440)
OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a test of the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine."""
    found = chromium()
    assert found is not None  # without one these tests are left out
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(path, width=1440, dark=False)``: the page, opened from disk.

    At the end of the test: nothing was requested but files beside the page, and no console had an error.
    """
    contexts: list[Any] = []
    asked: list[str] = []
    said: list[str] = []

    def opened(path: Path, *, width: int = 1440, dark: bool = False, script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []


@pytest.fixture
def flaws() -> Callable[[Page], list[str]]:
    """What axe-core finds wrong with a page: the rule, and the first element that breaks it."""

    def found(page: Page) -> list[str]:
        violations = Axe().run(page).response["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in violations]

    return found


@pytest.fixture
def sideways() -> Callable[[Page], int]:
    """By how many pixels a page is wider than its window: 0 where nobody scrolls sideways."""

    def found(page: Page) -> int:
        wide: int = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide

    return found
