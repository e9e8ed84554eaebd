"""JSON: an object -> the wanted keys. RFC 8259, with nothing beyond it: no NaN, no comments."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any, NoReturn

from aggregator.parse.front_matter.values import AllowedKeys, FrontMatter, FrontMatterError, Limits, Scalar, place_at
from aggregator.toml_positions import open_brackets

# Unclosed strings match to the end of the text, so the expression is linear.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
# how the message of `json` begins, what is wrong, hint
_MESSAGES = (
    ("Expecting property name", "a key is missing or not in double quotes", 'write "key": value'),
    ("Expecting ':'", "a key without its ':'", 'write "key": value'),
    ("Expecting ','", "a ',' is missing", "put a ',' between values, and texts in double quotes"),
    ("Expecting value", "a value is missing, or is no JSON", "put texts in double quotes"),
    ("Invalid control character", "a text over more than one line, or a control character", r"write \n for a new line"),
    ("Invalid \\", "an invalid escape", r"write \\ for a backslash"),
    ("Unterminated string", "a text without its closing quote", "close it"),
    ("Extra data", "extra text after the object", "begin the body on a line of its own"),
)


def end_of_object(text: str) -> int | None:
    """The end of the object at the start of a text, or of the first bracket that closes another; None without one."""
    opened: list[str] = []
    for token in _TOKEN.finditer(text):
        if token[0] in _CLOSING:
            opened.append(token[0])
        elif token[0] in _CLOSING.values() and (_CLOSING[opened.pop()] != token[0] or not opened):
            return token.end()
    return None


def read_json(fm: str, first_line: int, allowed: AllowedKeys, limits: Limits) -> FrontMatter:
    """The wanted keys of the JSON object `fm`. Raises FrontMatterError."""
    pairs = _parse(fm, first_line)
    offsets = _offsets(fm)

    def place(index: int, *, of_value: bool = False) -> tuple[int, int]:
        return place_at(fm, first_line, offsets[index][of_value])

    matter = FrontMatter(allowed)
    matter.pick(pairs, limits, place)
    return matter


def _parse(fm: str, first_line: int) -> list[tuple[str, Any]]:
    """The keys and values of the object in order, repeated keys included."""
    objects: list[list[tuple[str, Any]]] = [[]]

    def keep_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        objects[0] = pairs  # the outermost object is the last
        return dict(pairs)

    def refuse_constant(name: str) -> NoReturn:
        start = next(token.start() for token in _TOKEN.finditer(fm) if token[0].startswith(_CONSTANTS))
        what = f"front matter is not valid JSON: {name} is not a JSON number"
        raise FrontMatterError(*place_at(fm, first_line, start), what, "write a number, or null")

    try:
        root = json.loads(
            fm,
            object_pairs_hook=keep_pairs,
            parse_int=_whole_number,
            parse_float=lambda spelling: Scalar(spelling, float(spelling)),
            parse_constant=refuse_constant,
        )
    except json.JSONDecodeError as error:
        known = ((what, hint) for start, what, hint in _MESSAGES if error.msg.startswith(start))
        what, hint = next(known, ("it cannot be read", "check it with a JSON linter"))
        at = _text_around(fm, error.pos)
        if brackets := open_brackets(_TOKEN.finditer(fm)):
            at, what, hint = brackets[-1], "a bracket is not closed", "close the bracket"
        elif (comma := _extra_comma(fm, error.pos)) is not None:
            at, what, hint = comma, "a ',' too much", "remove it"
        raise FrontMatterError(*place_at(fm, first_line, at), f"front matter is not valid JSON: {what}", hint) from None
    except RecursionError:
        raise FrontMatterError.too_deep(first_line, 1) from None
    if not isinstance(root, dict):
        raise FrontMatterError(first_line, 1, "front matter is not a map of keys", 'write {"key": value, …}')
    return objects[0]


def _text_around(fm: str, offset: int) -> int:
    """Where the text begins that goes over the end of its line at `offset`; for another error, `offset`."""
    if fm[offset : offset + 1] != "\n":
        return offset
    return next((token.start() for token in _TOKEN.finditer(fm) if token.start() < offset < token.end()), offset)


def _extra_comma(fm: str, offset: int) -> int | None:
    """The offset of a comma without a value before or after it, if that is the error at `offset`."""
    for before, token in pairwise(_TOKEN.finditer(fm)):
        if token.end() > offset:
            if before[0] in "{[," and token[0] == ",":
                return token.start()
            return before.start() if before[0] == "," and token[0] in "}]" else None
    return None


def _offsets(fm: str) -> list[tuple[int, int]]:
    """The offsets of the keys of the object and of their values."""
    offsets = []
    depth = key = 0
    before = ""
    for token in _TOKEN.finditer(fm):
        sign = token[0]
        if depth == 1 and before == ":":
            offsets.append((key, token.start()))
        elif depth == 1 and before in ("{", ","):
            key = token.start()
        if sign in ("{", "["):
            depth += 1
        elif sign in ("}", "]"):
            depth -= 1
        before = sign
    return offsets


def _whole_number(spelling: str) -> str:
    try:
        return Scalar(spelling, int(spelling))
    except ValueError:  # thousands of digits: a text
        return spelling
