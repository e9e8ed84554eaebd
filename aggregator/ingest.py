"""Ingest: files that differ -> records or rejections, in batches.

Reading, digest and parsing are one function over a batch, so that it runs as well in another process. It touches
nothing but the files it is given.
"""

from __future__ import annotations

import atexit
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
from aggregator.model import Record, RecordRow, Rejection, SourceFile, Unchanged, late_update
from aggregator.paths import ABSENT, Folder, kept_stat, record_filter, unescape_path
from aggregator.problems import Problem
from aggregator.processes import Worker, WorkerLostError, WorkerPool
from aggregator.settings import Source

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aggregator.parse.trace import FieldTrace

PARSER_VERSION = "4"
"""Changes when the same bytes give another Record, so that an upgrade reads every file again."""
BATCH = 1000
READ_STEP = 16_384
POOL_FROM = 2 * BATCH
"""Files that make a pool of processes worth its start."""
LARGE = 65_536
"""Bytes of a file that is parsed in a process of its own, under a deadline: the time that parsing takes may grow faster
than the text, and C code cannot be interrupted."""
PARSE_CPU_S, PARSE_CLOCK_S = 5, 15
"""The deadline: seconds of work, and on the clock, because the machine may be busy with other things."""
UNFINISHED_S = 60
"""How long a file without its closing fence counts as still being written."""

Outcome = Record | Rejection | Unchanged
Row = RecordRow | Rejection | Unchanged
"""An outcome as the store takes it."""
Read = TypeVar("Read", Outcome, Row)
Batch = Sequence[tuple[SourceFile, bytes | None]]
"""Files, each with its stored digest or None."""
Result = TypeVar("Result")
_log = logging.getLogger(__name__)
_apart = Worker()
"""The process that parses large files, for as long as there are files to read."""
atexit.register(_apart.kill)
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def ingest_files(
    source: Source, files: Iterable[tuple[SourceFile, bytes | None]], *, workers: int
) -> Iterator[list[Outcome]]:
    """The outcomes of `files` (each with its stored digest or None), in their order, in batches.

    Many files are read by `workers` processes, of which this is one when it has nothing else to do; few ones are read
    here. A file that is gone by now gives no outcome.
    """
    return _read_files(ingest_batch, source, files, workers)


def ingest_rows(
    source: Source, files: Iterable[tuple[SourceFile, bytes | None]], *, workers: int
) -> Iterator[list[Row]]:
    """The same as `ingest_files`, with records as rows: what processes hand over costs more than what they read."""
    return _read_files(ingest_row_batch, source, files, workers)


