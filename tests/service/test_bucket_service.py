"""A service whose records are in a bucket: it lists on schedule, and goes on through whatever the server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Running, Shop, eventually
from object_storage import CUT, ObjectStorage, Proxy

SCHEDULE = 'every = "1s"\nrescan = "1h"\nwatch = true'
STOPS_WITHIN_S = 5.0


class BucketShop(Shop):
    """A shop with a folder of records that is watched, and a bucket of them behind a proxy."""

    def __init__(self, root: Path, storage: ObjectStorage, proxy: Proxy) -> None:
        super().__init__(root)
        self.proxy, self._storage = proxy, storage
        self._client, self._bucket = storage.client(), storage.make_bucket()
        self.url = f"s3://{self._bucket}/news"
        tables = {"[records]": f'path = "../incoming"\n[[records]]\nname = "news"\npath = "{self.url}"'}
        self.configure(schedule=SCHEDULE, **tables)

    def put(self, path: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key=f"news/{path}", Body=f"---\ntitle: {path}\n---\n".encode())

    def serve(self) -> Running:
        return self.start("run", **self._storage.environment(endpoint=self.proxy.url))


@pytest.fixture
def shop(tmp_path: Path, object_storage: ObjectStorage) -> Iterator[BucketShop]:
    with Proxy(object_storage.port) as proxy:
        made = BucketShop(tmp_path, object_storage, proxy)
        yield made
        made.close()


def shows(service: Running, *titles: str) -> Callable[[], bool]:
    return lambda: sorted(service.titles()) == sorted(titles)


def test_a_bucket_is_listed_on_schedule_beside_folders_that_are_watched(shop: BucketShop) -> None:
    shop.record("a.md")
    shop.put("b.md")
    service = shop.serve().wait_until_done()
    assert shows(service, "a.md", "b.md")()
    assert f"{shop.url} reports no changes: it is scanned on schedule" in service.log
    shop.put("c.md")
    eventually(shows(service, "a.md", "b.md", "c.md"))
    shop.record("d.md")
    eventually(shows(service, "a.md", "b.md", "c.md", "d.md"))
    assert service.end()[0] == 0


def test_while_the_server_is_away_feeds_stay_and_folders_go_on(shop: BucketShop) -> None:
    shop.put("b.md")
    service = shop.serve().wait_until_done()
    shop.proxy.decide = lambda *_: CUT
    eventually(lambda: service.health() != "ok")
    eventually(lambda: "the records folder cannot be read" in service.log)
    assert "writer-secret" not in service.log
    shop.record("a.md")
    eventually(shows(service, "a.md", "b.md"))
    shop.put("c.md")
    shop.proxy.decide = lambda *_: None
    eventually(shows(service, "a.md", "b.md", "c.md"))
    eventually(lambda: service.health() == "ok")
    assert "resolved: " in service.log


def test_a_stop_does_not_wait_for_an_answer(shop: BucketShop) -> None:
    shop.put("b.md")
    service = shop.serve().wait_until_done()
    shop.proxy.requests.clear()
    shop.proxy.decide = lambda *_: shop.proxy.wait()
    eventually(lambda: shop.proxy.requests)
    code, seconds = service.end()
    assert (code, seconds < STOPS_WITHIN_S) == (0, True)
