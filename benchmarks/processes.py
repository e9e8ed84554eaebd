"""Wall time, CPU time and memory of a process and its descendants, from /proc (Linux only)."""

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
    """Wall time, CPU time and peak memory of a run."""

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
    """Runs a command to its end. Raises CalledProcessError with its output if it fails.

    CPU time includes all descendants that the command waited for.
    """
    started = time.perf_counter()
    with Running(command) as running:
        output, _ = running.process.communicate()
        wall_s = time.perf_counter() - started
    if running.process.returncode:
        raise subprocess.CalledProcessError(running.process.returncode, list(command), output)
    return Cost(wall_s, running.waited_cpu_s, running.peak_mb)


class Running:
    """A running process whose memory is sampled. The end of the `with` block stops it."""

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
        """CPU seconds of the process and its living descendants so far."""
        return sum(_cpu_s(pid) for pid in family(self.process.pid))

    def _sample(self) -> None:
        """Keeps the largest sum of resident memory; shared memory counts for each process."""
        while not self._ended.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, resident_mb(self.process.pid))


def family(pid: int) -> list[int]:
    """The ids of a process and its living descendants."""
    pids = [pid]
    for member in pids:
        for task in _entries(PROC / str(member) / "task"):
            pids.extend(map(int, _read(task / "children").split()))
    return pids


def resident_mb(pid: int) -> float:
    """Memory of a process and its living descendants, at least the highest value that a single one of them ever had."""
    statuses = [_status(member) for member in family(pid)]
    return max([sum(now for now, _ in statuses), *(most for _, most in statuses)]) / 1024


def _status(pid: int) -> tuple[int, int]:
    """Resident memory of one process in KB: now and at its peak."""
    fields = dict(line.split(":", 1) for line in _read(PROC / str(pid) / "status").splitlines())
    now, most = fields.get("VmRSS", "0"), fields.get("VmHWM", "0")
    return int(now.split()[0]), int(most.split()[0])


def _cpu_s(pid: int) -> float:
    """User and system time of a process and of the children that it waited for (proc(5), stat, fields 14 to 17)."""
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
    """The text of a file in /proc; empty if the process has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
