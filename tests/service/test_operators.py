"""What operators see of a running service: metrics, the admin port, `health`, the log."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from commands import Running, Shop, eventually, free_port
from conftest import holding
from http_servers import LoopbackServer, QuietHandler
from loopback import make_app, running

from aggregator import __version__
from aggregator.cycle.stage_clock import STAGES
from aggregator.serve.direct import is_direct
from aggregator.service.cycle_requests import CycleRequests
from aggregator.service.systemd import watchdog_s

SERIES = {
    "aggregator_build_info": ["version"],
    "aggregator_cycles_total": ["result"],
    "aggregator_cycle_seconds_count": [],
    "aggregator_stage_seconds_count": ["stage"],
    "aggregator_last_success_timestamp_seconds": [],
    "aggregator_records": ["state"],
    "aggregator_feeds": [],
    "aggregator_leads": [],
    "aggregator_documents_written_total": [],
    "aggregator_oldest_unread_seconds": [],
    "aggregator_websub_pings_total": ["result"],
    "aggregator_http_requests_total": ["code"],
}
"""The metrics and the names of their labels."""


def samples(text: str) -> dict[str, float]:
    """The value of each series, by its name with labels."""
    return {name: float(value) for name, value in re.findall(r"^([a-z].*) (\S+)$", text, re.MULTILINE)}


def metrics(service: Running) -> dict[str, float]:
    reply = service.get("metrics")
    assert reply.status == 200
    return samples(reply.body.decode())


# metrics


def test_the_metrics_have_their_names_and_labels_and_no_others(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    reply = service.get("metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {re.sub(r"_(bucket|sum)$", "_count", re.split(r"[{ ]", name)[0]) for name in samples(reply.body.decode())}
    assert found == set(SERIES)
    for name in samples(reply.body.decode()):
        if not name.split("{")[0].endswith(("_bucket", "_sum")):
            assert re.findall(r'(\w+)="', name) == SERIES[name.split("{")[0]], name


def test_the_metrics_count_cycles_records_feeds_documents_and_responses(shop: Shop) -> None:
    shop.record("a.md", topics=["AI"])
    shop.record("b.md", publishedDateTime="2999-01-01T00:00:00Z")
    shop.record("c.md", published=False)
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    service = shop.start("run").wait_until_done()
    found = metrics(service)
    assert found[f'aggregator_build_info{{version="{__version__}"}}'] == 1
    states = {state: found[f'aggregator_records{{state="{state}"}}'] for state in ("published", "scheduled", "hidden")}
    assert states == {"published": 1, "scheduled": 1, "hidden": 1}
    assert found['aggregator_records{state="rejected"}'] == 1
    assert found['aggregator_records{state="unfinished"}'] == 0
    assert found["aggregator_feeds"] == 2
    assert found["aggregator_documents_written_total"] == len(shop.files(shop.output)) - 2  # the manifest and the lock
    cycles = found['aggregator_cycles_total{result="ok"}']
    assert cycles >= 1
    assert found['aggregator_cycles_total{result="failed"}'] == 0
    assert {found[f'aggregator_stage_seconds_count{{stage="{stage}"}}'] for stage in STAGES} == {cycles}
    assert found["aggregator_oldest_unread_seconds"] == 0
    service.get("nothing")
    assert metrics(service)['aggregator_http_requests_total{code="404"}'] == 1
    shop.record("d.md", topics=["AI"])
    eventually(lambda: metrics(service)['aggregator_records{state="published"}'] == 2)


def test_the_stages_of_a_cycle_take_its_whole_time(shop: Shop) -> None:
    for number in range(50):
        shop.record(f"{number}.md", topics=["AI"])
    result = json.loads(shop.run("build", "--json").stdout)
    assert [*result["stages"]] == list(STAGES)
    assert all(seconds > 0 for seconds in result["stages"].values())
    assert sum(result["stages"].values()) == pytest.approx(result["seconds"], abs=0.02)


def test_a_failed_cycle_is_counted_and_its_changes_stay_unread(shop: Shop) -> None:
    shop.incoming.rmdir()
    service = shop.start("run")
    eventually(lambda: metrics(service)['aggregator_cycles_total{result="failed"}'] >= 1)
    found = metrics(service)
    assert found['aggregator_cycles_total{result="ok"}'] == 0
    assert found["aggregator_last_success_timestamp_seconds"] == 0
    assert found["aggregator_oldest_unread_seconds"] > 0
    shop.incoming.mkdir()
    eventually(lambda: metrics(service)["aggregator_oldest_unread_seconds"] == 0)
    assert metrics(service)["aggregator_last_success_timestamp_seconds"] > 1_700_000_000


def test_what_was_taken_is_unread_until_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 200.0, 300.0, 400.0])
    monkeypatch.setattr("aggregator.service.cycle_requests.time.monotonic", lambda: next(clock))
    requests = CycleRequests()
    requests.add({})  # scans nothing
    assert requests.oldest_s() == 0
    requests.add({"": ["a.md"]})
    requests.take()
    requests.add({"": ["b.md"]})
    assert requests.oldest_s() == 200
    requests.finish()
    assert requests.oldest_s() == 200


# who may see them


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        *[({name: "x"}, "1.1") for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP")],
        ({"CF-Connecting-IP": "1.2.3.4"}, "1.1"),
        *[({"Host": host}, "1.1") for host in ("feeds.example.org", "127.0.0.1.example.org", "10.0.0.1:8000", "", "[")],
        ({}, "1.0"),
    ],
)
def test_a_request_that_a_proxy_may_have_forwarded_is_not_direct(fields: dict[str, str], version: str) -> None:
    headers = {"host": "127.0.0.1:8000"} | {name.lower(): value for name, value in fields.items()}
    assert not is_direct([(name.encode(), value.encode()) for name, value in headers.items()], version)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000", "127.0.0.2"])
def test_a_request_to_this_machine_is_direct(host: str) -> None:
    assert is_direct([(b"accept", b"*/*"), (b"host", host.encode())], "1.1")


def test_private_pages_are_shown_to_direct_requests_on_loopback_only() -> None:
    app = make_app()
    app.private["/metrics"] = lambda: (200, b"text/plain", b"numbers")
    with running(app) as client:
        assert client.get("/metrics").status_code == 404
        app.shows_private = True
        assert client.get("/metrics").text == "numbers"
        assert client.get("/metrics").headers["cache-control"] == "no-store"
        assert client.get("/metrics", headers={"Via": "1.1 proxy"}).status_code == 404
        assert client.get("/healthz", headers={"Via": "1.1 proxy"}).status_code == 200
        host = f"{client.base_url.host}:{client.base_url.port}".encode()
        for target, field, expected in ((b"evil.example", host, 404), (b"u@" + host, b"evil.example", 200)):
            request = b"GET http://%b/metrics HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (target, field)
            with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
                connection.sendall(request)
                assert int(connection.recv(65536).split(b" ", 2)[1]) == expected


@pytest.mark.parametrize("command", ["run", "serve"])
def test_the_admin_port_has_metrics_and_probes_and_no_feeds(shop: Shop, command: str) -> None:
    port = free_port()
    shop.configure(serve=f'host = "0.0.0.0"\nport = 0\nadmin_port = {port}')
    shop.record("a.md")
    shop.run("build")
    service = shop.start(command)
    main = httpx.Client(base_url=service.url.replace("0.0.0.0", "127.0.0.1"), trust_env=False)
    admin = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    with main, admin:
        eventually(lambda: main.get("/healthz").status_code == 200)
        assert main.get("/metrics").status_code == 404
        assert samples(admin.get("/metrics").text)["aggregator_build_info{" + f'version="{__version__}"' + "}"] == 1
        assert admin.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 200
        assert admin.get("/healthz").json()["status"] == "ok"
        assert admin.get("/readyz").status_code == 200
        assert [admin.get(path).status_code for path in ("/all/", "/all/rss.xml", "/nothing")] == [404, 404, 404]
        assert admin.post("/metrics").status_code == 405
    assert service.end()[0] == 0


def test_an_admin_port_in_use_is_refused(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shop.configure(serve=f"port = 0\nadmin_port = {port}")
        done = shop.run("run")
    assert done.returncode == 2
    expected = f"error: 127.0.0.1:{port} is in use (stop the other program, or choose another port: serve.admin_port)"
    assert done.stderr.splitlines()[-1] == expected


# health


def health(shop: Shop, *arguments: str) -> tuple[int, str]:
    done = shop.run("health", *arguments)
    return done.returncode, done.stdout.strip() or done.stderr.strip()


UNREACHABLE = "(start the service, or name where it listens: aggregator health URL)"


def test_health_asks_the_service_of_the_config_or_of_a_url(shop: Shop) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        shop.configure(serve=f'host = "0.0.0.0"\nport = {port}')
        refused = f"no answer from http://127.0.0.1:{port}/healthz: Connection refused {UNREACHABLE}"
        assert health(shop) == (1, f"unreachable: {refused}")
    shop.configure(serve='host = "0.0.0.0"\nport = 0')
    service = shop.start("run")
    eventually(lambda: health(shop)[0] == 0)
    code, line = health(shop)
    assert (code, line[:15], line.count("\n")) == (0, "ok: last cycle ", 0)
    url = service.url.replace("0.0.0.0", "127.0.0.1").rstrip("/")
    for asked in (url, f"{url}/healthz"):
        assert health(shop, asked)[0] == 0
    data = json.loads(shop.run("health", "--json").stdout)
    assert (data["status"], data["url"]) == ("ok", f"{url}/healthz")
    shop.add_to_config("[site\n")
    eventually(lambda: "the config is refused" in health(shop)[1])
    assert health(shop)[0] == 0
    shop.incoming.rmdir()
    eventually(lambda: health(shop)[0] == 1)
    assert f"failing: {shop.incoming}: the records folder cannot be read: No such file or directory" in health(shop)[1]
    service.end()


NO_ROOM = """
import os
from aggregator.cycle import pipeline
from aggregator.errors import StoreError
from aggregator.store import database
begin = database._begin_sqlite
def begin_with_limit(connection):
    pages = 1 if os.path.exists("full") else 2**30
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    begin(connection)
database._begin_sqlite = begin_with_limit
def fail(*given):
    raise StoreError("no room for this either")
