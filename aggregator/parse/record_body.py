"""The body of a record: its excerpt, its HTML, and what in its templates cannot be read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aggregator.parse.template import Expanded, TemplateProblem
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.unicode import xml_text


class RecordBody:
    """The body of the record at `path`: the end of `file_text`, the text of its file.

    The methods take as `known` the fields that templates in the body can show, by their names there.
    """

    def __init__(self, body: str, file_text: str, path: str, source: Source, *, has_templates: bool) -> None:
        self._has_templates = has_templates
        self._file_text = file_text
        self._path = path
        self._source = source
        self._is_html = source.layout != "plain" and path.lower().endswith((".html", ".htm"))
        self._problems: tuple[TemplateProblem, ...] = ()
        # the library that splits front matter and body strips the body, but in Markdown an indented line is code
        self.text = xml_text(self._indentation(body) + body if source.layout != "plain" else body)

    def excerpt(self, separator: str | None, known: Mapping[str, object]) -> str:
        """The plain text of its start, as its site generator cuts it."""
        from aggregator.parse.excerpt import excerpt_text  # plain records need none

        def expand(text: str) -> str:
            expanded = self._expand(text, known)
            if len(text) == len(self.text):  # in a part, a pair can lack its end
                self._problems = expanded.problems
            return expanded.text

        return excerpt_text(self.text, self._source.layout, separator, expand, is_html=self._is_html)

    def render(self, base: str, known: Mapping[str, object]) -> str:
        """The body as safe HTML, with URLs relative to `base`."""
        from aggregator.parse.body import render_body  # slow to import

        expanded = self._expand(self.text, known)
        self._problems = expanded.problems
        return render_body(expanded.text, base, self._source.layout, is_html=self._is_html)

    def warnings(self) -> Iterator[Problem]:
        """What could not be read, at its place in the file."""
        if self._problems:
            lines = self._file_text.count("\n", 0, self._start(self.text))
            for line, column, what, hint in self._problems:
                yield Problem(self._path, lines + line, column, what, None, hint, "warning")

    def _start(self, body: str) -> int:
        return len(self._file_text.rstrip()) - len(body.rstrip())

    def _indentation(self, body: str) -> str:
        start = self._start(body)
        before = self._file_text[self._file_text.rfind("\n", 0, max(start, 0)) + 1 : max(start, 0)]
        return before if before.isspace() else ""

    def _expand(self, text: str, known: Mapping[str, object]) -> Expanded:
        if not self._has_templates:
            return Expanded(text, ())
        is_part = len(text) < len(self.text)
        if self._source.layout == "hugo":
            from aggregator.parse.shortcodes import expand_shortcodes

            return expand_shortcodes(text, known, is_part=is_part)
        if self._source.layout == "jekyll" and ("{{" in text or "{%" in text):
            from aggregator.parse.liquid import expand_liquid  # most bodies have no Liquid
            from aggregator.parse.page_path import site_url

            site = site_url(self._source.link_template or "", self._source.site_url) or None
            return expand_liquid(text, known, site, is_part=is_part)
        return Expanded(text, ())
