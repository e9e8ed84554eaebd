"""Configured feeds: their entries, the topics that they replace, and the redirects of their old URLs."""

from __future__ import annotations

import posixpath
import re
import shutil
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import SITE_ID, SiteFolder, at, cycle_at, stop_after
from documents import ATOM, atom_id, feed_updated
from loopback import fine, redirects, running
from lxml import etree
from sqlalchemy import select

from aggregator.cycle import update
from aggregator.errors import StoppedError, StoreError
from aggregator.feeds import registry
from aggregator.feeds.feed_list import TopicTerms
from aggregator.feeds.registry import sync_configured_feeds
from aggregator.feeds.versions import Refreshed
from aggregator.ids import IdMint
from aggregator.service.serving import make_app
from aggregator.slugs import topic_slug
from aggregator.store import session
from aggregator.store.schema import archive_page, entry, feed, feed_entry, old_slug
from aggregator.store.session import Writer, to_us

NOON = "2024-05-01 12:00"
LATER = "2024-05-01 13:00"
LATER_STILL = "2024-05-01 14:00"
DATE = "2024-05-01T08:00:00Z"


def table(slug: str, *lines: str) -> str:
    """A [[feed]] of the config."""
    return "\n".join([f'[[feed]]\nslug = "{slug}"', *lines, ""])


def fill(site: SiteFolder) -> None:
    """Publishes six records, the newest last."""
    verge, blog = {"name": "The Verge", "domain": "www.theverge.com"}, {"name": "A blog", "domain": "blog.example"}
    rows: list[dict[str, Any]] = [
        {"topics": ["AI"], "provider": verge, "quality": 90, "type": "article"},
        {"topics": ["AI", "Maps"], "provider": blog, "quality": 50, "type": "video"},
        {"topics": ["Maps"], "provider": verge, "quality": 70, "type": "article"},
        {"topics": ["Cars"], "provider": verge, "type": "article"},
        {"topics": ["AI", "Cars"], "quality": 80, "type": "video", "locale": "de-AT"},
        {"topics": []},
    ]
    for number, fields in enumerate(rows):
        site.record(f"{number}.md", publishedDateTime=f"2024-05-01T0{number}:00:00Z", **fields)
    site.run(NOON)


# membership


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("rule", "titles"),
    [
        ("", ["5.md", "4.md", "3.md", "2.md", "1.md", "0.md"]),
        ('topics.any = ["ai", "MAPS"]', ["4.md", "2.md", "1.md", "0.md"]),
        ('topics = { any = ["AI"], none = ["Cars"] }', ["1.md", "0.md"]),
        ('provider.any = ["theverge.com"]', ["3.md", "2.md", "0.md"]),
        ('provider.none = ["the verge"]\ntype.any = ["Video"]', ["4.md", "1.md"]),
        ("min_quality = 70", ["4.md", "2.md", "0.md"]),
        ('language = { none = ["de"] }', ["5.md", "3.md", "2.md", "1.md", "0.md"]),
    ],
)
def test_a_feed_has_the_entries_that_match_its_rule(site: SiteFolder, rule: str, titles: list[str]) -> None:
    site.configure(table("picks", 'title = "Picks"', rule))
    fill(site)
    assert site.titles("picks") == titles
    assert site.feed("picks")["title"] == "Picks – Feeds"


def test_a_new_feed_and_a_changed_rule_keep_the_release_times_of_entries(site: SiteFolder) -> None:
    fill(site)
    site.run_with(table("picks", 'topics.any = ["AI"]'), LATER)
    assert site.titles("picks") == ["4.md", "1.md", "0.md"]
    site.run_with(table("picks", 'topics.any = ["Maps", "AI"]'), LATER_STILL)
    assert site.titles("picks") == ["4.md", "2.md", "1.md", "0.md"]
    site.run_with(table("picks", 'topics.any = ["Maps"]'), "2024-05-01 15:00")
    assert site.titles("picks") == ["2.md", "1.md"]
    assert site.left_by("picks") == {"0.md": "topics.any", "4.md": "topics.any"}


