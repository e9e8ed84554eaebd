"""Rules: which feeds an entry belongs in, and which clause keeps it out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.config.schema import TopicsTable
from aggregator.config.topics import read_tables
from aggregator.feeds.rules import FeedRules, failing_clause, matches, read_facts, rule_text
from aggregator.links import host_name
from aggregator.model import Content, Facts, Provider
from aggregator.settings import Clause, Rule
from aggregator.topic_tables import NO_TABLES, TopicTables

ENTRY = Facts(
    topics=frozenset({"ai", "power apps"}),
    category="science",
    type="article",
    provider="the verge",
    provider_domain="www.theverge.com",
    language="en-gb",
    quality=70.0,
    heat=-1.0,
    texts=("A new GPU", "Faster than the TPU v5."),
)


def clause(**tests: list[str]) -> Clause:
    """A clause of these values."""
    return Clause(**{test: frozenset(values) for test, values in tests.items()})


@pytest.mark.parametrize(
    ("rule", "failing"),
    [
        ({}, None),
        ({"topics": clause(any=["ai", "maps"])}, None),
        ({"topics": clause(any=["maps"])}, "topics.any"),
        ({"topics": clause(all=["ai", "power apps"])}, None),
        ({"topics": clause(all=["ai", "maps"])}, "topics.all"),
        ({"topics": clause(none=["maps"])}, None),
        ({"topics": clause(none=["maps", "ai"])}, "topics.none"),
        ({"topics": clause(any=["ai"], all=["ai"], none=["power apps"])}, "topics.none"),
        ({"topics": clause(any=["power"])}, "topics.any"),
        ({"category": clause(any=["science"])}, None),
        ({"category": clause(any=["sports"])}, "category.any"),
        ({"category": clause(all=["science", "sports"])}, "category.all"),
        ({"type": clause(any=["video", "article"])}, None),
        ({"type": clause(none=["article"])}, "type.none"),
        ({"provider": clause(any=["the verge"])}, None),
        ({"provider": clause(any=["verge"])}, "provider.any"),
        ({"provider": clause(none=["www.theverge.com"])}, "provider.none"),
        ({"provider": clause(any=["theverge.com"])}, None),
        ({"provider": clause(any=["verge.com"])}, "provider.any"),
        ({"provider": clause(any=["com"])}, "provider.any"),
        ({"provider": clause(any=["old.www.theverge.com"])}, "provider.any"),
        ({"language": clause(any=["en"])}, None),
        ({"language": clause(any=["en-gb"])}, None),
        ({"language": clause(any=["en-us"])}, "language.any"),
        ({"language": clause(any=["e"])}, "language.any"),
        ({"language": clause(none=["en"]), "default_language": "de"}, "language.none"),
        ({"min_quality": 70.0}, None),
        ({"min_quality": 70.5}, "min_quality"),
        ({"min_heat": 0.0}, "min_heat"),
        ({"topics": clause(any=["maps"]), "min_quality": 99.0}, "topics.any"),
        ({"text": clause(any=["gpu", "npu"])}, None),
        ({"text": clause(any=["npu", "re:TPU v[0-9]"])}, None),
        ({"text": clause(any=["gpus", "re:TPU v[6-9]"])}, "text.any"),
        ({"text": clause(all=["gpu", "faster than"])}, None),
        ({"text": clause(all=["gpu", "slower"])}, "text.all"),
        ({"text": clause(none=["npu"])}, None),
        ({"text": clause(none=["re:^faster"])}, "text.none"),
        ({"text": clause(none=["gpu"]), "min_heat": 1.0}, "min_heat"),
    ],
)
def test_the_first_clause_that_excludes_an_entry_is_named(rule: dict[str, Any], failing: str | None) -> None:
    assert failing_clause(ENTRY, Rule(**rule)) == failing
    assert matches(ENTRY, Rule(**rule)) is (failing is None)


def test_an_international_domain_is_named_in_letters_or_in_ascii() -> None:
    facts = replace(ENTRY, provider_domain=host_name("Neue.Bücher.example"))
    for value in ("neue.bücher.example", "bücher.example", "xn--bcher-kva.example"):
        assert matches(facts, Rule(provider=clause(any=[value]))), value
        assert not matches(facts, Rule(provider=clause(none=[value]))), value
    for value in ("cher.example", "ücher.example", "bücher", "b ü.example"):
        assert not matches(facts, Rule(provider=clause(any=[value]))), value
        assert not matches(replace(ENTRY, provider_domain=""), Rule(provider=clause(any=[value]))), value


def test_an_entry_without_a_language_counts_as_in_the_language_of_the_site() -> None:
    silent = replace(ENTRY, language="")
    german = clause(any=["de"])
    assert failing_clause(silent, Rule(language=german, default_language="de-at")) is None
    assert failing_clause(silent, Rule(language=german, default_language="en")) == "language.any"
    assert failing_clause(ENTRY, Rule(language=german, default_language="de")) == "language.any"


def test_an_entry_without_values_matches_no_clause_that_asks_for_one() -> None:
    blank = Facts(frozenset(), "", "", "", "", "", -1.0, -1.0)
    for field in ("topics", "category", "type", "provider", "language"):
        assert failing_clause(blank, Rule(**{field: clause(any=["x", "example.org"])})) == f"{field}.any"
        assert failing_clause(blank, Rule(**{field: clause(none=["x", "example.org"])})) is None
    assert failing_clause(blank, Rule(min_quality=0)) == "min_quality"


def test_rules_ignore_case_white_space_and_composition() -> None:
    content = Content(
        title="T",
        summary="",
        body_html="",
        link=None,
        original_link=None,
        provider=Provider("The  VERGE", "theverge.com"),
        topics=("Power  APPS", "Cafe\u0301"),
        category="SCIENCE",
        type="Article",
        language="en-GB",
        images=(),
        video_url=None,
        related=(),
    )
    facts = read_facts(content, 1.0, 2.0, NO_TABLES)
    assert facts == Facts(
        frozenset({"power apps", "caf\xe9"}),
        "science",
        "article",
        "the verge",
        "theverge.com",
        "en-gb",
        1.0,
        2.0,
        ("T", ""),
    )
    assert read_facts(content._replace(provider=None), -1, -1, NO_TABLES).provider == ""
    several = read_facts(content._replace(provider=Provider("Zoë, Joe", "", ("Zoë", "Joe"))), -1, -1, NO_TABLES)
    for value in ("zoë", "joe", "zoë, joe"):
        assert matches(several, Rule(provider=clause(any=[value])))
    assert not matches(several, Rule(provider=clause(any=["zo"])))


def test_rules_read_topics_through_the_tables_of_topics() -> None:
    tables = TopicTables(
        alias={"a.i.": "ai", "ml": "ai"}, parents={"edge ai": "ai", "ai": "science"}, names={"ai": "AI", "science": "S"}
    )
    assert tables.with_parents(["a.i.", "maps"]) == {"ai", "science", "maps"}
    assert tables.with_parents(["edge ai"]) == {"edge ai", "ai", "science"}
    assert tables.with_parents(["science"]) == {"science"}
    assert tables.shown_names(["ML", "Maps", "Ai"], str.lower) == {"ai": "AI", "maps": "Maps"}
    assert tables.shown_names(["Ai", "ML"], str.lower) == {"ai": "Ai"}


# a reading of the rules of its own

WORDS = st.sampled_from(["ai", "maps", "en", "en-gb", "example.org", "news.example.org", "video"])
SETS = st.frozensets(WORDS, max_size=3)
CLAUSES = st.builds(Clause, any=SETS, all=SETS, none=SETS) | st.just(Clause())
SCORES = st.sampled_from([-1.0, 0.0, 50.0, 70.0])
PHRASES = st.frozensets(st.sampled_from(["gpu", "new gpu", "re:g.u", "re:^new"]), max_size=2)
LEAST = st.none() | st.sampled_from([0.0, 50.0, 60.0])
RULES = st.builds(
    Rule,
    topics=CLAUSES,
    category=CLAUSES,
    type=CLAUSES,
    provider=CLAUSES,
    language=CLAUSES,
    default_language=st.sampled_from(["", "en", "en-gb"]),
    min_quality=LEAST,
    min_heat=LEAST,
    text=st.builds(Clause, any=PHRASES, all=PHRASES, none=PHRASES) | st.just(Clause()),
)
ENTRIES = st.builds(
    Facts,
    topics=SETS,
    category=WORDS | st.just(""),
    type=WORDS | st.just(""),
    provider=WORDS | st.just(""),
    provider_domain=st.sampled_from(["", "example.org", "news.example.org"]),
    language=st.sampled_from(["", "en", "en-gb", "de"]),
    quality=SCORES,
    heat=SCORES,
    texts=st.tuples(*2 * [st.lists(st.sampled_from(["New", "gpu", "GPUs", "gnu"]), max_size=3).map(" ".join)]),
)


def stands_for(field: str, facts: Facts, default_language: str) -> set[str]:
    """Every value that a clause may name to mean this entry."""
    if field == "topics":
        return set(facts.topics)
    if field == "provider":
        labels = facts.provider_domain.split(".")
        above = {".".join(labels[start:]) for start in range(len(labels) - 1)}
        return {facts.provider, facts.provider_domain, *above} - {""}
    if field == "text":
        texts = [text.lower().split() for text in facts.texts]
        words = {word for text in texts for word in text}
        pairs = {" ".join(pair) for text in texts for pair in pairwise(text)}
        found = {"re:g.u"} if words & {"gpu", "gpus", "gnu"} else set()
        return words | pairs | found | ({"re:^new"} if any(text[:1] == ["new"] for text in texts) else set())
    if field == "language":
        subtags = (facts.language or default_language).split("-")
        return {"-".join(subtags[:end]) for end in range(1, len(subtags) + 1)} - {""}
    return {getattr(facts, field)} - {""}


def belongs(facts: Facts, rule: Rule) -> bool:
    """The contract's sentence, with sets."""
    for field in ("topics", "category", "type", "provider", "language", "text"):
        wanted, names = getattr(rule, field), stands_for(field, facts, rule.default_language)
        if (wanted.any and not wanted.any & names) or wanted.all - names or wanted.none & names:
            return False
    for least, score in ((rule.min_quality, facts.quality), (rule.min_heat, facts.heat)):
        if least is not None and (score == -1 or score < least):
            return False
    return True


