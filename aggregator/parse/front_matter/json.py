"""JSON: an object -> the keys that are asked for. RFC 8259, with nothing beyond it: no NaN, no comments."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

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

# an unclosed string takes all that is left, so the time is linear in any text
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_SAYINGS = (
    ("Expecting property name", "a key is missing or not in double quotes", 'write "key": value'),
    ("Expecting ':'", "a key without its ':'", 'write "key": value'),
    ("Expecting ','", "a ',' is missing", "put a ',' between values, and texts in double quotes"),
    ("Expecting value", "a value is missing, or is no JSON", "put texts in double quotes"),
    ("Illegal trailing comma", "a ',' with nothing behind it", "remove it"),
    ("Invalid control character", "a text over more than one line, or a control character", r"write \n for a new line"),
    ("Invalid \\", "a backslash that means nothing", r"write \\ for a backslash"),
    ("Unterminated string", "a text without its closing quote", "close it"),
    ("Extra data", "something stands after the object", "begin the body on a line of its own"),
)


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object in the order of the file, a key twice if it stands twice."""


def end_of_object(text: str, start: int) -> int | None:
    """The offset behind the object that begins at `start`; None if it has no end."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in ("{", "["):
            depth += 1
        elif sign in ("}", "]"):
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def read_json(fm: str, first_line: int, wanted: AllowedKeys, limits: Limits) -> FrontMatter:
    """The wanted keys of the JSON object `fm`. Raises FrontMatterError."""
    lines = Lines(fm, first_line)
    places = _scan(fm, lines, limits)
    try:
        root = json.loads(
            fm, object_pairs_hook=_Pairs, parse_int=_whole_number, parse_float=_number, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        known = ((what, todo) for start, what, todo in _SAYINGS if error.msg.startswith(start))
        what, todo = next(known, ("it cannot be read", "check it with a JSON linter"))
        raise FrontMatterError(*lines.at(error.pos), f"front matter is not valid JSON: {what}", todo) from None
    except (ValueError, RecursionError):
        raise FrontMatterError(
            first_line, 1, "front matter is not valid JSON: it cannot be read", "check it with a JSON linter"
        ) from None
    if not isinstance(root, _Pairs):
        raise FrontMatterError(first_line, 1, "front matter is not a map of keys", 'write {"key": value, …}')
    matter = FrontMatter(wanted)
    seen = set()
    for (key, value), (key_at, value_at) in zip(root, places, strict=True):
        plain = key.lower()
        if plain in seen:
            raise matter.duplicate_key_error(key, *lines.at(key_at))
        seen.add(plain)
        if name := matter.canonical_name(key):
            matter.values[name] = Value(_read_value(value), *lines.at(value_at))
        elif near := wanted.near_miss(key):
            matter.add_near_miss(near, _read_value(value) if near.hiding else None, *lines.at(key_at))
    return matter


def _read_value(value: Any) -> Any:
    try:
        return _make_value(value)
    except RecursionError:
        return Opaque()


def _scan(fm: str, lines: Lines, limits: Limits) -> list[tuple[int, int]]:
    """The offsets of the top-level keys and their values. Refuses what nests too deep or holds too much, before the
    recursion of the parser meets it, and the words that the library takes beyond JSON."""
    places = []
    depth = nodes = 0
    key: int | None = None
    before = ""
    for token in _TOKEN.finditer(fm):
        sign, start = token[0], token.start()
        if depth == 1 and before == ":" and key is not None:
            places.append((key, start))
            key = None
        elif depth == 1 and before in ("{", ",") and sign[0] == '"':
            key = start
        if sign in ("{", "["):
            depth += 1
        elif sign in ("}", "]"):
            depth -= 1
        elif sign in ("NaN", "Infinity", "-Infinity"):
            what, todo = "front matter is not valid JSON: a number that JSON has not", "write a number, or null"
            raise FrontMatterError(*lines.at(start), what, todo)
        nodes += sign not in ("}", "]", ",", ":")
        if depth > limits.depth:
            raise too_deep_error(*lines.at(start))
        if nodes > limits.nodes:
            raise too_many_values_error(*lines.at(start))
        before = sign
    return places


def _make_value(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _make_value(item) for key, item in value}
    if isinstance(value, list):
        return [_make_value(item) for item in value]
    if value is None or isinstance(value, bool):
        return Scalar(json.dumps(value), value)
    return value


def _whole_number(spelling: str) -> str:
    try:
        return Scalar(spelling, int(spelling))
    except ValueError:  # thousands of digits: such a thing is a text
        return spelling


def _number(spelling: str) -> Scalar:
    return Scalar(spelling, float(spelling))


def _no_constant(_: str) -> NoReturn:
    raise ValueError
