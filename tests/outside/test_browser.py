"""What people do with the pages in a real browser, from our service and from a static server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from browsers import PHONE, Published, faults_of
from commands import Shop, eventually, free_port
from http_servers import LoopbackServer, QuietHandler
from playwright.sync_api import Page, expect

pytest_plugins = ["visits"]

IMAGES = Path(__file__).parents[2] / "examples" / "images"
EMPTY = ("calm", "dull", "empty")
TOPICS = ("Cities", "Maps", "Street maps", "Robots", "Seeds")
CONFIG = {
    "output": 'limit = 12\nmin_stay = "0s"',
    "topics.parent": '"Maps" = "Cities"\n"Street maps" = "Maps"',
    "[feed]": 'slug = "long-reads"\ntitle = "Long reads"\ncontent = "full"\ntopics.any = ["Robots"]\n'
    '[[feed]]\nslug = "quiet"\ntitle = "Quiet"\nmin_quality = 99'
    + "".join(f'\n[[feed]]\nslug = "{name}"\ntitle = "{name.title()}"\nmin_quality = 99' for name in EMPTY),
}
BODY = """\
## A part

Words, [a link](https://a.example/), `code` and

    a line of code that is far too long for a telephone, because nobody broke it when it was written down

| Command | Default | Available | Meaning | Remarks | Examples | Authors |
|---|--:|---|---|---|---|---|
| extraordinary | 2 | everywhere | everything | nothing | something | somebody |

![](IMAGE)
"""
KINDS = {
    "home": "",
    "feed": "all/",
    "topic": "maps/",
    "full": "long-reads/",
    "empty": "quiet/",
    "archive": "all/archive/",
    "sealed": "all/archive/0001.html",
    "404": "nothing/here",
}


def fill(shop: Shop, url: str) -> None:
    """60 stories with all that pages show."""
    shop.configure(
        site=f'id = "feeds.example.org"\ntitle = "Small Wonders"\nbase_url = "{url}"',
        serve=f"port = {url.rstrip('/').rpartition(':')[2]}",
        **CONFIG,
    )
    for number in range(60):
        image = "missing.png" if number % 2 else "tide-farm.svg"
        front = (
            f'title: "Story {number}"\nexcerpt: "What happened, told in a sentence or two."\n'
            f"publishedDateTime: 2026-0{number % 9 + 1}-{number % 28 + 1:02}T12:00:00Z\n"
            f'topics: ["{TOPICS[number % 5]}"]\nimages: [{{url: "{url}images/{image}", width: 1200, height: 750}}]\n'
            f'provider: {{name: "Streetwise", domain: "streets.example"}}\nlocale: {"de" if number % 7 == 0 else "en"}\n'
        )
        front += f"webUrl: https://news.example/{number}\n" if number % 5 and number != 53 else ""
        front += f"enclosure: {url}images/hum.mp3\n" if number % 4 == 0 else ""
        front += 'related: [{title: "More", webUrl: "https://news.example/more"}]\n' if number % 3 == 0 else ""
        shop.write(f"{number}.md", f"---\n{front}---\n{BODY.replace('IMAGE', f'{url}images/{image}')}")
    images = shop.output / "images"
    images.mkdir(parents=True)
    for path in IMAGES.iterdir():
        (images / path.name).write_bytes(path.read_bytes())


class Files(QuietHandler, SimpleHTTPRequestHandler):
    """Serves a folder."""


# the same bytes as pages; what a server adds differs
both_servers = pytest.mark.parametrize("site", ["service", "static"], indirect=True)


@pytest.fixture(scope="module", params=["service"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    shop = Shop(tmp_path_factory.mktemp("site"))
    if request.param == "service":
        url = f"http://127.0.0.1:{free_port()}/"
        fill(shop, url)
        shop.start("run").wait_until_done()
        yield Published(url, is_static=False)
        shop.close()
        return
    with LoopbackServer(partial(Files, directory=shop.output)) as server:
        url = f"{server.url}/"
        fill(shop, url)
        assert shop.run("build").returncode == 0
        yield Published(url, is_static=True)


def rows(page: Page) -> list[str]:
    """The feeds that the list shows."""
    return page.locator("[data-feeds] > li:visible strong").all_text_contents()


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_has_a_fault_of_accessibility(visit: Callable[..., Page], kind: str) -> None:
    page = visit(KINDS[kind], color_scheme="light")
    for details in page.locator("details").all()[:3]:
        details.locator("summary").click()
    assert faults_of(page) == []
    page.emulate_media(color_scheme="dark")
    assert faults_of(page) == []


@pytest.mark.parametrize("kind", KINDS)
def test_pages_fit_any_window_and_lines_of_facts_begin_where_the_text_around_them_does(
    visit: Callable[..., Page], kind: str
) -> None:
    page = visit(KINDS[kind])
    for details in page.locator("details").all()[:3]:
        details.locator("summary").click()
    for width in (320, 390, 1000, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        lines = page.evaluate(
            """() => [...document.querySelectorAll("p.meta, .meta > :first-child")].map((line) => {
                const range = document.createRange();
                range.selectNodeContents(line);
                return [range.getBoundingClientRect().left, line.closest("article, header, .feed, .heading, footer, main")
                    .getBoundingClientRect().left, line.outerHTML];
            }).filter(([left, around]) => left && left < around)"""
        )
        assert lines == [], width


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaves_the_narrowest_window_when_text_is_twice_as_large(visit: Callable[..., Page], kind: str) -> None:
    page = visit(KINDS[kind], viewport={"width": 320, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *, header *")].filter((part) => !part.closest(".scroll"))
            .filter((part) => part.getBoundingClientRect().right > innerWidth).map((part) => part.outerHTML)"""
    )
    assert outside == []


