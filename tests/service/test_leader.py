"""Several services on one PostgreSQL database: one leads, the others follow, and one of them takes the lead."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from commands import Running, Shop, eventually, free_port
from conftest import Database
from http_servers import LoopbackServer, QuietHandler
from sqlalchemy import create_engine, make_url, text

from aggregator.config import load_config
from aggregator.errors import LeaseLostError, StoreMismatchError, StoreUnreachableError
from aggregator.site import open_for_service
from aggregator.store.database import name_store, open_store
from aggregator.store.lease import _CLOCK

ROUNDS = int(os.environ.get("TAKE_OVER_ROUNDS", "3"))
"""How often the leader is killed, and how often it is frozen."""
LEAD_WITHIN_S = 15.0
AWAY_S = float(os.environ.get("AWAY_S", "1"))
"""How long the database is away."""


class Site:
    """A database, a folder of records, and services that share them; each has its own output folder."""

    def __init__(self, root: Path, url: str) -> None:
        self.url, self.records = url, root / "incoming"
        self.records.mkdir()
        self._root, self._shops, self._written = root, list[Shop](), 0

    def shop(self, *, output: Path | None = None, **tables: str) -> Shop:
        """A folder for one more service."""
        shop = Shop(self._root / f"service{len(self._shops)}")
        shop.root.mkdir()
        self._shops.append(shop)
        given = {
            "records": f'path = "{self.records}"',
            "store": f'url = "{self.url}"',
            "output": f'path = "{output or shop.output}"\nlimit = 1000',
            "schedule": 'every = "1s"',
        }
        shop.configure(**given | tables)
        shop.output = output or shop.output
        return shop

    def start(self, shop: Shop | None = None, *, output: Path | None = None, **tables: str) -> Running:
        """One more service, in `shop` or a new one, once it shows the record First."""
        service = (shop or self.shop(output=output, **tables)).start("run")
        eventually(shows(service, "First"))
        return service

    def record(self, title: str) -> None:
        """Writes a record, under another name first."""
        self._written += 1
        new = self._root / "new"
        new.write_text(f"---\ntitle: {title}\ntopics: [Tea, T{self._written % 5}]\n---\nText.\n")
        new.replace(self.records / f"{self._written:05}.md")

    def rows(self, statement: str) -> list[Any]:
        engine = create_engine(self.url)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return found

    def close(self) -> None:
        for shop in self._shops:
            shop.close()


@pytest.fixture
def site(tmp_path: Path, postgres_url: Callable[[], str]) -> Iterator[Site]:
    made = Site(tmp_path, postgres_url())
    yield made
    made.close()


def role(service: Running) -> str | None:
    found: str | None = service.get("healthz").json()["role"]
    return found


def shows(service: Running, title: str) -> Callable[[], bool]:
    return lambda: title in service.titles()


class Poller:
    """A reader that polls a feed of a service all the time and notes whatever goes back in time."""

    def __init__(self, service: Running) -> None:
        self._service, self._ids, self._shown = service, dict[str, str](), set[str]()
        self.problems, self.answers = list[str](), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                reply = self._service.get("all/feed.json")
            except (OSError, HTTPException, urllib.error.URLError):
                continue  # the service was killed, or is frozen
            if reply.status == 200:
                self._look(json.loads(reply.body)["items"])

    def _look(self, items: list[dict[str, Any]]) -> None:
        self.answers += 1
        ids = [item["id"] for item in items]
        if len(set(ids)) != len(ids):
            self.problems.append(f"an entry twice: {ids}")
        if lost := self._shown.difference(ids):
            self.problems.append(f"went back: {sorted(lost)}")
        for item in items:
            if self._ids.setdefault(item["title"], item["id"]) != item["id"]:
                self.problems.append(f"another id: {item['title']}")
        self._shown.update(ids)

    def end(self) -> dict[str, str]:
        """Stops it; the ids by title. Fails if the reader saw something that must not be."""
        self._stop.set()
        self._thread.join(30)
        assert self.problems == []
        return self._ids


def assert_stored_once(site: Site) -> None:
    twice = "SELECT source, path, count(*) FROM entry GROUP BY source, path HAVING count(*) > 1"
    assert site.rows(twice) == []
    assert site.rows("SELECT uid FROM entry GROUP BY uid HAVING count(*) > 1") == []


def report(name: str, seconds: list[float]) -> None:
    """Prints the figure; -s shows it."""
    print(f"{name}: {len(seconds)} times, median {statistics.median(seconds):.1f} s, max {max(seconds):.1f} s")


# one leads, the others follow


def test_a_second_service_follows_and_publishes_the_same_bytes(site: Site) -> None:
    site.record("First")
    leader = site.start()
    shop = site.shop()
    follower = site.start(shop)
    site.record("Second")
    eventually(shows(follower, "Second"))
    assert (role(leader), role(follower)) == ("leader", "follower")
    health = follower.get("healthz")
    assert (health.status, health.json()["status"]) == (200, "ok")
    assert health.json()["leader"].startswith(f"process {leader.process.pid} on ")
    for path in ("all/rss.xml", "tea/atom.xml", "tea/feed.json", "tea/", "", "opml.xml"):
        ours, theirs = leader.get(path), follower.get(path)
        assert (ours.body, ours.headers["etag"]) == (theirs.body, theirs.headers["etag"]), path
    assert "follows process" in follower.log
    assert "aggregator_leads 0.0" in follower.get("metrics").body.decode()
    assert "aggregator_leads 1.0" in leader.get("metrics").body.decode()
    assert f"Follows process {leader.process.pid} on" in follower.get("status").body.decode()
    assert shop.json("status")["running"].startswith(f"process {leader.process.pid} on ")
    assert follower.end()[0] == leader.end()[0] == 0


def test_a_follower_writes_nothing_to_the_store(site: Site) -> None:
    site.record("First")
    site.start()
    engine = create_engine(site.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE writer (pid int, name text)"))
        connection.execute(
            text(
                "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " INSERT INTO writer VALUES (pg_backend_pid(), TG_TABLE_NAME); RETURN NULL; END $$"
            )
        )
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in set(tables) - {"writer"}:
            connection.execute(
                text(
                    f'CREATE TRIGGER watch_{table} AFTER INSERT OR UPDATE OR DELETE ON "{table}"'
                    " FOR EACH STATEMENT EXECUTE FUNCTION watch()"
                )
            )
    engine.dispose()
    with_name = site.url + ("&" if "?" in site.url else "?") + "application_name=follower"
    follower = site.start(store=f'url = "{with_name}"')
    site.record("Second")
    eventually(shows(follower, "Second"))
    pids = {pid for (pid,) in site.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'follower'")}
    assert pids
    wrote = {pid for (pid,) in site.rows("SELECT DISTINCT pid FROM writer")}
    assert wrote
    assert not pids & wrote


def test_a_shared_output_folder_is_written_by_the_leader_alone(site: Site, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    site.record("First")
    leader = site.start(output=shared)
    follower = site.start(output=shared)
    eventually(lambda: "writes the output folder; this one only serves it" in follower.log)
    site.record("Second")
    eventually(shows(follower, "Second"))
    assert follower.get("healthz").status == 200
    assert "documents" not in follower.log
    leader.process.kill()
    site.record("Third")
    eventually(shows(follower, "Third"))
    assert role(follower) == "leader"


def test_a_copy_of_the_folder_of_the_leader_is_the_followers_own(site: Site, tmp_path: Path) -> None:
    site.record("First")
    shop = site.shop()
    site.start(shop)
    copy = tmp_path / "copy"
    shutil.copytree(shop.output, copy)
    follower = site.shop(output=copy).start("run")
    site.record("Second")
    eventually(shows(follower, "Second"))
    assert "only serves" not in follower.log


def test_a_follower_with_another_config_publishes_nothing_and_says_so(site: Site) -> None:
    site.record("First")
    site.start()
    shop = site.shop(site='id = "feeds.example.org"\ntitle = "Other"')
    follower = shop.start("run")
    warnings = eventually(lambda: follower.get("healthz").json().get("warnings"))
    assert warnings[0].startswith("nothing new is published here, because the config, or the version of the program,")
    assert follower.titles() == []
    assert "only [serve], [log], [ingest], store.url and output.path may differ" in warnings[0]
    shop.config.write_text(shop.config.read_text().replace('title = "Other"', ""))
    eventually(shows(follower, "First"))
    assert "becomes active once the service that leads has the same: site" in follower.log
    eventually(lambda: follower.get("healthz").json().get("warnings") is None)


def test_a_follower_on_another_port_needs_no_other_base_url(site: Site) -> None:
    site.record("First")
    ports = [free_port(), free_port()]
    base = f'id = "feeds.example.org"\nbase_url = "http://127.0.0.1:{ports[0]}/"'
    services = [site.start(site=base, serve=f"port = {port}") for port in ports]
    assert all("write below [site]" not in service.log for service in services)


def test_a_follower_with_another_config_serves_what_the_leader_publishes_in_a_shared_folder(
    site: Site, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    site.record("First")
    site.start(output=shared)
    shop = site.shop(output=shared, site='id = "feeds.example.org"\ntitle = "Other"')
    follower = shop.start("run")
    warnings = eventually(lambda: follower.get("healthz").json().get("warnings"))
    assert warnings[0].startswith("nothing new is published here, because the config")
    site.record("Second")
    eventually(shows(follower, "Second"))
    shop.config.write_text(shop.config.read_text().replace('title = "Other"', ""))
    eventually(lambda: follower.get("healthz").json().get("warnings") is None)


def test_a_follower_of_a_leader_that_is_not_well_is_not_well_either(site: Site) -> None:
    site.record("First")
    leader = site.start()
    follower = site.shop().start("run")
    eventually(lambda: follower.get("healthz").status == 200)
    away = site.records.with_name("away")
    site.records.rename(away)
    health = eventually(lambda: (reply := follower.get("healthz")).status == 503 and reply.json())
    assert health["reason"].startswith(f"the service that leads, process {leader.process.pid} on ")
    assert "the records folder cannot be read" in health["reason"]
    assert follower.titles() == ["First"]
    away.rename(site.records)
    eventually(lambda: follower.get("healthz").status == 200)


def test_a_document_that_a_follower_cannot_write_costs_only_that_feed(site: Site) -> None:
    site.record("First")
    site.start()
    shop = site.shop()
    (shop.output / "tea" / "rss.xml").mkdir(parents=True)
    follower = site.start(shop)
    eventually(lambda: "is in the way of" in follower.log)
    site.record("Second")
    eventually(shows(follower, "Second"))
    assert follower.get("tea/rss.xml").status == 404
    (shop.output / "tea" / "rss.xml").rmdir()
    site.record("Third")
    eventually(lambda: b"Third" in follower.get("tea/rss.xml").body)
    eventually(lambda: re.search(r"resolved: .* is in the way of", follower.log))
    assert follower.log.count("is in the way of") == 2


def test_a_build_waits_for_the_leader_and_names_it(site: Site) -> None:
    site.record("First")
    leader = site.start()
    refused = site.shop().run("build", patch="from aggregator.cli import stores; stores.LEASE_WAIT_S = 0.3")
    assert refused.returncode == 2
    assert f"the store is held by process {leader.process.pid} on " in refused.stderr


def test_only_the_leader_sends_pings(site: Site) -> None:
    """The outbox is the leader's; a follower neither fills nor empties it."""
    site.record("First")
    hub = '\nhub = "http://127.0.0.1:9/"'
    leader = site.start(websub=hub)
    follower = site.start(websub=hub)
    site.record("Second")
    eventually(shows(follower, "Second"))
    eventually(lambda: 'aggregator_websub_pings_total{result="failed"} 1.0' in leader.get("metrics").body.decode())
    assert 'aggregator_websub_pings_total{result="failed"} 0.0' in follower.get("metrics").body.decode()
    assert "did not accept a ping" not in follower.log


