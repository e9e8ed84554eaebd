"""Front matter: the text of a file -> its keys with their places, and its body. The home of python-frontmatter.

YAML stands between lines `---`, TOML between lines `+++`, JSON is an object at the start of the file. As in Eleventy,
a language may stand behind the fence: `---json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import frontmatter
from frontmatter.default_handlers import BaseHandler

from aggregator.parse.front_matter.fast_yaml import read_bare_yaml
from aggregator.parse.front_matter.json import end_of_object, read_json
from aggregator.parse.front_matter.toml import read_toml
from aggregator.parse.front_matter.values import FrontMatterError, Limits, Matter, Wanted
from aggregator.parse.front_matter.yaml import read_yaml

_OPENING = re.compile(r"(?:---(yaml|toml|json)?|(\+\+\+))[ \t]*(?=\n|\Z)")
_CLOSING = {fence: re.compile(rf"\n{re.escape(fence)}[ \t]*(?=\n|\Z)") for fence in ("---", "+++")}
_OBJECT = re.compile(r"\{(?![{%<#])")  # those begin the tags of templates
_READERS: dict[str, Callable[[str, int, Wanted, Limits], Matter]] = {
    "yaml": read_yaml,
    "toml": read_toml,
    "json": read_json,
}


def read_front_matter(text: str, wanted: Wanted, limits: Limits, *, bare: bool = False) -> tuple[Matter, str]:
    """What the front matter of `text` says in the keys that are `wanted`, and the body. Raises FrontMatterError.

    With `bare`, values may be bare, which is quicker.
    """
    handler = _Handler(wanted, limits, _leading_lines(text) + 1, bare=bare)
    _, body = frontmatter.parse(text, handler=handler)
    return handler.matter, body


class _Handler(BaseHandler):
    """Splits at exact fences, refuses what the default handlers silently take for no front matter."""

    matter: Matter

    def __init__(self, wanted: Wanted, limits: Limits, opening_line: int, *, bare: bool) -> None:
        self._wanted, self._limits, self._bare = wanted, limits, bare
        self._line = opening_line
        self._read: Callable[[str, int, Wanted, Limits], Matter] = read_yaml

    def split(self, text: str) -> tuple[str, str]:
        """The front matter and the body; errors are never ValueError, which the library swallows."""
        if _OBJECT.match(text):
            end = end_of_object(text, 0)
            if end is None:
                raise self._unclosed("}")
            self._read = partial(_at_opening, read_json)
            return text[:end], text[end:]
        opening = _OPENING.match(text)
        if opening is None:
            start = text[:3].rstrip()
            cut = "\n" not in text and any(fence.startswith(start) for fence in _CLOSING)
            raise FrontMatterError(self._line, 1, "no front matter", "begin the file with a line '---'", unclosed=cut)
        fence = opening[2] or "---"
        closing = _CLOSING[fence].search(text, opening.end())
        if closing is None:
            raise self._unclosed(fence)
        self._read = read_toml if opening[2] else _READERS[opening[1] or "yaml"]
        return text[opening.end() + 1 : closing.start() + 1], text[closing.end() + 1 :]

    def load(self, fm: str) -> dict[str, object]:
        """Nothing: what the front matter says is kept in `matter`, whose keys are no arguments of the library."""
        bare = read_bare_yaml(fm, self._wanted, self._limits) if self._bare and self._read is read_yaml else None
        self.matter = bare or self._read(fm, self._line + 1, self._wanted, self._limits)
        return {}

    def _unclosed(self, fence: str) -> FrontMatterError:
        todo = f"close it with a line '{fence}'"
        return FrontMatterError(self._line, 1, "front matter without an end", todo, unclosed=True)


def _at_opening(
    read: Callable[[str, int, Wanted, Limits], Matter], fm: str, line: int, wanted: Wanted, limits: Limits
) -> Matter:
    """Front matter that begins in the line of its opening, as an object does."""
    return read(fm, line - 1, wanted, limits)


def _leading_lines(text: str) -> int:
    """How many lines the library strips from the start of `text`."""
    return text.count("\n", 0, len(text) - len(text.lstrip()))
