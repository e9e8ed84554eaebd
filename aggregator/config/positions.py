"""Which line of the config says what: for `explain` and `check`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aggregator.config.schema import File
from aggregator.config.topics import TABLES
from aggregator.feeds.rules import fold
from aggregator.toml_positions import KeyPath, Locator
from aggregator.topic_tables import TopicTables


class Mention(NamedTuple):
    """A position of the config that names a topic. `exact`: the left side of an alias, so only this spelling counts."""

    name: str
    line: int
    column: int
    exact: bool


class ConfigPositions:
    """The lines of the keys of a loaded config; `file` is its path, None without a file."""

    def __init__(self, file: str | None, locator: Locator, tables: File, topics: TopicTables) -> None:
        self.file = file
        self._locator, self._tables, self._topics = locator, tables, topics
        self._feeds = {feed.slug: index for index, feed in enumerate(tables.feed)}
        self._sources = {source.name or "": index for index, source in enumerate(tables.records)}

    def line(self, path: KeyPath) -> int | None:
        """The line of the key, or of the nearest table that would hold it; None without such a table."""
        return self._locator.find(path)[0] or None

    def clause(self, slug: str, clause: str) -> int | None:
        """The line of a clause, such as `topics.any`, of the [[feed]] with this slug."""
        return self.line(("feed", self._feeds[slug], *clause.split(".")))

    def record_key(self, source: str, key: str) -> int | None:
        """The line of a key of the [records] table with this name."""
        return self.line(("records", self._sources.get(source, 0), key))

    def topic(self, table: str, topic: str) -> int | None:
        """The line of a topic, given by its key, in a table below [topics]."""
        names = getattr(self._tables.topics, table)
        name = next((name for name in names if self._topics.topic(fold(name)) == topic), topic)
        return self.line(("topics", table, name))

    def mentions(self) -> Iterator[Mention]:
        """Where tables and rules name topics."""
        for table in TABLES:
            for name, value in getattr(self._tables.topics, table).items():
                yield self._mention(("topics", table, name), name, exact=table == "alias")
                if table in ("alias", "parent"):
                    yield self._mention(("topics", table, name), value, value=True)
        for index, feed in enumerate(self._tables.feed):
            for test in ("any", "all", "none"):
                for number, name in enumerate(getattr(feed.topics, test, None) or ()):
                    yield self._mention(("feed", index, "topics", test, number), name, value=True)

    def feed_slugs(self) -> Iterator[tuple[str, int, int]]:
        """The slug of each [[feed]], with its line and column."""
        for slug, index in self._feeds.items():
            yield slug, *self._locator.find(("feed", index, "slug"), value=True)

    def _mention(self, path: KeyPath, name: str, *, value: bool = False, exact: bool = False) -> Mention:
        return Mention(name, *self._locator.find(path, value=value), exact)
