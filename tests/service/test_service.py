"""The service as it lives: real processes, signals, files and HTTP."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from commands import DEADLINE_S, Running, Shop, eventually
from conftest import SiteFolder
from sqlalchemy import Connection

from aggregator import __version__
from aggregator.config import Config, default_config, load_config
from aggregator.errors import StoreError
from aggregator.service.config_reload import ConfigState, LiveConfig
from aggregator.service.health import Health
from aggregator.service.monitor import Monitor
from aggregator.service.worker import Worker
from aggregator.store.session import read_meta

MANY = 3000
STOPS_WITHIN_S = 20.0
"""How long a stop may take on a loaded machine, also in the middle of a cycle; 5 s are promised for an idle one."""
BROKEN = "---\ntitle: Bad\npublished: yes please\n---\n"

PATCHED = """
import time
from pathlib import Path
from aggregator.service import service, worker
from aggregator.cycle.pipeline import Pipeline
real = Pipeline.update_store
def update_store(*arguments, **options):
    {patch}
    return real(*arguments, **options)
Pipeline.update_store = update_store
"""


def test_host_and_port_can_be_given_and_the_home_page_is_opened_in_a_browser(shop: Shop) -> None:
    shop.record("a.md", "Story")
    opened = shop.root / "opened"
    browser = shop.root / "bin" / "xdg-open"
    browser.parent.mkdir()
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}.part" && mv "{opened}.part" "{opened}"\n')
    browser.chmod(0o755)
    service = shop.start(
        "run", "--host", "127.0.0.2", "--port", "0", "--open", PATH=f"{browser.parent}:{os.environ['PATH']}"
    )
    assert service.url.startswith("http://127.0.0.2:")
    assert eventually(lambda: opened.exists() and opened.read_text().strip()) == service.url
    assert service.titles() == ["Story"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the feeds of many records are when nothing comes between."""
    made = Shop(tmp_path_factory.mktemp("undisturbed"))
    made.configure()
    made.many(MANY)
    assert made.run("build").returncode == 0
    return feeds_of(made)


def feeds_of(shop: Shop) -> dict[str, Any]:
    return {path.parent.name: shop.items(path.parent.name) for path in shop.output.glob("*/feed.json")}


def stored(shop: Shop) -> int:
    """How many entries the store has while its first cycle runs; fails when that has ended."""
    try:
        with sqlite3.connect(f"file:{shop.data}/aggregator.db?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT count(*), (SELECT count(*) FROM cycle) FROM entry").fetchone()
        connection.close()
    except sqlite3.OperationalError:  # not made yet
        return 0
    assert found[1] == 0, "the first cycle ended before the test could come in its middle"
    return int(found[0])


# what it serves


def test_it_serves_the_feeds_after_the_first_cycle(shop: Shop) -> None:
    shop.record("a.md", "Story", topics=["Power Apps"])
    service = shop.start("run")
    assert service.printed == f"Serving {service.url} (Ctrl-C ends it)\n"
    service.wait_until_done()
    assert b"power-apps/" in service.get("").body
    assert service.titles("power-apps") == ["Story"]
    first = service.get("all/rss.xml")
    assert (first.status, first.headers["content-type"]) == (200, "application/rss+xml; charset=utf-8")
    assert service.get("all/rss.xml", If_None_Match=first.headers["etag"]).status == 304
    assert service.get("readyz").status == 200
    health = service.get("healthz")
    assert (health.status, sorted(health.json())) == (
        200,
        ["config", "last_success", "next_cycle", "role", "status", "store", "version"],
    )
    eventually(lambda: "scanned 1, new 1, changed 0, removed 0, rejected 0, feeds written 2" in service.log)


def test_on_a_terminal_each_fact_has_a_line_and_the_url_comes_after_the_first_cycle(shop: Shop) -> None:
    shop.record("a.md", "Story")
    shop.write("bad.md", "---\ntitle: A\npublished: perhaps\n---\n")
    main, terminal = os.openpty()
    with subprocess.Popen(
        shop.command("run"),
        cwd=shop.root, env=shop.environment(), stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
    ) as service, os.fdopen(main, "rb", buffering=0) as screen:  # fmt: skip
        os.close(terminal)
        shown = b""
        while b"Ctrl-C" not in shown:
            shown += screen.read(4096)
        lines = shown.decode().splitlines()
        service.send_signal(signal.SIGTERM)
        shown = screen.read(4096)  # or the end of the service waits for it
        assert service.wait(DEADLINE_S) == 0
    names = ["config", "store", "records", "output", "URL", "listens on", "status", "metrics"]
    assert lines[0] == f"aggregator {__version__}"
    assert [line[2:12].strip() for line in lines[1 : 1 + len(names)]] == names
    assert lines[1] == f"  config      {shop.config}"
    assert "'published' is not true or false" in lines[-2]
    assert re.fullmatch(r"Serving http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)", lines[-1])


