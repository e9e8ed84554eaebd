"""The cause of the state of a record: one word, one sentence, and where it can be changed. For `explain`.

The functions from `_of_unlisted_file` to `_of_publishing` yield the causes that apply; the first one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aggregator.cli.explain_state import MissingCount, RecordState
from aggregator.config import Config
from aggregator.files.record_filter import RecordFilter
from aggregator.model import NoRecord, Record, Rejection
from aggregator.parse.trace import FieldTrace
from aggregator.parse_attempts import have_same_bytes
from aggregator.paths import unescape_path
from aggregator.problems import shown_span, shown_time
from aggregator.store.events import MISSING, WITHDRAWN
from aggregator.store.schema import FileState
from aggregator.store.session import from_us, span_us

WITHDRAWS = "; the next cycle withdraws it"
NO_PUBLISHED = "no 'published' is there"


class Cause(NamedTuple):
    """Why a record is in its state: one word for programs, a text for people, and where the cause can be changed."""

    cause: str
    reason: str
    file: str | None = None
    line: int | None = None


def find_cause(config: Config, state: RecordState, read_missing: Callable[[], MissingCount]) -> Cause:
    """The cause, and what the next cycle does with an entry that is published in spite of it. `read_missing` is called
    only if that depends on the other files of the source."""
    if cause := next(_of_unlisted_file(config, state), None):
        return _removed(config, state, cause, read_missing()) if state.is_published else cause
    if cause := next(_of_unread_file(state), None):
        return cause
    if cause := next(_of_hiding(config, state), None):
        return cause._replace(reason=f"{cause.reason}{WITHDRAWS}") if state.is_published else cause
    return next(_of_publishing(config, state))


# files that are not found


def _of_unlisted_file(config: Config, state: RecordState) -> Iterator[Cause]:
    source, path = state.source, unescape_path(state.stored.path)
    if source is None:
        table = f"[[records]] {state.stored.source!r}" if state.stored.source else "[records] without a name"
        yield Cause("records", f"its {table} is not in the config any more", config.positions.file)
    elif state.is_link:
        reason = "it is a link to a file that is not read: outside the folder, or with a name that no scan reads"
        yield Cause("link", reason, state.path)
    elif state.outcome is None:
        since = state.stored.missing_since
        reason = "its file is missing" if since is None else f"its file is missing since {_time(config, since)}"
        yield Cause("withdrawn", reason, state.path)
    elif state.bundle is None:
        if any(part.startswith(".") for part in path.split("/")):
            yield Cause("hidden", "a name in its path begins with a dot, so no scan reads it", state.path)
        if not RecordFilter(source.include)(path):
            yield _in_config(config, state, "include", "no scan reads a file of this name; see include in [records]")
        for pattern in source.exclude:
            if RecordFilter((pattern,))(path):
                what = "path" if "/" in pattern else "name"
                yield _in_config(config, state, "exclude", f"its {what} is excluded by {pattern!r}")


def _removed(config: Config, state: RecordState, cause: Cause, files: MissingCount) -> Cause:
    """The cause with what the next cycle does with the entry."""
    stay, end = _stay(config, state, files), WITHDRAWS
    if cause.cause == "withdrawn":
        cause = cause._replace(cause="mass_removal" if stay and not files.unread else "missing")
        end = f"{WITHDRAWS}, unless a new file is the same record"
    return cause._replace(reason=f"{cause.reason}{stay or end}")


def _stay(config: Config, state: RecordState, files: MissingCount) -> str:
    """How long the entry stays; empty if the next cycle withdraws it."""
    grace, since = (state.source or config.sources[0]).removal_grace, state.stored.held_since
    until = None if since is None else since + span_us(grace)
    if files.unread:
        until = files.unread.until if state.stored.missing_since is not None else None
    if not (files.is_held or files.unread) or (until is not None and until <= state.now):
        return ""
    if until is None:
        stay = f"the next cycle keeps its entry for {shown_span(grace)}"
    else:
        stay = f"its entry stays until {_time(config, until)}"
    if state.source is None:
        others = ""
    elif files.unread:
        others = f", and may be in {files.unread.path}, which cannot be read"
    else:
        others = f", with {files.count} of {files.known} files" if until is None else ", with many others"
    return f"{others}, so {stay} (if it is meant, run: aggregator build --accept-removals)"


# files that are found


def _of_unread_file(state: RecordState) -> Iterator[Cause]:
    """Why the last cycle took no record from the file as it is now."""
    stored, outcome, entry, path = state.stored, state.outcome, state.stored.entry, state.path
    if state.bundle is not None:
        return
    if isinstance(outcome, NoRecord):
        yield Cause("resource", "it is no record", path)
    if stored.file_state is None:
        if isinstance(outcome, Rejection):
            yield Cause("rejected", outcome.problem.text, path, outcome.problem.line)
        yield Cause("new", "no cycle has read it yet (run: aggregator build)", path)
    if stored.file_state == FileState.REMOVED:
        reasons = [event.clause for event in entry.history if event.what == WITHDRAWN] if entry else []
        what = "its file is back" if reasons[-1:] == [MISSING] else "the config reads it again"
        yield Cause("returned", f"{what}; the next cycle decides", path)
    if outcome and stored.digest and not have_same_bytes(stored.digest, outcome.digest):
        yield Cause("changed", "the file changed after the last cycle; the next one decides", path)
    if stored.file_state not in (None, FileState.READ) and stored.problem is not None:
        line = stored.problem.line or (state.place("id")[1] if stored.file_state == FileState.DUPLICATE else None)
        stale = "its entry is as it was before, because its file gives no record now: " if state.is_published else ""
        yield Cause(stored.file_state, stale + stored.problem.text, path, line or None)
    if entry is None or not isinstance(outcome, Record):
        yield Cause("changed", "the next cycle reads it again", path)


def _of_hiding(config: Config, state: RecordState) -> Iterator[Cause]:
    """What hides the record: its bundle, its expiry, a flag, the default, or what Hugo, Zola and Jekyll hide."""
    if state.bundle is not None:
        reason = f"it is a resource of the bundle {state.bundle}, not a page of its own"
        yield Cause("resource", reason, state.bundle)
    if isinstance(state.outcome, Record) and state.outcome.public:
        expires = state.stored.entry.expires_at if state.stored.entry else None
        if expires is not None and expires <= state.now:
            yield Cause("expired", f"it expired {_time(config, expires)}", *state.place("expires_at"))
        return
    yield from (_by_flag(flag) for flag in state.flags if flag.value is (flag.field != "published"))
    if "published" not in state.stated and not (state.source and state.source.default_published):
        yield _by_default(config, state)
    if option := state.stated.get("visibility"):
        reason = f"'{option.key}'{_of_cascade(option)} keeps the page out of the site or its lists"
        yield Cause("visibility", reason, option.file, option.line)
    if section := state.draft_section:
        yield Cause("draft", f"the section above it is a draft in Zola: {section[0]}", *section)
    yield Cause("hidden", "the name of the file or of a folder above it hides it", state.path)


def _of_publishing(config: Config, state: RecordState) -> Iterator[Cause]:
    """What the record waits for, or what publishes it: a flag, or the default."""
    if not state.is_published:
        date = state.stored.entry.dated_at if state.stored.entry else None
        if date is not None and date > state.now:
            yield Cause("scheduled", f"its date is in the future: {_time(config, date)}", *state.place("published_at"))
        yield Cause("scheduled", "the next cycle releases it", state.path)
    for flag in state.flags:
        yield _by_flag(flag, "" if flag.field == "published" else f", {NO_PUBLISHED}, and {_default_text(state)}")
    yield _by_default(config, state)


def _by_flag(flag: FieldTrace, more: str = "") -> Cause:
    reason = f"'{flag.key}' is {str(flag.value).lower()}{_of_cascade(flag)}{more}"
    return Cause(flag.field, reason, flag.file, flag.line)


def _of_cascade(trace: FieldTrace) -> str:
    return f" by the cascade in {trace.file}, line {trace.line}" if trace.origin == "cascade" else ""


def _by_default(config: Config, state: RecordState) -> Cause:
    flags = next((f"'{flag.key}' is false, {NO_PUBLISHED}" for flag in state.flags), "no flag in the record")
    return _in_config(config, state, "default_published", f"{flags}, and {_default_text(state)}")


def _default_text(state: RecordState) -> str:
    return f"default_published is {'true' if state.source and state.source.default_published else 'false'}"


def _in_config(config: Config, state: RecordState, key: str, reason: str) -> Cause:
    return Cause(key, reason, config.positions.file, config.positions.record_key(state.stored.source, key))


def _time(config: Config, us: int) -> str:
    return shown_time(from_us(us), config.site.timezone)
