"""What single values of front matter mean, and how messages show them. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, TypeGuard

from aggregator.parse.field_bounds import MAX_DIGITS
from aggregator.parse.front_matter.values import Opaque, Scalar
from aggregator.problems import without_user
from aggregator.unicode import xml_text

MAX_SHOWN = 200
"""Characters of a value in a message."""
MAX_NUMBER = 10**15
"""Scores are below it."""
MAX_PIXELS = 100_000
"""Widths and heights of images are below it."""
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SURE_TIME = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""A time that PyYAML and `parse_time` read alike."""


class NeedsFullParseError(Exception):
    """A position or a spelling is needed and the front matter has neither: parse the record again with PyYAML.

    Every method of Fields may raise it if `has_positions` is False: for every warning and refusal, and for every value
    whose meaning depends on its spelling, such as a number where a text is expected. Only `parse_record` catches it.
    """


def meaning(value: object) -> object:
    """The meaning of a value, whatever its spelling."""
    return value.value if isinstance(value, Scalar) else value


def lower_keys(item: object) -> dict[str, Any]:
    """A map with its keys in lower case, without keys that are no text; an empty one for what is no map."""
    return {key.lower(): value for key, value in item.items() if isinstance(key, str)} if isinstance(item, dict) else {}


def is_text(value: object) -> TypeGuard[str]:
    """True if a value can be read as text, like the spelling of any scalar. Raises NeedsFullParseError for a number or
    bool without spelling."""
    if isinstance(value, str):
        return True
    if isinstance(value, int | float):
        raise NeedsFullParseError
    return False


def is_null(value: object) -> bool:
    """Whether a value is null in its language."""
    return value is None or (isinstance(value, Scalar) and value.value is None)


def sure_time(stated: object) -> datetime:
    """The time of a value without spelling. Raises NeedsFullParseError unless every parser reads it alike."""
    if isinstance(stated, str) and _SURE_TIME.fullmatch(stated):
        try:
            return datetime.fromisoformat(stated)
        except ValueError:
            raise NeedsFullParseError from None
    raise NeedsFullParseError


def read_number(value: object) -> float | None:
    """A number by its spelling, because YAML 1.1 reads 012 as ten and 1:30 as ninety. Raises NeedsFullParseError."""
    if isinstance(value, float):  # without spelling: 1e5 is text in YAML 1.1
        raise NeedsFullParseError
    if type(value) is int:
        return float(value) if abs(value) < MAX_NUMBER else None
    if isinstance(value, Scalar) and len(value) <= MAX_DIGITS and _NUMBER.fullmatch(value):
        number = float(value)
        return number if abs(number) < MAX_NUMBER else None
    return None


def read_pixels(value: object) -> int:
    """A number of pixels, 0 if it is none."""
    if type(value) is int:
        return value if 0 < value < MAX_PIXELS else 0
    number = read_number(value) or 0
    return int(number) if 0 < number < MAX_PIXELS and number == int(number) else 0


def flag_hint(value: object) -> str:
    """What to write in place of a value that is no flag."""
    if is_null(value):
        return "write true or false, or remove the line"
    quoted = isinstance(value, str) and value.strip().lower() in ("true", "false", "yes", "no")
    return "write true or false, without quotes" if quoted else "write true or false"


def shown_value(value: object) -> str:
    """How a message shows a value. The contents of maps and lists are never shown, nor the user of a URL."""
    if isinstance(value, str):
        return str(xml_text(without_user(value)[:MAX_SHOWN]))  # a plain str: a Scalar cannot be sent to another process
    if isinstance(value, Opaque):
        return "an unsupported tag or alias"
    return "a map" if isinstance(value, dict) else "a list"


def is_relative(address: object) -> bool:
    """Whether a value may be a relative URL."""
    return isinstance(address, str) and ":" not in address
