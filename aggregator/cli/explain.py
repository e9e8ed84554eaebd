"""`aggregator explain`: the fields of one record, its state, its feeds, and why. Reads only.

path, id or link -> the record (the store) + what its file says now (ingest) -> causes, each with its file and line
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, tzinfo
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_table
from aggregator.cli.stores import candidate_places, reading_store
from aggregator.config import Config
from aggregator.documents import ALL
from aggregator.errors import NotFoundError
from aggregator.feeds.registry import read_topic_terms, topic_slugs
from aggregator.feeds.rules import failing_clauses, read_facts, rule_text
from aggregator.feeds.versions import feed_versions, load_feeds
from aggregator.feeds.window import cutting_clause
from aggregator.files import FolderError, Kind, open_files
from aggregator.ingest import page_context, trace_file
from aggregator.links import canonical_link, http_url
from aggregator.model import Feed, NoRecord, Record, Rejection
from aggregator.parse.keys import FLAGS
from aggregator.parse.trace import FieldTrace
from aggregator.paths import RecordFilter, unescape_path
from aggregator.pipeline import Pipeline
from aggregator.problems import shown_path, shown_time, stamp
from aggregator.settings import Clause, FeedSpec, Rule, Source
from aggregator.slugs import topic_key
from aggregator.store.events import feed_slugs
from aggregator.store.page_links import unresolved_links
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

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store

MAX_MATCHES = 20
MAX_SHOWN_VALUE = 300
"""Characters of a value on a terminal; JSON has all of them."""
_RAW_BYTES = re.compile("[\ud800-\udfff]")
"""Bytes that are not UTF-8, as os.fsdecode returns them."""

EPILOG = """\b
Examples:
  aggregator explain 2024/05/chips.md
  aggregator explain https://example.org/chips
  aggregator explain urn:uuid:… --json
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("record", metavar="PATH|URL|ID")
def explain(config_path: Path | None, *, as_json: bool, record: str) -> None:
    """Explain one record: each field and its origin, whether it is published and why, its feeds with the deciding
    clause, and its history.

    PATH is relative to a records folder or to the working directory, or it is s3://… of a record in a bucket. URL is
    the link of the record; tracking parameters are ignored. Reads only; works while the service runs.
    """
    config = load_config(config_path)
    with reading_store(config) as store:
        data = explain_record(config, store, record, datetime.now(UTC))
    print_data(data, lambda shown: print_table(_render(shown, config.site.timezone)), as_json=as_json)


def explain_record(config: Config, store: Store, asked: str, now: datetime) -> dict[str, Any]:
    """The explanation for --json of the record with a path, id or link. Raises NotFoundError."""
    roots = {source.name: source.root for source in config.sources}
    with store.read() as connection:
        places = [place for place in _find(config, connection, asked) if place[0] in roots]
        if not places:
            folders = ", ".join(shown_path(root, "") for root in roots.values())
            raise NotFoundError(
                f"{asked!r} is no record: there is no such file in {folders} or in the working folder, and no record in"
                " the store has this id or link (a new file is known after the next cycle)"
            )
        stored = read_stored(connection, *places[0])
        memberships = read_memberships(connection, stored.entry.key) if stored.entry else []
        case = _Case(config, stored, memberships, to_us(now))
        entry, outcome = case.entry, case.outcome
        feeds = _add_windows(case, store, connection, [*case.feeds(connection)])
        history = _history(config, connection, entry, feeds) if entry else []
        links = unresolved_links(connection, entry.key) if entry else []
    content = outcome.content if isinstance(outcome, Record) else entry.content if entry else None
    return {
        "id": entry.id if entry else None,
        "format_ids": _format_ids(entry),
        "path": case.path,
        "title": content.title if content else "",
        "published": {"value": case.is_published, **case.cause._asdict()},
        "fields": [asdict(trace) for trace in case.placed_traces()],
        "problems": case.problems(),
        "unresolved_links": links,
        "feeds": [_feed_data(feed) for feed in feeds],
        "history": history,
        "others": [shown_path(roots[name], path) for name, path in places[1:]],
    }


