"""Documents beyond the memory that `serve.cache` allows: real files, a real server on loopback."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loopback import WRITTEN, digest, fine, load_snapshot, make_app, publish, reload, running, write

from aggregator.config import load_config
from aggregator.serve import app as app_module
from aggregator.serve.app import FeedsApp
from aggregator.serve.bodies import OVERHEAD_BYTES, Bodies
from aggregator.serve.files import ServedFile, Snapshot
from aggregator.serve.source import FileFacts
from aggregator.service.serving import load_state
from aggregator.service.serving import make_app as make_configured_app

MANY = 30
ROOM = 25_000
"""For a few of the documents."""
DOCUMENTS = {f"f{number}/rss.xml": b"<rss>%d</rss>" % number * 400 for number in range(MANY)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(tmp_path, DOCUMENTS)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> FeedsApp:
    return make_app(folder, bodies=Bodies(ROOM))


def in_memory(snapshot: Snapshot) -> set[str]:
    """The URL paths of files whose identity is in memory."""
    return {url for url, file in snapshot.files.items() if file.identity is not None}


def counted(snapshot: Snapshot) -> int:
    """What the variants take that the files refer to."""
    return sum(variant.size for file in set(snapshot.files.values()) for variant in file.held())


def test_documents_that_do_not_fit_are_served_from_the_disk_like_all_others(app: FeedsApp) -> None:
    assert 0 < len(in_memory(app.state.snapshot)) < MANY
    with running(app) as client:
        for _ in range(2):
            for path, body in DOCUMENTS.items():
                got = client.get(f"/{path}")
                packed = client.get(f"/{path}", headers={"accept-encoding": "gzip"})
                head = client.head(f"/{path}")
                assert got.content == packed.content == body
                assert got.headers["etag"] == head.headers["etag"] == f'"{digest(body)}"'
                assert packed.headers["etag"] == f'"{digest(body)}-gz"'
                assert packed.headers["content-encoding"] == "gzip"
                assert head.headers["content-length"] == str(len(body))
                assert {response.headers["last-modified"] for response in (got, packed, head)} == {
                    "Tue, 14 Nov 2023 22:13:20 GMT"
                }
    assert app.state.snapshot.files["/f1/rss.xml"].last_modified == WRITTEN


def test_memory_is_bounded_whatever_is_asked_for(app: FeedsApp) -> None:
    bodies = app.state.bodies
    with running(app) as client:
        for encoding in ("identity", "gzip", "identity"):
            for path in DOCUMENTS:
                client.get(f"/{path}", headers={"accept-encoding": encoding})
                assert counted(app.state.snapshot) == bodies.size <= ROOM
    assert bodies.size > ROOM / 2


def test_a_304_needs_no_disk(app: FeedsApp, folder: Path) -> None:
    for path in DOCUMENTS:
        (folder / path).unlink()
    with running(app) as client:
        for path, body in DOCUMENTS.items():
            for suffix, encoding in (("", "identity"), ("-gz", "gzip")):
                headers = {"accept-encoding": encoding, "if-none-match": f'"{digest(body)}{suffix}"'}
                assert client.get(f"/{path}", headers=headers).status_code == 304
            assert (
                client.get(f"/{path}", headers={"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"}).status_code
                == 304
            )


def test_a_document_that_cannot_be_read_now_is_503(app: FeedsApp, folder: Path) -> None:
    missing = next(path for path in DOCUMENTS if f"/{path}" not in in_memory(app.state.snapshot))
    (folder / missing).unlink()
    with running(app) as client:
        response = client.get(f"/{missing}")
        assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
        assert "retry-after" in response.headers
        write(folder / missing, DOCUMENTS[missing])
        assert client.get(f"/{missing}").content == DOCUMENTS[missing]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_document_that_was_replaced_before_the_manifest_is_served_as_what_it_is(
    app: FeedsApp, folder: Path, encoding: str
) -> None:
    path = next(path for path in DOCUMENTS if f"/{path}" not in in_memory(app.state.snapshot))
    old, new, suffix = DOCUMENTS[path], b"<rss>new</rss>" * 300, "-gz" if encoding == "gzip" else ""
    write(folder / path, new)
    with running(app) as client:
        client.headers["accept-encoding"] = encoding
        for _ in range(2):
            response = client.get(f"/{path}")
            assert (response.content, response.headers["etag"]) == (new, f'"{digest(new)}{suffix}"')
            assert "last-modified" not in response.headers, "the old version may have had that date"
        for body in (old, new):
            tag = f'"{digest(body)}{suffix}"'
            assert client.get(f"/{path}", headers={"if-none-match": tag}).status_code == 304
        publish(folder, DOCUMENTS | {path: new})
        reload(app)
        response = client.get(f"/{path}")
        assert (response.content, response.headers["etag"]) == (new, f'"{digest(new)}{suffix}"')
    assert counted(app.state.snapshot) == app.state.bodies.size


def test_a_document_larger_than_all_memory_is_served_and_drops_nothing(folder: Path) -> None:
    publish(folder, DOCUMENTS | {"large/rss.xml": b"x" * ROOM})
    app = make_app(folder, bodies=Bodies(ROOM))
    before = in_memory(app.state.snapshot)
    with running(app) as client:
        assert client.get("/large/rss.xml").content == b"x" * ROOM
    assert in_memory(app.state.snapshot) == before


def test_feeds_are_read_before_pages_and_small_files_before_large_ones(tmp_path: Path) -> None:
    large, small = b"x" * 6000, b"x" * 4000
    publish(
        tmp_path,
        {"a/index.html": b"<p>", "b/rss.xml": large, "c/atom.xml": small, "d/feed.json": small, "e/rss.xml": large},
    )
    room = 6000 + 2 * 4000 + 3 * OVERHEAD_BYTES
    assert in_memory(load_snapshot(tmp_path, None, Bodies(room))) == {"/b/rss.xml", "/c/atom.xml", "/d/feed.json"}
    everything = load_snapshot(tmp_path, None, Bodies(2 * room))
    assert in_memory(everything) == everything.files.keys()


def test_changed_documents_are_read_again_if_their_last_version_was_in_memory(tmp_path: Path) -> None:
    documents = {f"f{number}/rss.xml": b"%04d" % number * 1000 for number in range(10)}
    publish(tmp_path, documents)
    size = 4000 + OVERHEAD_BYTES
    app = make_app(tmp_path, bodies=Bodies(4 * size))
    with running(app) as client:
        client.get("/f7/rss.xml")
        client.get("/f8/rss.xml")
    assert in_memory(app.state.snapshot) == {f"/f{number}/rss.xml" for number in (2, 3, 7, 8)}
    for number in (2, 3):
        del documents[f"f{number}/rss.xml"]
    publish(tmp_path, documents)
    reload(app)
    publish(tmp_path, {path: body[::-1] for path, body in documents.items()})
    reload(app)
    assert in_memory(app.state.snapshot) == {"/f7/rss.xml", "/f8/rss.xml"}
    assert counted(app.state.snapshot) == app.state.bodies.size == 2 * size


def test_what_left_the_manifest_is_not_counted_any_more(app: FeedsApp, folder: Path) -> None:
    publish(folder, {"one/rss.xml": b"<rss/>"})
    reload(app)
    assert app.state.bodies.size == counted(app.state.snapshot) == len(b"<rss/>") + OVERHEAD_BYTES


def ask_at_once(
    app: FeedsApp, path: str, encodings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> tuple[set[bytes], int]:
    """What requests get for a document that is not in memory, while it is read; and how often it is read."""
    begun, all_asked, readings = threading.Event(), threading.Event(), []

    def read_body(*args: Any, **options: Any) -> ServedFile | None:
        readings.append(args)
        begun.set()
        assert all_asked.wait(40)
        return real(*args, **options)

    real = app_module.read_body
    monkeypatch.setattr(app_module, "read_body", read_body)
    with running(app) as client, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.get, f"/{path}", headers={"accept-encoding": name}) for name in encodings]
        assert begun.wait(40)
        client.get("/healthz")  # gives the other requests the time to arrive; late ones find the body in memory
        all_asked.set()
        return {answer.result(timeout=40).content for answer in answers}, len(readings)


def test_requests_for_the_same_body_share_one_reading(app: FeedsApp, monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(path for path in DOCUMENTS if f"/{path}" not in in_memory(app.state.snapshot))
    assert ask_at_once(app, path, ("identity",) * 8, monkeypatch) == ({DOCUMENTS[path]}, 1)


def test_a_document_without_a_gzip_variant_is_read_and_counted_once_whatever_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, {"small/rss.xml": b"<rss/>"})
    app = make_app(tmp_path, bodies=Bodies(ROOM))
    file, bodies = app.state.snapshot.files["/small/rss.xml"], app.state.bodies
    assert file.identity is not None
    bodies.forget([file])
    file.drop(file.identity)
    assert ask_at_once(app, "small/rss.xml", ("identity", "gzip") * 4, monkeypatch) == ({b"<rss/>"}, 1)
    assert bodies.size == counted(app.state.snapshot) == len(b"<rss/>") + OVERHEAD_BYTES
    bodies.keep(file, file.identity)
    assert bodies.size == counted(app.state.snapshot)


def test_a_variant_that_was_used_is_spared_once() -> None:
    size = 100 + OVERHEAD_BYTES
    bodies = Bodies(3 * size)
    files = [ServedFile(f"{number}.txt", "", FileFacts(100, 0), replaces=False) for number in range(6)]

    def keep(number: int) -> list[int]:
        bodies.keep(files[number], files[number].make_variant(b"x" * 100))
        return [index for index, file in enumerate(files) if file.identity]

    for number in range(3):
        keep(number)
    files[0].identity.is_used = True
    assert keep(3) == [0, 2, 3]
    assert keep(4) == [0, 3, 4]
    assert keep(5) == [3, 4, 5]
    assert bodies.size == 3 * size


def test_the_config_sets_the_memory_and_a_reload_keeps_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "aggregator.toml").write_text('[output]\npath = "output"\n[serve]\ncache = "2KB"\n')
    config = load_config(tmp_path / "aggregator.toml", env={})
    publish(config.output.path, {"a/rss.xml": b"<rss/>", "b/rss.xml": b"<rss>long</rss>"})
    app = make_configured_app(config, fine, fine)
    assert app.state.bodies.max_bytes == 2000
    assert in_memory(app.state.snapshot) == {"/a/rss.xml"}
    again = load_state(config, app.state)
    assert again.bodies is app.state.bodies
    assert again.snapshot is app.state.snapshot
