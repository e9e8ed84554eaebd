"""Explain: what was read of one record, whether it is published, which feeds it is in, and why. Only reads.

path, id or link -> the record (the store) + what its file says now (ingest) -> verdicts, each with file and line
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from aggregator.config import Config
from aggregator.display import shown_time
from aggregator.documents import ALL
from aggregator.errors import NotFoundError
from aggregator.feeds.registry import read_topic_terms, topic_slugs
from aggregator.feeds.rules import failing_clauses, fold, read_facts, rule_text
from aggregator.feeds.versions import feed_versions, load_feeds
from aggregator.ingest import trace_file
from aggregator.links import canonical_link
from aggregator.model import Content, Feed, Record, Rejection
from aggregator.parse.clean import http_url
from aggregator.parse.keys import FLAGS
from aggregator.parse.trace import FieldTrace
from aggregator.paths import escape_name, unescape_path
from aggregator.pipeline import Pipeline
from aggregator.problems import Problem, shown_path
from aggregator.settings import Clause, FeedSpec, Rule
from aggregator.slugs import topic_key
from aggregator.store.database import Store
from aggregator.store.events import Event, feed_slugs
from aggregator.store.queries import (
    Membership,
    StoredEntry,
    StoredRecord,
    find_by_id,
    find_by_text,
    known_paths,
    read_memberships,
    read_stored,
    rule_texts,
)
from aggregator.store.schema import EntryState, FileState
from aggregator.store.session import from_us, read_meta, to_us

MAX_MATCHES = 20
_RAW_BYTES = re.compile("[\ud800-\udfff]")
"""How os.fsdecode has bytes that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a record is published and why. `cause` is one word for programs; `file` and `line` are where the cause
    can be changed, None where it stands nowhere."""

    value: bool
    cause: str
    reason: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class FeedVerdict:
    """Whether an entry is in a feed, and by which clause: the first that keeps it out, or one that takes it in.

    `also` are the other clauses that keep it out. `shown` says that it is in the document, `page` which archive page it
    is sealed in. `pending`: the rule is not in force yet, so this is what the next cycle will find.
    """

    slug: str
    inside: bool
    clause: str | None
    file: str | None
    line: int | None
    shown: bool = False
    page: int | None = None
    pending: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the history of an entry: stored, renamed, released, withdrawn, or joined or left a feed."""

    at: datetime
    what: str
    feed: str | None
    clause: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that there is to say of one record. `others` are the paths of records that were meant as well, perhaps."""

    id: str | None
    path: str
    title: str
    published: Verdict
    fields: tuple[FieldTrace, ...]
    problems: tuple[str, ...]
    feeds: tuple[FeedVerdict, ...]
    history: tuple[Happening, ...]
    others: tuple[str, ...]


def explain_record(config: Config, store: Store, asked: str, now: datetime) -> Explanation:
    """What there is to say of the record at a path, with an id or with a link. Raises NotFoundError."""
    sources = {source.name: source for source in config.sources}
    with store.read() as connection:
        found = [place for place in _find(config, connection, asked) if place[0] in sources]
        if not found:
            raise NotFoundError(_nowhere(config, asked))
        stored = read_stored(connection, *found[0])
        source = sources[stored.source]
        outcome, traces = trace_file(source, stored.path)
        judge = _Judge(config, stored, outcome, traces, to_us(now))
        published = judge.published()
        entry = stored.entry
        memberships = read_memberships(connection, entry.key) if entry else []
        in_force = rule_texts(connection, [spec.slug for spec in config.feeds])
        topics = topic_slugs(connection, config.feed_policy())
        feeds = list(judge.feeds(published, memberships, in_force, topics))
        happenings = _tell(connection, entry.history) if entry else ()
    content = outcome.content if isinstance(outcome, Record) else entry.content if entry else None
    judged = _with_windows(config, store, entry, feeds, to_us(now))
    return Explanation(
        id=entry.id if entry else None,
        path=judge.path,
        title=content.title if content else "",
        published=published,
        fields=judge.placed(traces),
        problems=judge.problems(),
        feeds=judged,
        history=_with_ages(config, entry, judged, happenings),
        others=tuple(shown_path(sources[name].root, path) for name, path in found[1:]),
    )


# finding


def _find(config: Config, connection: Any, asked: str) -> list[tuple[str, str]]:
    """Source and path of what is meant, each once: by path, else by id, else by link."""
    ways: list[Callable[[Config, Any, str], list[tuple[str, str]]]] = [_by_path]
    if not _RAW_BYTES.search(asked):  # which a file name may have, and no id and no link
        ways += [_by_id, _by_link]
    for find in ways:
        if found := find(config, connection, asked):
            return list(dict.fromkeys(found))
    return []


def _by_path(config: Config, connection: Any, asked: str) -> list[tuple[str, str]]:
    """Files that are there, or were: looked up in each records folder, then from the working directory."""
    near = os.path.normpath(asked)
    places = []
    if not os.path.isabs(near) and not near.startswith(".."):
        places += [(source, near) for source in config.sources]
    full = os.path.abspath(asked)
    for source in config.sources:
        below = os.path.relpath(full, os.path.abspath(source.root))
        if not below.startswith(".."):
            places.append((source, below))
    there = []
    for source, path in places:
        escaped = "/".join(map(escape_name, path.split(os.sep)))
        if os.path.isfile(os.path.join(source.root, path)) or known_paths(connection, [(source.name, escaped)]):
            there.append((source.name, escaped))
    return there


def _by_id(_config: Config, connection: Any, asked: str) -> list[tuple[str, str]]:
    return find_by_id(connection, asked)


def _by_link(_config: Config, connection: Any, asked: str) -> list[tuple[str, str]]:
    """Entries with this link or original link; if there is none, with one that differs by what only tracks readers."""
    link = http_url(asked)
    if link is None:
        return []
    exact = (place for place, content in _holding(connection, link) if link in (content.link, content.original_link))
    if found := list(islice(exact, MAX_MATCHES)):
        return found
    plain = canonical_link(link)
    stem = urlunsplit(urlsplit(link)._replace(query="", fragment=""))
    alike = (
        place
        for place, content in _holding(connection, stem)
        if plain in map(canonical_link, filter(None, (content.link, content.original_link)))
    )
    return list(islice(alike, MAX_MATCHES))


def _holding(connection: Any, text: str) -> Iterator[tuple[tuple[str, str], Content]]:
    for source, path, content in find_by_text(connection, text):
        yield (source, path), content


def _nowhere(config: Config, asked: str) -> str:
    folders = ", ".join(shown_path(source.root, "") for source in config.sources)
    return (
        f"{asked!r} is no record: there is no such file in {folders} or from here, and no record in the store has it as"
        " its id or link (a new file is known after the next cycle)"
    )


# judging


class _Judge:
    """What is true of one record, and the places that make it so."""

    def __init__(
        self,
        config: Config,
        stored: StoredRecord,
        outcome: Record | Rejection | None,
        traces: tuple[FieldTrace, ...],
        now_us: int,
    ) -> None:
        self._config, self._stored, self._outcome, self._now = config, stored, outcome, now_us
        self._traces = {trace.field: trace for trace in traces if trace.origin == "record"}
        self._topic_lines: dict[str, int | None] = {}
        for trace in traces:
            if trace.field == "topics" and trace.origin != "config":
                for name in trace.value or ():
                    self._topic_lines.setdefault(config.tables.topic(topic_key(name)), trace.line)
        self._places = config.positions
        self._source = next(source for source in config.sources if source.name == stored.source)
        self.path = shown_path(self._source.root, stored.path)

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file as it is now, as `check` says it."""
        if isinstance(self._outcome, Rejection):
            return (str(replace(self._outcome.problem, path=self.path)),)
        warnings = self._outcome.warnings if self._outcome else ()
        return tuple(str(replace(problem, path=self.path)) for problem in warnings)

    def placed(self, traces: tuple[FieldTrace, ...]) -> tuple[FieldTrace, ...]:
        """The traces with the files that they name, and the lines of the config."""
        return tuple(
            replace(one, file=self._places.file, line=self._places.record_key(self._source.name, one.key or ""))
            if one.origin == "config"
            else replace(one, file=self.path)
            for one in traces
        )

    def published(self) -> Verdict:
        """Whether feeds show the record, and why."""
        stored, entry = self._stored, self._stored.entry
        out = entry is not None and entry.state == EntryState.PUBLISHED
        unread = self._of_gone_file(out=out) if self._outcome is None else self._of_unread_name(out=out)
        if unread is not None:
            return unread
        if stored.file_state is None:
            return self._of_new_file()
        if stored.file_state == FileState.REMOVED or self._has_changed():
            reason = "the file is another than the last cycle read; the next one decides"
            return Verdict(out, "changed", reason, self.path)
        if stored.file_state != FileState.READ and stored.problem is not None:
            return self._of_unusable_file(*stored.problem, out=out)
        if not isinstance(self._outcome, Record) or entry is None:
            return Verdict(out, "waiting", "the next cycle reads it again", self.path)
        return self._of_record(self._outcome, entry, out=out)

    def _has_changed(self) -> bool:
        known = self._stored.digest
        return self._outcome is not None and bool(known) and known != self._outcome.digest

    def _of_gone_file(self, *, out: bool) -> Verdict:
        if self._stored.file_state is None and os.path.islink(
            os.path.join(self._source.root, unescape_path(self._stored.path))
        ):
            reason = "it is a link to a file that is not read: outside the folder, or with a name that no scan reads"
            return Verdict(False, "link", reason, self.path)
        since = f" since {self._moment(self._stored.missing_since)}" if self._stored.missing_since is not None else ""
        if out and self._stored.held:
            reason = (
                f"its file is gone{since}, but with so many others that this waits (aggregator build --accept-removals)"
            )
            return Verdict(True, "held", reason, self.path)
        if out:
            return Verdict(True, "vanished", "its file is gone; the next cycle withdraws it", self.path)
        return Verdict(False, "vanished", f"its file is gone{since}", self.path)

    def _of_new_file(self) -> Verdict:
        if isinstance(self._outcome, Rejection):
            problem = self._outcome.problem
            return Verdict(False, "rejected", _said(problem.what, problem.value, problem.todo), self.path, problem.line)
        return Verdict(False, "new", "no cycle has read it yet (run: aggregator build)", self.path)

    def _of_unread_name(self, *, out: bool) -> Verdict | None:
        """Why no scan reads a file of this name; None if scans do."""
        name = os.path.basename(unescape_path(self._stored.path))
        end = "; the next cycle withdraws it" if out else ""
        hidden = any(part.startswith(".") for part in self._stored.path.split("/"))
        if hidden or not any(fnmatch.fnmatchcase(name, pattern) for pattern in self._source.include):
            reason = "its name is none that is read; see include in [records]"
            return self._in_config("include", "include", reason + end, value=out)
        for pattern in self._source.exclude:
            if fnmatch.fnmatchcase(name, pattern):
                return self._in_config("exclude", "exclude", f"its name is excluded by {pattern!r}{end}", value=out)
        return None

    def _of_unusable_file(self, line: int, what: str, value: str | None, todo: str, *, out: bool) -> Verdict:
        cause = str(self._stored.file_state or "rejected")
        if cause == "duplicate":
            line = line or self._line("id") or 0
        reason = _said(what, value, todo)
        if out:
            reason = f"it is as it was before, because its file gives no record now: {reason}"
        return Verdict(out, cause, reason, self.path, line or None)

    def _of_record(self, record: Record, entry: StoredEntry, *, out: bool) -> Verdict:
        if not record.public:
            return self._of_flag(value=out)
        if entry.expires_at is not None and entry.expires_at <= self._now:
            reason = f"it expired {self._moment(entry.expires_at)}" + ("; the next cycle withdraws it" if out else "")
            return Verdict(out, "expired", reason, self.path, self._line("expires_at"))
        if not out and entry.dated_at is not None and entry.dated_at > self._now:
            reason = f"its date is to come: {self._moment(entry.dated_at)}"
            return Verdict(False, "future", reason, self.path, self._line("published_at"))
        if not out:
            return Verdict(False, "waiting", "the next cycle releases it", self.path)
        return self._of_flag(value=True)

    def _of_flag(self, *, value: bool) -> Verdict:
        """The flag that publishes or hides a record, or what stands in for one."""
        published = self._traces.get("published")
        hiding = [self._traces[name] for name in FLAGS[1:] if name in self._traces and self._traces[name].value]
        if published is not None and published.value is False:
            hiding.insert(0, published)
        if hiding and not value:
            return self._by_flag(hiding[0], value=value)
        if published is not None and published.value is not None:
            return self._by_flag(published, value=value)
        if value and not self._source.default_published:
            return Verdict(value, "hidden", "its place in the folder says so", self.path)
        default = f"default_published is {str(self._source.default_published).lower()}"
        clear = [self._traces[name] for name in FLAGS[1:] if name in self._traces]
        if clear and value:
            return self._by_flag(clear[0], value=value, more=f", no 'published' is there, and {default}")
        flags = f"'{clear[0].key}' is false, no 'published' is there" if clear else "no flag in the record"
        return self._in_config("default_published", "default_published", f"{flags}, and {default}", value=value)

    def _by_flag(self, flag: FieldTrace, *, value: bool, more: str = "") -> Verdict:
        return Verdict(value, flag.field, f"'{flag.key}' is {str(flag.value).lower()}{more}", self.path, flag.line)

    def _in_config(self, cause: str, key: str, reason: str, *, value: bool = False) -> Verdict:
        return Verdict(value, cause, reason, self._places.file, self._places.record_key(self._source.name, key))

    def _moment(self, us: int) -> str:
        return shown_time(from_us(us), self._config.site.timezone)

    def _line(self, field: str) -> int | None:
        return self._traces[field].line if field in self._traces else None

    # feeds

    def feeds(
        self,
        published: Verdict,
        memberships: list[Membership],
        in_force: Mapping[str, str | None],
        topics: Mapping[str, str],
    ) -> Iterator[FeedVerdict]:
        """`all`, the feeds of its topics, and every feed of the config; `topics` are the slugs of those by topic."""
        why = published.cause, published.file, published.line
        yield FeedVerdict(ALL, published.value, *why)
        if not published.value and isinstance(self._outcome, Record):
            facts = read_facts(self._outcome.content, -1, -1, self._config.tables)
            stated = {spec.slug for spec in self._config.feeds}
            for slug in sorted({topics[key] for key in facts.topics if key in topics} - stated):
                yield FeedVerdict(slug, False, *why)
        # the feed of a topic may have become one of the config that the next cycle will fill
        replaced = {spec.slug for spec in self._config.feeds}
        for one in memberships:
            if one.topic is not None and not one.ruled and one.left_by is None and one.slug not in {None, *replaced}:
                yield FeedVerdict(str(one.slug), True, *self._topic_clause(one.topic), page=one.page)
        ruled = {one.slug: one for one in memberships if one.ruled}
        for spec in self._config.feeds:
            if not published.value or self._stored.entry is None:
                yield FeedVerdict(spec.slug, False, *why)
            else:
                pending = in_force.get(spec.slug) != rule_text(spec.rule)
                yield self._of_rule(
                    spec, self._stored.entry, None if pending else ruled.get(spec.slug), pending=pending
                )

    def _of_rule(
        self, spec: FeedSpec, entry: StoredEntry, membership: Membership | None, *, pending: bool
    ) -> FeedVerdict:
        facts = read_facts(entry.content, entry.quality, entry.heat, self._config.tables)
        failing = tuple(failing_clauses(facts, spec.rule))
        inside = not failing if pending else membership is not None and membership.left_by is None
        if inside:
            clause = taking_clause(spec.rule)
        else:
            clause = failing[0] if failing else membership.left_by if membership else None
        line = self._places.clause(spec.slug, clause or "slug")
        page = membership.page if membership else None
        also = () if inside else failing[1:]
        return FeedVerdict(spec.slug, inside, clause, self._places.file, line, page=page, pending=pending, also=also)

    def _topic_clause(self, topic: str) -> tuple[str, str | None, int | None]:
        """What puts the entry into the feed of a topic, and where that is stated: the topic in the record or for all
        records of its source, or a topic that belongs to it."""
        tables, own = self._config.tables, self._topic_lines.keys()
        added = {tables.topic(topic_key(name)) for name in self._source.topics}
        children = {child for child, parent in tables.parents.items() if parent == topic}
        if topic not in own | added and (child := min(tables.with_parents(own | added) & children, default=None)):
            return "topics.parent", self._places.file, self._places.topic("parent", child)
        if topic not in own and topic in added:
            return "topic", self._places.file, self._places.record_key(self._source.name, "topics")
        return "topic", self.path, self._topic_lines.get(topic)


