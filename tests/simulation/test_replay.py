"""Two hundred cycles over a folder that lives like a real one, each document compared with the oracle after each."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
from conftest import BACKENDS, SITE_ID, SiteFolder
from simulation.invariants import View, difference, read_view, views_of
from simulation.oracle import FeedView, Oracle
from simulation.world import Config, Step, World, apply

SEED = int(os.environ.get("REPLAY_SEED", "2023"))  # another number, another history by the same rules
CYCLES = 200
ON_BOTH = 60
"""Cycles of the history that PostgreSQL plays too."""
RESTART_EACH = 25
POLL_EACH = 6
Snapshot = dict[str, tuple[bytes, int]]


@cache
def expected() -> tuple[tuple[tuple[Step, tuple[FeedView, ...], int], ...], frozenset[str]]:
    """Each step with what every feed shows after it and how many files are rejected; the tokens with several ids."""
    world, oracle, found = World(SEED), Oracle(SITE_ID, "Feeds"), []
    for step in world.play_year(CYCLES):
        oracle.cycle(step)
        found.append((step, oracle.views(), oracle.rejected))
    return tuple(found), frozenset(world.reused)


@pytest.fixture(scope="session")
def replayed(
    make_store_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[str, ...]]:
    """Plays the history on a kind of database, once a session; a digest of what the public saw after every cycle."""

    @cache
    def play(backend: str) -> tuple[str, ...]:
        site = SiteFolder(tmp_path_factory.mktemp("replay") / "site", make_store_url(backend), Config().text())
        try:
            return Replay(site).play(CYCLES if backend == "sqlite" else ON_BOTH)
        finally:
            site.close()

    return play


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cycle_shows_what_the_oracle_says_and_writes_nothing_else(
    backend: str, replayed: Callable[[str], tuple[str, ...]]
) -> None:
    assert len(replayed(backend)) == (CYCLES if backend == "sqlite" else ON_BOTH)


def test_both_databases_give_the_same_bytes_after_every_cycle(replayed: Callable[[str], tuple[str, ...]]) -> None:
    ours, theirs = map(replayed, BACKENDS)
    assert [number for number in range(ON_BOTH) if ours[number] != theirs[number]] == []


def test_the_history_has_the_shape_of_a_real_year() -> None:
    steps, _ = expected()
    views = [feeds for _, feeds, _ in steps]
    unchanged = sum(before == after for before, after in pairwise(views))
    assert unchanged > CYCLES / 3
    assert sum(bool(step.writes) for step, _, _ in steps) > CYCLES * 2 / 3
    assert max(len(feed.items) for feeds in views for feed in feeds) == 32
    assert any(feed.withdrawn for feed in views[-1])
    assert len(views[-1]) >= 8
    assert max(len(feed.pages) for feed in views[-1]) > 10
    assert sum(rejected > 0 for _, _, rejected in steps) > 10


class Replay:
    """One run of the history over one site, checked after each cycle."""

    def __init__(self, site: SiteFolder) -> None:
        self.site = site
        self.before: Snapshot = {}
        self.views: dict[str, View] = {}
        self.tokens: dict[str, set[str]] = defaultdict(set)
        self.ids: dict[str, set[str]] = defaultdict(set)

    def play(self, cycles: int) -> tuple[str, ...]:
        digests = []
        steps, reused = expected()
        for number, (step, feeds, rejected) in enumerate(steps[:cycles]):
            if number % RESTART_EACH == RESTART_EACH - 1:
                self.site.close()
            where = f"cycle {number} at {step.now:%Y-%m-%d %H:%M} ({step.what})"
            apply(step, self.site)
            result = self.site.run(step.now, accept_removals=step.accept)
            assert result.published, f"{where}: {result.problems}"
            assert (result.scanned, result.rejected) == (len(step.folder), rejected), where
            after = self.site.snapshot()
            self._check(where, feeds, after)
            self._check_ids(where, reused)
            digests.append(_digest(after))
        return tuple(digests)

    def _check(self, where: str, feeds: tuple[FeedView, ...], after: Snapshot) -> None:
        """What is written says what it must, and a file is written only when what it says has changed."""
        views = views_of(feeds)
        public = {path for path in after if not path.startswith(".aggregator/")}
        assert public == views.keys(), f"{where}: files {sorted(public ^ views.keys())}"
        for path, view in views.items():
            body, ctime_ns = after[path]
            old_body, old_ctime_ns = self.before.get(path, (b"", 0))
            if view == self.views.get(path):
                assert body == old_body, f"{where}: {path} has other bytes and nothing in it changed"
                assert ctime_ns == old_ctime_ns, f"{where}: {path} was written again with the same bytes"
                continue
            seen = read_view(path, body)
            if seen is not None and seen != view:
                pytest.fail(f"{where}: {path}\n{difference(seen, view)}")
            assert body != old_body, f"{where}: {path} has the same bytes and something in it changed"
        if views == self.views:
            assert after == self.before, f"{where}: something was written and nothing changed"
        self.before, self.views = after, views

    def _check_ids(self, where: str, reused: frozenset[str]) -> None:
        """An id never goes to another record, and a record never gets another id."""
        for item in json.loads(self.before["all/feed.json"][0])["items"]:
            token = item["title"].rpartition(" ")[2]
            self.tokens[item["id"]].add(token)
            self.ids[token].add(item["id"])
            assert token in reused or len(self.ids[token]) == 1, f"{where}: {token} has ids {self.ids[token]}"
            others = self.tokens[item["id"]] - reused
            assert len(others) <= 1, f"{where}: {item['id']} was that of {sorted(others)}"


def _digest(snapshot: Snapshot) -> str:
    public = ((path, body) for path, (body, _) in sorted(snapshot.items()) if not path.startswith(".aggregator/"))
    made = hashlib.sha256()
    for path, body in public:
        made.update(f"{path} {len(body)}\n".encode() + body)
    return made.hexdigest()
