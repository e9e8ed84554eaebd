"""The search page in a real browser, and a search that real readers follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsers import PHONE, Published, faults_of
from commands import Shop, eventually, free_port
from playwright.sync_api import Page, expect
from subscribers import READERS, Subscriber

pytest_plugins = ["visits"]

MANY = 70
QUERIES = {
    "no query": "search",
    "some": "search?q=harbour",
    "many": "search?q=walk",
    "none": "search?q=zeppelin",
    "refused": "search?q=re:(",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(shop: Shop) -> Published:
    port = free_port()
    shop.configure(
        site=f'id = "feeds.example.org"\ntitle = "Small Wonders"\nbase_url = "http://127.0.0.1:{port}/"',
        serve=f"port = {port}",
        output='limit = 10\nmin_stay = "0s"',
    )
    for number in range(MANY):
        date = f"2025-{number // 28 + 1:02}-{number % 28 + 1:02}T12:00:00Z"
        shop.record(
            f"walk{number}.md",
            f"Walk number {number} along a river that winds for longer than anyone has time to follow",
            excerpt="A long way, a short rest and a view of the hills. " * 8,
            publishedDateTime=date,
            topics=["Walks"],
        )
    for day, (name, title) in enumerate(
        {
            "maps": "New maps of the harbour",
            "crane": "The harbour crane retires",
            "boats": "Boats of the new harbour",
            "draft": "A harbour that nobody may see",
        }.items(),
        1,
    ):
        shop.record(
            f"{name}.md",
            title,
            excerpt="Told in a sentence or two.",
            publishedDateTime=f"2026-02-{day:02}T12:00:00Z",
            topics=["Ports"],
            published=name != "draft",
            provider={"name": "Streetwise", "domain": "streets.example"},
            webUrl=None if name == "crane" else f"https://news.example/{name}",
        )
    service = shop.start("run").wait_until_done()
    return Published(service.url, is_static=False)


def titles(page: Page) -> list[str]:
    """The stories that the page shows, in order."""
    return page.locator("article h2, .list li > :nth-child(2)").all_text_contents()


def search_for(page: Page, words: str) -> None:
    box = page.get_by_label("Search in all stories")
    box.fill(words)
    box.press("Enter")
    page.wait_for_url("**/search?q=*")


@pytest.mark.parametrize("start", ["", "all/", "ports/", "all/archive/", "nothing/here"])
def test_the_box_of_every_page_finds_stories_newest_first(visit: Callable[..., Page], start: str) -> None:
    page = visit(start)
    search_for(page, "HARBOUR")
    assert titles(page) == ["Boats of the new harbour", "The harbour crane retires", "New maps of the harbour"]
    expect(page.get_by_role("status").first).to_have_text("3 stories.")
    assert page.title() == "HARBOUR – Search – Small Wonders"
    search_for(page, "maps")
    assert titles(page) == ["New maps of the harbour"]
    page.go_back()
    expect(page.get_by_label("Search in all stories")).to_have_value("HARBOUR")


def test_a_phrase_finds_words_side_by_side_and_a_minus_leaves_stories_out(visit: Callable[..., Page]) -> None:
    page = visit("search")
    search_for(page, '"new harbour"')
    assert titles(page) == ["Boats of the new harbour"]
    expect(page.get_by_label("Search in all stories")).to_have_value('"new harbour"')
    search_for(page, "harbour -new")
    assert titles(page) == ["The harbour crane retires"]


def test_a_search_that_finds_nothing_says_so_and_can_be_followed(visit: Callable[..., Page], site: Published) -> None:
    page = visit("search")
    search_for(page, "zeppelin & <b>")
    expect(page.get_by_role("status").first).to_have_text("No story has these words.")
    assert titles(page) == []
    open_follow_box(page)
    assert feed_link(page) == f"{site.url}search/rss.xml?q=zeppelin+%26+%3Cb%3E"


def test_a_search_for_nothing_explains_how_to_search(visit: Callable[..., Page]) -> None:
    page = visit("search")
    expect(page.get_by_text("All words must occur")).to_be_visible()
    expect(page.get_by_text("Follow this search")).to_have_count(0)
    search_for(page, "  ")
    expect(page.get_by_text("All words must occur")).to_be_visible()


def test_a_query_that_cannot_be_searched_for_says_why(visit: Callable[..., Page]) -> None:
    page = visit("search")
    search_for(page, "re:(")
    expect(page.get_by_role("alert")).to_contain_text("The expression cannot be used")
    expect(page.get_by_label("Search in all stories")).to_have_value("re:(")
    expect(page.get_by_text("Follow this search")).to_have_count(0)


def test_of_many_stories_the_newest_are_shown(visit: Callable[..., Page], shop: Shop) -> None:
    page = visit("search?q=walk")
    assert len(titles(page)) == 50
    assert titles(page)[0].startswith(f"Walk number {MANY - 1} ")
    expect(page.get_by_role("status").first).to_contain_text("The newest 50 stories. The search went back to ")


def test_topics_and_anchors_of_found_stories_lead_somewhere(visit: Callable[..., Page], site: Published) -> None:
    page = visit("search?q=harbour")
    page.get_by_role("link", name="The harbour crane retires").click()
    assert page.url.startswith(f"{site.url}search?q=harbour#s-")
    page.get_by_role("link", name="Ports").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ports")
    assert page.url == f"{site.url}ports/"


def open_follow_box(page: Page) -> None:
    page.get_by_text("Follow this search in a feed reader").click()


def feed_link(page: Page) -> str:
    """The feed that `Open in a reader` leads to."""
    link = page.get_by_role("link", name="Open in a reader").get_attribute("href")
    assert link
    return f"http:{link.removeprefix('feed:')}"


@pytest.mark.parametrize("kind", READERS)
def test_a_search_is_followed_in_a_reader(
    visit: Callable[..., Page], shop: Shop, site: Published, kind: type[Subscriber], tmp_path: Path
) -> None:
    page = visit("search?q=crane")
    open_follow_box(page)
    page.get_by_text("Other formats").click()
    page.get_by_role("button", name="Copy the Atom URL").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{site.url}search/atom.xml?q=crane"
    assert feed_link(page) == f"{site.url}search/rss.xml?q=crane"
    reader = kind(tmp_path / "reader")
    reader.subscribe(copied, feed_link(page))
    reader.poll()
    before = {item.title for item in reader.items()}
    assert "The harbour crane retires" in before
    title = f"{kind.__name__} sees a crane"
    shop.record(f"{kind.__name__}.md", title, publishedDateTime="2026-01-01T12:00:00Z")
    shop.record(f"other {kind.__name__}.md", "Something else", publishedDateTime="2026-01-01T12:00:00Z")
    eventually(lambda: title in titles_after_reload(page))
    reader.poll()
    assert {item.title for item in reader.items()} - before == {title}
    reader.close()


def titles_after_reload(page: Page) -> list[str]:
    page.reload()
    return titles(page)


def test_the_keyboard_leads_from_the_box_to_the_stories(visit: Callable[..., Page]) -> None:
    page = visit("search?q=harbour")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skips to the content
    assert tab(page) == "Search in all stories"
    assert tab(page) == "Search"
    assert tab(page) == "Follow this search in a feed reader"
    page.keyboard.press("Enter")
    assert [tab(page) for _ in range(3)] == ["Copy the RSS URL", "Open in a reader", "Other formats"]
    page.keyboard.press("Enter")
    assert [tab(page) for _ in range(2)] == ["Copy the Atom URL", "Copy the JSON URL"]
    assert [tab(page) for _ in range(2)] == ["Streetwise", "Boats of the new harbour"]


def tab(page: Page) -> str:
    """The name of what the next press of the key reaches; it has a visible outline."""
    page.keyboard.press("Tab")
    name, outline = page.evaluate(
        """() => {
            const reached = document.activeElement;
            return [reached.getAttribute("aria-label") || reached.textContent, getComputedStyle(reached).outlineStyle];
        }"""
    )
    assert outline == "solid", name
    return str(name)


@pytest.mark.parametrize("kind", QUERIES)
def test_the_page_has_no_fault_of_accessibility_and_fits_the_window(visit: Callable[..., Page], kind: str) -> None:
    page = visit(QUERIES[kind])
    for box in (*page.get_by_text("Follow this search").all(), *page.get_by_text("Other formats").all()):
        box.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert faults_of(page) == []
        background = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        assert (int(background) < 60) == (scheme == "dark")
    for width in (320, PHONE["width"], 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert len(page.content().encode()) < 100_000


def test_a_search_works_without_scripts(visit: Callable[..., Page]) -> None:
    page = visit("search?q=harbour", java_script_enabled=False)
    assert len(titles(page)) == 3
    open_follow_box(page)
    page.get_by_text("Other formats").click()
    expect(page.get_by_text("/search/atom.xml?q=harbour")).to_be_visible()
    search_for(page, "maps")
    assert titles(page) == ["New maps of the harbour"]