def test_a_changed_score_lets_an_entry_join_on_top_and_leave(site: SiteFolder) -> None:
    site.configure(table("good", "min_quality = 60"))
    fill(site)
    before = site.documents()
    site.record("1.md", topics=["AI", "Maps"], type="video", quality=60, publishedDateTime="2024-05-01T01:00:00Z",
                provider={"name": "A blog", "domain": "blog.example"})  # fmt: skip
    site.record("2.md", topics=["Maps"], type="article", quality=59, publishedDateTime="2024-05-01T02:00:00Z",
                provider={"name": "The Verge", "domain": "www.theverge.com"})  # fmt: skip
    site.run(LATER)
    assert site.titles("good") == ["1.md", "4.md", "0.md"]
    assert site.left_by("good") == {"2.md": "min_quality"}
    changed = {path for path, body in site.documents().items() if before.get(path) != body}
    assert {path.partition("/")[0] for path in changed} <= {"good", "index.html"}


def test_a_rename_with_a_changed_score_lets_the_entry_join(site: SiteFolder) -> None:
    site.configure(table("good", "min_quality = 60"))
    site.record("a.md", title="A", quality=10, publishedDateTime=DATE)
    site.run(NOON)
    site.remove("a.md")
    site.record("b.md", title="A", quality=70, publishedDateTime=DATE)
    site.run(LATER)
    assert site.titles("good") == ["A"]
    assert site.ids("good") == site.ids("all")


def test_an_entry_that_is_released_again_without_a_feed_has_no_tombstone_there(site: SiteFolder) -> None:
    site.configure(table("good", "min_quality = 60"))
    site.record("a.md", quality=70, publishedDateTime=DATE)
    site.run(NOON)
    site.record("a.md", quality=70, publishedDateTime=DATE, published=False)
    site.run(LATER)
    assert site.left_by("good") == {"a.md": "withdrawn"}
    site.record("a.md", quality=10, publishedDateTime=DATE)
    site.run(LATER_STILL)
    assert site.left_by("good") == {"a.md": "min_quality"}
    assert site.titles("good") == []


def test_a_cycle_in_which_nothing_changed_writes_nothing(site: SiteFolder) -> None:
    site.configure(table("picks", 'topics.any = ["AI"]') + table("maps", "min_quality = 1"))
    fill(site)
    versions = site.rows(select(feed.c.slug, feed.c.version, feed.c.rule, feed.c.updated_at))
    with site.untouched():
        site.run_with(table("picks", 'topics.any = ["ai"]') + table("maps", "min_quality = 1.0"), LATER)
    assert site.rows(select(feed.c.slug, feed.c.version, feed.c.rule, feed.c.updated_at)) == versions


def test_a_new_title_and_a_new_rule_update_the_feed(site: SiteFolder) -> None:
    site.configure(table("picks", 'title = "One"'))
    fill(site)
    site.run_with(table("picks", 'title = "Two"'), LATER)
    assert site.feed("picks")["title"] == "Two – Feeds"
    times = {slug: feed_updated(site, slug) for slug in ("all", "picks")}
    assert times["picks"].startswith("2024-05-01T13:00:00")
    assert times["all"].startswith("2024-05-01T12:00:00") or times["all"] < times["picks"]
    site.run_with(table("picks", 'title = "Two"', "min_quality = 1"), LATER_STILL)
    assert feed_updated(site, "picks").startswith("2024-05-01T14:00")


@pytest.mark.both_databases
@pytest.mark.parametrize("archive", ["true", "false"])
def test_a_new_rule_that_changes_nothing_for_readers_changes_no_date(site: SiteFolder, archive: str) -> None:
    output = f'[output]\nlimit = 2\nmin_stay = "0s"\narchive = {archive}\n'
    site.configure(output + table("picks", "min_quality = 60") + table("none", "min_quality = 99"))
    fill(site)
    columns = (feed.c.slug, feed.c.version, feed.c.updated_at)
    versions = set(site.rows(select(*columns)))
    with site.untouched():
        site.run_with(output + table("picks", "min_quality = 55") + table("none", "min_quality = 98"), LATER)
    assert set(site.rows(select(*columns))) == versions
    documents = site.documents()
    shutil.rmtree(site.output)
    site.run(LATER_STILL)
    assert site.documents() == documents


