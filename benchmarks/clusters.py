"""Records per second with Dask clusters of one and of two workers: `python -m benchmarks.clusters [RECORDS]`.

Scheduler, workers, databases and the build share this machine, so two workers help only as far as it has cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.corpus import make_corpus
from benchmarks.databases import new_databases
from benchmarks.processes import ROOT, Running
from benchmarks.sites import LEAN, OurSite

SIZE = 100_000


def main(size: int) -> None:
    """Prints a table."""
    print("| database | workers | build | records per second | CPU of the build | of the workers |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="clusters-") as name, new_databases() as make_database:
        folder = Path(name)
        records = make_corpus(size, folder / "records")
        for database in ("SQLite", "PostgreSQL"):
            for count in (1, 2):
                url = make_database() if database == "PostgreSQL" else None
                with start_cluster(folder, count) as (address, workers):
                    store = f'[store]\nurl = "{url}"\n' if url else ""
                    options = f'{store}[ingest]\nworkers = 0\ndask = "{address}"\n'
                    site = OurSite(folder / "site", records, LEAN, options=options)
                    site.clear()
                    before = sum(worker.cpu_s() for worker in workers)
                    seconds, cpu_s = build(site)
                    cpu_of_workers = sum(worker.cpu_s() for worker in workers) - before
                print(
                    f"| {database} | {count} | {seconds:.1f} s | {size / seconds:,.0f} | {cpu_s:.1f} s"
                    f" | {cpu_of_workers:.1f} s |",
                    flush=True,
                )


def build(site: OurSite) -> tuple[float, float]:
    """The seconds of a cold build, and its CPU time."""
    before = os.times()
    ended = subprocess.run([*site.build_command(), "--json"], cwd=ROOT, check=True, capture_output=True, text=True)
    if "cannot be used" in ended.stderr:
        raise RuntimeError(ended.stderr)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return float(json.loads(ended.stdout)["seconds"]), cpu_s


@contextmanager
def start_cluster(folder: Path, count: int) -> Iterator[tuple[str, list[Running]]]:
    """The address of a scheduler and its workers, with one thread each."""
    facts, log = folder / "scheduler.json", folder / "dask.log"
    facts.unlink(missing_ok=True)
    quiet = ("--host", "127.0.0.1", "--no-dashboard")
    dask = (sys.executable, "-m")
    with ExitStack() as stack:
        scheduler = (*dask, "distributed.cli.dask_scheduler", *quiet, "--port", "0", "--scheduler-file", facts)
        stack.enter_context(Running(scheduler, log))
        while not facts.exists():
            time.sleep(0.1)
        address = str(json.loads(facts.read_text())["address"])
        worker = (*dask, "distributed.cli.dask_worker", *quiet, address, "--nthreads", "1", "--no-nanny")
        workers = [stack.enter_context(Running((*worker, "--local-directory", folder), log)) for _ in range(count)]
        wait_for_workers(address, count)
        yield address, workers


def wait_for_workers(address: str, count: int) -> None:
    """Waits until the scheduler has so many workers."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=120)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SIZE)