def test_a_hub_finds_the_new_version_at_every_service(site: Site) -> None:
    site.record("First")
    found: list[list[bool]] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - a name of the library
            found.append([shows(service, "Second")() for service in services])
            self.send_response(204)
            self.end_headers()

    with LoopbackServer(Handler) as hub:
        services = [site.start(websub=f'hub = "{hub.url}/"') for _ in range(2)]
        site.record("Second")
        eventually(lambda: found)
    assert found[0] == [True, True]


# the database is away


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_database_that_is_away_costs_only_time(tmp_path: Path, database: Database, how: str) -> None:
    site = Site(tmp_path, database.url)
    site.record("First")
    services = [site.start(), site.start()]
    for service in services:
        eventually(lambda service=service: service.get("healthz").status == 200)
    pollers = [Poller(service) for service in services]
    (database.stop if how == "stop" else database.crash)()
    ends_at = time.monotonic() + AWAY_S
    site.record("Second")
    for service in services:
        health = eventually(lambda service=service: (reply := service.get("healthz")).status == 503 and reply.json())
        assert "the database cannot be reached: " in health["reason"]
        assert service.titles() == ["First"]
        assert service.get("readyz").status == 200
    while time.monotonic() < ends_at:
        assert [service.titles() for service in services] == [["First"]] * 2
    database.start()
    for service in services:
        eventually(shows(service, "Second"))
        eventually(lambda service=service: service.get("healthz").status == 200)
    assert sorted(role(service) or "" for service in services) == ["follower", "leader"]
    for poller in pollers:
        poller.end()
    assert_stored_once(site)
    assert not any("Traceback" in service.log for service in services)
    site.close()


