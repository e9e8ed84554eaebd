"""The time to find the feeds of entries."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from aggregator.feeds.phrases import parse_phrase
from aggregator.feeds.rules import FeedRules
from aggregator.model import Facts
from aggregator.settings import Clause, Rule
from aggregator.slugs import topic_key
from benchmarks.corpus import TOPICS, WORDS, make_records

KEYS = [topic_key(topic) for topic in TOPICS]


def feed_rules() -> FeedRules:
    """200 topics and 50 feeds with rules over topics, scores, types, providers and words."""
    rules = {
        number: (
            Rule(topics=Clause(any=frozenset(KEYS[number : number + 3]), none=frozenset(KEYS[:1]))),
            Rule(topics=Clause(any=frozenset(KEYS[number::40])), min_quality=float(number)),
            Rule(type=Clause(any=frozenset(("article", "video"))), provider=Clause(none=frozenset(("example.net",)))),
            Rule(text=Clause(any=frozenset((parse_phrase(f"{WORDS[number]} {WORDS[-number]}"),)))),
            Rule(language=Clause(any=frozenset(("en",))), default_language="en", min_heat=50.0),
        )[number % 5]
        for number in range(2, 52)
    }
    return FeedRules({1: Rule(), **rules}, {key: 100 + number for number, key in enumerate(KEYS)})


def facts_of_records(count: int) -> list[Facts]:
    """The facts that rules read, for records of the corpus."""
    return [
        Facts(
            topics=frozenset(map(topic_key, record.topics)),
            category="",
            type=record.path.split("-")[-1],
            provider="a name",
            provider_domain="example.org",
            language="",
            quality=number % 100,
            heat=number % 100,
            texts=(" ".join(WORDS[number % 40 :]), " ".join(WORDS[number % 7 :])),
        )
        for number, record in enumerate(make_records(count))
    ]


def test_feeds_of_1000_entries_among_200_topics_and_50_rules(benchmark: BenchmarkFixture) -> None:
    rules, entries = feed_rules(), facts_of_records(1000)
    found = benchmark(lambda: [rules.matching_feeds(facts.topics, lambda facts=facts: facts) for facts in entries])
    assert all(1 in feeds for feeds in found)
    assert len(frozenset().union(*found)) > 200