def _format_ids(entry: StoredEntry | None) -> dict[str, str]:
    """The ids that formats show instead of the id of the entry."""
    ids = entry.format_ids._asdict() if entry and entry.format_ids else {}
    return {form: text for form, text in ids.items() if text}


# finding the record


def _find(config: Config, connection: Connection, asked: str) -> list[tuple[str, str]]:
    """Source and path of the records that are meant: by path, else by id, else by link."""
    places = [
        (source.name, path)
        for source, path in candidate_places(config.sources, asked)
        if known_paths(connection, [(source.name, path)]) or _kind(source, path) in ("file", "link")
    ]
    if not places and not _RAW_BYTES.search(asked):  # which no id and no link has
        places = find_by_id(connection, asked) or _find_by_link(connection, asked)
    return list(dict.fromkeys(places))


def _kind(source: Source, path: str) -> Kind | None:
    """What is at a path of a source; None also if that cannot be read now."""
    try:
        with open_files(source) as files:
            return files.kind(path)
    except FolderError:
        return None


def _find_by_link(connection: Connection, asked: str) -> list[tuple[str, str]]:
    """Entries with this link or original link; without any, entries with the same canonical link."""
    link = http_url(asked)
    if link is None:
        return []
    exact = _with_links(connection, link, lambda other: other == link)
    if places := list(islice(exact, MAX_MATCHES)):
        return places
    canonical = canonical_link(link)
    without_query = urlunsplit(urlsplit(link)._replace(query="", fragment=""))
    similar = _with_links(connection, without_query, lambda other: canonical_link(other) == canonical)
    return list(islice(similar, MAX_MATCHES))