def test_a_new_file_is_published_by_itself(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    shop.record("sub/a.md", "New")
    eventually(lambda: service.titles() == ["New"])
    (shop.incoming / "sub" / "a.md").unlink()
    eventually(lambda: service.titles() == [])


def test_without_watching_a_new_file_is_published_on_schedule(shop: Shop) -> None:
    shop.configure(schedule='every = "1s"\nwatch = false')
    service = shop.start("run").wait_until_done()
    shop.record("a.md", "New")
    eventually(lambda: service.titles() == ["New"])


def test_cron_sets_the_next_cycle(shop: Shop) -> None:
    shop.configure(schedule='cron = "30 5 * * 0"', site='id = "x"\ntimezone = "Europe/Vienna"')
    service = shop.start("run").wait_until_done()
    upcoming = datetime.fromisoformat(service.get("healthz").json()["next_cycle"])
    assert (upcoming.weekday(), upcoming.minute, upcoming.hour in {3, 4}) == (6, 30, True)


def test_records_and_stories_come_and_go_when_it_is_their_time(shop: Shop) -> None:
    shop.configure(records='fields.expires_at = ["until"]')
    due, story_due, end = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (4, 6, 8))
    story = {"title": "Story", "webUrl": "https://r.example/", "publishedDateTime": story_due.isoformat()}
    shop.record("a.md", "Soon", publishedDateTime=due.isoformat())
    shop.record("y.md", "Offer", until=end.isoformat())
    shop.record("z.md", "Now", related=[story])
    service = shop.start("run").wait_until_done()
    for moment, has_come in (
        (due, lambda: "Soon" in service.titles()),
        (story_due, lambda: b"https://r.example/" in service.get("all/atom.xml").body),
        (end, lambda: "Offer" not in service.titles()),
    ):
        assert not has_come() or datetime.now(UTC) > moment
        eventually(has_come)
        assert datetime.now(UTC) >= moment


def test_a_rejected_record_is_logged_once_and_read_again_when_it_changes(shop: Shop) -> None:
    shop.write("bad.md", BROKEN)
    shop.write("half.md", "---\ntitle: Half", mtime=time.time())
    service = shop.start("run").wait_until_done()
    line = "incoming/bad.md:3:12: 'published' is not true or false: 'yes please' (write true or false)"
    facts = shop.json("status")
    assert [one["text"] for one in facts["rejected"]] == [line]
    assert [one["path"] for one in facts["unfinished"]] == ["incoming/half.md"]
    shop.record("half.md", "Whole")
    eventually(lambda: service.titles() == ["Whole"])
    shop.record("bad.md", "Mended")
    eventually(lambda: "Mended" in service.titles())
    eventually(lambda: service.log.count(f"INFO resolved: {line}") == 1)
    assert service.log.count(f"WARNING {line}") == 1
    facts = shop.json("status")
    assert (facts["rejected"], facts["unfinished"]) == ([], [])


def test_a_rejected_record_that_others_push_off_the_list_is_not_logged_as_resolved(shop: Shop) -> None:
    for name in ("b.md", "c.md"):
        shop.write(name, BROKEN)
    few = "from aggregator.store import queries; queries.file_problems.__kwdefaults__['limit'] = 2"
    service = shop.start("run", patch=few).wait_until_done()
    shop.write("a.md", BROKEN)
    eventually(lambda: "WARNING incoming/a.md" in service.log)
    shop.record("a.md", "Corrected")
    eventually(lambda: "INFO resolved: incoming/a.md" in service.log)
    assert "resolved: incoming/c.md" not in service.log
    assert service.log.count("WARNING incoming/c.md") == 1
    shop.record("c.md", "Corrected too")
    eventually(lambda: "INFO resolved: incoming/c.md" in service.log)
    assert "resolved: incoming/b.md" not in service.log


