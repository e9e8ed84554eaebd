"""Work beside the main thread: child processes that can be killed if a function hangs or crashes, and threads that
wait for others.

The processes communicate by stdin and stdout, so they need no shared memory, and they end when their parent ends, even
if it is killed. A process is started when there is work for it.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar

from aggregator.errors import ShortageError

if TYPE_CHECKING:
    import subprocess
    from concurrent.futures import Future

Result = TypeVar("Result")
# children get the import path of this process, and collect garbage as seldom as it; -P excludes the working folder
_PROGRAM = (
    "gc.set_threshold(int(sys.argv[1])); sys.path[:] = sys.argv[2:]; from aggregator.concurrency.processes import serve"
)
_COMMAND = ("-P", "-c", f"import gc, sys; {_PROGRAM}; serve()")
_LENGTH_BYTES = 8
POLL_S = 0.1
"""Time between two checks for a stop while a child works."""
SIGN_EACH_S = 1.0
"""Shortest time between two signs of progress that a child sends."""


class Progress:
    """Counts the signs that long work continues. In a child the parent gets them too, and sees whether a call hangs."""

    def __init__(self) -> None:
        self.count = 0
        self._answers: BinaryIO | None = None
        self._sent_at = 0.0

    def show(self) -> None:
        """Shows a sign. Cheap enough for every file."""
        self.count += 1
        if self._answers is not None and time.monotonic() - self._sent_at > SIGN_EACH_S:
            self._sent_at = time.monotonic()
            _send(self._answers, b"")

    def send_to(self, answers: BinaryIO) -> None:
        """From now on signs go to the parent too, as empty messages before the answer."""
        self._answers = answers


def start_call(function: Callable[..., Result], *args: object) -> Future[Result]:
    """The future result of a function that waits for others. The end of the process does not wait for it. Raises
    ShortageError."""
    from concurrent.futures import Future

    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:  # noqa: BLE001 - who waits for the result gets it
            future.set_exception(error)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError as error:
        raise ShortageError("the system starts no more threads (raise its limits)") from error
    return future


def wait_for(future: Future[Result], check_stop: Callable[[], None] | None, most_s: float | None = None) -> Result:
    """The result of a future. Calls `check_stop` while waiting. Raises CallLostError after `most_s`."""
    from concurrent.futures import wait

    ends_at = math.inf if most_s is None else time.monotonic() + most_s
    while (left_s := ends_at - time.monotonic()) > 0 and not future.done():
        if check_stop is not None:
            check_stop()
        wait((future,), timeout=min(POLL_S, left_s))
    if not future.done():
        raise CallLostError("no answer")
    return future.result()


PROGRESS = Progress()
"""Of this process."""


class WorkerLostError(Exception):
    """A child process ended before it answered; `deadline` says which deadline ended it, if any, and `ending` how it
    ended: by which signal, or with which exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a child process ended with {exit_code}")
        deadlines: dict[int, Literal["cpu", "clock"]] = {-signal.SIGPROF: "cpu", -signal.SIGALRM: "clock"}
        self.deadline = deadlines.get(exit_code)
        try:
            self.ending = signal.Signals(-exit_code).name
        except ValueError:
            self.ending = f"exit code {exit_code}"


class WorkerFailedError(Exception):
    """The function raised an error. The message is only the name of its class: its text may be from a record."""


class ClusterError(Exception):
    """A cluster cannot be used; the message says why and what to do."""


class CallLostError(Exception):
    """The processes that ran a function died, one after the other, or hang; or a server does not answer."""


