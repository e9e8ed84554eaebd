"""TOML: the text between two fences -> the wanted keys (TOML 1.0, by the standard library)."""

from __future__ import annotations

import tomllib
from typing import Any

from aggregator.parse.front_matter.values import (
    AllowedKeys,
    FrontMatter,
    FrontMatterError,
    Limits,
    Scalar,
    Value,
    find_excess,
    make_value,
    too_deep_error,
)
from aggregator.toml_positions import Locator, explain_error, find_long_key, find_repeated_key


def read_toml(fm: str, first_line: int, allowed: AllowedKeys, limits: Limits) -> FrontMatter:
    """The wanted keys of the TOML document `fm`. Raises FrontMatterError."""
    matter = FrontMatter(allowed)
    matter.is_toml = True
    root = _parse(fm, first_line, matter)
    locator = Locator(fm)

    def position(key: str, *, value: bool = False) -> tuple[int, int]:
        line, column = locator.find((key,), value=value)
        return first_line + line - 1, column

    if excess := find_excess(root.items(), limits):
        index, refusal = excess
        raise refusal(*position(list(root)[index]))
    seen = set()
    for key, value in root.items():
        plain = key.lower()
        if plain in seen:  # [Provider] and [provider] are two tables in TOML
            raise matter.duplicate_key_error(key, *position(key))
        seen.add(plain)
        if name := matter.canonical_name(key):
            matter.values[name] = Value(make_value(value), *position(key, value=True))
        elif near := allowed.near_miss(key):
            matter.add_near_miss(near, make_value(value) if near.hiding else None, *position(key, value=True))
    return matter


def _parse(fm: str, first_line: int, matter: FrontMatter) -> dict[str, Any]:
    if long_key := find_long_key(fm):
        line, column = long_key
        raise too_deep_error(first_line + line - 1, column)
    try:
        return tomllib.loads(fm, parse_float=_number)
    except RecursionError:
        raise too_deep_error(first_line, 1) from None
    except ValueError as error:  # also for a number with thousands of digits
        if repeated := find_repeated_key(error, fm):
            key, line, column = repeated
            raise matter.duplicate_key_error(key, first_line + line - 1, column) from None
        fault = explain_error(error, fm)
        if not fault.line:
            what, hint = "front matter is not valid TOML: it cannot be read", "check it with a TOML linter"
            raise FrontMatterError(first_line, 1, what, hint) from None
        what = f"front matter is not valid TOML: {fault.what}"
        raise FrontMatterError(first_line + fault.line - 1, fault.column, what, fault.hint) from None


def _number(spelling: str) -> Scalar:
    return Scalar(spelling.replace("_", ""), float(spelling))
