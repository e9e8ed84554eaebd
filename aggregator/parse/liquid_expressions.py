"""The expressions of Liquid: values with filters, and conditions. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from aggregator.parse.liquid_filters import FILTERS
from aggregator.parse.liquid_values import (
    BLANK,
    EMPTY,
    UNKNOWN,
    Scope,
    checked_number,
    equal,
    is_true,
    member,
    shown,
    size_of,
    to_integer,
)

TOKEN_WORK = 500
"""What it costs to read a token of an expression, in characters that a filter handles in the same time."""
MAX_DIGITS = 100
MAX_BRACKETS = 20
"""Most nested brackets of an expression."""

_TOKEN = re.compile(
    r"""\s*+(?:(?P<text>"[^"]*+"|'[^']*+')|(?P<number>-?[0-9]++(?:\.[0-9]++)?+(?![\w-]))"""
    r"|(?P<name>\w[\w-]*+\??+)|(?P<sign>&&|\.\.|==|!=|<>|<=|>=|[<>|:,.\[\]()=]))"
)
_WORDS: Mapping[str, Any] = {"nil": None, "null": None, "true": True, "false": False, "empty": EMPTY, "blank": BLANK}

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": equal, "!=": lambda left, right: not equal(left, right), "<>": lambda left, right: not equal(left, right),
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip


class LiquidSyntaxError(Exception):
    """An expression cannot be read."""


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
        if self._next[0] != "sign" or self._next[1] == ",":
            self._skip_to("|")
        while self.take("|"):
            if not self.is_read and self._next != ("sign", "|"):
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
        value = self._member(_WORDS[text] if text in _WORDS else self._scope.look_up(text))
        self._scope.spend(size_of(value))  # before it is joined, compared or searched
        return value

    def name(self) -> str:
        kind, text = self._tokens.pop()
        if kind != "name":
            raise LiquidSyntaxError
        return text

    def condition(self) -> bool:
        """The truth of comparisons with `and` and `or`, which Liquid reads from right to left."""
        truths, operators = [self._comparison()], []
        self._skip_to("and", "or")
        while self._next in (("name", "and"), ("name", "or")):
            operators.append(self._tokens.pop()[1])
            truths.append(self._comparison())
            self._skip_to("and", "or")
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

    def next_key(self, *keys: str) -> str:
        """Passes all up to the value of one of these keys, with a `:` between, and gives the key; empty if there is
        none."""
        while not self.is_read:
            kind, key = self._tokens.pop()
            if kind == "name" and self.take(":") and not self._is_argument_missing and self._next != ("sign", ","):
                if key in keys:
                    return key
                self._tokens.pop()
        return ""

    def _skip_to(self, *texts: str) -> None:
        """Passes what Liquid ignores behind a value or a comparison: all up to one of `texts`."""
        while not self.is_read and self._next[1] not in texts:
            self._tokens.pop()

    def end(self) -> None:
        if not self.is_read:
            raise LiquidSyntaxError

    @property
    def _is_argument_missing(self) -> bool:
        return self.is_read or self._next == ("sign", "|")

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
            return (isinstance(left, list) and right in left) or (isinstance(left, str) and shown(right) in left)
        for sign, compare in _COMPARISONS.items():
            if self.take(sign):
                return _compare(compare, left, self.value())
        if self._next == ("sign", "=") or (self._next[0] == "name" and self._next[1] not in ("and", "or")):
            raise LiquidSyntaxError  # an unknown operator, for Liquid too
        return is_true(left)

    def _filter(self, value: Any) -> Any:
        name, (arguments, named) = self.name(), self._arguments()
        self._scope.spend(1 + size_of(value))
        if name == "default":
            is_kept = is_true(value) or (value is False and is_true(named.get("allow_false")))
            return value if is_kept and not equal(value, EMPTY) else arguments[0] if arguments else None
        function = FILTERS.get(name)
        if function is None or named or value is UNKNOWN or UNKNOWN in arguments:
            return UNKNOWN
        try:
            return function(self._scope, value, *arguments)
        except (TypeError, ValueError, ArithmeticError):
            return UNKNOWN

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a filter, and the named ones."""
        arguments, named = list[Any](), dict[str, Any]()
        is_next = self.take(":") and not self._is_argument_missing
        while is_next:
            if self._tokens[-2:-1] == [("sign", ":")]:
                key = self.name()
                self.take(":")
                named[key] = self.value()
            else:
                arguments.append(self.value())
            is_next = self.take(",") and not self._is_argument_missing
        return arguments, named


def _compare(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    try:
        return compare(None if left is UNKNOWN else left, None if right is UNKNOWN else right)
    except TypeError:  # neither is greater
        return False


def _literal_number(text: str) -> float:
    try:
        return checked_number(float(text) if "." in text else int(text[:MAX_DIGITS]))
    except ValueError:
        raise LiquidSyntaxError from None
