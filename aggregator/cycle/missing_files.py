"""What becomes of files that a scan did not find: they were renamed, or their entries stay for now or are withdrawn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from aggregator.files import FolderError
from aggregator.files.index_files import listed_filter
from aggregator.model import SourceFile
from aggregator.paths import unescape_path
from aggregator.problems import shown_span, shown_time
from aggregator.settings import Source
from aggregator.store.changes import Step
from aggregator.store.events import DROPPED, EXCLUDED, MISSING
from aggregator.store.files import recheck_files
from aggregator.store.queries import last_finished_at, set_source_problem
from aggregator.store.renames import free_duplicates, pair_renames
from aggregator.store.session import Writer, from_us, span_us
from aggregator.store.withdrawals import (
    count_known,
    count_missing,
    first_missing,
    hold_withdrawals,
    is_mass_removal,
    missing_paths,
    unread_new_file,
    withdraw_missing,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.cycle.pipeline import Pipeline, ScanRequest
    from aggregator.cycle.update import SourceScan


class MissingFiles:
    """Decides about the missing files of the sources, after all of them were scanned.

    `apply` runs steps with the memberships that follow from them; `read_again` reads files whose stat is the same.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        writer: Writer,
        request: ScanRequest,
        apply: Callable[[Iterable[Step]], None],
        read_again: Callable[[Source, Iterable[tuple[SourceFile, bytes | None]]], FolderError | None],
    ) -> None:
        self._pipeline, self._writer = pipeline, writer
        self._is_whole, self._is_accepted = request.paths is None, request.accept_removals
        self._apply, self._read_again = apply, read_again
        self.problems: list[str] = []

    def resolve(self, scan: SourceScan) -> SourceScan:
        """Decides about new and missing files: which are renames, and which entries are withdrawn. Returns the scan,
        with a problem if its folder is another one without the files."""
        self._pipeline.check_stop()
        if scan.folder_problem is None or scan.is_missing:  # else nothing is known of files that were not read
            scan = self._resolve_missing(scan)
        if not self._is_undecided(scan):
            self._note_folder(scan)
        return scan

    def _note_folder(self, scan: SourceScan) -> None:
        """Notes whether the records folder itself can be read."""
        set_source_problem(self._writer, scan.source, scan.folder_problem)
        below = {path: what for path, what in self._pipeline.unreadable.get(scan.source.name, {}).items() if path}
        own = {} if scan.folder_problem is None else {"": scan.folder_problem}
        self._pipeline.unreadable[scan.source.name] = below | own

    def _is_undecided(self, scan: SourceScan) -> bool:
        """Whether this scan cannot tell if the folder lost its files: it was replaced during the scan, or before it,
        which only a full scan can judge."""
        folder = scan.folder
        return folder is not None and folder.is_other and (folder.was_replaced or not self._is_whole)

    def _resolve_missing(self, scan: SourceScan) -> SourceScan:
        writer, source, folder = self._writer, scan.source, scan.folder
        if not scan.is_missing:
            self._apply(pair_renames(writer, source))
            self._read_freed(source, free_duplicates(writer, source))
        if self._is_undecided(scan):
            return scan
        missing = scan.known if scan.is_missing else count_missing(writer, source.name)
        is_away = folder is not None and folder.is_away(missing, scan.known, scan.files)
        is_away = is_away and not self._is_accepted
        is_massive = scan.is_missing or is_away or is_mass_removal(missing, scan.known)
        unread = None
        if missing and not is_massive:
            folders = [path for path in self._pipeline.unreadable.get(source.name, {}) if path]
            with writer.read() as connection:
                unread = unread_place(connection, source, folders, writer.now)
        held_until = self._withdraw_missing(
            source.root, source.name, missing, source.removal_grace, _removal_reason(source),
            is_folder_missing=scan.is_missing, is_massive=is_massive, waits_until=unread and unread.until,
        )  # fmt: skip
        is_away = is_away and (held_until is not None or not scan.files)
        if folder is not None:
            has_files = bool(scan.files or missing or not self._is_whole)
            folder.store(missing, is_away=is_away, has_files=has_files)
        self._pipeline.held[source.name] = ""
        if is_away:
            return replace(scan, folder_problem=_away_problem(scan))
        if held_until is not None and not scan.is_missing:
            what = self._what_is_missing(source, missing, scan.known)
            if unread is not None:
                what = f"{_counted(missing)} may be in {unread.path} now, which cannot be read"
            self._hold(source.name, f"{source.root}: {what}; their entries stay", held_until)
        return scan

    def _what_is_missing(self, source: Source, missing: int, known: int) -> str:
        """How many files are missing, and how many of them are not listed by the config now."""
        is_listed = listed_filter(source)
        left_out = sum(not is_listed(unescape_path(path)) for path in missing_paths(self._writer, source.name))
        if left_out == missing:
            return f"include and exclude leave out {missing} of {known} files now"
        what = f"{missing} of {known} files are missing at once"
        return f"{what}, {left_out} of them because of include and exclude" if left_out else what

    def _hold(self, source: str, what: str, until: int) -> None:
        """Notes that entries stay until a time in µs, though their files are missing."""
        end = shown_time(from_us(until), self._pipeline.site.timezone)
        self._pipeline.held[source] = f"{what} until {end} (if it is meant, run: aggregator build --accept-removals)"

    def _read_freed(self, source: Source, paths: Sequence[str]) -> None:
        """Reads files again that were duplicates."""
        if not paths:
            return
        recheck_files(self._writer, source, paths)  # if this cycle cannot read them, the next one does
        self._writer.commit()
        if error := self._read_again(source, [(SourceFile(source.name, path, 0, 0), None) for path in paths]):
            self.problems.append(error.message(source))

    def withdraw_source(self, name: str, grace: timedelta) -> None:
        """Withdraws the entries of a source that the config no longer names, as if its folder were missing."""
        known = count_known(self._writer, name)
        where = f"the config has no [[records]] named {name!r} any more"
        self._pipeline.held[name] = ""
        held_until = self._withdraw_missing(
            where, name, known, grace, lambda _path: DROPPED, is_folder_missing=True, is_massive=True
        )
        if held_until is not None:
            entries = "the entry of its 1 file stays" if known == 1 else f"the entries of its {known} files stay"
            self._hold(name, f"{where}; {entries}", held_until)

    def _withdraw_missing(
        self,
        where: str,
        source: str,
        missing: int,
        grace: timedelta,
        reason: Callable[[str], str],
        *,
        is_folder_missing: bool,
        is_massive: bool,
        waits_until: int | None = None,
    ) -> int | None:
        """Withdraws the entries of missing files, or returns until when (µs) this is held: for a mass removal, or
        because it `waits_until` a place can be read."""
        held_until, was_held = hold_withdrawals(
            self._writer, source, grace, is_massive=missing > 0 and is_massive, is_accepted=self._is_accepted
        )
        if waits_until is not None and not self._is_accepted:
            if waits_until > self._writer.now:
                return waits_until
            was_held = True
        if missing and held_until is None:
            if was_held and not self._is_accepted:
                self._pipeline.withdrawn.append(
                    f"{where}: the entries of {_counted(missing)} are withdrawn, because removal_grace"
                    f" ({shown_span(grace)}) is over (they return with their files)"
                )
            self._apply(withdraw_missing(self._writer, source, reason, is_folder_missing=is_folder_missing))
        return held_until


