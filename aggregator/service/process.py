"""The process: its limit of open files, its threads, and its end when one of them dies."""

from __future__ import annotations

import logging
import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Never

from aggregator.errors import crash_report

_log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Raises the soft limit of open files to the hard one; the usual soft limit exists for programs with select()."""
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def watch_threads() -> None:
    """From now on the process ends if a thread dies, also a thread of a library."""
    threading.excepthook = lambda died: _end_after(died.thread.name if died.thread else "?", died.exc_value)


def start_thread(
    name: str, work: Callable[[], None], may_end: Callable[[], bool], *, daemon: bool = True
) -> threading.Thread:
    """A thread that runs `work`. If it ends while `may_end` is false, the process ends: a service that does half of its
    work looks healthy, and nobody would restart it."""

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001 - it ends the process
            error = raised
        if error is not None or not may_end():
            _end_after(name, error)

    thread = threading.Thread(target=run, name=name, daemon=daemon)
    thread.start()
    return thread


def end_process(reason: str) -> Never:
    """Ends the process with status 1, at once. What is stored is kept, as after a power failure."""
    try:
        _log.critical("%s; the service ends", reason)
        flush_log()
    finally:
        os._exit(1)


def flush_log() -> None:
    """Writes out the log: before `os._exit`, or before a line that belongs below it."""
    for handler in logging.root.handlers:
        handler.flush()


def _end_after(name: str, error: BaseException | None) -> None:
    try:
        if error is not None:
            _log.critical("the thread %r died. %s", name, crash_report(error))
    finally:
        end_process(f"the thread {name!r} ended")
