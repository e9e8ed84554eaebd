"""Bounds: how much a record may say in each field. What is over one is cut or left out, with a warning.

They hold before any work is done on a text, so that no field of a record can take long, and one entry never fills a
feed. Combining marks are bounded where texts are normalised (`naming.few_marks`).
"""

from __future__ import annotations

from aggregator.unicode import few_marks

MAX_RAW = 100_000
"""Characters of a text that are looked at, its markup included."""
MAX_TEXT = 1000
"""Characters of a title, and of any other text but the summary."""
MAX_SUMMARY = 10_000
MAX_URL = 2048
"""Characters of a URL as a record writes it, in the body too; sitemaps have the same limit. A longer one is no URL."""
MAX_IMAGES, MAX_RELATED = 50, 50
MAX_TOPICS, MAX_TOPIC_BYTES = 100, 200
"""Topics of a record, and how long one may be: each has a feed of its own."""
MAX_NAMES = 10
"""Authors of a record that are named."""
MAX_ITEMS = 1000
"""Items of a list of names that are looked at."""
MAX_ID = 1000
"""Bytes of an explicit id."""
MAX_LANGUAGE = 35
"""Characters of a language tag (RFC 5646, section 4.4.1)."""
MAX_DIGITS = 4300
"""Characters of a number, as Python has it for decimal ones; a base-60 integer of YAML takes time quadratic in them."""
MAX_DATE = 100
"""Characters of a date."""


def cut_text(text: str, most: int) -> str:
    """The text within its bounds: at most `most` characters, with "…" behind the last word where it is cut."""
    text = few_marks(text)
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    words = cut if text[most - 1].isspace() else cut.rpartition(" ")[0]
    return f"{(words if 2 * len(words) > most else cut).rstrip()}…"
