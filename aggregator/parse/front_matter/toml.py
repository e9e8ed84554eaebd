"""TOML: the text between two fences -> the keys that are asked for (TOML 1.0, by the standard library)."""

from __future__ import annotations

import re
import tomllib
from datetime import date, time
from typing import Any, NamedTuple

from aggregator.parse.front_matter.values import (
    AllowedKeys,
    FrontMatter,
    FrontMatterError,
    Limits,
    Lines,
    Opaque,
    Scalar,
    Value,
    too_deep_error,
    too_many_values_error,
)
from aggregator.toml_errors import explain_toml

# an unclosed string takes all that is left, or its line, so the time is linear in any text
_BLANK = re.compile(r"(?:\s|#[^\n]*+)*+")
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\[^\n])*+"|'[^'\n]*+')"""
_KEY, _MORE_PART = re.compile(_PART), re.compile(rf"[ \t]*+\.[ \t]*+{_PART}")
_SPACE = re.compile(r"[ \t]*+")
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[\[\]{}=,.\n]",
    re.DOTALL,
)


def read_toml(fm: str, first_line: int, wanted: AllowedKeys, limits: Limits) -> FrontMatter:
    """The wanted keys of the TOML document `fm`. Raises FrontMatterError."""
    lines = Lines(fm, first_line)
    matter = FrontMatter(wanted)
    places = _Scan(fm, lines, limits, matter).places
    try:
        root = tomllib.loads(fm, parse_float=_number)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        fault = explain_toml(error, fm) if isinstance(error, ValueError) else None
        if fault is None or not fault.line:
            what, todo = "front matter is not valid TOML: it cannot be read", "check it with a TOML linter"
            raise FrontMatterError(first_line, 1, what, todo) from None
        place = first_line + fault.line - 1, fault.column
        raise FrontMatterError(*place, f"front matter is not valid TOML: {fault.what}", fault.todo) from None
    seen = set()
    for key, value in root.items():
        plain, at = key.lower(), places.get(key, 0)
        if plain in seen:  # such as [Provider] below [provider], which are two tables in TOML
            raise matter.duplicate_key_error(key, *lines.at(at))
        seen.add(plain)
        if name := matter.canonical_name(key):
            matter.values[name] = Value(_read_value(value), *lines.at(at))
        elif near := wanted.near_miss(key):
            matter.add_near_miss(near, _read_value(value) if near.hiding else None, *lines.at(at))
    return matter


def _read_value(value: Any) -> Any:
    try:
        return _make_value(value)
    except RecursionError:
        return Opaque()


class _Key(NamedTuple):
    """The first part of a key, how many parts it has, and where it ends."""

    name: str
    parts: int
    end: int


class _Scan:
    """One pass over the text before it is parsed: refuses what nests too deep or holds too much (the parser is
    recursive, and slow on long keys), and a key twice. `places` are the offsets of the values of top-level keys, for a
    table that of its name."""

    def __init__(self, fm: str, lines: Lines, limits: Limits, matter: FrontMatter) -> None:
        self.places: dict[str, int] = {}
        self._fm, self._lines, self._limits, self._matter = fm, lines, limits, matter
        self._seen: set[str] = set()
        self._nodes = 0
        tables = 0
        at = self._skip(_BLANK, 0)
        while at < len(fm):
            brackets = 0 if fm[at] != "[" else 2 if fm.startswith("[[", at) else 1
            above = brackets - 1 if brackets else tables - 1
            key = self._key(at + brackets, above)
            if key is None:  # the parser says it better
                return
            if brackets:
                tables = above + key.parts
                self.places.setdefault(key.name, at + brackets)
            elif not tables:
                self._note(key, at)
            at = self._skip(_BLANK, self._statement_end(key.end, above + key.parts))

    def _skip(self, blank: re.Pattern[str], at: int) -> int:
        match = blank.match(self._fm, at)
        return match.end() if match else at

    def _key(self, at: int, above: int) -> _Key | None:
        match = _KEY.match(self._fm, at)
        if match is None:
            return None
        parts, end = 1, match.end()
        while more := _MORE_PART.match(self._fm, end):
            parts, end = parts + 1, more.end()
        self._judge(at, above + parts, 2 * parts - 1)
        return _Key(match[0][1:-1] if match[0][0] in "\"'" else match[0], parts, self._skip(_SPACE, end))

    def _note(self, key: _Key, at: int) -> None:
        """Notes a pair of the top level that begins at `at`."""
        plain = key.name.lower()
        if key.parts == 1 and plain in self._seen:
            raise self._matter.duplicate_key_error(key.name, *self._lines.at(at))
        self._seen.add(plain)
        self.places.setdefault(key.name, self._skip(_SPACE, key.end + 1))

    def _statement_end(self, at: int, above: int) -> int:
        """Where the statement that goes on at `at` ends."""
        level = dots = 0
        for token in _TOKEN.finditer(self._fm, at):
            sign = token[0]
            if sign == "\n" and level <= 0:
                return token.end()
            if sign in ("[", "{"):
                level += 1
            elif sign in ("]", "}"):
                level -= 1
            dots = dots + 1 if sign == "." and level else 0
            self._judge(token.start(), above + level + dots, sign in ("[", "{", "=", ",", "."))
        return len(self._fm)

    def _judge(self, at: int, depth: int, nodes: int) -> None:
        """Counts `nodes` more; `depth` is without the root."""
        self._nodes += nodes
        if depth >= self._limits.depth:
            raise too_deep_error(*self._lines.at(at))
        if self._nodes > self._limits.nodes:
            raise too_many_values_error(*self._lines.at(at))


def _make_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _make_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_make_value(item) for item in value]
    if isinstance(value, bool):
        return Scalar("true" if value else "false", value)
    if isinstance(value, int):
        return _whole_number(value)
    if isinstance(value, date | time):
        return Scalar(value.isoformat(), value)
    return value


def _whole_number(value: int) -> Scalar | Opaque:
    try:
        return Scalar(str(value), value)
    except ValueError:  # thousands of digits, which only a hexadecimal number gets here with
        return Opaque()


def _number(spelling: str) -> Scalar:
    return Scalar(spelling.replace("_", ""), float(spelling))