class WorkerProcess:
    """One child process, started when it is needed, and again after it was lost.

    While it works, `check_stop` is called several times a second; an error that it raises kills the process.
    """

    def __init__(self, check_stop: Callable[[], None] | None = None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._check_stop = check_stop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Result], *args: object, cpu_s: float = 0, clock_s: float = 0) -> Result:
        """The result of `function`, which must be importable; with deadlines in processor time and on the clock.

        Raises WorkerLostError, WorkerFailedError, and OSError if no process can be started.
        """
        result: Result = read_answer(self.exchange(make_request(function, *args, cpu_s=cpu_s, clock_s=clock_s)))
        return result

    def exchange(self, request: bytes) -> bytes:
        """The answer to a request, both pickled. Raises WorkerLostError and OSError like `call`."""
        with self._lock:
            process = self._running()
            try:
                _send(_pipe(process.stdin), request)
                self._wait_for_answer(_pipe(process.stdout))
                # without asking for a stop again, because select() does not see an answer that is in our buffer
                while not (answer := _receive(_pipe(process.stdout))):
                    PROGRESS.show()
                return answer
            except (OSError, EOFError) as error:
                process.kill()
                raise WorkerLostError(self._end(process)) from error
            except BaseException:  # a stop: the next request would read the answer to this one
                process.kill()
                self._end(process)
                raise

    def kill(self) -> None:
        """Kills the process, even during a call."""
        if (process := self._process) is not None:  # read once: a call may end it meanwhile
            process.kill()

    def close(self) -> None:
        """Ends the process after its current call. The next call starts another one."""
        with self._lock:
            if self._process is not None:
                self.kill()
                self._end(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        import subprocess

        if self._process is not None and self._process.poll() is not None:  # killed by the system or a user
            self._end(self._process)
        if self._process is None:
            command = (sys.executable, *_COMMAND, str(gc.get_threshold()[0]), *sys.path)
            with _signals_blocked():
                self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
        return self._process

    def _wait_for_answer(self, stream: BinaryIO) -> None:
        """Waits until there is something to read, and calls `check_stop` before and meanwhile."""
        if self._check_stop is None:
            return
        self._check_stop()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not selector.select(POLL_S):
                self._check_stop()

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        with suppress(OSError):  # closing flushes what could not be sent
            _pipe(process.stdin).close()
        _pipe(process.stdout).close()
        return process.wait()


class WorkerPool:
    """Several child processes; each takes the next call when it is free."""

    def __init__(self, count: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.size, self.patience_s, self._is_closed = count, math.inf, False
        self._workers = [WorkerProcess(self._check_open) for _ in range(count)]
        self._idle: SimpleQueue[WorkerProcess] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(2 * count)  # the next request of each process is prepared meanwhile

    def submit(self, function: Callable[..., Result], *args: object) -> Future[Result]:
        """The future result. Its errors are those of `WorkerProcess.call`; RuntimeError if no thread can be started."""
        from concurrent.futures import Future

        try:
            return self._threads.submit(self._call, function, *args)
        except RuntimeError as error:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            return failed

    def close(self) -> None:
        """Kills the processes, even during calls. Calls that wait for a process fail."""
        self._is_closed = True  # first: a process that `kill` does not see yet starts after it, and checks this
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()

    def _call(self, function: Callable[..., Result], *args: object) -> Result:
        request = make_request(function, *args)
        worker = self._idle.get()
        try:
            self._check_open()
            answer = worker.exchange(request)
        finally:
            self._idle.put(worker)
        result: Result = read_answer(answer)
        return result

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the pool is closed")


def make_request(function: Callable[..., object], *args: object, cpu_s: float = 0, clock_s: float = 0) -> bytes:
    """A call, pickled."""
    return pickle.dumps((function, args, cpu_s, clock_s))


def read_answer(answer: bytes) -> Any:
    """The result of a call. Raises WorkerFailedError."""
    error, result = pickle.loads(answer)  # noqa: S301 - from a process of ours
    if error is not None:
        raise WorkerFailedError(error)
    return result


def serve() -> None:
    """Answers requests on stdin until its end: the main function of a child process."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # printed text must not be taken for an answer
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    PROGRESS.send_to(answers)
    with suppress(EOFError, BrokenPipeError):
        while True:
            _send(answers, _answer(_receive(requests)))


def _answer(request: bytes) -> bytes:
    try:
        function, args, cpu_s, clock_s = pickle.loads(request)  # noqa: S301 - from a process of ours
        _set_deadline(cpu_s, clock_s)
        answer = pickle.dumps((None, function(*args)))
    except Exception as error:  # noqa: BLE001 - the parent handles it
        answer = pickle.dumps((type(error).__name__, None))
    _set_deadline(0, 0)
    return answer


def _set_deadline(cpu_s: float, clock_s: float) -> None:
    """Makes the system end this process after these times, even in C code; 0 is never."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, clock_s)


def _send(stream: BinaryIO, message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "big"))
    stream.write(message)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    """The next message. Raises EOFError if it is missing or incomplete."""
    head = stream.read(_LENGTH_BYTES)
    message = stream.read(int.from_bytes(head, "big")) if len(head) == _LENGTH_BYTES else b""
    if len(head) < _LENGTH_BYTES or len(message) < int.from_bytes(head, "big"):
        raise EOFError
    return message


def _pipe(stream: Any) -> BinaryIO:
    """The stream of a process that was started with pipes, so it is not None."""
    pipe: BinaryIO = stream
    return pipe


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Blocks signals while a process starts. It inherits the mask, and so leaves signals to its parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
