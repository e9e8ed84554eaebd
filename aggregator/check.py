"""Check: records as the next cycle would read them. Needs no store and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from aggregator.ingest import Outcome, ingest_files
from aggregator.model import Problem, Record, Rejection, Source, SourceFile, duplicate_id
from aggregator.naming import escape_name
from aggregator.scan import FolderError, Unreadable, walk_folder

Kind = Literal["error", "warning", "unfinished"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a record below the folder `root`."""

    root: str
    problem: Problem
    kind: Kind


@dataclass(frozen=True, slots=True)
class Place:
    """A record or a folder of records: a path below the folder of its source, escaped; empty is the folder itself."""

    source: Source
    path: str


def find_place(sources: Sequence[Source], path: str) -> Place | None:
    """Where `path` is: looked up in each records folder, then from the working directory; None if in no source."""
    for source in sources:
        if os.path.lexists(os.path.join(source.root, path)) and not os.path.isabs(path):
            return Place(source, _escape(os.path.normpath(path)))
    full = os.path.abspath(path)
    for source in sources:
        root = os.path.abspath(source.root)
        if os.path.lexists(full) and os.path.commonpath((root, full)) == root:
            return Place(source, _escape(os.path.relpath(full, root)))
    return None


def check_records(places: Sequence[Place], workers: int, count: Callable[[int], None]) -> Iterator[Finding]:
    """The problems of all records at or below `places`; `count` is told how many records were read."""
    holders: dict[str, str] = {}
    for place in places:
        try:
            for outcomes in ingest_files(place.source, _list_files(place), workers=workers):
                count(len(outcomes))
                for outcome in outcomes:
                    yield from _judge(place.source, outcome, holders)
        except FolderError as error:
            what = f"the records folder cannot be read: {error}"
            yield Finding(place.source.root, Problem("", 0, 0, what, None, "see [records] path"), "error")


def _list_files(place: Place) -> Iterator[tuple[SourceFile, None]]:
    full = os.path.join(place.source.root, place.path)
    if os.path.isfile(full):
        status = os.stat(full)
        yield SourceFile(place.source.name, place.path, status.st_size, status.st_mtime_ns), None
        return
    below = f"{place.path}/" if place.path else ""
    for found in walk_folder(place.source):
        if not isinstance(found, Unreadable) and found.path.startswith(below):
            yield found, None


def _judge(source: Source, outcome: Outcome, holders: dict[str, str]) -> Iterator[Finding]:
    if isinstance(outcome, Rejection):
        yield Finding(source.root, outcome.problem, "unfinished" if outcome.unfinished else "error")
    elif isinstance(outcome, Record):
        for problem in outcome.warnings:
            yield Finding(source.root, problem, "warning")
        if outcome.explicit_id is not None:
            holder = holders.setdefault(outcome.explicit_id, outcome.file.path)
            if holder != outcome.file.path:
                yield Finding(source.root, duplicate_id(outcome, holder), "error")


def _escape(path: str) -> str:
    return "" if path == "." else "/".join(map(escape_name, path.split(os.sep)))