def test_a_new_rule_updates_the_feed_also_after_an_interruption(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(table("picks", "min_quality = 60"))
    fill(site)
    with monkeypatch.context() as patch:
        patch.setattr(update, "refresh_feeds", Mock(side_effect=StoppedError("enough")))
        with pytest.raises(StoppedError):
            site.run_with(table("picks", "min_quality = 75"), LATER)
    site.run_with(table("picks", "min_quality = 75"), LATER_STILL)
    assert site.titles("picks") == ["4.md", "0.md"]
    assert feed_updated(site, "picks").startswith("2024-05-01T13:00")
    site.record("1.md", publishedDateTime="2024-05-01T01:00:00Z", topics=["AI"], quality=76)
    site.run("2024-05-01 15:00")
    assert feed_updated(site, "picks").startswith("2024-05-01T15:00")


# topics


def test_a_feed_with_the_slug_of_a_topic_replaces_its_feed_until_it_is_removed(site: SiteFolder) -> None:
    fill(site)
    before = site.feed("ai")
    row = site.rows(select(feed.c.id, feed.c.slug))
    site.run_with(table("ai", 'title = "Good AI"', "min_quality = 80", 'topics.any = ["AI"]'), LATER)
    assert (site.titles("ai"), site.feed("ai")["title"]) == (["4.md", "0.md"], "Good AI – Feeds")
    assert sorted(site.rows(select(feed.c.id, feed.c.slug))) == sorted(row)
    site.record("6.md", topics=["AI"], publishedDateTime=DATE)
    site.record("7.md", topics=["Cars"], quality=99, publishedDateTime=DATE)
    site.record("8.md", topics=["AI"], quality=99, publishedDateTime=DATE)
    site.run(LATER_STILL)
    assert site.titles("ai") == ["8.md", "4.md", "0.md"]
    site.run_with("", "2024-05-01 15:00")
    assert site.feed("ai")["title"] == before["title"] == "AI – Feeds"
    assert sorted(site.titles("ai")) == ["0.md", "1.md", "4.md", "6.md", "8.md"]
    assert sorted(site.rows(select(feed.c.id, feed.c.slug))) == sorted(row)


def test_a_topic_never_gets_the_slug_of_a_configured_feed_and_uses_it_as_its_term(site: SiteFolder) -> None:
    site.configure(table("ai", 'title = "Videos"', 'type.any = ["video"]'))
    fill(site)
    assert site.titles("ai") == ["4.md", "1.md"]
    assert {path.parent.name for path in site.output.glob("*/feed.json")} == {"all", "ai", "maps", "cars"}
    terms = {
        category.get("label"): category.get("term")
        for category in etree.parse(site.output / "all/atom.xml").iter(f"{ATOM}category")
    }
    assert terms["AI"] == "ai"


def test_the_topic_of_a_removed_feed_gets_its_slug(site: SiteFolder) -> None:
    site.configure(table("ai", 'type.any = ["video"]'))
    fill(site)
    site.run_with("", LATER)
    assert sorted(site.titles("ai")) == ["0.md", "1.md", "4.md"]


def test_without_feeds_of_topics_configured_feeds_are_published(site: SiteFolder) -> None:
    site.configure("[topics]\nauto = false\n" + table("ai", 'topics.any = ["AI"]'))
    fill(site)
    assert {path.parent.name for path in site.output.glob("*/feed.json")} == {"all", "ai"}


# removed feeds


def test_a_removed_feed_returns_with_the_entries_that_match_by_then(site: SiteFolder) -> None:
    rule = table("picks", 'topics.any = ["AI"]')
    site.configure(rule)
    fill(site)
    site.run_with("", LATER)
    assert not (site.output / "picks").exists()
    with running(make_app(site.load_config(), fine, fine)) as client:
        assert client.get("/picks/rss.xml").status_code == 410
        assert client.get("/picks/").status_code == 410
    site.record("0.md", topics=["Cars"], publishedDateTime=DATE)
    site.record("4.md", topics=["AI"], publishedDateTime=DATE, published=False)
    site.record("6.md", topics=["AI"], publishedDateTime=DATE)
    site.run(LATER_STILL)
    site.run_with(rule, "2024-05-01 15:00")
    assert sorted(site.titles("picks")) == ["1.md", "6.md"]
    assert site.left_by("picks") == {"0.md": "topics.any", "4.md": "withdrawn"}


# old URLs


@pytest.mark.both_databases
def test_a_feed_that_moves_keeps_its_id_and_its_entries(site: SiteFolder) -> None:
    site.configure(table("old", 'topics.any = ["AI"]'))
    fill(site)
    row = site.rows(select(feed.c.id, feed.c.topic))
    known = atom_id(site, "old")
    ids = site.ids("old")
    site.run_with(table("new", 'topics.any = ["AI"]', 'moved_from = ["old"]'), LATER)
    assert atom_id(site, "new") == known == IdMint(SITE_ID).feed_id("old")
    assert site.ids("new") == ids
    assert sorted(site.rows(select(feed.c.id, feed.c.topic))) == sorted(row)
    site.run_with(table("old", 'topics.any = ["AI"]'), LATER_STILL)
    assert atom_id(site, "old") == known
    assert not (site.output / "new").exists()
    assert len(site.rows(select(feed.c.id))) == len(row)


def test_a_feed_can_move_to_the_slug_of_a_removed_feed_and_keeps_its_id(site: SiteFolder) -> None:
    old = table("old", 'topics.any = ["AI"]')
    site.configure(table("new", "min_quality = 90") + old)
    fill(site)
    site.run_with(old, LATER)
    ids, known = site.ids("old"), atom_id(site, "old")
    site.run_with(table("new", 'topics.any = ["AI"]', 'moved_from = ["old"]'), LATER_STILL)
    assert atom_id(site, "new") == known
    assert site.ids("new") == ids


def test_documents_at_the_old_slug_have_the_bytes_of_the_new_documents(site: SiteFolder) -> None:
    site.configure(table("old", 'topics.any = ["AI"]'))
    fill(site)
    site.run_with(table("new", 'topics.any = ["AI"]', 'moved_from = ["old", "tags/ai/index.xml"]'), LATER)
    site.record("6.md", topics=["AI"], publishedDateTime=DATE)
    site.run(LATER_STILL)
    files = site.documents()
    assert files["old/rss.xml"] == files["new/rss.xml"] == files["tags/ai/index.xml"]
    assert files["old/atom.xml"] == files["new/atom.xml"]
    assert files["old/index.html"] == files["new/index.html"]
    self_link = etree.fromstring(files["old/atom.xml"]).find(f"{ATOM}link[@rel='self']")
    assert self_link.get("href") == "https://feeds.example.org/new/atom.xml"
    assert "6.md" in site.titles("old")
    site.run_with(table("new", 'topics.any = ["AI"]'), "2024-05-01 15:00")
    assert not (site.output / "old").exists()
    assert not (site.output / "tags").exists()


@pytest.mark.parametrize("old", ["tags/old/index.html", "old.html", "a/b/c/old.html", "old"])
def test_a_page_at_an_old_path_has_its_styles_and_leads_to_the_same_pages(site: SiteFolder, old: str) -> None:
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"\n' + table("new", f'moved_from = ["{old}"]'))
    fill(site)
    files = site.documents()
    attribute = re.compile(r' (?:href|src)="((?:[.][.]?/|[a-z])[^"#?:]*)["?#]')
    path = old if old.endswith(".html") else f"{old}/index.html"
    links = attribute.findall(files[path].decode())
    assert any(link.endswith("assets/style.css") for link in links)
    assert any(link.endswith("new/archive/") for link in links)
    for link in links:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        assert target in files or target == "." or f"{target}/index.html" in files, link


def test_archive_pages_are_written_at_the_old_slug_too(site: SiteFolder) -> None:
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"\n' + table("new", 'moved_from = ["old"]'))
    fill(site)
    files = site.documents()
    pages = sorted(path for path in files if path.startswith("new/archive/"))
    assert pages
    assert all(files[path] == files[path.replace("new/", "old/", 1)] for path in pages)


def test_old_urls_redirect_over_http(site: SiteFolder) -> None:
    site.configure(table("new", 'topics.any = ["AI"]', 'moved_from = ["old", "tags/ai/index.xml", "tags/ai/"]'))
    fill(site)
    moves = {
        "/old": "/new/",
        "/old/": "/new/",
        "/old/rss.xml": "/new/rss.xml",
        "/old/archive/0001.xml": "/new/archive/0001.xml",
        "/tags/ai/index.xml": "/new/rss.xml",
        "/tags/ai/": "/new/",
        "/tags/ai": "/new/",
    }
    with running(make_app(site.load_config(), fine, fine)) as client:
        assert redirects(client, moves) == moves


@pytest.mark.parametrize("pages", [True, False])
def test_old_urls_that_leave_moved_from_answer_410_and_work_when_they_return(site: SiteFolder, pages: bool) -> None:
    output, old = (
        f"[output]\npages = {str(pages).lower()}\n",
        ["old", "t/feed", "tags/ai/index.xml", "tags/ai/", "page"],
    )
    moved = output + table("new", f"moved_from = {old}")
    site.configure(moved)
    fill(site)
    urls = [
        "/old/rss.xml",
        "/old/",
        "/old",
        "/t/feed",
        "/tags/ai/index.xml",
        "/tags/ai/",
        "/tags/ai",
        "/page/",
        "/page",
    ]
    for config, status, when in ((output + table("new"), 410, LATER), (moved, 301, LATER_STILL)):
        site.run_with(config, when)
        with running(make_app(site.load_config(), fine, fine)) as client:
            assert {url: client.get(url, follow_redirects=False).status_code for url in urls} == dict.fromkeys(
                urls, status
            )
    assert not [line for line in site.pipeline.notices if "410" in line]


def test_a_feed_that_moves_from_the_slug_of_a_topic_continues_its_feed(site: SiteFolder) -> None:
    fill(site)
    known = atom_id(site, "ai")
    site.run_with(table("best", "min_quality = 80", 'moved_from = ["ai"]'), LATER)
    files = site.documents()
    assert files["ai/atom.xml"] == files["best/atom.xml"]
    assert atom_id(site, "best") == known
    site.run_with("", LATER_STILL)
    assert site.feed("ai")["title"] == "AI – Feeds"
    assert sorted(site.titles("ai")) == ["0.md", "1.md", "4.md"]
    assert not (site.output / "best").exists()


@pytest.mark.both_databases
def test_a_topic_has_a_feed_again_when_the_feed_that_replaced_it_moves(site: SiteFolder) -> None:
    fill(site)
    known, own = atom_id(site, "ai"), topic_slug("ai", {"ai"})
    site.run_with(table("ai", "min_quality = 80"), LATER)
    site.run_with(table("best", "min_quality = 80", 'moved_from = ["ai"]'), LATER_STILL)
    assert (atom_id(site, "best"), site.titles("ai")) == (known, site.titles("best"))
    assert (sorted(site.titles(own)), site.feed(own)["title"]) == (["0.md", "1.md", "4.md"], "AI – Feeds")
    assert atom_id(site, own) != known
    with site.untouched():
        site.run("2024-05-01 15:00")
    site.run_with("", "2024-05-01 16:00")
    assert site.titles("ai") == site.titles(own)  # the old URL leads to the topic again
    assert not (site.output / "best").exists()


def test_a_topic_has_a_feed_again_when_it_is_pinned_beside_the_feed_that_replaced_it(site: SiteFolder) -> None:
    fill(site)
    known = atom_id(site, "ai")
    site.run_with(table("ai", "min_quality = 80"), LATER)
    site.run_with('[topics.slugs]\nAI = "machines"\n' + table("ai", "min_quality = 80"), LATER_STILL)
    assert (atom_id(site, "ai"), site.titles("ai")) == (known, ["4.md", "0.md"])
    assert (sorted(site.titles("machines")), site.feed("machines")["title"]) == (["0.md", "1.md", "4.md"], "AI – Feeds")
    site.run_with("", "2024-05-01 15:00")
    assert site.titles("ai") == site.titles("machines")


def test_a_topic_has_a_feed_again_in_a_store_of_an_older_version(site: SiteFolder) -> None:
    fill(site)
    moved, own = table("best", "min_quality = 80", 'moved_from = ["ai"]'), topic_slug("ai", {"ai"})
    site.run_with(moved, LATER)
    with site.store.write() as connection:  # the feed that moved kept the row of the topic
        (new,) = connection.scalars(select(feed.c.id).where(feed.c.topic == "ai"))
        for gone in (feed_entry.c.feed_id == new, old_slug.c.feed_id == new, feed.c.id == new):
            connection.execute(gone.left.table.delete().where(gone))
        connection.execute(feed.update().where(feed.c.slug == "best").values(topic="ai", topic_name="AI"))
    known = atom_id(site, "best")
    site.run_with(moved, LATER_STILL)
    assert sorted(site.titles(own)) == ["0.md", "1.md", "4.md"]
    assert atom_id(site, "best") == known != atom_id(site, own)
    site.run_with("", "2024-05-01 15:00")
    assert site.titles("ai") == site.titles(own)


@pytest.mark.both_databases
def test_a_stop_does_not_keep_entries_out_of_the_new_feed_of_a_topic(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH", 2)
    fill(site)
    site.run_with(table("ai", "min_quality = 80") + table("x", 'topics.any = ["AI"]'), LATER)
    updated = feed_updated(site, "x")
    moved = table("best", "min_quality = 80", 'moved_from = ["ai"]') + table("x", 'topics.any = ["AI"]')
    site.configure(moved)
    with pytest.raises(StoppedError):
        sync_configured_feeds(*cycle_at(site, at(LATER_STILL)), site.pipeline.policy.specs.values(), stop_after(1))
    site.run_with(moved, LATER_STILL)
    assert sorted(site.titles(topic_slug("ai", {"ai"}))) == ["0.md", "1.md", "4.md"]
    assert feed_updated(site, "x") == updated


@pytest.mark.parametrize("moves_later", [False, True])
def test_no_topic_has_an_old_slug_that_redirects_to_a_feed(site: SiteFolder, moves_later: bool) -> None:
    moved = table("best", "min_quality = 80", 'moved_from = ["ai"]')
    site.configure(table("best", "min_quality = 80") if moves_later else moved)
    fill(site)
    site.run_with(moved, LATER)
    files = site.documents()
    assert files["ai/rss.xml"] == files["best/rss.xml"]
    assert sorted(site.titles(topic_slug("ai", {"ai"}))) == ["0.md", "1.md", "4.md"]
    with site.untouched():
        site.run(LATER_STILL)


def test_no_topic_gets_the_slug_that_a_feed_took_from_another_topic(site: SiteFolder) -> None:
    fill(site)
    site.run_with(table("best", "min_quality = 80", 'moved_from = ["ai"]'), LATER)
    site.configure(table("best", "min_quality = 80"))
    site.record("6.md", topics=["AI!"], publishedDateTime=DATE)
    site.run(LATER_STILL)
    own = topic_slug("ai", {"ai"})
    for _ in range(2):
        assert (site.titles("ai"), sorted(site.titles(own))) == (site.titles(own), ["0.md", "1.md", "4.md"])
        assert site.titles(topic_slug("ai!", {"ai"})) == ["6.md"]
        site.run_with("", "2024-05-01 15:00")


# evaluation


@pytest.mark.both_databases
def test_a_rule_is_evaluated_in_batches_and_again_after_an_interruption(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH", 2)
    fill(site)
    spec = 'topics.any = ["AI"]'
    site.run_with(table("picks", spec), LATER)
    before = site.documents()
    site.configure(table("picks", "min_quality = 70"))
    specs = site.load_config().feeds
    with pytest.raises(StoppedError):
        sync_configured_feeds(*cycle_at(site, at(LATER_STILL)), specs, stop_after(2))
    assert [row.rule for row in site.rows(select(feed.c.slug, feed.c.rule)) if row.slug == "picks"] == [""]
    assert site.documents() == before
    site.run_with(table("picks", spec), LATER_STILL)
    assert site.documents().keys() == before.keys()
    assert site.titles("picks") == ["4.md", "1.md", "0.md"]
    site.run_with(table("picks", "min_quality = 70"), "2024-05-01 15:00")
    assert site.titles("picks") == ["4.md", "2.md", "0.md"]


def test_a_topic_gets_its_feed_back_complete_after_an_interrupted_takeover(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH", 2)
    fill(site)
    site.configure(table("ai", "min_quality = 99"))
    with pytest.raises(StoppedError):
        sync_configured_feeds(*cycle_at(site, at(LATER)), site.load_config().feeds, stop_after(2))
    site.run_with("", LATER)
    assert (site.titles("ai"), site.feed("ai")["title"]) == (["4.md", "1.md", "0.md"], "AI – Feeds")


def test_nothing_is_written_while_the_config_is_unchanged(site: SiteFolder) -> None:
    site.configure(table("picks", 'topics.any = ["AI"]') + table("maps", "min_quality = 1"))
    fill(site)
    writer, feeds = cycle_at(site, at(LATER))
    forbid = Mock(side_effect=AssertionError("an entry is evaluated"))
    site.store.lease.release()
    sync_configured_feeds(writer, feeds, site.load_config().feeds, forbid)
    site.store.lease.acquire(0)


def seal(site: SiteFolder, slug: str) -> dict[str, int]:
    """Puts each entry of a feed into an archive page of its own; returns the page numbers by path."""
    with site.store.write() as connection:
        joined = select(feed.c.id, entry.c.path, entry.c.id.label("entry_id")).join(
            feed_entry, feed_entry.c.feed_id == feed.c.id
        )
        rows = connection.execute(joined.join(entry, entry.c.id == feed_entry.c.entry_id).where(feed.c.slug == slug))
        pages = {}
        for number, row in enumerate(rows.all(), 91):
            mine = (feed_entry.c.feed_id == row.id, feed_entry.c.entry_id == row.entry_id)
            connection.execute(feed_entry.update().where(*mine).values(page=number))
            sealed = {"feed_id": row.id, "number": number, "dirty": False, "version": 1, "shown_hash": b""}
            connection.execute(archive_page.insert().values(**sealed, updated_at=0))
            pages[row.path] = number
    return pages


def take_dirty_pages(site: SiteFolder) -> set[int]:
    """The numbers of the dirty pages, which are clean afterwards."""
    numbers = {row.number for row in site.rows(select(archive_page.c.number, archive_page.c.dirty)) if row.dirty}
    with site.store.write() as connection:
        connection.execute(archive_page.update().values(dirty=False))
    return numbers


@pytest.mark.both_databases
def test_an_archive_page_is_dirty_when_a_reader_could_see_a_difference(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "refresh_feeds", lambda *_: Refreshed(TopicTerms({}, frozenset(), {})))
    fields = {"quality": 70, "publishedDateTime": DATE}
    site.configure(table("good", "min_quality = 60"))
    for name in ("kept", "edited", "leaving", "withdrawn"):
        site.record(f"{name}.md", **fields)
    site.run(NOON)
    pages = seal(site, "good")
    site.record("kept.md", **fields | {"quality": 80})
    site.record("edited.md", **fields, excerpt="More")
    site.record("leaving.md", **fields | {"quality": 1})
    site.record("withdrawn.md", **fields, published=False)
    site.run(LATER)
    assert take_dirty_pages(site) == {pages[path] for path in ("edited.md", "leaving.md", "withdrawn.md")}
    site.record("leaving.md", **fields)
    site.record("withdrawn.md", **fields)
    site.run(LATER_STILL)
    assert take_dirty_pages(site) == {pages[path] for path in ("leaving.md", "withdrawn.md")}
    joined = site.rows(select(feed_entry.c.page, feed_entry.c.joined_at))
    returned = {row.page for row in joined if row.page and row.joined_at == to_us(at(LATER_STILL))}
    assert returned == {pages["leaving.md"], pages["withdrawn.md"]}
    site.run_with(table("good", "min_quality = 75"), "2024-05-01 15:00")
    assert take_dirty_pages(site) == {pages[path] for path in ("edited.md", "leaving.md", "withdrawn.md")}


def test_a_config_is_applied_again_after_a_cycle_that_could_not_be_stored(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.record("a.md", quality=70, publishedDateTime=DATE)
    site.run(NOON)
    site.configure(table("good", "min_quality = 60"))
    commit = Writer.commit

    def fail_at_end(writer: Writer) -> None:
        if writer._joined or not writer._writing:
            commit(writer)
            return
        error, writer._connection = StoreError("the disk is full"), None
        writer._transaction.__exit__(StoreError, error, None)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "commit", fail_at_end)
        patch.setattr(session, "JOIN_S", 3600)  # otherwise a slow cycle stores a part of it before
        with pytest.raises(StoreError, match="full"):
            site.run(LATER, paths={})
    assert not (site.output / "good").exists()
    site.run(LATER_STILL, paths={})
    assert [item["title"] for item in site.feed("good")["items"]] == ["a.md"]


def test_a_changed_line_and_a_changed_title_reach_the_list_of_feeds(site: SiteFolder) -> None:
    site.record("a.md", topics=["AI"], publishedDateTime=DATE)
    site.record("b.md", topics=["Maps"], publishedDateTime=DATE)
    site.run(NOON)
    page, opml = ((site.output / name).read_text() for name in ("index.html", "opml.xml"))
    assert page.count("1 story") == 2
    site.record("c.md", topics=["Maps"], publishedDateTime=DATE)
    site.run(LATER, paths={"": ["c.md"]})
    changed = (site.output / "index.html").read_text()
    assert changed.count("1 story") == 1
    assert (site.output / "opml.xml").read_text() == opml
    site.run_with('[topics.titles]\nMaps = "Atlases"', LATER_STILL)
    assert "Atlases" in (site.output / "index.html").read_text()
    assert "Atlases" in (site.output / "opml.xml").read_text()
