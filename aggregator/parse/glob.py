"""Patterns of Hugo for paths of pages: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`. Matching takes linear time."""

from __future__ import annotations

import re
from itertools import pairwise

MAX_PATTERN, MAX_ALTERNATIVES = 300, 50
"""Characters of a pattern, and patterns without braces that it may represent."""
_TOKEN = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)((?:\\.|[^\\\]])+)\]|([^\\*?\[])", re.DOTALL)
_RANGE = re.compile(r"\\?(.)-\\?(.)|\\?(.)", re.DOTALL)
_BRACE = re.compile(r"\\.|[{},]", re.DOTALL)


class GlobError(Exception):
    """A pattern that cannot be read, or is too long."""


class Glob:
    """A pattern. Letters match in any case; `*` and `?` stop at a slash, `**` does not."""

    def __init__(self, pattern: str) -> None:
        self._alternatives = tuple(map(_read_tokens, _expand_braces(pattern.lower())))

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return any(_is_match(tokens, text.lower()) for tokens in self._alternatives)


_Tokens = tuple[str | tuple[bool, str, tuple[tuple[str, str], ...]], ...]
"""Single characters, `*`, `**` and `?` with a NUL before them, and sets: negated, characters, ranges."""
_STAR, _ANY, _ONE = "\0*", "\0**", "\0?"


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


def _read_tokens(pattern: str) -> _Tokens:
    tokens: list[str | tuple[bool, str, tuple[tuple[str, str], ...]]] = []
    at = 0
    while at < len(pattern):
        match = _TOKEN.match(pattern, at)
        if match is None:
            raise GlobError
        at = match.end()
        if match[2]:
            tokens.append(_STAR if match[2] == "*" else _ANY)
        elif match[3]:
            tokens.append(_ONE)
        elif match[5]:
            items = _RANGE.findall(match[5])
            ranges = tuple((low, high) for low, high, _ in items if low)
            tokens.append((bool(match[4]), "".join(single for _, _, single in items), ranges))
        else:
            tokens.append(match[1] or match[6])
    return tuple(tokens)


def _is_match(tokens: _Tokens, text: str) -> bool:
    """Follows all ways through the tokens at once: bit i of `states` is set if the first i tokens match the text."""
    stars = sum(1 << index for index, token in enumerate(tokens) if token in (_STAR, _ANY))
    across = sum(1 << index for index, token in enumerate(tokens) if token == _ANY)
    singles: dict[str, int] = {}
    states = _skip_stars(1, stars)
    for char in text:
        if char not in singles:
            singles[char] = sum(1 << index for index, token in enumerate(tokens) if _takes(token, char))
        staying = states & (across if char == "/" else stars)
        states = _skip_stars((states & singles[char]) << 1 | staying, stars)
        if not states:
            return False
    return bool(states >> len(tokens) & 1)


def _skip_stars(states: int, stars: int) -> int:
    """The states with those added that follow a star, which may match nothing."""
    while (more := states | (states & stars) << 1) != states:
        states = more
    return states


def _takes(token: str | tuple[bool, str, tuple[tuple[str, str], ...]], char: str) -> bool:
    """Whether a token that is no star matches a character."""
    if isinstance(token, str):
        return token == char or (token == _ONE and char != "/")
    is_negated, chars, ranges = token
    return (char in chars or any(low <= char <= high for low, high in ranges)) != is_negated
