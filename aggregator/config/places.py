"""Where a config says what: the file and line of its keys, for whoever asks why."""

from __future__ import annotations

import tomllib

from aggregator.config.load import Config
from aggregator.feeds.rules import fold
from aggregator.toml_positions import KeyPath, Locator


class ConfigPlaces:
    """The places of the keys of a config, read from its file once more."""

    def __init__(self, config: Config) -> None:
        self.file = str(config.path) if config.path is not None else None
        self._feeds = {spec.slug: index for index, spec in enumerate(config.feeds)}
        self._tables = config.topics
        self._topic = config.tables.topic
        self._sources = {source.name: index for index, source in enumerate(config.sources)}
        try:
            text = config.path.read_text("utf-8-sig") if config.path is not None else ""
            tomllib.loads(text)  # the locator needs a text that can be read
        except (OSError, ValueError):  # it could be a moment ago, and what it said then is in force
            text = ""
        self._locator = Locator(text)

    def line(self, path: KeyPath) -> int | None:
        """The line of the key, or of the nearest table that is there and would hold it; None without one."""
        return self._locator.find(path)[0] or None

    def clause(self, slug: str, clause: str) -> int | None:
        """The line of a clause, such as `topics.any`, of the [[feed]] with this slug."""
        return self.line(("feed", self._feeds[slug], *clause.split(".")))

    def record_key(self, source: str, key: str) -> int | None:
        """The line of a key of the [records] of this name."""
        return self.line(("records", self._sources.get(source, 0), key))

    def topic(self, table: str, topic: str) -> int | None:
        """The line of a topic, by its key, in one of the tables below [topics]."""
        stated = getattr(self._tables, table)
        name = next((name for name in stated if self._topic(fold(name)) == topic), topic)
        return self.line(("topics", table, name))
