"""Which page a reference means, and what a body shows of its links to pages."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator.parse.body import render_body
from aggregator.parse.page_links import (
    PageLink,
    PageLinkKind,
    fill_page_links,
    has_page_links,
    mark_page_href,
    page_targets,
)
from aggregator.parse.references import MAX_KEY, NOWHERE, find_page, lookup_key, page_name

PAGES = (
    "posts/first.md posts/first.de.md posts/bundle/index.md notes/note.md posts/same.md notes/same.md"
    " notes/With%20Space.md posts/v1.2.md posts/onlyen.md posts/sub/deep.md posts/src.md posts/src.de.md"
    " posts/srcb/index.md posts/sub/srcd.md"
).split()
SOURCES = ("posts/src.md", "posts/src.de.md", "posts/srcb/index.md", "posts/sub/srcd.md")
F, G, B, N, S, W, V, O, D, X = (  # noqa: E741
    "posts/first.md", "posts/first.de.md", "posts/bundle/index.md", "notes/note.md", "posts/same.md",
    "notes/With%20Space.md", "posts/v1.2.md", "posts/onlyen.md", "posts/sub/deep.md", "notes/same.md",
)  # fmt: skip
HUGO = {
    "first.md": (F, G, F, F),
    "first": (F, G, F, F),
    "first.de.md": (F, G, F, F),
    "first.html": (F, G, F, F),
    "FIRST.md": (F, G, F, F),
    "first.md?x=1": (F, G, F, F),
    "/posts/first.md": (F, G, F, F),
    "posts/first.md": (F, G, F, F),
    "/posts/FIRST": (F, G, F, F),
    "../posts/first": (F, G, F, None),
    "../first.md": (None, None, F, F),
    "./first.md": (F, G, F, None),
    "bundle": (B, B, B, B),
    "bundle/index.md": (B, B, B, None),
    "/posts/bundle/": (B, B, B, B),
    "note.md": (N, N, N, N),
    "../notes/note.md": (N, N, None, None),
    "same.md": (S, S, S, None),
    "notes/same.md": (X, X, X, X),
    "/notes/With Space.md": (W, W, W, W),
    "with-space": (W, W, W, W),
    "With Space": (W, W, W, W),
    "v1.2.md": (V, V, V, V),
    "onlyen.md": (O, O, O, O),
    "sub/deep.md": (D, D, D, None),
    "deep": (D, D, D, D),
    "posts/nope.md": (None,) * 4,
    "notes/deep.md": (None,) * 4,
}
"""What Hugo 0.168 links to, from each of SOURCES; but from the German page, Hugo links to no page in English."""


def target(reference: str, path: str, root: str = "/srv/content", kind: PageLinkKind = "hugo") -> str | None:
    """The page of PAGES that a reference means."""
    return among(PAGES, reference, path, root, kind)


def among(pages: list[str], reference: str, path: str, root: str, kind: PageLinkKind) -> str | None:
    lookup = find_page(PageLink(kind, reference, ""), path, root)
    assert len({page_name(key) for key in lookup.keys}) <= 1
    by_key = {lookup_key(page): page for page in reversed(pages)}
    for key in lookup.keys:
        if key in by_key:
            return by_key[key]
    for name in lookup.names:
        named = [page for key, page in by_key.items() if key is not None and key.startswith(f"{name}/")]
        if len(named) == 1:
            return named[0]
    return None


@pytest.mark.parametrize("reference", HUGO)
def test_a_reference_means_the_page_that_hugo_links_to(reference: str) -> None:
    assert tuple(target(reference, source) for source in SOURCES) == HUGO[reference]


@pytest.mark.parametrize(
    ("reference", "path", "page"),
    [
        ("/posts/first.md", "a.md", "first.md"),
        ("posts/first.md", "a.md", "first.md"),
        ("../posts/first.md", "a.md", "first.md"),
        ("/content/posts/first.md", "a.md", "first.md"),
        ("first.md", "sub/a.md", "first.md"),
        ("../first.md", "sub/a.md", "first.md"),
        ("../notes/first.md", "a.md", None),
        ("../../../../../../first.md", "a.md", None),
    ],
)
def test_a_reference_may_begin_with_the_folders_above_the_records(reference: str, path: str, page: str | None) -> None:
    assert among(["first.md"], reference, path, "/srv/my site/content/posts/", "hugo") == page


@pytest.mark.parametrize(
    ("kind", "reference", "root", "page"),
    [
        ("zola", "@/posts/first.md", "/site/content", "posts/first.md"),
        ("zola", "posts/first.md", "/site/content", "posts/first.md"),
        ("zola", "@/posts/first.md", "/site/content/posts", "first.md"),
        ("zola", "@/posts/first/index.md", "/site/content", "posts/first/index.md"),
        ("zola", "@/posts/first.fr.md", "/site/content", "posts/first.fr.md"),
        ("zola", "@/first.md", "/site/content", None),
        ("post", "2026-01-05-first", "/site", "_posts/2026-01-05-first.md"),
        ("post", "/2026-01-05-first", "/site/_posts", "2026-01-05-first.md"),
        ("post", "2026-01-05-v1.2", "/site/_posts", "2026-01-05-v1.2.md"),
        ("post", "tea/2026-01-05-first", "/site", "_posts/tea/2026-01-05-first.md"),
        ("post", "tea/2026-01-05-first", "/site", "tea/_posts/2026-01-05-first.md"),
        ("post", "tea/2026-01-05-first", "/site/tea/_posts", "2026-01-05-first.md"),
        ("post", "2026-01-05-first", "/site", "tea/_posts/2026-01-05-first.markdown"),
        ("post", "tea/2026-01-05-first", "/site", None),
        ("link", "_posts/2026-01-05-first.md", "/site", "_posts/2026-01-05-first.md"),
        ("link", "/_posts/2026-01-05-first.md", "/site/_posts", "2026-01-05-first.md"),
        ("link", "about/index.html", "/site", "about/index.html"),
        ("link", "2026-01-05-first.md", "/site", None),
    ],
)
def test_zola_and_jekyll_name_pages_by_their_own_rules(
    kind: PageLinkKind, reference: str, root: str, page: str | None
) -> None:
    pages = [page] if page else ["posts/first.md", "_posts/2026-01-05-first.md"]
    assert among(pages, reference, "x/a.md", root, kind) == page


def test_what_is_too_long_is_no_page() -> None:
    assert lookup_key("a" * (MAX_KEY + 1)) is None
    assert find_page(PageLink("hugo", "a" * (MAX_KEY + 1), ""), "a.md", "/x") == NOWHERE
    assert find_page(PageLink("hugo", "/", ""), "a.md", "/x") == NOWHERE


PATHS = st.text("ab.-_/ %é#?", max_size=12)


@given(st.sampled_from(("hugo", "zola", "post", "link")), PATHS, PATHS, PATHS)
@example("post", ".", "", "")  # which is no name
def test_any_reference_has_a_lookup_below_the_records(kind: PageLinkKind, reference: str, path: str, root: str) -> None:
    lookup = find_page(PageLink(kind, reference, ""), path, root)
    assert len({page_name(key) for key in lookup.keys}) <= 1
    assert all(key.endswith("/") and ".." not in key.split("/") for key in lookup.keys)
    assert all(page_name(name) == page_name(lookup.keys[0]) for name in lookup.names)


# what bodies show


class _Links(HTMLParser):
    """The links of a body, and its text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.hrefs: list[str | None] = []
        self.words = ""
        self.open = 0
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.open += 1
            self.hrefs.append(dict(attrs).get("href"))

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag == "a"
        assert self.open >= 0

    def handle_data(self, data: str) -> None:
        self.words += data


