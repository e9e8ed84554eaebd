"""What clients can do to others by how they connect and ask: a real server on loopback, and raw sockets."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from loopback import RSS, ask, connect, make_app, publish, read_all, running

from aggregator.serve import server
from aggregator.serve.app import FeedsApp

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def app() -> FeedsApp:
    return make_app()


@pytest.fixture
def client(app: FeedsApp) -> Iterator[httpx.Client]:
    with running(app) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(server, "_WAIT_S", 0.3)
    monkeypatch.setattr(server, "_TICK_S", 0.05)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server for few connections."""
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 20)


def status(client: httpx.Client, request: bytes) -> int:
    return int(ask(client, request).split(b" ", 2)[1])


# deadlines


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-", GET + b"GET"])
def test_a_client_that_sends_an_incomplete_head_is_disconnected(client: httpx.Client, sent: bytes) -> None:
    with connect(client) as sock:
        sock.sendall(sent)
        read_all_or_reset(sock)  # raises TimeoutError if the connection stays open


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"],
)
def test_a_client_that_sends_single_bytes_is_disconnected(client: httpx.Client, head: bytes) -> None:
    with connect(client) as sock:
        sock.sendall(head)
        began = time.monotonic()
        sock.settimeout(0.02)
        while is_open(sock):
            assert time.monotonic() - began < 40


def is_open(sock: socket.socket) -> bool:
    """Whether one more byte goes out, and the server has not closed after what it says."""
    try:
        sock.sendall(b"a")
        return sock.recv(65536) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.mark.usefixtures("impatient")
def test_a_slow_client_gets_everything_and_a_client_that_reads_nothing_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_WAIT_S", 0.6)  # thrice that is more than the pause of a reader on a loaded machine
    publish(tmp_path, {"a/feed.json": b"x" * 12_000_000})
    with running(make_app(tmp_path)) as client, connect(client) as slow, connect(client) as stuck:
        for sock in (slow, stuck):
            sock.sendall(b"GET /a/feed.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" * 2)
        size, began = 0, time.monotonic()
        while data := slow.recv(200_000):
            size += len(data)
            if time.monotonic() - began < 5:
                threading.Event().wait(0.05)
        assert size > 12_000_000
        assert len(read_all_or_reset(stuck)) < 12_000_000


