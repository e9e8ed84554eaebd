"""Files that differ -> records or rejections, in batches.

Reading, digest and parsing are one function over a batch, so it can run in another process, also on another machine
that has the same folder or bucket. It touches only the files that it is given, and the index files above them.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aggregator.concurrency.processes import (
    PROGRESS,
    CallLostError,
    ClusterError,
    WorkerFailedError,
    WorkerLostError,
    WorkerPool,
    WorkerProcess,
    wait_for,
)
from aggregator.errors import ShortageError
from aggregator.files import CheckStop, FileBytes, Files, FolderError, open_files
from aggregator.files.record_filter import RecordFilter
from aggregator.model import NoRecord, Outcome, Record, Rejection, SourceFile, Unchanged, late_update
from aggregator.parse_attempts import DIGEST_BYTES, is_paused, note_attempt
from aggregator.paths import ABSENT, unescape_path
from aggregator.problems import Problem, read_hint
from aggregator.settings import Source

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aggregator.parse.cascade import PageContext
    from aggregator.parse.section import Section
    from aggregator.parse.trace import FieldTrace

PARSER_VERSION = "11"
"""Change it when the same bytes give another outcome: an upgrade then reads every file again."""
FILE_BATCH = 1000
POOL_MIN_FILES = 2 * FILE_BATCH
"""Number of files from which a process pool pays off."""
MAX_WAITING = 64
"""Most batches whose outcomes wait to be stored. Those of a batch need about 3 MB."""
LARGE_BYTES = 65_536
"""Files above it are parsed in a child process with a deadline: the time may grow faster than the text, and C code
cannot be interrupted."""
PARSE_CPU_S, PARSE_CLOCK_S = 5, 15
"""The deadlines: processor time, and time on the clock, which is longer because the machine may be busy. Only the first
one says something about the file."""
_MACHINE = (MemoryError, OSError, ImportError)
"""Errors that are the machine's while bytes are parsed: memory is refused, or the program itself cannot be read."""
UNFINISHED_S = 60
"""How long after its last change a file without closing fence counts as still being written."""

Batch = Sequence[tuple[SourceFile, bytes | None]]
"""Files, each with its stored digest or None."""
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def ingest_batch(
    source: Source, batch: Batch, check_stop: CheckStop | None = None, *, bounded_from: int = LARGE_BYTES
) -> list[Outcome]:
    """The outcomes of one batch, in its order. A file that is missing by now has no outcome. Files over `bounded_from`
    bytes are parsed in a child process. Raises FolderError."""
    with open_files(source, check_stop) as files, WorkerProcess(check_stop) as worker:
        parser = _FileParser(source, files, worker, bounded_from)
        contents = files.read_ahead((file for file, _ in batch), source.max_bytes + 1)
        outcomes = (
            parser.ingest(file, digest, content)[0] for (file, digest), content in zip(batch, contents, strict=True)
        )
        return [outcome for outcome in outcomes if outcome is not None]