@given(ENTRIES, RULES)
def test_an_entry_matches_a_rule_if_it_meets_every_clause(facts: Facts, rule: Rule) -> None:
    assert matches(facts, rule) is belongs(facts, rule)


@given(ENTRIES, st.dictionaries(st.integers(1, 9), RULES, max_size=4), SETS)
def test_the_index_of_topics_does_not_change_which_feeds_match(
    facts: Facts, rules: dict[int, Rule], topics: frozenset[str]
) -> None:
    topic_feeds = {key: 100 + number for number, key in enumerate(sorted(topics))}
    tried_all = {feed for feed, rule in rules.items() if belongs(facts, rule)}
    tried_all |= {
        feed for key, feed in topic_feeds.items() if belongs(facts, Rule(topics=Clause(any=frozenset((key,)))))
    }
    index = FeedRules(rules, topic_feeds)
    assert index.matching_feeds(facts.topics, lambda: facts) == tried_all
    for feed in {*rules, *topic_feeds.values()} - tried_all:
        assert index.clause_against(facts, feed) == (failing_clause(facts, rules[feed]) if feed in rules else "topic")


# likewise of the tables of topics, from sentences: "X is another spelling of Y", "X belongs to Y"

SPELLINGS = ["ai", "ml", "maps", "science", "edge"]


