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

    def end(died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread else "?"
        try:
            if died.exc_value is not None:
                _log.critical("the thread %r died. %s", name, crash_report(died.exc_value))
        finally:
            end_process(f"the thread {name!r} ended")

    threading.excepthook = end


def start_thread(
    name: str, work: Callable[[], None], may_end: Callable[[], bool], *, daemon: bool = True
) -> threading.Thread:
    """A thread that runs `work`. If that ends while `may_end` is false, the process ends: a service that does half of
    its work looks healthy, and nobody would restart it. So it does if `work` fails, after `watch_threads`."""

    def run() -> None:
        work()
        if not may_end():
            end_process(f"the thread {name!r} ended")

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
