"""The machine and the versions that the figures were measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from aggregator import __version__
from benchmarks.processes import ROOT
from benchmarks.sites import hugo_binary


def describe_machine() -> dict[str, str]:
    """Facts by name, in display order."""
    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    memory_kb = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    cores = len(os.sched_getaffinity(0))
    commit = _output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return {
        "CPU": f"{cpu.partition(':')[2].strip()}, {cores} cores",
        "memory": f"{memory_kb / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "aggregator": f"{__version__} ({commit})",
        "Hugo": _output_of(str(hugo_binary()), "version").split()[1].split("-")[0],
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _output_of(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
