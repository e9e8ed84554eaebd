"""Liquid in the body of a Jekyll post -> Markdown or HTML. Pure.

    text -> tokens, paired with their ends (liquid_tokens) -> text
                                    expressions (liquid_expressions)

Jekyll reads Liquid before Markdown, so it is also read in code. Only what the file, its path and the config state is
known. A tag without its end, or one that cannot be read, is a problem and is shown as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice, pairwise
from typing import Any, ClassVar

from aggregator.parse.liquid_expressions import Expression, LiquidSyntaxError
from aggregator.parse.liquid_tokens import MAX_TOKENS, Token, Tokenizer, pair_tokens, stray_problem
from aggregator.parse.liquid_values import UNKNOWN, Loop, Scope, TooMuchWorkError, equal, shown, to_integer
from aggregator.parse.page_links import MARK, mark_page_href
from aggregator.parse.template import MAX_PROBLEMS, Expanded, code_html, template_problem

MAX_STEPS = 100_000
"""Most tokens that are rendered, in loops too."""
MAX_DEPTH = 40
"""Most nested blocks."""
MAX_OUTPUT = 4_000_000
"""Characters of an expanded body."""

_ADDED = frozenset("include include_cached include_relative gist seo feed_meta avatar octicon".split())
"""Tags whose text the site adds: its includes, and the plugins that GitHub Pages has."""
_LANGUAGE = re.compile(r"[\w.+#-]++")
_HINT = "correct it, or put it between {% raw %} and {% endraw %}"


def expand_liquid(body: str, page: Mapping[str, Any], site_url: str | None, *, is_part: bool = False) -> Expanded:
    """The body without Liquid.

    `page` is what is known of it (`title`, `url`, `date` in the zone of the site …), as Liquid sees it. `site_url` is
    the URL of the site that the page belongs to, without a slash at its end. `is_part`: only the start of a body, in
    which blocks may have lost their ends.
    """
    if "{{" not in body and "{%" not in body:
        return Expanded(body, ())
    body = body.replace(MARK, "")
    return _Body(body, Scope(page, site_url), is_part=is_part).expand()


class _Body:
    """Renders the tokens of one body."""

    def __init__(self, body: str, scope: Scope, *, is_part: bool) -> None:
        tokenizer = Tokenizer(body, is_part=is_part)
        self._body, self._scope = body, scope
        self._tokens = list(islice(tokenizer.tokens(), MAX_TOKENS + 1))
        self._problems = tokenizer.problems
        self._counters: dict[str, int] = {}  # of `increment` by name, of `cycle` by group after a space
        self._leaving = ""  # the tag that leaves the loop around it, until that ends
        self._steps = self._size = self._depth = 0
        self._is_part = is_part

    def expand(self) -> Expanded:
        try:
            text = self._render_all()
        except TooMuchWorkError:
            text, self._problems = self._body, {0: "the Liquid of this body takes too much work"}
        told = sorted(self._problems.items())[:MAX_PROBLEMS]
        return Expanded(text, tuple(template_problem(self._body, start, what, _HINT) for start, what in told))

    def _render_all(self) -> str:
        if len(self._tokens) > MAX_TOKENS:
            raise TooMuchWorkError
        pair_tokens(self._tokens, is_part=self._is_part)
        return self._render(0, len(self._tokens))

    def _render(self, first: int, last: int) -> str:
        """The text of these tokens, up to a tag that leaves the loop around it."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooMuchWorkError
        out: list[str] = []
        index = first
        while index < last and not self._leaving:
            token = self._tokens[index]
            if token.kind == "text":
                text = token.text
            elif token.problem:
                text = self._show_as_written(token)
            else:
                text = self._render_token(token, index, out[-1] if out else "")
            self._spend(len(text))
            out.append(text)
            index = max(index, token.end) + 1
        self._depth -= 1
        return "".join(out)

    def _spend(self, size: int) -> None:
        self._steps += 1
        self._size += size
        if self._steps >= MAX_STEPS or self._size > MAX_OUTPUT:
            raise TooMuchWorkError

    def _show_as_written(self, token: Token) -> str:
        self._problems[token.start] = token.problem
        return token.text

    def _render_token(self, token: Token, index: int, before: str) -> str:
        """A tag or output; `before` is the text before it."""
        try:
            if token.kind == "output":
                return self._echo(token, index)
            if token.name in _ADDED:  # as a part of a URL, it makes that unknown
                return shown(UNKNOWN) if before and not before[-1].isspace() else ""
            if token.name in self._tags:
                return self._tags[token.name](self, token, index)
            token.problem = stray_problem(token.name)
        except LiquidSyntaxError:
            token.problem = f"'{token.name}' cannot be read" if token.name else "an output cannot be read"
        text = self._show_as_written(token)
        if token.end < 0:
            return text
        for branch in token.branches:
            self._tokens[branch].problem = token.problem
        return text + self._render(index + 1, token.end) + self._tokens[token.end].text

    def _if(self, token: Token, index: int) -> str:
        """`if` and `unless`, with their branches."""
        for start, end in pairwise((index, *token.branches, token.end)):
            if self._holds(self._tokens[start]):
                return self._render(start + 1, end)
        return ""

    def _holds(self, token: Token) -> bool:
        """Whether the tokens behind `if`, `unless`, `elsif` or `else` are shown."""
        return token.name == "else" or Expression(token.markup, self._scope).condition() is (token.name != "unless")

    def _case(self, token: Token, _index: int) -> str:
        value = Expression(token.markup, self._scope).value()
        texts: list[str] = []
        for branch, end in pairwise((*token.branches, token.end)):
            following = self._tokens[branch]
            if not texts if following.name == "else" else self._matches(following.markup, value):
                texts.append(self._render(branch + 1, end))
                if self._leaving:
                    break
        return "".join(texts)

    def _matches(self, markup: str, value: Any) -> bool:
        expression = Expression(markup, self._scope)
        values = [expression.value()]
        while expression.take(",", "or"):
            values.append(expression.value())
        expression.end()
        return value is not UNKNOWN and any(equal(value, other) for other in values)

    def _for(self, token: Token, index: int) -> str:
        name, items = self._loop(token.markup)
        loop_end = token.branches[0] if token.branches else token.end
        if not items:
            return self._render(loop_end + 1, token.end) if token.branches else ""
        variables = self._scope.variables
        outer = {key: variables[key] for key in (name, "forloop") if key in variables}
        texts: list[str] = []
        for position, item in enumerate(items):
            variables[name] = item
            variables["forloop"] = Loop({
                "length": len(items), "index": position + 1, "index0": position, "first": position == 0,
                "last": position == len(items) - 1, "rindex": len(items) - position,
                "rindex0": len(items) - position - 1, "parentloop": outer.get("forloop"),
            })  # fmt: skip
            texts.append(self._render(index + 1, loop_end))
            self._steps += 1  # of an empty body too
            left, self._leaving = self._leaving, ""
            if left == "break":
                break
        for key in (name, "forloop"):
            variables.pop(key, None)
        variables |= outer
        return "".join(texts)

    def _loop(self, markup: str) -> tuple[str, Any]:
        """The variable of a loop, and its items."""
        expression = Expression(markup, self._scope)
        name = expression.name()
        if not expression.take("in"):
            raise LiquidSyntaxError
        value = expression.value()
        items = value if isinstance(value, list | range) else [value] if isinstance(value, str) and value else []
        bounds = {"limit": len(items), "offset": 0}
        is_reversed = expression.take("reversed")
        while key := expression.next_key(*bounds):  # Liquid ignores all else, filters too
            bounds[key] = max(to_integer(expression.value()), 0)
        items = items[bounds["offset"] : bounds["offset"] + bounds["limit"]]
        return name, items[::-1] if is_reversed else items

    def _assign(self, token: Token, _index: int) -> str:
        name, equals, markup = token.markup.partition("=")
        if not equals or not name.strip():
            raise LiquidSyntaxError
        self._scope.variables[name.strip()] = Expression(markup, self._scope).output()
        return ""

    def _capture(self, token: Token, index: int) -> str:
        name = token.markup.strip(" \t\n'\"")
        if not name:
            raise LiquidSyntaxError
        self._scope.variables[name] = self._render(index + 1, token.end)
        return ""

    def _highlight(self, token: Token, index: int) -> str:
        language = _LANGUAGE.match(token.markup.strip())
        if language is None:
            raise LiquidSyntaxError
        code = self._render(index + 1, token.end)
        return code_html(code.strip("\n").rstrip(), language[0].lower().replace("+", "-"))

    def _comment(self, _token: Token, _index: int) -> str:
        return ""

    def _page_link(self, token: Token, _index: int) -> str:
        """The marked href of `post_url` or `link`."""
        href = mark_page_href("post" if token.name == "post_url" else "link", token.markup)
        return href if href and "{" not in token.markup else shown(UNKNOWN)

    def _echo(self, token: Token, _index: int) -> str:
        return shown(Expression(token.markup, self._scope).output())

    def _count(self, token: Token, _index: int) -> str:
        """`increment` and `decrement`, whose numbers are no variables for `assign`."""
        name = token.markup.strip()
        number = self._counters.get(name, 0) - (token.name == "decrement")
        self._counters[name] = number + (token.name == "increment")
        return str(number)

    def _cycle(self, token: Token, _index: int) -> str:
        expression = Expression(token.markup, self._scope)
        values, group = [expression.value()], token.markup
        if expression.take(":"):
            values, group = [expression.value()], shown(values[0])
        while expression.take(","):
            values.append(expression.value())
        expression.end()
        turn = self._counters.get(f" {group}", 0)
        self._counters[f" {group}"] = turn + 1
        return shown(values[turn % len(values)])

    def _leave(self, token: Token, _index: int) -> str:
        self._leaving = token.name
        return ""

    _tags: ClassVar[Mapping[str, Callable[[_Body, Token, int], str]]] = {
        "assign": _assign,
        "break": _leave,
        "capture": _capture,
        "case": _case,
        "comment": _comment,
        "continue": _leave,
        "cycle": _cycle,
        "decrement": _count,
        "echo": _echo,
        "for": _for,
        "highlight": _highlight,
        "if": _if,
        "increment": _count,
        "link": _page_link,
        "post_url": _page_link,
        "unless": _if,
        "#": _comment,
    }
