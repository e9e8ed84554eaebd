"""What the store tells people: the last cycles, problems, counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from aggregator.model import CycleResult
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.store.events import prune_events
from aggregator.store.schema import (
    ENTRY_HIDDEN,
    ENTRY_OUT,
    ENTRY_WAITING,
    FILE_DUPLICATE,
    FILE_READ,
    FILE_REJECTED,
    FILE_UNFINISHED,
    cycle,
    entry,
    file,
)
from aggregator.store.schema import source as source_table
from aggregator.store.session import Writer, span_us

KEEP_CYCLES = timedelta(days=30)
MAX_PROBLEMS = 1000
_STATES = {
    FILE_READ: "warning",
    FILE_REJECTED: "rejected",
    FILE_UNFINISHED: "unfinished",
    FILE_DUPLICATE: "rejected",
}


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A problem of a stored file: `state` is rejected, unfinished or warning; a `stale` one's entry is still out."""

    source: str
    problem: Problem
    state: str
    stale: bool


@dataclass(frozen=True, slots=True)
class LastCycle:
    """The last cycle that ended; times in µs. `error` is what stopped it."""

    started_at: int
    seconds: float
    counts: dict[str, Any]
    error: str | None


def record_cycle(writer: Writer, result: CycleResult) -> None:
    """Keeps what a cycle did, and drops those of long ago."""
    counts = {name: value for name, value in asdict(result).items() if name not in ("seconds", "due", "notices")}
    _insert_cycle(writer, result.seconds, counts, None)


def record_failure(writer: Writer, seconds: float, error: str) -> None:
    """Keeps that a cycle failed, and why."""
    _insert_cycle(writer, seconds, {}, error)


def _insert_cycle(writer: Writer, seconds: float, counts: dict[str, Any], error: str | None) -> None:
    old = writer.now - span_us(KEEP_CYCLES)
    with writer.write() as connection:
        connection.execute(delete(cycle).where(cycle.c.started_at < old))
        prune_events(connection, writer)
        connection.execute(
            insert(cycle).values(started_at=writer.now, seconds=seconds, counts=json.dumps(counts), error=error)
        )


def last_cycle(connection: Connection) -> LastCycle | None:
    """The newest cycle."""
    row = connection.execute(select(cycle).order_by(cycle.c.id.desc()).limit(1)).first()
    return None if row is None else LastCycle(row.started_at, row.seconds, json.loads(row.counts), row.error)


def set_source_problem(writer: Writer, source: Source, problem: str | None) -> None:
    """Keeps why a source could not be scanned, or that it could."""
    mine = source_table.c.name == source.name
    with writer.read() as connection:
        told = connection.scalar(select(source_table.c.problem).where(mine))
    if problem != told:
        with writer.write() as connection:
            connection.execute(update(source_table).where(mine).values(problem=problem))


def source_problems(connection: Connection) -> list[str]:
    """Why sources could not be scanned."""
    return list(
        connection.scalars(
            select(source_table.c.problem).where(source_table.c.problem.is_not(None)).order_by(source_table.c.name)
        )
    )


def file_problems(connection: Connection, *, limit: int = MAX_PROBLEMS) -> list[FileProblem]:
    """The problems of files, the rejected first, then in order of paths."""
    rows = connection.execute(
        select(file.c.source, file.c.path, file.c.state, file.c.problems, entry.c.state.label("entry_state"))
        .select_from(file.outerjoin(entry, entry.c.id == file.c.entry_id))
        .where(file.c.problems.is_not(None))
        .order_by((file.c.state == FILE_READ), file.c.source, file.c.path)
        .limit(limit)
    )
    return [
        FileProblem(
            row.source,
            Problem(row.path, *told),
            _STATES[row.state],
            row.state != FILE_READ and row.entry_state == ENTRY_OUT,
        )
        for row in rows
        for told in json.loads(row.problems)
    ]


def count_rejected(connection: Connection) -> int:
    """How many files give no record as they are now."""
    rejected = file.c.state.in_((FILE_REJECTED, FILE_DUPLICATE))
    return connection.scalar(select(func.count()).select_from(file).where(rejected, file.c.problems.is_not(None))) or 0


def unread_files(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Source and path of files that could not be read to their end, to be tried again though they look the same."""
    rows = connection.execute(
        select(file.c.source, file.c.path)
        .where(file.c.state.in_((FILE_UNFINISHED, FILE_REJECTED)), file.c.problems.is_not(None), file.c.digest == b"")
        .order_by(file.c.source, file.c.path)
        .limit(limit)
    )
    return [(row.source, row.path) for row in rows]


def count_entries(connection: Connection) -> dict[str, int]:
    """How many entries are published, scheduled and hidden."""
    counted = connection.execute(select(entry.c.state, func.count()).group_by(entry.c.state))
    rows: dict[int, int] = {row[0]: row[1] for row in counted}
    return {
        "published": rows.get(ENTRY_OUT, 0),
        "scheduled": rows.get(ENTRY_WAITING, 0),
        "hidden": rows.get(ENTRY_HIDDEN, 0),
    }
