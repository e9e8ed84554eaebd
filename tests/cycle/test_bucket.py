"""Publishing into a bucket of a real server: what is written there, how often, and what another publisher cannot do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import SiteFolder, at
from object_storage import ObjectStorage, Proxy, proxied, use

from aggregator.buckets import Bucket, BucketUrl, open_bucket

NOON, LATER, DAY = at("2024-05-01 12:00"), at("2024-05-01 13:00"), at("2024-05-02 12:00")
PREFIX = "feeds/"
OWN = ".aggregator/"


class BucketSite(SiteFolder):
    """A site that publishes into a bucket."""

    def __init__(self, root: Path, url: str, storage: ObjectStorage, config: str = "") -> None:
        self.storage, self.bucket = storage, storage.make_bucket()
        self.config = config
        super().__init__(root, url, self.text(config))

    def text(self, config: str) -> str:
        return f'[output]\npath = "s3://{self.bucket}/{PREFIX}"\nlimit = 2\nmin_stay = "0s"\n{config}'

    def objects(self) -> dict[str, bytes]:
        """All objects below the prefix."""
        return {key.removeprefix(PREFIX): body for key, body in self.storage.objects(self.bucket).items()}

    def documents(self) -> dict[str, bytes]:
        return {path: body for path, body in self.objects().items() if not path.startswith(OWN)}

    def feed(self, slug: str = "all") -> Any:
        return json.loads(self.documents()[f"{slug}/feed.json"])

    def open(self) -> Bucket:
        return open_bucket(BucketUrl(self.bucket, PREFIX))

    def put(self, path: str, body: bytes) -> None:
        """As somebody else writes."""
        self.storage.client().put_object(Bucket=self.bucket, Key=PREFIX + path, Body=body)

    def head(self, path: str) -> Any:
        return self.storage.client().head_object(Bucket=self.bucket, Key=PREFIX + path)


def fill(site: SiteFolder, title: str = "Story", topics: tuple[str, ...] = ("AI", "Energy")) -> None:
    """Four records in two topics; with two entries in a feed, some are in archives."""
    for number in range(4):
        date = f"2024-04-0{number + 1}T08:00:00Z"
        site.record(f"{number}.md", title=f"{title} {number}", topics=list(topics), publishedDateTime=date)


@pytest.fixture
def make_bucket_site(tmp_path: Path, aws: ObjectStorage) -> Iterator[Callable[..., BucketSite]]:
    made: list[BucketSite] = []

    def make(config: str = "") -> BucketSite:
        root = tmp_path / f"bucket{len(made)}"
        made.append(BucketSite(root, f"sqlite:///{root}.db", aws, config))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_bucket_site: Callable[..., BucketSite]) -> BucketSite:
    """A site with four records, not published yet."""
    made = make_bucket_site()
    fill(made)
    return made


@pytest.fixture
def proxy(aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Before the server, for all that this process sends."""
    with proxied(aws) as made:
        use(aws, monkeypatch, endpoint=made.endpoint)
        yield made


def written(proxy: Proxy) -> list[str]:
    """The documents that were uploaded, since this was asked last."""
    paths = [path.removeprefix(PREFIX) for path in proxy.paths("PUT")]
    proxy.requests.clear()
    return sorted(path for path in paths if not path.startswith(OWN))


# what is written


def test_a_bucket_gets_the_bytes_that_a_folder_gets(
    site: BucketSite, make_site: Callable[..., SiteFolder], tmp_path: Path
) -> None:
    folder = make_site(f"sqlite:///{tmp_path}/folder.db", '[output]\nlimit = 2\nmin_stay = "0s"\n')
    fill(folder)
    for each in (site, folder):
        assert each.run(NOON).problems == ()
    assert site.documents() == folder.documents()
    assert any("/archive/" in path for path in site.documents())
    for each in (site, folder):
        each.record("4.md", title="Later", topics=["Energy"], publishedDateTime="2024-05-01T12:30:00Z")
        each.remove("0.md")
        each.run(LATER)
        each.run(DAY)
    assert site.documents() == folder.documents()
    assert set(site.objects()) - set(site.documents()) == {
        f"{OWN}{name}" for name in ("manifest.json", "unfinished.json", "probe")
    }


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("all/rss.xml", "application/rss+xml; charset=utf-8"),
        ("all/atom.xml", "application/atom+xml; charset=utf-8"),
        ("ai/archive/0001.xml", "application/atom+xml; charset=utf-8"),
        ("all/feed.json", "application/feed+json"),
        ("opml.xml", "text/x-opml; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("assets/style.css", "text/css; charset=utf-8"),
        ("assets/script.js", "text/javascript; charset=utf-8"),
        ("assets/icon.svg", "image/svg+xml"),
        ("robots.txt", "text/plain; charset=utf-8"),
    ],
)
def test_objects_have_the_header_fields_that_the_server_sends(
    published: BucketSite, path: str, media_type: str
) -> None:
    found = published.head(path)
    assert found["ContentType"] == media_type
    assert found["CacheControl"] == "public, max-age=30, stale-while-revalidate=60, stale-if-error=86400"
    assert "ContentEncoding" not in found


