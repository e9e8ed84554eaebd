"""Publishing into a bucket of a real server: what is written there, how often, and what another publisher cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import eventually
from conftest import SiteFolder, at
from object_storage import CUT, READER, ObjectStorage, Proxy, running_storage, use
from sqlalchemy import text

from aggregator.buckets import Bucket, BucketUrl, open_bucket
from aggregator.cycle.pipeline import Paths
from aggregator.errors import LeaseLostError, PublishError
from aggregator.model import Document
from aggregator.output.bucket import PARALLEL, OutputBucket
from aggregator.output.publication import Target

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
    with Proxy(aws.port) as made:
        use(aws, monkeypatch, endpoint=made.url)
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
    assert found["CacheControl"] == "public, max-age=30, stale-while-revalidate=30, stale-if-error=86400"
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
    asked = [path.removeprefix(PREFIX) for path in proxy.paths("GET") + proxy.paths("HEAD")]
    assert all(path.startswith(OWN) for path in asked if path), asked
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


@pytest.mark.parametrize("paths", [{}, None], ids=["nothing is scanned", "everything is scanned"])
def test_a_cycle_without_changes_asks_once(site: BucketSite, proxy: Proxy, paths: Paths | None) -> None:
    site.run(NOON)
    site.run(NOON, paths={})
    proxy.requests.clear()
    site.run(NOON, paths=paths)
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
    site.run_with(site.text("pages = false\n"), LATER)
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
    other.run(NOON)
    other.bucket = site.bucket
    other.configure(other.text(""))
    fill(other, "Other")
    problems = other.run(LATER).problems
    assert any("was last written from another store" in problem for problem in problems), problems


# faults


def test_a_failed_upload_is_made_again_and_the_manifest_waits_for_it(site: BucketSite, proxy: Proxy) -> None:
    refused = f"{PREFIX}ai/rss.xml"
    proxy.decide = lambda method, path, _: (
        503 if method == "PUT" and path.endswith(refused) and proxy.paths("PUT").count(refused) == 1 else None
    )
    assert site.run(NOON).problems == ()
    puts = proxy.paths("PUT")
    assert puts.count(refused) == 2
    assert puts[-1] == f"{PREFIX}{OWN}manifest.json"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, "the server answers 500"), (507, "it is full (make room)"), (CUT, "Connection was closed")],
)
def test_a_server_that_fails_in_the_middle_costs_only_time(
    site: BucketSite, proxy: Proxy, make_site: Callable[..., SiteFolder], tmp_path: Path, status: int, reason: str
) -> None:
    proxy.decide = lambda *_: status if len(proxy.paths("PUT")) > 8 else None
    (problem,) = site.run(NOON).problems
    assert reason in problem
    assert problem.endswith("(nothing is lost; the next cycle tries again)")
    assert f"{OWN}manifest.json" not in site.objects()
    # what is there is what was to be there, whole
    half = site.documents()
    proxy.decide = lambda *_: None
    written(proxy)
    assert site.run(NOON + timedelta(minutes=1)).problems == ()
    assert half.items() <= site.documents().items()
    assert sorted(half.keys() | set(written(proxy))) == sorted(site.documents())


def test_a_refused_object_costs_its_own_feed(site: BucketSite, proxy: Proxy) -> None:
    proxy.decide = lambda method, path, _: 403 if method == "PUT" and "/ai/" in path else None
    (problem,) = site.run(NOON).problems
    assert f"s3://{site.bucket}/feeds/ai/" in problem
    assert "access is refused" in problem
    assert problem.endswith("(until then its feed stays as it was; other feeds are published)")
    assert "energy/rss.xml" in site.documents()
    proxy.decide = lambda *_: None
    assert site.run(NOON + timedelta(minutes=1)).problems == ()
    assert "ai/rss.xml" in site.documents()


def test_keys_that_may_not_write_are_a_problem_with_a_hint(
    site: BucketSite, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(aws, monkeypatch, keys=READER)
    result = site.run(NOON)
    assert not result.published
    assert "access is refused (its keys need" in result.problems[0]
    use(aws, monkeypatch)
    site.close()
    assert site.run(LATER).published


def test_a_lost_answer_to_the_last_request_is_no_problem(site: BucketSite, proxy: Proxy) -> None:
    """The request is made again, and its condition fails, because its first try did succeed."""
    lost: list[str] = []
    proxy.lose = lambda method, path: (
        method == "PUT" and (OWN in path or path.endswith("ai/rss.xml")) and path not in lost and not lost.append(path)
    )
    assert site.run(NOON).problems == ()
    assert len(lost) == 4
    assert site.run(NOON + timedelta(minutes=1)).problems == ()


def test_a_server_killed_in_the_middle_of_a_publish_costs_only_time(
    site: BucketSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_storage() as own, Proxy(own.port) as proxy:
        use(own, monkeypatch, endpoint=proxy.url)
        site.storage, site.bucket = own, own.make_bucket()
        site.configure(site.text(""))
        puts: list[str] = []

        def decide(method: str, path: str, _query: str) -> None:
            puts.extend([path] if method == "PUT" else [])
            if len(puts) == 12:
                own.kill()

        proxy.decide = decide
        result = site.run(NOON)
        assert not result.published
        assert "cannot be written" in result.problems[0]
        proxy.decide = lambda *_: None
        own.start()
        assert f"{OWN}manifest.json" not in site.objects()
        assert site.run(NOON + timedelta(minutes=1)).problems == ()
        manifest = json.loads(site.objects()[f"{OWN}manifest.json"])
        assert sorted(manifest["files"]) == sorted(site.documents())


def test_a_full_server_costs_only_time(site: BucketSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_storage(max_volumes=1) as own:  # which the first bucket of all has
        use(own, monkeypatch)
        site.storage, site.bucket = own, own.make_bucket()
        result = site.run_with(site.text(""), NOON)
        assert not result.published
        assert "InternalError (see its log; it may be full)" in result.problems[0]
        own.kill()
        own.start(max_volumes=100)
        assert site.run(NOON + timedelta(minutes=1)).problems == ()
        assert site.titles("ai") == ["Story 3", "Story 2"]


def test_a_publisher_killed_in_the_middle_is_continued_by_the_next(site: BucketSite, proxy: Proxy) -> None:
    site.run(NOON)
    for number in range(4):
        site.remove(f"{number}.md")
    fill(site, "Edited")
    site.close()
    puts: list[str] = []

    def decide(method: str, path: str, _query: str) -> int | None:
        puts.extend([path] if method == "PUT" and OWN not in path else [])
        return proxy.wait() if len(puts) > 5 else None

    proxy.decide = decide
    shown = f"--config={site.config_file}"
    build = subprocess.Popen([sys.executable, "-m", "aggregator", "build", shown, "--now=2024-05-01T12:01:00Z"])
    eventually(lambda: len(puts) > 5)
    build.kill()
    build.wait()
    proxy.decide = lambda *_: None
    # an edit that is taken back meanwhile: the manifest names the old bytes, and the bucket may have the new ones
    fill(site)
    assert site.run(NOON + timedelta(minutes=2)).problems == ()
    assert site.titles("ai") == ["Story 3", "Story 2"]
    site.close()
    proxy.requests.clear()
    site.run(NOON + timedelta(minutes=3))
    assert proxy.paths("PUT") == [f"{PREFIX}{OWN}probe"]


# two publishers


def publish(one: OutputBucket, version: str) -> None:
    """Publishes two documents whose text is the version."""
    targets = {slug: Target(version, (f"{slug}/rss.xml",)) for slug in "ab"}

    def render(dirty: list[str]) -> Iterator[tuple[str, list[Document]]]:
        for slug in dirty:
            yield slug, [Document(f"{slug}/rss.xml", version.encode())]

    one.publish("store", "form", targets, render, lambda: None, full=True)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_publisher_that_was_frozen_changes_nothing_when_it_wakes_up(
    site: BucketSite, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It freezes before its first, second, third or last request that writes, and another one publishes meanwhile."""
    # however long that takes
    monkeypatch.setattr("aggregator.output.bucket.open_bucket", partial(open_bucket, timeout_s=300.0))
    url = BucketUrl(site.bucket, PREFIX)
    frozen, awake = (OutputBucket(url, cache_control="no-cache", location=lambda _: "") for _ in range(2))
    publish(frozen, "first")
    use(site.storage, monkeypatch)
    publish(awake, "second")
    writes: list[str] = []

    def decide(method: str, path: str, _query: str) -> None:
        writes.extend([path] if method == "PUT" else [])
        if method == "PUT" and len(writes) == step:
            publish(awake, "new")

    proxy.decide = decide
    with pytest.raises(PublishError, match="another process publishes into s3://"):
        publish(frozen, "old")
    assert len(writes) >= step
    assert site.documents() == {"a/rss.xml": b"new", "b/rss.xml": b"new"}
    manifest = json.loads(site.objects()[f"{OWN}manifest.json"])
    assert [entry["version"] for entry in manifest["files"].values()] == ["new", "new"]
    publish(frozen, "newest")
    assert set(site.documents().values()) == {b"newest"}


