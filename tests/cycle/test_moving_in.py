"""A site that moves here from another generator, by the commands of docs/moving-in.md: its subscribers see nothing
twice, at the old URLs too."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import feedparser
import httpx
import pytest
from commands import Shop, eventually
from sites import build_hugo, post, shown, write_files

HERE = Path(__file__).parents[1]
PAGE = (HERE.parent / "docs" / "moving-in.md").read_text()
BLOG = "https://blog.example.org/"
HUGO_IDS = {
    f"{BLOG}posts/{name}/" for name in "bread clock-24 kettle kuhlschrank paper-map walking-robot weather wire".split()
}
HUGO_AI_IDS = {f"{BLOG}posts/{name}/" for name in "kettle kuhlschrank walking-robot weather".split()}
OLD_FEEDS = pytest.mark.parametrize(
    ("path", "slug", "ids"), [("index.xml", "blog", HUGO_IDS), ("tags/ai/index.xml", "ai", HUGO_AI_IDS)]
)
FEED_FILES = ["rss.xml", "atom.xml", "feed.json"]


def code_of_page(language: str) -> list[str]:
    """The pieces of code that the page shows."""
    return re.findall(f"```{language}\n(.*?)```", PAGE, re.DOTALL)


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
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that Hugo built: the site in `site`, its feeds in `site-built`, and feeds of three entries in `short`."""
    root = tmp_path_factory.mktemp("hugo")
    shutil.copytree(HERE / "data" / "hugo", root / "site")
    build_hugo(root / "site", HUGO_SERVICES_RSS_LIMIT="3").rename(root / "short")
    build_hugo(root / "site")
    return root


class MovedShop(Shop):
    """The folder of an operator beside the site that moves here; any port is fine, and no process pool."""

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(
            AGGREGATOR_SERVE__PORT="0", AGGREGATOR_INGEST__WORKERS="0", AGGREGATOR_SCHEDULE__EVERY="1h", **more
        )

    @property
    def content(self) -> Path:
        return self.root.parent / "site" / "content" / "posts"

    def run_all(self, *commands: Sequence[str]) -> None:
        """Runs commands that succeed."""
        for command in commands:
            done = self.run(*command)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[MovedShop]:
    """An empty folder beside the site."""
    made = MovedShop(tmp_path / "feeds")
    made.root.mkdir()
    yield made
    made.close()


@pytest.fixture
def shop(empty: MovedShop, old: Path) -> MovedShop:
    """Moved in, without ids: `init --from` a copy of the site."""
    shutil.copytree(old / "site", empty.root.parent / "site")
    done = empty.run("init", "--from", "../site")
    assert (done.returncode, done.stderr) == (0, "")
    return empty


@pytest.fixture
def moved(shop: MovedShop, old: Path) -> MovedShop:
    """Moved in, with the ids of the old feed."""
    assert shop.run("adopt", str(old / "site-built" / "index.xml")).returncode == 0
    return shop


def build(shop: Shop) -> None:
    done = shop.run("build", "--strict")
    assert (done.returncode, "rejected 0" in done.stdout) == (0, True), done.stderr


def new_post(shop: MovedShop) -> None:
    """A post as the editor goes on writing them."""
    (shop.content / "kite.md").write_text(post("A kite that lands", date="2025-09-01T08:00:00Z", tags=["AI"]))


# posts and ids


@OLD_FEEDS
def test_a_reader_of_an_old_feed_sees_nothing_new_and_then_one_new_post(
    moved: MovedShop, old: Path, path: str, slug: str, ids: set[str]
) -> None:
    readers = {moved.output / slug / file: Subscriber() for file in FEED_FILES}
    for reader in readers.values():
        assert reader.read((old / "site-built" / path).read_bytes()) == ids
    build(moved)
    for document, reader in readers.items():
        assert reader.read(document.read_bytes()) == set()
    assert {id_ for id_, _ in moved.items(slug)} == ids, "and misses nothing"
    new_post(moved)
    build(moved)
    for document, reader in readers.items():
        [new] = reader.read(document.read_bytes())
        assert new.startswith("urn:uuid:")


def test_titles_links_dates_and_order_are_those_of_the_old_feed(moved: MovedShop, old: Path) -> None:
    build(moved)
    assert shown(moved.output / "blog" / "rss.xml") == shown(old / "site-built" / "index.xml")


def test_a_feed_as_short_as_the_old_one_shows_nothing_new(shop: MovedShop, old: Path) -> None:
    stated = (old / "site" / "hugo.toml").read_text()
    (shop.root.parent / "site" / "hugo.toml").write_text(f"{stated}\n[services.rss]\nlimit = 3\n")
    shop.config.unlink()
    shop.run_all(("init", "--from", "../site"), ("adopt", str(old / "short" / "index.xml")))
    build(shop)
    reader = Subscriber()
    ids = reader.read((old / "short" / "index.xml").read_bytes())
    assert reader.read((shop.output / "blog" / "rss.xml").read_bytes()) == set()
    assert {id_ for id_, _ in shop.items("blog")} == ids
    assert len(ids) == 3


