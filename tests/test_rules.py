"""Which feeds an entry belongs in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.model import Rule
from aggregator.rules import matches, matching_feeds, topic_rule

KEYS = st.frozensets(st.sampled_from(["ai", "maps", "power apps", "日本語"]))


@pytest.mark.parametrize(
    ("topics", "wanted", "inside"),
    [
        ((), (), True),
        (("ai",), (), True),
        ((), ("ai",), False),
        (("ai",), ("ai",), True),
        (("maps",), ("ai",), False),
        (("maps", "ai"), ("ai", "space"), True),
    ],
)
def test_a_rule_takes_what_has_one_of_its_topics_and_all_if_it_names_none(
    topics: tuple[str, ...], wanted: tuple[str, ...], inside: bool
) -> None:
    assert matches(frozenset(topics), Rule(frozenset(wanted))) is inside


def test_topics_are_alike_but_for_case_and_white_space() -> None:
    feeds = matching_feeds(["Power  APPS", "unheard of"], {1: Rule()}, {"power apps": 2, "ai": 3})
    assert feeds == {1, 2}


@given(KEYS, KEYS)
def test_the_index_of_topics_narrows_and_never_decides(topics: frozenset[str], known: frozenset[str]) -> None:
    by_topic = {key: number for number, key in enumerate(sorted(known))}
    tried_all = {number for key, number in by_topic.items() if matches(topics, topic_rule(key))}
    assert matching_feeds(topics, {}, by_topic) == tried_all