pipeline.record_failure = fail
"""
"""The disk of the store is full while the file `full` is there, and nothing can be stored of that."""


def test_status_asks_the_service_what_the_store_could_not_take(shop: Shop) -> None:
    service = shop.start("run", patch=NO_ROOM).wait_until_done()
    assert shop.run("status").returncode == 0
    (shop.root / "full").touch()
    for number in range(30):
        shop.record(f"{number}.md", description="x" * 9000)
    eventually(lambda: service.get("healthz").status == 503)
    done = shop.run("status")
    assert done.returncode == 1
    full = f"{shop.data}/aggregator.db cannot be written: the disk is full (make room; nothing is lost, the next"
    assert f"the service is not well: the cycle failed: {full}" in " ".join(done.stdout.split())
    assert len(shop.json("status")["wrong"]) == 1
    with contextlib.closing(sqlite3.connect(shop.data / "aggregator.db")) as database, database:
        database.execute("UPDATE lease SET until_ms = 0")  # as it is after ten seconds
    done = shop.run("status")
    assert (done.returncode, "the service is not well: the cycle failed" in done.stdout) == (1, True)
    (shop.root / "full").unlink()
    eventually(lambda: service.get("healthz").status == 200)
    assert shop.run("status").returncode == 0


def test_a_cause_is_one_line_with_its_path_and_the_remedy(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    shop.incoming.rmdir()
    eventually(lambda: service.get("healthz").status == 503)
    shop.incoming.mkdir()
    eventually(lambda: "resolved: " in service.log)
    lines = [line for line in service.log.splitlines() if "cannot be read" in line]
    cause = f"{shop.incoming}: the records folder cannot be read: No such file or directory (bring it back, or"
    assert len(lines) == 2, lines
    assert f"ERROR {cause}" in lines[0]
    assert f"INFO resolved: {cause}" in lines[1]


def test_an_unmounted_disk_and_a_mass_removal_are_said_by_health_and_never_resolved_by_the_removal(shop: Shop) -> None:
    shop.configure(schedule='every = "1s"\nwatch = false', records='path = "../incoming"\nremoval_grace = "3s"')
    shop.many(25)
    service = shop.start("run").wait_until_done()
    shop.incoming.rename(shop.root / "disk")
    shop.incoming.mkdir()
    eventually(lambda: health(shop)[0] == 1)
    assert "the records folder is empty and is not the one of the last scan (is its disk mounted?" in health(shop)[1]
    assert shop.run("status").returncode == 1
    shop.incoming.rmdir()
    (shop.root / "disk").rename(shop.incoming)
    eventually(lambda: health(shop)[0] == 0)
    assert len(shop.titles()) == 25
    for path in shop.incoming.rglob("*.md"):
        path.unlink()
    held = "25 of 25 files are missing at once; their entries stay until 2"
    eventually(lambda: held in str(service.get("healthz").json().get("warnings")))
    eventually(lambda: "25 missing files are withdrawn, because removal_grace (3 s) is over" in service.log)
    eventually(lambda: "warnings" not in service.get("healthz").json())
    assert service.log.count(held) == 1, "it is not resolved"


def test_a_store_that_was_lost_is_said_and_not_only_once(shop: Shop) -> None:
    shop.record("a.md")
    assert shop.run("build").returncode == 0
    shutil.rmtree(shop.data)
    why = f"the store at {shop.data}/aggregator.db is new, and {shop.output}/.aggregator/manifest.json was written from"
    for _ in range(2):
        service = shop.start("run").wait_until_done()
        eventually(lambda service=service: f"WARNING {why}" in service.log)
        eventually(lambda: f"; {why} another store (bring it back: aggregator restore FILE" in health(shop)[1])
        assert health(shop)[0] == 0
        assert any(text.startswith(why) for text in shop.json("status")["problems"])
        assert "if two sites write there" not in service.log
        service.end()
    assert why in shop.run("build").stderr


class Other(QuietHandler):
    """Another program, or another site, which is not well."""

    said: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:  # noqa: N802 - a name of the library
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "failing", "reason": "the other disk is full"} | self.said).encode())


@pytest.mark.both_databases
@pytest.mark.parametrize("said", [{}, {"store": "0123456789abcdef"}])
def test_status_does_not_take_another_program_for_the_service(
    shop: Shop, store_url: str, said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Other, "said", said)
    with LoopbackServer(Other) as other:
        shop.configure(serve=f"port = {other.port}", store=f'url = "{store_url}"')
        assert shop.run("build").returncode == 0
        done = shop.run("status")
        assert (done.returncode, "the other disk" in done.stdout) == (0, False), "no service ran here ever"
        service = shop.start("run", "--port", "0").wait_until_done()
        port = int(service.url.rstrip("/").rpartition(":")[2])
        service.end(signal.SIGKILL)
        with LoopbackServer(Other, port):
            done = shop.run("status")
        assert (done.returncode, "the other disk" in done.stdout) == (0, False), "it was killed"


@pytest.mark.both_databases
def test_services_of_one_store_say_its_key_and_others_another(shop: Shop, store_url: str, tmp_path: Path) -> None:
    shop.configure(store=f'url = "{store_url}"')
    keys = []
    for _ in range(2):
        service = shop.start("run").wait_until_done()
        keys.append(service.get("healthz").json()["store"])
        service.end()
    (tmp_path / "other").mkdir()
    with contextlib.closing(Shop(tmp_path / "other")) as other:
        other.configure()
        keys.append(other.start("run").wait_until_done().get("healthz").json()["store"])
    assert keys[0] == keys[1] != keys[2]
    assert all(re.fullmatch("[0-9a-f]{16}", key) for key in keys)


@pytest.mark.both_databases
def test_health_asks_a_service_where_it_listens_and_only_while_it_runs(shop: Shop, store_url: str) -> None:
    shop.configure(serve="port = 1", store=f'url = "{store_url}"')
    service = shop.start("run", "--port", "0")
    eventually(lambda: health(shop)[0] == 0)
    service.end(signal.SIGKILL)  # where it listened stays in the store
    assert "no answer from http://127.0.0.1:1/healthz" in health(shop)[1]
    with holding(store_url):
        assert "no answer from http://127.0.0.1:1/healthz" in health(shop)[1]


def test_health_cannot_know_a_port_that_the_system_chooses_before_the_service_runs(shop: Shop) -> None:
    hint = "start it, or name the URL: aggregator health URL"
    assert health(shop) == (2, f"error: serve.port is 0, and no service runs on the store ({hint})")
    assert health(shop, "feeds.example.org")[0] == 2


def test_health_is_1_for_a_url_of_another_program(shop: Shop) -> None:
    with running(make_app(health=lambda: (True, {}))) as client:
        url = f"{str(client.base_url).rstrip('/')}/healthz"
        line = f"unreachable: no answer from {url}: the answer is not of this program {UNREACHABLE}"
        assert health(shop, str(client.base_url)) == (1, line)


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc/", "http://127.0.0.1:8000/a b", "http://[::1", "http://"])
def test_health_of_what_is_no_url_exits_with_2(shop: Shop, url: str) -> None:
    code, line = health(shop, url)
    assert (code, f"{url!r} is no http(s) URL" in line, "Traceback" in line) == (2, True, False), line


def test_health_shows_no_password_of_a_url(shop: Shop) -> None:
    for port in ("1", "abc"):
        code, line = health(shop, f"http://me:secret@127.0.0.1:{port}/")
        assert (code, "without a user" in line, "secret" in line) == (2, True, False), line


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b'HTTP/1.0 200 OK\r\n\r\n{"status":null}'])
def test_health_is_1_for_an_answer_of_another_protocol(shop: Shop, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        threading.Thread(target=reply, daemon=True).start()
        done = shop.run("health", f"http://127.0.0.1:{listener.getsockname()[1]}/", "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, data["status"]) == (1, "unreachable")
    assert "the answer is not of this program" in data["reason"]


# the log


def test_the_service_says_at_the_start_what_it_reads_writes_and_serves(shop: Shop) -> None:
    service = shop.start("run")
    first = eventually(lambda: service.log).splitlines()[0]
    for text in (
        f"INFO aggregator {__version__} starts: config {shop.config}; store {shop.data}/aggregator.db;",
        f"records {shop.incoming}; output {shop.output}; URL http://127.0.0.1:8000/; listens on {service.url};",
        f"metrics {service.url}metrics",
    ):
        assert text in first


def test_a_cycle_has_one_line_with_the_time_of_each_stage(shop: Shop) -> None:
    shop.record("a.md")
    service = shop.start("run").wait_until_done()
    (line,) = eventually(lambda: [line for line in service.log.splitlines() if "scanned 1, new 1" in line])
    times = r", ".join(rf"{stage} \d+\.\d\d" for stage in STAGES)
    assert re.search(rf"\+00:00 INFO .*, \d+\.\d\d s \({times}\)$", line)


# systemd


class Supervisor:
    """Receives what a service sends to systemd."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.lines: list[str] = []

    def read(self) -> list[str]:
        """Everything so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.lines += self._socket.recv(4096).decode().split("\n")
        return self.lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def supervisor(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    folder = tempfile.mkdtemp(prefix="notify-")  # the path of a socket is short
    made = Supervisor(Path(folder, "socket"))
    monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/socket")
    yield made
    made.close()
    shutil.rmtree(folder)


def test_systemd_is_told_when_the_service_is_ready_alive_and_stopping(
    shop: Shop, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    service = shop.start("run")
    eventually(lambda: "READY=1" in supervisor.read())
    service.wait_until_done()
    eventually(lambda: supervisor.read().count("WATCHDOG=1") > 4)
    eventually(lambda: any(line.startswith("STATUS=ok: last cycle ") for line in supervisor.read()))
    assert "STOPPING=1" not in supervisor.read()
    service.end()
    assert "STOPPING=1" in supervisor.read()


HANGING_HTTP = """
import time
from pathlib import Path
from aggregator.serve.app import FeedsApp
real = FeedsApp.__call__
async def call(self, scope, receive, send):
    Path("hangs").touch()
    while Path("hangs").exists():
        time.sleep(0.01)
    await real(self, scope, receive, send)
