"""Questions about the store from `status` and `explain`, and the log of cycles."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    union,
    update,
)

from aggregator.ids import FormatIds, IdMint
from aggregator.model import Content, CycleResult, Unread, read_content
from aggregator.parse_attempts import DIGEST_BYTES
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.store.adopted import format_ids_of, shows_id
from aggregator.store.events import Event, prune_events, read_history
from aggregator.store.schema import (
    ALL_FEED,
    ENTRY_EARLY,
    FILE_UNREAD,
    REJECTED_STATES,
    SHOWABLE,
    AnyRow,
    EntryState,
    FileState,
    cycle,
    entry,
    feed,
    feed_entry,
    file,
)
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer, read_meta, span_us

KEEP_CYCLES = timedelta(days=30)
MAX_PROBLEMS = 1000
MAX_FOUND = 20  # records with one id, or public before their date
MAX_SCHEDULED = 50
MEAN_CYCLES = 100
CLUSTER_PROBLEM = "cluster_problem"
"""The key of `meta` with the reason why the Dask cluster of the config cannot be used; empty if it can."""
_PROBLEM_STATES = {FileState.READ: "warning", FileState.UNFINISHED: "unfinished"}


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A problem of a stored file."""

    source: str
    problem: Problem
    state: str  # rejected, unfinished or warning
    stale: bool  # the file cannot be read any more, and its entry stays published as it was


@dataclass(frozen=True, slots=True)
class LastCycle:
    """The last cycle that ended."""

    started_at: int  # µs
    seconds: float
    counts: dict[str, Any]  # of its CycleResult
    error: str | None  # what stopped it


@dataclass(frozen=True, slots=True)
class ScheduledEntry:
    """An entry that waits for its date."""

    source: str
    path: str
    title: str
    due_at: int  # µs


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it is stored; times are in µs."""

    key: int
    id: str
    format_ids: FormatIds | None
    state: EntryState
    content: Content
    quality: float  # -1: not scored
    heat: float
    dated_at: int | None
    published_at: int | None
    released_at: int | None
    expires_at: int | None
    history: tuple[Event, ...]

    @property
    def age_from(self) -> int | None:
        """From when `max_age` counts: its published date, else its release."""
        return self.released_at if self.published_at is None else self.published_at


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is known about a path."""

    source: str
    path: str
    file_state: FileState | None  # None: the file is not known
    digest: bytes
    problem: Problem | None  # the first error
    missing_since: int | None  # µs: since when the file is missing
    held_since: int | None  # µs: since when removals of the source are held
    entry: StoredEntry | None


@dataclass(frozen=True, slots=True)
class Membership:
    """An entry in a feed, now or before."""

    feed_id: int
    slug: str | None  # None: the feed is not published
    topic: str | None  # the key of its topic
    ruled: bool  # the feed has a rule of the config
    page: int | None  # its archive page
    left_by: str | None  # None: the entry is a member
    size: int  # entries in the feed


def record_cycle(writer: Writer, result: CycleResult) -> None:
    """Stores what a cycle did, and deletes old cycles."""
    counts = {name: value for name, value in asdict(result).items() if name not in ("seconds", "due", "notices")}
    counts["stages"] = {stage: round(seconds, 6) for stage, seconds in result.stages}
    _insert_cycle(writer, result.seconds, counts, None)


def record_failure(writer: Writer, seconds: float, error: str) -> None:
    """Stores that a cycle failed, and why."""
    _insert_cycle(writer, seconds, {}, error)


def _insert_cycle(writer: Writer, seconds: float, counts: dict[str, Any], error: str | None) -> None:
    old = writer.now - span_us(KEEP_CYCLES)
    with writer.write() as connection:
        connection.execute(delete(cycle).where(cycle.c.started_at < old))
        prune_events(connection, writer)
        connection.execute(
            insert(cycle).values(started_at=writer.now, seconds=seconds, counts=json.dumps(counts), error=error)
        )


_LAST_FINISHED = select(cycle.c.started_at).where(cycle.c.error.is_(None)).order_by(cycle.c.id.desc()).limit(1)


def last_finished_at(connection: Connection) -> int:
    """The time of the last cycle that was not interrupted, in µs; 0 if there is none."""
    return connection.scalar(_LAST_FINISHED) or 0


