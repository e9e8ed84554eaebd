"""Characters of texts: what XML allows, and normal forms with bounded runs of combining marks. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

MAX_MARKS = 30
"""Most combining marks in a row, as in the Stream-Safe Text Format (UAX #15, section 13). Normalising takes time
quadratic in the length of such a run."""
# every run that is too long contains this: no combining mark is below U+0300
_DENSE = re.compile(rf"[^\x00-\u02ff]{{{MAX_MARKS + 1}}}")
# what XML 1.0 (fifth edition) 2.2, production [2] Char, excludes, and DEL and the C1 controls, which 2.2 discourages
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"))
"""Categories of characters that show nothing by themselves."""
_FORMATS = frozenset(("Cc", "Cf", "Cs"))
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that show nothing."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def xml_text(text: str) -> str:
    """The text without characters that XML 1.0 forbids; lone surrogates become U+FFFD."""
    if text.isprintable() or not _NOT_XML.search(text):
        return text
    return _NOT_XML.sub("", _SURROGATE.sub("\ufffd", text))


def is_visible(text: str) -> bool:
    """Whether the text has a character that people can see."""
    return any(unicodedata.category(char) not in _UNSEEN and char not in _FILLERS for char in text)


def without_unseen(text: str) -> str:
    """The text without characters that show nothing, except spaces and marks on letters."""
    if text.isascii():
        return text
    return "".join([char for char in text if unicodedata.category(char) not in _FORMATS and char not in _FILLERS])


def normal_form(text: str, form: Literal["NFC", "NFKD"] = "NFC") -> str:
    """The text in a normal form, with at most MAX_MARKS combining marks in a row, so that the time is linear.

    Nothing else in the program may normalise text.
    """
    return text if text.isascii() else few_marks(unicodedata.normalize(form, few_marks(text)))


def few_marks(text: str) -> str:
    """The text with at most MAX_MARKS combining marks in a row."""
    if text.isascii() or not _DENSE.search(text):
        return text
    return _long_runs().sub(r"\1", text)


@cache
def _long_runs() -> re.Pattern[str]:
    """A pattern for more than MAX_MARKS combining marks in a row, the first MAX_MARKS of them as its group.

    A mark is also a character whose normal form begins with one, such as U+0F73. Few sites have a text that needs it.
    """
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if _is_mark(mark))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]++")


def _is_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0
