"""Rules: does an entry belong in a feed? `matches` is the only meaning of a rule, whatever asks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from aggregator.model import Rule
from aggregator.naming import topic_key


@lru_cache(maxsize=4096)
def topic_rule(key: str) -> Rule:
    """The rule of the feed of the topic with this key."""
    return Rule(any_topics=frozenset((key,)))


def matches(topics: frozenset[str], rule: Rule) -> bool:
    """Whether an entry with these topic keys is in; a rule that names none takes every entry."""
    return not rule.any_topics or not rule.any_topics.isdisjoint(topics)


def matching_feeds(names: Iterable[str], rules: Mapping[int, Rule], by_topic: Mapping[str, int]) -> frozenset[int]:
    """The feeds that an entry with these topics is in: those of `rules`, and those of topics, for which `by_topic`
    narrows what has to be tried."""
    topics = frozenset(topic_key(name) for name in names)
    found = {feed for feed, rule in rules.items() if matches(topics, rule)}
    found |= {by_topic[key] for key in topics if key in by_topic and matches(topics, topic_rule(key))}
    return frozenset(found)
