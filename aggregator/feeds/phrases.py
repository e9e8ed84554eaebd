"""Words, phrases and expressions: does a text say them? Case is no difference. Pure.

The home of re2, whose time is linear in the length of the text whatever the expression.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from itertools import chain

from aggregator.slugs import topic_key
from aggregator.unicode import normal_form

EXPRESSION = "re:"
"""What an expression begins with; anything else is a word or a phrase."""
MAX_EXPRESSION = 500
"""Characters of an expression."""
MAX_COMPILED = 1 << 20
"""Bytes that an expression may take in memory, together with what re2 remembers of texts."""

# Letters of scripts that put no space between words, or, as Hangul, hang particles on them: first and last of each run.
_UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x318F),  # kana, Bopomofo, Hangul
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xA960, 0xA97F),  # Hangul Jamo
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFFDC),  # half-width kana and Hangul
    (0x1B000, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # Han
)
_BOUNDS = tuple(chain.from_iterable((first, last + 1) for first, last in _UNSPACED))


def read_phrase(written: str) -> str:
    """What was written as clauses hold it: a phrase folded as topics are, an expression with `re:` in front."""
    if written[: len(EXPRESSION)].casefold() == EXPRESSION:
        return EXPRESSION + normal_form(written[len(EXPRESSION) :].strip())
    return topic_key(written)


def expression_error(phrase: str) -> str | None:
    """Why an expression cannot be used, in re2's words; None if it can, and of any other phrase."""
    if not phrase.startswith(EXPRESSION):
        return None
    if phrase == EXPRESSION:
        return "it is empty"
    if len(phrase) > len(EXPRESSION) + MAX_EXPRESSION:
        return f"it is longer than {MAX_EXPRESSION} characters"
    try:
        _searcher(phrase)
    except ValueError as error:
        return str(error)
    return None


def says(texts: tuple[str, ...], phrase: str) -> bool:
    """Whether one of the texts has the phrase, as `read_phrase` gives it: whole, or what the expression finds.

    Whole is a phrase with no letter, digit or mark on either side; between letters of a script without spaces, and
    between one of them and another, no side is looked at.
    """
    if phrase.startswith(EXPRESSION):
        return any(map(_searcher(phrase), _read_plain(texts)))
    return any(_has_whole(text, phrase) for text in _read_folded(texts))


# One entry is tried against many rules, one after the other.
@lru_cache(maxsize=8)
def _read_folded(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(topic_key, texts))


@lru_cache(maxsize=8)
def _read_plain(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(normal_form(text).split()) for text in texts)


def _has_whole(text: str, phrase: str) -> bool:
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if _is_parted(text[max(start - 1, 0) : start], phrase[0]) and _is_parted(text[end : end + 1], phrase[-1]):
            return True
        start = text.find(phrase, start + 1)
    return False


def _is_parted(neighbour: str, edge: str) -> bool:
    """Whether the word of a phrase ends at its `edge`, though the `neighbour` follows, which may be empty."""
    if not neighbour or unicodedata.category(neighbour)[0] not in "LNM":
        return True
    return _is_unspaced(edge) or _is_unspaced(neighbour)


def _is_unspaced(letter: str) -> bool:
    return bisect_right(_BOUNDS, ord(letter)) % 2 == 1


@lru_cache(maxsize=1024)
def _searcher(phrase: str) -> Callable[[str], object]:
    """Finds the expression in a text; raises ValueError with what is wrong with it."""
    import re2  # few sites have an expression

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_COMPILED
    try:
        search: Callable[[str], object] = re2.compile(phrase.removeprefix(EXPRESSION), options).search
    except re2.error as error:
        said = error.args[0]
        raise ValueError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None
    return search
