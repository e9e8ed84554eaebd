"""Check: records as the next cycle would read them, and what only a run would meet. Writes nothing.

Also how people are shown where a problem is.
"""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from aggregator.config import Config, ConfigPlaces, toml_text
from aggregator.ingest import Outcome, ingest_files
from aggregator.model import Record, Rejection, SourceFile, duplicate_id, late_update
from aggregator.paths import escape_name, unescape_path
from aggregator.problems import Problem, place_problem, shown_path, tag_problem
from aggregator.scan import FolderError, Unreadable, list_records
from aggregator.settings import Source
from aggregator.site import CONFIG_KEY, missing_config, port_warning

LIKE_RECORDS = ("*.md", "*.markdown", "*.mdown", "*.mkd", "*.html", "*.htm", "*.adoc", "*.org", "*.rst", "*.textile")
"""Names that static site generators know as pages."""


FENCES = (b"---\n", b"---\r", b"+++\n", b"+++\r")
"""How a page begins that has front matter."""


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
        unreadable: list[Unreadable] = []
        try:
            for outcomes in ingest_files(place.source, _list_files(place, unreadable), workers=workers):
                count(len(outcomes))
                for outcome in outcomes:
                    if isinstance(outcome, Record):
                        see(outcome)
                    yield from _judge(place.source, outcome, holders, now)
            for one in unreadable:
                where = shown_path(place.source.root, one.path.rstrip("/"))
                what = f"cannot be read: {one.reason}"
                yield Finding(Problem(where, 0, 0, what, None, "no record below it is seen; check its rights"), "error")
        except FolderError as error:
            what = f"the records folder cannot be read: {error}"
            yield Finding(Problem(shown_path(place.source.root, ""), 0, 0, what, None, "see [records] path"), "error")


def check_site(config: Config, kept: Mapping[str, str], usual_path: Path) -> Iterator[Finding]:
    """What a run would refuse or warn of: another id than the store's, defaults in the place of a config, a port that
    the documents do not name. `kept` is what the store knows of the site, `usual_path` where a config is looked for."""
    places = ConfigPlaces(config)

    def find(table: str, key: str, what: str, value: str | None, todo: str, kind: Kind) -> Finding:
        line = places.line((table, key)) or 0
        level: Literal["error", "warning"] = "error" if kind == "error" else "warning"
        return Finding(Problem(places.file or str(usual_path), line, 1 if line else 0, what, value, todo, level), kind)

    site_id = kept.get("site_id")
    if site_id is not None and config.site.id not in (None, site_id):
        what = f"'id' is another than that of the store, {site_id!r}: a run is refused, all ids would change"
        yield find("site", "id", what, config.site.id, f"write id = {toml_text(site_id)}", "error")
    if refusal := missing_config(config, kept.get(CONFIG_KEY)):
        yield find("site", "id", refusal, None, "", "error")
    if warning := port_warning(config, config.serve.port):
        yield find("serve", "port", warning, None, "", "warning")


def find_skipped(config: Config) -> Iterator[Finding]:
    """The kinds of files that look like records and are not read because of their names, in each records folder."""
    places = ConfigPlaces(config)
    for source in config.sources:
        skipped: dict[str, list[str]] = defaultdict(list)
        try:
            for found in list_records(replace(source, include=LIKE_RECORDS)):
                if isinstance(found, SourceFile) and _looks_skipped(source, found):
                    skipped[os.path.splitext(found.path)[1]].append(found.path)
        except FolderError:
            continue  # it is told by `check_records`
        line = places.record_key(source.name, "include") or 0
        for suffix, paths in sorted(skipped.items()):
            what = f"files that begin like records are not read, {len(paths)} in all"
            todo = f'add "*{suffix}" to include of [records] if they are records'
            problem = Problem(shown_path(source.root, min(paths)), 0, 0, what, f"*{suffix}", todo, "warning")
            if places.file is not None:
                problem = replace(problem, path=places.file, line=line, column=1 if line else 0)
            yield Finding(problem, "warning")


def folder_problem(source: Source) -> str | None:
    """Why the folder of a source cannot be read, as a cycle says it; None if it can."""
    try:
        os.scandir(os.path.realpath(source.root)).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return f"{source.root}: the records folder cannot be read: {reason} (bring it back; see [records] path)"
    return None


def _looks_skipped(source: Source, file: SourceFile) -> bool:
    """Whether a file begins as records do, and has a name that is not read."""
    name = os.path.basename(unescape_path(file.path))
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in source.include):
        return False
    try:
        with open(os.path.join(source.root, unescape_path(file.path)), "rb") as opened:
            return opened.read(4) in FENCES
    except OSError:
        return False


def _list_files(place: Place, unreadable: list[Unreadable]) -> Iterator[tuple[SourceFile, None]]:
    """The files at or below a place; what cannot be read there is added to `unreadable`."""
    full = os.path.join(place.source.root, unescape_path(place.path))
    if os.path.isfile(full):
        status = os.stat(full)
        yield SourceFile(place.source.name, place.path, status.st_size, status.st_mtime_ns), None
        return
    below = f"{place.path}/" if place.path else ""
    for found in list_records(place.source):
        if isinstance(found, Unreadable):
            if found.path.startswith(below) or below.startswith(found.path):
                unreadable.append(found)
        elif found.path.startswith(below):
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
