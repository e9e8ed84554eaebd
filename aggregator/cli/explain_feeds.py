"""For one record and every feed: is its entry in the feed, and by which clause? For `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from aggregator.cli.explain_cause import Cause
from aggregator.cli.explain_state import RecordState, shown_place
from aggregator.config import Config
from aggregator.cycle.rehearsal import rehearse
from aggregator.documents import ALL
from aggregator.errors import StoreError
from aggregator.feeds.active_config import ActiveConfig, is_active, read_active
from aggregator.feeds.duplicates import DUPLICATES, read_representative
from aggregator.feeds.feed_list import lacking_key, read_topic_terms, topic_slugs, waiting_topics
from aggregator.feeds.rules import failing_clauses, fold, read_facts, rule_text, taking_clause
from aggregator.feeds.versions import feed_versions, load_feeds
from aggregator.feeds.window import FeedLoader, cutting_clause, provider_key
from aggregator.model import Feed, Record
from aggregator.settings import FeedSpec
from aggregator.store.queries import Membership, StoredEntry, find_by_id, place_of, read_memberships, rule_texts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store

NO_FEED = ("topics.auto", "topics.min_entries", "topics.max_feeds")
"""The clauses because of which a topic has no feed."""
MAX_NAMED = 3
"""Entries that a note names."""


@dataclass(frozen=True, slots=True)
class FeedVerdict:
    """Whether an entry is in a feed, and why."""

    slug: str
    is_in: bool
    clause: str | None = None  # the first that keeps it out, or one that takes it in
    file: str | None = None
    line: int | None = None
    shown: bool = False  # in the window
    page: int | None = None  # its archive page
    pending: bool = False  # the config is new, so this is what the next cycle will decide
    also: tuple[str, ...] = ()  # the other clauses that keep it out
    note: str | None = None  # what is behind the clause, for people


def find_verdicts(config: Config, store: Store, state: RecordState, cause: Cause, now: datetime) -> list[FeedVerdict]:
    """The verdicts on `all`, the feeds of its topics, and every configured feed.

    `max_age` and `per_provider` only cut the window: with them, an entry is not in the feed, though it stays in the
    archive. Under a config that is not active yet, a rehearsal says what the next cycle decides; that is pending. No
    transaction of `store` is open meanwhile: it would keep the log of SQLite from becoming shorter.
    """
    entry = state.stored.entry
    with store.read() as connection:
        if entry is None or not state.is_published:
            return _of_unpublished(config, connection, state, cause)
        if is_active(connection, ActiveConfig(config.feed_policy(), config.output_options())):
            return _of_published(config, connection, state, entry, cause)
        rules = rule_texts(connection, [spec.slug for spec in config.feeds])
        active = read_active(connection)
        published = feed_versions(connection, active.policy if active else config.feed_policy())
        members = {member.slug for member in read_memberships(connection, entry.key) if member.left_by is None}
    try:
        with rehearse(config, now, scan=False) as rehearsal, rehearsal.store.read() as later:
            after, redirects = _of_published(config, later, state, entry, cause), rehearsal.redirects
    except StoreError:  # the store contradicts the config
        with store.read() as connection:
            return _of_published(config, connection, state, entry, cause)
    changed = {spec.slug for spec in config.feeds if rules.get(spec.slug) != rule_text(spec.rule)}
    was_in = {slug for slug in published if slug in members}
    verdicts = [
        replace(verdict, pending=verdict.slug in changed or verdict.is_in != (verdict.slug in was_in))
        for verdict in after
    ]
    for slug in sorted(was_in.difference(verdict.slug for verdict in verdicts)):
        note = f"it redirects to {redirects[slug]}" if slug in redirects else "the feed ends"
        verdicts.append(FeedVerdict(slug, False, None, config.positions.file, None, pending=True, note=note))
    return verdicts


def _of_unpublished(config: Config, connection: Connection, state: RecordState, cause: Cause) -> list[FeedVerdict]:
    """The feeds that a record is not in, because it is not published."""
    configured, topics = [spec.slug for spec in config.feeds], frozenset[str]()
    if isinstance(state.outcome, Record):
        topics = config.tables.with_parents(map(fold, state.outcome.content.topics))
    slugs = topic_slugs(connection, config.feed_policy())
    of_topics = {slugs[key] for key in topics if key in slugs}.difference(configured)
    return [
        FeedVerdict(slug, False, cause.cause, cause.file, cause.line) for slug in (ALL, *sorted(of_topics), *configured)
    ]


def _of_published(
    config: Config, connection: Connection, state: RecordState, entry: StoredEntry, cause: Cause
) -> list[FeedVerdict]:
    """The verdicts on a published entry, by a store in which the config is active."""
    memberships = read_memberships(connection, entry.key)
    ruled = {member.slug: member for member in memberships if member.ruled}
    verdicts = [
        FeedVerdict(ALL, True, cause.cause, cause.file, cause.line),
        *_of_topics(config, connection, state, memberships),
        *(_of_rule(config, connection, entry, spec, ruled.get(spec.slug)) for spec in config.feeds),
    ]
    policy = config.feed_policy()
    loader = FeedLoader(policy, config.site_facts(), config.output_options())
    versions, terms = feed_versions(connection, policy), read_topic_terms(connection, policy)
    slugs = [verdict.slug for verdict in verdicts if verdict.is_in and verdict.slug in versions]
    feeds = {feed.slug: feed for feed in load_feeds(connection, loader, terms, slugs, {})}
    pages = {member.slug: member.page for member in reversed(memberships)}
    return [
        _in_window(config, connection, entry, replace(verdict, page=pages.get(verdict.slug)), feeds, state.now)
        if verdict.is_in
        else verdict
        for verdict in verdicts
    ]


def _of_topics(
    config: Config, connection: Connection, state: RecordState, memberships: Sequence[Membership]
) -> Iterator[FeedVerdict]:
    """The verdicts on the feeds of the topics of an entry, and why a topic has no feed."""
    policy, positions = config.feed_policy(), config.positions
    terms, waiting = read_topic_terms(connection, policy), {row.id for row in waiting_topics(connection, policy)}
    for member in memberships:
        if member.topic is None or member.ruled or member.left_by is not None:
            continue
        slug = member.slug or terms.term(member.topic)
        if slug in policy.specs:
            continue  # a configured feed has the place of the feed of the topic
        key = lacking_key(policy, member.slug, is_waiting=member.feed_id in waiting)
        if key is None:
            yield FeedVerdict(slug, True, *_topic_clause(config, state, member.topic))
            continue
        note = {
            "auto": "topics have no feeds",
            "max_feeds": f"the limit of {policy.max_feeds} is reached",
            "min_entries": f"the topic has {member.size} of {policy.min_entries} entries",
        }[key]
        yield FeedVerdict(slug, False, f"topics.{key}", positions.file, positions.line(("topics", key)), note=note)


def _topic_clause(config: Config, state: RecordState, topic: str) -> tuple[str, str | None, int | None]:
    """What puts an entry into the feed of a topic, and where: its record, [records], or a child of the topic."""
    tables, positions, source = config.tables, config.positions, state.source
    places: dict[str, tuple[str | None, int | None]] = {}
    in_config = (("default_topics", source.default_topics), ("topics", source.topics)) if source else ()
    for key, names in in_config:
        place = positions.file, positions.record_key(state.stored.source, key)
        places |= {tables.topic(fold(name)): place for name in names}
    for trace in reversed(state.traces):
        if trace.field == "topics" and trace.origin != "config":
            places |= {tables.topic(fold(name)): (state.path, trace.line) for name in trace.value or ()}
    if topic in places:
        return "topic", *places[topic]
    children = {child for child, parent in tables.parents.items() if parent == topic}
    if child := min(tables.with_parents(places.keys()) & children, default=None):
        return "topics.parent", positions.file, positions.topic("parent", child)
    return "topic", state.path, None


def _of_rule(
    config: Config, connection: Connection, entry: StoredEntry, spec: FeedSpec, member: Membership | None
) -> FeedVerdict:
    if member is not None and member.left_by is None:
        return _by_clause(config, FeedVerdict(spec.slug, True), taking_clause(spec.rule))
    facts = read_facts(entry.content, entry.quality, entry.heat, config.tables)
    failing = tuple(failing_clauses(facts, spec.rule))
    clause = failing[0] if failing else member.left_by if member else None
    note = None
    if member is not None and clause == DUPLICATES:
        first = read_representative(connection, member.feed_id, entry.key)
        note = f"{shown_place(config, place_of(connection, first))} represents it"
    return _by_clause(config, FeedVerdict(spec.slug, False, also=failing[1:], note=note), clause)


def _in_window(
    config: Config,
    connection: Connection,
    entry: StoredEntry,
    verdict: FeedVerdict,
    feeds: Mapping[str, Feed],
    now: int,
) -> FeedVerdict:
    """The verdict on a feed that an entry is in, with what its documents show of the entry at `now` (µs)."""
    feed, spec = feeds.get(verdict.slug), config.feed_policy().specs.get(verdict.slug)
    if feed is not None and any(other.id == entry.id for other in feed.entries):
        return replace(verdict, shown=True)
    if feed is None or spec is None:
        return verdict
    provider = provider_key(entry.content)
    rivals = [other.id for other in feed.entries if provider_key(other.content) == provider]
    clause = cutting_clause(spec, entry.content, entry.age_from, len(rivals), now)
    if clause is None:
        return verdict
    note = None
    if clause == "per_provider":
        places = (place for uid in rivals[:MAX_NAMED] for place in find_by_id(connection, uid)[:1])
        note = f"of its provider are shown: {', '.join(shown_place(config, place) for place in places)}"
    return _by_clause(config, replace(verdict, is_in=False, note=note), clause)


def _by_clause(config: Config, verdict: FeedVerdict, clause: str | None) -> FeedVerdict:
    """The verdict on a feed of the config with its clause, if there is one, and the line of that."""
    line = config.positions.clause(verdict.slug, clause or "slug")
    return replace(verdict, clause=clause, file=config.positions.file, line=line)
