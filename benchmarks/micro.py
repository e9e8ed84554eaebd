"""The micro benchmarks, run by pytest-benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT


@dataclass(frozen=True, slots=True)
class Micro:
    """One of them: its module, what it does, the median in µs, and how often it was done."""

    module: str
    name: str
    median_us: float
    rounds: int


def measure_micro() -> list[Micro]:
    """All of them, in the order of their modules; their own table is printed."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "pytest", "benchmarks", "-q"]
        options = ["--benchmark-columns=min,median,max,rounds", "--benchmark-sort=fullname", f"--benchmark-json={told}"]
        subprocess.run([*command, *options], cwd=ROOT, check=True)
        found = json.loads(told.read_text(encoding="utf-8"))["benchmarks"]
    return [_micro(one) for one in sorted(found, key=lambda one: one["fullname"])]


def _micro(one: dict[str, object]) -> Micro:
    stats = one["stats"]
    assert isinstance(stats, dict)
    module = Path(str(one["fullname"]).partition("::")[0]).stem.removeprefix("test_")
    name = str(one["name"]).removeprefix("test_").replace("_", " ")
    return Micro(module, name, stats["median"] * 1e6, stats["rounds"])
