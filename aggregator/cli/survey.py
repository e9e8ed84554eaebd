"""Survey: what the config says of topics and feeds beside what all records say. For `check`; needs no store."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from difflib import get_close_matches
from itertools import combinations

from aggregator.config import Config, toml_text
from aggregator.feeds.rules import fold, matches, read_facts
from aggregator.model import Record
from aggregator.paths import unescape_path
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.slugs import RESERVED_SLUGS, topic_slug

SHORTEST_ALIKE = 5
"""Characters of a topic from which on one that differs in one letter is likely to be meant."""


class Survey:
    """Is shown every record, and tells then what is likely to be a mistake in the config or in topics."""

    def __init__(self, config: Config) -> None:
        self._config, self._tables = config, config.tables
        self._sources = {source.name: source for source in config.sources}
        self._empty = {spec.slug: spec.rule for spec in config.feeds}
        self._stated: Counter[str] = Counter()
        self._places: dict[str, tuple[str, str, str]] = {}
        self._topics: Counter[str] = Counter()
        self._read = 0

    def see(self, record: Record) -> None:
        """Takes one record into account."""
        self._read += 1
        tables, content = self._tables, record.content
        keys = {fold(name): name for name in content.topics}
        self._stated.update(keys.keys())
        for key, name in keys.items():
            place = (record.file.source, record.file.path, name)
            self._places[key] = min(self._places.get(key, place), place)
        if not record.public:
            return
        facts = read_facts(content, record.quality, record.heat, tables)
        self._topics.update(facts.topics)
        for slug in [slug for slug, rule in self._empty.items() if matches(facts, rule)]:
            del self._empty[slug]

    def problems(self) -> Iterator[Problem]:
        """Topics that no record has, feeds that no record is in, topics one letter apart, slugs that two would have;
        their paths can be opened from here. Of no records there is nothing to tell."""
        if not self._read:
            return
        if self._config.path is not None:
            yield from self._unknown_topics()
            yield from self._feeds()
        misspelt: set[str] = set()
        yield from self._topics_alike(misspelt)
        if self._config.topics.auto:
            yield from self._slugs_alike(misspelt)

    def _unknown_topics(self) -> Iterator[Problem]:
        stated = {self._tables.topic(key) for key in self._stated}
        met = {topic for key in self._stated for topic in self._tables.lineage(key)}
        for name, line, column, spelling in self._config.positions.mentions():
            key = fold(name)
            topic = self._tables.topic(key)
            if key in self._stated if spelling else topic in stated:
                continue
            others = [one for one in self._stated if one != topic]  # not what it is a spelling of
            near = get_close_matches(key, others, n=1, cutoff=0.75)
            holds_others = topic in met and not spelling  # such as a parent that no record names itself
            if holds_others and not near:
                continue
            todo = f"did you mean {toml_text(self._places[near[0]][2])}?" if near else "check its spelling"
            yield self._in_config(line, column, "no record has the topic", name, todo)

    def _feeds(self) -> Iterator[Problem]:
        """Feeds of the config that no record is in, and those in the place of a topic's feed."""
        topics = {self._tables.slugs.get(key, topic_slug(key)): key for key in sorted(self._topics, reverse=True)}
        for slug, line, column in self._config.positions.feed_slugs():
            if self._config.topics.auto and slug in topics:
                what = f"the feed takes the place of the feed of the topic {toml_text(self._name(topics[slug]))}"
                yield self._in_config(line, column, what, slug, "choose another slug to have both")
            if slug in self._empty:
                todo = "check its clauses; without a record that meets them all it stays empty"
                yield self._in_config(line, column, "no published record is in the feed", slug, todo)

    def _in_config(self, line: int, column: int, what: str, value: str, todo: str) -> Problem:
        return Problem(str(self._config.path), line, column, what, value, todo, "warning")

    def _topics_alike(self, misspelt: set[str]) -> Iterator[Problem]:
        for one, other in sorted(_one_letter_apart(self._stated)):
            if self._tables.topic(one) == self._tables.topic(other):
                continue
            rare, usual = sorted((one, other), key=lambda key: (self._stated[key], key))
            name, count = self._places[usual][2], self._stated[usual]
            what = f"a topic one letter apart from {toml_text(name)}, which {count} {'has' if count == 1 else 'have'}"
            todo = f"write the same, or add {toml_text(self._places[rare][2])} = {toml_text(name)} below [topics.alias]"
            misspelt.add(rare)
            yield self._in_record(rare, what, todo)

    def _slugs_alike(self, misspelt: Container[str]) -> Iterator[Problem]:
        pins = self._tables.slugs
        enough = {key for key, count in self._topics.items() if count >= self._config.topics.min_entries}
        alike: dict[str, list[str]] = defaultdict(list)
        for key in sorted(enough - pins.keys()):
            alike[topic_slug(key) if key not in RESERVED_SLUGS else key].append(key)
        holders = {slug: key for key, slug in pins.items()}
        for slug, keys in sorted(alike.items()):
            if slug in {spec.slug for spec in self._config.feeds}:
                continue
            holder = None if slug in RESERVED_SLUGS else holders.get(slug, keys[0])
            for key in keys:
                if key != holder and key not in misspelt:
                    of = f"that of {toml_text(self._name(holder))}" if holder else "reserved"
                    todo = f"choose one: {toml_text(self._name(key))} = … below [topics.slugs]"
                    yield self._in_record(key, f"the slug {slug} of a topic is {of}, so its own gets a suffix", todo)

    def _name(self, topic: str) -> str:
        return self._places[topic][2] if topic in self._places else self._tables.names.get(topic, topic)

    def _in_record(self, topic: str, what: str, todo: str) -> Problem:
        """A problem of a topic, where the first record states it or what stands for it."""
        stated = [key for key in self._stated if topic in self._tables.lineage(key)]
        key = topic if topic in self._places else min(stated, key=self._places.__getitem__)
        source, path, name = self._places[key]
        line = _line_of(self._sources[source], path, name)
        shown = os.path.join(self._sources[source].root, unescape_path(path))
        return Problem(shown, line, 1 if line else 0, what, self._name(topic), todo, "warning")


def _one_letter_apart(keys: Iterable[str]) -> set[tuple[str, str]]:
    """The pairs that differ in one character put in, left out or replaced, digits aside: these count something."""
    alike: dict[str, list[str]] = defaultdict(list)
    for key in sorted(keys):
        if len(key) >= SHORTEST_ALIKE:
            without = {key[:at] + key[at + 1 :] for at, one in enumerate(key) if not one.isdigit()}
            for rest in {key, *without}:
                alike[rest].append(key)
    return {pair for group in alike.values() for pair in combinations(group, 2) if _is_one_apart(*pair)}


def _is_one_apart(one: str, other: str) -> bool:
    """Of two that are alike without one character each, or without one of the longer one."""
    if len(one) != len(other):
        return True
    return sum(left != right for left, right in zip(one, other, strict=True)) == 1


def _line_of(source: Source, path: str, name: str) -> int:
    """The line of a record that names a topic, as far as can be told: below a key that holds topics; 0 if nowhere."""
    try:
        with open(os.path.join(source.root, unescape_path(path)), encoding="utf-8-sig", errors="replace") as file:
            lines = file.read(source.max_bytes).splitlines()
    except OSError:
        return 0
    keys = tuple(key.rpartition(".")[2].casefold() for key in dict(source.fields).get("topics", ()))
    starts = [number for number, line in enumerate(lines) if line.strip(" \t\"'").casefold().startswith(keys)]
    found = (number for number in range(starts[0] if starts else 0, len(lines)) if name in lines[number])
    return next(found, -1) + 1
