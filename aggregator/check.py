"""Check: records as the next cycle would read them. Needs no store and writes nothing.

Also how people are shown where a problem is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from aggregator.ingest import Outcome, ingest_files
from aggregator.model import Problem, Record, Rejection, Source, SourceFile, duplicate_id, late_update
from aggregator.naming import escape_name, unescape_path
from aggregator.scan import FolderError, Unreadable, walk_folder

Kind = Literal["error", "warning", "unfinished"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a record, its path one that can be opened from here."""

    problem: Problem
    kind: Kind

    def __str__(self) -> str:
        return str(self.problem) if self.kind == "error" else str(tag_problem(self.problem, self.kind))


@dataclass(frozen=True, slots=True)
class Place:
    """A record or a folder of records: a path below the folder of its source, escaped; empty is the folder itself."""

    source: Source
    path: str


def find_place(sources: Sequence[Source], path: str) -> Place | None:
    """Where `path` is: looked up in each records folder, then from the working directory; None if in no source."""
    for source in sources:
        inside = not os.path.isabs(path) and not os.path.normpath(path).startswith("..")
        if inside and os.path.lexists(os.path.join(source.root, path)):
            return Place(source, _escape(os.path.normpath(path)))
    full = os.path.abspath(path)
    for source in sources:
        root = os.path.abspath(source.root)
        if os.path.lexists(full) and os.path.commonpath((root, full)) == root:
            return Place(source, _escape(os.path.relpath(full, root)))
    return None


def check_records(
    places: Sequence[Place], workers: int, now: datetime, count: Callable[[int], None], see: Callable[[Record], None]
) -> Iterator[Finding]:
    """The problems that the records at or below `places` have at the time `now`; calls `count` with how many files were
    read, and `see` with each record."""
    holders: dict[str, str] = {}
    for place in places:
        try:
            for outcomes in ingest_files(place.source, _list_files(place), workers=workers):
                count(len(outcomes))
                for outcome in outcomes:
                    if isinstance(outcome, Record):
                        see(outcome)
                    yield from _judge(place.source, outcome, holders, now)
        except FolderError as error:
            what = f"the records folder cannot be read: {error}"
            yield Finding(Problem(shown_path(place.source.root, ""), 0, 0, what, None, "see [records] path"), "error")


def place_problem(sources: Sequence[Source], name: str, problem: Problem) -> Problem:
    """A problem of the source `name` with a path that can be opened from here."""
    root = next((source.root for source in sources if source.name == name), "")
    return replace(problem, path=shown_path(root, problem.path))


def tag_problem(problem: Problem, tag: str) -> Problem:
    """The problem with a word in front of what is wrong, such as `unfinished`."""
    return replace(problem, what=f"{tag}: {problem.what}")


def shown_path(root: str, path: str) -> str:
    """A record's path for people: from the working directory if it is below it."""
    full = os.path.join(root, unescape_path(path)) if path else root
    try:
        near = os.path.relpath(full)
    except ValueError:  # another drive
        return full
    return full if near.startswith("..") else near


def _list_files(place: Place) -> Iterator[tuple[SourceFile, None]]:
    full = os.path.join(place.source.root, unescape_path(place.path))
    if os.path.isfile(full):
        status = os.stat(full)
        yield SourceFile(place.source.name, place.path, status.st_size, status.st_mtime_ns), None
        return
    below = f"{place.path}/" if place.path else ""
    for found in walk_folder(place.source):
        if not isinstance(found, Unreadable) and found.path.startswith(below):
            yield found, None


def _judge(source: Source, outcome: Outcome, holders: dict[str, str], now: datetime) -> Iterator[Finding]:
    def find(problem: Problem, kind: Kind) -> Finding:
        return Finding(place_problem((source,), source.name, problem), kind)

    if isinstance(outcome, Rejection) and outcome.unfinished:
        yield find(replace(outcome.problem, level="warning"), "unfinished")
    elif isinstance(outcome, Rejection):
        yield find(outcome.problem, "error")
    elif isinstance(outcome, Record):
        late = late_update(outcome, now)
        for problem in (*outcome.warnings, *((late,) if late else ())):
            yield find(problem, "warning")
        if outcome.explicit_id is not None:
            holder = holders.setdefault(outcome.explicit_id, outcome.file.path)
            if holder != outcome.file.path:
                yield find(duplicate_id(outcome, holder), "error")


def _escape(path: str) -> str:
    return "" if path == "." else "/".join(map(escape_name, path.split(os.sep)))
