"""Patterns of Hugo for paths of pages: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`. Matching takes linear time."""

from __future__ import annotations

import re

import re2

MAX_PATTERN = 300
"""Characters of a pattern."""
MAX_COMPILED_BYTES = 1 << 26
"""The memory limit of re2 for one pattern, enough for the longest one."""
_TOKEN = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)((?:\\.|[^\\\]])+)\]|([^\\*?\[])", re.DOTALL)
_RANGE = re.compile(r"\\?(.)-\\?(.)|\\?(.)", re.DOTALL)
_BRACES = {"{": "(?:", ",": "|", "}": ")"}
"""A brace that closes nothing, and a comma that is in no braces, are characters like others."""


class GlobError(Exception):
    """A pattern that cannot be read, or is too long."""


class Glob:
    """A pattern. Letters match in any case; `*` and `?` stop at a slash, `**` does not."""

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.max_mem = MAX_COMPILED_BYTES
        self._expression = re2.compile(_translate(pattern.lower()), options)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._expression.fullmatch(text.lower()) is not None


def _translate(pattern: str) -> str:
    """The expression of re2 for a pattern."""
    if len(pattern) > MAX_PATTERN:
        raise GlobError
    parts: list[str] = []
    at = depth = 0
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
        elif char in _BRACES and (depth or char == "{"):
            parts.append(_BRACES[char])
            depth += (char == "{") - (char == "}")
        else:
            parts.append(_char(escaped or char))
    if depth:
        raise GlobError
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
