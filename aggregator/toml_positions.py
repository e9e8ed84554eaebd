"""Positions in TOML: `tomllib` keeps none of keys, and its error messages quote values, which may be secret. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

KeyPath = tuple[str | int, ...]

# Unclosed strings match to the end of the text, so every expression is linear.
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'  # a multi-line string may hold two quotes right before its end
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
    r"|'[^']*'",
    re.DOTALL,
)
_TOKEN = re.compile(rf"#[^\n]*|{_STRING.pattern}|'[^']*\Z|[\[\]{{}}]", re.DOTALL)
_BARE_KEY = re.compile(r"[ \t]*+([A-Za-z0-9_-]++)[ \t]*+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_KEY_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+{_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{64}}", re.MULTILINE)
_ERROR_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)$")
_OPEN_TEXT = "a text without its closing quote"
_OPEN_LIST = "a list or table without its closing bracket"
_EXTRA_TEXT = "extra text after a value"
_NO_VALUE = "a value is missing or is not TOML"
_ON_LINE = "close it on the same line"
_QUOTES = ('"', "'")
_CURLY_QUOTES = frozenset("“”„‘’«»")  # as word processors write them
_REPEATED_KEY = "Cannot overwrite a value"
# how the message of `tomllib` begins: what is wrong, hint
_MESSAGES = {
    _REPEATED_KEY: ("a key is given twice", "remove one of them"),
    "Duplicate inline table key": ("a key is given twice", "remove one of them"),
    "Cannot declare": ("a table is given twice", "put its keys below one header"),
    "Cannot redefine namespace": ("a table is given twice", "put its keys below one header"),
    "Cannot mutate immutable namespace": ("a table is given twice", "put its keys in one place"),
    "Expected '='": ("a key without '='", "write key = value"),
    "Expected ']": ("a header without its closing bracket", "write [table] or [[table]]"),
    "Invalid initial character for a key part": ("a key is missing or has other characters", "put the key in quotes"),
    "Invalid value": (_NO_VALUE, "put texts in quotes"),
    "Invalid date": ("a date that does not exist", "write it as a text in quotes"),
    "Invalid hex value": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Unescaped '\\'": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Escaped character": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Illegal character '\\n'": (_OPEN_TEXT, _ON_LINE),
    "Found invalid character '\\n'": (_OPEN_TEXT, _ON_LINE),
    "Illegal character": ("a control character", "remove it"),
    "Found invalid character": ("a control character", "remove it"),
    "Unterminated string": (_OPEN_TEXT, _ON_LINE),
    "Expected \"'": (_OPEN_TEXT, _ON_LINE),
    "Unclosed": (_OPEN_LIST, "close it"),
    "Expected newline": (_EXTRA_TEXT, "begin a new line; put texts in quotes"),
    "Invalid statement": ("a line that is no key, table or comment", "write key = value"),
}


class TomlFault(NamedTuple):
    """What is wrong in a text, and where. Line and column count from 1; 0 is unknown."""

    line: int
    column: int
    what: str
    hint: str


def explain_error(error: ValueError, text: str) -> TomlFault:
    """The position and plain wording of the error that `tomllib` raised for `text`."""
    message = str(error)
    what, hint = next(
        (words for start, words in _MESSAGES.items() if message.startswith(start)),
        ("not valid TOML", "see https://toml.io"),
    )
    if position := _ERROR_POSITION.search(message):
        line, column = map(int, position.groups())
        offset = sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1
    elif message.endswith("(at end of document)"):
        offset = len(text)
    else:
        return TomlFault(0, 0, what, hint)
    found = _find_opening(text, offset, what) or _find_cause(text, offset, message)
    offset, what, hint = found or (offset, what, hint)
    return TomlFault(*_position(text, offset), what, hint)


def _find_cause(text: str, offset: int, message: str) -> tuple[int, str, str] | None:
    """For a fault at `offset` whose message says little of its cause: its place, what is wrong, and a hint."""
    start, sign = text.rfind("\n", 0, offset) + 1, text[offset : offset + 1]
    line = text[start:].partition("\n")[0]
    if message.startswith(("Expected '='", "Invalid statement")) and "=" in line and sign != "=":
        return offset, "a key with other characters than A-Z a-z 0-9 _ -", "put it in quotes"
    if message.startswith("Invalid value") and sign in _CURLY_QUOTES:
        return offset, _NO_VALUE, 'write straight quotes: "'
    if message.startswith(_REPEATED_KEY) and line.lstrip().startswith("[["):
        return offset, "a table is given as [table] and as [[table]]", "write [[table]] each time"
    return None


def _find_opening(text: str, offset: int, what: str) -> tuple[int, str, str] | None:
    """For a fault at `offset` because something before it has no end: where that begins, what is wrong, and a hint."""
    tokens = list(_TOKEN.finditer(text))
    before = [token for token in tokens if token.start() < offset]
    if what in (_OPEN_TEXT, _EXTRA_TEXT):
        string = next((token for token in reversed(before) if token[0][0] in _QUOTES), None)
        # extra text follows a text that has no end and goes on to the first quote of a later line
        if string and not text[string.end() : offset].strip() and (what == _OPEN_TEXT or "\n" in string[0]):
            is_long = string[0].startswith(tuple(3 * quote for quote in _QUOTES))
            return string.start(), _OPEN_TEXT, f"close it with {string[0][:3]}" if is_long else _ON_LINE
    elif what in (_OPEN_LIST, _NO_VALUE) and (opened := open_brackets(before)):
        opening = opened[-1]
        if opening in open_brackets(tokens):
            is_cause = what == _OPEN_LIST or offset == len(text) or "\n" in text[opening:offset]
            return (opening, _OPEN_LIST, "close it") if is_cause else None
        if what == _OPEN_LIST and text[opening] == "[":
            return offset, "a ',' is missing", "put a ',' between values"
        if what == _OPEN_LIST:
            return opening, _OPEN_LIST, _ON_LINE
    return None


def open_brackets(tokens: Iterable[re.Match[str]]) -> list[int]:
    """The offsets of the brackets among tokens of TOML or JSON that are not closed by their own kind."""
    opened: list[re.Match[str]] = []
    for token in tokens:
        if token[0] in "[{":
            opened.append(token)
        elif opened and opened[-1][0] + token[0] in ("[]", "{}"):
            opened.pop()
    return [token.start() for token in opened]


def find_repeated_key(error: ValueError, text: str) -> tuple[str, int, int] | None:
    """The undotted top-level key that made `tomllib` raise the error, with line and column; None if it is none."""
    if not str(error).startswith(_REPEATED_KEY):
        return None
    fault = explain_error(error, text)  # it points behind the second value
    lines = text.split("\n")[: fault.line]
    scan = _Scan("\n".join([*lines[:-1], lines[-1][: fault.column - 1]]))
    path, offset = scan.last_pair
    return (str(path[0]), *_position(text, offset)) if len(path) == 1 else None


def find_long_key(text: str) -> tuple[int, int] | None:
    """Line and column of a key of over 64 dotted parts: `tomllib` takes time quadratic in their number."""
    match = _LONG_KEY.search(text)
    return _position(text, match.start()) if match else None


class Locator:
    """Finds the keys of a text that `tomllib` accepts. The text is scanned when the first key is looked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _places(self) -> dict[KeyPath, _Place]:
        return _Scan(self._text).places

    def find(self, path: KeyPath, *, value: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the key or of its value; if it is missing, of the nearest table around it.

        An index is ignored where there is no array. (0, 0) if the first key is missing.
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
        # for a missing key, point at the key of the nearest table, not at its value
        return _position(self._text, place.value if value and known[-1:] == path[-1:] else place.key)


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


class _Place(NamedTuple):
    """Offsets of a key and of its value. For a table with a header both are its name in the header."""

    key: int
    value: int


class _Scan:
    """One pass over a text, statement by statement; `places` has the offsets of all keys and array items.

    `last_pair` is the path of the last `key = value` outside inline tables, and where it begins.
    """

    def __init__(self, text: str) -> None:
        self.places: dict[KeyPath, _Place] = {}
        self.last_pair: tuple[KeyPath, int] = (), 0
        self._text = text
        self._at = 0
        self._table_counts: dict[KeyPath, int] = {}
        table: KeyPath = ()
        while self._skip(_BLANK) < len(text):
            if text[self._at] == "[":
                table = self._header()
                self.last_pair = (), 0
            else:
                start = self._at
                self.last_pair = self._pair(table), start

    def _header(self) -> KeyPath:
        """Skips `[a.b]` or `[[a.b]]`; the path of the table that it opens."""
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, (name, offset) = self._key()
        self._at += brackets
        place = _Place(offset, offset)
        path = self._note(self._note_parents((), parents), name, place)
        if brackets == 2:
            index = self._table_counts.get(path, 0)
            self._table_counts[path] = index + 1
            path = self._note(path, index, place)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """Skips `a.b = value`; the path of the key."""
        *parents, (name, offset) = self._key()
        self._at += 1
        path = self._note_parents(table, parents)
        path = self._note(path, name, _Place(offset, self._skip(_SPACE)))
        self._value(path)
        return path

    def _value(self, path: KeyPath) -> None:
        """Skips a value, and notes the items of an array or inline table."""
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
                self._value(self._note(path, index, _Place(self._at, self._at)))
                index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _key(self) -> list[tuple[str, int]]:
        """Skips a key; its dotted parts, each with its offset."""
        parts = []
        while True:
            if match := _BARE_KEY.match(self._text, self._at):
                parts.append((match[1], match.start(1)))
                self._at = match.end()
            else:
                start = self._skip(_SPACE)
                written = self._text[start : self._skip(_STRING)]
                parts.append((tomllib.loads(f"key = {written}")["key"], start))
                self._skip(_SPACE)
            if not self._text.startswith(".", self._at):  # it may be the end, behind a repeated key
                return parts
            self._at += 1

    def _note_parents(self, path: KeyPath, parts: list[tuple[str, int]]) -> KeyPath:
        """The path with these parts and, after an array of tables, the index of its last table."""
        for name, offset in parts:
            path = self._note(path, name, _Place(offset, offset))
            if path in self._table_counts:
                path = (*path, self._table_counts[path] - 1)
        return path

    def _note(self, path: KeyPath, part: str | int, place: _Place) -> KeyPath:
        self.places.setdefault((*path, part), place)
        return (*path, part)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Skips a match of the pattern; the offset after it."""
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at
