"""Starts the program from a process that has imported it: each start is a fork, which saves half a second of imports.

Each start is a real process, with its own number, folder, environment, streams, session and signals, and it exits as
the program does. Only the settings that Python reads at its start, such as `PYTHONHASHSEED`, are those of the first one.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

PRELOADED = ("sqlalchemy.dialects.sqlite", "uvicorn.lifespan.off", "uvicorn.protocols.http.httptools_impl", "uvloop")
"""What the program imports when it needs it, beside its own modules."""
_READ_WHEN_IT_BEGINS = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")


class Started:
    """A process of the program, with the members of `subprocess.Popen` that tests use."""

    def __init__(self, control: socket.socket, stdout: IO[str]) -> None:
        # without a buffer, which would take the exit code in and leave nothing to wait for
        self._control, self._lines = control, control.makefile("rb", buffering=0)
        self.stdout = stdout
        self.returncode: int | None = None
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises TimeoutExpired after so many seconds."""
        if self.returncode is None:
            if not _is_readable(self._control, timeout):
                raise subprocess.TimeoutExpired("aggregator", timeout or 0)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._control.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Starter:
    """The process that has imported the program; it begins with the first start, and ends with this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._control: socket.socket | None = None

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether Python would start with the same settings in `environment` as in the process that is forked."""
        return _for_interpreter(environment) == _for_interpreter(self._environment)

    def start(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        stderr: int,
        new_session: bool = False,
    ) -> Started:
        """Starts `aggregator` with these arguments, no stdin, a pipe as its stdout, and a file descriptor as stderr."""
        if self._control is None:
            self._control = self._begin()
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with theirs, open(os.devnull) as stdin:
            socket.send_fds(self._control, [b"."], [stdin.fileno(), writing, stderr, theirs.fileno()])
        os.close(writing)
        request = {
            "arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment), "new_session": new_session,
        }  # fmt: skip
        ours.sendall(f"{json.dumps(request)}\n".encode())
        return Started(ours, open(reading))

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs `aggregator` to its end. Raises TimeoutExpired."""
        reading, writing = os.pipe()
        process = self.start(arguments, cwd=cwd, environment=environment, stderr=writing)
        os.close(writing)
        with open(reading) as stderr, process.stdout as stdout, ThreadPoolExecutor(2) as pool:
            texts = [pool.submit(stream.read) for stream in (stdout, stderr)]
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            return subprocess.CompletedProcess(list(arguments), code, *(text.result() for text in texts))

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(_end, ours, process)
        return ours


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.wait()


def _for_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_WHEN_IT_BEGINS)}


def _is_readable(control: socket.socket, timeout: float | None) -> bool:
    control.settimeout(timeout)
    try:
        return control.recv(1, socket.MSG_PEEK) != b""
    except (TimeoutError, BlockingIOError):
        return False
    finally:
        control.settimeout(None)


# In the process that has imported the program


def serve(control: socket.socket) -> None:
    """Forks for each request; returns in the process that is to be the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a keeper ended
    while True:
        request, descriptors, *_ = socket.recv_fds(control, 1, 4)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            keep(socket.socket(fileno=descriptors.pop()), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def keep(control: socket.socket, streams: list[int]) -> None:
    """Forks the process that is to be the program, in which it returns, and waits for its end."""
    with control, control.makefile("rw") as lines:
        request = json.loads(lines.readline())
        pid = os.fork()
        if pid:
            for stream in streams:
                os.close(stream)
            print(pid, file=lines, flush=True)
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), file=lines, flush=True)
            os._exit(0)
    become(streams, **request)


def become(
    streams: list[int], *, arguments: list[str], cwd: str, environment: dict[str, str], new_session: bool
) -> None:
    """Makes this process one that was started so."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if new_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path[0] = cwd
    sys.argv = ["aggregator", *arguments]


def preload() -> None:
    """Imports the program and what it needs."""
    import aggregator

    for module in pkgutil.walk_packages(aggregator.__path__, "aggregator."):
        if "__main__" not in module.name and ".migrations." not in module.name:
            importlib.import_module(module.name)
    for name in PRELOADED:
        importlib.import_module(name)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("aggregator", run_name="__main__", alter_sys=True)