def taking_clause(rule: Rule) -> str | None:
    """The first clause that takes entries in; of a rule that only keeps some out, the first of those; None without."""
    found = []
    for field in fields(rule):
        value = getattr(rule, field.name)
        if isinstance(value, Clause):
            found += [f"{field.name}.{test}" for test in ("any", "all", "none") if getattr(value, test)]
        elif value != field.default and not isinstance(value, str):
            found.append(field.name)
    return next((clause for clause in found if not clause.endswith(".none")), next(iter(found), None))


def _with_windows(
    config: Config, store: Store, entry: StoredEntry | None, feeds: list[FeedVerdict], now_us: int
) -> tuple[FeedVerdict, ...]:
    """The verdicts, those of feeds that the entry is in with whether it is in the document. A clause that cuts the
    window alone, `max_age` or `per_provider`, keeps it out too, though it stays in the archive."""
    if entry is None:
        return tuple(feeds)
    policy, places = config.feed_policy(), config.positions
    with store.read() as connection:
        loader = Pipeline(config, store, read_meta(connection, "site_id") or "").loader
        published = feed_versions(connection, policy)
        slugs = [one.slug for one in feeds if one.inside and not one.pending and one.slug in published]
        pages = {one.slug: one.page for one in read_memberships(connection, entry.key)}
        terms = read_topic_terms(connection, policy)
        shown = {feed.slug: feed for feed in load_feeds(connection, loader, terms, slugs, {})}
    judged = []
    for one in feeds:
        feed, spec = shown.get(one.slug), policy.specs.get(one.slug)
        is_shown = feed is not None and any(other.id == entry.id for other in feed.entries)
        page = pages.get(one.slug) if one.inside else None
        cut = _cutting_clause(spec, entry, feed, now_us) if one.inside and spec and feed and not is_shown else None
        if spec is not None and cut is not None:
            line = places.clause(spec.slug, cut)
            judged.append(replace(one, inside=False, clause=cut, file=places.file, line=line, page=page, shown=False))
        else:
            judged.append(replace(one, shown=is_shown, page=page))
    return tuple(judged)


