"""The output folder over HTTP: a real server on loopback, and raw sockets for what a client library would not send."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import loopback
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import (
    CACHING,
    OPTIONS,
    RSS,
    WRITTEN,
    ask,
    digest,
    load_snapshot,
    make_app,
    publish,
    redirects,
    running,
    write,
)

from aggregator.errors import AggregatorError
from aggregator.serve.bodies import Bodies
from aggregator.serve.files import EMPTY_SNAPSHOT, read_other
from aggregator.serve.request_headers import accepts_html, matches_etag, parse_http_date, prefers_gzip
from aggregator.serve.server import bind_socket, make_server
from aggregator.serve.source import FolderSource

WRITTEN_DATE = formatdate(WRITTEN, usegmt=True)
FILES = {
    "index.html": b"<h1>Feeds</h1>",
    "opml.xml": b"<opml/>",
    "all/rss.xml": RSS,
    "all/atom.xml": b"<feed/>",
    "all/feed.json": b"{}",
    "all/index.html": b"<h1>All</h1>",
    "all/archive/0001.xml": b"<feed>1</feed>",
    "all/archive/0001.html": b"<h1>Older</h1>",
    "bare/rss.xml": b"<rss/>",
}
HAND_PUT = {
    "robots.txt": b"User-agent: *\n" * 100,
    "favicon.ico": b"\0\1",
    "page/index.html": b"<p>by hand</p>",
    "old.tar.gz": b"\x1f\x8b",
    "other.xml": b"<other/>",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.txt": b"coffee",
    "unknown.zzz": b"?",
    ".hidden": b"secret",
    "page/.env": b"secret",
}


def send_raw(client: httpx.Client, target: bytes, method: bytes = b"GET", fields: bytes = b"") -> tuple[int, bytes]:
    """Status and everything that came back for a request whose target is sent as it stands."""
    answer = ask(client, method + b" " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + fields + b"\r\n")
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with published files, files put there by hand, and things that must not get out."""
    base = tmp_path_factory.mktemp("site")
    folder = base / "output"
    publish(folder, FILES, gone=("old/rss.xml", "old/index.html"))
    for path, body in HAND_PUT.items():
        write(folder / path, body)
    (base / "secret.txt").write_text("secret")
    (folder / "outside.txt").symlink_to(base / "secret.txt")
    (folder / "inside.txt").symlink_to(folder / "robots.txt")
    (folder / "manifest.txt").symlink_to(folder / ".aggregator/manifest.json")
    (folder / "up").symlink_to(base)
    os.mkfifo(folder / "pipe.txt")
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    app = make_app(
        folder,
        moved={"ai/rss.xml": "all/rss.xml", "ai/": "all/", "tags/ai/index.xml": "all/rss.xml", "gone-far": "/far/x"},
    )
    with running(app) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder that a test may change."""
    publish(tmp_path, {"a/rss.xml": RSS, "b/rss.xml": b"<rss>b</rss>"})
    return tmp_path


# Published files


def test_a_feed_is_served_with_its_bytes_and_validators(client: httpx.Client) -> None:
    response = client.get("/all/rss.xml")
    assert (response.status_code, response.content) == (200, RSS)
    assert response.headers["etag"] == f'"{digest(RSS)}"'
    assert response.headers["last-modified"] == WRITTEN_DATE
    assert response.headers["content-length"] == str(len(RSS))
    assert response.headers["cache-control"] == CACHING
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["vary"] == "accept-encoding, sec-fetch-dest"
    assert "date" in response.headers
    assert "server" not in response.headers


def test_the_icon_of_the_pages_is_where_browsers_ask_for_one(own: Path) -> None:
    with running(make_app(own)) as client:
        assert client.get("/favicon.ico").status_code == 404
    publish(own, {"assets/icon.svg": b"<svg/>"})
    with running(make_app(own)) as client:
        assert redirects(client, ["/favicon.ico", "/a/favicon.ico"]) == {"/favicon.ico": "/assets/icon.svg"}
    write(own / "favicon.ico", b"\0\1")
    with running(make_app(own)) as client:
        assert client.get("/favicon.ico").content == b"\0\1"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/all/rss.xml", "application/rss+xml; charset=utf-8"),
        ("/all/atom.xml", "application/atom+xml; charset=utf-8"),
        ("/all/archive/0001.xml", "application/atom+xml; charset=utf-8"),
        ("/all/feed.json", "application/feed+json"),
        ("/opml.xml", "text/x-opml; charset=utf-8"),
        ("/all/index.html", "text/html; charset=utf-8"),
        ("/robots.txt", "text/plain; charset=utf-8"),
        ("/favicon.ico", "image/vnd.microsoft.icon"),
        ("/other.xml", "text/xml"),
        ("/old.tar.gz", "application/octet-stream"),
        ("/unknown.zzz", "application/octet-stream"),
    ],
)
def test_each_kind_of_file_has_its_media_type(client: httpx.Client, path: str, media_type: str) -> None:
    assert client.get(path).headers["content-type"] == media_type


@pytest.mark.parametrize("path", ["/", "/all/rss.xml", "/robots.txt", "/nothing", "/old/rss.xml", "/all", "/healthz"])
def test_every_response_forbids_sniffing(client: httpx.Client, path: str) -> None:
    assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_pages_of_other_sites_may_read_feeds_but_not_pages(client: httpx.Client) -> None:
    allowed = {path: "access-control-allow-origin" in client.get(f"/{path}").headers for path in FILES}
    assert allowed == {path: not path.endswith(".html") for path in FILES}
    # a script sees why there is no feed, and the fields that it needs for the next request
    assert client.get("/nothing/rss.xml").headers["access-control-allow-origin"] == "*"
    assert client.get("/all/rss.xml").headers["access-control-expose-headers"] == "ETag, Link"


@pytest.mark.parametrize(("path", "file"), [("/", "index.html"), ("/all/", "all/index.html")])
def test_a_folder_shows_its_index(client: httpx.Client, path: str, file: str) -> None:
    assert client.get(path).content == FILES[file]


def test_a_folder_without_an_index_is_not_found(client: httpx.Client) -> None:
    assert client.get("/bare/").status_code == 404


@pytest.mark.parametrize("path", ["/all/rss.xml", "/", "/robots.txt", "/healthz", "/readyz", "/nothing", "/all"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_head_responds_like_get_without_a_body(client: httpx.Client, path: str, encoding: str) -> None:
    got = client.get(path, headers={"accept-encoding": encoding})
    head = client.head(path, headers={"accept-encoding": encoding})
    del got.headers["date"], head.headers["date"]
    assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")


def test_a_date_in_the_future_is_never_a_last_modified(own: Path) -> None:
    os.utime(own / "a/rss.xml", (2**33, 2**33))
    file = load_snapshot(own, None).files["/a/rss.xml"]
    assert WRITTEN < file.last_modified < 2**33
    with running(make_app(own)) as client:
        assert "last-modified" not in client.get("/a/rss.xml").headers


@pytest.mark.parametrize("put", ["published", "by hand"])
def test_a_file_that_just_changed_has_no_date_and_ignores_if_modified_since(
    own: Path, monkeypatch: pytest.MonkeyPatch, put: str
) -> None:
    """A reader without tags that asked between two changes within a second would never see the second one."""
    changed = 1_700_000_100.1
    path = "a/rss.xml" if put == "published" else "robots.txt"
    (own / path).write_bytes(RSS)
    os.utime(own / path, ns=(int(changed * 1e9),) * 2)
    end_of_second = formatdate(1_700_000_101, usegmt=True)
    with running(make_app(own)) as client:
        for later, dated in ((0, False), (0.9, False), (1.8, False), (1.9, True), (86400, True)):
            monkeypatch.setattr("aggregator.serve.app.time", lambda moment=changed + later: moment)
            response = client.get(f"/{path}")
            assert response.headers.get("last-modified") == (end_of_second if dated else None)
            response = client.get(f"/{path}", headers={"if-modified-since": end_of_second})
            assert response.status_code == (304 if dated else 200)
            assert client.get(f"/{path}", headers={"if-none-match": response.headers["etag"]}).status_code == 304
            within = formatdate(1_700_000_100, usegmt=True)
            assert client.get(f"/{path}", headers={"if-modified-since": within}).status_code == 200


def test_a_replaced_document_has_a_date_after_all_earlier_responses(own: Path) -> None:
    """Although its file was made long before the other one was last sent."""
    app = make_app(own)
    publish(own, {"a/rss.xml": b"<rss>other</rss>"})
    before = int(time.time())
    loopback.reload(app)
    assert app.state.snapshot.files["/a/rss.xml"].last_modified > before
    assert load_snapshot(own, None).files["/a/rss.xml"].last_modified == WRITTEN


def test_the_date_in_the_manifest_is_that_of_every_server(own: Path) -> None:
    """Whenever each of them has read the file, and whatever a copy made of its date."""
    publish(own, {"a/rss.xml": b"<rss>other</rss>"}, modified=WRITTEN + 100)
    app = make_app(own)
    os.utime(own / "a/rss.xml")
    publish(own, {"a/rss.xml": b"<rss>third</rss>"}, modified=WRITTEN + 200)
    loopback.reload(app)
    date = formatdate(WRITTEN + 200, usegmt=True)
    for served in (app, make_app(own)):
        with running(served) as client:
            assert client.get("/a/rss.xml").headers["last-modified"] == date


def test_an_archive_page_has_the_date_in_the_manifest_too(own: Path) -> None:
    """A clock that was set back must not give a page from which a story was withdrawn an older date than the page with
    the story had."""
    path = "a/archive/0001.xml"
    publish(own, {"a/rss.xml": RSS, path: b"<feed>one</feed>"}, modified=WRITTEN + 100)
    os.utime(own / path, (WRITTEN - 1000, WRITTEN - 1000))
    with running(make_app(own)) as client:
        date = client.get(f"/{path}").headers["last-modified"]
        assert date == formatdate(WRITTEN + 100, usegmt=True)
        assert client.get(f"/{path}", headers={"if-modified-since": date}).status_code == 304
        # the next publish has begun, and its manifest is not there yet
        write(own / path, b"<feed>two</feed>")
        replaced = client.get(f"/{path}", headers={"if-modified-since": date})
        assert (replaced.content, "last-modified" in replaced.headers) == (b"<feed>two</feed>", False)


def test_files_of_two_publishes_are_not_mixed(own: Path) -> None:
    app = make_app(own)
    publish(own, {"a/rss.xml": b"<rss>a2</rss>", "b/rss.xml": b"<rss>b2</rss>"})
    write(own / "b/rss.xml", b"<rss>b3</rss>")  # the next publish has begun
    first = load_snapshot(own, app.state.snapshot, is_polled=True)
    assert first.files == app.state.snapshot.files
    publish(own, {"a/rss.xml": b"<rss>a3</rss>", "b/rss.xml": b"<rss>b3</rss>"})
    second = load_snapshot(own, first, is_polled=True)
    assert [file.digest for file in second.files.values()] == [digest(b"<rss>a3</rss>"), digest(b"<rss>b3</rss>")]
    (own / "b/rss.xml").write_bytes(b"<rss>by hand</rss>")  # for good
    publish(own, {"a/rss.xml": b"<rss>a4</rss>"})
    waiting = load_snapshot(own, second, is_polled=True)
    assert load_snapshot(own, waiting, is_polled=True).files["/a/rss.xml"].digest == digest(b"<rss>a4</rss>")


def test_no_last_modified_is_later_than_the_date_of_the_response(own: Path) -> None:
    app = make_app(own)
    with running(app) as client:
        for number in range(50):
            publish(own, {"a/rss.xml": b"%d" % number})
            os.utime(own / "a/rss.xml")
            loopback.reload(app)
            headers = client.get("/a/rss.xml").headers
            date = parse_http_date(headers.get("last-modified", formatdate(0, usegmt=True)).encode())
            assert date <= (parse_http_date(headers["date"].encode()) or 0)


# Conditional requests


@pytest.mark.parametrize("path", ["/all/rss.xml", "/all/", "/robots.txt"])
def test_not_modified_carries_the_fields_that_caches_update(client: httpx.Client, path: str) -> None:
    full = client.get(path)
    response = client.get(path, headers={"if-none-match": full.headers["etag"]})
    assert (response.status_code, response.content) == (304, b"")
    for name in ("etag", "last-modified", "cache-control", "vary", "access-control-allow-origin"):
        assert response.headers.get(name) == full.headers.get(name)
    assert "content-type" not in response.headers


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('"{tag}"', 304),
        ('W/"{tag}"', 304),
        ('"other", "{tag}"', 304),
        ('"a,b",W/"{tag}" , "z"', 304),
        ("*", 304),
        ('"other"', 200),
        ("{tag}", 200),
        ('"{tag}-gz"', 200),
        ("", 200),
    ],
)
def test_if_none_match_is_a_list_of_tags_compared_weakly(client: httpx.Client, tags: str, status: int) -> None:
    response = client.get("/all/rss.xml", headers={"if-none-match": tags.format(tag=digest(RSS))})
    assert response.status_code == status


def test_if_none_match_in_two_lines_is_one_list(client: httpx.Client) -> None:
    lines = b'if-none-match: "other"\r\nif-none-match: "%b"\r\n' % digest(RSS).encode()
    assert send_raw(client, b"/all/rss.xml", fields=lines)[0] == 304


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if-match": '"{tag}"'}, 200),
        ({"if-match": '"x", "{tag}-gz"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": 'W/"{tag}"'}, 412),
        ({"if-match": "nonsense"}, 412),
        ({"if-match": '"x"', "if-none-match": '"{tag}"'}, 412),
        ({"if-match": '"{tag}"', "if-none-match": '"{tag}"'}, 304),
        ({"if-match": '"{tag}"', "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
        ({"if-unmodified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 200),
        ({"if-unmodified-since": "yesterday"}, 200),
    ],
)
def test_a_precondition_that_is_not_met_is_412(client: httpx.Client, headers: dict[str, str], expected: int) -> None:
    stated = {name: value.format(tag=digest(RSS)) for name, value in headers.items()}
    response = client.get("/all/rss.xml", headers=stated)
    assert response.status_code == expected
    assert (response.content == RSS) == (expected == 200)


def test_head_with_the_current_tag_is_not_modified(client: httpx.Client) -> None:
    assert client.head("/all/rss.xml", headers={"if-none-match": f'"{digest(RSS)}"'}).status_code == 304


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 304),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", 304),
        ("Tue Nov 14 22:13:20 2023", 304),
        ("Tue, 14 Nov 2023 22:13:21 GMT", 304),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 200),
        ("Tue, 14 Nov 2023 23:13:20 +0000", 200),
        ("2023-11-14T22:13:20Z", 200),
        ("yesterday", 200),
        ("", 200),
    ],
)
def test_if_modified_since_accepts_three_date_formats_and_ignores_others(
    client: httpx.Client, since: str, status: int
) -> None:
    assert client.get("/all/rss.xml", headers={"if-modified-since": since}).status_code == status


def test_if_none_match_takes_precedence_over_if_modified_since(client: httpx.Client) -> None:
    headers = {"if-none-match": '"other"', "if-modified-since": WRITTEN_DATE}
    assert client.get("/all/rss.xml", headers=headers).status_code == 200
    headers = {"if-none-match": f'"{digest(RSS)}"', "if-modified-since": "Tue, 14 Nov 2000 22:13:19 GMT"}
    assert client.get("/all/rss.xml", headers=headers).status_code == 304


def test_each_encoding_has_its_own_etag(client: httpx.Client) -> None:
    zipped = {"accept-encoding": "gzip"}
    tags = [client.get("/all/rss.xml", headers=headers).headers["etag"] for headers in ({}, zipped)]
    assert tags == [f'"{digest(RSS)}"', f'"{digest(RSS)}-gz"']
    statuses = [
        client.get("/all/rss.xml", headers=headers | {"if-none-match": tag}).status_code
        for headers in ({}, zipped)
        for tag in tags
    ]
    assert statuses == [304, 200, 200, 304]


@given(st.binary(max_size=60))
def test_any_bytes_in_a_header_field_are_parsed_without_an_error(value: bytes) -> None:
    assert prefers_gzip(value) in (True, False)
    assert accepts_html(value) in (True, False)
    assert matches_etag(value, b'"x"') in (True, False)
    assert parse_http_date(value) is None


@given(st.from_regex(rb"[A-Z][a-z]{2}, \d\d (Jan|Feb|Xyz|Dec) \d{4} \d\d:\d\d:\d\d GMT", fullmatch=True))
def test_any_date_in_a_valid_format_is_parsed_without_an_error(value: bytes) -> None:
    assert isinstance(parse_http_date(value), int | None)


# Compression


@pytest.mark.parametrize("parse", [prefers_gzip, accepts_html, parse_http_date])
def test_a_too_long_header_value_is_neither_parsed_nor_cached(parse: Any) -> None:
    tracemalloc.start()
    try:
        for number in range(200):
            assert not parse(b"gzip, text/html, %d" % number + b"," * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_gzip_has_the_same_bytes_compressed(client: httpx.Client) -> None:
    _, answer = send_raw(client, b"/all/rss.xml", fields=b"accept-encoding: gzip\r\n")
    head, packed = answer.split(b"\r\n\r\n", 1)
    assert b"content-encoding: gzip" in head
    assert b"content-length: %d" % len(packed) in head
    assert gzip.decompress(packed) == RSS
    assert packed[4:8] == b"\0\0\0\0", "a time in it would change the bytes"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZip, deflate, br", True),
        ("x-gzip", True),
        ("*", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity;q=0, *", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("*;q=1, gzip;q=0.5", False),
        ("gzip;q=lots", False),
        ("identity;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_accept_encoding_weights_decide(client: httpx.Client, accepted: str, packed: bool) -> None:
    response = client.get("/all/rss.xml", headers={"accept-encoding": accepted})
    assert response.content == RSS
    assert (response.headers.get("content-encoding") == "gzip") is packed


def test_accept_encoding_in_two_lines_is_one_list(client: httpx.Client) -> None:
    lines = b"accept-encoding: br\r\naccept-encoding: gzip\r\n"
    assert b"content-encoding: gzip" in send_raw(client, b"/all/rss.xml", fields=lines)[1]


def test_without_accept_encoding_nothing_is_compressed(client: httpx.Client) -> None:
    assert send_raw(client, b"/all/rss.xml")[1].endswith(RSS)


@pytest.mark.parametrize(("size", "packed"), [(511, False), (512, True)])
def test_small_files_are_not_compressed_but_vary(tmp_path: Path, size: int, packed: bool) -> None:
    publish(tmp_path, {"a/rss.xml": b"x" * size})
    with running(make_app(tmp_path)) as client:
        response = client.get("/a/rss.xml", headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in response.headers) is packed
    assert response.headers["vary"] == "accept-encoding, sec-fetch-dest"


def test_a_file_is_compressed_once_for_concurrent_requests(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []

    def compress(body: bytes, *args: Any, **options: Any) -> bytes:
        packed.append(len(body))
        with contextlib.suppress(threading.BrokenBarrierError):
            second.wait(timeout=0.2)  # gives another the time to come in, if nothing keeps it out
        return real(body, *args, **options)

    real = gzip.compress
    second = threading.Barrier(2)
    monkeypatch.setattr(gzip, "compress", compress)
    with running(make_app(own)) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/a/rss.xml", headers={"accept-encoding": "gzip"}), range(16)))
    assert {answer.content for answer in answers} == {RSS}
    assert packed == [len(RSS)]


# Snapshots


def test_without_a_manifest_the_snapshot_is_empty(tmp_path: Path) -> None:
    assert load_snapshot(tmp_path / "nowhere", None) is EMPTY_SNAPSHOT


def test_a_missing_folder_is_still_served_and_an_emptied_folder_is_empty(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = load_snapshot(own, None)
    away = own.rename(own.with_name("away"))
    missing = load_snapshot(own, first)
    assert (missing.files, missing.problem) == (first.files, f"{own} is missing")
    assert load_snapshot(own, missing) is missing
    own.mkdir()
    assert load_snapshot(own, missing) is EMPTY_SNAPSHOT
    own.rmdir()
    away.rename(own)
    back = load_snapshot(own, missing)
    assert (back.files, back.problem) == (first.files, "")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_unchanged_manifest_keeps_the_same_snapshot_object(own: Path) -> None:
    first = load_snapshot(own, None)
    assert load_snapshot(own, first) is first


def test_only_files_with_another_digest_are_read_again(own: Path) -> None:
    first = load_snapshot(own, None)
    first.files["/a/rss.xml"].compress()
    publish(own, {"a/rss.xml": RSS, "b/rss.xml": b"<rss>new</rss>"})
    (own / "a/rss.xml").write_bytes(b"not to be read")
    second = load_snapshot(own, first)
    assert second.files["/a/rss.xml"] is first.files["/a/rss.xml"]
    assert second.files["/a/rss.xml"].gzip is not None
    assert second.files["/b/rss.xml"].identity.body == b"<rss>new</rss>"
    assert first.files["/b/rss.xml"].identity.body == b"<rss>b</rss>"


def test_a_missing_file_of_the_manifest_is_not_in_the_snapshot(own: Path) -> None:
    (own / "a/rss.xml").unlink()
    assert set(load_snapshot(own, None).files) == {"/b/rss.xml"}


def test_a_file_that_leaves_the_manifest_leaves_the_snapshot(own: Path) -> None:
    first = load_snapshot(own, None)
    publish(own, {"b/rss.xml": b"<rss>b</rss>"})
    second = load_snapshot(own, first)
    assert set(second.files) == {"/b/rss.xml"}
    assert second.folders == {"/b"}


def test_the_etag_comes_from_the_bytes_not_from_the_manifest(own: Path) -> None:
    write(own / "a/rss.xml", b"newer than the manifest")
    file = load_snapshot(own, None).files["/a/rss.xml"]
    assert file.etag() == f'"{digest(b"newer than the manifest")}"'.encode()


@pytest.mark.parametrize(
    "manifest", [b"{", b"[]", b"\xff", b'{"format": 2}', b'{"format": 1}', b'{"format":1,"files":{"a":1},"gone":[]}']
)
def test_an_unusable_manifest_keeps_the_previous_files_and_warns_once(
    own: Path, manifest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_snapshot(own, None)
    write(own / ".aggregator/manifest.json", manifest)
    second = load_snapshot(own, first)
    assert second.files == first.files
    assert load_snapshot(own, second) is second
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_unreadable_manifest_is_logged_when_it_begins_and_ends(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    first = load_snapshot(own, None)
    (own / ".aggregator").rename(own / ".elsewhere")
    (own / ".aggregator").symlink_to(own / ".elsewhere")
    second = load_snapshot(own, first)
    assert load_snapshot(own, load_snapshot(own, second)).files == first.files
    (own / ".aggregator").unlink()
    (own / ".elsewhere").rename(own / ".aggregator")
    assert load_snapshot(own, second).files == first.files
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_manifest_cannot_name_a_file_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    publish(tmp_path / "output", {"../secret.txt": b"secret", "a/rss.xml": RSS})
    assert set(load_snapshot(tmp_path / "output", None).files) == {"/a/rss.xml"}


@pytest.mark.parametrize("max_bytes", [1e9, 5000, 1])
def test_readers_get_whole_files_while_the_snapshot_is_swapped(own: Path, max_bytes: float) -> None:
    """Also while no file, or only some, fit into memory."""
    app = make_app(own, bodies=Bodies(max_bytes))
    enough = threading.Event()

    def read(client: httpx.Client, encoding: str) -> set[str]:
        seen = set()
        while not enough.is_set():
            response = client.get("/a/rss.xml", headers={"accept-encoding": encoding})
            assert response.status_code == 200
            tag = response.headers["etag"].strip('"').removesuffix("-gz")
            assert tag == digest(response.content)
            seen.add(tag)
        return seen

    with running(app) as client, ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read, client, encoding) for encoding in ("identity", "gzip") * 4]
        try:
            for number in range(100):
                publish(own, {"a/rss.xml": RSS * (1 + number % 7) + b"%d" % number})
                loopback.reload(app)
        finally:
            enough.set()
        assert len(set.union(*(reader.result(timeout=40) for reader in readers))) > 1


# Files put there by hand


def test_a_foreign_file_is_served_with_validators(client: httpx.Client) -> None:
    response = client.get("/robots.txt", headers={"accept-encoding": "gzip"})
    assert (response.status_code, response.content) == (200, HAND_PUT["robots.txt"])
    assert response.headers["etag"] == f'"{digest(HAND_PUT["robots.txt"])}"'
    assert response.headers["last-modified"] == WRITTEN_DATE
    assert response.headers["cache-control"] == CACHING
    assert client.get("/robots.txt", headers={"if-modified-since": WRITTEN_DATE}).status_code == 304


@pytest.mark.parametrize(("path", "file"), [("/page/", "page/index.html"), ("/caf%C3%A9.txt", "caf\xe9.txt")])
def test_a_foreign_page_is_served_at_its_urls(client: httpx.Client, path: str, file: str) -> None:
    assert client.get(path).content == HAND_PUT[file]


def test_a_folder_that_becomes_a_link_during_a_request_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "output"
    write(folder / "real/page.html", b"inside")
    write(tmp_path / "outside/page.html", b"secret")
    (folder / "page").symlink_to(folder / "real")
    assert read_other(FolderSource(folder), EMPTY_SNAPSHOT, "page/page.html", packed=False) is not None
    resolve = os.path.realpath

    def exchange(path: Any, **options: Any) -> str:
        found = resolve(path, **options)
        if found.endswith("page.html"):
            (folder / "real").rename(folder / "was")
            (folder / "real").symlink_to(tmp_path / "outside")
        return found

    monkeypatch.setattr(os.path, "realpath", exchange)
    assert read_other(FolderSource(folder), EMPTY_SNAPSHOT, "page/page.html", packed=False) is None
    assert (folder / "was").exists()


def test_a_shortage_of_descriptors_is_503(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: FolderSource) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with running(make_app(own)) as client:
        monkeypatch.setattr(FolderSource, "opened", refuse)
        response = client.get("/by-hand.txt")
    assert (response.status_code, "retry-after" in response.headers) == (503, True)


def test_a_link_that_ends_inside_the_folder_is_followed(client: httpx.Client) -> None:
    assert client.get("/inside.txt").content == HAND_PUT["robots.txt"]


@pytest.mark.parametrize(
    "target",
    [
        b"/outside.txt",
        b"/up/secret.txt",
        b"/manifest.txt",
        b"/pipe.txt",
        b"/huge.bin",
        b"/page",
        b"/robots.txt/",
        b"/.hidden",
        b"/page/.env",
        b"/.aggregator/manifest.json",
        b"/%2eaggregator/manifest.json",
        b"/../secret.txt",
        b"/all/../../secret.txt",
        b"/%2e%2e/secret.txt",
        b"/all/%2E%2E/rss.xml",
        b"/all%2frss.xml",
        b"/all%2Frss.xml",
        b"/..%5csecret.txt",
        b"/..\\secret.txt",
        b"/robots.txt%00",
        b"/robots.txt%00.html",
        b"//robots.txt",
        b"//all/rss.xml",
        b"/./robots.txt",
        b"/page//index.html",
        b"/%ff",
        b"/" + b"x" * 5000,
    ],
)
def test_nothing_else_can_be_reached(client: httpx.Client, target: bytes) -> None:
    status, answer = send_raw(client, target)
    assert status == 404
    assert b"secret" not in answer


def test_without_a_folder_there_are_only_probes() -> None:
    with running(make_app()) as client:
        assert client.get("/robots.txt").status_code == 404
        assert client.get("/healthz").status_code == 200


# Methods


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/all/rss.xml", "/healthz", "/nothing"])
def test_other_methods_are_refused(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path, content=b"x" * 100_000)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_options_on_a_feed_allows_pages_of_other_sites_to_get_it(client: httpx.Client) -> None:
    response = client.options("/all/feed.json")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "If-None-Match" in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize("target", [b"/", b"/healthz", b"*"])
def test_options_on_other_paths_lists_methods_only(client: httpx.Client, target: bytes) -> None:
    status, answer = send_raw(client, target, b"OPTIONS")
    assert status == 204
    assert b"allow: GET, HEAD, OPTIONS" in answer
    assert b"access-control" not in answer


# Moved, gone, missing


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"/all", "all/"),
        (b"/all?x=1&y=%2F", "all/?x=1&y=%2F"),
        (b"/ai/rss.xml", "../all/rss.xml"),
        (b"/ai/rss.xml?utm=1", "../all/rss.xml?utm=1"),
        (b"/ai/", "../all/"),
        (b"/tags/ai/index.xml", "../../all/rss.xml"),
        (b"/gone-far", "/far/x"),
    ],
)
def test_old_urls_redirect_with_a_relative_location(client: httpx.Client, target: bytes, location: str) -> None:
    status, answer = send_raw(client, target)
    assert status == 301
    assert f"\r\nlocation: {location}\r\n".encode() in answer


def test_a_moved_feed_redirects_to_its_new_url(client: httpx.Client) -> None:
    response = client.get("/tags/ai/index.xml", follow_redirects=True)
    assert (response.url.path, response.content) == ("/all/rss.xml", RSS)
    assert response.history[0].headers["access-control-allow-origin"] == "*"
    assert response.history[0].headers["cache-control"] == CACHING


def test_a_folder_is_redirected_once_it_has_a_page(own: Path) -> None:
    with running(make_app(own)) as client:
        assert client.get("/a").status_code == 404
        write(own / "a/index.html", b"<p>by hand</p>")
        assert client.get("/a").headers["location"] == "a/"


def test_a_folder_that_is_not_published_is_not_redirected(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.get("/page").status_code == 404


def test_a_published_file_takes_precedence_over_a_removal(tmp_path: Path) -> None:
    publish(tmp_path, {"a/rss.xml": RSS}, gone=("a/rss.xml",))
    with running(make_app(tmp_path)) as client:
        assert client.get("/a/rss.xml").status_code == 200


@pytest.mark.parametrize("moves", [{"moved": {"a/rss.xml": "b/rss.xml"}}, {"moved_folders": {"a": "b"}}])
def test_a_redirect_takes_precedence_over_the_copy_in_the_folder(tmp_path: Path, moves: Any) -> None:
    publish(tmp_path, {"a/rss.xml": RSS, "b/rss.xml": RSS})
    with running(make_app(tmp_path, **moves)) as client:
        response = client.get("/a/rss.xml", follow_redirects=True)
        assert [one.status_code for one in response.history] == [301]
        assert (response.url.path, response.content) == ("/b/rss.xml", RSS)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"/a", "b/"),
        (b"/a/", "../b/"),
        (b"/a?x=1", "b/?x=1"),
        (b"/a/feed.json", "../b/feed.json"),
        (b"/a/archive/0001.xml", "../../b/archive/0001.xml"),
        (b"/a/c:d", "../b/c%3Ad"),
    ],
)
def test_a_moved_folder_redirects_to_the_same_document_below_the_new_folder(target: bytes, location: str) -> None:
    with running(make_app(moved_folders={"a": "b"})) as client:
        status, answer = send_raw(client, target)
        assert status == 301
        assert f"\r\nlocation: {location}\r\n".encode() in answer
        assert client.get("/ab/feed.json").status_code == 404


@pytest.mark.parametrize("target", [b"/a/../b/rss.xml", b"/a/./rss.xml", b"/a//example.org", b"/a/%2e%2e/b/rss.xml"])
def test_a_path_that_a_cache_reads_otherwise_does_not_redirect(target: bytes) -> None:
    """A cache would keep the redirect as the answer for another path, such as that of the feed itself."""
    with running(make_app(None, moved_folders={"a": "b"})) as client:
        assert send_raw(client, target)[0] == 404


def test_before_anything_was_published_caches_are_asked_to_wait(tmp_path: Path) -> None:
    with running(make_app(tmp_path)) as client:
        for path in ("/", "/all/rss.xml", "/all/archive/0001.xml"):
            response = client.get(path)
            assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
            assert int(response.headers["retry-after"]) > 0
    publish(tmp_path, {"all/rss.xml": RSS})
    with running(make_app(tmp_path)) as client:
        assert [client.get(path).status_code for path in ("/all/rss.xml", "/ai/rss.xml")] == [200, 404]


def test_a_file_of_the_operator_is_served_at_a_path_that_was_removed(tmp_path: Path) -> None:
    publish(tmp_path, {"all/rss.xml": RSS}, gone=("index.html", "robots.txt", "ai/index.html"))
    write(tmp_path / "index.html", b"<h1>Ours</h1>")
    write(tmp_path / "ai/index.html", b"<h1>AI</h1>")
    with running(make_app(tmp_path)) as client:
        assert [client.get(path).content for path in ("/index.html", "/ai/")] == [b"<h1>Ours</h1>", b"<h1>AI</h1>"]
        assert client.get("/robots.txt").status_code == 410


@pytest.mark.parametrize("path", ["/old/rss.xml", "/old/index.html", "/old/"])
def test_a_removed_path_answers_410(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 410
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["vary"] == "accept"
    assert 0 < len(response.content) < 100


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(("path", "status"), [("/a/b/<i>", 404), ("/old/rss.xml", 410), ("/old/", 410)])
def test_a_browser_gets_a_page_in_the_look_of_the_site_with_a_way_home(
    client: httpx.Client, path: str, status: int
) -> None:
    response = client.get(path, headers=BROWSER)
    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    home = "../" * (path.count("/") - 1)
    assert f'<a class="button primary" href="{home}">All feeds of <bdi>Notes</bdi></a>' in response.text
    assert f'<link rel="stylesheet" href="{home}assets/style.css' in response.text
    assert "<i>" not in response.text
    assert 'href="./"' in client.get("/nothing", headers=BROWSER).text


def test_a_url_of_many_folders_is_answered_with_a_line(client: httpx.Client) -> None:
    """A page would have `../` for each of them in each link, and stay in memory."""
    assert len(client.get("/a" * 15_000, headers=BROWSER).content) < 100


def test_a_site_without_pages_has_none_for_errors(folder: Path) -> None:
    with running(make_app(folder, options=replace(OPTIONS, pages=False))) as client:
        response = client.get("/nothing", headers=BROWSER)
    assert (response.status_code, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize("path", ["/", "/all/", "/all/archive/0001.html", "/nothing", "/old/"])
def test_our_pages_say_what_they_may_load(client: httpx.Client, path: str) -> None:
    first = client.get(path, headers=BROWSER)
    assert first.headers["content-security-policy"].startswith("default-src 'none'; img-src 'self' ")
    assert first.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    if "etag" in first.headers:
        again = client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/all/rss.xml", "/all/atom.xml", "/all/archive/0001.xml"])
def test_a_feed_that_is_opened_in_a_browser_has_a_type_that_browsers_show(client: httpx.Client, path: str) -> None:
    opened = client.get(path, headers=BROWSER | {"sec-fetch-dest": "document"})
    assert opened.headers["content-type"] == "text/xml; charset=utf-8"
    for destination in ({}, {"sec-fetch-dest": "empty"}):
        read = client.get(path, headers=destination)
        assert read.headers["content-type"].startswith("application/")
        assert read.content == opened.content
        # RFC 9110 section 8.8.1: the type differs, so a 304 would keep the wrong one
        assert read.headers["etag"] != opened.headers["etag"]
        tags = {"if-none-match": opened.headers["etag"]}
        assert client.get(path, headers=destination | tags).status_code == 200
        assert read.headers["vary"] == opened.headers["vary"] == "accept-encoding, sec-fetch-dest"
    for encoding in ("identity", "gzip"):
        fields = BROWSER | {"sec-fetch-dest": "document", "accept-encoding": encoding}
        again = client.get(path, headers=fields)
        assert (again.content, again.headers["content-type"]) == (opened.content, opened.headers["content-type"])
        assert int(again.headers["content-length"]) == again.num_bytes_downloaded
        same = client.get(path, headers=fields | {"if-none-match": again.headers["etag"]})
        assert (same.status_code, same.headers["etag"]) == (304, again.headers["etag"])
        assert client.get(path, headers={"if-match": again.headers["etag"]}).status_code == 200
    page = client.get("/", headers=BROWSER | {"sec-fetch-dest": "document"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/page/", "/all/rss.xml", "/robots.txt", "/healthz"])
def test_other_files_may_load_what_they_like(client: httpx.Client, path: str) -> None:
    assert "content-security-policy" not in client.get(path).headers


def test_a_server_that_can_search_shows_the_box(tmp_path: Path) -> None:
    publish(tmp_path, {"assets/search.css": b"/* nothing */"})
    with running(make_app(tmp_path, searcher=Mock(paths=frozenset()))) as client:
        shown = client.get("/assets/search.css")
        assert "form[data-search]" in shown.text
        assert shown.headers["content-type"] == "text/css; charset=utf-8"
        assert client.get("/assets/search.css", headers={"if-none-match": shown.headers["etag"]}).status_code == 304
    with running(make_app(tmp_path)) as client:
        hidden = client.get("/assets/search.css")
        assert "form" not in hidden.text
        assert hidden.headers["etag"] != shown.headers["etag"]


@pytest.mark.parametrize("accept", ["*/*", "application/rss+xml", "text/html;q=0", ""])
def test_a_program_gets_plain_text(client: httpx.Client, accept: str) -> None:
    response = client.get("/nothing", headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert response.headers["cache-control"] == "no-store"


# Probes


@pytest.mark.parametrize(("path", "option"), [("/healthz", "health"), ("/readyz", "ready")])
@pytest.mark.parametrize(("well", "status"), [(True, 200), (False, 503)])
def test_a_probe_reports_status_and_facts(path: str, option: str, well: bool, status: int) -> None:
    with running(make_app(**{option: lambda: (well, {"age_s": 3})})) as client:
        response = client.get(path)
    assert (response.status_code, response.json()) == (status, {"age_s": 3})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


def test_a_slow_probe_does_not_delay_a_feed(own: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow() -> tuple[bool, dict[str, Any]]:
        asked.set()
        return answer.wait(40), {}

    with running(make_app(own, health=slow)) as client, ThreadPoolExecutor(1) as pool:
        probe = pool.submit(client.get, "/healthz")
        assert asked.wait(40)
        assert client.get("/a/rss.xml").status_code == 200
        assert not probe.done()
        answer.set()
        assert probe.result(timeout=40).status_code == 200


def test_an_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> tuple[bool, dict[str, Any]]:
        raise ZeroDivisionError("inner detail")

    with running(make_app(health=broken)) as client:
        response = client.get("/healthz")
        assert client.get("/readyz").status_code == 200
    assert response.status_code == 500
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "inner detail" not in response.text
    assert "Traceback" not in response.text
    assert "GET '/healthz' failed. Traceback: ZeroDivisionError" in caplog.text
    assert "inner detail" not in caplog.text, "it may quote a record"


def test_an_error_in_a_response_from_memory_is_logged_and_counted_once(
    own: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(own)
    with running(app) as client:
        with monkeypatch.context() as patch:
            patch.setattr("aggregator.serve.app.time", lambda: 1 / 0)
            assert client.get("/a/rss.xml").status_code == 500
        assert client.get("/a/rss.xml").status_code == 200
    assert len(caplog.records) == 1
    assert app.responses == {500: 1, 200: 1}


# The server and the rest of ASGI


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_of_another_machine_is_an_error_with_a_hint(host: str) -> None:
    with pytest.raises(AggregatorError, match=rf"^{host}:8000 .*\(set serve\.host\)$"):
        bind_socket(host, 8000)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_served() -> None:
    with running(make_app(), host="::1") as client:
        assert client.get("/healthz").status_code == 200


def test_a_host_name_prefers_ipv4() -> None:
    with bind_socket("localhost", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_signals_are_left_to_the_service() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with bind_socket("127.0.0.1", 0) as sock, make_server(make_app(), sock).capture_signals():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_stopped_server_frees_its_port() -> None:
    with running(make_app()) as client:
        assert client.get("/healthz").status_code == 200
        port = client.base_url.port
    bind_socket("127.0.0.1", port or 0).close()


def test_pipelined_requests_are_answered_in_order(client: httpx.Client) -> None:
    head = b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n"
    paths = (b"/bare/rss.xml", b""), (b"/robots.txt", b""), (b"/x", b"connection: close\r\n")
    answer = ask(client, b"".join(head % path for path in paths))
    assert [part[:4] for part in answer.split(b"HTTP/1.1")[1:]] == [b" 200", b" 200", b" 404"]


def test_a_thousand_requests_behind_a_slow_one_are_answered_in_order(client: httpx.Client) -> None:
    """Each of them could be answered within the answer of the one before it, deeper than Python's stack."""
    head = b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n"
    quick = head % (b"/bare/rss.xml", b"") + head % (b"/all", b"")
    request = head % (b"/robots.txt", b"") + quick * 500 + head % (b"/x", b"connection: close\r\n")
    answer = ask(client, request)
    assert [part[:4] for part in answer.split(b"HTTP/1.1")[1:]] == [b" 200", *[b" 200", b" 301"] * 500, b" 404"]


@pytest.mark.parametrize("target", [b"no-slash", b"/x y", b"/caf\xc3\xa9"])
def test_a_broken_request_does_not_stop_the_server(client: httpx.Client, target: bytes) -> None:
    assert send_raw(client, target)[0] in (400, 404)
    assert client.get("/").status_code == 200
