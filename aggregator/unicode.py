"""Unicode: normal forms of texts, with bounded runs of combining marks. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

MAX_MARKS = 30
"""Combining marks in a row that a text may have, as in the Stream-Safe Text Format (UAX #15, section 13). To normalise
takes time quadratic in the length of such a run."""


_DENSE = re.compile(f"[\u0300-\U0010ffff]{{{MAX_MARKS + 1}}}")
"""What a run that is too long cannot do without: no combining mark comes before U+0300."""


def normal_form(text: str, form: Literal["NFC", "NFKD"] = "NFC") -> str:
    """The text in a normal form, with at most MAX_MARKS combining marks in a row, so that the time is linear.

    Nothing else in the program may normalise a text.
    """
    return text if text.isascii() else few_marks(unicodedata.normalize(form, few_marks(text)))


def few_marks(text: str) -> str:
    """The text less what of a run of combining marks goes over MAX_MARKS."""
    if text.isascii() or not _DENSE.search(text):
        return text
    return _long_runs().sub(r"\1", text)


@cache
def _long_runs() -> re.Pattern[str]:
    """What finds more than MAX_MARKS combining marks in a row, the first of them as its group.

    Marks are also characters that a normal form begins with one, such as U+0F73. Few sites have a text that needs it.
    """
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if _is_mark(mark))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]++")


def _is_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0