FeedsApp.__call__ = call
"""


def test_the_watchdog_gets_no_ping_while_http_hangs(
    shop: Shop, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    service = shop.start("run", patch=HANGING_HTTP)
    eventually(lambda: "INFO scanned" in service.log)  # a request would make it hang
    eventually(lambda: "WATCHDOG=1" in supervisor.read())
    with service.connect() as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((shop.root / "hangs").exists)
        supervisor.read()
        supervisor.lines.clear()
        time.sleep(0.5)  # longer than between two pings
        assert supervisor.read() == []
        (shop.root / "hangs").unlink()
        eventually(lambda: "WATCHDOG=1" in supervisor.read())
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_watchdog_for_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    assert watchdog_s() == 20
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 20
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_s() is None


# advice


def test_the_log_and_the_status_page_say_that_keys_are_not_read(shop: Shop) -> None:
    shop.record("a.md", date="2026-05-20", tags=["Bread"])
    shop.record("b.md", publishedDateTime="2026-05-20T00:00:00Z", topics=["Bread"])
    service = shop.start("run").wait_until_done()
    text = "1 record has no date, because 'date' and 'tags' are no keys of the preset: 'smartable' (such as "
    eventually(lambda: len(re.findall(rf"WARNING .*: {re.escape(text)}", service.log)) == 1)
    assert html.escape(text, quote=False) in html.unescape(service.get("status").body.decode())
    shop.record("a.md", publishedDateTime="2026-05-20T00:00:00Z")
    eventually(lambda: re.search(rf"INFO resolved: .*{re.escape(text)}", service.log))


PUBLIC = (
    "base_url 'http://127.0.0.1:8000/' leads to this machine only, but the service listens on 0.0.0.0 (write below [site]"
    " the base_url under which readers find the feeds)"
)


def test_a_public_service_with_documents_that_name_this_machine_is_said_once(shop: Shop) -> None:
    shop.configure(serve='host = "0.0.0.0"\nport = 8001', site='id = "x"\nbase_url = "http://127.0.0.1:8000/"')
    assert shop.run("check").stdout == f"config/aggregator.toml:3:1: warning: {PUBLIC}\n"
    shop.configure(serve='host = "0.0.0.0"\nport = 0')
    for command in ("run", "serve"):
        service = shop.start(command)
        eventually(lambda service=service: PUBLIC in service.log)
        assert service.log.count("WARNING") == 1
        service.end()
    assert shop.json("status")["advice"] == [PUBLIC]
    for host, url in (("127.0.0.1", "http://127.0.0.1:8000/"), ("0.0.0.0", "https://feeds.example.org/")):
        shop.configure(serve=f'host = "{host}"', site=f'id = "feeds.example.org"\nbase_url = "{url}"')
        assert shop.run("check").stdout == ""