@pytest.mark.parametrize("loses", [False, True])
def test_deletions_check_the_lock_once_for_all_that_are_sent_together(
    site: BucketSite, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, loses: bool
) -> None:
    paths = tuple(f"a/{number}.xml" for number in range(2 * PARALLEL + 1))

    def publish_paths(output: OutputBucket, version: str, *paths: str) -> None:
        def render(_dirty: list[str]) -> Iterator[tuple[str, list[Document]]]:
            yield "a", [Document(path, version.encode()) for path in paths]

        output.publish("store", "form", {"a": Target(version, paths)}, render, lambda: None, full=True)

    url = BucketUrl(site.bucket, PREFIX)
    deleting, other = (OutputBucket(url, cache_control="no-cache", location=lambda _: "") for _ in range(2))
    publish_paths(deleting, "first", *paths)
    use(site.storage, monkeypatch)
    proxy.requests.clear()
    checks: list[str] = []

    def decide(method: str, path: str, _query: str) -> None:
        if method == "HEAD" and path.endswith("unfinished.json"):
            checks.append(path)
            if loses and len(checks) == 2:
                publish_paths(other, "new", *paths)

    proxy.decide = decide
    with pytest.raises(PublishError, match="another process") if loses else nullcontext():
        publish_paths(deleting, "second")
    assert (len(checks), len(proxy.paths("DELETE"))) == ((2, PARALLEL) if loses else (3, len(paths)))
    assert site.documents() == (dict.fromkeys(paths, b"new") if loses else {})


