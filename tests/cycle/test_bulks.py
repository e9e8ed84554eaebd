"""A bulk that is read in parts: in the end everything is as if it had been read at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from conftest import SiteFolder, at
from documents import archive_ids
from simulation.world import Config, World, apply
from sqlalchemy import select

from aggregator import ingest
from aggregator.cycle import changed_files, update
from aggregator.cycle.pipeline import ScanRequest
from aggregator.paths import escape_name
from aggregator.store.schema import entry
from aggregator.store.session import to_us

STEPS = 30
NOON, DATE = at("2024-05-01 12:00"), "2024-04-30T08:00:00Z"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle reads a few files and leaves the rest."""
    for module, name, value in (
        (update, "BULK_S", 0.0),
        (changed_files, "LOOKUP_BATCH", 1),
        (changed_files, "LEAST_READ", 1),
        (ingest, "FILE_BATCH", 1),
        (ingest, "POOL_MIN_FILES", 1),
    ):
        monkeypatch.setattr(module, name, value)


def run_parts(site: SiteFolder, now: datetime, *, step: timedelta = timedelta()) -> int:
    """Cycles until none leaves a file, each one `step` later; how many left some."""
    for cuts in range(1000):
        if not site.run(now + cuts * step).cut:
            return cuts
    raise AssertionError("there is no end")


@pytest.mark.parametrize(("backend", "seed", "archive"), [("sqlite", 1, True), ("postgresql", 2, False)])
def test_parts_publish_the_same_as_one_cycle(
    backend: str,
    seed: int,
    archive: bool,
    make_site: Callable[..., SiteFolder],
    make_store_url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the borders of archive pages may differ, because entries leave a feed sooner."""
    world = World(seed, Config(archive=archive))
    whole, parted = (make_site(make_store_url(backend), world.config.text()) for _ in range(2))
    chance, cuts = random.Random(seed), 0
    for number in range(STEPS):
        step = world.step()
        for site in (whole, parted):
            apply(step, site)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(update, "BULK_S", 3600.0)
            assert not whole.run(step.now).cut
        monkeypatch.setattr(changed_files, "LEAST_READ", chance.randint(1, 5))
        paths = sorted(map(escape_name, step.folder))
        while True:
            first = {"": chance.sample(paths, min(len(paths), chance.choice((0, 2, 9))))}
            if not parted.pipeline.run(step.now, ScanRequest(first=first, rest_waits=chance.random() < 0.5)).cut:
                break
            cuts += 1
        ours, theirs = parted.documents(), whole.documents()
        if archive:
            paths = [path for path in theirs if path.endswith("/atom.xml")]
            assert [archive_ids(ours, path) for path in paths] == [archive_ids(theirs, path) for path in paths]
        else:
            assert ours == theirs, f"after step {number}"
    assert cuts > STEPS / 2


@pytest.fixture
def begun(site: SiteFolder) -> SiteFolder:
    """A site that has scanned its folder."""
    for number in range(3):
        site.record(f"old{number}.md", publishedDateTime=DATE)
    site.run(NOON)
    return site


def test_the_records_of_a_bulk_have_the_time_at_which_it_began(begun: SiteFolder) -> None:
    """Records that come meanwhile are above all of them."""
    for number in range(9):
        begun.record(f"new{number}.md", publishedDateTime=None if number % 4 else DATE)
    now = NOON + DAY
    assert begun.run(now).cut
    begun.record("a.md")
    assert begun.pipeline.run(now + MINUTE, ScanRequest(first={"": ["a.md"]}, rest_waits=True)).cut
    assert "a.md" in begun.titles()
    assert run_parts(begun, now + 2 * MINUTE, step=MINUTE) > 5
    assert begun.titles()[0] == "a.md"
    assert set(begun.rows(select(entry.c.released_at).where(entry.c.path.like("new%")))) == {(to_us(now),)}
    begun.record("later.md")
    begun.run(now + DAY)
    assert begun.titles()[0] == "later.md"


def test_a_first_scan_and_the_first_one_with_a_config_are_whole(begun: SiteFolder) -> None:
    begun.configure("[records]\npath = '../incoming'\ntopics = ['All']")
    for number in range(9):
        begun.record(f"new{number}.md")
    assert not begun.run(NOON + DAY).cut
    assert len(begun.titles("all")) == 12


@pytest.mark.parametrize("first", [(), ("b.md",)])
def test_a_renamed_file_is_recognised_whatever_else_comes_in(begun: SiteFolder, first: tuple[str, ...]) -> None:
    """Whichever of its paths a scan sees first."""
    ids = begun.ids()
    os.rename(begun.incoming / "old0.md", begun.incoming / "b.md")
    os.rename(begun.incoming / "old1.md", begun.incoming / "z.md")
    for number in range(9):
        begun.record(f"new{number}.md")
    begun.pipeline.bulk_since = 1  # as in the middle of a bulk
    assert not begun.pipeline.run(NOON + DAY, ScanRequest(first={"": first}, rest_waits=True)).cut
    assert begun.ids().items() >= ids.items()
    assert len(begun.ids()) == 12


def test_removals_are_decided_by_a_whole_scan(begun: SiteFolder) -> None:
    begun.remove("old0.md")
    for number in range(9):
        begun.record(f"new{number}.md")
    result = begun.run(NOON + DAY)
    assert (result.cut, result.removed, result.new) == (False, 1, 9)
    begun.record("x1.md")
    begun.record("x2.md")
    assert not begun.run(NOON + DAY + MINUTE).cut, "they may be that one still"
    for number in range(9):
        begun.record(f"y{number}.md")
    assert begun.run(NOON + 2 * DAY).cut


def test_files_that_cannot_be_read_do_not_keep_a_bulk_from_its_end(begun: SiteFolder) -> None:
    for number in range(5):
        begun.write(f"half{number}.md", "---\ntitle: x\n", mtime_ns=time.time_ns())
        begun.record(f"new{number}.md")
    assert 0 < run_parts(begun, NOON + DAY) <= 5
    assert len(begun.titles()) == 8


def test_an_index_file_in_a_bulk_affects_every_page(make_site: Callable[..., SiteFolder], store_url: str) -> None:
    site = make_site(store_url, "[records]\npath = '../incoming'\npreset = 'hugo'")
    for number in range(3):
        site.record(f"s/old{number}.md")
    site.run(NOON)
    for number in range(5):
        site.record(f"s/a{number}.md")
        site.record(f"s/new{number}.md")
    site.write("s/_index.md", "---\ncascade:\n  tags: [Kites]\n---\n")
    assert run_parts(site, NOON + DAY) > 5
    assert len(site.titles("kites")) == 13
