"""The state of one record, and its cause: what the store, its file and the config say about it. For `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregator.attempts import have_same_bytes
from aggregator.config import Config
from aggregator.files import FolderError, Kind, Unreadable, open_files
from aggregator.ids import IdMint
from aggregator.ingest import page_context, trace_file
from aggregator.model import NoRecord, Record, Rejection
from aggregator.parse.keys import FLAGS
from aggregator.parse.trace import FieldTrace
from aggregator.paths import RecordFilter, unescape_path
from aggregator.problems import shown_path, shown_span, shown_time, stamp
from aggregator.scan import list_records
from aggregator.settings import Source
from aggregator.store.events import MISSING, WITHDRAWN
from aggregator.store.files import paths_of
from aggregator.store.queries import StoredEntry, read_stored, taken_ids
from aggregator.store.removals import is_mass_removal
from aggregator.store.roots import is_folder_away
from aggregator.store.schema import EntryState, FileState
from aggregator.store.session import from_us, read_meta, span_us

if TYPE_CHECKING:
    from sqlalchemy import Connection

WITHDRAWS = "; the next cycle withdraws it"
ACCEPT = "if it is meant, run: aggregator build --accept-removals"


class Cause(NamedTuple):
    """Why a record is in its state: one word for programs, a text for people, and where the cause can be changed."""

    cause: str
    reason: str
    file: str | None = None
    line: int | None = None


class RecordState:
    """One record at one time: its entry, the outcome of its file, and the cause of its state.

    `place` is its source and path. Of a source that the config no longer names, nothing is known but the store.
    """

    def __init__(self, config: Config, connection: Connection, place: tuple[str, str], now_us: int) -> None:
        self.config, self._connection, self.now = config, connection, now_us
        self._stored = stored = read_stored(connection, *place)
        named = next((source for source in config.sources if source.name == stored.source), None)
        self.source = named or replace(config.sources[0], name=stored.source, topics=(), default_topics=())
        self._is_dropped = named is None
        self.positions = config.positions
        self.path = shown_place(config, place)
        self.entry = stored.entry
        self.is_published = stored.entry is not None and stored.entry.state == EntryState.PUBLISHED
        self._end = WITHDRAWS if self.is_published else ""
        self.outcome, self.traces = (None, ()) if self._is_dropped else trace_file(self.source, stored.path)
        self._read = {trace.field: trace for trace in self.traces if trace.origin in ("record", "cascade")}
        self.cause = self._find_cause()

    def problems(self) -> list[str]:
        """What is wrong with the file as it is now, as `check` reports it."""
        if isinstance(self.outcome, Rejection):
            return [str(replace(self.outcome.problem, path=self.path))]
        warnings = self.outcome.warnings if isinstance(self.outcome, Record) else ()
        return [str(replace(problem, path=self.path)) for problem in warnings]

    def _placed_traces(self) -> Iterator[FieldTrace]:
        """The origins of fields, with file and line also of those in the config."""
        for trace in self.traces:
            if trace.origin == "config":
                line = self.positions.record_key(self.source.name, trace.key or "")
                yield replace(trace, file=self.positions.file, line=line)
            else:
                yield replace(trace, file=self._file_of(trace))

    def fields(self) -> Iterator[dict[str, Any]]:
        """The origins of fields for --json, each with a note if readers see something else."""
        traces = list(self._placed_traces())
        kept = self._kept_date()
        for trace in traces:
            note = None
            if trace.field == "published_at" and trace.value is not None and kept not in ("", trace.value):
                note = f"readers see {kept or 'no date'}, as at the release; a date that changed has no effect"
                if self.is_published and isinstance(self.outcome, Record) and self._is_early(self.outcome):
                    note += ": the record is public in spite of its date (draft: true hides it)"
            elif trace.field == "id" and self._has_other_id(trace.value):
                note = "has no effect, because the entry keeps the id that it was stored with"
            yield asdict(trace) | {"note": note}
        if kept and isinstance(self.outcome, Record) and not any(trace.field == "published_at" for trace in traces):
            note = "the date at the release; a date that changed has no effect"
            yield asdict(FieldTrace("published_at", None, kept, None, "store")) | {"note": note}

    def _is_early(self, record: Record) -> bool:
        return record.public and record.published is not None and record.published > from_us(self.now)

    def _kept_date(self) -> str | None:
        """The published date that readers see; None for no date, empty before the first release."""
        entry = self.entry
        if entry is None or entry.released_at is None:
            return ""
        return None if entry.published_at is None else stamp(from_us(entry.published_at))

    def _has_other_id(self, stated: str | None) -> bool:
        """Whether the entry keeps another id than its record states, which no other entry has."""
        if stated is None or self.entry is None:
            return False
        uid = IdMint(read_meta(self._connection, "site_id") or "").explicit_entry_id(stated)
        return not taken_ids(self._connection, [uid])

    def _find_cause(self) -> Cause:
        if self._is_dropped:
            table = f"[[records]] {self.source.name!r}" if self.source.name else "[records] without a name"
            reason = f"its {table} is not in the config any more{self._stay_or_end()}"
            return Cause("records", reason, self.positions.file)
        if isinstance(self.outcome, NoRecord):
            return self._of_resource(self.outcome)
        unread = self._of_missing_file() if self.outcome is None else self._of_name()
        if unread is not None:
            return unread
        return self._of_new_file() if self._stored.file_state is None else self._of_known_file(self._stored.file_state)

    def _of_resource(self, outcome: NoRecord) -> Cause:
        if outcome.bundle is None:
            return self._of_name() or Cause("resource", "it is no record", self.path)
        bundle = shown_path(self.source.root, outcome.bundle)
        return Cause("resource", f"it is a resource of the bundle {bundle}, not a page of its own{self._end}", bundle)

    def _file_of(self, trace: FieldTrace) -> str:
        """The file that gave a field: the record, or an index file with a cascade."""
        return shown_path(self.source.root, trace.file) if trace.file else self.path

    def _of_new_file(self) -> Cause:
        if isinstance(self.outcome, Rejection):
            return Cause("rejected", self.outcome.problem.text, self.path, self.outcome.problem.line)
        return Cause("new", "no cycle has read it yet (run: aggregator build)", self.path)

    def _of_known_file(self, state: str) -> Cause:
        known, problem = self._stored.digest, self._stored.problem
        if state == FileState.REMOVED:
            history = self.entry.history if self.entry else ()
            reasons = [event.clause for event in history if event.what == WITHDRAWN]
            what = "its file is back" if reasons[-1:] == [MISSING] else "the config reads it again"
            return Cause("returned", f"{what}; the next cycle decides", self.path)
        if self.outcome and known and not have_same_bytes(known, self.outcome.digest):
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
        if stored.file_state is None and kind_of(self.source, stored.path) == "link":
            reason = "it is a link to a file that is not read: outside the folder, or with a name that no scan reads"
            return Cause("link", reason, self.path)
        since = "" if stored.missing_since is None else f" since {self._time(stored.missing_since)}"
        missing = f"its file is missing{since}"
        if not self.is_published:
            return Cause("withdrawn", missing, self.path)
        if stay := self._stay():
            return Cause("mass_removal", f"{missing}{stay}", self.path)
        return Cause("missing", f"{missing}{WITHDRAWS}, unless a new file is the same record", self.path)

    def _stay(self) -> str:
        """How long a published entry stays whose file is not found; empty if the next cycle withdraws it."""
        grace, since = self.source.removal_grace, self._stored.held_since
        missing, known, is_massive = self._count_missing()
        if not is_massive:  # nor is it held any longer
            return ""
        if since is not None:
            until, others = since + span_us(grace), "" if self._is_dropped else ", with many others"
            return f"{others}, so its entry stays until {self._time(until)} ({ACCEPT})" if until > self.now else ""
        others = "" if self._is_dropped else f", with {missing} of {known} files"
        return f"{others}, so the next cycle keeps its entry for {shown_span(grace)} ({ACCEPT})"

    def _stay_or_end(self) -> str:
        return (self._stay() or WITHDRAWS) if self.is_published else ""

    def _count_missing(self) -> tuple[int, int, bool]:
        """How many known files of the source the next scan will not find, how many are known, and whether it holds
        their removal, because they are so many or the folder as a whole is missing."""
        known = paths_of(self._connection, self.source.name)
        if self._is_dropped:
            return len(known), len(known), True
        try:
            listed = list(list_records(self.source))
        except FolderError:
            return len(known), len(known), True
        found = {item.path for item in listed if not isinstance(item, Unreadable)}
        unread = tuple(f"{item.path.rstrip('/')}/" for item in listed if isinstance(item, Unreadable))
        missing = sum(path not in found and not f"{path}/".startswith(unread) for path in known)
        is_away = not self.source.is_bucket and is_folder_away(self._connection, self.source, missing, len(known))
        return missing, len(known), is_away or is_mass_removal(missing, len(known))

    def _of_name(self) -> Cause | None:
        """Why no scan reads a file of this name; None if scans do."""
        path = unescape_path(self._stored.path)
        if any(part.startswith(".") for part in path.split("/")):
            reason = f"a name in its path begins with a dot, so no scan reads it{self._stay_or_end()}"
            return Cause("hidden", reason, self.path)
        if not RecordFilter(self.source.include)(path):
            reason = f"no scan reads a file of this name; see include in [records]{self._stay_or_end()}"
            return self._in_config("include", reason)
        for pattern in self.source.exclude:
            if RecordFilter((pattern,))(path):
                what = "path" if "/" in pattern else "name"
                return self._in_config("exclude", f"its {what} is excluded by {pattern!r}{self._stay_or_end()}")
        return None

    def _of_record(self, record: Record, entry: StoredEntry) -> Cause:
        if record.public:
            if entry.expires_at is not None and entry.expires_at <= self.now:
                reason = f"it expired {self._time(entry.expires_at)}{self._end}"
                return Cause("expired", reason, *self._place("expires_at"))
            if not self.is_published and entry.dated_at is not None and entry.dated_at > self.now:
                reason = f"its date is in the future: {self._time(entry.dated_at)}"
                return Cause("scheduled", reason, *self._place("published_at"))
            if not self.is_published:
                return Cause("scheduled", "the next cycle releases it", self.path)
        cause = self._of_flag(is_public=record.public)
        return cause if record.public else cause._replace(reason=f"{cause.reason}{self._end}")

    def _of_flag(self, *, is_public: bool) -> Cause:
        """The flag that publishes or hides the record, or the default without a flag."""
        published = self._read.get("published")
        others = [self._read[name] for name in FLAGS[1:] if name in self._read]
        if not is_public and (cause := self._of_hiding(published, others)):
            return cause
        if published is not None and published.value is not None:
            return self._by_flag(published)
        default = f"default_published is {str(self.source.default_published).lower()}"
        if others and is_public:
            return self._by_flag(others[0], more=f", no 'published' is there, and {default}")
        flags = f"'{others[0].key}' is false, no 'published' is there" if others else "no flag in the record"
        return self._in_config("default_published", f"{flags}, and {default}")

    def _of_hiding(self, published: FieldTrace | None, others: Sequence[FieldTrace]) -> Cause | None:
        if published is not None and published.value is False:
            return self._by_flag(published)
        if hiding := next((flag for flag in others if flag.value), None):
            return self._by_flag(hiding)
        is_hidden_otherwise = self.source.default_published if published is None else published.value
        return self._of_system() if is_hidden_otherwise else None

    def _of_system(self) -> Cause:
        """What Hugo, Zola or Jekyll hides: by a build option, or by the name of the file or a folder above it."""
        if option := self._read.get("visibility"):
            reason = f"'{option.key}'{self._of_cascade(option)} keeps the page out of the site or its lists"
            return Cause("visibility", reason, self._file_of(option), option.line)
        if section := page_context(self.source, self._stored.path).draft_section:
            file = shown_path(self.source.root, section[0])
            return Cause("draft", f"the section above it is a draft in Zola: {file}", file, section[1])
        return Cause("hidden", "the name of the file or of a folder above it hides it", self.path)

    def _by_flag(self, flag: FieldTrace, *, more: str = "") -> Cause:
        reason = f"'{flag.key}' is {str(flag.value).lower()}{self._of_cascade(flag)}{more}"
        return Cause(flag.field, reason, self._file_of(flag), flag.line)

    def _of_cascade(self, trace: FieldTrace) -> str:
        is_inherited = trace.origin == "cascade"
        return f" by the cascade in {self._file_of(trace)}, line {trace.line}" if is_inherited else ""

    def _in_config(self, key: str, reason: str) -> Cause:
        return Cause(key, reason, self.positions.file, self.positions.record_key(self.source.name, key))

    def _time(self, us: int) -> str:
        return shown_time(from_us(us), self.config.site.timezone)

    def _line(self, field: str) -> int | None:
        return self._read[field].line if field in self._read else None

    def _place(self, field: str) -> tuple[str, int | None]:
        trace = self._read.get(field)
        return (self._file_of(trace), trace.line) if trace else (self.path, None)


def shown_place(config: Config, place: tuple[str, str]) -> str:
    """The path of a record; with the name of its source in front if the config does not name that."""
    name, path = place
    root = next((source.root for source in config.sources if source.name == name), None)
    return f"{name}/{path}".removeprefix("/") if root is None else shown_path(root, path)


def kind_of(source: Source, path: str) -> Kind | None:
    """What is at a path of a source; None also if that cannot be read now."""
    try:
        with open_files(source) as files:
            return files.kind(path)
    except FolderError:
        return None
