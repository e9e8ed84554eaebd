"""The tables below [topics]: aliases, parents, titles, descriptions and slugs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TopicTables:
    """What the config says of topics, each by its key (`naming.topic_key`).

    `alias` leads from another spelling to the topic itself, `parents` from a topic to the one that it belongs to; there
    are no circles. `names` are the spellings of the config for the topics that both lead to. `titles` and
    `descriptions` are those of topics' feeds, `slugs` their addresses. No key but those of `alias` is one of `alias`.
    """

    alias: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    slugs: Mapping[str, str] = field(default_factory=dict)

    def topic(self, key: str) -> str:
        """The topic that a spelling stands for."""
        return self.alias.get(key, key)

    def lineage(self, key: str) -> tuple[str, ...]:
        """The topic that a spelling stands for, and those that it belongs to, the nearest first."""
        found = [self.alias.get(key, key)]
        while (parent := self.parents.get(found[-1])) is not None:
            found.append(parent)
        return tuple(found)

    def named(self, names: Iterable[str], fold: Callable[[str], str]) -> dict[str, str]:
        """What an entry that states these names calls its topics, by their keys, in its order and each once."""
        found: dict[str, str] = {}
        for name in names:
            key = fold(name)
            topic = self.alias.get(key, key)
            found.setdefault(topic, name if topic == key else self.names[topic])
        return found

    def all_of(self, keys: Iterable[str]) -> frozenset[str]:
        """The topics that an entry is in which states these."""
        if not self.alias and not self.parents:
            return frozenset(keys)
        return frozenset(one for key in keys for one in self.lineage(key))


NO_TABLES = TopicTables()
"""Every topic is what records call it."""