def read_all_or_reset(sock: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


# numbers


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-"])
def test_requests_are_answered_while_clients_open_too_many_connections(app: FeedsApp, sent: bytes) -> None:
    with running(app) as client, contextlib.ExitStack() as held:
        for _ in range(100):
            sock = held.enter_context(connect(client))
            sock.sendall(sent)
        for _ in range(5):
            assert status(client, CLOSE) == 200


@pytest.mark.usefixtures("few")
def test_the_longest_idle_connection_is_closed_first(app: FeedsApp) -> None:
    with running(app) as client, contextlib.ExitStack() as held:
        socks = [held.enter_context(connect(client)) for _ in range(20)]
        for sock in reversed(socks):  # the last one that came is the one that waits for longest
            sock.sendall(GET)
            assert sock.recv(12) == b"HTTP/1.1 200"
        held.enter_context(connect(client)).sendall(GET)
        read_all_or_reset(socks[-1])
        socks[0].sendall(GET)
        assert b"HTTP/1.1 200" in socks[0].recv(65536) + socks[0].recv(65536)


def test_the_connection_limit_is_below_the_descriptor_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, limit in ((1024, 736), (256, 160), (40, 1), (resource.RLIM_INFINITY, 10_000), (1_000_000, 10_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert server._connection_limit() == limit


# the size of a head


@pytest.mark.parametrize(("size", "expected"), [(32_000, 200), (33_000, 431), (66_000, 431), (1_000_000, 431)])
@pytest.mark.parametrize("kind", ["one field", "many fields", "target"])
def test_a_head_of_more_than_32_kilobytes_is_refused(client: httpx.Client, size: int, expected: int, kind: str) -> None:
    target, fields = b"/healthz", b""
    if kind == "one field":
        fields = b"X: " + b"a" * size + b"\r\n"
    elif kind == "many fields":
        fields = b"Abcdef: gh\r\n" * (size // 12)
    else:
        target += b"?" + b"a" * size
    request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n"
    assert status(client, request) == expected


def test_a_head_of_60_megabytes_delays_no_other_request(client: httpx.Client) -> None:
    slowest = 0.0
    with connect(client) as sock:
        sending = threading.Thread(target=sock.sendall, args=(b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000_000,))
        sending.start()
        while sending.is_alive():
            began = time.monotonic()
            assert status(client, CLOSE) == 200
            slowest = max(slowest, time.monotonic() - began)
        assert sock.recv(12) == b"HTTP/1.1 431"
    assert slowest < 20  # what is not linear takes minutes


def test_many_pipelined_requests_do_not_count_as_one_large_head(client: httpx.Client) -> None:
    answers = ask(client, GET * 2000 + CLOSE)
    assert answers.count(b"HTTP/1.1 200") == 2001


@pytest.mark.parametrize("body", [b"a" * 2_000_000, b"5\r\naaaaa\r\n0\r\nX: " + b"a" * 2_000_000])
def test_a_large_body_ends_the_connection(client: httpx.Client, body: bytes) -> None:
    length = b"Transfer-Encoding: chunked" if body.startswith(b"5") else b"Content-Length: %d" % len(body)
    with connect(client) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 405"
        with contextlib.suppress(OSError):
            sock.sendall(body)
        assert len(read_all_or_reset(sock)) < 1000


# what a request says of its host


@pytest.mark.parametrize(
    ("request_line", "hosts", "expected"),
    [
        (b"GET /healthz HTTP/1.1", [b"x"], 200),
        (b"GET /healthz HTTP/1.1", [], 400),
        (b"GET /healthz HTTP/1.1", [b"x", b"x"], 400),
        (b"GET /healthz HTTP/1.0", [], 200),
        (b"GET /healthz HTTP/1.0", [b"x", b"y"], 400),
        (b"GET http://x/healthz HTTP/1.1", [b"x"], 200),
        (b"GET HTTP://x:80/healthz?a=b HTTP/1.1", [b"x"], 200),
        (b"GET http://x HTTP/1.1", [b"x"], 404),
        (b"GET http://x?q HTTP/1.1", [b"x"], 404),
        (b"GET http://x/healthz HTTP/1.1", [], 400),
        (b"GET x:/healthz HTTP/1.1", [b"x"], 400),
        (b"GET /healthz HTTP/1.1", [b"a b"], 400),
        (b"GET /healthz HTTP/1.1", [b"a/b"], 400),
        (b"GET /healthz HTTP/1.1", [b"[::1]:80"], 200),
        (b"GET /healthz HTTP/1.1", [b""], 200),
        (b"GET /healthz HTTP/2.0", [b"x"], 505),
    ],
)
def test_a_request_needs_exactly_one_host(
    client: httpx.Client, request_line: bytes, hosts: list[bytes], expected: int
) -> None:
    fields = b"".join(b"Host: " + host + b"\r\n" for host in hosts)
    assert status(client, request_line + b"\r\n" + fields + b"Connection: close\r\n\r\n") == expected


def test_a_target_in_absolute_form_is_the_same_document(tmp_path: Path) -> None:
    publish(tmp_path, {"all/rss.xml": RSS, "index.html": b"home"})
    with running(make_app(tmp_path)) as client:
        host = f"{client.base_url.host}:{client.base_url.port}".encode()
        for path, body in ((b"/all/rss.xml", RSS), (b"/", b"home"), (b"", b"home")):
            request = b"GET http://" + host + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
            assert ask(client, request).endswith(body)


def test_nothing_that_a_client_sent_is_kept(tmp_path: Path) -> None:
    publish(tmp_path, {"all/index.html": b"all"})
    server._document_fields.cache_clear()
    with running(make_app(tmp_path)) as client:
        query = "x" * 20_000
        for number in range(3):
            response = client.get(f"/all?{number}{query}")
            assert (response.status_code, response.headers["location"]) == (301, f"all/?{number}{query}")
        assert server._document_fields.cache_info().currsize == 0
        assert client.get("/all/").status_code == 200
    assert server._document_fields.cache_info().currsize == 1


# what libraries of clients send


def test_an_offer_of_http_2_is_answered_each_time_and_not_logged(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    offer = GET.replace(
        b"\r\n\r\n", b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
    )
    with connect(client) as sock:
        for _ in range(3):
            sock.sendall(offer)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    assert status(client, b"\x16\x03\x01\x02\x00\x01\x00") == 400  # how TLS begins
    assert caplog.records == []


# clients that end their side


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"])
def test_a_client_that_ends_its_side_after_its_requests_gets_all_responses(client: httpx.Client, fields: bytes) -> None:
    """As `nc -N` and some probes do."""
    with connect(client) as sock:
        sock.sendall(GET * 2 + b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)  # raises TimeoutError if the connection stays open
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_a_client_that_ends_its_side_without_a_request_is_disconnected(client: httpx.Client) -> None:
    with connect(client) as sock:
        sock.sendall(GET[:-2])
        sock.shutdown(socket.SHUT_WR)
        assert b"200" not in read_all(sock)
