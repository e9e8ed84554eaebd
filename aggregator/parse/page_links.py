"""Links to other pages of a site, as a body holds them until the URLs of those pages are known. Pure.

    "first.md#why" -> marked href in Markdown -> `page:hugo:first.md#why` in the href of the stored HTML -> URL, or text

A marked href begins and ends with a character that XML lacks, so no text of a file has it, and only what this module
marks becomes a page link.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from aggregator.links import MAX_URL

PageLinkKind = Literal["hugo", "zola", "post", "link"]
"""How the reference is looked up: Hugo's `ref` and `relref`, Zola's `@/page.md`, Jekyll's `post_url` and `link`."""

MARK = "\ufffe"
"""Begins and ends a marked href."""
_MARKED = re.compile(rf"{MARK}(page:[^{MARK}]++){MARK}(#[^{MARK}]*+)?+")
_MARKED_IN_TEXT = re.compile(rf"{MARK}[^{MARK}]*+{MARK}?+")
_HREF = re.compile(r"page:(hugo|zola|post|link):([A-Za-z0-9_.~/%-]++)(?:#([A-Za-z0-9_.~/%-]*+))?+")


class PageLink(NamedTuple):
    """A reference to another page, as written in the body of a record."""

    kind: PageLinkKind
    reference: str  # `first.md`, `/posts/first.md`, `2026-01-05-first`
    fragment: str  # without `#`; empty if there is none


def mark_page_href(kind: PageLinkKind, reference: str) -> str:
    """The marked href for a reference as written, which can end in `#fragment`; empty if there is no page in it.

    It has no character that is special to Markdown or HTML, so it can stand wherever a URL stands. What a writer puts
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


def drop_marked(text: str) -> str:
    """The text without marked hrefs that stand in no link."""
    return _MARKED_IN_TEXT.sub("", text) if MARK in text else text
