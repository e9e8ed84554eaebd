"""Rules: does an entry match a feed, and if not, why? Nothing but `failing_clauses` decides. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import lru_cache, partial

from aggregator.feeds.phrases import contains_phrase
from aggregator.links import host_name
from aggregator.model import Content, Facts
from aggregator.settings import NO_CLAUSE, Clause, Rule
from aggregator.slugs import topic_key
from aggregator.topic_tables import TopicTables

fold = lru_cache(maxsize=8192)(topic_key)
"""The form in which values of rules and entries are compared, which is the key of a topic. Cached: values repeat."""
_ascii_domain = lru_cache(maxsize=8192)(host_name)


def read_facts(content: Content, quality: float, heat: float, tables: TopicTables) -> Facts:
    """What rules read of an entry. Its topics are aliased by `tables`, and their parents added."""
    provider = content.provider
    return Facts(
        topics=tables.with_parents(map(fold, content.topics)),
        category=fold(content.category),
        type=fold(content.type),
        provider=fold(provider.name) if provider else "",
        provider_domain=provider.domain if provider else "",
        language=fold(content.language),
        quality=quality,
        heat=heat,
        texts=(content.title, content.summary),
        authors=tuple(map(fold, provider.authors)) if provider else (),
    )


def matches(facts: Facts, rule: Rule) -> bool:
    """Whether an entry matches."""
    return failing_clause(facts, rule) is None


def failing_clause(facts: Facts, rule: Rule) -> str | None:
    """The first clause that excludes an entry, such as `topics.any` or `min_quality`; None if it matches."""
    return next(failing_clauses(facts, rule), None)


def failing_clauses(facts: Facts, rule: Rule) -> Iterator[str]:
    """All clauses that exclude an entry, the most expensive to evaluate last."""
    if rule.default_language and not facts.language:
        facts = replace(facts, language=rule.default_language)
    for field, has in _FIELDS:
        clause = getattr(rule, field)
        if clause is not NO_CLAUSE:
            yield from _failing_tests(field, clause, partial(has, facts))
    if _is_below(facts.quality, rule.min_quality):
        yield "min_quality"
    if _is_below(facts.heat, rule.min_heat):
        yield "min_heat"
    if rule.text is not NO_CLAUSE:
        yield from _failing_tests("text", rule.text, partial(contains_phrase, facts.texts))


def taking_clause(rule: Rule) -> str | None:
    """The first clause that takes entries in, else the first that keeps entries out; None without clauses."""
    clauses = []
    for field in fields(rule):
        value = getattr(rule, field.name)
        if isinstance(value, Clause):
            clauses += [f"{field.name}.{test}" for test in ("any", "all", "none") if getattr(value, test)]
        elif value != field.default and not isinstance(value, str):
            clauses.append(field.name)
    return next((clause for clause in clauses if not clause.endswith(".none")), next(iter(clauses), None))


def rule_text(rule: Rule) -> str:
    """The rule as JSON, the same for equal rules. Defaults are left out, so new clauses do not change old texts."""
    clauses: dict[str, object] = {}
    for field in fields(rule):
        value = getattr(rule, field.name)
        if value == field.default:
            continue
        if isinstance(value, Clause):
            value = {test: sorted(getattr(value, test)) for test in ("any", "all", "none") if getattr(value, test)}
        clauses[field.name] = value
    return json.dumps(clauses, ensure_ascii=False, sort_keys=True)


def _failing_tests(field: str, clause: Clause, has: Callable[[str], bool]) -> Iterator[str]:
    if clause.any and not any(map(has, clause.any)):
        yield f"{field}.any"
    if not all(map(has, clause.all)):
        yield f"{field}.all"
    if any(map(has, clause.none)):
        yield f"{field}.none"


def _has_provider(facts: Facts, value: str) -> bool:
    """By name, also of one of several authors, or by domain; `example.org` includes its subdomains. Records have
    domains in ASCII."""
    if value in (facts.provider, facts.provider_domain) or value in facts.authors:
        return True
    domain = value if value.isascii() else _ascii_domain(value)
    return "." in domain and f".{facts.provider_domain}".endswith(f".{domain}")


def _has_language(facts: Facts, value: str) -> bool:
    """Basic filtering (RFC 4647 section 3.3.1): `en` includes `en-GB`."""
    return facts.language == value or facts.language.startswith(f"{value}-")


_FIELDS: tuple[tuple[str, Callable[[Facts, str], bool]], ...] = (
    ("topics", lambda facts, value: value in facts.topics),
    ("category", lambda facts, value: value == facts.category),
    ("type", lambda facts, value: value == facts.type),
    ("provider", _has_provider),
    ("language", _has_language),
)
"""The fields with a clause, and whether an entry has a value there."""


def _is_below(score: float, least: float | None) -> bool:
    """Whether a score is below its minimum; -1 is not scored and below every minimum."""
    return least is not None and not score >= max(least, 0)


class FeedRules:
    """The rules of many feeds: of `all` and the feeds of the config by the key of the feed, of topics by the key of the
    topic. Only rules that name a topic of the entry, or no topic, are evaluated."""

    def __init__(self, rules: Mapping[int, Rule], topic_feeds: dict[str, int]) -> None:
        self._rules = rules
        self.topic_feeds = topic_feeds
        self._by_topic: dict[str, list[int]] = defaultdict(list)
        self._all = frozenset(feed for feed, rule in rules.items() if rule == Rule())
        self._others = [feed for feed, rule in rules.items() if not rule.topics.any and feed not in self._all]
        self.merging = frozenset(feed for feed, rule in rules.items() if rule.duplicates == "merge")
        """Feeds that merge duplicates."""
        self.by_date = frozenset(feed for feed, rule in rules.items() if rule.order == "published")
        """Feeds that are ordered by published date."""
        for feed, rule in rules.items():
            for key in rule.topics.any:
                self._by_topic[key].append(feed)

    def matching_feeds(self, topics: frozenset[str], facts: Callable[[], Facts]) -> set[int]:
        """The feeds that an entry with these topics matches; `facts` is called only if a rule reads more."""
        matching = {self.topic_feeds[key] for key in topics if key in self.topic_feeds}
        matching |= self._all
        candidates = {*self._others}
        if self._by_topic:
            candidates.update(feed for key in topics for feed in self._by_topic.get(key, ()))
        if candidates:
            known = facts()
            matching.update(feed for feed in candidates if matches(known, self._rules[feed]))
        return matching

    def clause_against(self, facts: Facts, feed: int) -> str:
        """What excludes an entry from a feed that it does not match: a clause of the rule, or `topic`."""
        return (failing_clause(facts, self._rules[feed]) if feed in self._rules else None) or "topic"