def last_cycle(connection: Connection) -> LastCycle | None:
    """The newest cycle."""
    row = connection.execute(select(cycle).order_by(cycle.c.id.desc()).limit(1)).first()
    return None if row is None else LastCycle(row.started_at, row.seconds, json.loads(row.counts), row.error)


def mean_stages(connection: Connection) -> dict[str, float]:
    """The mean seconds of each stage in the newest cycles that did not fail."""
    rows = connection.scalars(
        select(cycle.c.counts).where(cycle.c.error.is_(None)).order_by(cycle.c.id.desc()).limit(MEAN_CYCLES)
    )
    stages = [counts["stages"] for counts in map(json.loads, rows) if counts.get("stages")]
    names = dict.fromkeys(name for seconds in stages for name in seconds)
    return {name: sum(seconds.get(name, 0.0) for seconds in stages) / len(stages) for name in names}


def early_entries(connection: Connection, now: int) -> list[tuple[str, str, int]]:
    """Source, path and stated date (µs) of the published entries whose date is still to come, by path."""
    is_early = (ENTRY_EARLY, entry.c.dated_at > now)
    columns = (entry.c.source, entry.c.path, entry.c.dated_at)
    rows = connection.execute(select(*columns).where(*is_early).order_by(*columns).limit(MAX_FOUND))
    return [(row.source, row.path, row.dated_at) for row in rows]


def scheduled_entries(connection: Connection) -> list[ScheduledEntry]:
    """The next entries to be released, by date."""
    rows = connection.execute(
        select(entry.c.source, entry.c.path, entry.c.dated_at, entry.c.content)
        .where(text("entry.state = 'scheduled'"), entry.c.dated_at.is_not(None))
        .order_by(entry.c.dated_at, entry.c.source, entry.c.path)
        .limit(MAX_SCHEDULED)
    )
    return [ScheduledEntry(row.source, row.path, read_content(row.content).title, row.dated_at) for row in rows]


_NEXT = (
    select(func.min(entry.c.dated_at)).where(
        entry.c.state == EntryState.SCHEDULED, entry.c.dated_at > bindparam("now")
    ),
    select(func.min(entry.c.expires_at)).where(
        entry.c.state == EntryState.PUBLISHED, entry.c.expires_at.is_not(None), entry.c.expires_at > bindparam("now")
    ),
    select(func.min(entry.c.stories_at)).where(entry.c.state.in_(SHOWABLE), entry.c.stories_at > bindparam("now")),
    select(func.min(feed.c.stale_at)).where(feed.c.stale_at > bindparam("now")),
)


def next_due(connection: Connection, now: int) -> int | None:
    """When the next entry is due, expires, becomes too old for a feed, or shows other related stories, in µs."""
    times = [connection.scalar(first, {"now": now}) for first in _NEXT]
    return min((at for at in times if at is not None), default=None)


def set_source_problem(writer: Writer, source: Source, problem: str | None) -> None:
    """Stores why a source could not be scanned, or that it could."""
    mine = source_table.c.name == source.name
    with writer.read() as connection:
        stored = connection.scalar(select(source_table.c.problem).where(mine))
    if problem != stored:
        with writer.write() as connection:
            connection.execute(update(source_table).where(mine).values(problem=problem))


def source_problems(connection: Connection) -> list[str]:
    """Why sources could not be scanned."""
    return list(
        connection.scalars(
            select(source_table.c.problem).where(source_table.c.problem.is_not(None)).order_by(source_table.c.name)
        )
    )


def unread_keys(connection: Connection) -> dict[str, list[Unread]]:
    """The records with keys that only another preset reads, by source."""
    columns = (file.c.source, file.c.unread)
    groups = select(*columns, func.count().label("number"), func.min(file.c.path).label("path")).where(FILE_UNREAD)
    found: dict[str, list[Unread]] = {}
    for row in connection.execute(groups.group_by(*columns).order_by(*columns)).mappings():
        unread = Unread(tuple(row["unread"].split()), row["number"], row["path"])
        found.setdefault(row["source"], []).append(unread)
    return found