@st.composite
def topic_tables(draw: st.DrawFn) -> tuple[TopicsTable, dict[str, str], dict[str, str]]:
    """Tables without circles, because every topic leads only to one that comes later; and what they say."""
    order = draw(st.permutations(SPELLINGS))
    links = {one: draw(st.sampled_from(order[at + 1 :])) for at, one in enumerate(order[:-1]) if draw(st.booleans())}
    alias = {one: other for one, other in links.items() if draw(st.booleans())}
    parent = {one: other for one, other in links.items() if one not in alias}
    return TopicsTable(alias={one.upper(): other for one, other in alias.items()}, parent=parent), alias, parent


def _end(alias: dict[str, str], one: str) -> str:
    return _end(alias, alias[one]) if one in alias else one


@given(topic_tables(), st.lists(st.sampled_from(SPELLINGS), unique=True))
def test_an_entry_matches_the_feeds_of_aliased_topics_and_of_their_parents(
    given_tables: tuple[TopicsTable, dict[str, str], dict[str, str]], stated: list[str]
) -> None:
    table, alias, parent = given_tables
    inside, before = set(stated), set()
    while inside != before:
        before = set(inside)
        inside |= {links[one] for links in (alias, parent) for one in inside if one in links}
    inside -= alias.keys()
    tables = read_tables(table)
    assert tables.with_parents(stated) == inside
    shown = tables.shown_names(stated, str.lower)
    assert set(shown) <= inside
    assert set(shown) == {one for one in stated if one not in alias} | {_end(alias, one) for one in stated}


@given(RULES, RULES)
def test_two_rules_have_the_same_text_only_if_they_are_equal(one: Rule, other: Rule) -> None:
    assert (rule_text(one) == rule_text(other)) is (one == other)


def test_the_text_of_a_rule_leaves_out_defaults() -> None:
    assert rule_text(Rule()) == "{}"
    assert rule_text(Rule(topics=clause(any=["b", "a"]))) == '{"topics": {"any": ["a", "b"]}}'
