"""The time to store a batch of 500 records: new, unchanged, and with one change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aggregator.config import load_config
from aggregator.ingest import Outcome, ingest_batch
from aggregator.model import SourceFile
from aggregator.settings import Source
from aggregator.store.database import Store, open_store
from aggregator.store.entries import store_outcomes
from aggregator.store.files import open_source
from aggregator.store.session import Writer, open_site
from benchmarks.corpus import make_record, make_records
from benchmarks.sites import LEAN, OurSite

BATCH = 500
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Shelf:
    """A store with one source, and batches of records for it."""

    def __init__(self, folder: Path) -> None:
        self.records = folder / "records"
        config = load_config(OurSite(folder, self.records, LEAN).config, env={})
        self.source: Source = config.sources[0]
        self.store: Store = open_store(config.store.url, create=True)
        self.store.lease.acquire(0)
        self.writer = Writer(self.store, NOW, open_site(self.store, "example.org", ""))
        open_source(self.writer, self.source, "")
        self.fresh = count()

    def read(self, texts: dict[str, str]) -> list[Outcome]:
        """The outcomes that ingest makes of files with these texts."""
        for path, text in texts.items():
            (self.records / path).parent.mkdir(parents=True, exist_ok=True)
            (self.records / path).write_text(text, encoding="utf-8")
        return list(ingest_batch(self.source, [(SourceFile("", path, 0, 0), None) for path in sorted(texts)]))

    def new_batch(self) -> list[Outcome]:
        """A batch of records that are not in the store."""
        first = BATCH * next(self.fresh)
        made = (make_record(number) for number in range(first, first + BATCH))
        return self.read({record.path: record.text for record in made})

    def keep(self, outcomes: list[Outcome]) -> None:
        """Stores a batch in one transaction."""
        with self.writer.write() as connection:
            store_outcomes(connection, self.writer, self.source, outcomes, 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.lease.release()
    made.store.close()


def test_500_new_records(benchmark: BenchmarkFixture, shelf: Shelf) -> None:
    benchmark.pedantic(shelf.keep, setup=lambda: ((shelf.new_batch(),), {}), rounds=10)
    assert shelf.writer.new == 10 * BATCH


def test_the_same_500_again(benchmark: BenchmarkFixture, shelf: Shelf) -> None:
    batch = shelf.new_batch()
    shelf.keep(batch)
    benchmark.pedantic(shelf.keep, args=(batch,), rounds=20)
    assert (shelf.writer.new, shelf.writer.changed) == (BATCH, 0)


def test_one_changed_record(benchmark: BenchmarkFixture, shelf: Shelf) -> None:
    records = {record.path: record.text for record in make_records(BATCH) if record.published}
    shelf.keep(shelf.read(records))
    path = min(records)
    texts = count()

    def changed() -> tuple[tuple[list[Outcome]], dict[str, object]]:
        return (shelf.read({path: records[path].replace('title: "', f'title: "{next(texts)} ')}),), {}

    benchmark.pedantic(shelf.keep, setup=changed, rounds=50)
    assert shelf.writer.changed == 50
