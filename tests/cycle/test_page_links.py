"""Links to other pages of a site follow these pages."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import SiteFolder, at, record_text
from documents import archive_ids
from sqlalchemy import event, select, update

from aggregator import cli
from aggregator.cli.explain import explain_record
from aggregator.errors import StoppedError
from aggregator.store import page_links
from aggregator.store.schema import entry, feed, page_link

pytestmark = pytest.mark.both_databases

HUGO = """
[output]
limit = 3
min_stay = "0s"
[[records]]
path = "{path}"
preset = "{preset}"
link_template = "https://blog.example.org/{{path}}/"
[[feed]]
slug = "full"
content = "full"
[[feed]]
slug = "short"
"""
TEXT = 'As [said]({{< relref "first.md" >}}), so be it.'
NOON, LATER, LATEST, LAST = (f"2026-03-01 {hour}:00" for hour in (12, 13, 14, 15))
FIRST = "https://blog.example.org/posts/first/"


def configure(site: SiteFolder, preset: str = "hugo", more: str = "") -> None:
    site.configure(HUGO.format(path=site.incoming, preset=preset) + more)


@pytest.fixture
def site(site: SiteFolder) -> SiteFolder:
    """A site of Hugo with a full feed and one of summaries."""
    configure(site)
    return site


def put(site: SiteFolder, path: str, text: str = "", **fields: Any) -> None:
    """A page."""
    site.write(path, record_text({"title": path, "date": "2026-02-01T08:00:00Z"} | fields, text))


def shown(site: SiteFolder, path: str, slug: str = "full") -> str:
    """The content of an entry in a feed."""
    return str(next(item.get("content_html") for item in site.feed(slug)["items"] if item["title"] == path))


def hrefs(site: SiteFolder, path: str) -> list[str]:
    """Where the links of an entry lead."""
    return re.findall(r'<a href="([^"]*)"', shown(site, path))


def updates(site: SiteFolder) -> dict[str, str | None]:
    """When each entry says that it was updated."""
    return {item["title"]: item.get("date_modified") for item in site.feed("full")["items"]}


@pytest.mark.parametrize("order", [("a.md", "z.md"), ("z.md", "a.md")], ids=["target first", "target last"])
def test_a_link_leads_to_its_page_in_the_cycle_that_finds_both(site: SiteFolder, order: tuple[str, str]) -> None:
    target, source = order
    put(site, f"posts/{target}")
    put(site, f"posts/{source}", f'[It]({{{{< relref "{target}#why" >}}}})')
    site.run(NOON)
    assert hrefs(site, f"posts/{source}") == [f"https://blog.example.org/posts/{target[0]}/#why"]
    before = site.snapshot()
    site.run(LATER)
    assert site.snapshot() == before


def test_a_page_that_comes_later_is_linked_when_it_comes(site: SiteFolder) -> None:
    put(site, "posts/a.md", TEXT)
    notices = site.run(NOON).notices
    assert shown(site, "posts/a.md") == "<p>As said, so be it.</p>"
    assert [notice for notice in notices if notice.partition(": ")[0].endswith("posts/a.md")] == list(notices)
    assert "a link leads to no published page: 'first.md'" in notices[0]
    put(site, "posts/first.md")
    before, modified = site.documents(), updates(site)["posts/a.md"]
    assert site.run(LATER).notices == ()
    assert shown(site, "posts/a.md") == f'<p>As <a href="{FIRST}">said</a>, so be it.</p>'
    assert updates(site)["posts/a.md"] == modified
    assert site.documents()["full/rss.xml"] != before["full/rss.xml"]


def test_a_link_follows_the_url_of_its_page_and_is_no_update_of_its_entry(site: SiteFolder) -> None:
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT)
    put(site, "posts/b.md", "No link.")
    site.run(NOON)
    assert hrefs(site, "posts/a.md") == [FIRST]
    before = updates(site)
    put(site, "posts/first.md", slug="1st")
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/1st/"]
    assert updates(site) == before


def test_every_feed_follows_the_url_of_a_page_if_all_are_in_full(site: SiteFolder) -> None:
    site.configure(HUGO.format(path=site.incoming, preset="hugo").replace("[output]", '[output]\ncontent = "full"'))
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT, tags=["AI"])
    for number in range(3):
        put(site, f"posts/later{number}.md", date="2026-02-02T08:00:00Z", tags=["AI"])
    site.run(NOON)
    put(site, "posts/first.md", slug="1st")
    site.run(LATER)
    for slug in ("all", "ai", "short", "full"):
        page = (site.output / slug / "archive" / "0001.xml").read_text()
        assert "https://blog.example.org/posts/1st/" in page
        assert FIRST not in page


def feed_versions(site: SiteFolder) -> dict[str, int]:
    return {row.slug: row.version for row in site.rows(select(feed.c.slug, feed.c.version))}


def test_a_summary_feed_has_no_new_version_for_a_link(site: SiteFolder) -> None:
    configure(
        site,
        more='[[feed]]\nslug = "ai"\ntopics.any = ["AI"]\n[[feed]]\nslug = "ai-full"\ncontent = "full"\n'
        'topics.any = ["AI"]\n',
    )
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT, tags=["AI"])
    site.run(NOON)
    before, written = feed_versions(site), site.documents()
    put(site, "posts/first.md", slug="1st")
    site.run(LATER)
    with site.store.write() as connection:
        connection.execute(update(feed).values(dirty=True))
    site.run(LATEST)
    after = feed_versions(site)
    assert (after["ai"], after["ai-full"]) == (before["ai"], before["ai-full"] + 1)
    assert site.documents()["ai/rss.xml"] == written["ai/rss.xml"]
    assert site.documents()["ai-full/rss.xml"] != written["ai-full/rss.xml"]


@pytest.mark.parametrize(
    "fields",
    [
        {"draft": True},
        {"date": "2026-03-01T12:30:00Z"},
        {"expiryDate": "2026-02-02T00:00:00Z"},
    ],
    ids=["draft", "scheduled", "expired"],
)
def test_the_url_of_a_page_that_is_not_published_is_not_shown(site: SiteFolder, fields: dict[str, Any]) -> None:
    put(site, "posts/first.md", url="/secret-place/", **fields)
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    assert hrefs(site, "posts/a.md") == []
    assert not any(b"secret-place" in document for document in site.documents().values())
    if "date" not in fields:
        put(site, "posts/first.md", url="/secret-place/")
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/secret-place/"]


def test_a_page_that_is_due_is_linked_in_a_cycle_without_a_scan(site: SiteFolder) -> None:
    put(site, "posts/first.md", date="2026-03-01T12:30:00Z")
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    site.run(LATER, paths={})
    assert hrefs(site, "posts/a.md") == [FIRST]


def test_a_page_that_expires_or_goes_leaves_the_text_of_its_links(site: SiteFolder) -> None:
    put(site, "posts/first.md", expiryDate="2026-03-01T12:30:00Z")
    put(site, "posts/second.md")
    put(site, "posts/a.md", TEXT + ' [2]({{< ref "second" >}})')
    site.run(NOON)
    assert hrefs(site, "posts/a.md") == [FIRST, "https://blog.example.org/posts/second/"]
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/second/"]
    site.remove("posts/second.md")
    site.run(LATEST)
    assert hrefs(site, "posts/a.md") == []


def test_a_link_is_lost_when_its_page_is_renamed_and_returns_with_the_reference(site: SiteFolder) -> None:
    put(site, "posts/first.md", "The very first of all the posts on this site.", title="first")
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    uid = site.ids("full")["first"]
    (site.incoming / "posts/first.md").rename(site.incoming / "posts/moved.md")
    site.run(LATER)
    assert site.ids("full")["first"] == uid
    assert hrefs(site, "posts/a.md") == []
    put(site, "posts/a.md", TEXT.replace("first.md", "moved.md"))
    site.run(LATEST)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/moved/"]


def test_a_page_that_is_renamed_to_the_name_in_a_reference_is_linked(site: SiteFolder) -> None:
    put(site, "posts/moved.md", "The very first of all the posts on this site.", title="first", url="/1/")
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    assert hrefs(site, "posts/a.md") == []
    (site.incoming / "posts/moved.md").rename(site.incoming / "posts/first.md")
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/1/"]


def test_the_links_of_a_renamed_page_start_at_its_new_place(site: SiteFolder) -> None:
    for folder in ("posts", "notes"):
        put(site, f"{folder}/first.md")
    put(site, "posts/a.md", TEXT + " It has a text of its own.", title="a", url="/a/")
    site.run(NOON)
    assert hrefs(site, "a") == [FIRST]
    (site.incoming / "posts/a.md").rename(site.incoming / "notes/a.md")
    site.run(LATER)
    assert hrefs(site, "a") == ["https://blog.example.org/notes/first/"]


def test_an_edited_body_has_its_new_links_only(site: SiteFolder) -> None:
    put(site, "posts/first.md")
    put(site, "posts/second.md")
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    put(site, "posts/a.md", TEXT.replace("first", "second"))
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/second/"]
    put(site, "posts/a.md", "Nothing.")
    site.run(LATEST)
    assert links(site) == []
    assert set(site.rows(select(entry.c.links_hash))) == {(None,)}
    before = site.snapshot()
    put(site, "posts/first.md", slug="1st")
    site.run(LAST)
    assert site.snapshot()["full/rss.xml"] != before["full/rss.xml"]  # which shows the target itself
    assert hrefs(site, "posts/a.md") == []


def links(site: SiteFolder) -> list[Any]:
    return site.rows(select(page_link).order_by(page_link.c.entry_id, page_link.c.target))


def test_a_sealed_page_follows_the_url_of_a_page(site: SiteFolder) -> None:
    put(site, "posts/a.md", TEXT, date="2026-01-01T08:00:00Z")
    for number in range(8):
        put(site, f"posts/{number}.md", date=f"2026-01-0{number + 2}T08:00:00Z")
    put(site, "posts/first.md")
    site.run(NOON)
    page = "full/archive/0001.xml"
    assert FIRST.encode() in site.documents()[page]
    put(site, "posts/first.md", slug="1st")
    site.run(LATER)
    assert b"https://blog.example.org/posts/1st/" in site.documents()[page]
    assert len(archive_ids(site.documents(), "full/atom.xml")) == 10

    before = site.documents()
    put(site, "posts/first.md", draft=True)
    site.run(LATEST)
    assert b"As said, so be it." in site.documents()[page]
    changed = {path for path, text in site.documents().items() if text != before[path] and "archive" in path}
    assert changed == {page}


def test_a_cycle_without_changes_of_pages_asks_for_no_page(site: SiteFolder) -> None:
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT)
    put(site, "posts/b.md", "No link.")
    site.run(NOON)
    site.run(LATER)
    put(site, "posts/b.md", "Still no link.")
    asked: list[str] = []
    event.listen(site.store.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: asked.append(statement))
    site.run(LATEST)
    assert [statement for statement in asked if re.search(r"lookup_key (IN|>=)", statement)] == []
    assert not any(statement.startswith(("UPDATE page_link SET url", "INSERT INTO page_link")) for statement in asked)


def test_a_stopped_cycle_resolves_its_links_later(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(site)
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT)
    site.run(NOON)
    put(site, "posts/first.md", slug="1st")
    site.pipeline  # noqa: B018 - it is made before the stop
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.cycle.update.resolve_links", Mock(side_effect=StoppedError))
        with pytest.raises(StoppedError):
            site.run(LATER)
    site.run(LATEST)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/1st/"]


def test_many_links_are_resolved_in_steps(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_links, "RESOLVED_AT_ONCE", 2)
    monkeypatch.setattr(page_links, "_STALE_ENTRIES", page_links._STALE_ENTRIES.limit(2))
    monkeypatch.setattr(page_links, "KEYS_AT_ONCE", 2)
    for number in range(7):
        others = "".join(f'[{other}]({{{{< ref "{other}.md" >}}}}) ' for other in range(7))
        put(site, f"posts/{number}.md", others)
    site.run(NOON)
    assert [link.url for link in links(site)] == [f"https://blog.example.org/posts/{n}/" for n in range(7)] * 7
    assert len(hrefs(site, "posts/6.md")) == 7


def test_a_body_with_more_links_than_are_kept_shows_the_text_of_the_others(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_links, "MAX_LINKS", 1)
    put(site, "posts/first.md")
    put(site, "posts/second.md")
    put(site, "posts/a.md", TEXT + ' [2]({{< ref "second.md" >}})')
    site.run(NOON)
    assert shown(site, "posts/a.md") == f'<p>As <a href="{FIRST}">said</a>, so be it. 2</p>'


def test_bodies_that_are_switched_on_and_off_and_on_have_current_links(site: SiteFolder) -> None:
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT)
    summaries = HUGO.replace('content = "full"', "").format(path=site.incoming, preset="hugo")
    site.run_with(summaries, NOON)
    assert links(site) == []
    configure(site)
    site.run(LATER)
    assert hrefs(site, "posts/a.md") == [FIRST]
    site.configure(summaries)
    put(site, "posts/first.md", slug="1st")
    site.run(LATEST)
    configure(site)
    site.run(LAST)
    assert hrefs(site, "posts/a.md") == ["https://blog.example.org/posts/1st/"]


def test_explain_names_links_that_lead_nowhere(site: SiteFolder) -> None:
    put(site, "posts/first.md")
    put(site, "posts/a.md", TEXT + ' [2]({{< ref "no where.md" >}})')
    site.run(NOON)
    answer = explain_record(site.load_config(), site.store, "posts/a.md", at(LATER))
    assert answer["unresolved_links"] == ["no where.md"]


def test_check_finds_links_that_lead_nowhere_without_a_store(
    site: SiteFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(site, "posts/first.md")
    put(site, "posts/draft.md", draft=True)
    put(site, "posts/a.md", TEXT)
    put(site, "posts/b.md", '[1]({{< ref "/notes/first.md" >}}) [2]({{< ref "draft" >}}) [3]({{< ref "a" >}})')
    site.close()
    monkeypatch.setattr("sys.argv", ["aggregator", "check", "--config", str(site.config_file)])
    cli.main()
    printed = capsys.readouterr().out
    assert "posts/b.md: warning: 2 links lead to no published page, such as: '/notes/first.md' (" in printed
    assert "posts/a.md" not in printed


@pytest.mark.parametrize(
    ("preset", "path", "text", "target"),
    [
        ("jekyll", "_posts/2026-01-06-b.md", "{% post_url 2026-01-05-first %}", "_posts/2026-01-05-first.md"),
        ("jekyll", "_posts/2026-01-06-b.md", "{% post_url tea/2026-01-05-first %}", "tea/_posts/2026-01-05-first.md"),
        ("jekyll", "_posts/2026-01-06-b.md", "{% link _posts/2026-01-05-first.md %}", "_posts/2026-01-05-first.md"),
        ("hugo", "notes/a.md", "@/posts/first.md", "posts/first.md"),
        ("hugo", "notes/a.md", '{{< ref "/posts/first.md" >}}', "posts/first/index.md"),
    ],
)
def test_each_system_refers_to_pages_in_its_way(
    site: SiteFolder, preset: str, path: str, text: str, target: str
) -> None:
    configure(site, preset)
    put(site, target, title="target")
    put(site, path, f"[It]({text})", title="source")
    site.run(NOON)
    url = next(item["url"] for item in site.feed("full")["items"] if item["title"] == "target")
    assert hrefs(site, "source") == [url]
