"""Threads that run calls: nothing waits for one that does not start."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from aggregator.concurrency import threads
from aggregator.concurrency.threads import Threads
from aggregator.errors import ShortageError


def refuse(*_args: object) -> int:
    raise RuntimeError("can't start new thread")


def start_dead(*_args: object) -> int:
    """A thread that ends before it has done anything, as without memory for its first frame."""
    return 0


def test_calls_run_in_threads_and_errors_come_back() -> None:
    team = Threads(3)
    at_once = threading.Barrier(3, timeout=30)
    calls = [team.submit(at_once.wait) for _ in range(3)]

    assert sorted(call.result() for call in calls) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        team.submit(divmod, 1, 0).result()


def test_threads_end_with_their_object() -> None:
    team = Threads(2)
    ends = [threading.Event(), threading.Event()]
    local = threading.local()

    class Ending:
        def __init__(self, event: threading.Event) -> None:
            self.event = event

        def __del__(self) -> None:
            self.event.set()

    at_once = threading.Barrier(2, timeout=30)

    def mark(event: threading.Event) -> None:
        at_once.wait()
        local.ending = Ending(event)  # deleted with its thread

    for call in [team.submit(mark, event) for event in ends]:
        call.result()
    del team, call
    gc.collect()

    assert all(event.wait(30) for event in ends)


@pytest.mark.parametrize("start", [refuse, start_dead])
def test_what_waits_for_a_call_runs_it_if_no_thread_does(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threads, "start_new_thread", start)
        team = Threads(2)
        if start is refuse:
            with pytest.raises(ShortageError, match="starts no more threads: can't start new thread"):
                team.submit(divmod, 7, 2)
        else:
            first, second = team.submit(divmod, 7, 2), team.submit(divmod, 9, 2)
            assert team.help(second) == (4, 1)
            assert first.result() == (3, 1)
    monkeypatch.setattr(threads, "RETRY_S", 0)
    team._retry_at = 0

    assert team.submit(divmod, 7, 2).result(30) == (3, 1)


WITHOUT_ROOM = """
import resource
from aggregator.errors import ShortageError
from aggregator.concurrency.threads import Threads
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2_000_000, resource.RLIM_INFINITY))
try:
    Threads(4).submit(print)
except ShortageError as error:
    print(error)
"""
"""Has no room for the stack of a thread."""


def test_a_thread_for_which_there_is_no_memory_is_a_shortage() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], check=True, capture_output=True, text=True)

    assert done.stdout == "the system starts no more threads: can't start new thread (raise its limits)\n"