def ingest_files(
    source: Source,
    files: Iterable[tuple[SourceFile, bytes | None]],
    *,
    workers: int,
    check_stop: CheckStop | None = None,
    read: Callable[..., list[Outcome]] = ingest_batch,
    open_pool: Callable[[], Pool | None] = lambda: None,
) -> Iterator[list[Outcome]]:
    """The outcomes of `files` (each with its stored digest or None), in their order, in batches.

    Many files are read by the pool that `open_pool` returns, if there is one, else by `workers` processes; the calling
    process reads too instead of idling. Few files are read in-process. While a file takes long, `check_stop` is called;
    its error ends all processes. Raises FolderError.
    """
    batches = _batched(files)
    head = list(itertools.islice(batches, POOL_MIN_FILES // FILE_BATCH))
    is_many = len(head) == POOL_MIN_FILES // FILE_BATCH
    if is_many and (pool := open_pool()) is not None:
        reading = _PoolReading(pool, read, source, check_stop)
        yield from reading.outcomes(head, batches)
        head = reading.left
    if head and is_many and workers >= 2:
        reading = _PoolReading(WorkerPool(workers - 1), read, source, check_stop)
        yield from reading.outcomes(head, batches)
        head = reading.left
    for batch in itertools.chain(head, batches):
        yield read(source, batch, check_stop)


class Pool(Protocol):
    """Processes that read batches, here or elsewhere."""

    size: int  # how many batches they read at the same time
    patience_s: float  # how long they may give no outcomes, before one counts as lost

    def submit(self, function: Callable[..., Result], *args: Any) -> Future[Result]:
        """The future result. A CallLostError means that this call is lost, any other error that the pool is."""

    def close(self) -> None:
        """Ends what runs."""


class _PoolReading:
    """The reading of batches by a pool. `left` are the batches that a lost pool leaves."""

    def __init__(
        self, pool: Pool, read: Callable[..., list[Outcome]], source: Source, check_stop: CheckStop | None
    ) -> None:
        self.left: list[Batch] = []
        self._pool, self._read, self._source, self._check_stop = pool, read, source, check_stop
        self._most = min(4 * (pool.size + 1), MAX_WAITING)
        self._waiting: deque[tuple[Batch, Future[list[Outcome]]]] = deque()
        self._unanswered: set[Future[list[Outcome]]] = set()  # also batches that were given up
        self._answered_at = time.monotonic()

    def outcomes(self, head: list[Batch], batches: Iterator[Batch]) -> Iterator[list[Outcome]]:
        """The outcomes of `head` and `batches`, until the pool is lost."""
        try:
            self._submit(batches)
            while head:  # while the processes start
                yield self._read(self._source, head.pop(0), self._check_stop)
                self._submit(batches)
            while True:
                is_idle = not self._waiting or not self._waiting[0][1].done()
                if is_idle and len(self._waiting) < self._most and (following := next(batches, None)):
                    read = self._read(self._source, following, self._check_stop)
                    self._waiting.append((following, _completed_future(read)))
                if not self._waiting:
                    return
                batch, future = self._waiting.popleft()
                try:
                    # CallLostError if the pool has given no outcomes for too long
                    most_s = self._answered_at + self._pool.patience_s - time.monotonic()
                    outcomes = wait_for(future, self._check_stop, most_s)
                except WorkerFailedError:  # read here, it succeeds, or the error says more
                    outcomes = self._read(self._source, batch, self._check_stop)
                except CallLostError:
                    outcomes = read_carefully(self._source, batch, self._check_stop)
                except (WorkerLostError, ClusterError, OSError, RuntimeError) as error:
                    if not isinstance(error, ClusterError):  # a cluster reports it
                        _warn_of_lost_pool(str(error))
                    self.left = [batch, *(batch for batch, _ in self._waiting)]
                    return
                yield outcomes
                self._submit(batches)
        finally:
            self._pool.close()

    def _submit(self, batches: Iterator[Batch]) -> None:
        while (
            len(self._waiting) < self._most
            and sum(not future.done() for _, future in self._waiting) < 2 * self._pool.size
            and (following := next(batches, None))
        ):
            if not self._unanswered:
                self._answered_at = time.monotonic()  # the pool had nothing to do until now
            future = self._pool.submit(self._read, self._source, following)
            self._unanswered.add(future)
            future.add_done_callback(self._note_answer)
            self._waiting.append((following, future))

    def _note_answer(self, future: Future[list[Outcome]]) -> None:
        """Notes an answer of the pool, in any thread. What this process reads itself does not
        count, because it says nothing about workers that hang."""
        self._answered_at = time.monotonic()
        self._unanswered.discard(future)


def read_carefully(source: Source, batch: Batch, check_stop: CheckStop | None = None) -> list[Outcome]:
    """The outcomes of a batch over which other processes died or hang: each file is parsed in a child process."""
    return ingest_batch(source, batch, check_stop, bounded_from=0)


def _completed_future(result: Result) -> Future[Result]:
    from concurrent.futures import Future

    future: Future[Result] = Future()
    future.set_result(result)
    return future


def _batched(files: Iterable[tuple[SourceFile, bytes | None]]) -> Iterator[Batch]:
    iterator = iter(files)
    while batch := list(itertools.islice(iterator, FILE_BATCH)):
        yield batch


@cache
def _warn_of_lost_pool(reason: str) -> None:
    """Logs once for each reason that files are read in-process."""
    _log.warning("cannot use other processes to read files: %s (they are read in this one, which takes longer)", reason)


def trace_file(source: Source, path: str) -> tuple[Record | Rejection | NoRecord | None, tuple[FieldTrace, ...]]:
    """The outcome of the file as it is now, and the origin of each field; (None, ()) if there is no such file."""
    from aggregator.parse.trace import trace_record

    file = SourceFile(source.name, path, 0, 0)
    with WorkerProcess() as worker:
        outcome: Outcome | None
        try:
            with open_files(source) as files:
                parser = _FileParser(source, files, worker)
                outcome, raw = parser.ingest(file, None, next(files.read_ahead([file], source.max_bytes + 1)))
                context = (parser.page_context(path),) if raw else ()
        except FolderError as error:
            outcome, raw = None if error.is_missing else _unreadable(file, str(error), error.hint), b""
        if outcome is None or isinstance(outcome, Unchanged):
            return None, ()
        try:
            return outcome, parser.run_bounded(trace_record, raw, file, source, *context) if raw else ()
        except Exception:  # noqa: BLE001 - the outcome already has the problem
            return outcome, ()


def page_context(source: Source, path: str) -> PageContext:
    """What the index files above the page at the escaped `path` say about it."""
    with WorkerProcess() as worker, open_files(source) as files:
        return _FileParser(source, files, worker).page_context(path)


class _FileParser:
    """What the contents of files are, by the settings of their source."""

    def __init__(self, source: Source, files: Files, worker: WorkerProcess, bounded_from: int = LARGE_BYTES) -> None:
        self._source, self._files, self._worker, self._bounded_from = source, files, worker, bounded_from
        self._is_record: RecordFilter | None = None
        self._failed_sections: set[str] = set()  # index files that the machine failed to parse
        if source.layout == "hugo":
            from aggregator.files.file_context import FileContexts

            self._contexts = FileContexts(source, files, self._read_section)
            self._is_record = RecordFilter(source.include, source.exclude)

    def ingest(
        self, file: SourceFile, stored_digest: bytes | None, content: FileBytes | OSError
    ) -> tuple[Outcome | None, bytes]:
        """The outcome of one file, None if it is missing; and its bytes if they could be parsed, else b""."""
        PROGRESS.show()
        if isinstance(content, OSError):
            return None if content.errno in ABSENT else _not_read(file, content), b""
        raw, file = content
        if self._is_record is None:
            return self._parse(raw, file, blake2b(raw, digest_size=DIGEST_BYTES).digest(), stored_digest)
        context = self._contexts.context(file.path)
        digest = blake2b(raw, digest_size=DIGEST_BYTES, key=context.token).digest()
        if context.bundle is not None:
            return Unchanged(file, digest) if digest == stored_digest else NoRecord(file, digest, context.bundle), b""
        if not self._is_record(unescape_path(file.path)):
            return self._check_index(file, digest, stored_digest), b""
        if context.problem is not None:
            return _unknown_context(file, context.problem), b""
        return self._parse(raw, file, digest, stored_digest, context.page)

    def page_context(self, path: str) -> PageContext:
        """What the index files above a page of Hugo say about it."""
        from aggregator.parse.cascade import NO_CONTEXT

        return NO_CONTEXT if self._is_record is None else self._contexts.context(path).page

    def _parse(
        self, raw: bytes, file: SourceFile, digest: bytes, stored_digest: bytes | None, *context: PageContext
    ) -> tuple[Outcome, bytes]:
        if digest == stored_digest:
            return Unchanged(file, digest), b""
        if len(raw) > self._source.max_bytes:
            return Rejection(file, digest, _too_large(file.path, self._source)), b""
        now_s = int(time.time())
        if stored_digest is not None and is_paused(digest, stored_digest, now_s):
            return Unchanged(file, stored_digest), b""
        try:
            return self.run_bounded(_parse_file, raw, file, self._source, digest, *context), raw
        except (WorkerLostError, WorkerFailedError, *_MACHINE) as error:
            if not _is_machine(error):
                return Rejection(file, digest, _too_slow(file.path)), b""
            return Rejection(file, note_attempt(digest, stored_digest, now_s), _failed(file.path, error)), b""

    def run_bounded(self, function: Callable[..., Result], raw: bytes, *args: object) -> Result:
        """The result of `function` for the bytes of a file. For a large file it runs in a child process, with a
        deadline; raises WorkerLostError and WorkerFailedError then."""
        if len(raw) > self._bounded_from:
            try:
                return self._worker.call(function, raw, *args, cpu_s=PARSE_CPU_S, clock_s=PARSE_CLOCK_S)
            except OSError as error:
                _warn_of_lost_pool(str(error))
        return function(raw, *args)

    def _check_index(self, file: SourceFile, digest: bytes, stored_digest: bytes | None) -> Outcome:
        """The outcome of an index file that is not included."""
        if digest == stored_digest:
            return Unchanged(file, digest)
        problem = self._contexts.problem(file.path)
        if problem is None:
            return NoRecord(file, digest, None)
        return Rejection(file, b"" if file.path in self._failed_sections else digest, problem)

    def _read_section(self, path: str, language: str) -> tuple[Section | Problem, bytes]:
        raw, _ = self._files.read(SourceFile(self._source.name, path, 0, 0), self._source.max_bytes + 1)
        if len(raw) > self._source.max_bytes:
            return _too_large(path, self._source), raw
        try:
            return self.run_bounded(_read_section, raw, path, self._source, language), raw
        except (WorkerLostError, WorkerFailedError, *_MACHINE) as error:
            if not _is_machine(error):
                return _too_slow(path), raw
            self._failed_sections.add(path)
            return _failed(path, error), raw


def _unknown_context(file: SourceFile, problem: Problem) -> Rejection:
    """The outcome of a page whose index files cannot be read: Hugo would publish nothing."""
    place = f"{problem.path}:{problem.line}" if problem.line else problem.path or "the records folder"
    what = f"what {place} hands down to it is unknown: {problem.what}"
    hint = "correct that file; until then its entry stays as it is"
    # without a digest, it is read again in every cycle
    return Rejection(file, b"", Problem(file.path, 0, 0, what, None, hint), cause=problem.path)


def _too_large(path: str, source: Source) -> Problem:
    hint = "make it shorter or raise records.max_bytes"
    return Problem(path, 0, 0, f"the file is over {source.max_bytes:,} bytes", None, hint)


def _too_slow(path: str) -> Problem:
    what = f"takes over {PARSE_CPU_S} seconds of processor time to read"
    return Problem(path, 0, 0, what, None, "make it shorter or simpler")


def _is_machine(error: Exception) -> bool:
    """Whether parsing failed for another reason than the bytes, as far as one can tell: a process that ended by itself
    may have lacked memory."""
    return not (isinstance(error, WorkerLostError) and error.deadline == "cpu")


def _failed(path: str, error: Exception) -> Problem:
    """The problem of a file that the machine failed to parse."""
    if isinstance(error, WorkerLostError) and error.deadline == "clock":
        what = f"was not read within {PARSE_CLOCK_S} seconds"
    elif isinstance(error, WorkerLostError):
        what = f"cannot be read: the process that parses it was ended ({error.ending})"
    else:
        name = str(error) if isinstance(error, WorkerFailedError) else type(error).__name__
        what = f"cannot be read: {name} while it was parsed"
    hint = "the next cycles try again; if that does not help: more memory, or make it shorter or simpler"
    return Problem(path, 0, 0, what, None, hint)


def _parse_file(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, context: PageContext | None = None
) -> Record | Rejection:
    from aggregator.parse.cascade import NO_CONTEXT
    from aggregator.parse.record import parse_record

    try:
        context = context or NO_CONTEXT
        outcome = parse_record(raw, file, source, digest, context)
        if isinstance(outcome, Record) and late_update(outcome, datetime.now(UTC)) and not outcome.updated_place[0]:
            outcome = parse_record(raw, file, source, digest, context, with_positions=True)  # of the warning
    except _MACHINE:
        raise
    except Exception as error:  # noqa: BLE001 - one record never stops a cycle
        return Rejection(file, digest, _unexpected(file.path, error))
    if isinstance(outcome, Rejection) and outcome.unfinished:
        is_fresh = abs(time.time() - file.mtime_ns / 1e9) < UNFINISHED_S  # abs: a file server's clock may be ahead
        return replace(outcome, unfinished=is_fresh)
    return outcome


def _read_section(raw: bytes, path: str, source: Source, language: str) -> Section | Problem:
    from aggregator.parse.section import read_section

    try:
        return read_section(raw, path, source, language)
    except _MACHINE:
        raise
    except Exception as error:  # noqa: BLE001 - one index file never stops a cycle
        return _unexpected(path, error)


def _unexpected(path: str, error: Exception) -> Problem:
    """The problem of a file that the parser cannot read, by a defect. The text of the error may quote the file."""
    return Problem(path, 0, 0, f"cannot be read: {type(error).__name__}", None, "report it, with the file")


def _not_read(file: SourceFile, error: OSError) -> Rejection:
    ShortageError.check(error)
    return _unreadable(file, error.strerror or type(error).__name__, read_hint(error))


def _unreadable(file: SourceFile, reason: str, hint: str) -> Rejection:
    # without a digest, it is read again in every cycle
    return Rejection(file, b"", Problem(file.path, 0, 0, f"cannot be read: {reason}", None, hint))
