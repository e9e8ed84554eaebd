"""Bounds: how much of each field is read. What exceeds a bound is cut or left out, with a warning.

A bound comes before any work on a text, so no field takes long and no entry fills a feed. The bound of URLs is
`links.MAX_URL`, that of combining marks `unicode.MAX_MARKS`.
"""

from __future__ import annotations

from aggregator.unicode import few_marks

MAX_RAW = 100_000
"""Characters of a text that are read, markup included."""
MAX_TEXT = 1000
"""Characters of a title, and of any other text except the summary."""
MAX_SUMMARY = 10_000
MAX_IMAGES, MAX_RELATED, MAX_ENCLOSURES = 50, 50, 50
MAX_TOPICS, MAX_TOPIC_BYTES = 100, 200
"""Topics of a record, and bytes of a topic. Every topic can get a feed."""
MAX_NAMES = 10
"""Authors of a record."""
MAX_ITEMS = 1000
"""Items of a list that are read."""
MAX_ID = 1000
"""Bytes of an explicit id."""
MAX_LANGUAGE = 35
"""Characters of a language tag (RFC 5646, section 4.4.1)."""
MAX_DIGITS = 4300
"""Characters of a number, Python's limit for decimal ones. A base-60 integer of YAML takes quadratic time."""
MAX_DATE = 100
"""Characters of a date."""


def cut_text(text: str, most: int) -> str:
    """At most `most` characters of the text; if it is cut, with "…" after the last whole word."""
    text = few_marks(text)
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    words = cut if text[most - 1].isspace() else cut.rpartition(" ")[0]
    return f"{(words if 2 * len(words) > most else cut).rstrip()}…"
