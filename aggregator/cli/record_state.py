"""The state of one record, and its cause: what the store, its file and the config say about it. For `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from aggregator.config import Config
from aggregator.files import FolderError, Kind, open_files
from aggregator.ingest import page_context, trace_file
from aggregator.model import NoRecord, Record, Rejection
from aggregator.parse.keys import FLAGS
from aggregator.parse.trace import FieldTrace
from aggregator.paths import RecordFilter, unescape_path
from aggregator.problems import shown_path, shown_time
from aggregator.settings import Source
from aggregator.store.queries import StoredEntry, StoredRecord
from aggregator.store.schema import EntryState, FileState
from aggregator.store.session import from_us


class Cause(NamedTuple):
    """Why a record is in its state: one word for programs, a text for people, and where the cause can be changed."""

    cause: str
    reason: str
    file: str | None = None
    line: int | None = None


class RecordState:
    """One record at one time: its entry, the outcome of its file, and the cause of its state."""

    def __init__(self, config: Config, stored: StoredRecord, now_us: int) -> None:
        self.config, self._stored, self.now = config, stored, now_us
        self.source = next(source for source in config.sources if source.name == stored.source)
        self.positions = config.positions
        self.path = shown_path(self.source.root, stored.path)
        self.entry = stored.entry
        self.is_published = stored.entry is not None and stored.entry.state == EntryState.PUBLISHED
        self._end = "; the next cycle withdraws it" if self.is_published else ""
        self.outcome, self.traces = trace_file(self.source, stored.path)
        self._read = {trace.field: trace for trace in self.traces if trace.origin in ("record", "cascade")}
        self.cause = self._find_cause()

    def problems(self) -> list[str]:
        """What is wrong with the file as it is now, as `check` reports it."""
        if isinstance(self.outcome, Rejection):
            return [str(replace(self.outcome.problem, path=self.path))]
        warnings = self.outcome.warnings if isinstance(self.outcome, Record) else ()
        return [str(replace(problem, path=self.path)) for problem in warnings]

    def placed_traces(self) -> Iterator[FieldTrace]:
        """The origins of fields, with file and line also of those in the config."""
        for trace in self.traces:
            if trace.origin == "config":
                line = self.positions.record_key(self.source.name, trace.key or "")
                yield replace(trace, file=self.positions.file, line=line)
            else:
                yield replace(trace, file=self._file_of(trace))

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
        if stored.file_state is None and kind_of(self.source, stored.path) == "link":
            reason = "it is a link to a file that is not read: outside the folder, or with a name that no scan reads"
            return Cause("link", reason, self.path)
        since = "" if stored.missing_since is None else f" since {self._time(stored.missing_since)}"
        missing = f"its file is missing{since}"
        if self.is_published and stored.held:
            reason = f"{missing}, with its folder or with many others, so they stay for now (bring them back; or, if"
            reason += " it is meant, run: aggregator build --accept-removals)"
            return Cause("mass_removal", reason, self.path)
        if self.is_published:
            return Cause("missing", f"{missing}{self._end}", self.path)
        return Cause("withdrawn", missing, self.path)

    def _of_name(self) -> Cause | None:
        """Why no scan reads a file of this name; None if scans do."""
        path = unescape_path(self._stored.path)
        if any(part.startswith(".") for part in path.split("/")):
            reason = f"a name in its path begins with a dot, so no scan reads it{self._end}"
            return Cause("hidden", reason, self.path)
        if not RecordFilter(self.source.include)(path):
            reason = f"no scan reads a file of this name; see include in [records]{self._end}"
            return self._in_config("include", reason)
        for pattern in self.source.exclude:
            if RecordFilter((pattern,))(path):
                what = "path" if "/" in pattern else "name"
                return self._in_config("exclude", f"its {what} is excluded by {pattern!r}{self._end}")
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
        return self._of_flag()

    def _of_flag(self) -> Cause:
        """The flag that publishes or hides the record, or the default without a flag."""
        published = self._read.get("published")
        others = [self._read[name] for name in FLAGS[1:] if name in self._read]
        if not self.is_published and (cause := self._of_hiding(published, others)):
            return cause
        if published is not None and published.value is not None:
            return self._by_flag(published)
        default = f"default_published is {str(self.source.default_published).lower()}"
        if others and self.is_published:
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


def kind_of(source: Source, path: str) -> Kind | None:
    """What is at a path of a source; None also if that cannot be read now."""
    try:
        with open_files(source) as files:
            return files.kind(path)
    except FolderError:
        return None
