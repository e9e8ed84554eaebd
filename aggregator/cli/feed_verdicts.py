"""For one record and every feed: is its entry in the feed, and by which clause? For `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from aggregator.cli.record_state import RecordState
from aggregator.documents import ALL
from aggregator.feeds.published import read_topic_terms, topic_slugs
from aggregator.feeds.rules import failing_clauses, read_facts, rule_text
from aggregator.feeds.versions import feed_versions, load_feeds
from aggregator.feeds.window import cutting_clause
from aggregator.model import Feed, Record
from aggregator.pipeline import Pipeline
from aggregator.settings import Clause, FeedSpec, Rule
from aggregator.slugs import topic_key
from aggregator.store.queries import Membership, StoredEntry, rule_texts
from aggregator.store.session import read_meta

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store


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
    pending: bool = False  # the rule is new, so this is what the next cycle will decide
    also: tuple[str, ...] = ()  # the other clauses that keep it out


def find_verdicts(
    record: RecordState, memberships: Sequence[Membership], store: Store, connection: Connection
) -> list[FeedVerdict]:
    """The verdicts on `all`, the feeds of its topics, and every configured feed.

    `max_age` and `per_provider` only cut the window: with them, an entry is not in the feed, though it stays in the
    archive.
    """
    verdicts = [*_stored_verdicts(record, memberships, connection)]
    policy = record.config.feed_policy()
    loader = Pipeline(record.config, store, read_meta(connection, "site_id") or "").loader
    versions = feed_versions(connection, policy)
    slugs = [verdict.slug for verdict in verdicts if verdict.is_in and not verdict.pending and verdict.slug in versions]
    terms = read_topic_terms(connection, policy)
    feeds = {feed.slug: feed for feed in load_feeds(connection, loader, terms, slugs, {})}
    pages = {member.slug: member.page for member in reversed(memberships)}
    return [
        _add_window(record, replace(verdict, page=pages.get(verdict.slug)), feeds.get(verdict.slug))
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
    for member in memberships:
        # a configured feed may have replaced the feed of a topic, and the next cycle fills it
        in_topic = member.topic is not None and not member.ruled and member.left_by is None
        if in_topic and member.slug is not None and member.slug not in configured:
            yield FeedVerdict(member.slug, True, *_topic_clause(record, str(member.topic)))
    ruled = {member.slug: member for member in memberships if member.ruled}
    rules = rule_texts(connection, configured)
    for spec in config.feeds:
        if record.is_published and record.entry is not None:
            pending = rules.get(spec.slug) != rule_text(spec.rule)
            member_now = None if pending else ruled.get(spec.slug)
            yield _of_rule(record, spec, record.entry, member_now, pending=pending)
        else:
            yield FeedVerdict(spec.slug, False, cause.cause, cause.file, cause.line)


def _of_rule(
    record: RecordState, spec: FeedSpec, entry: StoredEntry, member: Membership | None, *, pending: bool
) -> FeedVerdict:
    facts = read_facts(entry.content, entry.quality, entry.heat, record.config.tables)
    failing = tuple(failing_clauses(facts, spec.rule))
    is_in = not failing if pending else member is not None and member.left_by is None
    against = failing[0] if failing else member.left_by if member else None
    clause = _taking_clause(spec.rule) if is_in else against
    line = record.positions.clause(spec.slug, clause or "slug")
    also = () if is_in else failing[1:]
    return FeedVerdict(spec.slug, is_in, clause, record.positions.file, line, pending=pending, also=also)


def _add_window(record: RecordState, verdict: FeedVerdict, feed: Feed | None) -> FeedVerdict:
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
    return replace(verdict, is_in=False, clause=clause, file=record.positions.file, line=line)


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
