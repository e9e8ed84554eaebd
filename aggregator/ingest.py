"""Files that differ -> records or rejections, in batches.

Reading, digest and parsing are one function over a batch, so it can run in another process. It touches only the files
that it is given, and the index files above them.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

from aggregator.errors import ShortageError
from aggregator.index_files import listed_filter
from aggregator.model import NoRecord, Record, Rejection, SourceFile, Unchanged, late_update
from aggregator.paths import ABSENT, Folder, RecordFilter, clamped_stat, unescape_path
from aggregator.problems import Problem
from aggregator.processes import POLL_S, PROGRESS, Worker, WorkerLostError, WorkerPool
from aggregator.settings import Source

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aggregator.parse.cascade import PageContext
    from aggregator.parse.section import Section
    from aggregator.parse.trace import FieldTrace

PARSER_VERSION = "6"
"""Change it when the same bytes give another Record: an upgrade then reads every file again."""
BATCH = 1000
READ_STEP = 16_384
POOL_MIN_FILES = 2 * BATCH
"""Number of files from which a process pool pays off."""
LARGE_BYTES = 65_536
"""Files above it are parsed in a child process with a deadline: the time may grow faster than the text, and C code
cannot be interrupted."""
PARSE_CPU_S, PARSE_CLOCK_S = 5, 15
"""The deadlines: processor time, and time on the clock, which is longer because the machine may be busy."""
UNFINISHED_S = 60
"""How long after its last change a file without closing fence counts as still being written."""

Outcome = Record | Rejection | NoRecord | Unchanged
Batch = Sequence[tuple[SourceFile, bytes | None]]
"""Files, each with its stored digest or None."""
CheckStop = Callable[[], None]
"""Raises an error once a stop is requested."""
Result = TypeVar("Result")
_log = logging.getLogger(__name__)
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def ingest_batch(source: Source, batch: Batch, check_stop: CheckStop | None = None) -> list[Outcome]:
    """The outcomes of one batch, in its order. A file that is missing by now has no outcome."""
    try:
        folder = Folder(source.root)
    except OSError as error:
        return [] if error.errno in ABSENT else [_unreadable(file, error) for file, _ in batch]
    with folder, Worker(check_stop) as parser:
        reader = _Reader(source, folder, parser)
        outcomes = (reader.ingest(file, digest)[0] for file, digest in batch)
        return [outcome for outcome in outcomes if outcome is not None]


def ingest_files(
    source: Source,
    files: Iterable[tuple[SourceFile, bytes | None]],
    *,
    workers: int,
    check_stop: CheckStop | None = None,
    read: Callable[..., list[Outcome]] = ingest_batch,
) -> Iterator[list[Outcome]]:
    """The outcomes of `files` (each with its stored digest or None), in their order, in batches.

    Many files are read by `workers` processes; the calling process reads too instead of idling. Few files are read
    in-process. While a file takes long, `check_stop` is called; its error ends all processes.
    """
    batches = _batched(files)
    head = list(itertools.islice(batches, POOL_MIN_FILES // BATCH))
    if workers < 2 or len(head) < POOL_MIN_FILES // BATCH:
        for batch in itertools.chain(head, batches):
            yield read(source, batch, check_stop)
    else:
        yield from _read_with_pool(read, source, head, batches, workers, check_stop)


def _read_with_pool(
    read: Callable[..., list[Outcome]],
    source: Source,
    head: list[Batch],
    batches: Iterator[Batch],
    workers: int,
    check_stop: CheckStop | None,
) -> Iterator[list[Outcome]]:
    """The outcomes of `head` and `batches`. If processes cannot be started or are lost, all is read in-process."""
    pool, pool_is_usable = WorkerPool(workers - 1), True
    waiting: deque[tuple[Batch, Future[list[Outcome]]]] = deque()

    def submit_batches() -> None:
        while (
            pool_is_usable
            and len(waiting) < 4 * workers
            and sum(not future.done() for _, future in waiting) < 2 * (workers - 1)
            and (following := next(batches, None))
        ):
            waiting.append((following, pool.submit(read, source, following)))

    try:
        submit_batches()
        for batch in head:  # while the processes start
            yield read(source, batch, check_stop)
            submit_batches()
        while True:
            is_idle = not waiting or not waiting[0][1].done()
            if is_idle and len(waiting) < 4 * workers and (following := next(batches, None)):
                waiting.append((following, _completed_future(read(source, following, check_stop))))
            if not waiting:
                return
            batch, future = waiting.popleft()
            try:
                outcomes = _wait_for(future, check_stop)
            except (WorkerLostError, OSError, RuntimeError) as error:
                pool_is_usable = False
                _warn_of_lost_pool(str(error))
                outcomes = read(source, batch, check_stop)
            yield outcomes
            submit_batches()
    finally:
        pool.close()


def _wait_for(future: Future[Result], check_stop: CheckStop | None) -> Result:
    """The result of a future. Calls `check_stop` while waiting."""
    from concurrent.futures import wait

    while check_stop is not None and not future.done():
        check_stop()
        wait((future,), timeout=POLL_S)
    return future.result()


def _completed_future(result: Result) -> Future[Result]:
    from concurrent.futures import Future

    future: Future[Result] = Future()
    future.set_result(result)
    return future


def _batched(files: Iterable[tuple[SourceFile, bytes | None]]) -> Iterator[Batch]:
    iterator = iter(files)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch


@cache
def _warn_of_lost_pool(reason: str) -> None:
    """Logs once for each reason that files are read in-process."""
    _log.warning("cannot use other processes to read files: %s (they are read in this one, which takes longer)", reason)


def trace_file(source: Source, path: str) -> tuple[Record | Rejection | NoRecord | None, tuple[FieldTrace, ...]]:
    """The outcome of the file as it is now, and the origin of each field; (None, ()) if there is no such file."""
    from aggregator.parse.trace import trace_record

    file = SourceFile(source.name, path, 0, 0)
    with Worker() as parser:
        try:
            with Folder(source.root) as folder:
                reader = _Reader(source, folder, parser)
                outcome, raw = reader.ingest(file, None)
                context = (reader.page_context(path),) if raw else ()
        except OSError as error:
            outcome, raw = None if error.errno in ABSENT else _unreadable(file, error), b""
        if outcome is None or isinstance(outcome, Unchanged):
            return None, ()
        try:
            return outcome, _run_bounded(parser, trace_record, raw, file, source, *context) if raw else ()
        except Exception:  # noqa: BLE001 - the outcome already has the problem
            return outcome, ()


def page_context(source: Source, path: str) -> PageContext:
    """What the index files above the page at the escaped `path` say about it."""
    with Worker() as parser, Folder(source.root) as folder:
        return _Reader(source, folder, parser).page_context(path)


class _Reader:
    """Reads the files of a source."""

    def __init__(self, source: Source, folder: Folder, parser: Worker) -> None:
        self._source, self._folder, self._parser = source, folder, parser
        self._is_record: RecordFilter | None = None
        if source.layout == "hugo":
            from aggregator.file_context import IndexFiles

            self._index_files = IndexFiles(source, folder, self._read_section)
            self._is_record = RecordFilter(source.include, source.exclude)

    def ingest(self, file: SourceFile, stored_digest: bytes | None) -> tuple[Outcome | None, bytes]:
        """The outcome of one file, None if it is missing; and its bytes if they could be parsed, else b""."""
        PROGRESS.show()
        source = self._source
        try:
            raw, file = _read_file(source, self._folder, file)
        except OSError as error:
            return None if error.errno in ABSENT else _unreadable(file, error), b""
        if self._is_record is None:
            return self._parse(raw, file, blake2b(raw, digest_size=16).digest(), stored_digest)
        context = self._index_files.context(file.path)
        digest = blake2b(raw, digest_size=16, key=context.token).digest()
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

        return NO_CONTEXT if self._is_record is None else self._index_files.context(path).page

    def _parse(
        self, raw: bytes, file: SourceFile, digest: bytes, stored_digest: bytes | None, *context: PageContext
    ) -> tuple[Outcome, bytes]:
        if digest == stored_digest:
            return Unchanged(file, digest), b""
        if len(raw) > self._source.max_bytes:
            return Rejection(file, digest, _too_large(file.path, self._source)), b""
        try:
            return _run_bounded(self._parser, _parse_file, raw, file, self._source, digest, *context), raw
        except WorkerLostError as error:
            return Rejection(file, digest, _too_slow(file.path, error)), b""

    def _check_index(self, file: SourceFile, digest: bytes, stored_digest: bytes | None) -> Outcome:
        """The outcome of an index file that is not included."""
        if digest == stored_digest:
            return Unchanged(file, digest)
        problem = self._index_files.problem(file.path)
        return Rejection(file, digest, problem) if problem else NoRecord(file, digest, None)

    def _read_section(self, path: str, language: str) -> tuple[Section | Problem, bytes]:
        from aggregator.parse.section import read_section

        raw, _ = _read_file(self._source, self._folder, SourceFile(self._source.name, path, 0, 0))
        if len(raw) > self._source.max_bytes:
            return _too_large(path, self._source), raw
        try:
            return _run_bounded(self._parser, read_section, raw, path, self._source, language), raw
        except WorkerLostError as error:
            return _too_slow(path, error), raw


def _unknown_context(file: SourceFile, problem: Problem) -> Rejection:
    """The outcome of a page whose index files cannot be read: Hugo would publish nothing."""
    place = f"{problem.path}:{problem.line}" if problem.line else problem.path
    what = f"what {place} hands down to it is unknown: {problem.what}"
    hint = "correct that file; until then its entry stays as it is"
    # without a digest, it is read again in every cycle
    return Rejection(file, b"", Problem(file.path, 0, 0, what, None, hint), cause=problem.path)


def _too_large(path: str, source: Source) -> Problem:
    hint = "make it shorter or raise records.max_bytes"
    return Problem(path, 0, 0, f"the file is over {source.max_bytes:,} bytes", None, hint)


def _too_slow(path: str, error: WorkerLostError) -> Problem:
    what = {
        "cpu": f"takes over {PARSE_CPU_S} seconds of processor time to read",
        "clock": f"takes over {PARSE_CLOCK_S} seconds to read",
        None: "cannot be read: the parser crashed",
    }[error.deadline]
    return Problem(path, 0, 0, what, None, "make it shorter or simpler")


def _run_bounded(parser: Worker, function: Callable[..., Result], raw: bytes, *args: object) -> Result:
    """The result of `function` for the bytes of a file. For a large file it runs in `parser`, with a deadline; raises
    WorkerLostError then."""
    if len(raw) > LARGE_BYTES:
        try:
            return parser.call(function, raw, *args, cpu_s=PARSE_CPU_S, clock_s=PARSE_CLOCK_S)
        except OSError as error:
            _warn_of_lost_pool(str(error))
    return function(raw, *args)


def _parse_file(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, context: PageContext | None = None
) -> Record | Rejection:
    from aggregator.parse.cascade import NO_CONTEXT
    from aggregator.parse.fields import Fields
    from aggregator.parse.record import parse_record

    try:
        context = context or NO_CONTEXT
        outcome = parse_record(raw, file, source, digest, None, context)
        if isinstance(outcome, Record) and late_update(outcome, datetime.now(UTC)) and not outcome.updated_place[0]:
            outcome = parse_record(raw, file, source, digest, Fields, context)  # for the position of the warning
    except Exception as error:  # noqa: BLE001 - one record never stops a cycle; the error may quote private text
        what = f"cannot be read: {type(error).__name__}"
        return Rejection(file, digest, Problem(file.path, 0, 0, what, None, "report it, with the file"))
    if isinstance(outcome, Rejection) and outcome.unfinished:
        is_fresh = abs(time.time() - file.mtime_ns / 1e9) < UNFINISHED_S  # abs: a file server's clock may be ahead
        return replace(outcome, unfinished=is_fresh)
    return outcome


def _unreadable(file: SourceFile, error: OSError) -> Rejection:
    ShortageError.check(error)
    reason = error.strerror or type(error).__name__
    return Rejection(file, b"", Problem(file.path, 0, 0, f"cannot be read: {reason}", None, "check its permissions"))


def _read_file(source: Source, folder: Folder, file: SourceFile) -> tuple[bytes, SourceFile]:
    """The bytes of a regular file, at most `max_bytes` + 1, and the file with the stat that belongs to them."""
    max_bytes = source.max_bytes
    descriptor = _open_file(source, folder, unescape_path(file.path))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # the expected size first: a buffer of max_bytes costs more than parsing
        raw = os.read(descriptor, min(status.st_size, max_bytes) + 1)
        while len(raw) <= max_bytes and (more := os.read(descriptor, min(READ_STEP, max_bytes + 1 - len(raw)))):
            raw += more
    finally:
        os.close(descriptor)
    seen = clamped_stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return raw, file if seen == file[2:] else SourceFile(file.source, file.path, *seen)


def _open_file(source: Source, folder: Folder, path: str) -> int:
    """A descriptor of the file at `path`, or of the target of a link there, if a scan would read that."""
    try:
        return folder.open(path, _OPEN_FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return folder.open(folder.resolve(path, listed_filter(source)), _OPEN_FLAGS)
