"""The text of a file -> its front matter and its body. The home of python-frontmatter.

YAML is between lines `---`, TOML between lines `+++`, and JSON is an object at the start of the file. As in Eleventy,
the opening fence may name a language: `---json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import frontmatter
from frontmatter.default_handlers import BaseHandler

from aggregator.parse.front_matter.fast_yaml import read_fast_yaml
from aggregator.parse.front_matter.json import end_of_object, read_json
from aggregator.parse.front_matter.toml import read_toml
from aggregator.parse.front_matter.values import AllowedKeys, FrontMatter, FrontMatterError, Limits
from aggregator.parse.front_matter.yaml import read_yaml

_OPENING = re.compile(r"(?:---(yaml|toml|json)?|(\+\+\+))[ \t]*(?=\n|\Z)")
_CLOSING = {fence: re.compile(rf"\n{re.escape(fence)}[ \t]*(?=\n|\Z)") for fence in ("---", "+++")}
_CLOSING_OR_DOTS = re.compile(r"\n(?:---|\.\.\.)[ \t]*(?=\n|\Z)")
_OBJECT = re.compile(r"\{(?![{%<#])")  # `{{`, `{%`, `{<` and `{#` begin template tags
_Reader = Callable[[str, int, AllowedKeys, Limits], FrontMatter]
_READERS: dict[str, _Reader] = {"yaml": read_yaml, "toml": read_toml, "json": read_json}


def has_front_matter(text: str) -> bool:
    """Whether a text begins like a file with front matter."""
    start = text.lstrip()
    return bool(_OPENING.match(start) or _OBJECT.match(start))


def read_front_matter(
    text: str, allowed: AllowedKeys, limits: Limits, *, fast: bool = False, dots: bool = False
) -> tuple[FrontMatter, str]:
    """The front matter of a file, and its body. Raises FrontMatterError.

    With `fast`, positions may be missing. With `dots`, a line `...` ends YAML too, as in Jekyll.
    """
    opening_line = text.count("\n", 0, len(text) - len(text.lstrip())) + 1  # the library strips the lines before it
    handler = _Handler(allowed, limits, opening_line, fast=fast, dots=dots)
    _, body = frontmatter.parse(text, handler=handler)
    return handler.front_matter, body


class _Handler(BaseHandler):
    """Splits at exact fences; raises where the default handlers silently find no front matter."""

    front_matter: FrontMatter

    def __init__(self, allowed: AllowedKeys, limits: Limits, opening_line: int, *, fast: bool, dots: bool) -> None:
        self._allowed, self._limits, self._fast, self._dots = allowed, limits, fast, dots
        self._opening_line = opening_line
        self._first_line = opening_line + 1
        self._read: _Reader = read_yaml

    def split(self, text: str) -> tuple[str, str]:
        """The front matter and the body. Raises FrontMatterError; the library would swallow a ValueError."""
        if _OBJECT.match(text):
            end = end_of_object(text)
            if end is None:
                raise self._unclosed_error("}")
            self._read, self._first_line = read_json, self._opening_line
            return text[:end], text[end:]
        opening = _OPENING.match(text)
        if opening is None:
            start = text[:3].rstrip()
            cut = "\n" not in text and any(fence.startswith(start) for fence in _CLOSING)
            hint = "begin the file with a line '---'"
            raise FrontMatterError(self._opening_line, 1, "no front matter", hint, unclosed=cut, missing=not cut)
        fence = opening[2] or "---"
        is_yaml = opening[1] in (None, "yaml") and fence == "---"
        closing = (_CLOSING_OR_DOTS if is_yaml and self._dots else _CLOSING[fence]).search(text, opening.end())
        if closing is None:
            raise self._unclosed_error(fence)
        self._read = read_toml if opening[2] else _READERS[opening[1] or "yaml"]
        return text[opening.end() + 1 : closing.start() + 1], text[closing.end() + 1 :]

    def load(self, fm: str) -> dict[str, object]:
        """Sets `front_matter` and returns nothing, because the library would pass the keys as arguments."""
        fast = read_fast_yaml(fm, self._allowed, self._limits) if self._fast and self._read is read_yaml else None
        self.front_matter = fast or self._read(fm, self._first_line, self._allowed, self._limits)
        return {}

    def _unclosed_error(self, fence: str) -> FrontMatterError:
        hint = f"close it with a line '{fence}'"
        return FrontMatterError(self._opening_line, 1, "front matter without an end", hint, unclosed=True)