class UnreadPlace(NamedTuple):
    """Where missing files of a source may be now, and until when (µs) their entries wait for that."""

    path: str
    until: int


def unread_place(connection: Connection, source: Source, folders: Iterable[str], now: int) -> UnreadPlace | None:
    """One of the `folders`, which cannot be read, or a new file that cannot. None if none of these changed since the
    last cycle, or within `removal_grace`: then nothing was moved there. `now` is in µs.

    Entries wait for `removal_grace` from the cycle that first misses a file. That one decides whether they wait; the
    later ones do not ask when the place changed.
    """
    grace, missing_since = span_us(source.removal_grace), first_missing(connection, source.name)
    is_new = missing_since is None or missing_since >= now
    last_cycle = last_finished_at(connection)
    since_ns = 1000 * min(time.time_ns() // 1000 - grace, last_cycle) if is_new else 0
    places = (
        path
        for path in sorted(folders)
        if not source.is_bucket and _changed_since(os.path.join(source.root, unescape_path(path)), since_ns)
    )
    path = next(places, None) or unread_new_file(connection, source.name, min(now - grace, last_cycle) if is_new else 0)
    return UnreadPlace(path, (missing_since or now) + grace) if path else None


def _changed_since(place: str, since_ns: int) -> bool:
    """Whether a folder changed, or was renamed, since then (by the clock of the file system); true if nobody knows."""
    try:
        return os.lstat(place).st_ctime_ns >= since_ns
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _counted(missing: int) -> str:
    return "1 missing file" if missing == 1 else f"{missing} missing files"


def _removal_reason(source: Source) -> Callable[[str], str]:
    """Why the file at a path is missing, for the history: it is left out, or not there."""
    is_listed = listed_filter(source)
    return lambda path: MISSING if is_listed(unescape_path(path)) else EXCLUDED


def _away_problem(scan: SourceScan) -> str:
    what = "has none of the files of the last scan" if scan.files else "is empty"
    return (
        f"{scan.source.root}: the records folder {what} and is not the one of the last scan (is its disk mounted? if it"
        " is meant, run: aggregator build --accept-removals)"
    )
