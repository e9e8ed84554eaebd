"""The service as real feed readers see it, each with a home of its own and one feed in one format.

One service serves all tests of this file. Each has records of its own and subscribes anew, so none depends on another.
"""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import Any

import pytest
from commands import OLD, Running, Shop, eventually, free_port
from corpus import SHARED
from http_servers import LoopbackServer, QuietHandler
from subscribers import READERS, Item, Subscriber

TESTS = Path(__file__).parents[1]
REAL_RECORDS = 60
TITLES = (
    "Research & Development",
    "1 < 2 > 0, <3 and </title>",
    "\"Double\" and 'single' quotes, «others» too",
    "What &amp and &lt mean in HTML",
    "A tag such as <b> in code",
    "]]> ends nothing",
    "Family 👩‍👩‍👧 and flag 🇦🇹",
    "مرحبا بالعالم",
    "שלום עולם",
    "日本語の見出し",
)
TOPIC, SLUG = "Maps & Plans", "maps-plans"


class Newsroom:
    """A running service, and the folder its records come from."""

    def __init__(self, root: Path) -> None:
        self.shop = Shop(root)
        self.port = free_port()
        self._mtimes = itertools.count(OLD)
        self._hosts = itertools.cycle(["127.0.0.1", "localhost"])
        self._configure()

    def _configure(self) -> None:
        self.base_url = f"http://{next(self._hosts)}:{self.port}/"
        self.shop.configure(
            site=f'id = "feeds.example.org"\nbase_url = "{self.base_url}"\nauthor = "The newsroom"',
            serve=f"port = {self.port}",
            output='limit = 1000\nmax_bytes = "20MB"',
        )

    def open(self) -> None:
        self.service: Running = self.shop.start("run")
        self.service.wait_until_done()

    def move(self) -> None:
        """The same service under another public address."""
        self.service.end()
        self._configure()
        self.open()

    def publish(self, name: str, title: str, **fields: Any) -> None:
        """Writes a record and waits until the feeds have it; `webUrl=None` leaves a field out."""
        fields = {
            "excerpt": f"About {name} &amp; &lt;more&gt;.",
            "webUrl": f"https://news.example.org/{name}?a=1&b=2",
            "publishedDateTime": "2026-05-20T07:10:00Z",
            "topics": [TOPIC],
        } | fields
        given = {key: value for key, value in fields.items() if value is not None}
        before = self.service.get("all/feed.json").body
        self.shop.record(f"{name}.md", json.dumps(escape(title), ensure_ascii=False), mtime=next(self._mtimes), **given)
        eventually(lambda: self.service.get("all/feed.json").body != before)

    def url(self, file: str, slug: str = "all") -> str:
        return f"http://127.0.0.1:{self.port}/{slug}/{file}"

    def entries(self, slug: str = "all") -> set[tuple[str, str, str]]:
        """Id, title and link of every entry of a feed."""
        served = self.service.get(f"{slug}/feed.json").json()["items"]
        return {(item["id"], item["title"], item.get("url", "")) for item in served}

    def ids(self) -> dict[str, str]:
        """The ids of all entries by their titles."""
        return {title: id_ for id_, title, _ in self.entries()}


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    made = Newsroom(tmp_path_factory.mktemp("newsroom"))
    shutil.copytree(TESTS.parent / "examples" / "incoming", made.shop.incoming, dirs_exist_ok=True)
    real = sorted((SHARED / "corpus" / "news").rglob("*.md"))[:REAL_RECORDS]
    for number, path in enumerate(real):
        shutil.copy(path, made.shop.incoming / f"real{number}.md")
    made.open()
    for number, title in enumerate(TITLES):
        made.publish(f"title{number}", title)
    made.publish("no-link", "Nothing to click", webUrl=None)
    made.publish("no-date", "No date", publishedDateTime=None)
    made.publish("other-letters", "Other letters", topics=["地図", "音楽"])
    yield made
    made.shop.close()


@pytest.fixture(
    params=[pytest.param((kind, file), id=f"{kind.__name__}-{file}") for kind in READERS for file in kind.formats]
)
def subscription(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Subscriber, str]]:
    """A reader without a feed, and the name of the file it is to read."""
    kind, file = request.param
    made = kind(tmp_path / "home")
    yield made, file
    made.close()


@pytest.fixture
def subscriber(subscription: tuple[Subscriber, str], newsroom: Newsroom) -> Callable[..., Subscriber]:
    """Subscribes to the feed of everything or of a topic, and polls once."""
    made, file = subscription

    def subscribe(slug: str = "all") -> Subscriber:
        made.subscribe(newsroom.url(file, slug))
        made.poll()
        return made

    return subscribe


