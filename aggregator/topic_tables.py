"""The tables below [topics]: aliases, parents, titles, descriptions and slugs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TopicTables:
    """The tables of topics by topic key. Only `alias` has keys that are aliases."""

    alias: Mapping[str, str] = field(default_factory=dict)  # other spelling -> topic
    parents: Mapping[str, str] = field(default_factory=dict)  # topic -> parent, without cycles
    names: Mapping[str, str] = field(default_factory=dict)  # topic that an alias or child leads to -> its spelling
    titles: Mapping[str, str] = field(default_factory=dict)  # topic -> title of its feed
    descriptions: Mapping[str, str] = field(default_factory=dict)  # topic -> description of its feed
    slugs: Mapping[str, str] = field(default_factory=dict)  # topic -> slug of its feed

    def topic(self, key: str) -> str:
        """The topic with this spelling."""
        return self.alias.get(key, key)

    def lineage(self, key: str) -> tuple[str, ...]:
        """The topic with this spelling, then its parents, nearest first."""
        topics = [self.topic(key)]
        while (parent := self.parents.get(topics[-1])) is not None:
            topics.append(parent)
        return tuple(topics)

    def shown_names(self, names: Iterable[str], fold: Callable[[str], str]) -> dict[str, str]:
        """The topics of an entry with these names, as topic -> shown name, in the given order, each once."""
        shown: dict[str, str] = {}
        for name in names:
            key = fold(name)
            topic = self.alias.get(key, key)
            shown.setdefault(topic, name if topic == key else self.names[topic])
        return shown

    def with_parents(self, keys: Iterable[str]) -> frozenset[str]:
        """The topics of an entry with these keys, parents included."""
        if not self.alias and not self.parents:
            return frozenset(keys)
        return frozenset(topic for key in keys for topic in self.lineage(key))


NO_TABLES = TopicTables()
"""Tables without aliases, parents or titles."""
