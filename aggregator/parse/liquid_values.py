"""The values of Liquid: expressions, comparisons and filters, as Jekyll has them. Pure.

What only the site knows (`site.docs`, the result of a plugin's filter) is UNKNOWN. It counts as nil in a condition; in
a text it is what no URL can be made of (`page_links.MARK`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus
from zoneinfo import ZoneInfo

from aggregator.parse.bounds import MAX_DATE
from aggregator.parse.dates import format_time, parse_time
from aggregator.parse.jekyll import slugify
from aggregator.parse.page_links import MARK
from aggregator.parse.page_path import split_url

MAX_WORK = 20_000_000
"""Characters and values that the expressions of one body may handle."""
MAX_NUMBER = 10**18
TOKEN_WORK = 500
"""What it costs to read a token of an expression, in characters that a filter handles in the same time."""
MAX_DIGITS = 100
MAX_BRACKETS = 20
"""Most nested brackets of an expression."""

_TOKEN = re.compile(
    r"""\s*+(?:(?P<text>"[^"]*+"|'[^']*+')|(?P<number>-?[0-9]++(?:\.[0-9]++)?+(?![\w-]))"""
    r"|(?P<name>\w[\w-]*+\??+)|(?P<sign>\.\.|==|!=|<>|<=|>=|[<>|:,.\[\]()=]))"
)
_WORDS: Mapping[str, Any] = {"nil": None, "null": None, "true": True, "false": False, "empty": "", "blank": ""}
_TAG = re.compile(r"<[^>]*+(?:>|\Z)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_LEADING_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,31};)")
_ESCAPES = str.maketrans({"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class LiquidSyntaxError(Exception):
    """An expression cannot be read."""


class TooMuchWorkError(Exception):
    """A body takes more work than any real one."""


class _Unknown:
    def __str__(self) -> str:
        return MARK * 2


UNKNOWN = _Unknown()


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


class Expression:
    """The markup of a tag or output. It is evaluated while it is read; every method raises LiquidSyntaxError."""

    def __init__(self, markup: str, scope: Scope) -> None:
        scope.spend(len(markup))
        self._scope, self._depth = scope, 0
        self._tokens: list[tuple[str, str]] = []
        at, markup = 0, markup.rstrip()
        while at < len(markup):
            match = _TOKEN.match(markup, at)
            if match is None or match.lastgroup is None:
                raise LiquidSyntaxError
            scope.spend(TOKEN_WORK)
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._tokens.append(("end", ""))
        self._tokens.reverse()  # the next one is the last

    def output(self) -> Any:
        """The value of the whole expression with its filters; None if there is none."""
        if self._next == ("end", ""):
            return None
        value = self.value()
        while self.take("|"):
            value = self._filter(value)
        self.end()
        return value

    def value(self) -> Any:
        kind, text = self._tokens.pop()
        if kind == "text":
            return text[1:-1]
        if kind == "number":
            return _literal_number(text)
        if text == "(":
            first = self.value()
            self._expect("..")
            last = self.value()
            self._expect(")")
            return range(to_integer(first), to_integer(last) + 1)
        if kind != "name":
            raise LiquidSyntaxError
        value = _WORDS[text] if text in _WORDS else self._scope.look_up(text)
        return self._member(value)

    def name(self) -> str:
        kind, text = self._tokens.pop()
        if kind != "name":
            raise LiquidSyntaxError
        return text

    def condition(self) -> bool:
        """The truth of comparisons with `and` and `or`, which Liquid reads from right to left."""
        truths, operators = [self._comparison()], []
        while self._next in (("name", "and"), ("name", "or")):
            operators.append(self._tokens.pop()[1])
            truths.append(self._comparison())
        self.end()
        truth = truths.pop()
        while operators:
            left = truths.pop()
            truth = (left and truth) if operators.pop() == "and" else (left or truth)
        return truth

    def take(self, *texts: str) -> bool:
        """Whether the next token is one of `texts`, which is passed."""
        if self._next[0] in ("sign", "name") and self._next[1] in texts:
            self._tokens.pop()
            return True
        return False

    @property
    def is_read(self) -> bool:
        """Whether there is nothing more in it."""
        return self._next[0] == "end"

    def end(self) -> None:
        if not self.is_read:
            raise LiquidSyntaxError

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[-1] if self._tokens else ("end", "")

    def _expect(self, text: str) -> None:
        if not self.take(text):
            raise LiquidSyntaxError

    def _member(self, value: Any) -> Any:
        while True:
            if self.take("."):
                value = member(value, self._tokens.pop()[1])
            elif self.take("["):
                self._depth += 1
                if self._depth > MAX_BRACKETS:
                    raise LiquidSyntaxError
                value = member(value, self.value())
                self._expect("]")
                self._depth -= 1
            else:
                return value

    def _comparison(self) -> bool:
        left = self.value()
        if self.take("contains"):
            right = self.value()
            self._scope.spend(len(left) if isinstance(left, str | list) else 1)
            return (isinstance(left, list) and right in left) or (isinstance(left, str) and shown(right) in left)
        for sign in ("==", "!=", "<>", "<", ">", "<=", ">="):
            if self.take(sign):
                return _compare(sign, left, self.value())
        return left is not None and left is not False and left is not UNKNOWN

    def _filter(self, value: Any) -> Any:
        name, arguments = self.name(), []
        if self.take(":"):
            arguments.append(self._argument())
            while self.take(","):
                arguments.append(self._argument())
        self._scope.spend(1 + _size(value) + sum(map(_size, arguments)))
        if name == "default":
            return arguments[0] if arguments and value in (None, False, "", [], UNKNOWN) else value
        function = _FILTERS.get(name)
        if function is None or value is UNKNOWN or UNKNOWN in arguments:
            return UNKNOWN
        try:
            return function(self._scope, value, *arguments)
        except (TypeError, ValueError, ArithmeticError):
            return UNKNOWN

    def _argument(self) -> Any:
        value = self.value()
        return self.value() if self.take(":") else value  # a named one


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
    return "" if isinstance(value, dict | range) else str(value)


def member(value: Any, key: Any) -> Any:
    """`value.key` or `value[key]`; None if there is none."""
    if isinstance(value, dict):
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
        return int(_number(_to_number(value)))
    except ValueError:
        return 0


def escaped(text: str) -> str:
    """The text as HTML that shows it."""
    return text.replace("&", "&amp;").translate(_ESCAPES)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list) else 1


def _compare(sign: str, left: Any, right: Any) -> bool:
    left, right = (None if value is UNKNOWN else value for value in (left, right))
    if sign == "==":
        return bool(left == right)
    if sign in ("!=", "<>"):
        return bool(left != right)
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])
    except TypeError:
        return False


