"""TOML: the text between two fences -> the wanted keys (TOML 1.0, by the standard library)."""

from __future__ import annotations

import tomllib
from typing import Any

from aggregator.parse.front_matter.values import AllowedKeys, FrontMatter, FrontMatterError, Limits, Scalar
from aggregator.toml_positions import Locator, explain_error, find_long_key, find_repeated_key


def read_toml(fm: str, first_line: int, allowed: AllowedKeys, limits: Limits) -> FrontMatter:
    """The wanted keys of the TOML document `fm`. Raises FrontMatterError."""
    matter = FrontMatter(allowed)
    matter.is_toml = True
    pairs = list(_parse(fm, first_line, matter).items())
    locator = Locator(fm)

    def place(index: int, *, of_value: bool = False) -> tuple[int, int]:
        line, column = locator.find((pairs[index][0],), value=of_value)
        return first_line + line - 1, column

    matter.pick(pairs, limits, place)
    return matter


def _parse(fm: str, first_line: int, matter: FrontMatter) -> dict[str, Any]:
    if long_key := find_long_key(fm):
        line, column = long_key
        raise FrontMatterError.too_deep(first_line + line - 1, column)
    try:
        return tomllib.loads(fm, parse_float=lambda spelling: Scalar(spelling.replace("_", ""), float(spelling)))
    except RecursionError:
        raise FrontMatterError.too_deep(first_line, 1) from None
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
