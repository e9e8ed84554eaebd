"""What is known of one record at one time: what the store has, and what its file says now. For `explain`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aggregator.config import Config
from aggregator.cycle.missing_files import UnreadPlace, unread_place
from aggregator.files import FolderError, Kind, Unreadable, open_files
from aggregator.ingest import page_context, trace_file
from aggregator.model import NoRecord, Record, Rejection
from aggregator.parse.keys import FLAGS
from aggregator.parse.trace import FieldTrace
from aggregator.problems import shown_path
from aggregator.scan import list_records
from aggregator.settings import Source
from aggregator.store.files import paths_of
from aggregator.store.queries import StoredRecord, read_stored
from aggregator.store.schema import EntryState
from aggregator.store.source_folder import is_folder_away
from aggregator.store.withdrawals import is_mass_removal

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class RecordState:
    """What is known of one record at one time. Paths are as people read them."""

    now: int  # µs
    path: str
    stored: StoredRecord
    source: Source | None  # None: the config no longer names it, so nothing more is known
    outcome: Record | Rejection | NoRecord | None = None  # what its file says; None if no file can be read
    is_link: bool = False  # there is a link that no scan follows
    traces: tuple[FieldTrace, ...] = ()  # each with its file and line, also in the config
    bundle: str | None = None  # the index file whose resource its file is
    draft_section: tuple[str, int] | None = None  # the index file, and its line, that hide it in Zola

    @property
    def is_published(self) -> bool:
        """Whether its entry is published."""
        return self.stored.entry is not None and self.stored.entry.state == EntryState.PUBLISHED

    @property
    def stated(self) -> dict[str, FieldTrace]:
        """The fields that its front matter states or inherits."""
        return {trace.field: trace for trace in self.traces if trace.origin in ("record", "cascade")}

    @property
    def flags(self) -> list[FieldTrace]:
        """The flags among them, `published` first."""
        return [self.stated[name] for name in FLAGS if name in self.stated]

    def place(self, field: str) -> tuple[str | None, int | None]:
        """The file and the line that state a field, else its file."""
        trace = self.stated.get(field)
        return (trace.file, trace.line) if trace else (self.path, None)


@dataclass(frozen=True, slots=True)
class MissingCount:
    """The files of a source that the next scan will not find."""

    count: int
    known: int
    is_held: bool  # whether the cycle waits with their removal: they are many, or the whole folder is missing
    unread: UnreadPlace | None = None  # where they may be, so that the cycle waits too


def read_state(config: Config, connection: Connection, place: tuple[str, str], now: int) -> RecordState:
    """What is known at `now` (µs) of the record at `place`, which is its source and path."""
    name, path = place
    shown, stored, source = shown_place(config, place), read_stored(connection, *place), _find_source(config, name)
    if source is None:
        return RecordState(now, shown, stored, None)
    outcome, traces = trace_file(source, path)
    is_link = outcome is None and stored.file_state is None and kind_of(source, path) == "link"
    bundle = section = None
    if isinstance(outcome, NoRecord) and outcome.bundle is not None:
        bundle = shown_path(source.root, outcome.bundle)
    elif isinstance(outcome, Record) and not outcome.public and (found := page_context(source, path).draft_section):
        section = shown_path(source.root, found[0]), found[1]

    def placed(trace: FieldTrace) -> FieldTrace:
        if trace.origin == "config":
            line = config.positions.record_key(name, trace.key or "")
            return replace(trace, file=config.positions.file, line=line)
        return replace(trace, file=shown_path(source.root, trace.file or path))

    return RecordState(now, shown, stored, source, outcome, is_link, tuple(map(placed, traces)), bundle, section)


def read_missing(connection: Connection, state: RecordState) -> MissingCount:
    """The files of the source of a record that the next scan will not find. Lists the source."""
    source, known = state.source, paths_of(connection, state.stored.source)
    all_of_them = MissingCount(len(known), len(known), is_held=True)
    if source is None:
        return all_of_them
    try:
        listed = list(list_records(source))
    except FolderError:
        return all_of_them
    found = {item.path for item in listed if not isinstance(item, Unreadable)}
    unread = tuple(f"{item.path.rstrip('/')}/" for item in listed if isinstance(item, Unreadable))
    count = sum(path not in found and not f"{path}/".startswith(unread) for path in known)
    is_away = not source.is_bucket and is_folder_away(connection, source, count, len(known))
    is_held = is_away or is_mass_removal(count, len(known))
    place = None if is_held else unread_place(connection, source, unread, state.now)
    return MissingCount(count, len(known), is_held, place)


def _find_source(config: Config, name: str) -> Source | None:
    return next((source for source in config.sources if source.name == name), None)


def shown_place(config: Config, place: tuple[str, str]) -> str:
    """The path of a record; with the name of its source in front if the config does not name that."""
    name, path = place
    source = _find_source(config, name)
    return shown_path(source.root, path) if source else f"{name}/{path}".removeprefix("/")


def kind_of(source: Source, path: str) -> Kind | None:
    """What is at a path of a source; None also if that cannot be read now."""
    try:
        with open_files(source) as files:
            return files.kind(path)
    except FolderError:
        return None
