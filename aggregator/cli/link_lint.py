"""Which links of all records lead to no published page, for `check`. Needs no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from aggregator.config import Config
from aggregator.model import Record
from aggregator.parse.page_links import broken_links, page_targets
from aggregator.parse.references import page_key, page_lookup
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source


class LinkLint:
    """Collects all records, then reports the links that lead to none of them."""

    def __init__(self, config: Config, now: datetime) -> None:
        self._now = now
        self._sources = {source.name: source for source in config.sources}
        self._pages: set[tuple[str, str]] = set()  # source and key
        self._names: Counter[tuple[str, str]] = Counter()  # how many pages of a source have each name
        self._links: list[tuple[Source, str, frozenset[str]]] = []  # source, path and targets of each record with links

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        source, path = self._sources[record.file.source], record.file.path
        key = page_key(source, path)
        if key is not None and self._is_published(record):
            self._pages.add((source.name, key))
            self._names[source.name, key.partition("/")[0]] += 1
        if targets := page_targets(record.body_html):
            self._links.append((source, path, targets))

    def problems(self) -> Iterator[Problem]:
        """A warning for each record with links that lead to no published page."""
        for source, path, targets in self._links:
            broken = sorted(target for target in targets if not self._is_found(source, path, target))
            if broken:
                yield broken_links(shown_path(source.root, path), len(broken), broken[0])

    def _is_published(self, record: Record) -> bool:
        is_due = record.published is None or record.published <= self._now
        return record.public and is_due and (record.expires is None or record.expires > self._now)

    def _is_found(self, source: Source, path: str, target: str) -> bool:
        lookup = page_lookup(target, path, source.root)
        return any((source.name, key) in self._pages for key in lookup.keys) or any(
            self._names[source.name, name] == 1 for name in lookup.names
        )