def test_a_service_that_starts_while_the_database_is_away_serves_and_waits(tmp_path: Path, database: Database) -> None:
    site = Site(tmp_path, database.url)
    site.record("First")
    shop = site.shop()
    site.start(shop).end()
    database.stop()
    service = shop.start("run")
    assert service.titles() == ["First"]
    health = eventually(lambda: (reply := service.get("healthz")).status == 503 and "reason" in reply.json() and reply)
    eventually(lambda: "the database cannot be reached: " in service.get("healthz").json()["reason"])
    assert health.json()["role"] is None
    assert "waiting for the database: " in service.log
    search = service.get("search?q=First")
    assert (search.status, search.body) == (503, b"This cannot be read at the moment.\n")
    assert service.get("status").status == 503
    site.record("Second")
    database.start()
    eventually(shows(service, "Second"))
    eventually(lambda: service.get("healthz").status == 200)
    assert role(service) == "leader"
    assert service.get("search?q=First").status == 200
    assert service.end()[0] == 0
    site.close()


def test_a_database_that_takes_no_writes_is_named_and_used_again_when_it_does(site: Site) -> None:
    site.record("First")
    shops = [site.shop(serve=f"port = {free_port()}") for _ in range(2)]
    services = [site.start(shop) for shop in shops]
    name, writable = make_url(site.url).database, {"options": "-c default_transaction_read_only=off"}
    engine = create_engine(site.url, isolation_level="AUTOCOMMIT", connect_args=writable)
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> :own"),
            {"name": name, "own": connection.scalar(text("SELECT pg_backend_pid()"))},
        )
        for service in services:
            reason = eventually(lambda: takes_no_writes(service))  # noqa: B023 - called at once
            assert re.search(
                r"the database postgresql://.*/site\d+ takes no writes: cannot execute .* read-only", reason
            )
            assert "set default_transaction_read_only to off" in reason
        connection.execute(text("UPDATE lease SET until_ms = 0"))  # as it is after ten seconds
        for shop in shops:
            done = shop.run("status")
            assert (done.returncode, "takes no writes" in done.stdout) == (1, True)
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    engine.dispose()
    site.record("Second")
    for service in services:
        eventually(shows(service, "Second"))
        eventually(lambda: service.get("healthz").status == 200)  # noqa: B023 - called at once


