"""The values of Liquid, and the variables of a body. Pure.

What only the site knows (`site.docs`, the result of a plugin's filter) is UNKNOWN. It counts as nil in a condition; in
a text it is what no URL can be made of (`page_links.MARK`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aggregator.parse.dates import format_time
from aggregator.parse.page_links import MARK
from aggregator.parse.page_path import split_url

MAX_WORK = 20_000_000
"""Characters and values that the expressions of one body may handle."""
MAX_NUMBER = 10**18
ITEM_WORK = 100
"""What it costs to make an item of a list from a range, in characters that a filter handles in the same time."""

_LEADING_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")


class TooMuchWorkError(Exception):
    """A body takes more work than any real one."""


class _Unknown:
    def __str__(self) -> str:
        return MARK * 2


UNKNOWN = _Unknown()


class _Word(str):
    """A word that is compared as no text is, and shows nothing."""

    __slots__ = ()


EMPTY, BLANK = _Word(), _Word()
"""What `empty` equals is a text or list without anything in it; `blank` equals nothing."""


class Scope:
    """The variables of a body, and the work that it may still cause. `site_url` has no slash at its end."""

    def __init__(self, page: Mapping[str, Any], site_url: str | None) -> None:
        self.site_url = site_url
        self._known: Mapping[str, Any] = {
            "page": _Open(page),
            "site": _Open({} if site_url is None else dict(zip(("url", "baseurl"), split_url(site_url), strict=True))),
            **dict.fromkeys(("content", "include", "jekyll", "layout", "paginator", "theme"), UNKNOWN),
        }
        self.variables: dict[str, Any] = {}
        self._work = MAX_WORK

    def look_up(self, name: str) -> Any:
        return self.variables[name] if name in self.variables else self._known.get(name)

    def spend(self, work: int) -> None:
        """Raises TooMuchWorkError if the body has caused more work than MAX_WORK."""
        self._work -= work
        if self._work < 0:
            raise TooMuchWorkError


class _Open(dict[str, Any]):
    """A map of which only some values are known."""

    def __missing__(self, key: str) -> Any:
        return UNKNOWN


@dataclass(frozen=True, eq=False)
class Loop:
    """The `forloop` of one turn. It equals only itself, because a chain of `parentloop` may be long."""

    members: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.members.get(key)


def shown(value: Any) -> str:
    """The value as an output shows it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, list):
        return "".join(map(shown, value))
    if isinstance(value, datetime):
        return format_time(value, "%Y-%m-%d %H:%M:%S %z")
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    return "" if isinstance(value, dict | Loop) else str(value)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal in a condition."""
    if isinstance(left, _Word):
        left, right = right, left
    if isinstance(right, _Word):
        return right is EMPTY and isinstance(left, str | list) and not isinstance(left, _Word) and not left
    return bool(left == right)


def is_true(value: Any) -> bool:
    """The truth of a value in a condition."""
    return value is not None and value is not False and value is not UNKNOWN


def member(value: Any, key: Any) -> Any:
    """`value.key` or `value[key]`; None if there is none."""
    if isinstance(value, dict | Loop):
        return value[key] if isinstance(key, str) else None
    if value is UNKNOWN or key is UNKNOWN:
        return UNKNOWN
    if isinstance(value, list) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else None
    if key == "size":
        return len(value) if isinstance(value, str | list | range) else None
    if key in ("first", "last") and isinstance(value, list | range):
        return value[0 if key == "first" else -1] if value else None
    return None


def to_integer(value: Any) -> int:
    """The whole number of a value; 0 if it has none."""
    try:
        return int(checked_number(to_number(value)))
    except ValueError:
        return 0


def size_of(value: Any) -> int:
    """What it costs to handle a value, for `Scope.spend`: the items of a list may be one long text many times."""
    if isinstance(value, list):
        return len(value) + sum(map(size_of, value))
    return len(value) if isinstance(value, str) else 1


def checked_number(value: float) -> float:
    """The number. Raises ValueError for one that is too large, or none."""
    if not abs(value) < MAX_NUMBER:
        raise ValueError(value)
    return value


def to_number(value: Any) -> float:
    """The number of a value; 0 for a text without one, as in Liquid."""
    if isinstance(value, int | float):
        return value
    match = _LEADING_NUMBER.match(value.lstrip()) if isinstance(value, str) else None
    if match is None:
        return 0
    return float(match[0]) if "." in match[0] else int(match[0])


def as_list(scope: Scope, value: Any) -> list[Any]:
    """The items of a list or range; another value is a list of one. Raises TooMuchWorkError."""
    if isinstance(value, range):
        scope.spend(ITEM_WORK * len(value))
    return list(value) if isinstance(value, list | range) else [value]
