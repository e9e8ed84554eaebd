"""What the template language of a site generator gives for a body: Liquid (liquid) or shortcodes (shortcodes)."""

from __future__ import annotations

from typing import NamedTuple


class TemplateProblem(NamedTuple):
    """A place in a body that cannot be read; its text is shown as written."""

    line: int  # in the body, from 1
    column: int  # from 1
    what: str
    hint: str


class Expanded(NamedTuple):
    """A body as Markdown or HTML, without anything that a template language means."""

    text: str
    problems: tuple[TemplateProblem, ...]
