"""Rules: does an entry belong in a feed? `matches` is the only meaning of a rule, whatever asks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aggregator.model import Rule
from aggregator.naming import topic_key


def topic_rule(name: str) -> Rule:
    """The rule of the feed of one topic."""
    return Rule(any_topics=frozenset((topic_key(name),)))


def matches(topics: frozenset[str], rule: Rule) -> bool:
    """Whether an entry with these topic keys is in; a rule that names none takes every entry."""
    return not rule.any_topics or not rule.any_topics.isdisjoint(topics)


def matching_feeds(names: Iterable[str], rules: Mapping[int, Rule], by_topic: Mapping[str, int]) -> frozenset[int]:
    """The feeds that an entry with these topics is in: those of `rules`, and of its topics through the index
    `by_topic`."""
    topics = frozenset(topic_key(name) for name in names)
    found = {feed for feed, rule in rules.items() if matches(topics, rule)}
    return frozenset(found | {by_topic[topic] for topic in topics if topic in by_topic})
