"""For one record and every feed: is its entry in the feed, and by which clause? For `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

from aggregator.cli.record_state import RecordState, shown_place
from aggregator.documents import ALL
from aggregator.errors import StoreError
from aggregator.feeds.active_config import ActiveConfig, is_active, read_active
from aggregator.feeds.duplicates import DUPLICATES, links_of, read_groups
from aggregator.feeds.published import read_topic_terms, topic_slugs, waiting_topics
from aggregator.feeds.rules import failing_clauses, read_facts, rule_text
from aggregator.feeds.versions import feed_versions, load_feeds
from aggregator.feeds.window import FeedLoader, cutting_clause, provider_key
from aggregator.model import Feed, Record
from aggregator.rehearsal import rehearse
from aggregator.settings import Clause, FeedSpec, Rule
from aggregator.slugs import topic_key
from aggregator.store.queries import (
    Membership,
    StoredEntry,
    find_by_id,
    places_of,
    read_memberships,
    rule_texts,
)

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
    clause: str | None  # the first that keeps it out, or one that takes it in
    file: str | None
    line: int | None
    shown: bool = False  # in the window
    page: int | None = None  # its archive page
    pending: bool = False  # the config is new, so this is what the next cycle will decide
    also: tuple[str, ...] = ()  # the other clauses that keep it out
    note: str | None = None  # what is behind the clause, for people


def find_verdicts(record: RecordState, store: Store, now: datetime) -> list[FeedVerdict]:
    """The verdicts on `all`, the feeds of its topics, and every configured feed.

    `max_age` and `per_provider` only cut the window: with them, an entry is not in the feed, though it stays in the
    archive. Under a config that is not active yet, a rehearsal says what the next cycle decides; that is pending. No
    transaction of `store` is open meanwhile: it would keep the log of SQLite from becoming shorter.
    """
    config = record.config
    with store.read() as connection:
        is_known = is_active(connection, ActiveConfig(config.feed_policy(), config.output_options()))
        if record.entry is None or not record.is_published or is_known:
            return _verdicts(record, connection)
        rules = rule_texts(connection, [spec.slug for spec in config.feeds])
        active = read_active(connection)
        published = feed_versions(connection, active.policy if active else config.feed_policy())
        before = [member.slug for member in read_memberships(connection, record.entry.key) if member.left_by is None]
    try:
        with rehearse(config, now, scan=False) as rehearsal, rehearsal.store.read() as later:
            after, redirects = _verdicts(record, later), rehearsal.redirects
    except StoreError:  # the store contradicts the config
        with store.read() as connection:
            return _verdicts(record, connection)
    changed = {spec.slug for spec in config.feeds if rules.get(spec.slug) != rule_text(spec.rule)}
    was_in = {slug for slug in before if slug is not None and slug in published}
    verdicts = [
        replace(verdict, pending=verdict.slug in changed or verdict.is_in != (verdict.slug in was_in))
        for verdict in after
    ]
    for slug in sorted(was_in.difference(verdict.slug for verdict in verdicts)):
        note = f"it redirects to {redirects[slug]}" if slug in redirects else "the feed ends"
        verdicts.append(FeedVerdict(slug, False, None, record.positions.file, None, pending=True, note=note))
    return verdicts


def _verdicts(record: RecordState, connection: Connection) -> list[FeedVerdict]:
    """The verdicts by a store, which the config is active in."""
    memberships = read_memberships(connection, record.entry.key) if record.entry else []
    verdicts = [*_stored_verdicts(record, memberships, connection)]
    config, policy = record.config, record.config.feed_policy()
    loader = FeedLoader(policy, config.site_facts(), config.output_options())
    versions = feed_versions(connection, policy)
    slugs = [verdict.slug for verdict in verdicts if verdict.is_in and verdict.slug in versions]
    terms = read_topic_terms(connection, policy)
    feeds = {feed.slug: feed for feed in load_feeds(connection, loader, terms, slugs, {})}
    pages = {member.slug: member.page for member in reversed(memberships)}
    return [
        _add_window(record, replace(verdict, page=pages.get(verdict.slug)), feeds.get(verdict.slug), connection)
        if verdict.is_in and record.entry is not None
        else verdict
        for verdict in verdicts
    ]


def _stored_verdicts(
    record: RecordState, memberships: Sequence[Membership], connection: Connection
) -> Iterator[FeedVerdict]:
    """The verdicts by what is stored, windows aside."""
    config, cause = record.config, record.cause
    configured = {spec.slug for spec in config.feeds}
    yield FeedVerdict(ALL, record.is_published, cause.cause, cause.file, cause.line)
    if not record.is_published and isinstance(record.outcome, Record):
        slugs = topic_slugs(connection, config.feed_policy())
        topics = read_facts(record.outcome.content, -1, -1, config.tables).topics
        for slug in sorted({slugs[key] for key in topics if key in slugs} - configured):
            yield FeedVerdict(slug, False, cause.cause, cause.file, cause.line)
    yield from _of_topics(record, memberships, connection)
    ruled = {member.slug: member for member in memberships if member.ruled}
    for spec in config.feeds:
        if record.is_published and record.entry is not None:
            yield _of_rule(record, spec, record.entry, ruled.get(spec.slug), connection)
        else:
            yield FeedVerdict(spec.slug, False, cause.cause, cause.file, cause.line)


def _of_topics(record: RecordState, memberships: Sequence[Membership], connection: Connection) -> Iterator[FeedVerdict]:
    """The verdicts on the feeds of the topics of the entry, and why a topic has no feed."""
    policy, positions = record.config.feed_policy(), record.positions
    terms, waiting = read_topic_terms(connection, policy), {row.id for row in waiting_topics(connection, policy)}

    def without_feed(slug: str, key: str, note: str) -> FeedVerdict:
        return FeedVerdict(slug, False, f"topics.{key}", positions.file, positions.line(("topics", key)), note=note)

    for member in memberships:
        if member.topic is None or member.ruled or member.left_by is not None:
            continue
        slug = member.slug or terms.term(member.topic)
        if slug in policy.specs:
            continue  # a configured feed has the place of the feed of the topic
        if not policy.auto:
            yield without_feed(slug, "auto", "topics have no feeds")
        elif member.slug is not None:
            yield FeedVerdict(slug, True, *_topic_clause(record, member.topic))
        elif member.feed_id in waiting:
            yield without_feed(slug, "max_feeds", f"the limit of {policy.max_feeds} is reached")
        else:
            yield without_feed(slug, "min_entries", f"the topic has {member.size} of {policy.min_entries} entries")


def _of_rule(
    record: RecordState, spec: FeedSpec, entry: StoredEntry, member: Membership | None, connection: Connection
) -> FeedVerdict:
    facts = read_facts(entry.content, entry.quality, entry.heat, record.config.tables)
    failing = tuple(failing_clauses(facts, spec.rule))
    is_in = member is not None and member.left_by is None
    against = failing[0] if failing else member.left_by if member else None
    clause = _taking_clause(spec.rule) if is_in else against
    line = record.positions.clause(spec.slug, clause or "slug")
    also = () if is_in else failing[1:]
    note = None
    if member is not None and clause == DUPLICATES:
        groups = read_groups(connection, [member.feed_id], links_of(connection, [entry.key]))
        note = f"{_shown_paths(record, connection, [next(groups)[0].entry_id])} represents it"
    return FeedVerdict(spec.slug, is_in, clause, record.positions.file, line, also=also, note=note)


def _shown_paths(record: RecordState, connection: Connection, keys: Sequence[int]) -> str:
    return ", ".join(shown_place(record.config, place) for place in places_of(connection, keys))


def _add_window(record: RecordState, verdict: FeedVerdict, feed: Feed | None, connection: Connection) -> FeedVerdict:
    """The verdict with what the feed shows of the entry."""
    entry, spec = record.entry, record.config.feed_policy().specs.get(verdict.slug)
    if entry is None or feed is None:
        return verdict
    if any(other.id == entry.id for other in feed.entries):
        return replace(verdict, shown=True)
    window = (other.content for other in feed.entries)
    clause = cutting_clause(spec, dated_at(entry), entry.content, window, record.now) if spec else None
    if spec is None or clause is None:
        return verdict
    line = record.positions.clause(spec.slug, clause)
    note = None
    if clause == "per_provider":
        provider = provider_key(entry.content)
        shown = [other.id for other in feed.entries if provider_key(other.content) == provider][:MAX_NAMED]
        paths = (shown_place(record.config, place) for uid in shown for place in find_by_id(connection, uid)[:1])
        note = f"of its provider are shown: {', '.join(paths)}"
    return replace(verdict, is_in=False, clause=clause, file=record.positions.file, line=line, note=note)


def _topic_clause(record: RecordState, topic: str) -> tuple[str, str | None, int | None]:
    """What puts the entry into the feed of a topic, and where: the topic in the record, in [records], or a child of
    the topic."""
    tables, positions, source = record.config.tables, record.positions, record.source
    lines: dict[str, int | None] = {}
    for trace in record.traces:
        if trace.field == "topics" and trace.origin != "config":
            for name in trace.value or ():
                lines.setdefault(tables.topic(topic_key(name)), trace.line)
    added = {
        tables.topic(topic_key(name)): key
        for key, names in (("default_topics", source.default_topics), ("topics", source.topics))
        for name in names
    }
    children = {child for child, parent in tables.parents.items() if parent == topic}
    stated = lines.keys() | added.keys()
    if topic not in stated and (child := min(tables.with_parents(stated) & children, default=None)):
        return "topics.parent", positions.file, positions.topic("parent", child)
    if topic not in lines and topic in added:
        return "topic", positions.file, positions.record_key(source.name, added[topic])
    return "topic", record.path, lines.get(topic)


def _taking_clause(rule: Rule) -> str | None:
    """The first clause that takes entries in, else the first that keeps entries out; None without clauses."""
    clauses = []
    for field in fields(rule):
        value = getattr(rule, field.name)
        if isinstance(value, Clause):
            clauses += [f"{field.name}.{test}" for test in ("any", "all", "none") if getattr(value, test)]
        elif value != field.default and not isinstance(value, str):
            clauses.append(field.name)
    return next((clause for clause in clauses if not clause.endswith(".none")), next(iter(clauses), None))


def dated_at(entry: StoredEntry) -> int | None:
    """When an entry was published as its record says, else when it was released."""
    return entry.published_at if entry.published_at is not None else entry.released_at