def test_status_names_the_service_and_its_next_cycle(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    facts = eventually(lambda: (found := shop.json("status"))["next_cycle"] and found)
    assert facts["running"].startswith(f"process {service.process.pid} on ")
    assert facts["running"].endswith("(aggregator run)")
    away = datetime.fromisoformat(facts["next_cycle"]) - datetime.now(UTC)
    assert timedelta(minutes=58) < away <= timedelta(hours=1)
    assert "(in 59 min)" in shop.run("status").stdout
    service.process.kill()
    service.process.wait()
    assert shop.json("status")["running"] is None


def test_a_waiting_build_continues_when_the_service_ends(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    with subprocess.Popen(
        shop.command("build"), cwd=shop.root, env=shop.environment(), stderr=subprocess.PIPE, text=True
    ) as build:
        assert build.stderr.readline().startswith(f"waiting for process {service.process.pid} ")
        service.end()
        assert build.wait(DEADLINE_S) == 0


# what goes wrong


@pytest.mark.parametrize("away", ["removed", "moved"])
def test_health_depends_on_the_records_folder(shop: Shop, away: str) -> None:
    shop.record("a.md", "Story")
    service = shop.start("run").wait_until_done()
    if away == "removed":
        (shop.incoming / "a.md").unlink()
        shop.incoming.rmdir()
    else:
        shop.incoming.rename(shop.root / "elsewhere")
    eventually(lambda: service.get("healthz").status == 503)
    assert service.health() == "failing"
    if away == "moved":
        assert service.titles() == ["Story"], "what was published is served on"
        (shop.root / "elsewhere").rename(shop.incoming)
    else:
        shop.incoming.mkdir()
        shop.record("a.md", "Story")
    eventually(lambda: service.get("healthz").status == 200)
    shop.record("b.md", "Watched again")
    eventually(lambda: "Watched again" in service.titles())


def test_a_missing_folder_is_scanned_again_without_a_watch(shop: Shop) -> None:
    shop.configure(schedule='every = "1h"\nwatch = false')
    shop.record("a.md", "Story")
    shop.incoming.rename(shop.root / "elsewhere")
    service = shop.start("run", patch=PATCHED.format(patch="worker.MAX_RETRY_S = 0.3"))
    eventually(lambda: "cannot be read" in service.log)
    (shop.root / "elsewhere").rename(shop.incoming)
    eventually(lambda: service.titles() == ["Story"])


def test_a_replaced_records_folder_is_watched(shop: Shop) -> None:
    """As a deployment swaps a link."""
    for name in ("one", "two"):
        (shop.root / name).mkdir()
    shop.incoming.rmdir()
    shop.incoming.symlink_to("one")
    service = shop.start("run").wait_until_done()
    (shop.root / "link").symlink_to("two")
    (shop.root / "link").rename(shop.incoming)
    (shop.root / "two" / "early.md").write_text("---\ntitle: Early\n---\n")
    eventually(lambda: service.titles() == ["Early"])
    (shop.root / "two" / "later.md").write_text("---\ntitle: Later\n---\n")
    eventually(lambda: "Later" in service.titles())


def test_an_unexpected_error_ends_the_cycle_and_is_reported(shop: Shop) -> None:
    shop.record("a.md", "Story")
    boom = PATCHED.format(patch="if Path('boom').exists(): raise RuntimeError('private')")
    service = shop.start("run", patch=boom).wait_until_done()
    (shop.root / "boom").touch()
    shop.record("b.md", "Second")
    eventually(lambda: service.get("healthz").status == 503)
    assert service.health() == "failing"
    assert "private" not in service.get("healthz").body.decode()
    assert service.titles() == ["Story"]
    eventually(lambda: "the cycle failed: unexpected RuntimeError" in service.log)
    facts = shop.json("status")
    assert facts["last_cycle"]["error"] == "unexpected RuntimeError"
    assert facts["last_cycle"]["scanned"] is None
    assert "unexpected RuntimeError" in shop.run("status").stdout
    (shop.root / "boom").unlink()
    shop.record("c.md", "Third")
    eventually(lambda: len(service.titles()) == 3)
    eventually(lambda: service.get("healthz").status == 200)


def test_a_hanging_cycle_does_not_delay_the_stop(shop: Shop) -> None:
    shop.record("a.md", "Story")
    service = shop.start(
        "run", patch=PATCHED.format(patch="Path('hangs').touch(); service.STOP_S = 0.3; time.sleep(60)")
    )
    eventually((shop.root / "hangs").exists)
    code, seconds = service.end()
    assert (code, seconds < STOPS_WITHIN_S) == (0, True)
    assert "the cycle did not stop in time" in service.log
    done = shop.run("build")
    assert (done.returncode, done.stderr, shop.titles()) == (0, "", ["Story"])


# a config that changes while it runs


def save(shop: Shop, how: str, **tables: str) -> None:
    """Saves a config of these tables, `feed` and `more` as they stand, as people and programs do."""
    more = tables.pop("more", "")
    before = shop.config.read_text()
    shop.configure(**tables)
    text = f"{shop.config.read_text()}{more}\n"
    if how == "in place":
        shop.config.write_text(text)
        return
    if how == "renamed":
        other = shop.config.with_suffix(".tmp")
        other.write_text(text)
        shop.config.write_text(before)
        other.replace(shop.config)
        return
    folder = shop.config.parent
    version = f"..{len(list(folder.iterdir()))}"
    (folder / version).mkdir()
    (folder / version / shop.config.name).write_text(text)
    (folder / "..tmp").symlink_to(version)
    (folder / "..tmp").replace(folder / "..data")
    if not shop.config.is_symlink():
        shop.config.unlink()
        shop.config.symlink_to(f"..data/{shop.config.name}")


def cycles_of(shop: Shop) -> list[int]:
    """When the cycles that are on record began, in µs."""
    connection = sqlite3.connect(f"file:{shop.data}/aggregator.db?mode=ro", uri=True)
    found = [row[0] for row in connection.execute("SELECT started_at FROM cycle ORDER BY id")]
    connection.close()
    return found


PICKS = '[[feed]]\nslug = "picks"\ntopics.any = ["AI"]\n'


def test_a_saved_config_becomes_active_however_it_is_saved(shop: Shop) -> None:
    shop.record("a.md", "About AI", topics=["AI"])
    shop.record("b.md", "About cars", topics=["Cars"])
    service = shop.start("run").wait_until_done()
    cars = service.get("cars/rss.xml").headers["etag"]
    save(shop, "in place", more=PICKS)
    eventually(lambda: service.titles("picks") == ["About AI"])
    save(shop, "renamed", more=PICKS.replace("AI", "Cars"))
    eventually(lambda: service.titles("picks") == ["About cars"])
    for topic in ("AI", "Cars"):  # the first swap puts links in the place of the file
        save(shop, "swapped", more=PICKS.replace("AI", topic))
        eventually(lambda topic=topic: service.titles("picks") == [f"About {'AI' if topic == 'AI' else 'cars'}"])
    save(shop, "swapped", more=PICKS.replace("picks", "chosen") + 'moved_from = ["picks"]')
    eventually(lambda: service.titles("chosen") == ["About AI"])
    eventually(lambda: service.get("picks/rss.xml").body == service.get("chosen/rss.xml").body)
    assert service.get("cars/rss.xml").headers["etag"] == cars, "what nobody changed stays as it is"
    assert service.get("healthz").json()["config"] == "ok"
    eventually(lambda: "aggregator.toml becomes active: feed" in service.log)


def test_a_broken_config_is_refused_and_the_last_good_config_stays_active(shop: Shop) -> None:
    shop.record("a.md", "About AI", topics=["AI"])
    save(shop, "in place", more=PICKS)
    service = shop.start("run").wait_until_done()
    save(shop, "renamed", output="limt = 3", more=PICKS + 'title = "Unclosed\n')
    eventually(lambda: service.get("healthz").json()["config"] == "refused")
    line = "config/aggregator.toml:14:9: a text without its closing quote (close it on the same line)"
    assert service.get("healthz").status == 200
    facts = shop.json("status")
    assert [one["text"] for one in facts["config"]["refused"]] == [line]
    assert {feed["slug"] for feed in facts["feeds"]} == {"all", "ai", "picks"}
    shown = shop.run("status")
    assert (shown.returncode, "Config refused" in shown.stdout, line in shown.stdout) == (1, True, True)
    shop.record("b.md", "Still read", topics=["AI"])
    eventually(lambda: "Still read" in service.titles("picks"))
    shop.add_to_config("# the same problem\n")
    service.process.send_signal(signal.SIGHUP)
    save(shop, "renamed", output="limt = 3", more=PICKS)
    eventually(lambda: "'limt'" in service.log)
    assert service.log.count(f"ERROR {line}") == 1
    assert [one["line"] for one in shop.json("status")["config"]["refused"]] == [8]
    save(shop, "renamed", more=PICKS)
    eventually(lambda: service.get("healthz").json()["config"] == "ok")
    eventually(lambda: "aggregator.toml can be used again" in service.log)
    config = shop.json("status")["config"]
    assert (config["refused"], config["restart"], config["active"]["path"]) == ([], [], "config/aggregator.toml")
    assert "Traceback" not in service.log


def test_an_equal_config_causes_no_cycle(shop: Shop) -> None:
    shop.record("a.md", "Story")
    service = shop.start("run").wait_until_done()
    done = len(cycles_of(shop))
    shop.config.write_text(f"# a comment\n\n{shop.config.read_text()}")
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "aggregator.toml was reloaded: nothing changed" in service.log)
    assert len(cycles_of(shop)) == done
    assert "becomes active" not in service.log


def test_the_log_names_the_keys_of_topics_that_become_active(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    save(shop, "renamed", **{"topics.slugs": '"AI" = "machines"'})
    eventually(lambda: "aggregator.toml becomes active: topics.slugs\n" in service.log)


def test_keys_of_store_and_serve_wait_for_the_next_start(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    save(shop, "renamed", serve="port = 1", store='url = "sqlite:///../other/aggregator.db"', output="limit = 7")
    eventually(lambda: service.get("healthz").json()["config"] == "restart")
    assert not (shop.root / "other").exists()
    for key in ("serve.port", "store.url"):
        eventually(lambda key=key: service.log.count(f"{key} becomes active with the next start") == 1)
    eventually(lambda: "becomes active: output" in service.log)
    save(shop, "renamed", serve="port = 1")
    eventually(lambda: shop.json("status")["config"]["restart"] == ["serve.port"])
    assert "serve.port: becomes active with the next start" in shop.run("status").stdout
    assert service.get("healthz").status == 200


def test_an_id_that_the_store_contradicts_is_refused(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    save(shop, "renamed", site='id = "other.example.org"')
    problem = eventually(lambda: shop.json("status")["config"]["refused"])
    assert "the ids in the store are made from 'feeds.example.org'" in problem[0]["text"]
    assert shop.json("status")["config"]["active"] is None, "only the service knows the active one"
    save(shop, "renamed", site='id = "feeds.example.org"\ntitle = "Renamed"')
    eventually(lambda: service.get("all/feed.json").json()["title"] == "Renamed")


def test_folders_and_schedule_change_while_it_runs(shop: Shop) -> None:
    shop.record("a.md", "Story")
    service = shop.start("run").wait_until_done()
    (shop.root / "second").mkdir()
    (shop.root / "second" / "a.md").write_text("---\ntitle: Story\n---\n")
    (shop.root / "second" / "b.md").write_text("---\ntitle: Second\n---\n")
    save(
        shop, "renamed", records='path = "../second"', output='path = "../public"', schedule='cron = "30 5 * * *"',
    )  # fmt: skip
    eventually(lambda: service.titles() == ["Second", "Story"])
    assert (shop.root / "public" / "all" / "rss.xml").exists()
    assert datetime.fromisoformat(eventually(lambda: shop.json("status")["next_cycle"])).minute == 30
    (shop.root / "second" / "c.md").write_text("---\ntitle: Third\n---\n")
    eventually(lambda: "Third" in service.titles())
    save(shop, "renamed", records='path = "../second"', schedule='every = "1s"\nwatch = false')
    (shop.root / "second" / "d.md").write_text("---\ntitle: Fourth\n---\n")
    eventually(lambda: "Fourth" in service.titles())


def test_a_config_saved_in_a_long_cycle_does_not_wait_for_its_end(shop: Shop) -> None:
    wait = "while Path('long').exists() and not arguments[0]._stop.is_set(): time.sleep(0.01)"
    shop.record("a.md", "Story")
    service = shop.start("run", patch=PATCHED.format(patch=wait)).wait_until_done()
    (shop.root / "long").touch()
    shop.record("b.md", "Second")
    save(shop, "renamed", site='id = "feeds.example.org"\ntitle = "Renamed"')
    eventually(lambda: "becomes active: site" in service.log)
    (shop.root / "long").unlink()
    eventually(lambda: service.get("all/feed.json").json()["title"] == "Renamed")
    eventually(lambda: "Second" in service.titles())


def test_a_hangup_ends_the_service_only_if_its_terminal_is_closed(shop: Shop) -> None:
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    patch = f"""
import os
terminal = os.open({name!r}, os.O_RDWR)  # the leader of a session gets the first one that it opens
os.dup2(terminal, 0)
os.close(terminal)
"""
    service = shop.start("run", patch=patch)
    os.close(theirs)
    service.wait_until_done()
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "was reloaded" in service.log)
    os.close(ours)
    assert service.process.wait(DEADLINE_S) == 0
    assert "stopped" in service.log


def test_a_hangup_while_waiting_for_the_store_does_not_end_the_service(shop: Shop) -> None:
    first = shop.start("run").wait_until_done()
    with subprocess.Popen(
        shop.command("run"), cwd=shop.root, env=shop.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as second:  # fmt: skip
        assert second.stderr.readline().startswith("waiting for ")
        second.send_signal(signal.SIGHUP)
        first.end()
        assert second.stdout.readline().startswith("Serving ")
        second.terminate()
        assert second.wait(DEADLINE_S) == 0


def live_config(shop: Shop, accept: Callable[[Config], None] = lambda _config: None) -> LiveConfig:
    return LiveConfig(load_config(shop.config, env={}), shop.config, {}, accept)


def test_a_config_file_that_is_missing_for_a_moment_is_not_reported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = live_config(shop)
    text = shop.config.read_text()
    shop.config.unlink()
    assert (live.poll(), live.poll(), live.state) == (None, None, ConfigState())
    shop.config.write_text(text)
    assert (live.poll(), live.poll(), live.state) == (None, None, ConfigState())
    shop.config.unlink()
    monkeypatch.setattr("aggregator.service.config_reload.MISSING_S", 0)
    assert (live.poll(), live.poll()) == (None, None)
    assert [str(problem) for problem in live.state.refused] == [f"{shop.config}: the file is missing (restore it)"]
    shop.config.write_text(text)
    assert (live.poll(), live.poll(), live.state) == (None, None, ConfigState())


def test_a_half_written_config_file_is_not_loaded(shop: Shop) -> None:
    live = live_config(shop)
    text = f"{shop.config.read_text()}[output]\nlimit = 7\npages = false\n"
    half = text.index("pages")
    shop.config.write_text(text[:half])
    assert live.poll() is None
    shop.config.write_text(text)
    assert live.poll() is None
    taken = live.poll()
    assert (taken.output.limit, taken.output.pages) == (7, False)
    assert live.poll() is None


def test_a_config_that_is_emptied_is_refused_by_a_service_and_at_its_next_start(shop: Shop) -> None:
    shop.record("a.md", "About AI", topics=["AI"])
    shop.config.write_text("# nothing but the defaults\n")
    service = shop.start("run", AGGREGATOR_SERVE__PORT="0", AGGREGATOR_SCHEDULE__EVERY="1h").wait_until_done()
    save(shop, "renamed", site='id = "127.0.0.1"', more=PICKS)
    eventually(lambda: service.titles("picks") == ["About AI"])
    shop.config.write_text("# \n")
    eventually(lambda: service.get("healthz").json()["config"] == "refused")
    why = "is empty, and the last one had the tables feed, ingest, schedule, serve, site: "
    eventually(lambda: why in service.log)
    assert service.titles("picks") == ["About AI"]
    service.end()
    again = shop.run("run", env={"AGGREGATOR_SERVE__PORT": "0"})
    assert (again.returncode, "is empty, and the last one had the tables" in again.stderr) == (2, True)


def test_a_renamed_source_is_refused_by_a_service_and_at_its_next_start(shop: Shop) -> None:
    source = '[[records]]\nname = "{}"\npath = "../incoming"\n'
    shop.record("a.md", "Story")
    save(shop, "renamed", more=source.format("news"))
    service = shop.start("run")
    service.wait_until_done()
    save(shop, "renamed", more=source.format("new"))
    why = "the store holds records of a source with name = 'news', which the config does not have"
    problem = eventually(lambda: shop.json("status")["config"]["refused"])
    assert why in problem[0]["text"]
    assert service.titles() == ["Story"]
    service.end()
    again = shop.run("run")
    assert (again.returncode, again.stdout, why in again.stderr) == (2, "", True)
    assert "the last good config stays active" not in again.stderr


def test_a_new_config_file_becomes_active(shop: Shop) -> None:
    text = shop.config.read_text()
    shop.config.unlink()
    live = LiveConfig(default_config(shop.config, env={}), shop.config, {}, lambda _config: None)
    assert (live.poll(), live.poll(), live.state) == (None, None, ConfigState())
    shop.config.write_text(f"{text}[output]\nlimit = 7\n")
    assert live.poll() is None
    assert live.poll().output.limit == 7


def test_a_config_changes_over_postgresql_too(shop: Shop, postgres_url: Callable[[], str]) -> None:
    store = f'url = "{postgres_url()}"'
    shop.record("a.md", "About AI", topics=["AI"])
    save(shop, "renamed", store=store)
    service = shop.start("run").wait_until_done()
    save(shop, "renamed", store=store, more=PICKS)
    eventually(lambda: service.titles("picks") == ["About AI"])
    save(shop, "renamed", store=store, more="[[feed]")
    eventually(lambda: service.get("healthz").json()["config"] == "refused")
    assert "a header without its closing bracket" in shop.json("status")["config"]["refused"][0]["text"]


def test_a_store_that_is_unavailable_for_a_moment_refuses_no_config(shop: Shop) -> None:
    answers: list[Exception | None] = [StoreError("away"), None]

    def accept(_config: Config) -> None:
        if answer := answers.pop(0):
            raise answer

    live = live_config(shop, accept)
    shop.config.write_text(f"{shop.config.read_text()}[output]\nlimit = 7\n")
    assert (live.poll(), live.poll(), live.state) == (None, None, ConfigState())
    assert live.poll().output.limit == 7
    assert live.poll() is None
    answers += StoreError("away"), None
    assert (live.poll(reload=True), len(answers)) == (None, 1)
    assert (live.poll(), live.poll(), answers) == (None, None, []), "the reload is done once the store answers"


def test_what_the_store_could_not_commit_is_stored_by_the_next_poll(
    make_site: Callable[..., SiteFolder], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(store_url)
    live = LiveConfig(site.load_config(), site.config_file, {}, lambda _config: None)
    monitor = Monitor(live, site.store, cast("Worker", None), Health(), site.stop)
    write = site.store.write

    @contextmanager
    def fail_to_commit() -> Iterator[Connection]:
        with write() as connection:
            yield connection
            raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "write", fail_to_commit)
        monitor._store_state()
    monitor._store_state()
    with site.store.read() as connection:
        assert read_meta(connection, "service_problems") == "[]"


def test_overrides_of_the_environment_stay_active(shop: Shop) -> None:
    env = {"AGGREGATOR_OUTPUT__LIMIT": "3"}
    live = LiveConfig(load_config(shop.config, env=env), shop.config, env, lambda _config: None)
    shop.config.write_text(f"{shop.config.read_text()}[output]\nlimit = 7\n")
    assert live.poll(reload=True) is None
    assert live.config.output.limit == 3


# time


def test_a_record_that_became_due_while_it_was_down_is_published_at_its_start(shop: Shop) -> None:
    due, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-1, 600))
    shop.record("z.md", "Now")
    shop.record("a.md", "Due", publishedDateTime=due.isoformat())
    assert shop.run("build", "--now", (due - timedelta(hours=1)).isoformat()).returncode == 0
    assert shop.titles() == ["Now"]
    service = shop.start("run").wait_until_done()
    assert service.titles() == ["Due", "Now"]
    assert shop.json("status")["next_due"] is None
    shop.record("b.md", "Later", publishedDateTime=later.isoformat())
    stamp = later.isoformat(timespec="seconds").replace("+00:00", "Z")
    eventually(lambda: shop.json("status")["next_due"] == stamp)


def test_many_entries_with_close_due_times_share_few_cycles(shop: Shop) -> None:
    shop.record("z.md", "Now")
    start = datetime.now(UTC) + timedelta(seconds=6)
    for index in range(300):
        due = start + timedelta(milliseconds=10 * index)
        shop.record(f"{index:03}.md", topics=["Soon"], publishedDateTime=due.isoformat())
    service = shop.start("run").wait_until_done()
    before = len(cycles_of(shop))
    eventually(lambda: service.titles() and service.titles()[0] == "299.md")
    assert len(cycles_of(shop)) - before <= 10  # at least 0.45 s apart, whatever a cycle takes


JUMP = """
from datetime import datetime, timedelta
from pathlib import Path
from aggregator.service import monitor, triggers, worker
class Clock(datetime):
    @classmethod
    def now(cls, zone=None):
        return super().now(zone) + timedelta(hours=float(Path('hours').read_text()))
monitor.datetime = triggers.datetime = worker.datetime = Clock
"""


def test_a_clock_step_or_a_sleep_of_the_machine_is_noticed(shop: Shop) -> None:
    shop.configure(schedule='cron = "30 5 1 1 *"')
    (shop.root / "hours").write_text("0")
    shop.record("z.md", "Now")
    shop.record("a.md", "Later", publishedDateTime=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    service = shop.start("run", patch=JUMP).wait_until_done()
    done = len(cycles_of(shop))
    set_clock(shop, 2)
    eventually(lambda: service.titles() == ["Later", "Now"])
    set_clock(shop, -2)
    eventually(lambda: service.log.count("the clock changed by") == 2)
    shop.record("b.md", "New")
    eventually(lambda: "New" in service.titles())
    assert len(cycles_of(shop)) >= done + 2


def set_clock(shop: Shop, hours: int) -> None:
    other = shop.root / "hours.tmp"
    other.write_text(str(hours))
    other.replace(shop.root / "hours")


ONE_BY_ONE = """
import time
from pathlib import Path
from aggregator.service import worker
real = worker.Worker._run_cycle
def run_cycle(self):
    with open("cycles", "a") as log:
        log.write("begin\\n")
        log.flush()
        real(self)
        while Path("wait").exists() and '"A"' in Path("output/all/feed.json").read_text():
            time.sleep(0.01)
        log.write("end\\n")
worker.Worker._run_cycle = run_cycle
"""


def test_what_is_asked_for_during_a_cycle_is_done_by_the_next_one(shop: Shop) -> None:
    """By one, whatever asked how often."""
    service = shop.start("run", patch=ONE_BY_ONE).wait_until_done()
    eventually(lambda: (shop.root / "cycles").read_text().endswith("end\n"))
    (shop.root / "wait").touch()
    shop.record("a.md", "A")
    eventually(lambda: "A" in service.titles())
    for number in range(5):
        shop.record(f"b{number}.md", f"B{number}")
        time.sleep(0.15)  # longer than the watch collects changes
    before = (shop.root / "cycles").read_text().split()
    (shop.root / "wait").unlink()
    eventually(lambda: len(service.titles()) == 6)
    cycles = (shop.root / "cycles").read_text().split()
    assert cycles[: len(before)] == before
    assert before[-1] == "begin"
    assert cycles[len(before) : len(before) + 2] == ["end", "begin"]
    assert cycles[len(before) :].count("begin") < 5, "fewer cycles than changes"
    assert all(begin == "begin" for begin in cycles[::2])
    assert all(end == "end" for end in cycles[1::2])


def test_runs_that_a_stopped_process_missed_are_caught_up_once(shop: Shop) -> None:
    shop.configure(schedule='every = "1s"\nwatch = false')
    shop.record("a.md", "A")
    service = shop.start("run")
    eventually(lambda: len(cycles_of(shop)) > 2)
    service.process.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    before, resumed = len(cycles_of(shop)), time.time()
    shop.record("b.md", "B")
    service.process.send_signal(signal.SIGCONT)
    eventually(lambda: "B" in service.titles())
    eventually(lambda: len(cycles_of(shop)) > before + 2)
    soon = [begun for begun in cycles_of(shop)[before:] if begun / 1e6 < resumed + 0.9]
    assert len(soon) <= 2, "one for those that were missed, and the next that is due"


# how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_service_cleanly(shop: Shop, number: int) -> None:
    service = shop.start("run").wait_until_done()
    code, seconds = service.end(number)
    assert (code, seconds < STOPS_WITHIN_S) == (0, True)
    assert "Traceback" not in service.log
    assert shop.run("build").stderr == ""


def test_a_slow_client_does_not_delay_the_stop(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    with service.connect() as idle, service.connect() as slow:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        slow.sendall(b"GET /all/rss.xml HTTP/1.1\r\nHost:")
        code, seconds = service.end()
    assert (code, seconds < STOPS_WITHIN_S) == (0, True)


def test_a_signal_during_the_start_is_not_lost(shop: Shop) -> None:
    for command in ("run", "serve"):
        code, seconds = shop.start(command).end()
        assert (code, seconds < STOPS_WITHIN_S) == (0, True), command


def test_a_stop_during_the_first_scan_loses_nothing(shop: Shop, undisturbed: dict[str, Any]) -> None:
    shop.many(MANY)
    service = shop.start("run")
    eventually(lambda: stored(shop) > 0)
    assert service.get("healthz").status == 503, "it answers while it scans"
    assert service.health() == "starting"
    code, seconds = service.end()
    stored(shop)
    assert (code, seconds < STOPS_WITHIN_S) == (0, True)
    assert "stopped in the middle of a cycle" in service.log
    assert "Traceback" not in service.log
    done = shop.run("build")
    assert (done.returncode, done.stderr) == (0, ""), "it must not have waited for the one that is gone"
    assert feeds_of(shop) == undisturbed


def test_a_new_service_takes_over_from_a_killed_one_and_completes(shop: Shop, undisturbed: dict[str, Any]) -> None:
    shop.many(MANY)
    service = shop.start("run")
    eventually(lambda: stored(shop) > 0)
    service.process.kill()
    service.process.wait()
    after = shop.start("run").wait_until_done()
    assert "waiting for" not in after.log
    assert feeds_of(shop) == undisturbed
    assert [(item["id"], item["title"]) for item in after.get("all/feed.json").json()["items"]] == undisturbed["all"]


def test_a_signal_to_the_process_group_is_a_clean_stop(shop: Shop) -> None:
    """As a terminal sends for Ctrl-C, and systemd for a stop: the readers of files get it as well."""
    service = _start_with_readers(shop)
    os.killpg(service.process.pid, signal.SIGINT)
    assert service.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in service.log
    assert shop.run("build").returncode == 0


def test_no_pool_process_outlives_a_killed_service(shop: Shop) -> None:
    service = _start_with_readers(shop)
    service.process.kill()
    service.process.wait()
    eventually(lambda: not _group(service))


def test_many_records_with_bad_values_are_parsed_in_a_pool(shop: Shop) -> None:
    shop.configure(ingest="workers = 2")
    shop.many(2100)
    shop.write("000/bad.md", "---\ntitle: Bad\npublished: 1.5\n---\n")
    done = shop.run("build")
    assert done.returncode == 0, done.stderr
    assert "rejected 1" in done.stdout


def _start_with_readers(shop: Shop) -> Running:
    shop.configure(ingest="workers = 2")
    shop.many(MANY)
    service = shop.start("run")
    eventually(lambda: len(_group(service)) >= 4 or stored(shop) > 0)  # the service, two readers and their tracker
    return service


def _group(service: Running) -> list[int]:
    """The processes of the service's group that are not over."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(group) == service.process.pid and state != "Z":
            found.append(int(folder.name))
    return found


# serve


def test_serve_shows_what_another_process_publishes(shop: Shop) -> None:
    service = shop.start("serve")
    assert (service.get("healthz").status, service.get("readyz").status) == (503, 503)
    assert service.get("healthz").json()["reason"] == "no feeds are published yet"
    shop.record("a.md", "Story")
    assert shop.run("build").returncode == 0
    eventually(lambda: service.titles() == ["Story"])
    eventually(lambda: service.get("healthz").status == 200)
    shop.record("b.md", "Second")
    shop.run("build")
    eventually(lambda: len(service.titles()) == 2)
    assert service.end()[0] == 0
