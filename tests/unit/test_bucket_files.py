"""What of a bucket is listed, in which order, and what of it is found to differ."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import md5
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

import pytest
from http_servers import LoopbackServer, QuietHandler
from hypothesis import given
from hypothesis import strategies as st
from parsing import source

from aggregator import buckets
from aggregator.files import FolderError, Unreadable, open_files
from aggregator.model import KnownFile, SourceFile
from aggregator.scan import Differs, Missing, list_records, scan_paths, scan_source

BYTES, FOLDERS, RANDOM = "bytes", "folders", "random"
"""Orders of listings: Amazon's, SeaweedFS's (`a/b` before `a-b`), and none."""


class KeyServer:
    """A server with objects of any key, as Amazon has them and SeaweedFS has not, listed in any order."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.order, self.page, self.etags = BYTES, 1000, True
        self.repeats = False  # the listing does not continue

    def keys(self, prefix: str) -> list[str]:
        found = [key for key in self.objects if key.startswith(prefix)]
        if self.order == BYTES:
            return sorted(found, key=str.encode)
        if self.order == FOLDERS:
            return sorted(found, key=lambda key: key.encode().split(b"/"))
        return random.Random(7).sample(sorted(found), len(found))

    def listing(self, prefix: str, first: int) -> str:
        keys = self.keys(prefix)
        shown, is_cut = keys[first : first + self.page], first + self.page < len(keys)
        token = first if self.repeats else first + self.page
        more = f"<NextContinuationToken>{token}</NextContinuationToken>" if is_cut else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(is_cut).lower()}</IsTruncated>{more}"
            + "".join(self._contents(key) for key in shown)
            + "</ListBucketResult>"
        )

    def _contents(self, key: str) -> str:
        etag = f"<ETag>{escape(self.etag(key))}</ETag>" if self.etags else ""
        size = len(self.objects[key])
        return (
            f"<Contents><Key>{quote(key)}</Key><Size>{size}</Size>{etag}"
            "<LastModified>2026-05-01T08:00:00.123Z</LastModified></Contents>"
        )

    def etag(self, key: str) -> str:
        return f'"{md5(self.objects[key]).hexdigest()}"'


