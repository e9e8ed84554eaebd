"""The body of a record: its excerpt, its HTML, and what in its templates cannot be read. Pure.

body -> Markdown without template tags -> HTML (body), or the text of its start (excerpt)
        shortcodes, liquid
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aggregator.parse.excerpt import excerpt_text
from aggregator.parse.page_path import site_url
from aggregator.parse.shortcodes import expand_shortcodes
from aggregator.parse.template import Expanded, TemplateProblem
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.unicode import xml_text


class RecordBody:
    """The body of the record at `path`. `parameters` are the fields that its templates can show, by their names."""

    def __init__(self, body: str, path: str, source: Source) -> None:
        self.text = xml_text(body)
        self._layout = source.layout
        self._site_url = site_url(source.link_template or "", source.site_url) or None
        self._is_shown = source.body_base is not None
        self._is_html = source.layout != "plain" and path.lower().endswith((".html", ".htm"))
        self._problems: tuple[TemplateProblem, ...] = ()

    def excerpt(self, separator: str | None, parameters: Mapping[str, Any]) -> str:
        """The plain text of its start, as its site generator cuts it; empty in the layout `plain`."""
        if self._layout == "plain":
            return ""

        def expand(text: str) -> str:
            expanded = self._expand(text, parameters)
            if len(text) == len(self.text):  # of a part, a pair can have lost its end
                self._problems = expanded.problems
            return expanded.text

        return excerpt_text(self.text, self._layout, separator, expand, is_html=self._is_html)

    def render(self, base: str, parameters: Mapping[str, Any]) -> str:
        """The body as safe HTML, with URLs relative to `base`."""
        from aggregator.parse.body import render_body  # slow to import

        expanded = self._expand(self.text, parameters)
        self._problems = expanded.problems
        return render_body(expanded.text, base, self._layout, is_html=self._is_html)

    def warnings(self, file_text: str, path: str) -> Iterator[Problem]:
        """What could not be read, at its place in the file."""
        if self._problems:
            start = len(file_text.rstrip()) - len(self.text)
            line, column = file_text.count("\n", 0, start), start - file_text.rfind("\n", 0, start) - 1
            for problem in self._problems:
                shown_column = problem.column + (column if problem.line == 1 else 0)
                place = line + problem.line, shown_column
                yield Problem(path, *place, problem.what, None, problem.hint, "warning")

    def _expand(self, text: str, parameters: Mapping[str, Any]) -> Expanded:
        if self._layout == "hugo":
            return expand_shortcodes(text, parameters)
        if self._layout == "jekyll" and ("{{" in text or "{%" in text):
            from aggregator.parse.liquid import expand_liquid  # most bodies have no Liquid

            return expand_liquid(text, parameters, self._site_url, is_part=len(text) < len(self.text))
        return Expanded(text, ())
