"""Records in a bucket of a real server that is killed again and again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_site import BucketSite
from object_storage import ObjectStorage, Proxy, running_storage, use

from aggregator import buckets

DATE = "2026-05-01T08:00:00Z"
NOON, LATER = "2026-06-01 12:00", "2026-06-03 12:00"
RECORDS = 200
KILLS = int(os.environ.get("BUCKET_KILLS", "2"))
"""How often the server is killed."""


@pytest.fixture
def own_server() -> Iterator[ObjectStorage]:
    with running_storage() as storage:
        yield storage


def put(site: BucketSite, number: int, text: str = "") -> None:
    fields = f"---\ntitle: '{number}'\npublishedDateTime: {DATE}\n---\n"
    site.write(f"{number % 7}/{number:04}.md", fields + text)


def test_a_server_that_is_killed_in_the_middle_of_cycles_costs_only_time(
    own_server: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(KILLS)
    monkeypatch.setattr(buckets, "PAGE", 50)
    monkeypatch.setattr("aggregator.files.bucket.ATTEMPTS", 1)
    monkeypatch.setattr("aggregator.ingest.FILE_BATCH", 50)
    with Proxy(own_server.port) as proxy:
        use(own_server, monkeypatch, endpoint=proxy.url)
        site = BucketSite(tmp_path / "site", f"sqlite:///{tmp_path / 'store.db'}", own_server, proxy)
        site.configure("[output]\nlimit = 1000\n")
        for number in range(RECORDS):
            put(site, number)
        site.run(NOON)
        before = site.ids()
        assert len(before) == RECORDS
        changed = set()
        for _ in range(KILLS):
            for number in chance.sample(range(RECORDS), 60):
                put(site, number, f"edited {chance.random()}")
                changed.add(number)
            after = chance.randrange(70)
            proxy.requests.clear()

            def kill(*_: str, after: int = after) -> None:
                if len(proxy.requests) == after:
                    own_server.kill()

            proxy.decide = kill
            result = site.run(NOON)
            assert (result.removed, result.new, site.ids()) == (0, 0, before)
            own_server.kill()
            assert not site.run(LATER).complete  # away for two days
            assert site.ids() == before
            proxy.decide = lambda *_: None
            own_server.start()
            result = site.run(LATER)
            assert (result.complete, result.problems, site.ids()) == (True, (), before)
            site.read_paths()
            site.run(LATER)
            assert site.read_paths() == []
        site.close()


def test_a_server_that_freezes_holds_a_cycle_only_so_long(
    own_server: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.files.bucket.ATTEMPTS", 1)
    monkeypatch.setattr("aggregator.files.bucket.REQUEST_S", 1.0)
    with Proxy(own_server.port) as proxy:
        use(own_server, monkeypatch, endpoint=proxy.url)
        site = BucketSite(tmp_path / "site", f"sqlite:///{tmp_path / 'store.db'}", own_server, proxy)
        put(site, 1)
        site.run(NOON)
        proxy.decide = lambda *_: proxy.wait()
        result = site.run(LATER)
        assert "the server takes over 1 s for a request (see its log, and the network)" in result.problems[0]
        assert (result.removed, len(site.ids())) == (0, 1)
        proxy.decide = lambda *_: None
        assert site.run(LATER).problems == ()
        site.close()
