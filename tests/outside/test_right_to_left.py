"""Pages of a site in Hebrew, and stories in Hebrew on pages in English, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from itertools import pairwise
from typing import Any

import pytest
from browsers import PHONE, Published, faults_of
from commands import Shop
from http_servers import LoopbackServer, QuietHandler
from playwright.sync_api import Locator, Page, expect

pytest_plugins = ["visits"]

SHALOM, NEWS, MAPS, PAPER = "שלום", "חדשות", "מפות", "עיתון (א)"
PAGES = ("", "all/", "long/", "all/archive/", "all/archive/0001.html")
BODY = """\
שלום **עולם**, זה `code # end!` בתוך הטקסט.

{numbers}

> ציטוט ארוך

| א | ב |
|---|---|
| 1 | 2 |

```
x = 1  # end!
```
"""
NUMBERS = "\n".join(f"{number}. מספר" for number in range(1, 13))


class Files(QuietHandler, SimpleHTTPRequestHandler):
    """Serves a folder."""


@pytest.fixture(scope="module", params=["he"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A site in the language of the parameter, with stories in Hebrew."""
    shop, language = Shop(tmp_path_factory.mktemp("site")), request.param
    with LoopbackServer(partial(Files, directory=shop.output)) as server:
        shop.output.mkdir(parents=True, exist_ok=True)
        shop.configure(
            site=f'id = "e.org"\ntitle = "Wonders"\nbase_url = "{server.url}/"\nlanguage = "{language}"',
            output='limit = 3\nmin_stay = "0s"',
            **{
                "topics.parent": f'"{MAPS}" = "{NEWS}"\n"Lanes" = "{MAPS}"\n"Doors" = "Lanes"',
                "[feed]": f'slug = "long"\ntitle = "{SHALOM}"\ncontent = "full"\nlanguage = "{language}"'
                + "".join(f'\n[[feed]]\nslug = "empty-{number}"\nmin_quality = 99' for number in range(5)),
            },
        )
        for day in range(1, 9):
            front = {
                "title": f"{SHALOM} {day}! (v2.0)",
                "excerpt": "טקסט בעברית.",
                "locale": "he",
                "publishedDateTime": f"2026-05-{day:02}T10:00:00Z",
                "topics": [NEWS, (MAPS, "Lanes", "Doors")[day % 3]],
                "provider": {"name": PAPER},
                "related": [{"title": "קישור (א)", "webUrl": "https://news.example/more"}],
            }
            shop.write(f"{day}.md", f"{json.dumps(front)}\n{BODY.format(numbers=NUMBERS)}")
        assert shop.run("build").returncode == 0
        yield Published(f"{server.url}/", is_static=True)


both_languages = pytest.mark.parametrize("site", ["he", "en"], indirect=True)


def box(part: Locator) -> dict[str, float]:
    """Where a part is, with its right edge."""
    found: Any = part.bounding_box()
    return {**found, "right": found["x"] + found["width"]}


def text_box(part: Locator) -> dict[str, float]:
    """Where the text of a part is."""
    found: dict[str, float] = part.evaluate(
        """(part) => {
            const range = document.createRange();
            range.selectNodeContents(part);
            return range.getBoundingClientRect().toJSON();
        }"""
    )
    return found


def open_stories(page: Page) -> None:
    for summary in page.get_by_text("Full story").all():
        summary.click()


