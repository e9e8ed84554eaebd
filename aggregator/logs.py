"""The log: lines on stderr that never hold up the work.

Records are formatted by the thread that logs and written by a thread of the log. What the stream does not take in time
is dropped, and a later line says how much.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from aggregator.problems import visible

MAX_WAITING_BYTES = 4_000_000
"""How much may wait for a stream that takes nothing."""
MAX_LINE = 16_000
"""Characters of one record, traceback included."""
FLUSH_S = 1.0
"""How long the end of the process waits for the stream."""
LINES_A_SECOND = 5
"""Lines of one limited logger; each request of a client may log."""
TELL_LOST_S = 1.0
"""Time between two lines that say how many were left out."""
_LIMITED = ("aggregator.serve", "asyncio", "uvicorn")
_QUIET = ("alembic", "apscheduler", "watchfiles")


def start_logging(zone: tzinfo = UTC, level: int = logging.INFO) -> None:
    """Logs on stderr, one line for each record, with times of `zone`."""
    if logging.root.handlers:
        return
    logging.raiseExceptions = False  # a log that fails must not write its own complaint to the stream that failed
    writer = StreamWriter(_stderr_descriptor())
    writer.setFormatter(_LineFormatter(zone))
    writer.addFilter(_RateLimit(writer.count_lost))
    logging.root.addHandler(writer)
    logging.root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    atexit.register(writer.flush)


class StreamWriter(logging.Handler):
    """Writes lines to a descriptor, from a thread of its own; without a descriptor, nowhere."""

    def __init__(self, descriptor: int | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._lost = 0
        if descriptor is not None:
            threading.Thread(target=self._write_forever, args=(descriptor,), name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._descriptor is None:
            return
        try:
            line = f"{self.format(record)[:MAX_LINE]}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - whoever logs goes on
            self.count_lost()
            return
        with self._changed:
            if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
                self._lost += 1
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def count_lost(self) -> None:
        """Notes that a line was left out."""
        with self._changed:
            self._lost += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until all is written, for a second at most."""
        if self._descriptor is not None:
            with self._changed:
                self._changed.wait_for(lambda: not self._waiting_bytes, FLUSH_S)

    def _write_forever(self, descriptor: int) -> None:
        told_at = -math.inf
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._lost)
                self._changed.wait_for(lambda: self._waiting, max(0.0, told_at + TELL_LOST_S - time.monotonic()))
                lost = self._lost if time.monotonic() >= told_at + TELL_LOST_S else 0
                lines, self._waiting = self._waiting, []
                size = sum(map(len, lines))
            if lost:
                told_at = time.monotonic()
                lost *= _write(descriptor, self._lost_line(lost))
            written = _write(descriptor, b"".join(lines))
            with self._changed:
                self._lost += (0 if written else len(lines)) - lost
                self._waiting_bytes -= size
                self._changed.notify_all()

    def _lost_line(self, lost: int) -> bytes:
        text = f"{lost} lines of the log were left out: too many at once, or the stream did not take them"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
        return f"{self.format(record)}\n".encode()


class _LineFormatter(logging.Formatter):
    """One line: the time with its offset, the level, and the message with control characters escaped."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return datetime.fromtimestamp(record.created, self._zone).isoformat(" ", "seconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = visible(record.message)
        return super().formatMessage(record)


class _RateLimit(logging.Filter):
    """Lets some lines a second pass of each logger that requests can make log."""

    def __init__(self, left_out: Callable[[], None]) -> None:
        super().__init__()
        self._left_out = left_out
        self._passed: dict[str, list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        top = next((name for name in _LIMITED if f"{record.name}.".startswith(f"{name}.")), None)
        if top is None:
            return True
        now = time.monotonic()
        recent = [moment for moment in self._passed.get(top, []) if now - moment < 1.0]
        self._passed[top] = recent
        if len(recent) >= LINES_A_SECOND:
            self._left_out()
            return False
        recent.append(now)
        return True


def _write(descriptor: int, data: bytes) -> bool:
    """Whether the stream took all of it; waits as long as it takes nothing."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [], 1.0)
        except OSError:  # a full disk, a reader that is gone
            return False
    return True


def _stderr_descriptor() -> int | None:
    try:
        return None if sys.stderr is None else sys.stderr.fileno()
    except (OSError, ValueError):  # a stream of Python alone
        return None
