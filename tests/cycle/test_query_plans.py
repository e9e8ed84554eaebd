"""No cycle reads a table of records from end to end."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import SiteFolder, at, record_text
from sqlalchemy import Connection, event

from aggregator.status import read_status
from aggregator.store import session
from aggregator.store.queries import count_records

pytestmark = pytest.mark.both_databases

CONFIG = """
[output]
limit = 3
[[feed]]
slug = "good"
min_quality = 50
"""
LINKED = """
[records]
preset = "hugo"
link_template = "https://e.example/{path}/"
[[feed]]
slug = "full"
content = "full"
"""
NOON, LATER, LATEST = at("2026-03-01 12:00"), at("2026-03-01 13:00"), at("2026-03-01 13:01")
NOTED = "A title that is long enough to know it by"
LARGE = ("file", "entry", "feed_entry", "body", "archive_page", "page_link")
WALK = re.compile(r"FROM file\s+WHERE file\.source = \S+ AND file\.path > |ORDER BY archive_page\.updated_at")
"""What a walk asks: what is known of all files, page by page, and which archive pages the folder is to hold."""


def fill(site: SiteFolder) -> None:
    for number in range(30):
        site.record(f"{number:02}.md", publishedDateTime="2026-02-01T08:00:00Z", topics=["AI"], quality=number)
    site.record("later.md", publishedDateTime="2026-04-01T08:00:00Z")
    site.record("draft.md", published=False)
    site.record("short.md", publishedDateTime="2026-02-01T08:00:00Z", expires="2026-03-01T12:30:00Z")
    site.record("noted.md", title=NOTED)
    site.record("stated.md", id="stated")
    site.write("broken.md", "---\ntitle: [\n---\n")


def statements(site: SiteFolder, run: Callable[[], Any]) -> dict[str, Any]:
    """What `run` asks the store, each with values for it."""
    asked: dict[str, Any] = {}
    site.store.lease.stop_renewing()  # its timer asks too

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement) and not WALK.search(statement):
            asked.setdefault(statement, values[0] if many else values)

    event.listen(site.store.engine, "before_cursor_execute", note)
    run()
    event.remove(site.store.engine, "before_cursor_execute", note)
    return asked


def whole_reads(site: SiteFolder, asked: dict[str, Any]) -> dict[str, list[str]]:
    """The statements that read a large table from end to end, each with the steps of its plan that do."""
    postgres = site.store.engine.dialect.name == "postgresql"
    explain = "EXPLAIN" if postgres else "EXPLAIN QUERY PLAN"
    with site.store.read() as connection:
        if postgres:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # small tables are read whole otherwise
        plans = {
            statement: [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", values)]
            for statement, values in asked.items()
        }
    tables = "|".join(LARGE)
    whole = re.compile(
        rf"Seq Scan on ({tables})\b"
        if postgres
        # an index of a few rows may be read whole; all rows of a source are most of the table
        else rf"SCAN ({tables})$|SCAN ({tables}) USING (COVERING )?INDEX sqlite|SEARCH file USING PRIMARY KEY \(source=\?\)$"
    )
    found = {statement: [step for step in plan if whole.search(step)] for statement, plan in plans.items()}
    return {statement: steps for statement, steps in found.items() if steps}


@pytest.mark.parametrize(
    "change",
    [
        lambda _site: None,
        lambda site: site.record("new.md", topics=["AI"], publishedDateTime="2026-03-01T12:00:00Z"),
        lambda site: site.record("01.md", topics=["Maps"], publishedDateTime="2026-02-01T08:00:00Z"),
        lambda site: site.remove("02.md"),
        lambda site: (site.remove("03.md"), site.record("003.md", publishedDateTime="2026-02-01T08:00:00Z")),
        lambda site: (site.remove("noted.md"), site.record("moved.md", title=NOTED, excerpt="Edited")),
        lambda site: (site.remove("stated.md"), site.record("moved.md", id="stated", excerpt="Edited")),
    ],
    ids=["quiet", "new", "edited", "gone", "moved", "moved and edited", "moved with its id"],
)
def test_every_query_of_a_cycle_uses_an_index(site: SiteFolder, change: Callable[[SiteFolder], Any]) -> None:
    site.configure(CONFIG)
    fill(site)
    site.run(NOON)
    site.run(LATER)
    change(site)
    asked = statements(site, lambda: site.run(LATEST))
    assert len(asked) > 15
    assert whole_reads(site, asked) == {}


def test_a_first_build_reads_archive_pages_without_the_rest_of_their_feed(site: SiteFolder) -> None:
    if site.store.engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL chooses by the sizes of the tables")
    site.configure(CONFIG)
    fill(site)
    asked = statements(site, lambda: site.run(NOON))
    site.remove("02.md")  # it is in a page
    asked |= statements(site, lambda: site.run(NOON, accept_removals=True))
    with site.store.read() as connection:
        plans = {
            statement: str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
            for statement, values in asked.items()
            if "feed_entry.page = " in statement or "feed_entry.page IS NULL" in statement
        }
    assert len(plans) >= 3
    assert {statement: plan for statement, plan in plans.items() if "INDEX feed_entry_window" in plan} == {}


def test_every_query_about_links_to_pages_uses_an_index(site: SiteFolder) -> None:
    site.configure(LINKED)
    for number in range(30):
        text = f'[1]({{{{< ref "{(number + 1) % 30:02}.md" >}}}}) [2]({{{{< ref "none.md" >}}}})'
        site.write(f"{number:02}.md", record_text({"title": f"{number}", "date": "2026-02-01T08:00:00Z"}, text))
    site.run(NOON)
    site.run(LATER)
    site.write("07.md", record_text({"title": "7", "date": "2026-02-01T08:00:00Z", "slug": "seven"}))
    site.remove("08.md")
    asked = statements(site, lambda: site.run(LATEST))
    assert any("UPDATE page_link SET url" in statement for statement in asked)
    assert whole_reads(site, asked) == {}


def test_every_query_of_the_metrics_uses_an_index(site: SiteFolder) -> None:
    fill(site)
    site.run(NOON)

    def count() -> None:
        with site.store.read() as connection:
            counts = count_records(connection)
        assert counts == {"published": 33, "scheduled": 1, "hidden": 1, "rejected": 1, "unfinished": 0, "feeds": 2}

    asked = statements(site, count)
    assert len(asked) == 6
    assert whole_reads(site, asked) == {}


def test_every_query_of_the_status_page_uses_an_index(site: SiteFolder) -> None:
    fill(site)
    site.record("dated.md", date="2026-02-01")
    site.run(NOON)

    def read() -> None:
        facts = read_status(site.load_config(), site.store, NOON, has_lists=False)
        assert (facts["statistics"]["counted"], len(facts["scheduled"]), len(facts["rejected"])) == (34, 1, 1)
        assert len(facts["problems"]) == 1

    asked = statements(site, read)
    assert len(asked) > 15
    assert whole_reads(site, asked) == {}


@pytest.mark.both_databases
def test_entries_are_counted_by_days_in_the_time_zone_of_the_site(site: SiteFolder) -> None:
    hours = {
        "a.md": "2024-03-30 12:30",
        "b.md": "2024-03-30 19:00",
        "c.md": "2024-03-31 18:20",
        "d.md": "2024-04-01 09:00",
    }
    site.configure("")
    for name, hour in hours.items():
        site.record(name)
        site.run(hour)
    for zone, counts in (("UTC", (2, 1, 1)), ("Asia/Kathmandu", (1, 1, 2)), ("Pacific/Kiritimati", (0, 2, 2))):
        config = site.load_config()
        config = replace(config, site=config.site.model_copy(update={"timezone": ZoneInfo(zone)}))
        days = read_status(config, site.store, at("2024-04-01 09:30"))["statistics"]["days"]
        assert tuple(days[day] for day in ("2024-03-30", "2024-03-31", "2024-04-01")) == counts, zone
        assert (len(days), sum(days.values())) == (90, 4)


def test_the_statistics_count_days_topics_delays_and_ages(site: SiteFolder) -> None:
    site.record("first.md", topics=["AI"], publishedDateTime="2026-02-27T08:00:00Z")
    site.record("old.md", topics=["AI"], publishedDateTime="2020-01-01T08:00:00Z")
    site.run(NOON)
    site.record("late.md", topics=["AI", "Maps"], publishedDateTime="2026-03-01T12:30:00Z")
    site.run(LATER)
    facts = read_status(site.load_config(), site.store, LATER)["statistics"]
    assert {day: count for day, count in facts["days"].items() if count} == {"2026-02-27": 1, "2026-03-01": 1}
    assert (len(facts["days"]), facts["sampled"]) == (90, 2)
    assert [(topic["title"], topic["entries"]) for topic in facts["topics"]] == [("AI", 2), ("Maps", 1)]
    assert facts["delays"]["at its date"] == 1
    assert facts["delays"]["up to 1 hour"] == 1
    assert facts["median_delay_s"] == 900
    assert sum(facts["feed_ages"].values()) == 3
    assert [feed["slug"] for feed in facts["fresh_feeds"]] == ["ai", "all", "maps"]


def count_writes(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the writing transactions of cycles from now on, however slow the machine is."""
    monkeypatch.setattr(session, "JOIN_S", 3600)  # otherwise a slow cycle commits more often
    begun: Counter[str] = Counter()

    def count(connection: Connection) -> None:
        is_renewal = threading.current_thread() is not threading.main_thread()  # of the lease, every few seconds
        if connection.get_execution_options().get("begin") == "IMMEDIATE" and not is_renewal:
            begun["writes"] += 1

    event.listen(site.store.engine, "begin", count)
    return begun


@pytest.mark.parametrize(("new", "written"), [(0, 1), (1, 2)])
def test_a_quiet_cycle_writes_once_and_one_with_a_new_record_twice(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, new: int, written: int
) -> None:
    fill(site)
    site.run(NOON)
    site.run(LATER)
    for number in range(new):
        site.record(f"new{number}.md", topics=["AI"], publishedDateTime="2026-03-01T12:00:00Z")
    writes = count_writes(site, monkeypatch)
    assert site.run(LATEST).new == new
    assert writes.total() == written
