"""The samples in deploy/web under the real nginx and Caddy."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest
from commands import Shop, free_port
from corpus import CHECKOUT
from loopback import ask
from web_servers import program, start_web_server

from benchmarks.nginx import nginx_command

WEB = CHECKOUT / "deploy" / "web"
TYPES = {
    "": "text/html; charset=utf-8",
    "opml.xml": "text/x-opml; charset=utf-8",
    "all/": "text/html; charset=utf-8",
    "all/index.html": "text/html; charset=utf-8",
    "all/rss.xml": "application/rss+xml; charset=utf-8",
    "all/atom.xml": "application/atom+xml; charset=utf-8",
    "all/feed.json": "application/feed+json",
    "all/archive/0001.xml": "application/atom+xml; charset=utf-8",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A site whose feed `all` has an archive page."""
    made = Shop(tmp_path_factory.mktemp("web"))
    made.configure(output='limit = 2\nmin_stay = "0s"', serve=f"port = {free_port()}")
    for number in range(9):
        made.record(f"{number}.md", publishedDateTime=f"2024-05-0{number + 1}T08:00:00Z", topics=["AI"])
    assert made.run("build").returncode == 0
    assert (made.output / "all/archive/0001.xml").exists()
    yield made
    made.close()


Start = Callable[[str, str], httpx.Client]


@pytest.fixture(scope="module")
def start(shop: Shop) -> Iterator[Start]:
    """Starts a web server with a sample, its paths and ports those of the test."""
    started: list[subprocess.Popen[bytes]] = []
    clients: list[httpx.Client] = []

    def start_server(server: str, sample: str) -> httpx.Client:
        port, folder = free_port(), shop.root / f"{server}{len(started)}"
        folder.mkdir()
        sample = sample.replace("/var/lib/aggregator/output", str(shop.output))
        sample = sample.replace("127.0.0.1:8000", f"127.0.0.1:{shop.config.read_text().split('port = ')[1].split()[0]}")
        config = folder / "config"
        if server == "nginx":
            site = f"server {{\n    listen 127.0.0.1:{port};\n{sample}\n}}"
            command = nginx_command(program("nginx"), folder, site)
        else:
            site = sample.replace("example.org {", f"http://127.0.0.1:{port} {{")
            config.write_text(f"{{\n\tadmin off\n}}\n{site}")
            command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        clients.append(client)
        environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        started.append(start_web_server(command, folder, client, environment))
        return client

    yield start_server
    for client in clients:
        client.close()
    for process in started:
        process.terminate()
        process.wait(10)


SAMPLES = {"nginx": (WEB / "nginx.conf").read_text(), "caddy": (WEB / "Caddyfile").read_text()}


@pytest.fixture(scope="module", params=SAMPLES)
def client(request: pytest.FixtureRequest, start: Start) -> httpx.Client:
    """A web server that serves the output folder."""
    return start(request.param, SAMPLES[request.param])


@pytest.mark.parametrize("path", TYPES)
def test_each_document_has_its_type_and_its_bytes(client: httpx.Client, shop: Shop, path: str) -> None:
    response = client.get(f"/feeds/{path}", headers={"accept-encoding": "identity"})
    assert (response.status_code, response.headers["content-type"]) == (200, TYPES[path])
    assert (
        response.content == (shop.output / (path if path[-1:] not in ("", "/") else f"{path}index.html")).read_bytes()
    )
    assert response.headers["cache-control"] == "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400"
    assert response.headers["x-content-type-options"] == "nosniff"
    is_shared = path.endswith((".xml", ".json"))
    assert response.headers.get("access-control-allow-origin") == ("*" if is_shared else None)