@both_languages
@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_any_window_and_have_no_fault_of_accessibility(visit: Callable[..., Page], path: str) -> None:
    page = visit(path)
    open_stories(page)
    for width in (320, 390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert faults_of(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_mirrored(visit: Callable[..., Page], path: str) -> None:
    page = visit(path)
    assert page.evaluate("getComputedStyle(document.documentElement).direction") == "rtl"
    assert box(page.locator(".brand"))["x"] > box(page.locator(".top nav"))["right"]


@both_languages
def test_numbers_of_lists_stay_within_the_column_of_the_text(visit: Callable[..., Page]) -> None:
    page = visit("long/", viewport=PHONE)
    open_stories(page)
    body = page.locator(".body").first
    marker = body.evaluate(
        """(body) => {
            const [list, sample] = [body.querySelector("ol"), document.createElement("span")];
            sample.textContent = "12. ";
            sample.style.whiteSpace = "pre";
            body.append(sample);
            const width = sample.getBoundingClientRect().width;
            sample.remove();
            return parseFloat(getComputedStyle(list).paddingRight) - width;
        }"""
    )
    assert marker >= 0
    item = text_box(body.locator("ol li").first)
    assert item["right"] < box(body)["right"] - 20


@both_languages
def test_the_bar_of_a_quotation_is_beside_its_text(visit: Callable[..., Page]) -> None:
    page = visit("long/")
    open_stories(page)
    quote = page.locator(".body blockquote").first
    assert quote.evaluate("(quote) => getComputedStyle(quote).borderRightWidth") == "3px"
    assert quote.evaluate("(quote) => getComputedStyle(quote).borderLeftWidth") == "0px"
    assert 10 < box(quote)["right"] - text_box(quote.locator("p"))["right"] < 25


@both_languages
def test_code_reads_from_left_to_right(visit: Callable[..., Page]) -> None:
    page = visit("long/")
    open_stories(page)
    for part in (page.locator(".body pre").first, page.locator(".body p code").first):
        first, last = part.evaluate(
            """(part) => {
                const text = part.firstElementChild?.firstChild ?? part.firstChild;
                return [0, text.textContent.indexOf("!")].map((at) => {
                    const range = document.createRange();
                    range.setStart(text, at);
                    range.setEnd(text, at + 1);
                    return range.getBoundingClientRect().left;
                });
            }"""
        )
        assert first < last
    pre = page.locator(".body pre").first
    assert text_box(pre)["left"] - box(pre)["x"] < 30


@both_languages
@pytest.mark.parametrize("width", [390, 1280])
def test_topics_stand_further_in_than_their_parents(visit: Callable[..., Page], site: Published, width: int) -> None:
    page = visit("", viewport={"width": width, "height": 800})
    mirrored = page.evaluate("document.documentElement.dir") == "rtl"
    edges = []
    for title in (NEWS, MAPS, "Lanes", "Doors"):
        part = text_box(page.locator("[data-feeds] strong").filter(has_text=title).first)
        edges.append(-part["right"] if mirrored else part["left"])
    steps = [after - before for before, after in pairwise(edges)]
    assert all(abs(step - steps[0]) < 1 for step in steps)
    assert steps[0] > 10


@both_languages
def test_a_line_of_facts_reads_from_left_to_right_and_nothing_of_it_is_cut(visit: Callable[..., Page]) -> None:
    page = visit("all/", viewport=PHONE)
    line = page.locator("article .meta").first
    provider, date = (box(line.locator("> *").nth(at)) for at in (0, 1))
    assert provider["right"] < date["x"]
    mirrored = page.evaluate("document.documentElement.dir") == "rtl"
    card = box(page.locator("article").first)
    assert abs(date["right"] - card["right"] if mirrored else provider["x"] - card["x"]) < 1
    cut = line.evaluate(
        "(line) => line.getBoundingClientRect().left + parseFloat(getComputedStyle(line).clipPath.match(/[\\d.]+px\\)$/)[0])"
    )
    assert cut <= provider["x"]
    assert text_box(line.locator("time"))["right"] <= date["right"] + 1


def test_the_filter_takes_words_from_right_to_left(visit: Callable[..., Page]) -> None:
    page = visit("")
    box_of_words = page.get_by_label("Filter the feeds")
    box_of_words.fill(MAPS)
    assert box_of_words.evaluate("(field) => field.matches(':dir(rtl)')")
    expect(page.locator("[data-feeds] > li:visible strong")).to_have_text([MAPS, "Lanes"])


def test_the_keyboard_shows_the_link_to_the_content(visit: Callable[..., Page]) -> None:
    page = visit("all/", viewport=PHONE)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)


@both_languages
def test_letters_that_are_joined_stay_joined(visit: Callable[..., Page]) -> None:
    """Space between letters, also less of it, breaks the joins of Arabic."""
    spacing = "getComputedStyle(document.querySelector('h1')).letterSpacing"
    assert visit("long/").evaluate(spacing) == "normal"
    assert visit("all/").evaluate(spacing) != "normal"