@pytest.fixture(scope="module")
def published(object_storage: ObjectStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketSite]:
    """A published site, only to look at."""
    with pytest.MonkeyPatch.context() as patch:
        use(object_storage, patch)
        root = tmp_path_factory.mktemp("published")
        site = BucketSite(root / "site", f"sqlite:///{root}/store.db", object_storage)
        fill(site)
        site.run(NOON)
        yield site
        site.close()


def test_what_is_ours_alone_may_not_be_cached(published: BucketSite) -> None:
    for name in ("manifest.json", "unfinished.json"):
        assert published.head(OWN + name)["CacheControl"] == "no-store"


def test_a_copy_at_an_old_path_tells_a_website_where_its_feed_is(
    make_bucket_site: Callable[..., BucketSite], proxy: Proxy
) -> None:
    heard: dict[str, str] = {}
    proxy.hear = lambda method, path, headers: heard.update(
        {path.partition("/")[2].removeprefix(PREFIX): headers.get("x-amz-website-redirect-location", "")}
        if method == "PUT"
        else {}
    )
    site = make_bucket_site('[[feed]]\nslug = "news"\ntitle = "News"\nmoved_from = ["old", "tags/x/index.xml"]\n')
    fill(site)
    site.run(NOON)
    base = "https://feeds.example.org/news/"
    moved = {path: location for path, location in heard.items() if location}
    assert moved == {
        "old/rss.xml": f"{base}rss.xml",
        "old/atom.xml": f"{base}atom.xml",
        "old/feed.json": f"{base}feed.json",
        "old/index.html": base,
        "tags/x/index.xml": f"{base}rss.xml",
        **{
            path: f"{base}{path.removeprefix('old/').removesuffix('index.html')}"
            for path in moved
            if path.startswith("old/archive")
        },
    }
    assert site.documents()["old/rss.xml"] == site.documents()["news/rss.xml"]


# how often


def test_only_changed_documents_are_uploaded_and_the_manifest_is_last(site: BucketSite, proxy: Proxy) -> None:
    site.run(NOON)
    assert written(proxy) == sorted(site.documents())
    site.run(NOON + timedelta(minutes=1))
    assert (written(proxy), proxy.paths("PUT")) == ([], [])
    site.record("4.md", title="Later", topics=["Energy"], publishedDateTime="2024-05-01T11:00:00Z")
    before = site.documents()
    site.run(NOON + timedelta(minutes=2))
    puts = [path.removeprefix(PREFIX) for path in proxy.paths("PUT")]
    assert (puts[0], puts[-1]) == (f"{OWN}unfinished.json", f"{OWN}manifest.json")
    after = site.documents()
    assert written(proxy) == sorted(path for path in after if after[path] != before.get(path))
    assert not any(path.startswith("ai/") for path in after if after[path] != before.get(path))


def test_a_new_process_uploads_nothing_again(site: BucketSite, proxy: Proxy) -> None:
    site.run(NOON)
    written(proxy)
    site.close()
    site.run(NOON + timedelta(minutes=1))
    assert proxy.paths("PUT") == [f"{PREFIX}{OWN}probe"]


def test_a_cycle_without_changes_asks_once(site: BucketSite, proxy: Proxy) -> None:
    site.run(NOON)
    site.run(NOON, paths={})
    proxy.requests.clear()
    site.run(NOON, paths={})
    assert [method for method, _, _ in proxy.requests] == ["HEAD"]


