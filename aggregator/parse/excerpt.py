"""The start of a body -> the plain text of a summary, as Jekyll, Hugo and Zola cut it."""

from __future__ import annotations

import re
from itertools import islice

from aggregator.parse import hugo, jekyll
from aggregator.parse.bounds import MAX_SUMMARY, cut_text
from aggregator.parse.texts import plain_text
from aggregator.settings import Layout

MAX_BLOCKS = 20
"""Most paragraphs that are searched for text."""
MAX_EXCERPT = 20_000
"""Characters at the start of a body that an excerpt can come from."""

_MORE = re.compile(r"<!--[ \t]*more[ \t]*-->", re.IGNORECASE)
_BLOCK = re.compile(r"(?:[^\n]|\n(?![ \t]*\n))++")
_HEADINGS = re.compile(r"\n*+(?: {0,3}#{1,6}[ \t][^\n]*+(?:\n|\Z)|[^\n]++\n {0,3}(?:=++|-++)[ \t]*+(?:\n|\Z))*+")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:[^\n]+", re.MULTILINE)
_MARKUP = re.compile(r"[*_\[\]<>&`#~|\\!]|^[ \t]*(?:[-+=]|[0-9]+[.)])", re.MULTILINE)

_TEMPLATE_TAGS: dict[Layout, re.Pattern[str]] = {"jekyll": jekyll.TEMPLATE_TAGS, "hugo": hugo.TEMPLATE_TAGS}


def excerpt_text(body: str, layout: Layout, separator: str | None) -> str:
    """The plain text of the excerpt of a body, or an empty string.

    It ends at the `separator`, else at `<!-- more -->`, else it is the first paragraph with text that is not a heading.
    An empty separator disables excerpts.
    """
    if layout == "plain" or separator == "":
        return ""
    if separator and separator.strip() and separator in body:
        return _text(body.partition(separator)[0], body, layout)
    if more := _MORE.search(body):
        return _text(body[: more.start()], body, layout)
    for block in islice(_BLOCK.finditer(body), MAX_BLOCKS):
        headings = _HEADINGS.match(block[0])
        paragraph = block[0][headings.end() :] if headings else block[0]
        if _FENCE.match(paragraph):
            return ""
        if text := _text(paragraph, body, layout):
            return text
    return ""


def without_template_tags(text: str, layout: Layout) -> str:
    """The text without the tags that only the site generator can fill in."""
    tags = _TEMPLATE_TAGS.get(layout)
    return tags.sub("", tags.sub("", text)) if tags and "{" in text else text  # twice, for nested tags


def _text(excerpt: str, body: str, layout: Layout) -> str:
    excerpt = without_template_tags(excerpt[:MAX_EXCERPT], layout)
    if not _MARKUP.search(excerpt):
        return cut_text(plain_text(excerpt), MAX_SUMMARY)
    from aggregator.parse.body import render_body  # slow to import

    # link references may be defined anywhere, mostly at the end
    definitions = "\n".join(_DEFINITION.findall(body)) if "[" in excerpt else ""
    return cut_text(plain_text(render_body(f"{excerpt}\n\n{definitions}", None)), MAX_SUMMARY)
