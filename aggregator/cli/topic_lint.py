"""Compares the topics and feeds of the config with all records, for `check`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import combinations

from aggregator.config import Config, toml_text
from aggregator.feeds.rules import fold, matches, read_facts
from aggregator.ingest import trace_file
from aggregator.model import Record
from aggregator.problems import Problem, shown_path
from aggregator.settings import Clause, Rule
from aggregator.slugs import RESERVED_SLUGS, topic_slug
from aggregator.unicode import without_unseen

MIN_TYPO_LENGTH = 5
"""Shortest topic for which a difference of one letter counts as a likely typo."""


class TopicLint:
    """Collects all records, then reports likely mistakes in the config and in topics. `stored_slugs`: the slugs that
    topics have in the store, by topic."""

    def __init__(self, config: Config, stored_slugs: Mapping[str, str]) -> None:
        self._config, self._tables = config, config.tables
        pins = config.tables.slugs
        kept = {topic: slug for topic, slug in stored_slugs.items() if slug not in pins.values()}
        self._slugs = {**kept, **pins}  # that topics have, or will have by a pin
        self._sources = {source.name: source for source in config.sources}
        self._rules_without_records = {spec.slug: spec.rule for spec in config.feeds}
        self._stated: Counter[str] = Counter()  # how many records state each topic
        self._places: dict[str, tuple[str, str, str]] = {}  # source, path and spelling, in the first record by path
        self._records = 0
        self._published: Counter[str] = Counter()  # how many published records have each topic

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        content = record.content
        names = {fold(name): name for name in content.topics}
        self._stated.update(names.keys())
        for key, name in names.items():
            place = (record.file.source, record.file.path, name)
            self._places[key] = min(self._places.get(key, place), place)
        self._records += 1
        if record.public:
            facts = read_facts(content, record.quality, record.heat, self._tables)
            self._published.update(facts.topics)
            for slug in [slug for slug, rule in self._rules_without_records.items() if matches(facts, rule)]:
                del self._rules_without_records[slug]

    def problems(self) -> list[Problem]:
        """Topics without records, feeds without records, topics one letter apart, topics with equal slugs; in order of
        places. Nothing if no record was read."""
        if not self._records:
            return []
        problems: list[Problem] = []
        if self._config.path is not None:
            problems += self._unknown_topics()
            problems += self._configured_feeds()
        likely_typos: set[str] = set()
        problems += self._near_topics(likely_typos)
        if self._config.topics.auto:
            problems += self._equal_slugs(likely_typos)
        return sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column))

    def _unknown_topics(self) -> Iterator[Problem]:
        stated = {self._tables.topic(key) for key in self._stated}
        known = {topic for key in self._stated for topic in self._tables.lineage(key)}
        for name, line, column, exact in self._config.positions.mentions():
            key = fold(name)
            topic = self._tables.topic(key)
            if (key in self._stated) if exact else (topic in stated):
                continue
            others = [other for other in self._stated if other != topic]  # not another spelling of itself
            near = get_close_matches(key, others, n=1, cutoff=0.75)
            is_parent = topic in known and not exact  # which no record needs to state
            if near or not is_parent:
                hint = f"did you mean {toml_text(self._places[near[0]][2])}?" if near else "check its spelling"
                yield self._in_config(line, column, "no record has the topic", name, hint)

    def _configured_feeds(self) -> Iterator[Problem]:
        """Feeds of the config without records, and feeds that replace the feed of a topic."""
        topics = {topic_slug(key): key for key in sorted(self._published.keys() - self._slugs.keys(), reverse=True)}
        topics |= {slug: topic for topic, slug in self._slugs.items() if topic in self._published}
        rules = {spec.slug: spec.rule for spec in self._config.feeds}
        for slug, line, column in self._config.positions.feed_slugs():
            is_same = slug in topics and rules[slug] == Rule(topics=Clause(any=frozenset({topics[slug]})))
            if self._config.topics.auto and slug in topics and not is_same:
                what = f"the feed replaces the feed of the topic {toml_text(self._name(topics[slug]))}"
                yield self._in_config(line, column, what, slug, "choose another slug to have both")
            if slug in self._rules_without_records:
                hint = "check its clauses; no record meets all of them"
                yield self._in_config(line, column, "no published record is in the feed", slug, hint)

    def _near_topics(self, likely_typos: set[str]) -> Iterator[Problem]:
        """Topics that differ from another one by one letter, or by what nobody can see; adds the rarer to
        `likely_typos`."""
        unseen = _of_one_look(self._stated)
        for pair in sorted(_one_letter_apart(self._stated) | unseen):
            if len({self._tables.topic(key) for key in pair}) == 1:
                continue
            rare, usual = sorted(pair, key=lambda key: (self._stated[key], key))
            likely_typos.add(rare)
            name, count = self._places[usual][2], self._stated[usual]
            records = "1 record has" if count == 1 else f"{count} records have"
            by = "only by what nobody can see" if pair in unseen else "by one letter"
            what = f"the topic differs {by} from {toml_text(name)}, which {records}"
            hint = f"write the same, or add {toml_text(self._places[rare][2])} = {toml_text(name)} below [topics.alias]"
            yield self._in_record(rare, what, hint)

    def _equal_slugs(self, likely_typos: Container[str]) -> Iterator[Problem]:
        """Topics whose slug gets a suffix, because it is reserved or belongs to another topic."""
        enough = {key for key, count in self._published.items() if count >= self._config.topics.min_entries}
        topics: dict[str, list[str]] = defaultdict(list)
        for key in sorted(enough - self._slugs.keys()):
            topics[topic_slug(key) if key not in RESERVED_SLUGS else key].append(key)
        holders = {slug: key for key, slug in self._slugs.items()}
        for slug, keys in sorted(topics.items()):
            holder = None if slug in RESERVED_SLUGS else holders.get(slug, keys[0])
            for key in keys:
                if key != holder and key not in likely_typos:
                    owner = f"belongs to the topic {toml_text(self._name(holder))}" if holder else "is reserved"
                    hint = f"choose one: {toml_text(self._name(key))} = … below [topics.slugs]"
                    yield self._in_record(key, f"the slug {slug} {owner}, so this topic gets a suffix", hint)

    def _name(self, topic: str) -> str:
        return self._places[topic][2] if topic in self._places else self._tables.names.get(topic, topic)

    def _in_config(self, line: int, column: int, what: str, value: str, hint: str) -> Problem:
        return Problem(shown_path(str(self._config.path), ""), line, column, what, value, hint, "warning")

    def _in_record(self, topic: str, what: str, hint: str) -> Problem:
        """A problem of a topic, in the first record that states it or one of its aliases and children."""
        stated = [key for key in self._stated if topic in self._tables.lineage(key)]
        key = topic if topic in self._places else min(stated, key=self._places.__getitem__)
        name, path, _ = self._places[key]
        source = self._sources[name]
        traces = trace_file(source, path)[1]
        line = next((trace.line for trace in traces if trace.field == "topics" and trace.origin == "record"), None)
        return Problem.on_line(shown_path(source.root, path), line, what, self._name(topic), hint, "warning")


def _of_one_look(keys: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of topics that look alike, because they differ only by characters that show nothing."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(keys):
        groups[without_unseen(key)].append(key)
    return {pair for group in groups.values() for pair in combinations(group, 2)}


def _one_letter_apart(keys: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of topics at edit distance 1. Digits are ignored, because they usually count something."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(keys):
        if len(key) >= MIN_TYPO_LENGTH:
            shortened = {key[:at] + key[at + 1 :] for at, letter in enumerate(key) if not letter.isdigit()}
            for rest in {key, *shortened}:
                groups[rest].append(key)
    return {pair for group in groups.values() for pair in combinations(group, 2) if _differ_once(*pair)}


def _differ_once(one: str, other: str) -> bool:
    """Of two texts that are equal without one letter of each, or of the longer: whether one edit is enough."""
    return len(one) != len(other) or sum(left != right for left, right in zip(one, other, strict=True)) == 1
