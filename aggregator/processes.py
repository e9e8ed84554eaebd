"""Processes that run functions for this process, and that can be killed: what hangs or crashes there does neither here.

They talk over their stdin and stdout, so they need no shared memory, and they end when their parent does, however that
ends. A process is started when there is work for it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:
    import subprocess
    from concurrent.futures import Future

Result = TypeVar("Result")
# the path of this process, because the package may be found by it alone; -P keeps the working folder out of it
_COMMAND = ("-P", "-c", "import sys; sys.path[:] = sys.argv[1:]; from aggregator.processes import serve; serve()")
_LENGTH_BYTES = 8


class WorkerLostError(Exception):
    """A process ended before it answered; `timed_out` if that was its deadline."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a process of ours ended with {exit_code}")
        ends = {-getattr(signal, name) for name in ("SIGPROF", "SIGALRM") if hasattr(signal, name)}
        self.timed_out = exit_code in (ends or {1})


class WorkerFailedError(Exception):
    """The function raised an error; the message is the name of its class, since its text may be a record's."""


class Worker:
    """One process, started when it is needed and again after it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., Result], *args: object, cpu_s: float = 0, clock_s: float = 0) -> Result:
        """What `function`, of a module, returns there; with a deadline in seconds of work and on the clock.

        Raises WorkerLostError, WorkerFailedError, and OSError if no process can be started.
        """
        result: Result = read_answer(self.exchange(make_request(function, *args, cpu_s=cpu_s, clock_s=clock_s)))
        return result

    def exchange(self, request: bytes) -> bytes:
        """The answer to a request, both pickled. Raises WorkerLostError and OSError as `call` does."""
        with self._lock:
            process = self._running()
            try:
                _send(_pipe(process.stdin), request)
                return _receive(_pipe(process.stdout))
            except (OSError, EOFError) as error:
                self.kill()
                raise WorkerLostError(self._end(process)) from error

    def kill(self) -> None:
        """Ends the process, in the middle of a call too."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Ends the process, after its call; the next one starts another."""
        with self._lock:
            if self._process is not None:
                self.kill()
                self._end(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        import subprocess

        if self._process is not None and self._process.poll() is not None:  # the system, or somebody, has killed it
            self._end(self._process)
        if self._process is None:
            command = (sys.executable, *_COMMAND, *sys.path)
            with _signals_held():
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        with suppress(OSError):  # what could not be sent
            _pipe(process.stdin).close()
        _pipe(process.stdout).close()
        return process.wait()


class WorkerPool:
    """Some processes, each of which takes the next call when it is free."""

    def __init__(self, count: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._workers = [Worker() for _ in range(count)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(2 * count)  # so that for each process the next request is ready

    def submit(self, function: Callable[..., Result], *args: object) -> Future[Result]:
        """The result to come; its errors are those of `Worker.call`, and RuntimeError if no thread can be started."""
        from concurrent.futures import Future

        try:
            return self._threads.submit(self._call, function, *args)
        except RuntimeError as error:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            return failed

    def close(self) -> None:
        """Ends the processes, and what they do."""
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
            answer = worker.exchange(request)
        finally:
            self._idle.put(worker)
        result: Result = read_answer(answer)
        return result


def make_request(function: Callable[..., object], *args: object, cpu_s: float = 0, clock_s: float = 0) -> bytes:
    """A call, pickled."""
    return pickle.dumps((function, args, cpu_s, clock_s))


def read_answer(answer: bytes) -> Any:
    """The result of a call. Raises WorkerFailedError."""
    error, result = pickle.loads(answer)  # noqa: S301 - from our own process
    if error is not None:
        raise WorkerFailedError(error)
    return result


def serve() -> None:
    """Answers requests on stdin until that ends: what a worker process does."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # nothing that is printed is taken for an answer
    if hasattr(signal, "pthread_sigmask"):
        for one in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    with suppress(EOFError, BrokenPipeError):
        while True:
            _send(answers, _answer(_receive(requests)))


def _answer(request: bytes) -> bytes:
    try:
        function, args, cpu_s, clock_s = pickle.loads(request)  # noqa: S301 - from our own process
        _set_deadline(cpu_s, clock_s)
        answer = pickle.dumps((None, function(*args)))
    except Exception as error:  # noqa: BLE001 - the parent decides what it means
        answer = pickle.dumps((type(error).__name__, None))
    _set_deadline(0, 0)
    return answer


def _set_deadline(cpu_s: float, clock_s: float) -> None:
    """Has the system end this process so much later, also in the middle of C code; 0 is never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        signal.setitimer(signal.ITIMER_REAL, clock_s)
    elif clock_s:
        faulthandler.dump_traceback_later(clock_s, exit=True)
    else:
        faulthandler.cancel_dump_traceback_later()


def _send(stream: BinaryIO, message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "big"))
    stream.write(message)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    """The next message. Raises EOFError if there is none, or only a part of it."""
    head = stream.read(_LENGTH_BYTES)
    message = stream.read(int.from_bytes(head, "big")) if len(head) == _LENGTH_BYTES else b""
    if len(head) < _LENGTH_BYTES or len(message) < int.from_bytes(head, "big"):
        raise EOFError
    return message


def _pipe(stream: Any) -> BinaryIO:
    """The end of a pipe that `Popen` was asked for, and therefore has."""
    pipe: BinaryIO = stream
    return pipe


@contextmanager
def _signals_held() -> Iterator[None]:
    """Holds signals back while a process starts: it inherits that, and leaves them to its parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
