"""Links to other pages of a site, as a body holds them until the URLs of those pages are known. Pure.

    "first.md#why" -> marked href in Markdown -> `page:hugo:first.md#why` in the href of the stored HTML -> URL, or text

A marked href begins and ends with a character that XML lacks, so no text of a file has it, and only what this module
marks becomes a page link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from aggregator.links import MAX_URL
from aggregator.problems import Problem

PageLinkKind = Literal["hugo", "zola", "post", "link"]
"""How the reference is looked up: Hugo's `ref` and `relref`, Zola's `@/page.md`, Jekyll's `post_url` and `link`."""

MARK = "\ufffe"
"""Begins and ends a marked href."""
_MARKED = re.compile(rf"{MARK}(page:[^{MARK}]++){MARK}(#[^{MARK}]*+)?+")
_MARKED_IN_TEXT = re.compile(rf"{MARK}[^{MARK}]*+{MARK}?+")
# tags as the sanitiser writes them: all attributes in double quotes, which no value has
_TAG = re.compile(r'<(?P<end>/?)(?P<name>[a-z0-9]++)(?P<attributes>(?: [a-z-]++="[^"]*+")*+)>')
_TAG_HREF = re.compile(r' href="([^"]*+)"')
_NO_HREF = re.compile(r'<a(?: (?!href=)[a-z-]++="[^"]*+")*+>')
_HREF = re.compile(r"page:(hugo|zola|post|link):([A-Za-z0-9_.~/%-]++)(?:#([A-Za-z0-9_.~/%-]*+))?+")


class PageLink(NamedTuple):
    """A reference to another page, as written in the body of a record."""

    kind: PageLinkKind
    reference: str  # `first.md`, `/posts/first.md`, `2026-01-05-first`
    fragment: str  # without `#`; empty if there is none


def mark_page_href(kind: PageLinkKind, reference: str) -> str:
    """The marked href for a reference as written, which can end in `#fragment`; empty if there is no page in it.

    It has no character that is special to Markdown or HTML, so it can be wherever a URL can be. What a writer puts
    after it, such as `#fragment`, belongs to it.
    """
    page, _, fragment = reference.strip().partition("#")
    href = f"page:{kind}:{quote(page)}" + (f"#{quote(fragment)}" if fragment else "")
    return f"{MARK}{href}{MARK}" if page and len(href) <= MAX_URL else ""


def unmark_href(value: str) -> str | None:
    """The value of a href as it is stored: a page link only where it is marked; None if there is no valid link."""
    if MARK in value:  # a domain or a path before it is the site's own
        marked = _MARKED.search(value)
        href = marked[1] + (f"#{quote(marked[2][1:])}" if marked[2] and "#" not in marked[1] else "") if marked else ""
        return href if read_page_href(href) else None
    return None if read_page_href(value) else value


def read_page_href(href: str) -> PageLink | None:
    """The page link in the href of a stored body, decoded; None if it is another URL."""
    match = _HREF.fullmatch(href) if href.startswith("page:") else None
    if match is None or len(href) > 2 * MAX_URL:
        return None
    return PageLink(match[1], unquote(match[2]), unquote(match[3] or ""))  # type: ignore[arg-type]  # it is one of them


def page_targets(body_html: str) -> frozenset[str]:
    """The targets of the page links in a stored body: `hugo:first.md`, the href without scheme and fragment."""
    if not has_page_links(body_html):
        return frozenset()
    links = (_page_link(tag) for tag in _TAG.finditer(body_html))
    return frozenset(link[0] for link in links if link is not None)


def has_page_links(body_html: str) -> bool:
    """Whether a stored body may have page links."""
    return ' href="page:' in body_html


def read_target(target: str) -> PageLink | None:
    """The link of a target; None if there is none."""
    return read_page_href(f"page:{target}")


def read_reference(target: str) -> str:
    """The reference of a target, as its record writes it."""
    link = read_target(target)
    return target if link is None else link.reference


def broken_links(path: str, count: int, target: str) -> Problem:
    """The warning for the links of a record that lead to no published page; one of them has this target."""
    one, several = "a link leads to no published page", f"{count} links lead to no published page, such as"
    hint = "correct it or publish the page; until then readers see only its text"
    return Problem(path, 0, 0, one if count == 1 else several, read_reference(target), hint, "warning")


def fill_page_links(body_html: str, urls: Mapping[str, str]) -> str:
    """A stored body with the URLs of pages, by target. A link to any other page is replaced by its text."""

    def fill(tag: re.Match[str]) -> str | None:
        link = _page_link(tag)
        if link is None:
            return tag[0]
        target, fragment = link
        if target not in urls:
            return None
        # a fragment of the link replaces the fragment of the URL
        href = f"{urls[target].partition('#')[0]}#{fragment}" if fragment else urls[target]
        return _TAG_HREF.sub(lambda _: f' href="{escape(href)}"', tag[0], count=1)

    return _rewrite_links(body_html, fill)


def drop_empty_links(body_html: str) -> str:
    """A body as the sanitiser writes it, with each link without href replaced by its text."""
    if not _NO_HREF.search(body_html):
        return body_html
    return _rewrite_links(body_html, lambda tag: tag[0] if _TAG_HREF.search(tag["attributes"]) else None)


def _rewrite_links(body_html: str, rewrite: Callable[[re.Match[str]], str | None]) -> str:
    """A body with the start of each link as `rewrite` returns it. A link for which it returns None is replaced by its
    text. A link in a cell of a table can be inside another one."""
    parts: list[str] = []
    done, dropped = 0, list[bool]()
    for tag in _TAG.finditer(body_html):
        if tag["name"] != "a":
            continue
        if tag["end"]:
            new = None if dropped and dropped.pop() else tag[0]
        else:
            new = rewrite(tag)
            dropped.append(new is None)
        if new != tag[0]:
            parts += [body_html[done : tag.start()], new or ""]
            done = tag.end()
    return "".join((*parts, body_html[done:]))


def _page_link(tag: re.Match[str]) -> tuple[str, str] | None:
    """Target and fragment of the page link that a tag begins; None if it begins none."""
    href = _TAG_HREF.search(tag["attributes"]) if tag["name"] == "a" and tag["attributes"] else None
    if href is None or read_page_href(href[1]) is None:
        return None
    target, _, fragment = href[1].removeprefix("page:").partition("#")
    return target, fragment


def drop_marked(text: str) -> str:
    """The text without marked hrefs that are in no link."""
    return _MARKED_IN_TEXT.sub("", text) if MARK in text else text