def _with_links(connection: Connection, text: str, is_meant: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Source and path of the entries that have `text` in their content and one of whose links `is_meant`."""
    for source, path, content in find_by_text(connection, text):
        if any(map(is_meant, filter(None, (content.link, content.original_link)))):
            yield source, path


# the state of the record and its feeds


class Cause(NamedTuple):
    """Why a record is in its state: one word for programs, a text for people, and where the cause can be changed."""

    cause: str
    reason: str
    file: str | None = None
    line: int | None = None


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


class _Case:
    """One record: what the store and its file say, and where the config and the record say it."""

    def __init__(self, config: Config, stored: StoredRecord, memberships: Sequence[Membership], now_us: int) -> None:
        self.config, self._stored, self._now = config, stored, now_us
        self._source = next(source for source in config.sources if source.name == stored.source)
        self._positions = config.positions
        self.path = shown_path(self._source.root, stored.path)
        self.entry, self.memberships = stored.entry, memberships
        self.is_published = stored.entry is not None and stored.entry.state == EntryState.PUBLISHED
        self.outcome, self._traces = trace_file(self._source, stored.path)
        self._read = {trace.field: trace for trace in self._traces if trace.origin in ("record", "cascade")}
        self.cause = self._find_cause()

    def problems(self) -> list[str]:
        """What is wrong with the file as it is now, as `check` reports it."""
        if isinstance(self.outcome, Rejection):
            return [str(replace(self.outcome.problem, path=self.path))]
        warnings = self.outcome.warnings if isinstance(self.outcome, Record) else ()
        return [str(replace(problem, path=self.path)) for problem in warnings]

    def placed_traces(self) -> Iterator[FieldTrace]:
        """The origins of fields, with file and line also of those in the config."""
        for trace in self._traces:
            if trace.origin == "config":
                line = self._positions.record_key(self._source.name, trace.key or "")
                yield replace(trace, file=self._positions.file, line=line)
            else:
                yield replace(trace, file=self._file_of(trace))

    # causes

    def _find_cause(self) -> Cause:
        if isinstance(self.outcome, NoRecord):
            return self._of_resource(self.outcome)
        unread = self._of_missing_file() if self.outcome is None else self._of_name()
        if unread is not None:
            return unread
        return self._of_new_file() if self._stored.file_state is None else self._of_known_file(self._stored.file_state)

    def _of_resource(self, outcome: NoRecord) -> Cause:
        if outcome.bundle is None:
            return self._of_name() or Cause("resource", "it is no record", self.path)
        bundle = shown_path(self._source.root, outcome.bundle)
        end = "; the next cycle withdraws it" if self.is_published else ""
        return Cause("resource", f"it is a resource of the bundle {bundle}, not a page of its own{end}", bundle)

    def _file_of(self, trace: FieldTrace) -> str:
        """The file that gave a field: the record, or an index file with a cascade."""
        return shown_path(self._source.root, trace.file) if trace.file else self.path

    def _of_new_file(self) -> Cause:
        if isinstance(self.outcome, Rejection):
            return Cause("rejected", self.outcome.problem.text, self.path, self.outcome.problem.line)
        return Cause("new", "no cycle has read it yet (run: aggregator build)", self.path)

    def _of_known_file(self, state: str) -> Cause:
        known, problem = self._stored.digest, self._stored.problem
        if state == FileState.REMOVED or (self.outcome and known and known != self.outcome.digest):
            return Cause("changed", "the file changed after the last cycle; the next one decides", self.path)
        if state != FileState.READ and problem is not None:
            line = problem.line or (self._line("id") if state == FileState.DUPLICATE else None)
            stale = "its entry is as it was before, because its file gives no record now: " if self.is_published else ""
            return Cause(state, stale + problem.text, self.path, line or None)
        if isinstance(self.outcome, Record) and self.entry is not None:
            return self._of_record(self.outcome, self.entry)
        return Cause("changed", "the next cycle reads it again", self.path)

    def _of_missing_file(self) -> Cause:
        stored = self._stored
        if stored.file_state is None and _kind(self._source, stored.path) == "link":
            reason = "it is a link to a file that is not read: outside the folder, or with a name that no scan reads"
            return Cause("link", reason, self.path)
        since = "" if stored.missing_since is None else f" since {self._time(stored.missing_since)}"
        missing = f"its file is missing{since}"
        if self.is_published and stored.held:
            reason = f"{missing}, with its folder or with many others, so they stay for now (bring them back; or, if"
            reason += " it is meant, run: aggregator build --accept-removals)"
            return Cause("mass_removal", reason, self.path)
        if self.is_published:
            return Cause("missing", f"{missing}; the next cycle withdraws it", self.path)
        return Cause("withdrawn", missing, self.path)

    def _of_name(self) -> Cause | None:
        """Why no scan reads a file of this name; None if scans do."""
        path = unescape_path(self._stored.path)
        hidden = any(part.startswith(".") for part in path.split("/"))
        end = "; the next cycle withdraws it" if self.is_published else ""
        if hidden or not RecordFilter(self._source.include)(path):
            return self._in_config("include", f"no scan reads a file of this name; see include in [records]{end}")
        for pattern in self._source.exclude:
            if RecordFilter((pattern,))(path):
                return self._in_config(
                    "exclude", f"its {'path' if '/' in pattern else 'name'} is excluded by {pattern!r}{end}"
                )
        return None

    def _of_record(self, record: Record, entry: StoredEntry) -> Cause:
        if record.public:
            if entry.expires_at is not None and entry.expires_at <= self._now:
                end = "; the next cycle withdraws it" if self.is_published else ""
                reason = f"it expired {self._time(entry.expires_at)}{end}"
                return Cause("expired", reason, *self._place("expires_at"))
            if not self.is_published and entry.dated_at is not None and entry.dated_at > self._now:
                reason = f"its date is in the future: {self._time(entry.dated_at)}"
                return Cause("scheduled", reason, *self._place("published_at"))
            if not self.is_published:
                return Cause("scheduled", "the next cycle releases it", self.path)
        return self._of_flag()

    def _of_flag(self) -> Cause:
        """The flag that publishes or hides the record, or the default without a flag."""
        published = self._read.get("published")
        others = [self._read[name] for name in FLAGS[1:] if name in self._read]
        if not self.is_published and (cause := self._of_hiding(published, others)):
            return cause
        if published is not None and published.value is not None:
            return self._by_flag(published)
        default = f"default_published is {str(self._source.default_published).lower()}"
        if others and self.is_published:
            return self._by_flag(others[0], more=f", no 'published' is there, and {default}")
        flags = f"'{others[0].key}' is false, no 'published' is there" if others else "no flag in the record"
        return self._in_config("default_published", f"{flags}, and {default}")

    def _of_hiding(self, published: FieldTrace | None, others: Sequence[FieldTrace]) -> Cause | None:
        if published is not None and published.value is False:
            return self._by_flag(published)
        if hiding := next((flag for flag in others if flag.value), None):
            return self._by_flag(hiding)
        is_hidden_otherwise = self._source.default_published if published is None else published.value
        return self._of_system() if is_hidden_otherwise else None

    def _of_system(self) -> Cause:
        """What Hugo, Zola or Jekyll hides: by a build option, or by the name of the file or a folder above it."""
        if option := self._read.get("visibility"):
            reason = f"'{option.key}'{self._of_cascade(option)} keeps the page out of the site or its lists"
            return Cause("visibility", reason, self._file_of(option), option.line)
        if section := page_context(self._source, self._stored.path).draft_section:
            file = shown_path(self._source.root, section[0])
            return Cause("draft", f"the section above it is a draft in Zola: {file}", file, section[1])
        return Cause("hidden", "the name of the file or of a folder above it hides it", self.path)

    def _by_flag(self, flag: FieldTrace, *, more: str = "") -> Cause:
        reason = f"'{flag.key}' is {str(flag.value).lower()}{self._of_cascade(flag)}{more}"
        return Cause(flag.field, reason, self._file_of(flag), flag.line)

    def _of_cascade(self, trace: FieldTrace) -> str:
        is_inherited = trace.origin == "cascade"
        return f" by the cascade in {self._file_of(trace)}, line {trace.line}" if is_inherited else ""

    def _in_config(self, key: str, reason: str) -> Cause:
        return Cause(key, reason, self._positions.file, self._positions.record_key(self._source.name, key))

    def _time(self, us: int) -> str:
        return shown_time(from_us(us), self.config.site.timezone)

    def _line(self, field: str) -> int | None:
        return self._read[field].line if field in self._read else None

    def _place(self, field: str) -> tuple[str, int | None]:
        trace = self._read.get(field)
        return (self._file_of(trace), trace.line) if trace else (self.path, None)

    # feeds

    def feeds(self, connection: Connection) -> Iterator[FeedVerdict]:
        """`all`, the feeds of its topics, and every configured feed."""
        cause, configured = self.cause, {spec.slug for spec in self.config.feeds}
        yield FeedVerdict(ALL, self.is_published, cause.cause, cause.file, cause.line)
        if not self.is_published and isinstance(self.outcome, Record):
            slugs = topic_slugs(connection, self.config.feed_policy())
            topics = read_facts(self.outcome.content, -1, -1, self.config.tables).topics
            for slug in sorted({slugs[key] for key in topics if key in slugs} - configured):
                yield FeedVerdict(slug, False, cause.cause, cause.file, cause.line)
        for member in self.memberships:
            # a configured feed may have replaced the feed of a topic, and the next cycle fills it
            in_topic = member.topic is not None and not member.ruled and member.left_by is None
            if in_topic and member.slug is not None and member.slug not in configured:
                yield FeedVerdict(member.slug, True, *self._topic_clause(str(member.topic)))
        ruled = {member.slug: member for member in self.memberships if member.ruled}
        rules = rule_texts(connection, configured)
        for spec in self.config.feeds:
            if self.is_published and self.entry is not None:
                pending = rules.get(spec.slug) != rule_text(spec.rule)
                yield self._of_rule(spec, self.entry, None if pending else ruled.get(spec.slug), pending=pending)
            else:
                yield FeedVerdict(spec.slug, False, cause.cause, cause.file, cause.line)

    def _of_rule(self, spec: FeedSpec, entry: StoredEntry, member: Membership | None, *, pending: bool) -> FeedVerdict:
        facts = read_facts(entry.content, entry.quality, entry.heat, self.config.tables)
        failing = tuple(failing_clauses(facts, spec.rule))
        is_in = not failing if pending else member is not None and member.left_by is None
        against = failing[0] if failing else member.left_by if member else None
        clause = _taking_clause(spec.rule) if is_in else against
        line = self._positions.clause(spec.slug, clause or "slug")
        also = () if is_in else failing[1:]
        return FeedVerdict(spec.slug, is_in, clause, self._positions.file, line, pending=pending, also=also)

    def add_window(self, verdict: FeedVerdict, feed: Feed | None) -> FeedVerdict:
        """The verdict with what the feed shows of the entry."""
        entry, spec = self.entry, self.config.feed_policy().specs.get(verdict.slug)
        if entry is None:
            return verdict
        shown = feed is not None and any(other.id == entry.id for other in feed.entries)
        page = next((member.page for member in self.memberships if member.slug == verdict.slug), None)
        complete = replace(verdict, shown=shown, page=page)
        if spec is None or feed is None or shown:
            return complete
        window = (other.content for other in feed.entries)
        clause = cutting_clause(spec, _dated_at(entry), entry.content, window, self._now)
        if clause is None:
            return complete
        line = self._positions.clause(spec.slug, clause)
        return replace(complete, is_in=False, clause=clause, file=self._positions.file, line=line)

    def _topic_clause(self, topic: str) -> tuple[str, str | None, int | None]:
        """What puts the entry into the feed of a topic, and where: the topic in the record, in [records], or a child of
        the topic."""
        tables, positions = self.config.tables, self._positions
        lines: dict[str, int | None] = {}
        for trace in self._traces:
            if trace.field == "topics" and trace.origin != "config":
                for name in trace.value or ():
                    lines.setdefault(tables.topic(topic_key(name)), trace.line)
        added = {tables.topic(topic_key(name)) for name in self._source.topics}
        children = {child for child, parent in tables.parents.items() if parent == topic}
        stated = lines.keys() | added
        if topic not in stated and (child := min(tables.with_parents(stated) & children, default=None)):
            return "topics.parent", positions.file, positions.topic("parent", child)
        if topic not in lines and topic in added:
            return "topic", positions.file, positions.record_key(self._source.name, "topics")
        return "topic", self.path, lines.get(topic)


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


def _add_windows(
    case: _Case, store: Store, connection: Connection, verdicts: Sequence[FeedVerdict]
) -> list[FeedVerdict]:
    """The verdicts with what each feed shows of its member. `max_age` and `per_provider` only cut the window: with
    them, an entry is not in the feed, though it stays in the archive."""
    policy = case.config.feed_policy()
    loader = Pipeline(case.config, store, read_meta(connection, "site_id") or "").loader
    versions = feed_versions(connection, policy)
    slugs = [verdict.slug for verdict in verdicts if verdict.is_in and not verdict.pending and verdict.slug in versions]
    terms = read_topic_terms(connection, policy)
    feeds = {feed.slug: feed for feed in load_feeds(connection, loader, terms, slugs, {})}
    return [case.add_window(verdict, feeds.get(verdict.slug)) if verdict.is_in else verdict for verdict in verdicts]


def _dated_at(entry: StoredEntry) -> int | None:
    return entry.published_at if entry.published_at is not None else entry.released_at


def _history(
    config: Config, connection: Connection, entry: StoredEntry, feeds: Sequence[FeedVerdict]
) -> list[dict[str, Any]]:
    """The events of an entry, oldest first. Adds the times at which it reached `max_age`: they follow from its date and
    are not stored."""
    slugs = feed_slugs(connection, [event.feed_id for event in entry.history if event.feed_id is not None])
    events = [
        (from_us(event.at), event.what, None if event.feed_id is None else slugs.get(event.feed_id), event.clause)
        for event in entry.history
    ]
    ages = {spec.slug: spec.max_age for spec in config.feeds if spec.max_age is not None}
    for feed in feeds:
        if feed.clause == "max_age" and not feed.is_in:
            joined = [at for at, what, slug, _ in events if what == "joined" and slug == feed.slug]
            at = max([from_us(_dated_at(entry) or 0) + ages[feed.slug], *joined])
            events.append((at, "left", feed.slug, "max_age"))
    events.sort(key=lambda event: event[0])
    return [{"at": stamp(at), "what": what, "feed": slug, "clause": clause} for at, what, slug, clause in events]


def _feed_data(feed: FeedVerdict) -> dict[str, Any]:
    data = asdict(feed)
    return {"slug": data.pop("slug"), "in": data.pop("is_in")} | data


# text


def _render(data: dict[str, Any], zone: tzinfo) -> RenderableType:
    """An explanation for a terminal."""
    parts: list[RenderableType] = [_table(_head_rows(data), fixed=1)]
    if data["fields"]:
        parts += [_heading("Fields"), _table(map(_field_row, data["fields"]), fixed=2)]
    parts += [Padding(Text(problem, style="yellow", overflow="fold"), (0, 0, 0, 2)) for problem in data["problems"]]
    if data["unresolved_links"]:
        links = ((f"  {reference}",) for reference in data["unresolved_links"])
        parts += [_heading("Links that lead to no published page"), _table(links, fixed=0)]
    place = _place(data["published"])
    parts += [_heading("Feeds"), _table((_feed_row(feed, place) for feed in data["feeds"]), fixed=2)]
    if data["history"]:
        parts += [_heading("History"), _table(_history_rows(data["history"], zone), fixed=1)]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(rows: Iterable[Sequence[str | Text]], *, fixed: int) -> Table:
    """A table in which all but the first `fixed` columns fold. Nothing in a text is markup."""
    table = Table.grid(padding=(0, 2))
    for row in rows:
        for index in range(len(table.columns), len(row)):
            table.add_column(no_wrap=index < fixed, overflow="fold")
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _head_rows(data: dict[str, Any]) -> Iterator[tuple[Text, str | Text]]:
    published = data["published"]
    answer = ("yes", "green") if published["value"] else ("no", "red")
    yield Text("Record", "bold"), data["path"]
    if data["title"]:
        yield Text("Title", "bold"), data["title"]
    yield Text("Id", "bold"), data["id"] or "none yet"
    for form, entry_id in data["format_ids"].items():
        yield Text(), f"{entry_id} in {form.upper()}"
    yield Text("Published", "bold"), Text.assemble(answer, f", {published['reason']}")
    if place := _place(published):
        yield Text(), place
    for other in data["others"]:
        yield Text("Also", "bold yellow"), other


def _field_row(trace: Mapping[str, Any]) -> tuple[str | Text, ...]:
    """The line of a field in the record, or else its origin; its key; its value and its place in the config."""
    origin = str(trace["line"]) if trace["origin"] == "record" else trace["origin"]
    key = trace["field"] if trace["key"] in (None, trace["field"]) else f"{trace['field']} ← {trace['key']}"
    place = _place(trace) if trace["origin"] == "config" else ""
    return f"{origin:>8}", key, Text.assemble(_value_text(trace["value"]), (f"  {place}" if place else "", "dim"))


def _feed_row(feed: Mapping[str, Any], known_place: str) -> tuple[str | Text, ...]:
    """The place is omitted if it is the place of the record's own cause."""
    words = [feed["clause"] or "no clause", *feed["also"]]
    if feed["pending"]:
        words.append("from the next cycle")
    elif feed["page"] and not feed["shown"]:
        words.append(f"in the archive, page {feed['page']}")
    elif feed["in"] and not feed["shown"]:
        words.append("not in the window")
    answer = Text("  in", "green") if feed["in"] else Text("  not in", "red")
    place = _place(feed)
    return answer, feed["slug"], ", ".join(words), "" if place == known_place else place


def _history_rows(history: Sequence[Mapping[str, Any]], zone: tzinfo) -> Iterator[tuple[str, str]]:
    """One row for each event; the feeds of one moment share a row."""
    for (at, what, clause), group in groupby(history, key=lambda event: (event["at"], event["what"], event["clause"])):
        feeds = ", ".join(dict.fromkeys(event["feed"] for event in group if event["feed"]))
        because = f" ({clause})" if clause else ""
        yield f"  {shown_time(datetime.fromisoformat(at), zone)}", f"{what} {feeds}".rstrip() + because


def _place(data: Mapping[str, Any]) -> str:
    file, line = data["file"], data["line"]
    return "" if file is None else f"{file}:{line}" if line else str(file)


def _value_text(value: Any) -> str:
    if value is None:
        return "not usable"
    if isinstance(value, dict):
        value = [part for part in value.values() if part]
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"
