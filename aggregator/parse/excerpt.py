"""The start of a body -> the plain text of a summary, as Jekyll, Hugo and Zola cut it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from aggregator.parse.bounds import MAX_SUMMARY, cut_text
from aggregator.parse.page_links import MARK, drop_marked
from aggregator.parse.texts import plain_text
from aggregator.settings import Layout

MAX_EXCERPT = 20_000
"""Characters at the start of a body that an excerpt can come from."""
MAX_DEFINITIONS = 1_000
"""Most definitions of links that are looked at."""
_WINDOWS = (1, 4, 20)
"""How many paragraphs are parsed until one has text."""

_MORE = re.compile(r"<!--[ \t]*more[ \t]*-->", re.IGNORECASE)
_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?![ \t]*\n))++")
_DEFINITION = re.compile(r"^ {0,3}\[([^\]\n]+)\]:[^\n]+", re.MULTILINE)
_MARKUP = re.compile(rf"[*_\[\]<>&`#~|\\!{{${MARK}]|^[ \t]*(?:[-+=:^]|[0-9]+[.)])", re.MULTILINE)
_LEFT_OUT = frozenset(("heading", "hr"))
_CODE = frozenset(("fence", "code_block"))


def excerpt_text(
    body: str, layout: Layout, separator: str | None, expand: Callable[[str], str], *, is_html: bool = False
) -> str:
    """The plain text of the excerpt of a body, or an empty string. `expand` gives a part of it without template tags.

    It ends at the `separator`, else at `<!-- more -->`, else it is the first paragraph with text that is not a heading;
    there is none if code comes before it. An empty separator disables excerpts. `is_html`: there is no Markdown.
    """
    if separator == "":
        return ""
    if separator and separator.strip() and separator in body:
        end = body.index(separator)
    elif more := _MORE.search(body):
        end = more.start()
    else:
        text = _first_text(expand(body[:MAX_EXCERPT]), body, layout, is_html=is_html)
        return cut_text(text, MAX_SUMMARY)
    start = expand(body[: min(end, MAX_EXCERPT)])
    if is_html or not _MARKUP.search(start):
        return cut_text(plain_text(start), MAX_SUMMARY)
    return cut_text(" ".join(filter(None, [text for _, text in _blocks(start, body, layout)])), MAX_SUMMARY)


def _first_text(start: str, body: str, layout: Layout, *, is_html: bool) -> str:
    ends = [paragraph.end() for paragraph in islice(_PARAGRAPH.finditer(start), _WINDOWS[-1])]
    for count in _WINDOWS if ends else ():
        window = start[: ends[min(count, len(ends)) - 1]]
        if is_html or not _MARKUP.search(window):
            blocks: Iterable[tuple[str, str]] = (("paragraph", plain_text(window)),)
        else:
            blocks = _blocks(window, body, layout)
        for kind, text in blocks:
            if kind in _CODE:
                return ""
            if text and kind not in _LEFT_OUT:
                return text
    return ""


def _blocks(start: str, body: str, layout: Layout) -> Iterator[tuple[str, str]]:
    """The type and the plain text of each block of the start of a body."""
    from aggregator.parse.markdown import CostlyError, read_blocks  # slow to import

    try:
        for block in read_blocks(start + _definitions(start, body), layout):
            markup = block.render()
            yield "fence" if markup.startswith("<pre>") else block.type, plain_text(drop_marked(markup))
    except CostlyError:
        yield "paragraph", plain_text(drop_marked(start))


def _definitions(start: str, body: str) -> str:
    """The definitions of the links of an excerpt, which may be anywhere in the body, mostly at its end."""
    if "[" not in start:
        return ""
    folded = start.casefold()
    found = islice(_DEFINITION.finditer(body), MAX_DEFINITIONS)
    return "".join([f"\n\n{match[0]}" for match in found if match[1].casefold() in folded])
