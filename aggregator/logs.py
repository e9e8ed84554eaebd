"""The log on stderr. Logging never blocks.

The calling thread formats a line, and a thread of the log writes it. Lines that the stream does not accept in time are
dropped, and a later line counts them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Literal

from aggregator.errors import crash_report
from aggregator.problems import visible

MAX_WAITING_BYTES = 4_000_000
"""Most bytes that wait for the stream."""
MAX_LINE = 16_000
"""Most characters of a log entry, with its traceback."""
FLUSH_S = 1.0
"""How long the process waits for the stream when it ends."""
LINES_PER_SECOND = 5
"""Limit for each logger that requests of clients can cause to log."""
REPORT_LOST_S = 1.0
"""Interval of lines that count dropped lines."""
_LIMITED = ("aggregator.serve", "asyncio", "uvicorn")
_OWN = "aggregator"


def start_logging(
    zone: tzinfo = UTC, level: int = logging.INFO, form: Literal["auto", "text", "json"] = "text"
) -> None:
    """Logs on stderr, one line for each entry, with times in `zone`. `auto` is text on a terminal, else JSON."""
    if logging.root.handlers:
        return
    logging.raiseExceptions = False  # or a failing log would write tracebacks to the failing stream
    descriptor = _stderr_descriptor()
    if form == "auto":
        form = "text" if descriptor is not None and os.isatty(descriptor) else "json"
    writer = StreamWriter(descriptor)
    writer.setFormatter(_LineFormatter(zone) if form == "text" else _JsonFormatter(zone))
    # of what libraries log, and of warnings of Python, most tells developers what operators cannot change
    of_others = logging.ERROR if level > logging.DEBUG else logging.WARNING
    writer.addFilter(lambda record: record.levelno >= of_others or f"{record.name}.".startswith(f"{_OWN}."))
    writer.addFilter(_RateLimit(writer.count_lost))
    logging.root.addHandler(writer)
    logging.root.setLevel(level)
    logging.captureWarnings(True)  # or they would be written between the lines, and not as JSON


class StreamWriter(logging.Handler):
    """Writes lines to a descriptor in a thread; writes nothing without a descriptor."""

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
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - an error of the log must not stop the caller
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
        """Counts a dropped line."""
        with self._changed:
            self._lost += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until all lines are written, at most a second. `logging` calls it when the process ends."""
        if self._descriptor is not None:
            with self._changed:
                self._changed.wait_for(lambda: not self._waiting_bytes, FLUSH_S)

    def _write_forever(self, descriptor: int) -> None:
        reported_at = -math.inf
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._lost)
                self._changed.wait_for(lambda: self._waiting, max(0.0, reported_at + REPORT_LOST_S - time.monotonic()))
                lost = self._lost if time.monotonic() >= reported_at + REPORT_LOST_S else 0
                lines, self._waiting = self._waiting, []
                size = sum(map(len, lines))
            if lost:
                reported_at = time.monotonic()
                lost *= _write(descriptor, self._lost_line(lost))
            written = _write(descriptor, b"".join(lines))
            with self._changed:
                self._lost += (0 if written else len(lines)) - lost
                self._waiting_bytes -= size
                self._changed.notify_all()

    def _lost_line(self, lost: int) -> bytes:
        text = f"{lost} lines of the log were dropped: too many at once, or the stream did not accept them"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
        return f"{self.format(record)}\n".encode()


class _LineFormatter(logging.Formatter):
    """Time with offset, level, and the message with escaped control characters."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, self._zone).isoformat(" ", "seconds")
        line = f"{time} {record.levelname} {visible(record.getMessage())}"
        return "\n".join(filter(None, (line, _traceback(record))))[:MAX_LINE]


class _JsonFormatter(_LineFormatter):
    """One JSON object in ASCII, with time, level, logger, message and, if there is one, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, self._zone).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_LINE],
        }
        if traceback := _traceback(record):
            line["traceback"] = traceback[:MAX_LINE]
        return json.dumps(line)


def _traceback(record: logging.LogRecord) -> str:
    """Type and place of the exception in a log line, also of a library; empty without one. Its message is left out,
    because it may quote a record."""
    error = record.exc_info[1] if record.exc_info else None
    return "" if error is None else crash_report(error)


class _RateLimit(logging.Filter):
    """Limits the lines of loggers that requests can cause to log."""

    def __init__(self, count_lost: Callable[[], None]) -> None:
        super().__init__()
        self._count_lost = count_lost
        self._passed: dict[str, list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        top = next((name for name in _LIMITED if f"{record.name}.".startswith(f"{name}.")), None)
        if top is None:
            return True
        now = time.monotonic()
        recent = [moment for moment in self._passed.get(top, []) if now - moment < 1.0]
        self._passed[top] = recent
        if len(recent) >= LINES_PER_SECOND:
            self._count_lost()
            return False
        recent.append(now)
        return True


def _write(descriptor: int, data: bytes) -> bool:
    """True if the stream accepted all data. Blocks while it accepts nothing."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [], 1.0)
        except OSError:  # a full disk, or a closed pipe
            return False
    return True


def _stderr_descriptor() -> int | None:
    try:
        return None if sys.stderr is None else sys.stderr.fileno()
    except (OSError, ValueError):  # a Python stream without a descriptor
        return None