PART = st.one_of(
    st.sampled_from(
        [
            '<a title="</a>" href="{}">',
            "</a>",
            "<b title='<a>'>",
            "</b>",
            "<p>",
            '<a href="https://e.example/">',
            "<li>",
        ]
    ),
    st.text('a<>"&;= ', max_size=5),
)


@given(st.lists(PART, max_size=12))
@example(['<a href="{}">', "x", '<b title="</a>">', "y", "</b>", "</a>", "z"])
def test_a_page_without_url_leaves_the_text_and_the_other_links(parts: list[str]) -> None:
    body = render_body(
        "".join(parts).replace("{}", mark_page_href("hugo", "b.md#x")), "https://e.example/", is_html=True
    )
    whole = _Links(body)
    filled = _Links(fill_page_links(body, {"hugo:b.md": "https://e.example/b?x=1&y#z"}))
    without = _Links(fill_page_links(body, {}))
    assert filled.words == without.words == whole.words
    assert filled.open == without.open == 0
    assert page_targets(body) == ({"hugo:b.md"} if "page:hugo:b.md#x" in whole.hrefs else set())
    assert has_page_links(body) >= bool(page_targets(body))
    assert without.hrefs == [href for href in whole.hrefs if href != "page:hugo:b.md#x"]
    expected = ["https://e.example/b?x=1&y#x" if href == "page:hugo:b.md#x" else href for href in whole.hrefs]
    assert filled.hrefs == expected


def test_the_url_of_a_page_keeps_its_fragment_unless_the_link_has_one() -> None:
    link = '<a href="page:hugo:b.md">b</a> <a title="t" href="page:hugo:b.md#x">b</a>'
    urls = {"hugo:b.md": "https://e.example/b#top"}
    assert re.findall('href="([^"]*)"', html.unescape(fill_page_links(link, urls))) == [
        "https://e.example/b#top",
        "https://e.example/b#x",
    ]
