"""Functions for worker processes, which find them by the name of this module."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from aggregator import ingest
from aggregator.concurrency import processes
from aggregator.ingest import Batch, CheckStop, Outcome
from aggregator.model import Record, Rejection, SourceFile
from aggregator.settings import Source

SLOW, CRASHING = b"SLOW", b"CRASHING"
_parse_file = ingest._parse_file


def hang() -> None:
    """Some minutes of work in one call of C that holds the GIL and handles no signal."""
    pow(3, 1 << 34)


def show_progress(times: int) -> int:
    """Shows so many signs of progress, none of which is left out."""
    processes.SIGN_EACH_S = -1
    for _ in range(times):
        processes.PROGRESS.show()
    return times


def wait(raw: bytes, file: SourceFile, source: Source, digest: bytes, *context: Any) -> Record | Rejection:
    """What parsing makes of a file, after a minute without work."""
    time.sleep(60)
    return _parse_file(raw, file, source, digest, *context)


def parse(raw: bytes, file: SourceFile, source: Source, digest: bytes, *context: Any) -> Record | Rejection:
    """What parsing makes of a file, as if there were texts that take it minutes, or that crash it."""
    if SLOW in raw:
        hang()
    if CRASHING in raw:
        os.kill(os.getpid(), signal.SIGKILL)
    return _parse_file(raw, file, source, digest, *context)


def parse_in_little_memory(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, *context: Any
) -> Record | Rejection:
    """What parsing makes of a file while the system refuses any more memory; in a process that ends afterwards."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
    return _parse_file(raw * 20, file, source, digest, *context)


def read(source: Source, batch: Batch, _check_stop: CheckStop | None = None) -> list[Outcome]:
    """A batch whose large files are parsed as above."""
    ingest._parse_file, ingest.PARSE_CPU_S = parse, 1
    return ingest.ingest_batch(source, batch)


def read_here_alone(source: Source, batch: Batch, _check_stop: CheckStop | None = None) -> list[Outcome]:
    """A batch, but every process other than that of the test is ended by the system before it has read it."""
    if os.getpid() != int(os.environ["TEST_PROCESS"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return ingest.ingest_batch(source, batch)