def test_other_header_fields_are_written_to_all_objects_once(site: BucketSite, proxy: Proxy) -> None:
    site.run(NOON)
    written(proxy)
    site.configure(site.text('[schedule]\nevery = "120s"\n'))
    site.run(NOON + timedelta(minutes=1))
    assert written(proxy) == sorted(site.documents())
    assert site.head("all/rss.xml")["CacheControl"].startswith("public, max-age=60,")
    site.run(NOON + timedelta(minutes=2))
    assert written(proxy) == []


# what is ours


def test_an_obsolete_document_is_deleted_and_a_missing_one_is_written_again(
    site: BucketSite, aws: ObjectStorage
) -> None:
    site.run(NOON)
    aws.client().delete_object(Bucket=site.bucket, Key=f"{PREFIX}all/rss.xml")
    site.configure(site.text("pages = false\n"))
    site.run(LATER)
    documents = site.documents()
    assert "all/rss.xml" in documents
    assert not [path for path in documents if path.endswith(".html")]
    manifest = json.loads(site.objects()[f"{OWN}manifest.json"])
    assert sorted(manifest["files"]) == sorted(documents)
    assert "all/index.html" in manifest["gone"]


def test_an_object_of_others_is_in_the_way_and_stays(site: BucketSite) -> None:
    site.put("ai/rss.xml", b"mine")
    site.put("robots.txt", b"mine too")
    site.put("picture.png", b"picture")
    for now in (NOON, LATER):
        problems = site.run(now).problems
        assert problems == (
            f"s3://{site.bucket}/feeds/ai/rss.xml is in the way of ai/rss.xml: the program did not write it (move it away)",
        )
    documents = site.documents()
    assert (documents["ai/rss.xml"], documents["robots.txt"], documents["picture.png"]) == (
        b"mine",
        b"mine too",
        b"picture",
    )
    assert "ai/atom.xml" in documents
    site.storage.client().delete_object(Bucket=site.bucket, Key=f"{PREFIX}ai/rss.xml")
    assert site.run(DAY).problems == ()
    assert site.documents()["ai/rss.xml"].startswith(b"<?xml")


def test_an_object_that_appears_during_a_publish_stays(site: BucketSite, proxy: Proxy) -> None:
    came = threading.Event()

    def decide(method: str, path: str, _query: str) -> None:
        if method == "PUT" and path.endswith("unfinished.json") and not came.is_set():
            came.set()
            site.put("ai/rss.xml", b"mine")

    proxy.decide = decide
    result = site.run(NOON)
    assert [problem for problem in result.problems if "is in the way of ai/rss.xml" in problem]
    assert site.documents()["ai/rss.xml"] == b"mine"


def test_a_document_that_others_changed_is_written_again(site: BucketSite) -> None:
    site.run(NOON)
    right = site.documents()
    site.put("all/rss.xml", b"changed")
    site.close()
    site.run(NOON + timedelta(minutes=1))
    assert site.documents() == right


def test_without_a_manifest_only_objects_with_the_expected_bytes_are_ours(site: BucketSite) -> None:
    site.run(NOON)
    right = site.documents()
    for name in ("manifest.json", "unfinished.json"):
        site.storage.client().delete_object(Bucket=site.bucket, Key=PREFIX + OWN + name)
    site.put("ai/rss.xml", b"other")
    site.close()
    result = site.run(NOON + timedelta(minutes=1))
    assert len(result.problems) == 1
    assert "in the way of ai/rss.xml" in result.problems[0]
    assert site.documents() == right | {"ai/rss.xml": b"other"}


def test_a_damaged_manifest_is_one_problem_and_is_written_again(site: BucketSite) -> None:
    site.run(NOON)
    right = site.documents()
    site.put(f"{OWN}manifest.json", b"{}")
    result = site.run(NOON + timedelta(minutes=1))
    assert len(result.problems) == 1
    assert f"s3://{site.bucket}/feeds/{OWN}manifest.json cannot be used: it is damaged" in result.problems[0]
    assert site.run(NOON + timedelta(minutes=2)).problems == ()
    assert site.documents() == right


def test_a_bucket_of_another_site_says_so(site: BucketSite, make_bucket_site: Callable[..., BucketSite]) -> None:
    site.run(NOON)
    other = make_bucket_site()
    other.bucket = site.bucket
    other.configure(other.text(""))
    fill(other, "Other")
    problems = other.run(LATER).problems
    assert any("was last written from another store" in problem for problem in problems), problems
