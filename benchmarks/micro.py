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
    """The result of one micro benchmark."""

    module: str
    name: str
    median_us: float
    rounds: int


def measure_micro() -> list[Micro]:
    """All micro benchmarks, in the order of their modules. pytest-benchmark prints its own table."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "pytest", "benchmarks", "-q"]
        options = [
            "--benchmark-columns=min,median,max,rounds",
            "--benchmark-sort=fullname",
            f"--benchmark-json={report}",
        ]
        subprocess.run([*command, *options], cwd=ROOT, check=True)
        results = json.loads(report.read_text(encoding="utf-8"))["benchmarks"]
    return [_micro(result) for result in sorted(results, key=lambda result: result["fullname"])]


def _micro(result: dict[str, object]) -> Micro:
    stats = result["stats"]
    assert isinstance(stats, dict)
    module = Path(str(result["fullname"]).partition("::")[0]).stem.removeprefix("test_")
    name = str(result["name"]).removeprefix("test_").replace("_", " ")
    return Micro(module, name, stats["median"] * 1e6, stats["rounds"])
