"""The workers of a Dask cluster read many files, and the store and the feeds are the same as without them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bucket_site import BucketSite
from clusters import DaskCluster
from commands import free_port
from conftest import SiteFolder, spy

from aggregator import __version__, ingest
from aggregator.concurrency import cluster
from aggregator.status import read_status
from aggregator.store.schema import metadata

NOW, LATER = "2026-03-01 12:00", "2026-03-02 12:00"
FULL = '\n[[feed]]\nslug = "long"\ntitle = "Long"\ncontent = "full"\ntype = { any = ["article"] }\n'
UNTOLD = {"meta", "lease", "cycle", "alembic_version"}
"""Tables that name the store or the process."""
OF_FOLDER = {"ctime_ns", "inode", "recheck", "parsed_with"}
"""Columns that differ between two folders with the same files."""


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    with DaskCluster(tmp_path_factory.mktemp("dask")) as started:
        started.add_workers(2)
        yield started


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred files are many batches."""
    monkeypatch.setattr(ingest, "FILE_BATCH", 20)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 40)


def fill(site: SiteFolder, records: int = 300) -> None:
    """Records of all kinds: published, scheduled, hidden, rejected, undated, with an id of their own or that of another."""
    for number in range(records):
        fields: dict[str, Any] = {"topics": [f"T{number % 7}", "All"], "type": ("article", "video")[number % 2]}
        fields["publishedDateTime"] = f"2026-02-{number % 28 + 1:02}T08:{number % 60:02}:00Z"
        match number % 50:
            case 1:
                fields["publishedDateTime"] = "2027-01-01T00:00:00Z"
            case 2:
                fields["published"] = False
            case 3:
                del fields["publishedDateTime"]
            case 4:
                fields["id"] = f"stated-{number}"
            case 5:
                fields["id"] = "stated-4"
        lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
        body = f"Text of {number}.\n\nAnd a *second* paragraph.\n" if number % 3 else ""
        broken = "title: [" if number % 50 == 6 else f"title: Story {number}"
        site.write(f"{number % 10}/{number:04}.md", f"---\n{broken}\n{lines}---\n{body}")


def edit(site: SiteFolder, numbers: range) -> None:
    """Changes the texts of these records."""
    for number in numbers:
        path = f"{number % 10}/{number:04}.md"
        site.write(path, (site.incoming / path).read_bytes().replace(b"Text of", b"Words of"))


def rows(site: SiteFolder) -> dict[str, list[Any]]:
    """What the store holds, by table."""
    found = {}
    with site.store.read() as connection:
        for table in metadata.sorted_tables:
            if table.name not in UNTOLD:
                names = [column.name for column in table.c if column.name not in OF_FOLDER]
                chosen = connection.execute(table.select()).mappings()
                found[table.name] = sorted([repr([row[name] for name in names]) for row in chosen])
    return found


@pytest.fixture
def submit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was submitted to a cluster, as calls."""
    return spy(monkeypatch, cluster.Cluster, "submit")


@pytest.mark.both_databases
def test_a_cluster_stores_and_publishes_the_same_as_a_local_run(
    make_site: Callable[..., SiteFolder],
    make_store_url: Callable[[str], str],
    store_url: str,
    dask: DaskCluster,
    submit: Any,
) -> None:
    more = FULL if store_url.startswith("sqlite") else ""
    local = make_site(store_url, more)
    other = make_site(make_store_url(store_url.partition(":")[0].partition("+")[0]))
    other.configure(f'dask = "{dask.address}"\n{more}')
    for site in (local, other):
        fill(site)
        site.run(NOW)
    submit.assert_called()
    assert rows(other) == rows(local)
    assert other.documents() == local.documents()

    for site in (local, other):  # and so do many changes
        fill(site)
        edit(site, range(0, 300, 2))
        site.run(LATER)
    assert rows(other) == rows(local)
    assert other.documents() == local.documents()


def test_workers_read_records_in_a_bucket(
    make_bucket_site: Callable[[str], BucketSite],
    make_store_url: Callable[[str], str],
    tmp_path: Path,
    submit: Any,
) -> None:
    local, other = make_bucket_site(make_store_url("sqlite")), make_bucket_site(make_store_url("sqlite"))
    with DaskCluster(tmp_path) as started:  # the environment has the keys of the bucket
        started.add_workers()
        other.configure(f'dask = "{started.address}"\n[records]\npath = "the bucket"\n')
        for site in (local, other):
            fill(site, 100)
            site.run(NOW)
    submit.assert_called()
    assert other.documents() == local.documents()


def problems(site: SiteFolder) -> list[str]:
    return list(read_status(site.load_config(), site.store, datetime.now(UTC))["problems"])


def test_without_a_scheduler_files_are_read_here_and_the_cluster_is_tried_again(
    site: SiteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    caplog.set_level("INFO", "aggregator")
    site.configure(f'dask = "{address}"\n')
    fill(site)
    result = site.run(NOW)
    assert (result.new, result.problems) == (288, ())
    (problem,) = problems(site)
    assert problem.startswith(f"the Dask cluster {address} cannot be used: its scheduler cannot be reached: ")
    assert caplog.messages.count(problem) == 1

    with DaskCluster(tmp_path, port=port) as started:
        started.add_workers()
        monkeypatch.setattr(cluster, "CONNECT_S", 30)
        site.close()  # a new process does not know when to try again
        site.run(LATER)
        assert problems(site) == []
        assert f"resolved: {problem}" in caplog.messages


def test_workers_of_another_version_are_refused(
    site: SiteFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DaskCluster(tmp_path) as started:
        started.add_workers(1, "--preload", "other_version")
        site.configure(f'dask = "{started.address}"\n')
        fill(site)
        assert site.run(NOW).new == 288
    refusal = f"a worker has version 0.0.1 of aggregator, and this is {__version__} (install one version everywhere)"
    assert [problem for problem in problems(site) if refusal in problem]
    assert refusal in caplog.text


def test_a_cluster_without_workers_is_not_waited_for(site: SiteFolder, tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as started:
        site.configure(f'dask = "{started.address}"\n')
        fill(site)
        assert site.run(NOW).new == 288
        assert [problem for problem in problems(site) if "it has no workers" in problem]


def test_few_files_are_read_here(site: SiteFolder, dask: DaskCluster, submit: Any) -> None:
    site.configure(f'dask = "{dask.address}"\n')
    fill(site, 30)
    site.run(NOW)
    submit.assert_not_called()