def test_without_adopted_ids_every_post_would_be_new(shop: MovedShop, old: Path) -> None:
    reader = Subscriber()
    reader.read((old / "site-built" / "index.xml").read_bytes())
    build(shop)
    assert len(reader.read((shop.output / "blog" / "rss.xml").read_bytes())) == len(HUGO_IDS)


def test_no_file_of_the_site_changes(moved: MovedShop, old: Path) -> None:
    build(moved)
    site = moved.root.parent / "site"
    before, after = (
        {path.relative_to(root): path.stat().st_size for path in root.rglob("*")} for root in (old / "site", site)
    )
    assert after == before


def test_the_ids_stay_through_a_rename_and_another_link(moved: MovedShop, old: Path) -> None:
    reader = Subscriber()
    reader.read((old / "site-built" / "index.xml").read_bytes())
    build(moved)
    text = (moved.content / "kettle.md").read_text()
    (moved.content / "tea").mkdir()
    (moved.content / "tea" / "pot.md").write_text(text.replace("---\n", "---\nurl: /elsewhere/\n", 1))
    (moved.content / "kettle.md").unlink()
    build(moved)
    assert reader.read((moved.output / "blog" / "rss.xml").read_bytes()) == set()


JEKYLL = {
    "_config.yml": "title: The workshop\nurl: https://blog.example.org\ntimezone: UTC\nplugins: [jekyll-feed]\n",
    "_posts/2025-03-01-lamp.md": post(
        "A lamp that yawns", "At ten.", date="2025-03-01 08:30:00 +0000", categories=["light"]
    ),
    "_posts/2025-02-11-salt-pepper.markdown": post("Salt & pepper, weighed", "Twice."),
}
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


def test_a_reader_of_a_jekyll_feed_sees_nothing_new(tmp_path: Path, empty: MovedShop) -> None:
    write_files(tmp_path / "site", JEKYLL)
    (empty.root / "feed.xml").write_text(JEKYLL_FEED)
    empty.run_all(("init", "--from", "../site"), ("adopt", "feed.xml"), ("check",))
    reader = Subscriber()
    ids = reader.read(JEKYLL_FEED.encode())
    build(empty)
    for document in (*(empty.output / "blog" / file for file in FEED_FILES), empty.output / "feed.xml"):
        assert reader.read(document.read_bytes()) == set()
    assert empty.items("blog") == [
        (f"{BLOG}light/2025/03/01/lamp", "A lamp that yawns"),
        (f"{BLOG}2025/02/11/salt-pepper", "Salt & pepper, weighed"),
    ]
    assert {id_ for id_, _ in empty.items("blog")} == ids


# what the page says


def test_the_commands_of_the_page_are_those_of_the_program(old: Path, tmp_path: Path, empty: MovedShop) -> None:
    def new_to_a_subscriber() -> str:
        check = ["bash", "-c", code_of_page("bash")[1]]
        return subprocess.run(check, cwd=empty.root, check=True, capture_output=True, text=True).stdout

    shutil.copytree(old / "site", tmp_path / "blog")
    shutil.copy(old / "site-built" / "index.xml", empty.root)
    commands = [line.split() for line in re.findall(r"^aggregator ([^#\n]*)", code_of_page("bash")[0], re.MULTILINE)]
    assert [command[0] for command in commands] == ["init", "adopt", "check", "build"]
    empty.run_all(*commands)
    assert new_to_a_subscriber() == ""
    (tmp_path / "blog" / "content" / "posts" / "copy.md").write_text(
        post("Another loaf", guid=f"{BLOG}posts/loaf/", date="2025-01-01")
    )
    build(empty)
    assert new_to_a_subscriber() == f"{BLOG}posts/loaf/\n"


# what init does


def test_init_says_what_it_took_from_where_and_writes_over_nothing(tmp_path: Path, old: Path, empty: MovedShop) -> None:
    shutil.copytree(old / "site", tmp_path / "site")
    done = empty.run("init", "my feeds", "--from", "../site")
    assert done.returncode == 0
    assert "Read  ../site/hugo.toml: a site of Hugo" in done.stdout
    assert "  base_url = 'https://blog.example.org/' (../site/hugo.toml:1)" in done.stdout
    assert done.stdout.endswith("Next: save the feeds of the site, then: cd 'my feeds' && aggregator adopt FILE…\n")
    before = empty.files()
    again = empty.run("init", "my feeds", "--from", "../site")
    assert (again.returncode, again.stderr) == (
        2,
        "error: my feeds/config/aggregator.toml exists already (edit it, or remove it first)\n",
    )
    assert empty.files() == before


