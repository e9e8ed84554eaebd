"""Archives (RFC 5005): every published entry is in the document or in a page of each of its feeds."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from conftest import SiteFolder, at, spy
from documents import ATOM, archive_ids, entry_ids, link, pages, titles
from lxml import etree

from aggregator.errors import StoppedError
from aggregator.feeds import archives, versions
from aggregator.feeds.window import FeedLoader
from aggregator.store.session import to_us

FORMATS = ("rss.xml", "atom.xml", "feed.json")
ARCHIVE = "{http://purl.org/syndication/history/1.0}archive"
TOMBSTONE = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
SMALL = '[output]\nlimit = 10\nmin_stay = "0s"'
FULL = """
[[feed]]
slug = "full"
content = "full"
"""
NOON = at("2026-03-01 12:00")


def page(site: SiteFolder, slug: str, number: int) -> bytes:
    """The bytes of an archive page."""
    return (site.output / slug / "archive" / f"{number:04}.xml").read_bytes()


def add(site: SiteFolder, numbers: Iterable[int], **fields: Any) -> None:
    """A record for each number, published that many minutes after noon."""
    for number in numbers:
        date = (NOON + timedelta(minutes=number)).isoformat()
        site.record(f"{number:03}.md", publishedDateTime=date, topics=["AI"], **fields)


def publish(site: SiteFolder, config: str, numbers: Iterable[int], **fields: Any) -> None:
    """A first cycle, the day after, with these records."""
    site.configure(config)
    add(site, numbers, **fields)
    site.run("2026-03-02 12:00")


@pytest.fixture
def imported(site: SiteFolder) -> SiteFolder:
    """A site that imported 35 records: `all` and `ai` have three pages each."""
    publish(site, SMALL, range(35))
    return site


def test_an_import_seals_what_is_not_in_the_document_oldest_first_in_full_pages(imported: SiteFolder) -> None:
    assert len(imported.titles()) == 10
    assert sorted(pages(imported)) == [f"all/archive/000{number}.xml" for number in (1, 2, 3)]
    assert titles(page(imported, "all", 1)) == [f"{number:03}.md" for number in range(9, -1, -1)]
    assert titles(page(imported, "all", 3)) == [f"{number:03}.md" for number in range(24, 19, -1)]


def test_a_page_is_sealed_when_the_first_entry_leaves_and_takes_the_whole_document(
    site: SiteFolder,
) -> None:
    site.run_with(SMALL, NOON)
    for number in range(1, 32):
        add(site, [number])
        site.run(NOON + timedelta(minutes=number))
        assert len(pages(site)) == (number - 1) // 10, f"after {number} records"
    assert [len(entry_ids(body)) for body in pages(site).values()] == [10, 10, 10]


def test_a_page_links_to_its_feed_the_document_and_the_page_before_but_to_no_page_after(imported: SiteFolder) -> None:
    first, last = page(imported, "ai", 1), page(imported, "ai", 3)
    current = (imported.output / "ai" / "atom.xml").read_bytes()

    for body in (first, last):
        assert etree.fromstring(body).find(ARCHIVE) is not None
        assert etree.fromstring(body).findtext(f"{ATOM}id") == etree.fromstring(current).findtext(f"{ATOM}id")
        assert link(body, "current") == "ai/atom.xml"
        assert link(body, "next-archive") is None
    assert link(first, "self") == "ai/archive/0001.xml"
    assert link(first, "prev-archive") is None
    assert link(last, "prev-archive") == "ai/archive/0002.xml"
    assert etree.fromstring(current).find(ARCHIVE) is None
    assert link(current, "prev-archive") == "ai/archive/0003.xml"
    assert link((imported.output / "ai" / "rss.xml").read_bytes(), "prev-archive") == "ai/archive/0003.xml"


def test_a_backfill_gets_pages_of_its_own_and_does_not_change_the_document(site: SiteFolder) -> None:
    publish(site, SMALL, range(10))
    shown = site.titles()
    for number in range(25):
        site.record(f"old-{number:02}.md", publishedDateTime=f"2020-01-{number + 1:02}T00:00:00Z")
    site.run("2026-03-02 13:00")

    assert site.titles() == shown
    assert [len(entry_ids(page(site, "all", number))) for number in (1, 2, 3)] == [10, 10, 5]
    assert titles(page(site, "all", 1))[-1] == "old-00.md"
    add(site, [11])
    site.run("2026-03-02 14:00")
    assert sorted(titles(page(site, "all", 4))) == sorted(shown)


@pytest.mark.both_databases
def test_a_withdrawn_entry_leaves_only_its_page_and_returns_to_it(imported: SiteFolder) -> None:
    before = pages(imported)
    add(imported, [3], published=False)
    imported.run("2026-03-02 13:00")
    after = pages(imported)

    assert {path for path in before if after[path] != before[path]} == {"all/archive/0001.xml"}
    assert "003.md" not in titles(after["all/archive/0001.xml"])
    tombstones = etree.parse(imported.output / "all" / "atom.xml").getroot().iter(TOMBSTONE)
    assert [element.get("ref") for element in tombstones] == [entry_ids(before["all/archive/0001.xml"])[6]]

    add(imported, [3], published=True)
    imported.run("2026-03-02 14:00")
    assert titles(page(imported, "all", 1)) == titles(before["all/archive/0001.xml"])
    assert len(pages(imported)) == 3


def test_an_edit_rewrites_the_pages_with_the_entry_and_a_new_score_rewrites_none(imported: SiteFolder) -> None:
    before = imported.documents()
    add(imported, [3], quality=5)
    assert imported.run("2026-03-02 13:00").files_written == 0
    add(imported, [3], quality=5, excerpt="More")
    imported.run("2026-03-02 14:00")
    after = imported.documents()

    changed = {path for path in before if after[path] != before[path]}
    assert changed == {"all/archive/0001.xml", "ai/archive/0001.xml"}
    assert b"More" in after["ai/archive/0001.xml"]


def test_an_entry_that_leaves_a_topic_leaves_the_pages_of_that_feed_only(imported: SiteFolder) -> None:
    date = (NOON + timedelta(minutes=3)).isoformat()
    imported.record("003.md", publishedDateTime=date, topics=["Chips"])
    imported.run("2026-03-02 13:00")

    assert "003.md" not in titles(page(imported, "ai", 1))
    assert "003.md" in titles(page(imported, "all", 1))
    assert imported.titles("chips") == ["003.md"]


def older_link(site: SiteFolder, slug: str = "all") -> str:
    """Where "Older stories" on the page of a feed leads, below the archive; the path and the title of the entry."""
    [link] = re.findall(
        f'href="../{slug}/archive/([^"]*)">Older stories', (site.output / slug / "index.html").read_text()
    )
    path, _, anchor = link.partition("#")
    page = (site.output / slug / "archive" / (path or "index.html")).read_text()
    names = re.findall(f'id="{anchor}".*>([^<]*)</a>', page) if anchor else []
    return " ".join(filter(None, (path, *names)))


def test_older_stories_begin_with_the_first_one_that_the_page_of_the_feed_does_not_show(site: SiteFolder) -> None:
    publish(site, SMALL, range(20))
    assert older_link(site) == ""  # the document has 10 to 19, the only page 0 to 9
    add(site, [20, 21])
    site.run("2026-03-03 12:00")
    assert titles(page(site, "all", 2)) == [f"{number:03}.md" for number in range(19, 9, -1)]
    assert older_link(site) == "011.md"
    add(site, range(22, 31))
    site.run("2026-03-04 12:00")
    assert len(pages(site)) == 3
    assert older_link(site) == "020.md"
    add(site, [20], published=False)
    site.run("2026-03-05 12:00")
    assert older_link(site) == "0002.html"


def test_older_stories_follow_an_entry_that_leaves_the_feed_by_its_topics(site: SiteFolder) -> None:
    publish(site, SMALL, range(20))
    add(site, [20, 21])
    site.run("2026-03-03 12:00")
    assert older_link(site, "ai") == "011.md"
    before = site.documents()
    site.record("011.md", publishedDateTime=(NOON + timedelta(minutes=11)).isoformat(), topics=["Chips"])
    site.run("2026-03-04 12:00")
    assert older_link(site, "ai") == "010.md"
    assert [before[f"ai/{name}"] for name in FORMATS] == [site.documents()[f"ai/{name}"] for name in FORMATS]


def test_an_archive_that_is_switched_off_and_on_is_complete(site: SiteFolder) -> None:
    publish(site, SMALL, range(25))
    before = pages(site)
    site.run_with(SMALL + "\narchive = false", "2026-03-02 13:00")
    assert pages(site) == {}
    assert link((site.output / "all" / "atom.xml").read_bytes(), "prev-archive") is None

    add(site, [30, 31, 32])
    add(site, [3], published=False)
    site.run("2026-03-02 14:00")
    site.run_with(SMALL, "2026-03-02 15:00")
    after = site.documents()
    assert "003.md" not in titles(after["all/archive/0001.xml"])
    assert after["all/archive/0002.xml"] == before["all/archive/0002.xml"]
    assert len(archive_ids(after, "all/atom.xml")) == 27


def test_entries_that_do_not_fit_into_the_document_are_in_pages_that_fit(site: SiteFolder) -> None:
    publish(site, SMALL + '\nmax_bytes = "12KB"', range(30), excerpt="All that there is to say about it. " * 40)
    documents = site.documents()

    assert 0 < len(site.titles()) < 10
    assert len(archive_ids(documents, "all/atom.xml")) == 30
    feeds = [body for path, body in documents.items() if path.endswith(FORMATS) or "/archive/" in path]
    assert max(map(len, feeds)) <= 12_000
    add(site, [40], excerpt="More. " * 10_000)
    add(site, [41])
    site.run("2026-03-02 13:00")
    assert site.titles()[0] == "041.md"
    assert len(archive_ids(site.documents(), "all/atom.xml")) == 32


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_SEALED", 25)


@pytest.mark.usefixtures("few_at_once")
def test_a_large_backfill_is_sealed_in_several_transactions_with_the_same_pages(
    make_site: Callable[..., SiteFolder], make_store_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for most in (25, 5000):
        monkeypatch.setattr(archives, "MAX_SEALED", most)
        site = make_site(make_store_url("sqlite"), SMALL)
        add(site, range(150))
        site.run("2026-03-02 12:00")
        made.append(pages(site))
    assert made[0] == made[1]
    assert len(made[0]) == 14


def test_a_first_build_renders_each_page_when_it_is_sealed_with_the_bytes_of_a_later_one(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = spy(monkeypatch, FeedLoader, "load_page")
    site.configure(SMALL + FULL)
    add(site, range(40))
    add(site, range(40, 75), body="A *body* of its own.")
    site.run("2026-03-02 12:00")
    built = site.documents()
    load.assert_not_called()
    shutil.rmtree(site.output)
    site.run("2026-03-02 12:00")
    assert site.documents() == built
    pages_read = [(call.args[2].slug, call.args[3].number) for call in load.call_args_list]
    read = [f"{slug}/archive/{number:04}.xml" for slug, number in pages_read]
    assert sorted(read) == sorted(path for path in built if "/archive/" in path and path.endswith(".xml"))
    assert len(read) == 3 * 7


def test_feeds_are_sealed_in_order_of_time(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    site.configure(SMALL)
    add(site, range(200))
    seal = spy(monkeypatch, archives.Sealer, "_seal")
    site.run("2026-03-02 12:00")
    sealed = [rows[0] for *_, rows in (call.args for call in seal.call_args_list) if rows]
    early = [row.released_at for row in sealed if row.released_at < to_us(NOON + timedelta(minutes=150))]
    assert len(early) == 2 * 15
    assert early == sorted(early)


@pytest.mark.both_databases
@pytest.mark.usefixtures("few_at_once")
def test_a_cycle_that_is_stopped_while_it_seals_is_continued_by_the_next(site: SiteFolder) -> None:
    site.configure(SMALL)
    add(site, range(150))
    checks = iter(range(1000))
    sealing = archives.Sealer.seal_backfills

    def stop_soon(sealer: archives.Sealer, writer: Any, stopped: Callable[[], None]) -> Any:
        def check() -> None:
            if next(checks) == 2:
                raise StoppedError("stopped")
            stopped()

        return sealing(sealer, writer, check)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives.Sealer, "seal_backfills", stop_soon)
        with pytest.raises(StoppedError):
            site.run("2026-03-02 12:00")
        site.run("2026-03-02 12:01")
    assert len(archive_ids(site.documents(), "all/atom.xml")) == 150
    assert len(archive_ids(site.documents(), "ai/atom.xml")) == 150


def test_no_transaction_seals_the_archives_of_many_feeds(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    # feeds may share a transaction, which therefore goes over by one feed at most
    for module in (archives, versions):
        monkeypatch.setattr(module, "MAX_SEALED", 50)
    site.configure(SMALL)
    for number in range(45):
        date = (NOON + timedelta(minutes=number)).isoformat()
        site.record(f"{number:03}.md", publishedDateTime=date, topics=[f"T{topic}" for topic in range(20)])
    seal = spy(monkeypatch, archives.Sealer, "_seal")
    site.run("2026-03-02 12:00")
    sealed = Counter[Any]()
    for call in seal.call_args_list:
        sealed[call.args[1]] += len(call.args[-1])
    assert sealed.total() >= 21 * 35
    assert max(sealed.values()) <= 100


# a deleted output folder

LONG = "All that there is to say about it. " * 60


def test_a_document_is_rewritten_with_the_same_bytes_after_a_backfill(site: SiteFolder) -> None:
    publish(site, SMALL + '\narchive = false\nmax_bytes = "12KB"', range(10, 12), excerpt=LONG)
    for number in range(5):
        site.record(f"old-{number}.md", publishedDateTime=f"2020-01-0{5 - number}T00:00:00Z", excerpt=LONG)
        site.run(f"2026-03-02 13:0{number}")
    before = site.documents()
    shutil.rmtree(site.output)
    site.run("2026-03-02 14:00")
    assert site.documents() == before


def test_a_document_is_rewritten_with_the_same_bytes_after_sealed_entries_returned(site: SiteFolder) -> None:
    publish(
        site,
        SMALL + '\nmax_bytes = "12KB"\n[[feed]]\nslug = "good"\nmin_quality = 50\n',
        range(8),
        excerpt=LONG,
        quality=60,
    )
    shown = {int(title[:3]) for title in site.titles("good")}
    sealed = set(range(8)) - shown
    assert sealed
    add(site, sealed, excerpt=LONG, quality=10)
    site.run("2026-03-02 13:00")
    add(site, [max(shown)], excerpt=f"{LONG}!", quality=60)
    site.run("2026-03-02 14:00")
    add(site, sealed, excerpt=LONG, quality=60)
    site.run("2026-03-02 15:00")
    before = site.documents()
    shutil.rmtree(site.output)
    site.run("2026-03-02 16:00")
    assert site.documents() == before


def test_a_page_is_measured_when_it_is_sealed_and_keeps_its_entries_when_they_grow(site: SiteFolder) -> None:
    publish(site, SMALL + '\nmax_bytes = "12KB"', range(35))
    before = pages(site)
    add(site, range(10), excerpt="long " * 2000)
    site.run("2026-03-02 13:00")
    after = pages(site)
    assert {path: entry_ids(body) for path, body in after.items()} == {
        path: entry_ids(body) for path, body in before.items()
    }
    assert len(after["all/archive/0001.xml"]) > 12_000


@pytest.mark.parametrize("language", ["ar", "de", "en"])
def test_no_element_of_a_page_has_an_attribute_twice(site: SiteFolder, language: str) -> None:
    site.configure("[output]\nlimit = 2\n")
    config = site.config_file.read_text().replace("[site]", f'[site]\nlanguage = "{language}"')
    site.config_file.write_text(config)
    for number in range(6):
        site.record(f"{number}.md", topics=["AI"])
        site.run(f"2024-05-01 12:0{number}")
    twice = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = [name for name, _ in attrs]
            twice.extend([(path, tag, name) for name in names if names.count(name) > 1])

    for path, body in site.documents().items():
        if path.endswith(".html"):
            Reader().feed(body.decode())
    assert twice == []
