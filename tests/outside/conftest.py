"""What the tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsers import open_browser
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser. There is one, because Playwright cannot start twice in a process."""
    with open_browser() as opened:
        yield opened
