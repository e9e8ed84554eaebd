"""What the template language of a site generator gives for a body: Liquid (liquid) or shortcodes (shortcodes)."""

from __future__ import annotations

import html
from typing import NamedTuple

from aggregator.parse.front_matter.values import place_at

MAX_PROBLEMS = 10
"""Most problems of a body that are reported."""

_INERT = str.maketrans({sign: f"&#{ord(sign)};" for sign in "*_`[]~$\\{}|\n"})


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


def template_problem(text: str, at: int, what: str, hint: str) -> TemplateProblem:
    """The problem at a position of the text of a body."""
    return TemplateProblem(*place_at(text, 1, at), what, hint)


def code_html(code: str, language: str) -> str:
    """The HTML of a code block, in one line that Markdown leaves alone in every place."""
    attribute = f' class="language-{html.escape(language)}"' if language else ""
    return inert_html(f"<pre><code{attribute}>{html.escape(code, quote=False)}</code></pre>")


def inert_html(markup: str) -> str:
    """The same HTML without a sign that means something to Markdown."""
    return markup.translate(_INERT)