def takes_no_writes(service: Running) -> str:
    """Why a service is not well, if that is the reason."""
    reason = str(service.get("healthz").json().get("reason", ""))
    return reason if "takes no writes" in reason else ""


def test_status_names_what_a_follower_on_this_machine_says(site: Site) -> None:
    site.record("First")
    site.start()
    shop = site.shop(serve=f"port = {free_port()}")
    shop.output.mkdir()
    (shop.output / ".aggregator").touch()
    follower = shop.start("run")
    eventually(lambda: "cannot be written" in follower.get("healthz").json().get("reason", ""))
    done = shop.run("status")
    assert (done.returncode, "the service is not well: the output folder cannot be written" in done.stdout) == (1, True)


def test_a_command_does_not_wait_for_the_database(tmp_path: Path, database: Database) -> None:
    site = Site(tmp_path, database.url)
    shop = site.shop()
    database.stop()
    for command in ("build", "status"):
        done = shop.run(command)
        assert (done.returncode, done.stderr.count("the database cannot be reached: ")) == (2, 1), done.stderr


# the lead changes hands


def test_a_service_that_cannot_open_the_store_leaves_the_lease_to_others(site: Site) -> None:
    other = site.shop(site='id = "other.example"')
    assert other.run("build").returncode == 0
    shop = site.shop(site='id = "feeds.example"')
    store = name_store(site.url, create=True)
    try:
        with pytest.raises(StoreMismatchError):
            open_for_service(load_config(shop.config, env={}), store, partial(store.lease.acquire, 0))
        assert not store.lease.is_held
        assert other.run("build").returncode == 0
    finally:
        store.lease.release()
        store.close()


