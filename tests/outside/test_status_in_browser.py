"""The status page in a real browser, while things happen."""

from __future__ import annotations

import pytest
from browsers import PHONE, faults_of
from commands import Running, Shop, eventually
from playwright.sync_api import Browser, Page, expect

pytest_plugins = ["visits"]

TOPICS = ("AI", "Maps", "A topic whose name is longer than any sensible name of a topic")


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.configure(site='id = "feeds.example.org"\ntitle = "Example News"', websub='hub = "http://127.0.0.1:9/hub"')
    for number in range(30):
        date = f"2026-01-{number + 1:02}T08:00:00Z"
        shop.record(f"{number}.md", f"Story {number}", topics=[TOPICS[number % 3]], publishedDateTime=date)
    shop.record("later.md", "A story for later", publishedDateTime="2098-01-01T00:00:00Z")
    return shop


@pytest.fixture
def service(shop: Shop) -> Running:
    return shop.start("run").wait_until_done()


def open_page(browser: Browser, service: Running, **options: object) -> tuple[Page, list[str]]:
    """The page, and what its console says."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{service.url}status")
    return page, said


def add_all_kinds(shop: Shop, service: Running) -> None:
    """A page with something in each of its parts."""
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    shop.write("colon.md", f"---\ntitle: A story: {'with a very long title ' * 6}\n---\n")
    shop.record("warn.md", publishedDateTime="2024-05-01 10:00:00")
    shop.add_to_config("[output]\nlimti = 3\n")
    eventually(lambda: b"limti" in service.get("status").body and b"colon.md" in service.get("status").body)


def test_the_page_shows_a_record_that_arrives_and_keeps_what_was_opened(
    browser: Browser, shop: Shop, service: Running
) -> None:
    page, said = open_page(browser, service)
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    published = page.locator(".tile", has_text="Published")
    expect(published).to_contain_text("30")
    tables = page.locator('details[data-keep="topics"]')
    page.locator('details[data-keep="stages"] summary').click()
    shop.record("new.md", "News", topics=["AI"])
    expect(published).to_contain_text("31", timeout=20_000)
    assert tables.get_attribute("open") is None
    opened = page.locator('details[data-keep="stages"]')
    expect(opened).to_have_attribute("open", "")
    expect(opened.locator("summary")).to_be_focused()
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Needs attention", timeout=20_000)
    expect(page.locator(".problems pre")).to_contain_text("published: yes please")
    assert page.title() == "Needs attention – Status of Example News"
    assert said == []


def test_updates_can_be_paused(browser: Browser, shop: Shop, service: Running) -> None:
    page, said = open_page(browser, service)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/status") else None)
    pause = page.get_by_role("button", name="Pause updates")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    page.evaluate("() => new Promise(done => setTimeout(done, 3500))")
    assert asked == []
    pause.click()
    eventually(lambda: page.evaluate("1") and asked)
    assert said == []


def test_the_page_says_when_the_service_does_not_answer_any_more(browser: Browser, service: Running) -> None:
    page, _ = open_page(browser, service)
    expect(page.get_by_role("alert")).to_be_hidden()
    service.end()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer", timeout=20_000)


def test_everybody_can_use_it(browser: Browser, shop: Shop, service: Running) -> None:
    add_all_kinds(shop, service)
    page, said = open_page(browser, service, color_scheme="dark")
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert faults_of(page) == []
    page.emulate_media(color_scheme="light")
    for width in (320, PHONE["width"], 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert faults_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    assert len(service.get("status").body) < 100_000


def test_it_works_without_scripts(browser: Browser, service: Running) -> None:
    page, _ = open_page(browser, service, java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(page.locator(".tile", has_text="Published")).to_contain_text("30")
    expect(page.get_by_role("button", name="Pause updates")).to_be_hidden()


def test_it_asks_no_other_host(browser: Browser, service: Running) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}status", wait_until="networkidle")
    assert len(asked) >= 6
    assert [url for url in asked if not url.startswith(service.url)] == []


def test_the_lamp_and_the_lines_between_figures_stay_in_forced_colours(browser: Browser, service: Running) -> None:
    page, _ = open_page(browser, service, forced_colors="active")
    lamp, around, line = page.evaluate(
        """() => {
            const look = (part) => getComputedStyle(document.querySelector(part));
            return [look(".lamp").backgroundColor, look("body").backgroundColor, look(".tile").outlineStyle];
        }"""
    )
    assert lamp != around
    assert line == "solid"