def test_a_leader_that_lost_its_lease_writes_nothing(site: BucketSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.run(NOON)
    before = site.objects()
    site.record("4.md", title="Later", publishedDateTime="2024-05-01T11:00:00Z")
    compare = OutputBucket.is_unchanged

    def lose(output: OutputBucket) -> bool:
        with site.store.write_request() as connection:
            connection.execute(text("UPDATE lease SET token = 'another'"))
        return compare(output)

    monkeypatch.setattr(OutputBucket, "is_unchanged", lose)
    site.run(NOON, paths={})
    with pytest.raises(LeaseLostError):
        site.run(LATER)
    assert site.objects() == before


def test_a_server_without_conditions_is_used_with_a_warning(
    site: BucketSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # the conditions are signed, so no proxy can take them away
    put = Bucket.put

    def put_anyway(*given: Any, **more: Any) -> str:
        return put(*given, **{name: value for name, value in more.items() if name not in ("if_match", "is_new")})

    monkeypatch.setattr(Bucket, "put", put_anyway)
    site.put("ai/rss.xml", b"mine")
    (problem,) = site.run(NOON).problems
    assert "is in the way of ai/rss.xml" in problem
    assert "does not keep the conditions of writes" in caplog.text
    assert site.documents()["ai/rss.xml"] == b"mine"
    site.record("4.md", title="Later", topics=["Energy"], publishedDateTime="2024-05-01T11:00:00Z")
    site.run(LATER)
    assert site.titles("energy")[0] == "Later"
