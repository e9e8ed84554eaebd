"""Ingest: files that differ -> records or rejections, in batches.

Reading, digest and parsing are one function over a batch, so that it runs as well in another process. It touches
nothing but the files it is given.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

from aggregator.model import Problem, Record, RecordRow, Rejection, Source, SourceFile, Unchanged
from aggregator.naming import kept_mtime, unescape_path

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aggregator.parse.trace import FieldTrace

PARSER_VERSION = "3"
"""Changes when the same bytes give another Record, so that an upgrade reads every file again."""
BATCH = 1000
READ_STEP = 16_384
POOL_FROM = 2 * BATCH
"""Files that make a pool of processes worth its start."""
UNFINISHED_S = 60
"""How long a file without its closing fence counts as still being written."""

Outcome = Record | Rejection | Unchanged
Row = RecordRow | Rejection | Unchanged
"""An outcome as the store takes it."""
Read = TypeVar("Read", Outcome, Row)
Batch = Sequence[tuple[SourceFile, bytes | None]]
"""Files, each with its stored digest or None."""
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
    if workers < 2 or len(head) < POOL_FROM // BATCH:
        for batch in itertools.chain(head, batches):
            yield read(source, batch)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # the service has threads, so never fork
    with ProcessPoolExecutor(workers - 1, mp_context=context, initializer=_follow_parent) as pool:
        waiting: deque[Future[list[Read]]] = deque()

        def hand_out() -> None:
            while (
                len(waiting) < 4 * workers
                and sum(not one.done() for one in waiting) < 2 * (workers - 1)
                and (following := next(batches, None))
            ):
                with _signals_held():
                    waiting.append(pool.submit(read, source, following))

        try:
            hand_out()
            for batch in head:  # while the others start
                yield read(source, batch)
                hand_out()
            while waiting:
                if not waiting[0].done() and len(waiting) < 4 * workers and (following := next(batches, None)):
                    waiting.append(_done(read(source, following)))
                yield waiting.popleft().result()
                hand_out()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def ingest_row_batch(source: Source, batch: Batch) -> list[Row]:
    """The outcomes of one batch, records as rows."""
    return [_as_row(one) if isinstance(one, Record) else one for one in ingest_batch(source, batch)]


def ingest_batch(source: Source, batch: Batch) -> list[Outcome]:
    """The outcomes of one batch."""
    root = os.path.realpath(source.root)
    outcomes = (ingest_file(source, root, file, digest) for file, digest in batch)
    return [outcome for outcome in outcomes if outcome is not None]


def ingest_file(source: Source, root: str, file: SourceFile, known: bytes | None) -> Outcome | None:
    """What one file says; None if it is gone. `known` is the digest of the bytes that are stored."""
    try:
        raw, file = _read_file(os.path.join(root, unescape_path(file.path)), file, source.max_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Rejection(file, b"", Problem(file.path, 0, 0, f"cannot be read: {reason}", None, "check its rights"))
    digest = blake2b(raw, digest_size=16).digest()
    if digest == known:
        return Unchanged(file, digest)
    if len(raw) > source.max_bytes:
        todo = "make it shorter or raise records.max_bytes"
        problem = Problem(file.path, 0, 0, f"the file is over {source.max_bytes:,} bytes", None, todo)
        return Rejection(file, digest, problem)
    return _parse_file(raw, file, source, digest)


def trace_file(source: Source, path: str) -> tuple[Record | Rejection | None, tuple[FieldTrace, ...]]:
    """What the file at `path` says now, and which key gave each field; (None, ()) if there is no such file."""
    from aggregator.parse.trace import trace_record

    root, file = os.path.realpath(source.root), SourceFile(source.name, path, 0, 0)
    outcome = ingest_file(source, root, file, None)
    if not isinstance(outcome, Record | Rejection):
        return None, ()
    try:
        raw, _ = _read_file(os.path.join(root, unescape_path(path)), file, source.max_bytes)
        return outcome, () if len(raw) > source.max_bytes else trace_record(raw, file, source)
    except Exception:  # noqa: BLE001 - the outcome says already what is wrong with the file
        return outcome, ()


def _parse_file(raw: bytes, file: SourceFile, source: Source, digest: bytes) -> Record | Rejection:
    from aggregator.parse import parse_record

    try:
        outcome = parse_record(raw, file, source, digest)
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
    )


def _read_file(path: str, file: SourceFile, max_bytes: int) -> tuple[bytes, SourceFile]:
    """The bytes of a regular file, one more than `max_bytes` at most, and the stat that belongs to them."""
    descriptor = os.open(path, _OPEN_FLAGS)
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
    if (status.st_size, kept_mtime(status)) != (file.size, file.mtime_ns):
        file = file._replace(size=status.st_size, mtime_ns=kept_mtime(status))
    return raw, file


def _done(outcomes: list[Read]) -> Future[list[Read]]:
    from concurrent.futures import Future

    future: Future[list[Read]] = Future()
    future.set_result(outcomes)
    return future


def _follow_parent() -> None:
    """Ends a reading process with the one that it works for, however that ends."""
    from multiprocessing import parent_process

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Holds signals back while a reading process may start: it inherits that, and leaves them to its parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _batched(files: Iterable[tuple[SourceFile, bytes | None]]) -> Iterator[Batch]:
    iterator = iter(files)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