def _read_files(
    read: Callable[[Source, Batch], list[Read]],
    source: Source,
    files: Iterable[tuple[SourceFile, bytes | None]],
    workers: int,
) -> Iterator[list[Read]]:
    batches = _batched(files)
    head = list(itertools.islice(batches, POOL_FROM // BATCH))
    try:
        if workers < 2 or len(head) < POOL_FROM // BATCH:
            for batch in itertools.chain(head, batches):
                yield read(source, batch)
        else:
            yield from _read_with_pool(read, source, head, batches, workers)
    finally:
        _apart.close()


def _read_with_pool(
    read: Callable[[Source, Batch], list[Read]],
    source: Source,
    head: list[Batch],
    batches: Iterator[Batch],
    workers: int,
) -> Iterator[list[Read]]:
    """The outcomes of `head` and `batches`. Where processes cannot be started or are lost, all is read here."""
    pool, alone = WorkerPool(workers - 1), False
    waiting: deque[tuple[Batch, Future[list[Read]]]] = deque()

    def hand_out() -> None:
        while (
            not alone
            and len(waiting) < 4 * workers
            and sum(not future.done() for _, future in waiting) < 2 * (workers - 1)
            and (following := next(batches, None))
        ):
            waiting.append((following, pool.submit(read, source, following)))

    try:
        hand_out()
        for batch in head:  # while the others start
            yield read(source, batch)
            hand_out()
        while True:
            is_free = not waiting or not waiting[0][1].done()
            if is_free and len(waiting) < 4 * workers and (following := next(batches, None)):
                waiting.append((following, _done(read(source, following))))
            if not waiting:
                return
            batch, future = waiting.popleft()
            try:
                outcomes = future.result()
            except (WorkerLostError, OSError, RuntimeError) as error:
                alone = True
                _warn_alone(str(error))
                outcomes = read(source, batch)
            yield outcomes
            hand_out()
    finally:
        pool.close()


@cache
def _warn_alone(reason: str) -> None:
    """Says once that no other process helps."""
    _log.warning("no other process can help to read files: %s (they are read in this one, which takes longer)", reason)


def ingest_row_batch(source: Source, batch: Batch) -> list[Row]:
    """The outcomes of one batch, records as rows."""
    return [_as_row(one) if isinstance(one, Record) else one for one in ingest_batch(source, batch)]


def ingest_batch(source: Source, batch: Batch) -> list[Outcome]:
    """The outcomes of one batch."""
    try:
        folder = Folder(source.root)
    except OSError as error:
        return [] if error.errno in ABSENT else [_unreadable(file, error) for file, _ in batch]
    with folder:
        outcomes = (ingest_file(source, folder, file, digest)[0] for file, digest in batch)
        return [outcome for outcome in outcomes if outcome is not None]


def ingest_file(source: Source, folder: Folder, file: SourceFile, known: bytes | None) -> tuple[Outcome | None, bytes]:
    """What one file says, None if it is gone; and its bytes if they could be parsed, else none.

    `known` is the digest of the bytes that are stored.
    """
    try:
        raw, file = _read_file(source, folder, file)
    except OSError as error:
        return None if error.errno in ABSENT else _unreadable(file, error), b""
    digest = blake2b(raw, digest_size=16).digest()
    if digest == known:
        return Unchanged(file, digest), b""
    if len(raw) > source.max_bytes:
        todo = "make it shorter or raise records.max_bytes"
        problem = Problem(file.path, 0, 0, f"the file is over {source.max_bytes:,} bytes", None, todo)
        return Rejection(file, digest, problem), b""
    try:
        return _run_bounded(_parse_file, raw, file, source, digest), raw
    except WorkerLostError as error:
        what = f"takes over {PARSE_CPU_S} seconds to read" if error.timed_out else "cannot be read: the parser crashed"
        return Rejection(file, digest, Problem(file.path, 0, 0, what, None, "make it shorter or simpler")), b""


def trace_file(source: Source, path: str) -> tuple[Record | Rejection | None, tuple[FieldTrace, ...]]:
    """What the file at `path` says now, and which key gave each field; (None, ()) if there is no such file."""
    from aggregator.parse.trace import trace_record

    file = SourceFile(source.name, path, 0, 0)
    try:
        with Folder(source.root) as folder:
            outcome, raw = ingest_file(source, folder, file, None)
    except OSError as error:
        outcome, raw = None if error.errno in ABSENT else _unreadable(file, error), b""
    if not isinstance(outcome, Record | Rejection):
        return None, ()
    try:
        return outcome, _run_bounded(trace_record, raw, file, source) if raw else ()
    except Exception:  # noqa: BLE001 - the outcome says already what is wrong with the file
        return outcome, ()


def _run_bounded(function: Callable[..., Result], raw: bytes, *args: object) -> Result:
    """What `function` makes of the bytes of a file; of a large one under a deadline. Raises WorkerLostError then."""
    if len(raw) > LARGE:
        try:
            return _apart.call(function, raw, *args, cpu_s=PARSE_CPU_S, clock_s=PARSE_CLOCK_S)
        except OSError as error:
            _warn_alone(str(error))
    return function(raw, *args)


def _unreadable(file: SourceFile, error: OSError) -> Rejection:
    ShortageError.check(error)
    reason = error.strerror or type(error).__name__
    return Rejection(file, b"", Problem(file.path, 0, 0, f"cannot be read: {reason}", None, "check its rights"))


def _parse_file(raw: bytes, file: SourceFile, source: Source, digest: bytes) -> Record | Rejection:
    from aggregator.parse.fields import Fields
    from aggregator.parse.record import parse_record

    try:
        outcome = parse_record(raw, file, source, digest)
        if isinstance(outcome, Record) and late_update(outcome, datetime.now(UTC)) and not outcome.updated_place[0]:
            outcome = parse_record(raw, file, source, digest, Fields)  # which knows places
    except Exception as error:  # noqa: BLE001 - one record never stops a cycle; its text may not be shown
        what = f"cannot be read: {type(error).__name__}"
        return Rejection(file, digest, Problem(file.path, 0, 0, what, None, "report it, with the file"))
    if isinstance(outcome, Rejection) and outcome.unfinished:
        fresh = abs(time.time() - file.mtime_ns / 1e9) < UNFINISHED_S  # the clock of a file server may be ahead
        return replace(outcome, unfinished=fresh)
    return outcome


def _as_row(record: Record) -> RecordRow:
    return RecordRow(
        record.file,
        record.digest,
        record.explicit_id,
        record.public,
        record.content_json,
        record.content.body_html,
        record.content.topics,
        record.published,
        record.updated,
        record.expires,
        record.quality,
        record.heat,
        record.content_hash,
        record.visible_hash,
        record.selection_hash,
        record.text_hash,
        record.sketch,
        record.warnings,
        record.id_place,
        record.updated_place,
    )


def _read_file(source: Source, folder: Folder, file: SourceFile) -> tuple[bytes, SourceFile]:
    """The bytes of a regular file, one more than `max_bytes` at most, and the stat that belongs to them."""
    max_bytes = source.max_bytes
    descriptor = _open_file(source, folder, unescape_path(file.path))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # buffers of the size that is expected: one of the largest size costs more than parsing
        raw = os.read(descriptor, min(status.st_size, max_bytes) + 1)
        while len(raw) <= max_bytes and (more := os.read(descriptor, min(READ_STEP, max_bytes + 1 - len(raw)))):
            raw += more
    finally:
        os.close(descriptor)
    seen = kept_stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return raw, file if seen == file[2:] else SourceFile(file.source, file.path, *seen)


def _open_file(source: Source, folder: Folder, path: str) -> int:
    """A descriptor of the file at `path`, or of the file that a link there ends at, if a scan reads that."""
    try:
        return folder.open(path, _OPEN_FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return folder.open(folder.resolve(path, record_filter(source.include, source.exclude)), _OPEN_FLAGS)


def _done(outcomes: list[Read]) -> Future[list[Read]]:
    from concurrent.futures import Future

    future: Future[list[Read]] = Future()
    future.set_result(outcomes)
    return future


def _batched(files: Iterable[tuple[SourceFile, bytes | None]]) -> Iterator[Batch]:
    iterator = iter(files)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
