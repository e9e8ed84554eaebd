"""Real Dask clusters on loopback: a scheduler and workers, each a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from commands import eventually

from aggregator.concurrency.cluster import Cluster
from aggregator.concurrency.processes import ClusterError

TESTS = Path(__file__).parent


class DaskCluster:
    """A scheduler and its workers, which have one thread each."""

    def __init__(self, folder: Path, *, port: int = 0, **env: str) -> None:
        self._folder, self._env = folder, env
        self._scheduler_file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", str(port), "--scheduler-file", str(self._scheduler_file))
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = str(json.loads(eventually(self._facts))["address"])

    def add_workers(self, count: int = 1, *options: str) -> None:
        """Starts workers, and waits until the scheduler knows them all."""
        for _ in range(count):
            worker = self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *options)
            self.workers.append(worker)
        eventually(lambda: self.count() >= len(self.workers), within_s=120)

    def count(self) -> int:
        """How many workers the scheduler knows."""
        try:
            cluster = Cluster(self.address)
        except ClusterError:
            return 0
        cluster.close()
        return cluster.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()

    def log(self) -> str:
        return (self._folder / "dask.log").read_text()

    def _facts(self) -> str:
        assert self.scheduler.poll() is None, self.log()
        return self._scheduler_file.read_text() if self._scheduler_file.exists() else ""

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{kind}",
            "--host",
            "127.0.0.1",
            "--no-dashboard",
            *options,
        ]
        if kind == "worker":
            command += ["--local-directory", str(self._folder)]
        path = os.pathsep.join((str(TESTS.parent), str(TESTS)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGGREGATOR_")}
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env={**environment, "PYTHONPATH": path, **self._env},
                stdout=log,
                stderr=log,
            )
