"""The tokens of Liquid, and which tag ends which block. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aggregator.parse.template import MAX_PROBLEMS

MAX_TOKENS = 50_000
"""Most tokens of a body, texts included."""

_BLOCKS = frozenset("capture case comment for highlight if unless".split())
_BRANCHES: Mapping[str, frozenset[str]] = {
    "else": frozenset(("case", "for", "if", "unless")),
    "elsif": frozenset(("if", "unless")),
    "when": frozenset(("case",)),
}
_OPENING, _OUTPUT = re.compile(r"\{[{%]"), re.compile(r"\{\{")
_TAG_NAME = re.compile(r"\{%-?\s*+(#|\w*+)")
_END_OF_RAW = re.compile(r"\{%-?\s*+endraw\s*+-?%\}")


@dataclass(slots=True)
class Token:
    """A text, an output `{{ … }}` or a tag `{% … %}`."""

    kind: Literal["text", "output", "tag"]
    start: int  # in the body
    text: str  # as written
    name: str = ""  # of a tag
    markup: str = ""
    end: int = -1  # the index of the end tag of a block
    branches: list[int] = field(default_factory=list)  # of `else`, `elsif` and `when`
    problem: str = ""  # why it is shown as written


class Tokenizer:
    """Splits a body as Liquid does. Each end is searched once, so the time is linear.

    `is_part`: the body was cut off, and what it leaves open ends with it.
    """

    def __init__(self, body: str, *, is_part: bool) -> None:
        self.problems: dict[int, str] = {}  # by position
        self._body, self._is_part = body, is_part
        self._ends = {"{%": 0, "{{": 0}  # the next end of a tag and of an output
        self._opening: re.Pattern[str] | None = _OPENING  # of what can still have an end
        self._has_end_of_raw = True

    def tokens(self) -> Iterator[Token]:
        """Texts take turns with tags and outputs."""
        body, at, scan, trim = self._body, 0, 0, False
        while self._opening and (opening := self._opening.search(body, scan)):
            start = opening.start()
            end, is_closed = self._find_end(opening[0], start)
            if not is_closed:  # a part of the text
                scan = end
                continue
            text = body[at:start].lstrip() if trim else body[at:start]
            yield Token("text", at, text.rstrip() if body[start + 2] == "-" else text)
            token = _token(body[start:end], start)
            if token.name == "raw":
                token, end = self._raw(token, end)
            yield token
            at, scan, trim = end, end, body[end - 3] == "-"
        yield Token("text", at, body[at:].lstrip() if trim else body[at:])

    def _find_end(self, mark: str, start: int) -> tuple[int, bool]:
        """Where a tag or output ends, and whether it is closed; if not, where to go on."""
        if self._ends[mark] < start + 2:
            self._ends[mark] = self._body.find("%}" if mark == "{%" else "}", start + 2)
        end = self._ends[mark]
        if end < 0:
            self._opening = _OUTPUT if mark == "{%" else None  # without a `}` there is no `%}` either
            self._add_problem(start, f"'{mark}' has no end")
            return start + 2, False
        if mark == "{%" or self._body.startswith("}}", end):
            return end + 2, True
        self._add_problem(start, "an output ends in '}'")
        return end + 1, False

    def _add_problem(self, start: int, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS and not self._is_part:
            self.problems[start] = problem

    def _raw(self, token: Token, start: int) -> tuple[Token, int]:
        """The text between `raw` and `endraw`, and the position after it."""
        closing = _END_OF_RAW.search(self._body, start) if self._has_end_of_raw else None
        if closing:
            return Token("text", token.start, self._body[start : closing.start()]), closing.end()
        if self._is_part:
            return Token("text", token.start, self._body[start:]), len(self._body)
        self._has_end_of_raw = False
        token.problem = "'raw' has no 'endraw'"
        return token, start


def pair_tokens(tokens: list[Token], *, is_part: bool) -> None:
    """Gives each block its end and its branches. A block without an end gets a problem."""
    opened: list[Token] = []
    counts = dict.fromkeys(_BLOCKS, 0)
    for index, token in enumerate(tokens):
        if token.kind != "tag" or token.problem:
            continue
        block = token.name.removeprefix("end")
        if token.name in _BLOCKS:
            opened.append(token)
            counts[token.name] += 1
        elif token.name != block and counts.get(block):
            while (last := opened.pop()).name != block:
                last.problem = f"'{last.name}' has no 'end{last.name}'"
                counts[last.name] -= 1
            counts[block] -= 1
            last.end = index
        elif token.name in _BRANCHES and opened and opened[-1].name in _BRANCHES[token.name]:
            opened[-1].branches.append(index)
    for last in reversed(opened):
        if is_part:
            last.end = len(tokens)
            tokens.append(Token("tag", last.start, ""))
        else:
            last.problem = f"'{last.name}' has no 'end{last.name}'"


def _token(text: str, start: int) -> Token:
    if text.startswith("{{"):
        return Token("output", start, text, markup=text[2:-2].removeprefix("-").removesuffix("-"))
    name = _TAG_NAME.match(text)
    end = name.end() if name else 2
    return Token("tag", start, text, name[1] if name else "", text[end:-2].removesuffix("-"))


def stray_problem(name: str) -> str:
    """Why a tag that is not known cannot be read, or one whose block is missing."""
    if not name:
        return "a tag has no name"
    if name in _BRANCHES or name.removeprefix("end") in _BLOCKS:
        return f"'{name}' belongs to no block"
    return f"'{name}' is no tag of Liquid or Jekyll"
