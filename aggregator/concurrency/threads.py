"""Threads that are started once and run calls."""

from __future__ import annotations

import time
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from aggregator.errors import ShortageError

Result = TypeVar("Result")
_Call = tuple[Future[Any], Callable[[], Any]]
RETRY_S = 1.0
"""How long missing threads are not started again."""


class Threads:
    """Threads that run calls until nobody has this object any more. The end of the process waits for no call.

    Starting one waits for nothing. `threading.Thread` waits until its thread runs, which is for ever if the system
    refuses memory to that one, and the pools of `concurrent.futures` meanwhile hold a lock that all of them need. Of
    threads that do not run, some are started with later calls.
    """

    def __init__(self, count: int) -> None:
        self._count, self._calls, self._running = count, SimpleQueue[_Call | None](), SimpleQueue[None]()
        self._retry_at, self._refusal = 0.0, ""
        weakref.finalize(self, self._calls.put, None)
        self._start_missing()

    def submit(self, function: Callable[..., Result], /, *args: Any) -> Future[Result]:
        """The future result. Raises ShortageError if there is no thread and the system starts none."""
        if self._running.qsize() < self._count and time.monotonic() >= self._retry_at:
            self._start_missing()
        if self._refusal and self._running.empty():
            raise ShortageError(f"the system starts no more threads: {self._refusal} (raise its limits)")
        future: Future[Result] = Future()
        self._calls.put((future, partial(function, *args)))
        return future

    def help(self, future: Future[Result]) -> Result:
        """The result of a future of these threads. Meanwhile this thread runs calls that they have not begun, so there
        is a result even if they run none."""
        while not future.done():
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            if call is not None:
                _run_call(*call)
        return future.result()

    def _start_missing(self) -> None:
        self._retry_at, self._refusal = time.monotonic() + RETRY_S, ""
        try:
            for _ in range(self._count - self._running.qsize()):
                start_new_thread(_run_calls, (self._calls, self._running, self._count))
        except RuntimeError as error:
            self._refusal = str(error)


def _run_calls(calls: SimpleQueue[_Call | None], running: SimpleQueue[None], most: int) -> None:
    """Runs calls in a thread of `Threads`; `running` has an item for each of these."""
    if running.qsize() >= most:  # one that was late was started again
        return
    running.put(None)
    while (call := calls.get()) is not None:
        _run_call(*call)
        del call  # what it holds is not kept until the next one
    calls.put(None)  # for the next thread


def _run_call(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - who waits for the result gets it
        future.set_exception(error)
    else:
        future.set_result(result)
