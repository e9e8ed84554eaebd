"""Processes that work for this one: what they return, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import slow

from aggregator.concurrency.processes import (
    PROGRESS,
    CallLostError,
    WorkerFailedError,
    WorkerLostError,
    WorkerPool,
    WorkerProcess,
    wait_for,
)
from aggregator.errors import StoppedError

TESTS = Path(__file__).parent


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess()
    yield made
    made.close()


def test_a_process_answers_many_calls_and_is_started_once(worker: WorkerProcess) -> None:
    assert [worker.call(len, "x" * size) for size in (0, 1, 1_000_000)] == [0, 1, 1_000_000]
    assert worker.call(os.getpid) == worker.call(os.getpid) != os.getpid()


@pytest.mark.parametrize(
    ("function", "arguments", "deadline", "cpu_s", "clock_s"),
    [(slow.hang, (), "cpu", 0.2, 60), (time.sleep, (60,), "clock", 20, 0.5)],
)
def test_work_and_sleep_end_at_their_deadline_and_the_process_is_replaced(
    worker: WorkerProcess, function: object, arguments: tuple[object, ...], deadline: str, cpu_s: float, clock_s: float
) -> None:
    first = worker.call(os.getpid)
    with pytest.raises(WorkerLostError) as lost:
        worker.call(function, *arguments, cpu_s=cpu_s, clock_s=clock_s)  # type: ignore[arg-type]
    assert lost.value.deadline == deadline
    assert worker.call(os.getpid) != first


def test_a_killed_process_is_replaced(worker: WorkerProcess) -> None:
    first = worker.call(os.getpid)
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert worker.call(os.getpid) != first


def test_a_stop_ends_a_call_and_its_process_soon() -> None:
    stopping: list[float] = []  # when the call asked, once it hangs

    def check_stop() -> None:
        if process:
            stopping.append(time.monotonic())
        if len(stopping) == 3:
            raise StoppedError

    process = 0
    with WorkerProcess(check_stop) as worker:
        process = worker.call(os.getpid)
        with pytest.raises(StoppedError):
            worker.call(slow.hang)

        assert not is_running(process)
        assert stopping[2] - stopping[0] < 40  # the call takes longer
        assert worker.call(len, "abc") == 3  # by a new process, which does not answer the call that was stopped


def test_signs_of_progress_come_before_the_answer(worker: WorkerProcess) -> None:
    before = PROGRESS.count
    assert worker.call(slow.show_progress, 3) == 3
    assert PROGRESS.count == before + 3
    assert worker.call(len, "abc") == 3
    assert PROGRESS.count == before + 3


def test_only_the_class_of_an_error_is_returned(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerFailedError) as failed:
        worker.call(int, "Zq7canaryZq7")
    assert str(failed.value) == "ValueError"


def test_the_end_of_a_pool_waits_for_no_call() -> None:
    pool = WorkerPool(1)
    calls = [pool.submit(time.sleep, 60) for _ in range(2)]
    while not all(call.running() for call in calls):
        pass
    before = time.monotonic()
    pool.close()
    assert time.monotonic() - before < 40
    assert all(isinstance(call.exception(), WorkerLostError | RuntimeError) for call in calls)


def test_the_end_of_a_pool_ends_a_process_that_starts_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    starting, killed = threading.Event(), threading.Event()
    start, kill = subprocess.Popen, WorkerProcess.kill

    def start_late(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        starting.set()
        assert killed.wait(60)
        return start(*args, **options)

    def note_kill(worker: WorkerProcess) -> None:
        kill(worker)
        killed.set()

    pool = WorkerPool(1)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", start_late)
        patch.setattr(WorkerProcess, "kill", note_kill)
        pool.submit(time.sleep, 60)
        assert starting.wait(60)
        before = time.monotonic()
        pool.close()
    assert time.monotonic() - before < 40


def test_an_error_of_a_call_is_not_taken_for_a_missing_answer() -> None:
    late, failed = Future[None](), Future[None]()
    failed.set_exception(TimeoutError())
    with pytest.raises(TimeoutError):
        wait_for(failed, None, 0.0)
    with pytest.raises(CallLostError):
        wait_for(late, None, 0.0)


def test_a_process_ends_with_its_parent_even_if_that_is_killed() -> None:
    code = (
        "import os, sys, time; sys.path[:] = sys.argv[1:]; from aggregator.concurrency.processes import WorkerProcess; w = WorkerProcess();"
        " print(w.call(os.getpid), flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-P", "-c", code, str(TESTS), *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether it is there and no zombie that waits for whoever adopted it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