def _literal_number(text: str) -> float:
    try:
        return _number(float(text) if "." in text else int(text[:MAX_DIGITS]))
    except ValueError:
        raise LiquidSyntaxError from None


def _number(value: float) -> float:
    if not abs(value) < MAX_NUMBER:
        raise ValueError(value)
    return value


def _to_number(value: Any) -> float:
    """The number of a value; 0 for a text without one, as in Liquid."""
    if isinstance(value, int | float):
        return value
    match = _LEADING_NUMBER.match(value.lstrip()) if isinstance(value, str) else None
    if match is None:
        return 0
    return float(match[0]) if "." in match[0] else int(match[0])


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _text_filter(change: Callable[[str], str]) -> Callable[..., Any]:
    return lambda _scope, value: change(shown(value))


def _number_filter(calculate: Callable[..., float]) -> Callable[..., Any]:
    return lambda _scope, *values: _number(calculate(*map(_to_number, values)))


def _list_filter(change: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _scope, value, *arguments: change(_as_list(value), *arguments)


def _time_filter(form: str) -> Callable[..., Any]:
    return lambda scope, value: _format_date(scope, value, form)


def _format_date(_scope: Scope, value: Any, form: str) -> Any:
    if isinstance(value, str):
        parsed = parse_time(value, ZoneInfo("UTC"), loose=True)
        value = parsed[0] if parsed else value
    return format_time(value, shown(form)[:MAX_DATE]) if isinstance(value, datetime) else UNKNOWN


def _divide(left: float, right: float) -> float:
    return left // right if isinstance(left, int) and isinstance(right, int) else left / right


def _replace(scope: Scope, value: Any, old: Any, new: Any = "", most: int = -1) -> str:
    text, old, new = shown(value), shown(old), shown(new)
    scope.spend(text.count(old) * len(new))  # before there is such a text
    return text.replace(old, new, most)


def _join(scope: Scope, value: Any, glue: Any = " ") -> str:
    parts = [shown(part) for part in _as_list(value)]
    scope.spend(sum(map(len, parts)) + len(parts) * len(shown(glue)))
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
    return list({shown(item): item for item in reversed(items)}.values())[::-1]


def _sentence(items: list[Any], connector: Any = "and") -> str:
    words = list(map(shown, items))
    if len(words) < 3:
        return f" {connector} ".join(words)
    return f"{', '.join(words[:-1])}, {connector} {words[-1]}"


_TEXT_FILTERS: Mapping[str, Callable[[str], str]] = {
    "capitalize": str.capitalize,
    "cgi_escape": quote_plus,
    "downcase": str.lower,
    "escape": escaped,
    "escape_once": lambda text: _BARE_AMPERSAND.sub("&amp;", text).translate(_ESCAPES),
    "lstrip": str.lstrip,
    "markdownify": str,  # the body is Markdown
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
    "xml_escape": escaped,
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
    "concat": lambda items, more: items + _as_list(more),
    "first": lambda items: items[0] if items else None,
    "last": lambda items: items[-1] if items else None,
    "reverse": lambda items: items[::-1],
    "sort": sorted,
    "uniq": _unique,
}
_FILTERS: Mapping[str, Callable[..., Any]] = {
    "absolute_url": _absolute_url,
    "append": lambda _scope, value, end: shown(value) + shown(end),
    "date": _format_date,
    "join": _join,
    "prepend": lambda _scope, value, start: shown(start) + shown(value),
    "relative_url": _relative_url,
    "remove": _replace,
    "remove_first": lambda scope, value, old: _replace(scope, value, old, "", 1),
    "replace": _replace,
    "replace_first": lambda scope, value, old, new: _replace(scope, value, old, new, 1),
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
}
"""The filters that are known. The result of any other is UNKNOWN."""
