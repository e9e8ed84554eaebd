"""What a process and its descendants take: wall time, CPU, memory. From /proc, so on Linux alone."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

ROOT = Path(__file__).parents[1]
SAMPLE_S, STOP_S = 0.02, 30.0
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: seconds on the wall, of CPU, and the most memory that it had at once, in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        median(cost.peak_mb for cost in costs),
    )


def run_measured(command: Sequence[str | Path]) -> Cost:
    """Runs a command to its end; raises CalledProcessError with what it said if it fails.

    CPU is what the kernel counted for it and for all descendants that it waited for.
    """
    started = time.perf_counter()
    with Running(command) as running:
        said, _ = running.process.communicate()
        wall_s = time.perf_counter() - started
    if running.process.returncode:
        raise subprocess.CalledProcessError(running.process.returncode, list(command), said)
    return Cost(wall_s, running.waited_cpu_s, running.peak_mb)


class Running:
    """A process that runs, with its memory sampled, until the end of the `with`, which stops it."""

    def __init__(self, command: Sequence[str | Path], log: Path | None = None) -> None:
        self.peak_mb = self.waited_cpu_s = 0.0
        self._before_s = _children_cpu_s()
        with ExitStack() as stack:
            output = subprocess.PIPE if log is None else stack.enter_context(log.open("wb"))
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.waited_cpu_s = _children_cpu_s() - self._before_s

    def cpu_s(self) -> float:
        """The CPU that the process and its living descendants have had so far."""
        return sum(_cpu_s(pid) for pid in family(self.process.pid))

    def _sample(self) -> None:
        """Keeps the largest sum of resident memory; what two processes share counts for both."""
        while not self._ended.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, resident_mb(self.process.pid))


def family(pid: int) -> list[int]:
    """A process and its living descendants."""
    found = [pid]
    for one in found:
        for task in _entries(PROC / str(one) / "task"):
            found.extend(map(int, _read(task / "children").split()))
    return found


def resident_mb(pid: int) -> float:
    """The memory of a process and its living descendants, or the most that one of them ever had, if that is more."""
    statuses = [_status(one) for one in family(pid)]
    return max([sum(now for now, _ in statuses), *(most for _, most in statuses)]) / 1024


def _status(pid: int) -> tuple[int, int]:
    """The resident memory of one process in KB, now and at its highest."""
    fields = dict(line.split(":", 1) for line in _read(PROC / str(pid) / "status").splitlines())
    now, most = fields.get("VmRSS", "0"), fields.get("VmHWM", "0")
    return int(now.split()[0]), int(most.split()[0])


def _cpu_s(pid: int) -> float:
    """User and system time of a process and of the children that it has waited for (proc(5), stat, fields 14 to 17)."""
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """What a file of /proc says; nothing once its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