def test_an_xml_file_that_is_no_document_of_a_feed_is_xml_that_scripts_may_read(client: httpx.Client) -> None:
    """Such as the sitemap, and copies of feeds at old URLs."""
    response = client.get("/feeds/sitemap.xml")
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] in ("application/xml", "text/xml")
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["all/rss.xml", "all/atom.xml", "all/feed.json", "all/"])
def test_documents_are_compressed_and_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(f"/feeds/{path}", headers={"accept-encoding": "gzip"})
    assert (first.status_code, first.headers["content-encoding"]) == (200, "gzip")
    assert "accept-encoding" in first.headers["vary"].lower()
    plain = client.get(f"/feeds/{path}", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for response in (first, plain):
        validators = {
            "if-none-match": response.headers["etag"],
            "accept-encoding": response.request.headers["accept-encoding"],
        }
        assert client.get(f"/feeds/{path}", headers=validators).status_code == 304
    dated = {"if-modified-since": plain.headers["last-modified"]}
    assert client.get(f"/feeds/{path}", headers=dated).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        ".aggregator/manifest.json",
        ".aggregator/",
        ".aggregator",
        "%2eaggregator/manifest.json",
        "all/../.aggregator/manifest.json",
        "./.aggregator/manifest.json",
        "/.aggregator/manifest.json",
        "all/.hidden",
        "nothing",
    ],
)
def test_what_is_not_public_is_not_there(client: httpx.Client, shop: Shop, path: str) -> None:
    (shop.output / "all" / ".hidden").write_text("secret")
    fields = f"host: 127.0.0.1:{client.base_url.port}\r\nconnection: close\r\n"
    answer = ask(client, f"GET /feeds/{path} HTTP/1.1\r\n{fields}\r\n".encode())
    assert answer.split(b" ")[1] == b"404", answer


def at_root(sample: str) -> str:
    """A sample for the root of a host, as its first lines say."""
    sample = re.sub(r"^location = /feeds \{.*?^\}|^\tredir .*?$", "", sample, flags=re.MULTILINE | re.DOTALL)
    return sample.replace("handle_path /feeds/*", "handle").replace("/feeds", "")


@pytest.mark.parametrize("server", SAMPLES)
def test_each_document_has_its_type_at_the_root_of_a_host(start: Start, server: str) -> None:
    client = start(server, at_root(SAMPLES[server]))
    assert {path: client.get(f"/{path}").headers["content-type"] for path in TYPES} == TYPES
    assert client.get("/.aggregator/manifest.json").status_code == 404


def test_folders_redirect_below_the_prefix(client: httpx.Client) -> None:
    for path in ("/feeds", "/feeds/all"):
        response = client.get(path)
        assert response.is_redirect
        assert httpx.URL(response.headers["location"]).path == f"{path}/"


PROXIES = {
    "nginx": ("nginx", (WEB / "nginx-proxy.conf").read_text()),
    "caddy": ("caddy", (WEB / "Caddyfile.proxy").read_text()),
    # as many write it: nothing tells that the request came from somewhere else
    "bare nginx": ("nginx", "location /feeds/ { proxy_pass http://127.0.0.1:8000/; }"),
}


PROBE_PATHS = ("/feeds/{0}", "/feeds/{0}?x", "/feeds//{0}", "/feeds/./{0}", "/feeds/all/../{0}", "/feeds/%{1:x}{2}")
"""Ways to ask for a page, with its name, the code of its first letter, and its other letters."""


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_passes_on_what_the_service_answers_and_no_private_page(shop: Shop, start: Start, name: str) -> None:
    service = shop.start("run").wait_until_done()
    client = start(*PROXIES[name])
    rss = client.get("/feeds/all/rss.xml", headers={"accept-encoding": "gzip"})
    assert (rss.status_code, rss.headers["content-type"]) == (200, "application/rss+xml; charset=utf-8")
    assert (rss.headers["content-encoding"], rss.headers["etag"][:1]) == ("gzip", '"')
    again = client.get("/feeds/all/rss.xml", headers={"accept-encoding": "gzip", "if-none-match": rss.headers["etag"]})
    assert again.status_code == 304
    assert httpx.URL(client.get("/feeds/all").headers["location"]).path in ("all/", "/feeds/all/")
    assert service.get("metrics").status == 200
    assert client.get("/feeds/metrics").status_code == 404
    if name != "bare nginx":
        for page, way in itertools.product(("healthz", "readyz"), PROBE_PATHS):
            assert service.get(page).status == 200
            path = way.format(page, ord(page[0]), page[1:])
            fields = f"host: 127.0.0.1:{client.base_url.port}\r\nconnection: close\r\n"
            answer = ask(client, f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
            assert answer.split(b" ")[1] == b"404", (way, answer)
        root = start(PROXIES[name][0], at_root(PROXIES[name][1]))
        assert [root.get(path).status_code for path in ("/all/rss.xml", "/healthz", "/metrics")] == [200, 404, 404]
    service.end()
