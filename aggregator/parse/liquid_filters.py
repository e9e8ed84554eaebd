"""The filters of Liquid, as Jekyll has them. Pure.

A filter gets the scope, the value and its arguments. What it raises makes its result unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus
from zoneinfo import ZoneInfo

from aggregator.parse.dates import format_time, parse_time
from aggregator.parse.field_bounds import MAX_DATE
from aggregator.parse.jekyll import slugify
from aggregator.parse.liquid_values import (
    UNKNOWN,
    Loop,
    Scope,
    as_list,
    checked_number,
    member,
    shown,
    to_integer,
    to_number,
)
from aggregator.parse.page_links import MARK
from aggregator.parse.page_path import split_url

MARKDOWN_WORK, STEP_WORK, COSTLY_WORK = 50, 100, 5_000_000
"""What `markdownify` costs for a character that it reads or makes, for a step of the Markdown parser, and for a text
that is too expensive, in characters that another filter handles in the same time."""

_TAG = re.compile(r"<[^>]*+(?:>|\Z)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_ESCAPES = str.maketrans({"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_MAY_BE_DATE = re.compile(r"\d|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\A(?:now|today)\Z", re.IGNORECASE)
"""A text in which Ruby may find a date that `parse_time` does not read."""
_INTERPOLATION = re.compile(r"#(?=[{$@])")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,31};)")


def _escaped(text: str) -> str:
    """The text as HTML that shows it."""
    return text.replace("&", "&amp;").translate(_ESCAPES)


def _text_filter(change: Callable[[str], str]) -> Callable[..., Any]:
    return lambda _scope, value: change(shown(value))


def _number_filter(calculate: Callable[..., float]) -> Callable[..., Any]:
    return lambda _scope, *values: checked_number(calculate(*map(to_number, values)))


def _list_filter(change: Callable[..., Any]) -> Callable[..., Any]:
    return lambda scope, value, *arguments: change(as_list(scope, value), *arguments)


def _item_filter(change: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that leaves alone what is no list. A list in a list is not known, so that none grows by itself."""

    def apply(_scope: Scope, value: Any, *arguments: Any) -> Any:
        if any(isinstance(argument, list | dict) for argument in arguments):
            return UNKNOWN
        return change(value, *arguments) if isinstance(value, list) else value

    return apply


def _time_filter(form: str) -> Callable[..., Any]:
    return lambda scope, value: _format_date(scope, value, form)


def _format_date(_scope: Scope, value: Any, form: str) -> Any:
    form = shown(form)[:MAX_DATE]
    if not form:
        return value
    parsed = parse_time(value, ZoneInfo("UTC"), loose=True) if isinstance(value, str) else None
    moment = parsed[0] if parsed else value
    if isinstance(moment, datetime):
        return format_time(moment, form)
    may_be_date = _MAY_BE_DATE.search(value) if isinstance(value, str) else type(value) is int
    return UNKNOWN if may_be_date else value


def _divide(left: float, right: float) -> float:
    return left // right if isinstance(left, int) and isinstance(right, int) else left / right


def _replace(scope: Scope, value: Any, old: Any, new: Any = "", most: int = -1) -> str:
    text, old, new = shown(value), shown(old), shown(new)
    scope.spend(text.count(old) * len(new))  # before there is such a text
    return text.replace(old, new, most)


def _replace_last(_scope: Scope, value: Any, old: Any, new: Any = "") -> str:
    return shown(value)[::-1].replace(shown(old)[::-1], shown(new)[::-1], 1)[::-1]  # `rfind` takes quadratic time


def _join(scope: Scope, value: Any, glue: Any = " ") -> str:
    parts = [shown(part) for part in as_list(scope, value)]
    scope.spend(len(parts) * len(shown(glue)))
    return shown(glue).join(parts)


def _split(scope: Scope, value: Any, separator: Any) -> list[Any]:
    text, separator = shown(value), shown(separator)
    parts: list[Any] = text.split(None if separator == " " else separator) if separator else list(text)
    scope.spend(len(parts))
    return parts if parts != [""] else []


def _slice(_scope: Scope, value: Any, start: Any, length: Any = 1) -> Any:
    items = value if isinstance(value, list) else shown(value)
    first = to_integer(start)
    first += len(items) if first < 0 else 0
    return items[first : first + max(to_integer(length), 0)] if first >= 0 else items[:0]


def _truncate(_scope: Scope, value: Any, length: Any = 50, end: Any = "...") -> str:
    text, end, most = shown(value), shown(end), to_integer(length)
    return text if len(text) <= most else text[: max(most - len(end), 0)] + end


def _truncate_words(_scope: Scope, value: Any, most: Any = 15, end: Any = "...") -> str:
    words, most = shown(value).split(), max(to_integer(most), 1)
    return shown(value) if len(words) <= most else " ".join(words[:most]) + shown(end)


def _relative_url(scope: Scope, value: Any) -> Any:
    path = shown(value)
    if MARK in path or _SCHEME.match(path):
        return path
    if scope.site_url is None:
        return UNKNOWN
    return split_url(scope.site_url)[1] + (path if path.startswith("/") or not path else f"/{path}")


def _absolute_url(scope: Scope, value: Any) -> Any:
    path = _relative_url(scope, value)
    if path is UNKNOWN or scope.site_url is None or MARK in path or _SCHEME.match(path):
        return path
    return split_url(scope.site_url)[0] + path


def _unique(items: list[Any]) -> list[Any]:
    return list({(type(item), shown(item)): item for item in items}.values())


