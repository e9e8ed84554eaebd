"""The service and `serve` over an output bucket of a real server, also while that is away."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commands import Running, Shop, eventually
from object_storage import CUT, ObjectStorage, Proxy

CACHING = "public, max-age=30, stale-while-revalidate=30, stale-if-error=86400"


class BucketShop(Shop):
    """A shop whose output is a bucket, behind a proxy."""

    def __init__(self, root: Path, storage: ObjectStorage, proxy: Proxy) -> None:
        super().__init__(root)
        root.mkdir()
        self.storage, self.proxy = storage, proxy
        self.bucket = storage.make_bucket()
        self.place = f"s3://{self.bucket}/feeds"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in super().environment().items() if not name.startswith("AWS_")}
        return kept | self.storage.environment(endpoint=self.proxy.url) | more

    def configure(self, **tables: str) -> None:
        output = f'path = "{self.place}"\n{tables.pop("output", "")}'
        super().configure(output=output, schedule='every = "60s"', **tables)

    def put(self, path: str, body: bytes) -> None:
        self.storage.client().put_object(Bucket=self.bucket, Key=f"feeds/{path}", Body=body)


@pytest.fixture
def proxy(object_storage: ObjectStorage) -> Iterator[Proxy]:
    with Proxy(object_storage.port) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, object_storage: ObjectStorage, proxy: Proxy) -> Iterator[BucketShop]:
    made = BucketShop(tmp_path / "shop", object_storage, proxy)
    made.configure()
    made.record("a.md", "Story", topics=["AI"])
    yield made
    made.close()


@contextmanager
def waiting(service: Running, paths: list[str]) -> Iterator[None]:
    """Requests for these paths, whose answers nobody reads."""
    with ExitStack() as held:
        for path in paths:
            held.enter_context(service.connect()).sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield


def away(*_: str) -> int:
    return CUT


def back(*_: str) -> None:
    return None


def test_documents_of_a_bucket_have_the_validators_of_a_folder(shop: BucketShop) -> None:
    shop.configure(feed='slug = "news"\ntitle = "News"\nmoved_from = ["old"]')
    text = shop.config.read_text().replace("[feed]", "[[feed]]")
    shop.config.write_text(text)
    service = shop.start("run").wait_until_done()
    reply = service.get("news/rss.xml")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/rss+xml; charset=utf-8")
    assert reply.headers["cache-control"] == CACHING
    assert reply.body == shop.storage.objects(shop.bucket)["feeds/news/rss.xml"]
    assert service.get("news/rss.xml", If_None_Match=reply.headers["etag"]).status == 304
    packed = service.get("news/rss.xml", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == reply.body
    eventually(lambda: "last-modified" in service.get("news/rss.xml").headers)
    dated = service.get("news/rss.xml").headers["last-modified"]
    assert service.get("news/rss.xml", If_Modified_Since=dated).status == 304
    # urllib follows redirects
    assert service.get("old/rss.xml").body == reply.body
    assert service.get("news").headers["content-type"] == "text/html; charset=utf-8"
    assert service.get("nothing").status == 404
    assert service.get(".aggregator/manifest.json").status == 404


def test_what_was_withdrawn_answers_410_and_archive_pages_are_served(shop: BucketShop) -> None:
    shop.configure(output='limit = 1\nmin_stay = "0s"')
    shop.record("b.md", "Older", topics=["AI"], publishedDateTime="2024-01-01T00:00:00Z")
    assert shop.run("build").returncode == 0
    service = shop.start("serve")
    page = service.get("ai/archive/0001.xml")
    assert (page.status, page.headers["content-type"]) == (200, "application/atom+xml; charset=utf-8")
    assert service.get("ai/archive/0001.xml", If_None_Match=page.headers["etag"]).status == 304
    assert service.get("ai/archive/0009.xml").status == 404
    shop.storage.client().put_object(Bucket=shop.bucket, Key="feeds/team/archive/minutes.html", Body=b"private")
    assert service.get("team/archive/minutes.html").status == 404
    shop.configure(output='limit = 1\nmin_stay = "0s"\nformats = ["rss", "json"]')
    assert shop.run("build").returncode == 0
    eventually(lambda: service.get("ai/atom.xml").status == 410)


def test_another_process_serves_what_was_published_last(shop: BucketShop) -> None:
    assert shop.run("build").returncode == 0
    service = shop.start("serve")
    assert service.titles() == ["Story"]
    shop.record("b.md", "New", topics=["AI"])
    assert shop.run("build").returncode == 0
    eventually(lambda: set(service.titles()) == {"Story", "New"})


def test_a_bucket_that_is_away_leaves_what_is_in_memory(shop: BucketShop) -> None:
    shop.configure(serve='port = 0\ncache = "100KB"')
    shop.many(40)
    assert shop.run("build").returncode == 0
    service = shop.start("serve")
    kept = service.get("all/rss.xml")
    assert kept.status == 200
    paths = [f"t{number}/index.html" for number in range(7)] + ["all/index.html", "index.html", "opml.xml"]
    shop.proxy.decide = away
    statuses = {path: service.get(path) for path in paths}
    assert service.get("all/rss.xml").body == kept.body
    refused = [reply for reply in statuses.values() if reply.status == 503]
    assert refused
    assert {reply.headers["retry-after"] for reply in refused} == {"10"}
    eventually(lambda: service.get("healthz").status == 503)
    assert "s3://" in service.get("healthz").json()["reason"]
    assert service.get("readyz").status == 200
    shop.proxy.decide = back
    eventually(lambda: service.get("healthz").status == 200)
    eventually(lambda: {service.get(path).status for path in paths} == {200})
    assert service.log.count("Traceback") == 0


def test_a_service_goes_on_while_its_bucket_is_away_and_catches_up(shop: BucketShop) -> None:
    service = shop.start("run").wait_until_done()
    shop.proxy.decide = away
    shop.record("b.md", "New", topics=["AI"])
    eventually(lambda: service.health() == "failing")
    assert "manifest.json cannot be read: " in service.get("healthz").json()["reason"]
    assert service.titles() == ["Story"]
    status = shop.run("status")
    assert status.returncode == 1
    assert "s3://" in status.stdout
    assert "check the server, the network and AWS_ENDPOINT_URL" in " ".join(status.stdout.split())
    shop.proxy.decide = back
    eventually(lambda: set(service.titles()) == {"Story", "New"})
    eventually(lambda: service.health() == "ok")
    assert service.log.count("Traceback") == 0


def test_a_slow_bucket_does_not_keep_probes_waiting(shop: BucketShop) -> None:
    shop.configure(serve='port = 0\ncache = "1B"')
    assert shop.run("build").returncode == 0
    service = shop.start("serve")
    eventually(lambda: service.get("readyz").status == 200)
    shop.proxy.decide = lambda *_: shop.proxy.wait()
    documents = [key.removeprefix("feeds/") for key in shop.storage.objects(shop.bucket) if ".aggregator" not in key]
    assert len(documents) > 8
    with waiting(service, 3 * documents):
        eventually(lambda: len(shop.proxy.paths("GET")) > 8)
        assert service.get("readyz").status == 200
    shop.proxy.decide = back
    eventually(lambda: service.get("all/rss.xml").status == 200)


# commands


def test_a_follower_asks_a_shared_bucket_as_seldom_as_serve_does(
    shop: BucketShop, tmp_path: Path, object_storage: ObjectStorage, postgres_url: Callable[[], str]
) -> None:
    shared = {"store": f'url = "{postgres_url()}"', "records": f'path = "{shop.incoming}"'}
    shop.configure(**shared)
    leader = shop.start("run")
    eventually(lambda: leader.titles() == ["Story"])
    with Proxy(object_storage.port) as watched:
        asked: list[float] = []
        watched.hear = lambda method, *_: asked.append(time.monotonic()) if method == "HEAD" else None
        other = BucketShop(tmp_path / "other", object_storage, watched)
        other.place = shop.place
        other.configure(**shared)
        follower = other.start("run")
        eventually(lambda: follower.titles() == ["Story"])
        asked.clear()
        eventually(lambda: len(asked) == 2)
        assert asked[1] - asked[0] > 4
        shop.record("b.md", "News", topics=["AI"])
        eventually(lambda: sorted(follower.titles()) == ["News", "Story"])
        other.close()


def test_check_says_what_is_wrong_with_a_bucket(shop: BucketShop) -> None:
    assert shop.run("check").returncode == 0
    shop.place = "s3://nowhere/feeds"
    shop.configure()
    checked = shop.run("check")
    assert checked.returncode == 1
    assert (
        "s3://nowhere/feeds cannot be listed: there is no such bucket (make it, or correct its name)" in checked.stdout
    )
    line = shop.config.read_text().split("\n").index('path = "s3://nowhere/feeds"') + 1
    assert checked.stdout.startswith(f"config/aggregator.toml:{line}:1: ")


def test_a_build_into_a_missing_bucket_fails_and_says_why(shop: BucketShop) -> None:
    shop.place = "s3://nowhere/feeds"
    shop.configure()
    built = shop.run("build")
    assert built.returncode == 1
    assert "there is no such bucket" in built.stderr
    rehearsed = shop.run("build", "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr


def test_a_build_without_the_library_names_the_extra(shop: BucketShop) -> None:
    lib = shop.root / "without" / "botocore"
    lib.mkdir(parents=True)
    (lib / "__init__.py").write_text("raise ImportError('not installed')")
    path = os.pathsep.join([str(lib.parent), os.environ.get("PYTHONPATH", "")])
    built = shop.run("build", env={"PYTHONPATH": path})
    assert built.returncode == 1
    what = "cannot be opened: it needs a library that is not installed (in the checkout, run: pip install '.[s3]')"
    assert what in built.stderr
