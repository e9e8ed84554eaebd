"""Debian's Chromium, driven by Playwright, and what it says of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

CHROMIUM = "/usr/bin/chromium"
# Nothing that asks other hosts; `--no-sandbox`, because tests may run as root.
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE: ViewportSize = {"width": 390, "height": 844}


@contextmanager
def open_browser(*more: str) -> Iterator[Browser]:
    """The browser, with `more` arguments of its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS, *more])
        yield browser
        browser.close()


class Published(NamedTuple):
    """A site that is served at `url`; `is_static`: not by us."""

    url: str
    is_static: bool


def faults_of(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe-core finds: the rule, how bad it is, and where."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(fault["id"], fault["impact"], [node["html"] for node in fault["nodes"]][:3]) for fault in found]