def _sentence(items: list[Any], connector: Any = "and") -> str:
    words = list(map(shown, items))
    if len(words) < 3:
        return f" {connector} ".join(words)
    return f"{', '.join(words[:-1])}, {connector} {words[-1]}"


def _json(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    is_plain = value is None or isinstance(value, str | int | float)
    return json.dumps(value if is_plain else _known_text(value), ensure_ascii=False)


def _ruby(value: Any) -> str:
    """The value as Ruby writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_ruby, value))}]"
    if isinstance(value, str):
        return _INTERPOLATION.sub(r"\\#", json.dumps(value, ensure_ascii=False))
    return "nil" if value is None else _known_text(value)


def _known_text(value: Any) -> str:
    if isinstance(value, dict | Loop):
        raise TypeError(value)
    return shown(value)


def _markdownified(scope: Scope, value: Any) -> str:
    """The HTML of Markdown. Raises ValueError for a text that is too expensive, TooMuchWorkError for all of a body."""
    from aggregator.parse.markdown import CostlyError, render_counted  # few bodies need it here

    text = shown(value)
    scope.spend(MARKDOWN_WORK * len(text))
    try:
        markup, steps = render_counted(text, "jekyll")
    except CostlyError:
        scope.spend(COSTLY_WORK)
        raise ValueError from None
    scope.spend(STEP_WORK * steps + MARKDOWN_WORK * len(markup))  # a few characters can make a large table
    return markup


_TEXT_FILTERS: Mapping[str, Callable[[str], str]] = {
    "capitalize": str.capitalize,
    "cgi_escape": quote_plus,
    "downcase": str.lower,
    "escape": _escaped,
    "escape_once": lambda text: _BARE_AMPERSAND.sub("&amp;", text).translate(_ESCAPES),
    "lstrip": str.lstrip,
    "newline_to_br": lambda text: text.replace("\n", "<br />\n"),
    "normalize_whitespace": lambda text: " ".join(text.split()),
    "number_of_words": lambda text: str(len(text.split())),
    "rstrip": str.rstrip,
    "slugify": slugify,
    "smartify": str,
    "strip": str.strip,
    "strip_html": lambda text: _TAG.sub("", text),
    "strip_index": lambda text: re.sub(r"/index\.html?\Z", "/", text),
    "strip_newlines": lambda text: text.replace("\n", ""),
    "upcase": str.upper,
    "uri_escape": lambda text: quote(text, safe="!$&'()*+,/:;=?@[]~#"),
    "url_decode": unquote_plus,
    "url_encode": quote_plus,
    "xml_escape": _escaped,
}
_NUMBER_FILTERS: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": lambda number: int(-(-number // 1)),
    "divided_by": _divide,
    "floor": lambda number: int(number // 1),
    "minus": lambda left, right: left - right,
    "modulo": lambda left, right: left % right,
    "plus": lambda left, right: left + right,
    "round": lambda number, digits=0: round(number, int(digits)) if digits else int(number + 0.5),
    "times": lambda left, right: left * right,
}
_LIST_FILTERS: Mapping[str, Callable[..., Any]] = {
    "array_to_sentence_string": _sentence,
    "compact": lambda items: [item for item in items if item is not None],
    "concat": lambda items, more: items + more,
    "reverse": lambda items: items[::-1],
    "sort": sorted,
    "sort_natural": lambda items: sorted(items, key=lambda item: (item is None, shown(item).lower())),
    "uniq": _unique,
}
_ITEM_FILTERS: Mapping[str, Callable[..., Any]] = {
    "pop": lambda items, count=1: items[: max(len(items) - to_integer(count), 0)],
    "push": lambda items, item: [*items, item],
    "shift": lambda items, count=1: items[max(to_integer(count), 0) :],
    "unshift": lambda items, item: [item, *items],
}
FILTERS: Mapping[str, Callable[..., Any]] = {
    "absolute_url": _absolute_url,
    "append": lambda _scope, value, end: shown(value) + shown(end),
    "date": _format_date,
    "first": lambda _scope, value: member(value, "first"),
    "inspect": lambda _scope, value: _escaped(_ruby(value)),
    "join": _join,
    "jsonify": lambda _scope, value: _json(value),
    "last": lambda _scope, value: member(value, "last"),
    "markdownify": _markdownified,
    "prepend": lambda _scope, value, start: shown(start) + shown(value),
    "relative_url": _relative_url,
    "remove": _replace,
    "remove_first": lambda scope, value, old: _replace(scope, value, old, "", 1),
    "remove_last": _replace_last,
    "replace": _replace,
    "replace_first": lambda scope, value, old, new: _replace(scope, value, old, new, 1),
    "replace_last": _replace_last,
    "size": lambda _scope, value: member(value, "size") or 0,
    "slice": _slice,
    "split": _split,
    "truncate": _truncate,
    "truncatewords": _truncate_words,
    "date_to_long_string": _time_filter("%d %B %Y"),
    "date_to_rfc822": _time_filter("%a, %d %b %Y %H:%M:%S %z"),
    "date_to_string": _time_filter("%d %b %Y"),
    "date_to_xmlschema": _time_filter("%Y-%m-%dT%H:%M:%S%:z"),
    **{name: _text_filter(change) for name, change in _TEXT_FILTERS.items()},
    **{name: _number_filter(calculate) for name, calculate in _NUMBER_FILTERS.items()},
    **{name: _list_filter(change) for name, change in _LIST_FILTERS.items()},
    **{name: _item_filter(change) for name, change in _ITEM_FILTERS.items()},
}
"""The filters that are known. The result of any other is UNKNOWN."""
