"""Which records have more text than readers can get at, for `check`. Needs no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from aggregator.config import Config
from aggregator.feeds.rules import matches, read_facts
from aggregator.files import FolderError
from aggregator.ingest import ingest_files
from aggregator.model import Content, Record, SourceFile
from aggregator.parse.texts import plain_text
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source

MOST_READ = 1000
"""Files of a source that are read again to count these records."""
MIN_MORE = 100
"""Characters that a body has more than the summary if it says clearly more: about a sentence."""


class TextLint:
    """Collects records that have no link and are in no feed in full, then reports the sources where they have clearly
    more text than their summary, which is all that readers see of them."""

    def __init__(self, config: Config, now: datetime) -> None:
        self._config, self._now = config, now
        self._full_rules = [spec.rule for spec in config.feeds if spec.full]
        self._counts: Counter[str] = Counter()  # how many records of each source have more text
        self._unread: dict[str, list[SourceFile]] = {source.name: [] for source in config.sources}
        self._sources = {source.name: source for source in config.sources}

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        content = record.content
        if content.link or not self._is_cut(record, content):
            return
        name = record.file.source
        if self._sources[name].body_base is None:  # bodies are not rendered, because no feed is in full
            self._unread[name].append(record.file)
        else:
            self._counts[name] += _has_more(content)

    def problems(self) -> Iterator[Problem]:
        """A warning for each source with such records. Reads their files again if no feed is in full."""
        for source in self._config.sources:
            if count := self._counts[source.name] + self._count_unread(source):
                yield self._problem(source, count)

    def _is_cut(self, record: Record, content: Content) -> bool:
        """Whether readers see the record, and only its summary."""
        is_shown = record.public and (record.expires is None or record.expires > self._now)
        if not is_shown or self._config.output.content == "full":
            return False
        facts = read_facts(content, record.quality, record.heat, self._config.tables)
        return not any(matches(facts, rule) for rule in self._full_rules)

    def _count_unread(self, source: Source) -> int:
        files = ((file, None) for file in self._unread[source.name][:MOST_READ])
        whole = replace(source, body_base=self._config.site.base_url)
        with suppress(FolderError):  # reported with the records
            return sum(
                isinstance(outcome, Record) and _has_more(outcome.content)
                for outcomes in ingest_files(whole, files, workers=self._config.workers)
                for outcome in outcomes
            )
        return 0

    def _problem(self, source: Source, count: int) -> Problem:
        positions = self._config.positions
        line = positions.record_key(source.name, "link_template")
        records = "1 record has" if count == 1 else f"{count} records have"
        if len(self._unread[source.name]) > MOST_READ:
            records = f"at least {records}"
        what = f"{records} no link and more text than readers see"
        hint = 'write content = "full" below [output]'
        if source.link_template is None:
            hint = 'write link_template below [records], or content = "full" below [output]'
        path = positions.file or shown_path(source.root, "")
        return Problem.on_line(path, line, what, None, hint, "warning")


def _has_more(content: Content) -> bool:
    least = len(content.summary) + MIN_MORE
    return len(content.body_html) > least and len(plain_text(content.body_html)) > least
