"""Where the keys of a TOML text are: `tomllib` reads values and keeps no positions."""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
# an unclosed string takes all that is left, so the time is linear in any text
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'  # a multi-line string may hold two quotes right before its end
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")


class Place(NamedTuple):
    """Offsets of a key and of its value. For a table with a header of its own both are its name in the header."""

    key: int
    value: int


class Locator:
    """Finds the keys of a text that `tomllib` accepts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places = _Scan(text).places

    def find(self, path: KeyPath, *, value: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the key or of its value, or else of the nearest table that holds it.

        An index into what is no array is passed over. (0, 0) when not even the first key is there.
        """
        known: KeyPath = ()
        for part in path:
            if (*known, part) in self._places:
                known = (*known, part)
            elif isinstance(part, str):
                break
        if not known:
            return 0, 0
        place = self._places[known]
        # The value of a table that only stands in for a missing key says nothing: its key does.
        offset = place.value if value and known[-1:] == path[-1:] else place.key
        return self._text.count("\n", 0, offset) + 1, offset - self._text.rfind("\n", 0, offset)


class _Scan:
    """One pass over the text, statement by statement; `places` has what it found."""

    def __init__(self, text: str) -> None:
        self.places: dict[KeyPath, Place] = {}
        self._text = text
        self._at = 0
        self._table_counts: dict[KeyPath, int] = {}
        table: KeyPath = ()
        while self._skip(_BLANK) < len(text):
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        """Step over `[a.b]` or `[[a.b]]`; the path of the table it opens."""
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, (name, offset) = self._key()
        self._at += brackets
        place = Place(offset, offset)
        path = self._note(self._note_parents((), parents), name, place)
        if brackets == 2:
            index = self._table_counts.get(path, 0)
            self._table_counts[path] = index + 1
            path = self._note(path, index, place)
        return path

    def _pair(self, table: KeyPath) -> None:
        """Step over `a.b = value`."""
        *parents, (name, offset) = self._key()
        self._at += 1
        path = self._note_parents(table, parents)
        self._value(self._note(path, name, Place(offset, self._skip(_SPACE))))

    def _value(self, path: KeyPath) -> None:
        """Step over a value, noting what an array or an inline table holds."""
        opening = self._text[self._at]
        if opening not in "[{":
            self._skip(_STRING if opening in "\"'" else _SCALAR)
            return
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] not in "]}":
            if opening == "{":
                self._pair(path)
            else:
                self._value(self._note(path, index, Place(self._at, self._at)))
                index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _key(self) -> list[tuple[str, int]]:
        """Step over a key; its dotted parts, each with its offset."""
        parts = []
        while True:
            start = self._skip(_SPACE)
            quoted = self._text[start] in "\"'"
            written = self._text[start : self._skip(_STRING if quoted else _BARE_KEY)]
            parts.append((tomllib.loads(f"key = {written}")["key"] if quoted else written, start))
            if self._text[self._skip(_SPACE)] != ".":
                return parts
            self._at += 1

    def _note_parents(self, path: KeyPath, parts: list[tuple[str, int]]) -> KeyPath:
        """The path with these parts and, after an array of tables, the index of its newest one."""
        for name, offset in parts:
            path = self._note(path, name, Place(offset, offset))
            if path in self._table_counts:
                path = (*path, self._table_counts[path] - 1)
        return path

    def _note(self, path: KeyPath, part: str | int, place: Place) -> KeyPath:
        self.places.setdefault((*path, part), place)
        return (*path, part)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Step over what fits the pattern here; where that ends."""
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at
