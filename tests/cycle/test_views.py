"""The views for people who query the store, and the queries of docs/queries.md, on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import SiteFolder, at
from corpus import CHECKOUT
from sqlalchemy import text

from aggregator.errors import StoreError
from aggregator.model import CycleResult

pytestmark = pytest.mark.both_databases

NOON = at("2026-03-01 12:00")
QUERIES = re.findall(
    r"^```sql\n(?:-- (\w+)\n)?(.*?)^```", (CHECKOUT / "docs" / "queries.md").read_text(), re.MULTILINE | re.DOTALL
)
COLUMNS = {
    "published_entries": "id path source title summary link provider language quality heat published_at updated_at"
    " released_at",
    "feed_entries": "slug entry_id position",
    "published_feeds": "slug title entries newest_at",
    "rejected_records": "path source line problem since",
    "cycles": "started_at seconds scanned new changed removed rejected documents_written error",
}


def rows(site: SiteFolder, query: str) -> list[dict[str, Any]]:
    with site.store.read() as connection:
        return [dict(row) for row in connection.execute(text(query.replace(":", r"\:"))).mappings()]


def publish(site: SiteFolder) -> CycleResult:
    """A first cycle with records of several states."""
    fields = {"provider": "The Paper", "locale": "de", "quality": 70}
    site.record("a.md", title="Ä", publishedDateTime="2026-02-01T08:00:00.9Z", topics=["AI"], **fields)
    site.record("b.md", publishedDateTime="2026-02-02T08:00:00Z", topics=["AI"], webUrl="https://news.example.org/b")
    site.record("draft.md", published=False, topics=["Drafts"])
    site.write("broken.md", "---\ntitle: It's\npublished: yes please\n---\n")
    return site.run(NOON)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_view_has_its_columns(site: SiteFolder, name: str) -> None:
    publish(site)
    (first, *_) = rows(site, f"SELECT * FROM {name}")
    assert [*first] == COLUMNS[name].split()


def test_published_entries_have_what_feeds_show(site: SiteFolder) -> None:
    publish(site)
    first, second = rows(site, "SELECT * FROM published_entries ORDER BY path")
    assert [first["id"], second["id"]] == [site.ids()["Ä"], site.ids()["b.md"]]
    assert (first["title"], first["path"], first["source"]) == ("Ä", "a.md", "")
    assert (first["published_at"], first["released_at"]) == ("2026-02-01T08:00:00Z",) * 2
    assert (first["quality"], first["heat"], first["language"], first["link"]) == (70, None, "de", None)
    assert (second["link"], second["provider"], first["provider"]) == ("https://news.example.org/b", None, "The Paper")
    site.record("draft.md", topics=["AI"], publishedDateTime="2026-02-03T08:00:00Z")
    site.record("a.md", published=False)
    site.run(NOON + timedelta(hours=1))
    assert [row["path"] for row in rows(site, "SELECT path FROM published_entries ORDER BY 1")] == ["b.md", "draft.md"]


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00Z", "1969-12-31T23:59:58Z", "9998-12-31T00:00:00Z"])
def test_a_time_far_away_is_text_like_any_other(site: SiteFolder, moment: str) -> None:
    site.record("a.md", publishedDateTime=moment)
    site.run("9999-01-01 00:00")
    assert [row["published_at"] for row in rows(site, "SELECT * FROM published_entries")] == [moment]


def test_feed_entries_are_the_members_in_the_order_of_the_feed(site: SiteFolder) -> None:
    site.configure("[output]\nlimit = 2\nmin_stay = '0s'")
    for day in (3, 1, 4, 2, 5):
        site.record(f"{day}.md", publishedDateTime=f"2026-02-0{day}T08:00:00Z", topics=["AI"])
    site.run(NOON)
    query = "SELECT title, position FROM feed_entries JOIN published_entries ON id = entry_id WHERE slug = 'ai'"
    found = rows(site, f"{query} ORDER BY position")
    assert [row["title"] for row in found] == ["5.md", "4.md", "3.md", "2.md", "1.md"]
    assert [row["position"] for row in found] == [1, 2, 3, 4, 5]
    assert [row["title"] for row in found[:2]] == site.titles("ai")


def test_published_feeds_are_those_of_the_output_folder(site: SiteFolder) -> None:
    query = "SELECT * FROM published_feeds ORDER BY slug"
    site.configure('[[feed]]\nslug = "best"\nmin_quality = 50')
    publish(site)
    assert [(row["slug"], row["entries"]) for row in rows(site, query)] == [("ai", 2), ("all", 2), ("best", 1)]
    assert rows(site, query)[0] == {"slug": "ai", "title": "AI", "entries": 2, "newest_at": "2026-02-02T08:00:00Z"}
    site.configure("[topics]\nauto = false")
    site.run(NOON + timedelta(hours=1))
    assert [row["slug"] for row in rows(site, query)] == ["all"]
    assert {row["slug"] for row in rows(site, "SELECT slug FROM feed_entries")} == {"all"}


def test_a_rejected_record_has_its_problem_and_since_when(site: SiteFolder) -> None:
    publish(site)
    site.write("broken.md", "---\ntitle: Edited\npublished: yes please!\n---\n")
    site.write("late.md", "---\ntitle: [\n---\n")
    site.run(NOON + timedelta(hours=1))
    first, second = rows(site, "SELECT * FROM rejected_records ORDER BY path")
    assert first | {"problem": ""} == {
        "path": "broken.md", "source": "", "line": 3, "problem": "", "since": "2026-03-01T12:00:00Z",
    }  # fmt: skip
    assert site.problems()[0] == f"broken.md:3:12: {first['problem']}"
    assert second["since"] == "2026-03-01T13:00:00Z"
    site.record("broken.md")
    site.run(NOON + timedelta(hours=2))
    site.write("broken.md", "---\ntitle: [\n---\n")
    site.run(NOON + timedelta(hours=3))
    assert rows(site, "SELECT since FROM rejected_records ORDER BY path")[0]["since"] == "2026-03-01T15:00:00Z"


def test_cycles_have_their_numbers_or_their_error(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    result = publish(site)
    (row,) = rows(site, "SELECT * FROM cycles")
    assert row.pop("seconds") > 0
    assert row == {
        "started_at": "2026-03-01T12:00:00Z", "scanned": 4, "new": 3, "changed": 0, "removed": 0, "rejected": 1,
        "documents_written": result.files_written, "error": None,
    }  # fmt: skip
    monkeypatch.setattr(site.pipeline, "update_store", Mock(side_effect=StoreError("the database refused")))
    with pytest.raises(StoreError):
        site.run(NOON + timedelta(hours=1))
    last = rows(site, "SELECT * FROM cycles ORDER BY started_at")[-1]
    assert (last["error"], last["scanned"], last["documents_written"]) == ("the database refused", None, None)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: " ".join(query[1].split()[:4]))
def test_the_queries_of_the_documentation_answer(site: SiteFolder, query: tuple[str, str]) -> None:
    database, statements = query
    if database and database.lower() != site.store.engine.dialect.name:
        return
    now = datetime.now(UTC)
    site.configure('[records]\npath = "../incoming"\ndefault_published = true')
    for days, provider in ((1, "Quick"), (200, "Slow")):
        stated = now - timedelta(days=days, hours=3)
        site.run(now - timedelta(days=days, hours=4))
        site.record(
            f"{provider}.md", publishedDateTime=f"{stated:%Y-%m-%dT%H:%M:%SZ}", topics=[provider], provider=provider
        )
    site.write("broken.md", "---\ntitle: [\n---\n")
    site.run(now - timedelta(days=200))
    site.run(now)
    for statement in statements.split(";\n"):
        if statement.strip() and "error IS NOT NULL" not in statement:
            assert rows(site, statement), statement