def _cutting_clause(spec: FeedSpec, entry: StoredEntry, feed: Feed, now_us: int) -> str | None:
    """The clause by which the document of a feed leaves out an entry that its rule takes."""
    dated = entry.published_at if entry.published_at is not None else entry.released_at
    if spec.max_age is not None and dated is not None and dated <= now_us - spec.max_age // timedelta(microseconds=1):
        return "max_age"
    name = _provider(entry.content)
    if spec.per_provider is not None and name:
        same = sum(_provider(other.content) == name for other in feed.entries)
        return "per_provider" if same >= spec.per_provider else None
    return None


def _with_ages(
    config: Config, entry: StoredEntry | None, feeds: tuple[FeedVerdict, ...], history: tuple[Happening, ...]
) -> tuple[Happening, ...]:
    """The history, and when the entry became too old for feeds: that follows from its date, so nothing keeps it."""
    ages = {spec.slug: spec.max_age for spec in config.feeds if spec.max_age is not None}
    told = list(history)
    for one in feeds:
        if entry is not None and one.clause == "max_age" and not one.inside:
            dated = entry.published_at if entry.published_at is not None else entry.released_at
            joined = [other.at for other in history if other.what == "joined" and other.feed == one.slug]
            told.append(Happening(max([from_us(dated or 0) + ages[one.slug], *joined]), "left", one.slug, "max_age"))
    return tuple(sorted(told, key=lambda other: other.at))


def _provider(content: Content) -> str:
    return fold(content.provider.name or content.provider.domain) if content.provider else ""


def _tell(connection: Any, history: tuple[Event, ...]) -> tuple[Happening, ...]:
    """The history with the names of feeds."""
    slugs = feed_slugs(connection, [one.feed_id for one in history if one.feed_id is not None])
    return tuple(
        Happening(from_us(one.at), one.what, slugs.get(one.feed_id) if one.feed_id is not None else None, one.clause)
        for one in history
    )


def _said(what: str, value: str | None, todo: str) -> str:
    """A problem without its place."""
    return str(Problem("", 0, 0, what, value, todo)).removeprefix(": ")
