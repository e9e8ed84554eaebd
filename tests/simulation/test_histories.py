"""Random histories of records and config: after every cycle each feed, as its documents say, holds what the oracle says,
and no more was written than that took."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from datetime import datetime, timedelta

import pytest
from conftest import SITE_ID, SiteFolder, stop_after
from documents import archive_ids
from simulation.invariants import Subscriber, Watch
from simulation.oracle import Oracle
from simulation.world import SPANS, Config, World, apply
from sqlalchemy import select

from aggregator import ingest
from aggregator.errors import StoppedError
from aggregator.feeds import archives, registry
from aggregator.store.schema import EntryState, entry, feed, feed_entry

pytestmark = pytest.mark.both_databases

SEED = int(os.environ.get("HISTORY_SEED", "1"))  # another number, other histories by the same rules
STEPS = 30
POLL_EACH = 6


def seed_for(site: SiteFolder) -> int:
    """Each kind of database has a history of its own; `test_replay.py` plays one on both."""
    return SEED + site.url.startswith("postgresql")


def stops(site: SiteFolder, now: datetime, checks: int) -> bool:
    """Whether a cycle asked so many times if it is to stop; it then published nothing."""
    before = site.documents()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.pipeline, "check_stop", stop_after(checks))
        try:
            site.run(now)
        except StoppedError:
            assert site.documents() == before
            return True
    return False


class Chronicle:
    """Plays a world on a site, with all that may go wrong: stops, restarts, an output folder that is deleted."""

    def __init__(self, site: SiteFolder, seed: int) -> None:
        self.site, self.random = site, random.Random(-seed)
        self.world = World(seed, Config(limit=5, min_stay="0s", archive=True, max_bytes="1MB"))
        self.watch = Watch(Oracle(SITE_ID, "Feeds", views=False), exact=False)
        self.config = ""

    def step(self) -> None:
        """Some changes, then a cycle; one that is stopped is followed by another, or by more changes."""
        chance = self.random
        self.next = self.world.step(Config.change if chance.random() < 0.2 else None)
        self._apply()
        if chance.random() < 0.1:
            self.site.close()
        if chance.random() < 0.06:
            shutil.rmtree(self.site.output, ignore_errors=True)
        if chance.random() < 0.15 and stops(self.site, self.world.now, chance.choice((1, 2, 3, 5, 8, 12, 20, 40))):
            self.watch.whole = False
            if chance.random() < 0.4:
                return
            self.world.now += timedelta(minutes=1)
            self.next = self.world.wait()
            self.watch.note(self.next)
        self._run()
        self.watch.oracle.cycle(self.next)
        self.watch.check(self.site.documents())
        if chance.random() < 0.3 and not self.watch.empty:
            self._wait()
        if chance.random() < 0.08:
            self._heal()

    def _apply(self) -> None:
        self.watch.note(self.next)
        apply(self.next, self.site)
        if self.next.config.text() != self.config:
            self.config = self.next.config.text()
            self.site.configure(self.config)

    def _run(self) -> None:
        result = self.site.run(self.world.now)
        assert result.published
        assert not result.problems

    def _wait(self) -> None:
        """Time alone writes nothing until something is due."""
        later = self.world.now + timedelta(minutes=self.random.choice((1, 1000, 50_000)))
        due = self._next_due()
        self.world.now = max(self.world.now, min(later, due - timedelta(seconds=1)) if due else later)
        before = self.site.snapshot()
        assert self.site.run(self.world.now).files_written == 0
        assert self.site.snapshot() == before

    def _next_due(self) -> datetime | None:
        """When time alone changes something next: a record comes due, or is too old for a feed."""
        ages = {SPANS[table["max_age"]] for table in self.world.config.feeds.values() if "max_age" in table}
        dates = [story.date for story in self.world.folder.values() if story.date]
        times = [date + age for date in dates for age in {timedelta(), *ages}]
        return min((time for time in times if time > self.world.now), default=None)

    def _heal(self) -> None:
        """An output folder that is deleted is written again as it was."""
        before = self.site.documents()
        shutil.rmtree(self.site.output)
        self._run()
        after = self.site.documents()
        assert after.keys() == before.keys()
        assert [path for path in after if "/archive/" not in path and after[path] != before[path]] == []
        for path, page in self.watch.pages.items():
            page.body = after.get(path)


def test_any_history_loses_nothing_and_writes_no_page_without_a_reason(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = seed_for(site)
    monkeypatch.setattr(archives, "MAX_SEALED", (12, 25, 5000)[seed % 3])
    monkeypatch.setattr(ingest, "FILE_BATCH", (3, 1, 1000)[seed % 3])  # so that a stop comes between two files
    chronicle = Chronicle(site, seed)
    for _ in range(STEPS):
        chronicle.step()


def test_rules_windows_and_merging_show_what_the_oracle_says_and_a_subscriber_misses_nothing(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH", 3)
    seed = seed_for(site)
    chance, config = random.Random(seed), ""
    world = World(seed, Config(min_stay="0s", max_bytes="1MB"))
    watch, subscriber = Watch(Oracle(SITE_ID, "Feeds", views=False), exact=True), Subscriber()
    for number in range(STEPS):
        step, known = world.step(Config.change_feeds if chance.random() < 0.4 else None), set(watch.config.feeds)
        watch.note(step)
        apply(step, site)
        if step.config.text() != config:
            config = step.config.text()
            site.configure(config)
            if chance.random() < 0.3 and stops(site, step.now, chance.randrange(4)):
                watch.uncertain |= step.config.feeds.keys() - known
        site.run(step.now)
        watch.oracle.cycle(step)
        documents = site.documents()
        watch.check(documents)
        check_memberships(site)
        if number % POLL_EACH == 0:
            subscriber.poll(documents, "all")
            subscriber.check(watch.oracle)
    check_copies(site, world.config, step.now)


def check_memberships(site: SiteFolder) -> None:
    """The number of entries of a feed is stored, and whatever closed a membership."""
    sizes: Counter[int] = Counter()
    with site.store.read() as connection:
        stored = {row.id: row.size for row in connection.execute(select(feed.c.id, feed.c.size))}
        joined = select(feed_entry, entry.c.state).join(entry, entry.c.id == feed_entry.c.entry_id)
        for row in connection.execute(joined):
            sizes[row.feed_id] += row.left_at is None
            assert (row.left_at is None) == (row.left_by is None)
            assert row.state == EntryState.PUBLISHED or row.left_by is not None
    assert stored == {feed_id: sizes[feed_id] for feed_id in stored}


def check_copies(site: SiteFolder, config: Config, now: datetime) -> None:
    """A new feed with the rule of another holds the same entries, with the same links of those that they represent."""
    changed = config.copy()
    for key, table in config.feeds.items():
        kept = {name: value for name, value in table.items() if name not in ("slug", "moved_from")}
        changed.feeds[f"{key}-copy"] = {"slug": f"{key}-copy", **kept}
    site.configure(changed.text())
    site.run(now + timedelta(minutes=1))
    documents = site.documents()
    for key, table in config.feeds.items():
        assert archive_ids(documents, f"{key}-copy/atom.xml") == archive_ids(documents, f"{table['slug']}/atom.xml")
        related, copied = (
            {item["id"]: item.get("_aggregator", {}).get("related") for item in site.feed(slug)["items"]}
            for slug in (table["slug"], f"{key}-copy")
        )
        assert all(related[uid] == copied[uid] for uid in related.keys() & copied.keys())
