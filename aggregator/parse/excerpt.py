"""The start of a body -> the plain text of a summary, as Jekyll, Hugo and Zola cut it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from itertools import islice

from aggregator.parse.bounds import MAX_SUMMARY, cut_text
from aggregator.parse.page_links import MARK, drop_marked
from aggregator.parse.texts import plain_text
from aggregator.settings import Layout

MAX_EXCERPT = 20_000
"""Characters at the start of a body that an excerpt can come from."""
MAX_DEFINITIONS = 1_000
"""Most definitions of links in a body that can count."""
_WINDOWS = (1, 4, 20)
"""How many paragraphs are parsed until one has text."""

_MORE = re.compile(r"<!--[ \t]*more[ \t]*-->", re.IGNORECASE)
_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?![ \t]*\n))++")
_JEKYLL_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?!\n))++")
_DEFINITION = re.compile(r"^ {0,3}\[([^\]\n]+)\]:[^\n]+", re.MULTILINE)
_MARKUP = re.compile(rf"[*_\[\]<>&`#~|\\!{{${MARK}]|^(?:[ \t]*(?:[-+=:^]|[0-9]+[.)])| {{4}}|\t)", re.MULTILINE)
_HTML_HEADING = re.compile(r"<h([1-6])(?=[\s>])(?:[^<]|<(?!/h\1\b))*+(?:</h\1[^>]*+>|\Z)", re.IGNORECASE)
_EMPHASIS = re.compile(r"[*_`\[~\\]")
_LEFT_OUT = frozenset(("heading", "hr", "fence", "code_block"))


def excerpt_text(
    body: str, layout: Layout, separator: str | None, expand: Callable[[str], str], *, is_html: bool = False
) -> str:
    """The plain text of the excerpt of a body, or an empty string. `expand` gives a part of it without template tags.

    It ends at the `separator` or, as in Jekyll, with the body if that has none; without a separator at `<!-- more -->`,
    else it is the first paragraph with text that is neither a heading nor code. An empty separator disables excerpts.
    `is_html`: there is no Markdown.
    """
    if separator == "":
        return ""
    if separator and separator.strip():
        end = len(body.partition(separator)[0])
    elif more := _MORE.search(body):
        end = more.start()
    else:
        return cut_text(_first_text(body, layout, expand, is_html=is_html), MAX_SUMMARY)
    start = expand(body[: min(end, MAX_EXCERPT)])
    if is_html or not _MARKUP.search(start):
        return cut_text(plain_text(start), MAX_SUMMARY)
    texts = [text for _, text in _blocks(start + _definitions(start, body, expand), layout)]
    return cut_text(" ".join(filter(None, texts)), MAX_SUMMARY)


def has_more(body: str) -> bool:
    """Whether the body says where its excerpt ends, and has one."""
    more = _MORE.search(body)
    return more is not None and bool(body[: more.start()].strip())


def markdown_text(text: str) -> str:
    """The plain text of a line of Markdown without HTML."""
    if not _EMPHASIS.search(text):
        return text
    from aggregator.parse.markdown import render_line  # slow to import

    return plain_text(render_line(escape(text, quote=False)))


def _first_text(body: str, layout: Layout, expand: Callable[[str], str], *, is_html: bool) -> str:
    start = expand(body[:MAX_EXCERPT])
    if is_html:
        start = _HTML_HEADING.sub("", start)
    paragraph = _JEKYLL_PARAGRAPH if layout == "jekyll" else _PARAGRAPH
    ends = [match.end() for match in islice(paragraph.finditer(start), _WINDOWS[-1])]
    for count in _WINDOWS if ends else ():
        window = start[: ends[min(count, len(ends)) - 1]]
        if is_html or not _MARKUP.search(window):
            texts = [plain_text(window)]
        else:
            blocks = _blocks(window + _definitions(window, body, expand), layout)
            texts = [text for kind, text in blocks if text and kind not in _LEFT_OUT]
        if text := " ".join(texts if count == 1 else texts[:1]):
            return text
    return ""


def _blocks(start: str, layout: Layout) -> Iterator[tuple[str, str]]:
    """The type and the plain text of each block of the start of a body."""
    from aggregator.parse.markdown import CostlyError, read_blocks  # slow to import

    try:
        for block in read_blocks(start, layout):
            markup = block.render()
            yield "fence" if markup.startswith("<pre>") else block.type, plain_text(drop_marked(markup))
    except CostlyError:
        yield "paragraph", plain_text(drop_marked(start))


def _definitions(start: str, body: str, expand: Callable[[str], str]) -> str:
    """The definitions of the links of an excerpt, which may be anywhere in the body, mostly at its end."""
    if "[" not in start:
        return ""
    folded = start.casefold()
    found = islice(_DEFINITION.finditer(body), MAX_DEFINITIONS)
    return expand("".join([f"\n\n{match[0]}" for match in found if match[1].casefold() in folded]))
