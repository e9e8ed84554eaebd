"""Ids that are taken over from saved feeds (docs/spec.md#adopted-ids)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import feedparser
import pytest
from click.testing import CliRunner, Result
from commands import Shop
from conftest import SITE_ID, SiteFolder
from sqlalchemy import delete

from aggregator.cli import commands
from aggregator.ids import IdMint
from aggregator.store.queries import find_by_id
from aggregator.store.schema import meta

BLOG = "https://blog.example.org/"
MAY, JUNE, JULY = "2026-05-01 12:00", "2026-06-01 12:00", "2026-07-01 12:00"
DATE = "2026-01-01T00:00:00Z"
MINT = IdMint(SITE_ID)
Adopt = Callable[..., Any]


def rss(*items: tuple[str, str]) -> str:
    """An RSS feed of (name of the post, guid)."""
    parts = (
        f"<item>\n<title>{name}</title><link>{BLOG}{name}/</link><guid>{guid}</guid></item>" for name, guid in items
    )
    return f'<rss version="2.0"><channel>{"".join(parts)}</channel></rss>'


def atom(*entries: tuple[str, str]) -> str:
    parts = (f'<entry><title>{name}</title><link href="{BLOG}{name}/"/><id>{uid}</id></entry>' for name, uid in entries)
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{"".join(parts)}</feed>'


def json_feed(*items: tuple[str, str]) -> str:
    return json.dumps({"items": [{"id": uid, "url": f"{BLOG}{name}/", "title": name} for name, uid in items]})


ADVICE = "records have other links, such as https://new.example/a (see link_template in [records])\n"


def run_adopt(site: SiteFolder, *feeds: str) -> Result:
    """Runs the command over these feeds, with --json."""
    site.close()
    files = []
    for number, text in enumerate(feeds):
        files.append(site.root / f"old{number}.xml")
        files[-1].write_text(text)
    arguments = ["adopt", "--json", "-c", str(site.config_file), *map(str, files)]
    return CliRunner().invoke(commands, arguments, env={"AGGREGATOR_CONFIG": None})


@pytest.fixture
def adopt(site: SiteFolder) -> Adopt:
    """Runs the command; what it prints."""

    def run(*feeds: str, code: int = 0) -> Any:
        result = run_adopt(site, *feeds)
        assert (result.exit_code, result.stderr) == (code, ""), result.output
        return json.loads(result.stdout)

    return run


def post(site: SiteFolder, name: str, path: str = "", **fields: Any) -> None:
    stated = {"title": name, "webUrl": f"{BLOG}{name}/", "publishedDateTime": DATE} | fields
    site.record(path or f"{name}.md", **stated)


def shown(site: SiteFolder) -> dict[str, tuple[str, str, str]]:
    """The ids of entries in RSS, Atom and JSON, as readers see them, by their titles."""
    found: dict[str, list[str]] = {}
    for file in ("rss.xml", "atom.xml"):
        for entry in feedparser.parse((site.output / "all" / file).read_bytes()).entries:
            found.setdefault(entry.title, []).append(entry.id)
    for title, uid in site.ids().items():
        found[title].append(uid)
    return {title: (ids[0], ids[1], ids[2]) for title, ids in found.items()}


# the normal case


@pytest.mark.both_databases
def test_records_get_the_ids_that_subscribers_have_and_keep_them(site: SiteFolder, adopt: Adopt) -> None:
    for name in ("page", "tag", "text", "new"):
        post(site, name)
    feed = rss(("page", f"{BLOG}page/"), ("tag", "tag:blog.example.org,2020:1"), ("text", "5f3a &amp; 42"))
    assert adopt(feed) == {"entries": 3, "adopted": 3, "unmatched": 0, "problems": []}
    site.run(MAY)
    ids = shown(site)
    assert ids["page"] == (f"{BLOG}page/",) * 3
    assert ids["tag"] == ("tag:blog.example.org,2020:1",) * 3
    minted = MINT.explicit_entry_id("5f3a & 42")
    assert ids["text"] == ("5f3a & 42", minted, minted)
    assert ids["new"] == (MINT.path_entry_id("", "new.md"),) * 3
    # edits, another link, a stated id and a rename
    post(site, "page", webUrl=f"{BLOG}elsewhere/", excerpt="More.")
    post(site, "tag", id="mine")
    site.run(JUNE)
    (site.incoming / "text.md").rename(site.incoming / "moved.md")
    site.run(JULY)
    assert shown(site) == ids
    # a rename by which the record states the id that it has
    site.remove("moved.md", "page.md")
    post(site, "text", "text-again.md", id="5f3a & 42", excerpt="More.")
    post(site, "page", "page-again.md", id=f"{BLOG}page/", excerpt="Even more.")
    site.run("2026-08-01 12:00")
    assert shown(site) == ids


def test_each_format_keeps_the_ids_of_its_own_feed(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    adopt(rss(("a", "42")), atom(("a", "urn:x:1")), json_feed(("a", "9")))
    site.run(MAY)
    assert shown(site) == {"a": ("42", "urn:x:1", "9")}


def test_the_ids_are_those_of_archive_pages_too(site: SiteFolder, adopt: Adopt) -> None:
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"\n')
    for number in range(4):
        post(site, f"p{number}", publishedDateTime=f"2026-01-0{number + 1}T00:00:00Z")
    adopt(atom(*((f"p{number}", f"urn:x:{number}") for number in range(4))))
    site.run(MAY)
    pages = b"".join(body for path, body in site.documents().items() if "/archive/" in path and path.endswith(".xml"))
    assert [f"<id>urn:x:{number}</id>".encode() in pages for number in range(3)] == [True] * 3


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("guid", "is_linked"), [("{} at https://blog.example.org", False), (f"{BLOG}{{}}/", True), ("", True)]
)
def test_rss_leads_to_no_archive_that_has_its_stories_under_other_ids(
    site: SiteFolder, adopt: Adopt, guid: str, is_linked: bool
) -> None:
    """The archive is Atom. A reader that follows the link has the stories under their RSS ids."""
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"\n')
    names = ["p1", "p2", "p3"]
    for name in names:
        post(site, name, publishedDateTime=f"2026-01-0{name[1]}T00:00:00Z")
    if guid:
        adopt(rss(*((name, guid.format(name)) for name in names)))
    site.run(MAY)
    post(site, "new")  # has one id in all formats, and the others are in the archive
    site.run(JUNE)
    links = {form: b'rel="prev-archive"' in site.documents()[f"all/{form}.xml"] for form in ("rss", "atom")}
    assert links == {"rss": is_linked, "atom": True}
    before = site.documents()
    assert site.run(JULY).files_written == 0
    with site.store.write() as connection:  # a store of an older version, which did not note it
        connection.execute(delete(meta).where(meta.c.key == "rss_ids"))
    site.run("2026-07-02 12:00")
    assert site.documents() == before


def test_ids_that_are_adopted_later_end_the_link_to_the_archive(site: SiteFolder, adopt: Adopt) -> None:
    site.configure('[output]\nlimit = 1\nmin_stay = "0s"\n')
    for name in ("p1", "p2"):
        post(site, name)
    site.run(MAY)
    post(site, "p3")
    adopt(rss(("p3", "42")))
    site.run(JUNE)
    documents = site.documents()
    assert b"prev-archive" in documents["all/atom.xml"]
    assert b"prev-archive" not in documents["all/rss.xml"]


def test_a_record_that_comes_later_gets_its_id(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    [problem] = adopt(rss(("a", "urn:x:1"), ("b", "urn:x:2")), code=1)["problems"]
    assert problem["text"].endswith(
        f"old0.xml:2:1: the entry 'b' has no record with its link: '{BLOG}b/' (a record that has it later gets the id)"
    )
    site.run(MAY)
    post(site, "b")
    site.run(JUNE)
    assert site.ids() == {"a": "urn:x:1", "b": "urn:x:2"}


def test_links_are_compared_by_what_they_lead_to(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a", webUrl="http://www.blog.example.org/a/index.html")
    assert adopt(rss(("a", "urn:x:1")))["adopted"] == 1
    site.run(MAY)
    assert site.ids() == {"a": "urn:x:1"}


def test_a_guid_that_is_the_page_finds_the_record(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    feed = rss(("a", f"{BLOG}a/")).replace(f"<link>{BLOG}a/</link>", "<link>https://proxy.example/1</link>")
    assert adopt(feed)["adopted"] == 1
    site.run(MAY)
    assert site.ids() == {"a": f"{BLOG}a/"}


def test_a_link_of_one_entry_comes_before_the_guid_of_another(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    feed = rss(("gone", f"{BLOG}a/"), ("a", "urn:x:1"))
    assert (adopt(feed, code=1)["unmatched"]) == 1
    site.run(MAY)
    assert site.ids() == {"a": "urn:x:1"}


@pytest.mark.parametrize("preset", ["jekyll", "hugo"])
def test_every_preset_gets_ids_by_its_links(site: SiteFolder, adopt: Adopt, preset: str) -> None:
    site.configure(f'[records]\npath = "../incoming"\npreset = "{preset}"\nlink_template = "{BLOG}{{slug}}/"\n')
    name = {"jekyll": "2026-01-01-kite.md", "hugo": "kite.md"}[preset]
    site.write(name, "---\ntitle: Kite\n---\nText.\n")
    assert adopt(atom(("kite", "urn:x:1")))["adopted"] == 1
    site.run(MAY)
    assert site.ids() == {"Kite": "urn:x:1"}


# twice


def test_running_it_again_changes_nothing(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    feeds = rss(("a", "42")), atom(("a", "urn:x:1"))
    first = adopt(*feeds)
    assert adopt(*feeds) == first
    site.run(MAY)
    before = site.documents()
    assert adopt(*feeds) == first
    site.run(JUNE)
    assert site.documents() == before


def test_of_two_entries_with_one_link_the_first_counts(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    [problem] = adopt(rss(("a", "urn:x:2"), ("a", "urn:x:1")), code=1)["problems"]
    assert (problem["what"], problem["hint"]) == (
        "the entry 'a' has the link of another entry, whose id is kept",
        "the kept id is urn:x:2",
    )
    [problem] = adopt(rss(("a", "urn:x:3")), code=1)["problems"]
    assert problem["hint"] == "the kept id is urn:x:2"
    site.run(MAY)
    assert site.ids() == {"a": "urn:x:2"}


def test_two_records_with_one_link_get_one_adopted_id(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    post(site, "a", "b.md", title="b")
    assert adopt(rss(("a", "urn:x:1")))["adopted"] == 1
    site.run(MAY)
    assert site.ids() == {"a": "urn:x:1", "b": MINT.path_entry_id("", "b.md")}


def test_two_links_with_one_id_get_it_once(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    post(site, "b")
    [problem] = adopt(rss(("a", "urn:x:1"), ("b", "urn:x:1")), code=1)["problems"]
    assert problem["what"].endswith("a.md")
    site.run(MAY)
    assert site.ids() == {"a": "urn:x:1", "b": MINT.path_entry_id("", "b.md")}


# ids that cannot be kept


def test_a_published_entry_keeps_its_id_and_is_named(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    post(site, "same", id="urn:x:2")
    site.run(MAY)
    before = site.documents()
    [problem] = adopt(rss(("a", "urn:x:1"), ("same", "urn:x:2")), code=1)["problems"]
    assert "has a record that was published under another id" in problem["what"]
    assert problem["hint"] == "if nobody has read the new feeds yet, delete the store and run adopt before build"
    site.run(JUNE)
    assert site.documents() == before


@pytest.mark.both_databases
def test_an_entry_that_was_never_published_gets_the_id_at_once(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a", publishedDateTime="2026-06-01T00:00:00Z")
    post(site, "draft", published=False)
    site.run(MAY)
    assert adopt(rss(("a", "urn:x:1"), ("draft", "42")))["adopted"] == 2
    post(site, "draft")
    site.run(JUNE)
    assert shown(site)["a"] == ("urn:x:1",) * 3
    assert shown(site)["draft"][0] == "42"


def test_a_stated_id_stays_and_is_named_if_it_differs(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "other", id="mine")
    post(site, "same", id="urn:x:2")
    post(site, "text", id="42")
    [problem] = adopt(rss(("other", "urn:x:1"), ("same", "urn:x:2"), ("text", "42")), code=1)["problems"]
    assert "has a record that states another id" in problem["what"]
    site.run(MAY)
    ids = shown(site)
    assert ids["other"] == (MINT.explicit_entry_id("mine"),) * 3
    assert ids["same"] == ("urn:x:2",) * 3
    assert ids["text"][:2] == ("42", MINT.explicit_entry_id("42"))


def test_an_atom_id_that_is_no_iri_is_named(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    [problem] = adopt(atom(("a", "42")), code=1)["problems"]
    assert problem["what"] == "the entry 'a' has an id that is no IRI, so Atom does not allow it"
    site.run(MAY)
    assert site.ids() == {"a": MINT.path_entry_id("", "a.md")}


@pytest.mark.parametrize(
    ("feed", "what"),
    [
        (rss(("a", "x" * 1001)), "has an id that cannot be kept"),
        (json_feed(("a", "a\tb")), "has an id that cannot be kept"),
        ('{"items": [{"id": "42"}]}', "has no link, so its record cannot be found"),
        ('{"items": [{}]}', "has no id and no link"),
    ],
)
def test_unusable_ids_are_named(site: SiteFolder, adopt: Adopt, feed: str, what: str) -> None:
    post(site, "a")
    [problem] = adopt(feed, code=1)["problems"]
    assert what in problem["what"]


# the command


def test_a_file_that_is_no_feed_ends_the_command_and_nothing_is_stored(shop: Shop) -> None:
    (shop.root / "good.xml").write_text(rss(("a", "urn:x:1")))
    (shop.root / "bad.xml").write_text("<html>\n<br/></html>")
    (shop.root / "empty.xml").write_text(rss())
    for name, message in {
        "bad.xml": "error: bad.xml:1:1: is no feed: it begins with another element than rss, RDF or feed"
        " (save the feed itself, not its page)\n",
        "empty.xml": "error: empty.xml: has no entries\n",
        "none.xml": "error: none.xml: cannot be read: No such file or directory\n",
    }.items():
        done = shop.run("adopt", "good.xml", name)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert not shop.data.exists()


def test_it_prints_problems_and_a_summary(shop: Shop) -> None:
    shop.record("a.md", webUrl=f"{BLOG}a/")
    (shop.root / "old.xml").write_text(rss(("a", "urn:x:1"), ("b", "urn:x:2")))
    done = shop.run("adopt", "old.xml")
    assert (done.returncode, done.stderr) == (1, "")
    line, summary = done.stdout.splitlines()
    assert line.startswith("old.xml:2:1: the entry 'b' has no record with its link")
    assert summary == "1 of 2 entries keep their ids, 1 have no record"


def test_if_nothing_matches_it_says_what_may_be_wrong(shop: Shop) -> None:
    (shop.root / "old.xml").write_text(rss(("a", "urn:x:1")))
    shop.record("a.md")
    assert shop.run("adopt", "old.xml").stderr == "no record has a link (see link_template in [records])\n"
    shop.record("a.md", webUrl="https://new.example/a")
    assert shop.run("adopt", "old.xml").stderr == ADVICE


def test_a_records_folder_that_is_missing_is_a_problem(shop: Shop) -> None:
    shop.incoming.rmdir()
    (shop.root / "old.xml").write_text(rss(("a", "urn:x:1")))
    done = shop.run("adopt", "old.xml")
    assert done.returncode == 1
    assert done.stdout.startswith("incoming: the records folder cannot be read")
    shop.record("a.md", webUrl=f"{BLOG}a/", publishedDateTime=DATE)
    assert shop.run("build").returncode == 0
    assert shop.items() == [("urn:x:1", "a.md")]


def test_while_a_service_runs_it_names_the_service(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, make_site: Callable[..., SiteFolder]
) -> None:
    monkeypatch.setattr("aggregator.cli.stores.LEASE_WAIT_S", 0.1)
    holder = site.store.lease  # held by this process, as by a service
    other = make_site(site.url)
    result = run_adopt(other, rss(("a", "urn:x:1")))
    assert holder is site.store.lease
    assert "is held by" in str(result.exception)


def test_explain_finds_a_record_by_an_adopted_id_and_shows_it(shop: Shop) -> None:
    shop.record("a.md", webUrl=f"{BLOG}a/", publishedDateTime=DATE)
    (shop.root / "old.xml").write_text(rss(("a", "42")))
    assert shop.run("adopt", "old.xml").returncode == 0
    shop.run("build")
    explained = shop.json("explain", "42")
    assert (explained["path"], explained["format_ids"]) == ("incoming/a.md", {"rss": "42"})
    assert "42 in RSS" in shop.run("explain", "a.md").stdout
    assert shop.json("explain", explained["id"])["path"] == "incoming/a.md"


@pytest.mark.both_databases
def test_a_record_is_found_by_the_id_of_each_format(site: SiteFolder, adopt: Adopt) -> None:
    post(site, "a")
    post(site, "b")
    adopt(rss(("a", '4", "2')), atom(("a", "urn:x:1")), json_feed(("a", "Neun"), ("b", "Zehn")))
    site.run(MAY)
    with site.store.read() as connection:
        for wanted, paths in (
            ('4", "2', ["a.md"]),
            ("urn:x:1", ["a.md"]),
            ("Neun", ["a.md"]),
            ("Zehn", ["b.md"]),
            ("neun", []),
            ("2", []),
            ("4", []),
            ("N%", []),
        ):
            assert [path for _, path in find_by_id(connection, wanted)] == paths, wanted
