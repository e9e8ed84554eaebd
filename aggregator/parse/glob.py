"""Patterns of Hugo for paths of pages: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`. Matching takes linear time."""

from __future__ import annotations

import re
from itertools import pairwise

import re2

MAX_PATTERN, MAX_ALTERNATIVES = 300, 50
"""Characters of a pattern, and patterns without braces that it may represent."""
MAX_COMPILED_BYTES = 1 << 26
"""The memory limit of re2 for one pattern, enough for the longest one."""
_TOKEN = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)((?:\\.|[^\\\]])+)\]|([^\\*?\[])", re.DOTALL)
_RANGE = re.compile(r"\\?(.)-\\?(.)|\\?(.)", re.DOTALL)
_BRACE = re.compile(r"\\.|[{},]", re.DOTALL)


class GlobError(Exception):
    """A pattern that cannot be read, or is too long."""


class Glob:
    """A pattern. Letters match in any case; `*` and `?` stop at a slash, `**` does not."""

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.max_mem = MAX_COMPILED_BYTES
        self._expression = re2.compile("|".join(map(_translate, _expand_braces(pattern.lower()))), options)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._expression.fullmatch(text.lower()) is not None


def _expand_braces(pattern: str) -> list[str]:
    """The patterns without braces that a pattern represents."""
    if len(pattern) > MAX_PATTERN:
        raise GlobError
    pending, done = [pattern], list[str]()
    while pending:
        if len(pending) + len(done) > MAX_ALTERNATIVES:
            raise GlobError
        text = pending.pop()
        span = _first_braces(text)
        if span is None:
            done.append(text)
        else:
            start, end, parts = span
            pending += [text[:start] + part + text[end:] for part in parts]
    return done


def _first_braces(text: str) -> tuple[int, int, list[str]] | None:
    """Where the first outer braces begin and end, and their alternatives."""
    depth, start, cuts = 0, 0, list[int]()
    for match in _BRACE.finditer(text):
        sign = match[0]
        if sign == "{":
            if depth == 0:
                start, cuts = match.start(), [match.start()]
            depth += 1
        elif depth and sign == "," and depth == 1:
            cuts.append(match.start())
        elif depth and sign == "}":
            depth -= 1
            if depth == 0:
                cuts.append(match.start())
                parts = [text[low + 1 : high] for low, high in pairwise(cuts)]
                return start, match.end(), parts
    if depth:
        raise GlobError
    return None


def _translate(pattern: str) -> str:
    """The expression of re2 for a pattern without braces."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        match = _TOKEN.match(pattern, at)
        if match is None:
            raise GlobError
        at = match.end()
        escaped, stars, one, negation, inside, char = match.groups()
        if stars:
            parts.append("[^/]*" if stars == "*" else "(?s:.*)")
        elif one:
            parts.append("[^/]")
        elif inside:
            parts.append(_class(inside, is_negated=bool(negation)))
        else:
            parts.append(_char(escaped or char))
    return "".join(parts)


def _class(inside: str, *, is_negated: bool) -> str:
    """The class of re2 for what is between brackets. A range that ends before it begins has no characters."""
    items = [(low or single, high or single) for low, high, single in _RANGE.findall(inside)]
    ranges = "".join(f"{_char(low)}-{_char(high)}" for low, high in items if low <= high)
    if not ranges:
        ranges, is_negated = r"\x{0}-\x{10ffff}", not is_negated
    return f"[{'^' if is_negated else ''}{ranges}]"


def _char(char: str) -> str:
    return f"\\x{{{ord(char):x}}}"
