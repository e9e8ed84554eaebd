"""Matches words, phrases and expressions in texts, ignoring case. Pure.

Expressions are for re2, because its time is linear in the length of the text for every expression.
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
"""The prefix of an expression; anything else is a word or a phrase."""
MAX_EXPRESSION = 500
"""Characters of an expression."""
MAX_COMPILED_BYTES = 1 << 20
"""The memory limit of re2 for one expression, with its caches."""

# Code point ranges of scripts without spaces between words, and of Hangul, where particles are attached to words.
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


def parse_phrase(written: str) -> str:
    """The phrase in the form that clauses store: folded like a topic, or `re:` and the expression."""
    if written[: len(EXPRESSION)].casefold() == EXPRESSION:
        return EXPRESSION + normal_form(written[len(EXPRESSION) :].strip())
    return topic_key(written)


def compile_expression(phrase: str) -> Callable[[str], object]:
    """The search function of an expression. Raises ValueError with the message of re2."""
    import re2  # few sites have an expression

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_COMPILED_BYTES
    try:
        search: Callable[[str], object] = re2.compile(phrase.removeprefix(EXPRESSION), options).search
        re2.purge()  # its own cache would keep it too
    except re2.error as error:
        message = error.args[0]
        raise ValueError(message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)) from None
    return search


Compile = Callable[[str], Callable[[str], object]]
_compiled: Compile = lru_cache(maxsize=1024)(compile_expression)


def expression_error(phrase: str, compiled: Compile = _compiled) -> str | None:
    """Why re2 refuses an expression; None for a valid one and for words and phrases. `compiled` as in
    `contains_phrase`."""
    if not phrase.startswith(EXPRESSION):
        return None
    if phrase == EXPRESSION:
        return "it is empty"
    if len(phrase) > len(EXPRESSION) + MAX_EXPRESSION:
        return f"it is longer than {MAX_EXPRESSION} characters"
    try:
        compiled(phrase)
    except ValueError as error:
        what, _, where = str(error).partition(": ")
        what = f"{what.removeprefix('missing ')} is missing" if what.startswith("missing ") else what
        return f"{what} in {where!r}" if where else what
    return None


def contains_phrase(texts: tuple[str, ...], phrase: str, compiled: Compile = _compiled) -> bool:
    """Whether any text contains the phrase (see `parse_phrase`) as whole words, or matches the expression.

    Whole words have no letter, digit or mark directly before or after them. Scripts without spaces have no such
    boundaries, so letters next to theirs do not count. `compiled` is a cache of `compile_expression`; the default one
    is for the expressions of rules.
    """
    if phrase.startswith(EXPRESSION):
        return any(map(compiled(phrase), _plain_texts(texts)))
    return any(_contains_words(text, phrase) for text in _folded_texts(texts))


# Cached, because many rules are evaluated for one entry.
@lru_cache(maxsize=8)
def _folded_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(topic_key, texts))


@lru_cache(maxsize=8)
def _plain_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(normal_form(text).split()) for text in texts)


def _contains_words(text: str, phrase: str) -> bool:
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        before, after = text[max(start - 1, 0) : start], text[end : end + 1]
        if _is_word_boundary(before, phrase[0]) and _is_word_boundary(after, phrase[-1]):
            return True
        start = text.find(phrase, start + 1)
    return False


def _is_word_boundary(neighbour: str, edge: str) -> bool:
    """Whether a word ends between the first or last letter of a phrase and its neighbour, which may be empty."""
    if not neighbour or unicodedata.category(neighbour)[0] not in "LNM":
        return True
    return _is_unspaced(edge) or _is_unspaced(neighbour)


def _is_unspaced(letter: str) -> bool:
    return bisect_right(_BOUNDS, ord(letter)) % 2 == 1