def test_the_names_of_formats_are_whole_on_a_small_phone(visit: Callable[..., Page]) -> None:
    page = visit("robots/", viewport={"width": 320, "height": 800})
    name = page.get_by_text("RSS", exact=True)
    assert (
        name.evaluate("(name) => name.getBoundingClientRect().height / parseFloat(getComputedStyle(name).lineHeight)")
        < 1.5
    )
    buttons = (page.get_by_role("button", name="Copy the RSS URL"), page.get_by_role("link", name="Open in a reader"))
    assert len({round(part.bounding_box()["y"]) for part in buttons}) == 1  # type: ignore[index]


def test_the_list_of_feeds_is_filtered(visit: Callable[..., Page]) -> None:
    page = visit("")
    names = ["Calm", "Cities", "Maps", "Street maps", "Dull", "Empty", "Long reads", "Quiet", "Robots", "Seeds"]
    assert rows(page) == names
    page.get_by_label("Filter the feeds").fill("MAPS str")
    assert rows(page) == ["Street maps"]
    expect(page.get_by_role("status")).to_have_text("1 of 10 feeds")
    expect(page.get_by_text("in Maps")).to_be_visible()
    for words in ("newest", "stories", "2026", "in"):  # which the lines have, and no feed
        page.get_by_label("Filter the feeds").fill(words)
        assert rows(page) == []
    page.get_by_label("Filter the feeds").fill("xyz")
    assert rows(page) == []
    expect(page.get_by_text("No feed has these words.")).to_be_visible()
    page.get_by_label("Filter the feeds").press("Enter")
    assert page.url.endswith("/")
    page.get_by_label("Filter the feeds").fill("")
    assert rows(page) == names


def test_topics_lead_up_and_down(visit: Callable[..., Page]) -> None:
    page = visit("cities/")
    page.get_by_label("Topics below").get_by_role("link", name="Maps").click()
    page.get_by_label("Topics below").get_by_role("link", name="Street maps").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Street maps")
    above = page.get_by_label("Topics above").get_by_role("link")
    expect(above).to_have_text(["Cities", "Maps"])
    above.first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cities")


def test_the_list_of_feeds_is_sorted(visit: Callable[..., Page]) -> None:
    page = visit("")
    maps = page.get_by_role("link", name="Maps", exact=False).first
    indented = maps.bounding_box()
    page.get_by_label("Sort the feeds").select_option("Most stories first")
    assert rows(page)[:2] == ["Cities", "Maps"]
    assert rows(page)[-1] == "Quiet"
    page.get_by_label("Sort the feeds").select_option("Newest story first")
    assert rows(page)[-1] == "Quiet"
    newest = page.locator("[data-feeds] time").evaluate_all("times => times.map((time) => time.dateTime)")
    assert newest == sorted(newest, reverse=True)
    assert indented
    page.get_by_label("Sort the feeds").select_option("By name")
    assert rows(page)[:4] == ["Calm", "Cities", "Maps", "Street maps"]


