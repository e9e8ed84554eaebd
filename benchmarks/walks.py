"""A cycle in which nothing changed, in a process that runs on, beside the floor: to list and stat the same files.

`python -m benchmarks.walks CONFIG ROUNDS` prints what it measured as JSON, of a site that was built before.
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
class Walks:
    """Medians in seconds, on the wall and of CPU, of a quiet cycle and of the floor."""

    cycle_s: float
    cycle_cpu_s: float
    floor_s: float
    floor_cpu_s: float


def measure_walks(site: OurSite, rounds: int) -> Walks:
    """The medians over a site that was built, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.walks", str(site.config), str(rounds)]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Walks(**json.loads(ended.stdout))


def walk_floor(folder: str) -> int:
    """How many files there are below the folder; each is asked for its stat."""
    found, folders = 0, [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    found += 1
    return found


def main(config_path: str, rounds: int) -> Walks:
    """Runs cycles as the service does."""
    from aggregator.config import load_config
    from aggregator.pipeline import Pipeline
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
            walk_floor(config.sources[0].root)

        cycle()  # reads again what was too young to be trusted
        times = [(_timed(cycle), _timed(floor)) for _ in range(rounds)]
    finally:
        store.lease.release()
    cycles, floors = zip(*times, strict=True)
    return Walks(*_medians(cycles), *_medians(floors))


def _timed(run: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _medians(times: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return median(wall for wall, _ in times), median(cpu for _, cpu in times)


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1], int(sys.argv[2])))))
