"""The process: how many files it may open, its threads, and its end when one of them dies."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Never

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

from aggregator.errors import crash_report

_log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Lets the process open as many files as it may; the usual soft limit is meant for programs that use select()."""
    if resource is not None:
        with suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def watch_threads() -> None:
    """From now on the death of any thread, those of libraries too, ends the process."""
    threading.excepthook = lambda died: _end_after(died.thread.name if died.thread else "?", died.exc_value)


def start_thread(
    name: str, work: Callable[[], None], may_end: Callable[[], bool], *, daemon: bool = True
) -> threading.Thread:
    """A thread that runs `work`. If that ends when it may not, the process ends: a service that does half its work
    looks healthy, and nobody starts it again."""

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
    """Ends the process with status 1; what is stored stays, as after a loss of power."""
    try:
        _log.critical("%s; the service ends", reason)
        flush_log()
    finally:
        os._exit(1)


def flush_log() -> None:
    """Waits for the log before an end that Python does not know of."""
    for handler in logging.root.handlers:
        handler.flush()


def _end_after(name: str, error: BaseException | None) -> None:
    try:
        if error is not None:
            _log.critical("the thread %r died. %s", name, crash_report(error))
    finally:
        end_process(f"the thread {name!r} is over")
