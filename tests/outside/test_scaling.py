"""deploy/scaling/nginx.conf under the real nginx, in front of two services on one PostgreSQL database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from commands import Running, Shop, eventually, free_port
from corpus import CHECKOUT
from web_servers import program, start_web_server

from benchmarks.nginx import nginx_command


class Front:
    """Two services and nginx in front of them."""

    def __init__(self, root: Path, url: str) -> None:
        self.records = Shop(root / "records")
        self.records.root.mkdir()
        self.records.configure()
        self.records.record("a.md", "Story", topics=["Tea"])
        self._shops = [Shop(root / f"service{number}") for number in range(2)]
        self.services = list[Running]()
        for shop in self._shops:
            shop.root.mkdir()
            shop.configure(
                store=f'url = "{url}"',
                records=f'path = "{self.records.incoming}"',
                schedule='every = "30s"',  # max-age is 15 s
            )
            self.services.append(shop.start("run"))
        for service in self.services:
            eventually(lambda service=service: service.get("healthz").status == 200)
        self._nginx = self._start_nginx(root / "nginx")

    def _start_nginx(self, folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir()
        port = free_port()
        sample = (CHECKOUT / "deploy" / "scaling" / "nginx.conf").read_text()
        for number, service in enumerate(self.services, 1):
            address = service.url.removeprefix("http://").rstrip("/")
            assert f"aggregator-{number}:8000" in sample
            sample = sample.replace(f"aggregator-{number}:8000", address)
        sample = sample.replace("/var/cache/nginx/feeds", str(folder / "cache"))
        sample = sample.replace("listen 8080;", f"listen 127.0.0.1:{port};")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        return start_web_server(nginx_command(program("nginx"), folder, sample), folder, self.client)

    def close(self) -> None:
        self.client.close()
        self._nginx.terminate()
        self._nginx.wait(10)
        for shop in (self.records, *self._shops):
            shop.close()


@pytest.fixture
def front(tmp_path: Path, postgres_url: Callable[[], str]) -> Iterator[Front]:
    made = Front(tmp_path, postgres_url())
    yield made
    made.close()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_readers_are_answered_from_the_cache_with_the_etag_of_the_services(front: Front, encoding: str) -> None:
    fields = {"accept-encoding": encoding}
    first, second = (front.client.get("/all/rss.xml", headers=fields) for _ in range(2))
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    ours = {service.get("all/rss.xml", Accept_Encoding=encoding).headers["etag"] for service in front.services}
    assert {first.headers["etag"], second.headers["etag"]} == ours
    assert second.headers.get("content-encoding", "identity") == encoding
    unchanged = front.client.get("/all/rss.xml", headers=fields | {"if-none-match": second.headers["etag"]})
    assert (unchanged.status_code, unchanged.headers["x-cache"]) == (304, "HIT")
    assert re.fullmatch(
        r"public, max-age=15, stale-while-revalidate=15, stale-if-error=86400", second.headers["cache-control"]
    )


def test_a_hub_gets_what_is_published_now_and_no_copy(front: Front) -> None:
    for _ in range(2):
        answer = front.client.get("/all/rss.xml", headers={"user-agent": "Example WebSub hub"})
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "BYPASS")
    assert front.client.get("/all/rss.xml").headers["x-cache"] == "HIT"


def test_no_reader_notices_that_the_leader_or_all_services_end(front: Front) -> None:
    leader = next(service for service in front.services if service.get("healthz").json()["role"] == "leader")
    other = next(service for service in front.services if service is not leader)
    assert front.client.get("/tea/rss.xml").status_code == 200
    leader.process.kill()
    answers = list[int]()

    def is_replaced() -> bool:
        answers.extend(
            front.client.get(f"/{path}").status_code for path in ("all/atom.xml", "tea/feed.json", "nothing")
        )
        return bool(other.get("healthz").json()["role"] == "leader")

    eventually(is_replaced)
    assert set(answers) == {200, 404}
    other.process.kill()
    other.process.wait()
    for path in ("tea/rss.xml", "all/atom.xml"):
        assert front.client.get(f"/{path}").status_code == 200
    assert front.client.get("/opml.xml").status_code == 502, "nobody asked for it before"


def test_private_pages_are_not_passed_on(front: Front) -> None:
    for path in ("status", "metrics", "healthz", "readyz"):
        assert front.services[0].get(path).status == 200
        assert front.client.get(f"/{path}").status_code == 404