@contextmanager
def served(server: KeyServer) -> Iterator[str]:
    """The URL of a running server."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body of an answer go together, without a wait between them

        def do_GET(self) -> None:  # noqa: N802 - a name of the library
            path, _, query = self.path.partition("?")
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            if "list-type" in asked:
                body = server.listing(asked.get("prefix", ""), int(asked.get("continuation-token", 0))).encode()
                self.answer(200, body)
            elif (key := unquote(path).removeprefix("/bucket/")) in server.objects:
                self.answer(200, server.objects[key], server.etag(key))
            else:
                self.answer(404, b"")

        do_HEAD = do_GET  # noqa: N815 - names of the library

        def answer(self, status: int, body: bytes, etag: str = "") -> None:
            self.send_response_only(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("last-modified", "Fri, 01 May 2026 08:00:00 GMT")
            if etag and server.etags:
                self.send_header("etag", etag)
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

    with LoopbackServer(Handler) as made:
        yield made.url


@pytest.fixture(scope="module")
def shared() -> Iterator[KeyServer]:
    server = KeyServer()
    with served(server) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in (("ENDPOINT_URL", url), ("ACCESS_KEY_ID", "reader"), ("SECRET_ACCESS_KEY", "secret")):
            patch.setenv(f"AWS_{name}", value)
        yield server


@pytest.fixture
def server(shared: KeyServer) -> KeyServer:
    shared.__init__()  # type: ignore[misc]
    return shared


def put(server: KeyServer, *keys: str) -> None:
    server.objects |= {key: key.encode() for key in keys}


def listed() -> list[str | tuple[str, str]]:
    """The paths of the records, and what cannot be read with its reason."""
    found = list_records(source("s3://bucket"))
    return [(item.path, item.reason) if isinstance(item, Unreadable) else item.path for item in found]


@pytest.mark.parametrize("order", [BYTES, FOLDERS, RANDOM])
@pytest.mark.parametrize("page", [1, 3, 1000])
def test_records_come_in_byte_order_of_paths_in_whatever_order_the_server_lists(
    server: KeyServer, order: str, page: int
) -> None:
    server.order, server.page = order, page
    keys = ["a/z.md", "a.md", "a-b.md", "a0.md", "B.md", "é.md", "a/b/c.md", "\U0001f600.md", "\uffee.md", "a%b.md"]
    put(server, *keys)
    assert listed() == sorted((key.replace("%", "%25") for key in keys), key=str.encode)


def test_what_is_hidden_a_folder_or_not_included_is_skipped(server: KeyServer) -> None:
    put(server, "a.md", ".b.md", ".git/c.md", "d/.e.md", "d/../f.md", "./g.md", "h.md/", "i.txt", "j/")
    assert listed() == ["a.md"]


def test_keys_that_are_no_paths_are_told_and_stop_no_other(server: KeyServer) -> None:
    long = "x" * 1020 + ".md"
    put(server, "/a.md", "b//c.md", "d.md", "e\0f.md", "g\nh\x01.md", "i\\j.md", "%" * 600 + ".md", long)
    nothing = "its key has nothing between two slashes, or before the first (give it another key)"
    assert listed() == [
        ("%25" * 600 + ".md", "its path is over 1500 bytes"),
        ("/a.md", nothing),
        ("b//c.md", nothing),
        "d.md",
        ("e\0f.md", "its key has a NUL (give it another key)"),
        "g\nh\x01.md",
        "i\\j.md",
        long,
    ]


def test_a_version_of_an_object_is_told_by_its_etag_alone(server: KeyServer) -> None:
    put(server, "a.md")
    (first,) = list_records(source("s3://bucket"))
    (again,) = list_records(source("s3://bucket"))
    server.objects["a.md"] = b"b.md"  # as long, in the same second
    (other,) = list_records(source("s3://bucket"))
    assert first == again
    assert first[:3] == other[:3] == ("", "a.md", 4)
    assert first != other
    with open_files(source("s3://bucket")) as files:
        assert files.read(SourceFile("", "a.md", 0, 0), 100) == (b"b.md", other)


def test_without_etags_the_time_of_the_last_change_tells(server: KeyServer) -> None:
    put(server, "a.md")
    server.etags = False
    (found,) = list_records(source("s3://bucket"))
    assert isinstance(found, SourceFile)
    assert found.mtime_ns == datetime(2026, 5, 1, 8, tzinfo=UTC).timestamp() * 10**9
    with open_files(source("s3://bucket")) as files:
        assert files.read(found, 2) == (b"a.", found)


def test_a_listing_that_does_not_go_on_is_a_folder_that_cannot_be_read(server: KeyServer) -> None:
    put(server, *(f"{number}.md" for number in range(5)))
    server.page, server.repeats = 2, True
    with pytest.raises(FolderError, match="its listing does not continue"):
        listed()


def test_files_are_read_in_their_order_and_missing_ones_are_errors(server: KeyServer) -> None:
    paths = [f"{number}.md" for number in range(100)]
    put(server, *paths[::2])
    with open_files(source("s3://bucket")) as files:
        contents = list(files.read_ahead((SourceFile("", path, 10, 0) for path in paths), 100))
    assert [content[0].decode() for content in contents if not isinstance(content, OSError)] == paths[::2]
    assert all(isinstance(content, FileNotFoundError) for content in contents[1::2])


def test_what_is_at_a_path_is_a_file_a_folder_or_nothing(server: KeyServer) -> None:
    put(server, "a/b%.md", "a.md")
    with open_files(source("s3://bucket")) as files:
        assert [files.kind(path) for path in ("a.md", "a/b%25.md", "a", "b", "a.m")] == [
            "file",
            "file",
            "folder",
            None,
            None,
        ]


def test_an_error_reaches_another_process_whole() -> None:
    error = FolderError("there is no such bucket", is_missing=True, hint="make it")
    sent = pickle.loads(pickle.dumps(error))
    assert (str(sent), sent.is_missing, sent.hint) == ("there is no such bucket", True, "make it")


def test_index_files_are_found_in_any_case(server: KeyServer) -> None:
    indexes = ["_Index.MD", "INDEX.md", "iNdex.html", "_index.md", "index.org"]
    put(server, *(f"lab/{name}" for name in [*indexes, "index/a.md", "image.md", "_other.md", "index.txt", "a.md"]))
    with open_files(source("s3://bucket")) as files:
        assert sorted(files.index_names("lab/")) == sorted(indexes)
        assert list(files.index_names("")) == []


NAMES = st.sampled_from(["a", "a-b", "a.md", "b.md", "a0.md", "é.md", ".md", "%.md", "b"])
PATHS = st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=12)


@pytest.fixture(scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "PAGE", 3)
        yield


@given(st.data())
def test_the_differences_are_those_of_two_sets(shared: KeyServer, small_pages: None, data: st.DataObject) -> None:
    there, once = data.draw(PATHS), data.draw(PATHS)
    changed, gone = data.draw(st.sets(st.sampled_from(sorted(once) or [""]))), data.draw(PATHS)
    shared.__init__()  # type: ignore[misc]
    shared.order, shared.page = data.draw(st.sampled_from([BYTES, FOLDERS, RANDOM])), data.draw(st.integers(1, 5))
    here = source("s3://bucket")
    put(shared, *once)
    seen = {item.path: item for item in list_records(here) if isinstance(item, SourceFile)}
    shared.objects = {key: key.encode() + (b"!" if key in changed else b"") for key in there}
    records = {key for key in there if key.endswith(".md") and not key.startswith(".") and "/." not in key}

    known: list[KnownFile] = [(path, *item[2:]) for path, item in sorted(seen.items(), key=lambda row: row[0].encode())]
    known = [(path, None, None, 0, 0) if path in gone else (path, *row) for path, *row in known]
    page = data.draw(st.integers(1, 5))
    pages = (known[start : start + page] for start in range(0, len(known), page))
    found = list(scan_source(here, pages, lambda _: None))

    stored = {key.replace("%", "%25"): key for key in records}
    differing = {path for path, key in stored.items() if path not in seen or path in gone or key in changed}
    expected = dict.fromkeys(differing, Differs) | dict.fromkeys(seen.keys() - stored.keys() - gone, Missing)
    assert {item.file.path if isinstance(item, Differs) else item.path: type(item) for item in found} == expected
    assert all(item.known == (item.file.path in seen) for item in found if isinstance(item, Differs))

    below = data.draw(st.sampled_from(["a", "b", "a.md", "a/b.md"]))

    def known_at(path: str) -> Iterator[list[KnownFile]]:
        return iter([[row for row in known if row[0] == path or row[0].startswith(f"{path}/")]])

    partial = {
        item.file.path if isinstance(item, Differs) else item.path: type(item)
        for item in scan_paths(here, {below}, known_at, lambda _: None)
    }
    here_too = {path: kind for path, kind in expected.items() if path == below or path.startswith(f"{below}/")}
    assert partial == here_too | ({below: Differs} if below in stored else {})