@both_servers
def test_a_url_is_copied(visit: Callable[..., Page], site: Published) -> None:
    page = visit("robots/")
    page.get_by_text("Other formats").click()
    page.get_by_role("button", name="Copy the Atom URL").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("The URL was copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{site.url}robots/atom.xml"
    opened = page.get_by_role("link", name="Open in a reader").get_attribute("href")
    assert opened == f"feed{site.url.removeprefix('http')}robots/rss.xml"


def test_older_stories_lead_to_the_oldest(visit: Callable[..., Page]) -> None:
    page = visit("all/")
    seen = set(page.locator("article h2").all_text_contents())
    while (older := page.get_by_role("link", name="Older stories →")).count():
        older.click()
        seen |= set(page.locator(".list li > :nth-child(2)").all_text_contents())
    assert seen == {f"Story {number}" for number in range(60)}
    expect(page.get_by_text("Page 1 of the archive")).to_be_visible()
    while (newer := page.get_by_role("link", name="← Newer stories")).count():
        newer.click()
    assert page.url.endswith("/all/")


def test_the_keyboard_reaches_the_content_first(visit: Callable[..., Page]) -> None:
    page = visit("all/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        )
    assert reached[:3] == ["Copy the RSS URL", "Open in a reader", "Other formats"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_pages_follow_the_colours_of_the_system(visit: Callable[..., Page]) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        page = visit("all/", color_scheme=scheme)
        background, text = page.evaluate(
            "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name].match(/\\d+/)[0])"
        )
        assert (int(background) < 60 < 180 < int(text)) == is_dark


def test_a_short_list_of_feeds_has_no_filter(visit: Callable[..., Page]) -> None:
    page = visit("")
    expect(page.get_by_label("Filter the feeds")).to_be_visible()
    page.route("**/", lambda route: route.fulfill(body=without_a_feed(route.fetch().text()), content_type="text/html"))
    page.reload()
    assert len(rows(page)) == 9
    expect(page.get_by_label("Filter the feeds")).to_be_hidden()


def without_a_feed(home: str) -> str:
    """The home page without the last feed of its list."""
    before, _, after = home.rpartition("<li>")
    return before + after.partition("</li>")[2]


def test_a_list_of_feeds_is_compact_on_a_phone(visit: Callable[..., Page]) -> None:
    page = visit("", viewport=PHONE)
    heights = [row.bounding_box()["height"] for row in page.locator("[data-feeds] > li").all()]  # type: ignore[index]
    assert max(heights) < 75, "250 feeds are at most 19,000 pixels"


def test_the_first_screen_of_a_phone_has_a_story(visit: Callable[..., Page]) -> None:
    page = visit("robots/", viewport={"width": 360, "height": 640})
    expect(page.locator("article").first).to_be_in_viewport()


def test_pictures_that_do_not_load_take_no_room(visit: Callable[..., Page]) -> None:
    page = visit("all/")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    missing = page.locator("img.picture[src$='missing.png']")
    assert missing.count() > 2
    expect(missing.locator("visible=true")).to_have_count(0)
    there = page.locator("img.picture[src$='tide-farm.svg']")
    expect(there.locator("visible=true")).to_have_count(there.count())


def test_the_pages_work_without_scripts(visit: Callable[..., Page], site: Published) -> None:
    page = visit("", java_script_enabled=False)
    assert len(rows(page)) == 10
    expect(page.get_by_label("Filter the feeds")).to_be_hidden()
    page.get_by_role("link", name="Robots").click()
    expect(page.get_by_role("button")).to_have_count(0 if site.is_static else 1)  # of the search
    expect(page.get_by_text("/robots/rss.xml")).to_be_visible()
    page.get_by_text("Other formats").click()
    expect(page.get_by_text("/robots/atom.xml")).to_be_visible()
    expect(page.locator("audio").first).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_count(0 if site.is_static else 1)


def test_the_full_text_is_there_on_demand(visit: Callable[..., Page]) -> None:
    page = visit("long-reads/")
    part = page.get_by_text("A part").first
    expect(part).to_be_hidden()
    page.get_by_text("Full story").first.click()
    expect(part).to_be_visible()


def test_the_words_of_a_wide_table_stay_whole(visit: Callable[..., Page]) -> None:
    page = visit("long-reads/", viewport=PHONE)
    page.get_by_text("Full story").first.click()
    cells = page.locator("article").first.locator("td")
    assert {cell.bounding_box()["height"] for cell in cells.all()} == {cells.first.bounding_box()["height"]}  # type: ignore[index]
    assert cells.first.bounding_box()["height"] < 50  # type: ignore[index]
    page.get_by_role("group", name="Table").first.focus()
    page.keyboard.press("ArrowRight")
    eventually(lambda: page.evaluate("document.activeElement.scrollLeft") > 0)


def test_a_full_story_is_as_wide_as_the_column_also_beside_a_picture(visit: Callable[..., Page]) -> None:
    page = visit("long-reads/")
    story = page.locator("article:has(.picture:visible)").first
    story.get_by_text("Full story").click()
    around, opened = story.bounding_box(), story.locator("details").bounding_box()
    assert around
    assert opened
    assert around["width"] == opened["width"]


def test_a_printed_story_begins_where_the_one_before_it_ends_and_has_all_columns_of_its_tables(
    visit: Callable[..., Page],
) -> None:
    page = visit("long-reads/")
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 in pixels, less its margins
    page.emulate_media(media="print")
    story = page.locator("article").first
    assert story.evaluate("(one) => getComputedStyle(one).breakInside") == "auto"
    table = story.locator(".scroll")
    expect(table).to_be_visible()
    assert table.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    assert table.evaluate("(one) => getComputedStyle(one).overflowX") == "visible"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_have_borders_that_can_be_seen(visit: Callable[..., Page], scheme: str) -> None:
    """WCAG 1.4.11."""
    page = visit("", color_scheme=scheme)
    colours = page.get_by_label("Sort the feeds").evaluate(
        """(field) => [[field, "borderTopColor"], [field, "backgroundColor"], [document.body, "backgroundColor"]].map(
            ([one, name]) => getComputedStyle(one)[name].match(/\\d+/g).map(Number))"""
    )
    border, inside, outside = (0.05 + luminance(*colour[:3]) for colour in colours)
    for other in (inside, outside):
        assert max(border, other) / min(border, other) >= 3


def luminance(*parts: int) -> float:
    """The relative luminance of a colour in sRGB (WCAG 2.2)."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_an_entry_without_a_link_has_an_anchor(visit: Callable[..., Page]) -> None:
    page = visit("cities/")
    link = page.get_by_role("link", name="Story 50", exact=True)
    link.click()
    assert page.locator(f"article{page.evaluate('location.hash')} h2").text_content() == "Story 50"


def test_the_title_of_an_entry_without_a_link_opens_its_full_story(visit: Callable[..., Page]) -> None:
    page = visit("long-reads/")
    story = page.locator("article", has_text="Story 53")
    story.get_by_role("link", name="Story 53").click()
    expect(story.locator(".body")).to_be_visible()
    page.reload()
    expect(story.locator(".body")).to_be_visible()


@both_servers
@pytest.mark.parametrize("file", ["rss.xml", "atom.xml", "archive/0001.xml"])
def test_a_feed_opened_in_a_browser_can_be_read(visit: Callable[..., Page], site: Published, file: str) -> None:
    page = visit(f"all/{file}")
    name = "item" if file == "rss.xml" else "entry"
    looks = page.evaluate(
        """(name) => {
            const [title, note] = [document.getElementsByTagName("title")[0], document.documentElement.outerHTML];
            const entry = document.getElementsByTagName(name)[0];
            const shown = (one) => getComputedStyle(one).display !== "none";
            const parts = [...entry.children].filter(shown).map((one) => one.localName);
            const all = [...document.querySelectorAll("*")];
            const texts = all.map((one) => getComputedStyle(one, "::after").content).filter((text) => text !== "none");
            const [link] = [...document.getElementsByTagName("link")].filter((one) => shown(one) && one.parentNode === title.parentNode);
            const page = link.textContent || getComputedStyle(link, "::before").content;
            const directions = [...document.getElementsByTagName("title")].map((one) => getComputedStyle(one).unicodeBidi);
            return { size: parseFloat(getComputedStyle(title).fontSize), parts, texts, page, directions };
        }""",
        name,
    )
    assert looks["size"] > 28
    # RSS escapes the description twice, which no stylesheet can undo
    wanted = {"item": ["title", "pubDate"], "entry": ["title", "summary", "published"]}[name]
    assert sorted(looks["parts"]) == sorted(wanted)
    [text] = looks["texts"]
    assert text.startswith('"These are older stories' if "archive" in file else '"This is a feed')
    assert looks["page"].strip('"') == f"{site.url}all/"
    assert set(looks["directions"]) == {"plaintext"}


@both_servers
def test_the_search_box_is_there_only_where_there_is_a_search(visit: Callable[..., Page], site: Published) -> None:
    """Also without scripts."""
    for has_scripts in (True, False):
        page = visit("all/", java_script_enabled=has_scripts)
        expect(page.get_by_label("Search in all stories")).to_be_visible(visible=not site.is_static)


@both_servers
def test_every_link_between_pages_leads_somewhere(visit: Callable[..., Page], site: Published) -> None:
    page = visit("")
    seen, rest = set(), {site.url}
    while rest:
        url = rest.pop()
        seen.add(url)
        answer = page.request.get(url)
        assert answer.status == 200, url
        if "text/html" not in answer.headers["content-type"]:
            continue
        assert len(answer.body()) < 100_000
        page.goto(url)
        found = page.locator("a, link, script").evaluate_all("all => all.map((one) => one.href || one.src)")
        ours = {one.partition("#")[0] for one in found if one.startswith(site.url)}
        rest |= {one for one in ours if "/search" not in one} - seen
    assert len(seen) > 40
