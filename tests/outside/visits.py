"""The browser of a run, and how tests open pages in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browsers import Published, open_browser
from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser. There is one, because Playwright cannot start twice in a process."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser, site: Published) -> Iterator[Callable[..., Page]]:
    """Opens a page. At the end, no page may have complained or asked another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str, **options: Any) -> Page:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda one: None if one.url.startswith(site.url) else complaints.append(one.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(f"{message.text} {message.location['url']}"))
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # that a picture or page is missing, or a query refused, is what some tests are about
    lost = ["/images/missing.png", "/nothing/here", "/search?q=re:(", "/search?q=re%3A%28"]
    lost.append("/favicon.ico")  # a feed links to no icon, and a static server has none there
    assert [one for one in complaints if not one.endswith(tuple(lost))] == []
