"""The start of a body -> the plain text of a summary, as Jekyll, Hugo and Zola cut it.

A body is only cut between paragraphs, and where nothing is open that shows another text without its end: a comment, a
pair of a template. So no half of either becomes text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from itertools import islice

from aggregator.parse.field_bounds import MAX_SUMMARY, cut_text
from aggregator.parse.page_links import MARK, drop_marked
from aggregator.parse.texts import plain_text
from aggregator.settings import Layout

USUAL_START = 20_000
"""Characters that are read of a body, to the end of their paragraph; all of it if they have no text."""
MAX_DEFINITIONS = 1_000
"""Most definitions of links in a body that can count."""
_WINDOWS = (1, 4, 20)
"""How many paragraphs are parsed until one has text; then all."""

_MORE = re.compile(r"<!--[ \t]*more[ \t]*-->", re.IGNORECASE)
_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?![ \t]*\n))++")
_JEKYLL_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?!\n))++")
_PAIR = re.compile(r"<!--|\{::|\{\{[<%]\s*+(?:comment|details|highlight)\b")
_ENDS = {"<!--": "-->", "{::": "{:/", "{{": "}}", "{%": "%}"}
_HIDDEN = {"<!--": "-->", "{::comment}": "{:/comment}"}
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
        end = _usual_end(body)
        text = _first_text(expand(body[:end]), body, layout, expand, is_html=is_html)
        if not text and end < len(body):
            text = _first_text(expand(body), body, layout, expand, is_html=is_html)
        return cut_text(text, MAX_SUMMARY)
    start = expand(body[:end])
    if is_html or not _MARKUP.search(start):
        return cut_text(plain_text(start), MAX_SUMMARY)
    endings = [ending for sign, ending in _HIDDEN.items() if _is_open(start, sign, ending)]
    text = " ".join(_texts("\n".join((start, *endings)) + _definitions(start, body, expand), layout))
    for ending in reversed(endings):  # one that ended nothing
        text = text.removesuffix(ending).rstrip()
    return cut_text(text, MAX_SUMMARY)


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


def _usual_end(body: str) -> int:
    """Where the part of a body ends that is read first: where it may be cut, or with the body."""
    blank_line = body.find("\n\n", USUAL_START)
    if blank_line < 0 or _PAIR.search(body, 0, blank_line):
        return len(body)
    return len(body) if any(_is_open(body[:blank_line], *pair) for pair in _ENDS.items()) else blank_line


def _is_open(start: str, sign: str, ending: str) -> bool:
    """Whether what begins with the sign has no end in the start of a body."""
    at = start.rfind(sign)
    return at >= 0 and start.find(ending, at + len(sign)) < 0


def _first_text(start: str, body: str, layout: Layout, expand: Callable[[str], str], *, is_html: bool) -> str:
    if is_html:
        start = _HTML_HEADING.sub("", start)
    for window, is_paragraph in _windows(start, layout):
        if is_html or not _MARKUP.search(window):
            text = plain_text(window)
        else:
            texts = _texts(window + _definitions(window, body, expand), layout, left_out=_LEFT_OUT)
            text = " ".join(texts) if is_paragraph else next(texts, "")
        if text:
            return text
    return ""


def _windows(start: str, layout: Layout) -> Iterator[tuple[str, bool]]:
    """More and more of the start of a body, and whether that is its first paragraph."""
    paragraphs = (_JEKYLL_PARAGRAPH if layout == "jekyll" else _PARAGRAPH).finditer(start)
    end = 0
    for count, paragraph in enumerate(islice(paragraphs, _WINDOWS[-1]), 1):
        if count in _WINDOWS:
            window = start[: paragraph.end()]
            if layout == "jekyll" and _may_hide(window, is_paragraph=count == 1):
                break
            yield window, count == 1
            end = paragraph.end()
    if start[end:].strip():
        yield start, False


def _may_hide(window: str, *, is_paragraph: bool) -> bool:
    """Whether something in the window of a body of Jekyll may be hidden by what is behind it: in kramdown, comments and
    elements go on across blank lines."""
    return any(sign in window and (not is_paragraph or _is_open(window, sign, _ENDS[sign])) for sign in ("<!--", "{::"))


def _texts(start: str, layout: Layout, *, left_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """The plain text of each block of the start of a body that has any, up to the bound of a summary."""
    from aggregator.parse.markdown import CostlyError, read_blocks  # slow to import

    size = 0
    try:
        for block in read_blocks(start, layout):
            markup = block.render()
            kind = "fence" if markup.startswith("<pre>") else block.type
            if kind not in left_out and (text := plain_text(drop_marked(markup))):
                yield text
                size += len(text)
                if size > MAX_SUMMARY:
                    return
    except CostlyError:
        yield plain_text(drop_marked(start))


def _definitions(start: str, body: str, expand: Callable[[str], str]) -> str:
    """The definitions of the links of an excerpt, which may be anywhere in the body, mostly at its end."""
    if "[" not in start:
        return ""
    folded = start.casefold()
    found = islice(_DEFINITION.finditer(body), MAX_DEFINITIONS)
    return expand("".join([f"\n\n{match[0]}" for match in found if match[1].casefold() in folded]))