def test_a_killed_leader_is_replaced(site: Site) -> None:
    shops = [site.shop(), site.shop()]
    site.record("First")
    services = [site.start(shop) for shop in shops]
    seconds = list[float]()
    ids = dict[str, str]()
    for number in range(ROUNDS):
        place = next(place for place, service in enumerate(services) if role(service) == "leader")
        pollers = [Poller(service) for service in services]
        site.record(f"Before {number}")  # most often in the middle of a cycle
        services[place].process.kill()
        killed = time.monotonic()
        other = services[1 - place]
        eventually(lambda other=other: role(other) == "leader")
        seconds.append(time.monotonic() - killed)
        site.record(f"After {number}")
        eventually(shows(other, f"After {number}"))
        eventually(shows(other, f"Before {number}"))
        for poller in pollers:
            seen = poller.end()
            assert {title: ids.setdefault(title, uid) for title, uid in seen.items()} == seen
        assert pollers[1 - place].answers > 0
        services[place] = shops[place].start("run")
        eventually(shows(services[place], f"After {number}"))
        assert role(services[place]) == "follower"
        assert_stored_once(site)
    report("killed", seconds)
    assert max(seconds) < LEAD_WITHIN_S


def test_a_frozen_leader_is_replaced_and_follows_when_it_wakes_up(site: Site) -> None:
    site.record("First")
    services = [site.start(), site.start()]
    pollers = [Poller(service) for service in services]
    seconds = list[float]()
    for number in range(ROUNDS):
        place = next(place for place, service in enumerate(services) if role(service) == "leader")
        frozen, other = services[place], services[1 - place]
        site.record(f"Before {number}")
        time.sleep(number % 10 * 0.01)  # so that it is frozen in different places of a cycle
        frozen.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        eventually(lambda other=other: role(other) == "leader")
        seconds.append(time.monotonic() - stopped)
        site.record(f"After {number}")
        eventually(shows(other, f"After {number}"))
        frozen.process.send_signal(signal.SIGCONT)
        eventually(lambda frozen=frozen: role(frozen) == "follower")
        eventually(shows(frozen, f"After {number}"))
        eventually(lambda frozen=frozen: frozen.get("healthz").status == 200)
        assert_stored_once(site)
    for poller in pollers:
        poller.end()
        assert poller.answers > 0
    assert all(service.process.poll() is None for service in services)
    assert not any("Traceback" in service.log for service in services)
    report("frozen", seconds)
    assert max(seconds) < LEAD_WITHIN_S


def test_a_leader_that_is_frozen_in_a_transaction_does_not_block_the_next_one(
    postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url()
    first = open_store(url, create=True)
    first.lease.acquire(0)
    first.lease.stop_renewing()
    second = open_store(url, create=True)
    losses = list[str]()
    first.lease.on_loss = lambda: losses.append("lost")

    def write_after_the_lease() -> None:
        with first.write() as connection:
            later = f"{_CLOCK['postgresql']} + 10001"  # when its lease has ended, as far as anybody else can see
            monkeypatch.setitem(_CLOCK, "postgresql", later)
            second.lease.acquire(0)
            connection.execute(text("SELECT 1"))

    with pytest.raises(StoreUnreachableError, match="terminating connection"):
        write_after_the_lease()
    with pytest.raises(LeaseLostError), first.write():
        pass
    assert losses == ["lost"]
    assert not first.lease.is_held
    second.lease.release()
    for store in (first, second):
        store.close()