def test_init_from_a_site_takes_over_the_id_of_the_store(moved: MovedShop) -> None:
    build(moved)
    [before] = re.findall('^id = ".*"', moved.config.read_text(), re.MULTILINE)
    moved.config.unlink()
    done = moved.run("init", "--from", "../site")
    assert re.findall('^id = ".*"', moved.config.read_text(), re.MULTILINE) == [before]
    assert "as in the store that exists already" in done.stdout


def test_a_folder_that_is_no_site_leaves_nothing_behind(tmp_path: Path, empty: MovedShop) -> None:
    write_files(tmp_path / "site", {"hugo.toml": 'title = "T\n'})
    done = empty.run("init", "--from", "../site")
    assert (done.returncode, done.stderr) == (
        2,
        "../site/hugo.toml:1:9: the file is not valid TOML: a text without its closing quote (close it on the same line)\n",
    )
    assert empty.files() == {}


def test_a_folder_that_jekyll_would_publish_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "site", JEKYLL)
    shop = MovedShop(tmp_path / "site")
    done = shop.run("init", "--from", ".")
    assert done.returncode == 2
    assert (
        "would be among the files of the site (name another folder: aggregator init ../feeds --from .)" in done.stderr
    )


# old URLs


@OLD_FEEDS
def test_the_service_sends_readers_of_an_old_url_to_the_new_one(
    moved: MovedShop, old: Path, path: str, slug: str, ids: set[str]
) -> None:
    service = moved.start("run").wait_until_done()
    assert httpx.get(service.url + path).status_code == 301
    reader = Subscriber(service.url + path)
    assert reader.read((old / "site-built" / path).read_bytes()) == ids
    assert reader.poll() == set()
    assert reader.url == f"{service.url}{slug}/rss.xml"
    new_post(moved)
    eventually(lambda: "A kite that lands" in service.titles("blog"))
    assert len(reader.poll()) == 1


@OLD_FEEDS
def test_in_the_output_folder_the_old_file_continues(
    moved: MovedShop, old: Path, path: str, slug: str, ids: set[str]
) -> None:
    reader = Subscriber()
    reader.read((old / "site-built" / path).read_bytes())
    build(moved)
    document = moved.output / path
    assert reader.read(document.read_bytes()) == set()
    feed = feedparser.parse(document.read_bytes())
    assert {entry.id for entry in feed.entries} == ids
    assert [link.href for link in feed.feed.links if link.rel == "self"] == [f"{BLOG}{slug}/rss.xml"]
    new_post(moved)
    build(moved)
    assert len(reader.read(document.read_bytes())) == 1


# Zola, by its documentation

ZOLA = {
    "config.toml": f'base_url = "{BLOG.rstrip("/")}"\ntitle = "Z"\ngenerate_feeds = true\nfeed_limit = 4\n'
    'taxonomies = [{name = "tags", feed = true}]\n',
    "content/_index.md": "+++\n+++\n",
    "content/notes/_index.md": '+++\ntitle = "Notes"\ngenerate_feeds = true\nsort_by = "date"\n+++\n',
    "content/notes/2024-05-01-Bread & butter.md": '+++\ntitle = "Bread"\n[taxonomies]\ntags = ["Big Data"]\n+++\nText.\n',
    "content/notes/b/index.md": '+++\ntitle = "B"\ndate = 2024-05-02\n[taxonomies]\ntags = []\n+++\nText.\n',
    "content/notes/b/extra.md": '+++\ntitle = "A page in the folder of another"\n+++\nText.\n',
    "content/notes/c.md": '+++\ntitle = "C"\ndate = 2024-05-03T10:00:00+02:00\nslug = "see"\n[extra]\n+++\nText.\n',
    "content/notes/d.md": '+++\ntitle = "D"\ndate = 2024-05-04\npath = "elsewhere/d"\n+++\nText.\n',
    "content/notes/e.md": '+++\ntitle = "E"\ndate = 2024-05-05\ndraft = true\n+++\nText.\n',
    "content/top.md": '+++\ntitle = "Top"\ndate = 2024-05-06\n+++\nText.\n',
    "content/about.md": '+++\ntitle = "About"\n+++\nText.\n',
}
ZOLA_POSTS = [
    ("Top", f"{BLOG}top/"),
    ("D", f"{BLOG}elsewhere/d/"),
    ("C", f"{BLOG}notes/see/"),
    ("B", f"{BLOG}notes/b/"),
    ("Bread", f"{BLOG}notes/bread-butter/"),
]


def test_the_feeds_of_a_zola_site_have_its_posts_and_links(tmp_path: Path, empty: MovedShop) -> None:
    write_files(tmp_path / "site", ZOLA)
    empty.run_all(("init", "--from", "../site"), ("check",), ("build", "--strict"))

    def posts(document: str) -> list[tuple[str, str]]:
        return [entry[:2] for entry in shown(empty.output / document)]

    assert posts("atom.xml") == ZOLA_POSTS[:4]
    assert posts("notes/atom.xml") == ZOLA_POSTS[1:]
    assert posts("tags/big-data/atom.xml") == ZOLA_POSTS[4:]