@pytest.mark.parametrize("slug", ["all", SLUG])
def test_every_entry_arrives_once_with_its_title_and_link(
    newsroom: Newsroom, subscriber: Callable[..., Subscriber], slug: str
) -> None:
    held = subscriber(slug).items()
    expected = newsroom.entries(slug)
    assert set(TITLES) <= {title for _, title, _ in expected}
    assert {(one.id, one.title, one.link) for one in held} == expected
    assert len(held) == len(expected)


def test_an_episode_can_be_played(newsroom: Newsroom, subscriber: Callable[..., Subscriber], tmp_path: Path) -> None:
    name = f"episode-{tmp_path.name}"
    url = f"https://media.example.org/{name}.mp3?a=1&b=2"
    newsroom.publish(name, "Episode", enclosure={"url": url, "length": 12345})
    assert url in subscriber().media()


def test_a_second_poll_brings_nothing(subscriber: Callable[..., Subscriber]) -> None:
    made = subscriber()
    held = made.items()
    made.poll()
    assert sorted(made.items()) == sorted(held)


@pytest.mark.parametrize("slug", ["all", SLUG])
def test_one_new_record_is_one_new_item(
    newsroom: Newsroom, subscriber: Callable[..., Subscriber], tmp_path: Path, slug: str
) -> None:
    made = subscriber(slug)
    held = made.items()
    newsroom.publish(f"new-{tmp_path.name}", f"New for {tmp_path.name}")
    made.poll()
    assert _added(held, made.items()) == [newsroom.ids()[f"New for {tmp_path.name}"]]


def test_a_record_that_is_edited_then_linked_elsewhere_then_withdrawn_is_no_new_item(
    newsroom: Newsroom, subscriber: Callable[..., Subscriber], tmp_path: Path
) -> None:
    name = f"edited-{tmp_path.name}"
    newsroom.publish(name, "Edited", excerpt=f"Before {name}.")
    made = subscriber()
    held = made.items()
    newsroom.publish(name, "Edited", excerpt=f"After {name}.")
    made.poll()
    assert _ids(made.items()) == _ids(held)
    if made.keeps_edits:
        assert any(f"After {name}." in one.text for one in made.items())
    newsroom.publish(name, "Edited", webUrl=f"https://elsewhere.example.org/{name}")
    made.poll()
    if made.tells_links_apart:
        assert set(_ids(made.items())) == set(_ids(held))
    else:
        assert _ids(made.items()) == _ids(held)
    held = made.items()
    newsroom.publish(name, "Edited", published=False)
    made.poll()
    assert _added(held, made.items()) == []


def test_another_address_of_the_site_makes_no_new_items(newsroom: Newsroom, tmp_path: Path) -> None:
    with ExitStack() as opened:
        readers = [(kind(tmp_path / f"{kind.__name__}-{file}"), file) for kind in READERS for file in kind.formats]
        for made, file in readers:
            opened.callback(made.close)
            made.subscribe(newsroom.url(file))
            made.poll()
        held = [_ids(made.items()) for made, _ in readers]
        newsroom.move()
        for (made, file), before in zip(readers, held, strict=True):
            made.poll()
            assert _ids(made.items()) == before, (type(made), file)


@pytest.mark.parametrize("kind", READERS)
def test_the_list_of_feeds_is_taken_over_in_one_go(newsroom: Newsroom, kind: type[Subscriber], tmp_path: Path) -> None:
    opml = tmp_path / "opml.xml"
    opml.write_bytes(newsroom.service.get("opml.xml").body)
    made = kind(tmp_path / "home")
    made.take_over(opml)
    made.poll()
    slugs = [file.parent.name for file in newsroom.shop.output.glob("*/rss.xml")]
    assert made.feed_urls() == sorted(f"{newsroom.base_url}{slug}/rss.xml" for slug in slugs)
    assert {one.id for one in made.items()} == {id_ for id_, _, _ in newsroom.entries()}
    made.close()


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind.asks_conditionally])
def test_a_poll_without_news_is_answered_304(newsroom: Newsroom, kind: type[Subscriber], tmp_path: Path) -> None:
    made = kind(tmp_path / "home")
    with Watch(newsroom.port) as watch:
        made.subscribe(f"http://127.0.0.1:{watch.port}/all/rss.xml")
        # newsboat sends validators from its third fetch on
        for _ in range(3):
            made.poll()
        assert watch.statuses[0] == 200
        assert watch.statuses[-1] == 304
    made.close()


class Watch(LoopbackServer):
    """A proxy on a port of its own in front of the service that notes the status of every answer."""

    def __init__(self, port: int) -> None:
        self.statuses: list[int] = []
        watch = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:  # noqa: N802 - a name of the library
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
                watch.statuses.append(answer.status)
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)


def _ids(items: list[Item]) -> list[str]:
    return sorted(one.id for one in items)


def _added(before: list[Item], after: list[Item]) -> list[str]:
    """The ids of the items that came, one that came a second time too."""
    return list((Counter(_ids(after)) - Counter(_ids(before))).elements())
