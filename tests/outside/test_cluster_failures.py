"""What becomes of a cycle when parts of its Dask cluster die, hang or go away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cluster_reads
import pytest
import slow
from clusters import DaskCluster

from aggregator import ingest
from aggregator.concurrency import cluster
from aggregator.concurrency.cluster import ClusterLink
from aggregator.errors import StoppedError
from aggregator.model import Rejection

NOW = "2026-03-01 12:00"
BATCHES = 30


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "FILE_BATCH", 20)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 40)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    with DaskCluster(tmp_path) as started:
        started.add_workers(2)
        yield started


def fill(site: Any) -> None:
    for number in range(20 * BATCHES):
        site.record(f"{number:04}.md", topics=[f"T{number % 7}"], publishedDateTime="2026-02-01T08:00:00Z")


@pytest.fixture
def sites(make_site: Callable[..., Any], make_store_url: Callable[[str], str], dask: DaskCluster) -> Any:
    """A site that was built here, and one with the same records that has a cluster."""
    local, other = (make_site(make_store_url("sqlite"), text) for text in ("", f'dask = "{dask.address}"\n'))
    for site in (local, other):
        fill(site)
    local.run(NOW)
    return local, other


@pytest.fixture
def after_some(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Makes a cycle do something after its fourth batch, when others are on their way."""
    from aggregator.store.entries import store_outcomes

    def arrange(act: Callable[[], object]) -> None:
        stored = []

        def store(*args: Any, **options: Any) -> Any:
            stored.append(args)
            if len(stored) == 4:
                act()
            return store_outcomes(*args, **options)

        monkeypatch.setattr("aggregator.cycle.update.store_outcomes", store)

    return arrange


def test_a_killed_worker_loses_nothing(sites: Any, dask: DaskCluster, after_some: Any) -> None:
    local, other = sites
    after_some(dask.workers[0].kill)
    assert other.run(NOW).new == 20 * BATCHES
    assert dask.workers[0].wait() == -signal.SIGKILL
    assert other.documents() == local.documents()


def test_a_worker_that_hangs_is_not_waited_for(
    sites: Any, dask: DaskCluster, after_some: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any, tmp_path: Path
) -> None:
    """Nor does the next cluster of this process wait for it."""
    local, other = sites
    monkeypatch.setattr(cluster, "PATIENCE_S", 2.0)
    after_some(lambda: [worker.send_signal(signal.SIGSTOP) for worker in dask.workers])
    assert other.run(NOW).new == 20 * BATCHES
    assert other.documents() == local.documents()
    assert "cannot be used" not in caplog.text
    for process in (*dask.workers, dask.scheduler):
        process.kill()
        process.wait()
    (tmp_path / "next").mkdir()
    with DaskCluster(tmp_path / "next") as following:
        following.add_workers()
        link = cluster.Cluster(following.address)
        assert link.submit(pow, 2, 3).result(20) == 8
        link.close()


def test_a_lost_scheduler_stops_nothing(sites: Any, dask: DaskCluster, after_some: Any, caplog: Any) -> None:
    local, other = sites
    after_some(dask.scheduler.kill)
    assert other.run(NOW).new == 20 * BATCHES
    assert other.documents() == local.documents()
    assert f"the Dask cluster {dask.address} cannot be used: its scheduler is lost" in caplog.text


def test_a_stop_is_soon_and_the_next_cycle_continues(sites: Any, dask: DaskCluster, after_some: Any) -> None:
    local, other = sites
    stopped_at: list[float] = []

    def stop() -> None:
        for worker in dask.workers:
            worker.send_signal(signal.SIGSTOP)  # so that the cycle has to wait
        stopped_at.append(time.monotonic())
        other.stop.set()

    after_some(stop)
    with pytest.raises(StoppedError):
        other.run(NOW)
    assert time.monotonic() - stopped_at[0] < 20
    for worker in dask.workers:
        worker.send_signal(signal.SIGCONT)
    other.stop.clear()
    other.run(NOW)
    assert other.documents() == local.documents()


def test_a_record_that_kills_its_workers_is_rejected_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two workers died over a batch, it is read here, each record in a process that may die."""
    monkeypatch.setenv("TEST_PROCESS", str(os.getpid()))
    (tmp_path / "records").mkdir()
    source = cluster_reads.source(tmp_path / "records")
    for number in range(100):
        text = "---\ntitle: T\n---\n" + ("CRASHING" if number == 70 else "")
        (tmp_path / "records" / f"{number:02}.md").write_text(text)
    with DaskCluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as started:
        started.add_workers(3)
        link = ClusterLink(started.address)
        monkeypatch.setattr(ingest, "_parse_file", slow.parse)
        outcomes = [
            outcome
            for batch in ingest.ingest_files(
                source,
                cluster_reads.files(source),
                workers=0,
                read=cluster_reads.read,
                open_pool=link.connect,
            )
            for outcome in batch
        ]
        assert [outcome.file.path for outcome in outcomes] == [f"{number:02}.md" for number in range(100)]
        rejected = [str(outcome.problem) for outcome in outcomes if isinstance(outcome, Rejection)]
        [problem] = rejected
        assert problem == (
            "70.md: cannot be read: the process that parses it was ended (SIGKILL) (the next cycles try again; if that does"
            " not help: more memory, or make it shorter or simpler)"
        )
        assert sum(worker.poll() == -signal.SIGKILL for worker in started.workers) == 2
        assert link.problem == ""
