"""A cycle without changes in a running process, compared with the floor: listing the same files with their stat.

`python -m benchmarks.quiet CONFIG ROUNDS` prints the figures of a site that was built before, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.processes import ROOT
from benchmarks.sites import OurSite


@dataclass(frozen=True, slots=True)
class QuietTimes:
    """Medians of wall time and CPU time, for a cycle without changes and for the floor."""

    cycle_s: float
    cycle_cpu_s: float
    floor_s: float
    floor_cpu_s: float


def measure_quiet(site: OurSite, rounds: int) -> QuietTimes:
    """The medians for a site that was built before, measured in a separate process."""
    command = [sys.executable, "-m", "benchmarks.quiet", str(site.config), str(rounds)]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return QuietTimes(**json.loads(ended.stdout))


def list_files(folder: str) -> int:
    """The number of files below the folder, after a stat of each."""
    files, folders = 0, [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    files += 1
    return files


def main(config_path: str, rounds: int) -> QuietTimes:
    """Runs cycles as the service does."""
    from aggregator.config import load_config
    from aggregator.cycle.pipeline import Pipeline
    from aggregator.store.database import open_store
    from aggregator.store.session import open_site

    config = load_config(Path(config_path), env={})
    store = open_store(config.store.url, create=False)
    store.lease.acquire(30)
    try:
        pipeline = Pipeline(config, store, open_site(store, config.site.id, "127.0.0.1"))

        def cycle() -> None:
            result = pipeline.run(datetime.now(UTC))
            if result.problems:
                raise RuntimeError(f"not quiet: {result}")

        def floor() -> None:
            list_files(config.sources[0].root)

        cycle()  # reads files again that had just been written
        times = [(_timed(cycle), _timed(floor)) for _ in range(rounds)]
    finally:
        store.lease.release()
    cycles, floors = zip(*times, strict=True)
    return QuietTimes(*_medians(cycles), *_medians(floors))


def _timed(run: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _medians(times: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return median(wall for wall, _ in times), median(cpu for _, cpu in times)


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1], int(sys.argv[2])))))