def file_problems(
    connection: Connection, states: Collection[FileState] = tuple(FileState), *, limit: int = MAX_PROBLEMS
) -> list[FileProblem]:
    """The problems of files in these states, those of unread files first, then in order of source and path."""
    rows = connection.execute(
        select(file.c.source, file.c.path, file.c.state, file.c.problems, entry.c.state.label("entry_state"))
        .select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))
        .where(file.c.problems.is_not(None), file.c.state.in_(states))
        .order_by((file.c.state == FileState.READ), file.c.source, file.c.path)
        .limit(limit)
    )
    return [
        FileProblem(
            row.source,
            Problem(row.path, *problem),
            _PROBLEM_STATES.get(row.state, "rejected"),
            row.state != FileState.READ and row.entry_state == EntryState.PUBLISHED,
        )
        for row in rows
        for problem in json.loads(row.problems)
    ]


def count_rejected(connection: Connection) -> int:
    """How many files are rejected."""
    return _count(connection, file, file.c.state.in_(REJECTED_STATES), file.c.problems.is_not(None))


def unread_files(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Source and path of files that could not be read to their end; they are read again although they look the same."""
    rows = connection.execute(
        select(file.c.source, file.c.path)
        .where(
            file.c.state.in_((FileState.UNFINISHED, FileState.REJECTED)),
            file.c.problems.is_not(None),
            func.length(file.c.digest) != DIGEST_BYTES,
        )
        .order_by(file.c.source, file.c.path)
        .limit(limit)
    )
    return [(row.source, row.path) for row in rows]


def count_entries(connection: Connection) -> dict[str, int]:
    """How many entries are in each state."""
    rows = connection.execute(select(entry.c.state, func.count()).group_by(entry.c.state)).all()
    counts = {row[0]: row[1] for row in rows}
    return {str(state): counts.get(state, 0) for state in EntryState}


def count_published(connection: Connection, source: str) -> int:
    """How many entries of a source are published."""
    return _count(connection, entry, entry.c.source == source, entry.c.state == EntryState.PUBLISHED)


def count_records(connection: Connection) -> dict[str, int]:
    """How many records are in each state, except withdrawn ones, whose number only grows; and `feeds`, how many feeds
    are published. Reads no large table from end to end."""
    unfinished = file.c.problems.is_not(None), file.c.state == FileState.UNFINISHED
    size = select(feed.c.size).where(feed.c.id == ALL_FEED)
    return {
        "published": connection.scalar(size) or 0,
        "scheduled": _count(connection, entry, text("state = 'scheduled'")),
        "hidden": _count(connection, entry, text("state = 'hidden'")),
        "rejected": count_rejected(connection),
        "unfinished": _count(connection, file, *unfinished),
        "feeds": _count(connection, text("published_feeds")),
    }


def _count(connection: Connection, table: FromClause | TextClause, *where: ColumnElement[bool] | TextClause) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(*where)) or 0


def find_by_id(connection: Connection, wanted: str) -> list[tuple[str, str]]:
    """Source and path of the records with this id, minted, stated or adopted: the entry that has it first, then the
    duplicates that want it."""
    is_holder = or_(entry.c.uid == wanted, entry.c.explicit_id == wanted, shows_id(wanted))
    holders = select(entry.c.source, entry.c.path).where(is_holder)
    duplicates = select(file.c.source, file.c.path).where(
        file.c.state == FileState.DUPLICATE, file.c.problems.is_not(None), file.c.wanted_id == wanted
    )
    rows = [
        *connection.execute(holders.order_by(entry.c.id).limit(MAX_FOUND)),
        *connection.execute(duplicates.order_by(file.c.source, file.c.path).limit(MAX_FOUND)),
    ]
    return [(row.source, row.path) for row in rows]


def is_known(connection: Connection, source: str, path: str) -> bool:
    """Whether the store has a file or an entry at a path."""
    files = select(file.c.path).where(file.c.source == source, file.c.path == path)
    entries = select(entry.c.path).where(entry.c.source == source, entry.c.path == path)
    return connection.execute(union(files, entries)).first() is not None


def place_of(connection: Connection, key: int) -> tuple[str, str]:
    """Source and path of an entry, by its key."""
    row = connection.execute(select(entry.c.source, entry.c.path).where(entry.c.id == key)).one()
    return row.source, row.path


def find_by_text(connection: Connection, wanted: str) -> Iterator[tuple[str, str, Content]]:
    """Source, path and content of the entries with the text anywhere in their content, oldest first; case-insensitive.

    Reads every entry."""
    escaped = json.dumps(wanted, ensure_ascii=True)[1:-1]
    rows = connection.execute(
        select(entry.c.source, entry.c.path, entry.c.content)
        .where(entry.c.content.icontains(escaped, autoescape=True))
        .order_by(entry.c.id)
        .execution_options(yield_per=500)
    )
    for row in rows:
        yield row.source, row.path, read_content(row.content)


def entries_at(connection: Connection, source: str, paths: Collection[str]) -> dict[str, AnyRow]:
    """What entries of a source keep, by the path of their file: `state`, `released_at`, `published_at`."""
    columns = (file.c.path, entry.c.state, entry.c.released_at, entry.c.published_at)
    mine = (file.c.source == source, file.c.path.in_(paths))
    rows = connection.execute(select(*columns).join(entry, entry.c.id == file.c.entry_id).where(*mine))
    return {row.path: row for row in rows}


def unused_ids(connection: Connection, stated: Collection[str]) -> set[str]:
    """The ids among these, as records state them, that no entry has."""
    mint = IdMint(read_meta(connection, "site_id") or "")
    uids = {text: mint.explicit_entry_id(text) for text in stated}
    taken = set(connection.scalars(select(entry.c.uid).where(entry.c.uid.in_(uids.values())))) if uids else ()
    return {text for text, uid in uids.items() if uid not in taken}


def read_stored(connection: Connection, source: str, path: str) -> StoredRecord:
    """What is known about the record at a path."""
    known = connection.execute(select(file).where(file.c.source == source, file.c.path == path)).first()
    mine: ColumnElement[bool] = (entry.c.source == source) & (entry.c.path == path)
    if known is not None and known.entry_id is not None:
        mine = entry.c.id == known.entry_id
    # a path may have had other entries before; the newest counts
    row = connection.execute(select(entry).where(mine).order_by(entry.c.id.desc()).limit(1)).first()
    held_since = connection.scalar(select(source_table.c.removals_held_since).where(source_table.c.name == source))
    problems = json.loads(known.problems) if known is not None and known.problems else []
    error = next((problem for problem in problems if problem[5] == "error"), None)
    return StoredRecord(
        source=source,
        path=path,
        file_state=None if known is None else FileState(known.state),
        digest=b"" if known is None else known.digest,
        problem=None if error is None else Problem(path, *error),
        missing_since=None if known is None else known.missing_since,
        held_since=held_since,
        entry=None if row is None else _stored_entry(connection, row),
    )


def _stored_entry(connection: Connection, row: AnyRow) -> StoredEntry:
    return StoredEntry(
        key=row.id,
        id=row.uid,
        format_ids=format_ids_of(row.format_ids),
        state=EntryState(row.state),
        content=read_content(row.content),
        quality=row.quality,
        heat=row.heat,
        dated_at=row.dated_at,
        published_at=row.published_at,
        released_at=row.released_at,
        expires_at=row.expires_at,
        history=tuple(read_history(connection, row)),
    )


def read_memberships(connection: Connection, key: int) -> list[Membership]:
    """The feeds that an entry is or was in, by its key: `all`, feeds of topics by slug, then feeds of the config."""
    rows = connection.execute(
        select(feed_entry, feed.c.slug, feed.c.topic, feed.c.rule, feed.c.size)
        .join(feed, feed.c.id == feed_entry.c.feed_id)
        .where(feed_entry.c.entry_id == key)
        .order_by(feed.c.id != ALL_FEED, feed.c.rule.is_not(None), feed.c.slug)
    )
    return [
        Membership(row.feed_id, row.slug, row.topic, row.rule is not None, row.page, row.left_by, row.size)
        for row in rows
    ]


def rule_texts(connection: Connection, slugs: Collection[str]) -> dict[str, str | None]:
    """The active rule of each feed, by slug."""
    rows: Select[Any] = select(feed.c.slug, feed.c.rule).where(feed.c.slug.in_(slugs))
    return {row.slug: row.rule for row in connection.execute(rows)}
