"""Runs the benchmarks. Every figure in docs/performance.md comes from one run."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.builds import Site, count_entries, measure_builds, measure_cold
from benchmarks.corpus import make_corpus, write_records
from benchmarks.databases import measure_databases
from benchmarks.load import find_missing, measure_load
from benchmarks.machine import describe_machine
from benchmarks.micro import measure_micro
from benchmarks.processes import ROOT, run_measured
from benchmarks.quiet import measure_quiet
from benchmarks.report import render_report
from benchmarks.service import measure_arrivals, measure_bulk, measure_idle
from benchmarks.sites import DEFAULTS, LEAN, HugoSite, OurSite
from benchmarks.stages import profile_build

CASES = ("builds", "databases", "stages", "quiet", "arrivals", "bulk", "idle", "load", "micro")
SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
"""From this size on Hugo is not measured: it would need tens of GB."""
IDLE_SIZE, IDLE_S = 10_000, 60.0
LOAD_SIZE = 10_000
TRIALS = 200
STAGE_SIZES = (1_000, 10_000)
DOCUMENT = ROOT / "docs" / "performance.md"
TRIAL, FIGURES = ROOT / "build" / "performance.md", ROOT / "build" / "bench.json"
ONE_PROCESS = "[ingest]\nworkers = 0\n"


def main() -> None:
    """Runs the cases that the command line names and writes the report."""
    options = read_options()
    if options.report:
        figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    else:
        with bench_folder(options.folder) as folder:
            figures = json.loads(json.dumps(Bench(folder, options).run(), default=_plain))
        FIGURES.parent.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    report = render_report(figures)
    # a partial run must not replace the report of a whole run
    target = DOCUMENT if figures["whole"] else TRIAL
    target.write_text(report, encoding="utf-8")
    print(f"\n{report}\nwritten to {target.relative_to(ROOT)}")


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures aggregator beside Hugo.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="records; default: %(default)s")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 records, ours alone")
    parser.add_argument("--rounds", type=int, help="of each build; default: 5, 3 from 100,000 records on")
    parser.add_argument("--trials", type=int, default=TRIALS, help="of one new record; default: %(default)s")
    parser.add_argument("--idle", type=float, default=IDLE_S, metavar="S", help="seconds; default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where corpora and sites are kept; default: a temporary one")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report of the last run again")
    options = parser.parse_args()
    if wrong := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(wrong))} (there are {', '.join(CASES)})")
    options.cases = options.cases or list(CASES)
    options.sizes = sorted({*options.sizes, *([MILLION] if options.million else [])})
    return options


class Bench:
    """One run of the benchmarks."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.copied: set[Path] = set()
        beside = max((size for size in options.sizes if size < MILLION), default=0)
        """The largest number of records that Hugo is measured with."""
        self.largest = [size for size in (beside, MILLION) if size in options.sizes]
        """The sizes for a cycle without changes and for one new record."""
        self.profiled = [size for size in STAGE_SIZES if size <= beside]
        self.idling = [min(IDLE_SIZE, beside)] if beside else []

    def run(self) -> dict[str, Any]:
        """All figures, by case and size."""
        options, started = self.options, time.monotonic()
        complete = set(SIZES) <= set(options.sizes) and set(CASES) == set(options.cases)
        whole = complete and options.rounds is None and options.trials >= TRIALS and options.idle >= IDLE_S
        figures: dict[str, Any] = {
            "machine": describe_machine(),
            "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
            "whole": whole,
            "trials": options.trials,
            "idle_s": options.idle,
        }
        measures: dict[str, Callable[[], object]] = {
            "builds": lambda: {size: self.builds(size) for size in options.sizes},
            "databases": lambda: {size: self.databases(size) for size in self.idling},
            "stages": lambda: {size: self.stages(size) for size in self.profiled},
            "quiet": lambda: {size: self.quiet(size) for size in self.largest},
            "arrivals": lambda: {size: self.arrivals(size) for size in self.largest},
            "bulk": lambda: {size: self.bulk(size, self.largest[0]) for size in self.idling},
            "idle": lambda: {size: self.idle(size) for size in self.idling},
            "load": self.load,
            "micro": measure_micro,
        }
        figures |= {case: measures[case]() for case in CASES if case in options.cases}
        return figures | {"minutes": (time.monotonic() - started) / 60}

    def builds(self, size: int) -> dict[str, object]:
        """Medians by case and site, and the number of entries in each site."""
        if size >= MILLION:
            self.log(f"{size:,} records: one cold build of ours")
            return {"costs": {"cold": {"lean": measure_cold(self.ours(size, "lean"))}}}
        rounds = self.options.rounds or (5 if size < SIZES[-1] else 3)
        self.log(f"{size:,} records: builds, {rounds} rounds in turn with Hugo")
        records = self.records(size, "ours")
        hugo = HugoSite(self.folder / f"hugo-{size}", records)
        sites: dict[str, Site] = {
            "lean": self.ours(size, "lean"),
            "defaults": self.ours(size, "defaults"),
            "Hugo": hugo,
        }
        costs = measure_builds(sites, records, rounds)
        counts = count_entries(sites)
        self.log(f"  each holds {counts['lean']}")
        return {"costs": costs, "counts": counts, "rounds": rounds}

    def databases(self, size: int) -> dict[str, object]:
        """Cold builds with SQLite and with PostgreSQL."""
        rounds = self.options.rounds or 5
        self.log(f"{size:,} records: cold builds with SQLite and PostgreSQL, {rounds} rounds")
        outputs = {"lean": LEAN, "defaults": DEFAULTS}
        return dict(measure_databases(self.folder / f"databases-{size}", self.records(size, "ours"), outputs, rounds))

    def stages(self, size: int) -> dict[str, object]:
        """The profile of a cold build: in one process, and with worker processes."""
        self.log(f"{size:,} records: where the time of a cold build goes")
        rounds = self.options.rounds or 3
        alone, usual = self.ours(size, "alone", options=ONE_PROCESS), self.ours(size, "lean")
        return {"one process": profile_build(alone, rounds), "as it runs": profile_build(usual, rounds)}

    def quiet(self, size: int) -> dict[str, object]:
        """A cycle without changes, compared with the floor."""
        self.log(f"{size:,} records: nothing changed, in the service")
        names = ("lean",) if size >= MILLION else ("lean", "defaults")
        rounds = 3 if size >= MILLION else 9
        return {name: measure_quiet(self.built(size, name), rounds) for name in names}

    def arrivals(self, size: int) -> dict[str, object]:
        """One new record, in our service and in `hugo --watch`."""
        trials = self.options.trials
        self.log(f"{size:,} records: one new record, {trials} trials")
        if size >= MILLION:
            return dict(measure_arrivals({"lean": self.built(size, "lean")}, {"lean": trials}))
        lean = self.built(size, "lean")
        hugo = HugoSite(self.folder / f"hugo-watched-{size}", self.records(size, "hugo"))
        arrivals = measure_arrivals({"lean": lean, "Hugo": hugo}, {"lean": trials, "Hugo": max(1, min(7, trials // 5))})
        few = max(1, trials // 4)
        return {**arrivals, **measure_arrivals({"defaults": self.built(size, "defaults")}, {"defaults": few})}

    def bulk(self, size: int, more: int) -> dict[str, object]:
        """Single records while many files come in."""
        self.log(f"{size:,} records: {more:,} files come in at once")
        folder = self.folder / f"bulk-{size}-{more}"
        if not folder.exists():
            write_records(range(size, size + more), folder)
        return {"files": more, "lean": measure_bulk(self.built(size, "lean"), folder)}

    def idle(self, size: int) -> dict[str, float]:
        """The share of one core that an idle service uses, by site."""
        self.log(f"{size:,} records: nothing to do for {self.options.idle:g} s")
        return {name: measure_idle(self.built(size, name), self.options.idle) for name in ("lean", "defaults")}

    def load(self) -> dict[str, object]:
        """Our service and nginx under load, or the packages that are missing."""
        if missing := find_missing():
            self.log(f"load is not measured without {' and '.join(missing)}: apt-get install {' '.join(missing)}")
            return {"missing": missing}
        size = min(LOAD_SIZE, self.options.sizes[-1])
        self.log(f"{size:,} records: HTTP under load, in turn with nginx")
        site = OurSite(self.folder / f"load-{size}", self.records(size, "load"), LEAN, port=free_port())
        run_measured(site.build_command())
        return {str(size): measure_load(site, size, free_port(), self.options.rounds or 5)}

    # what is measured

    def corpus(self, size: int) -> Path:
        """The folder of the generated records; generates them on first use."""
        folder = self.folder / f"corpus-{size}"
        if not folder.exists():
            self.log(f"{size:,} records: making them")
            making = folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            make_corpus(size, making).rename(folder)
        return folder

    def records(self, size: int, whose: str) -> Path:
        """Hard links to the generated records, in a folder that may change during this run."""
        folder = self.folder / f"records-{whose}-{size}"
        if folder not in self.copied:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.corpus(size), folder, copy_function=os.link)
            self.copied.add(folder)
        return folder

    def ours(self, size: int, name: str, *, options: str = "") -> OurSite:
        """Our site of this size and name."""
        output = DEFAULTS if name == "defaults" else LEAN
        records = self.records(size, "ours")
        return OurSite(self.folder / f"{name}-{size}", records, output, options=options, port=free_port())

    def built(self, size: int, name: str) -> OurSite:
        """Our site after its first build."""
        site = self.ours(size, name)
        run_measured(site.build_command())
        return site

    def log(self, message: str) -> None:
        """Prints progress on stderr."""
        print(message, file=sys.stderr, flush=True)


@contextmanager
def bench_folder(kept: Path | None) -> Iterator[Path]:
    """The folder of corpora and sites: the named folder, else a temporary one."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        yield Path(made)


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _plain(value: object) -> Mapping[str, object]:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"not a figure: {value!r}")


if __name__ == "__main__":
    main()
