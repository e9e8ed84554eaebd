"""Several `aggregator serve` over one folder: to readers and caches they are one server."""

from __future__ import annotations

import json
import threading

from commands import Running, Shop, eventually
from loopback import digest

CHANGES = 15
PATHS = ("all/rss.xml", "all/atom.xml", "all/feed.json", "tea/rss.xml", "all/", "", "opml.xml", "assets/style.css")


class Reader(threading.Thread):
    """Gets the documents of a feed one after the other, all the time; notes what is not of one publish or older."""

    def __init__(self, server: Running) -> None:
        super().__init__()
        self._server, self._stop_event = server, threading.Event()
        self.problems, self.rounds = list[str](), 0

    def run(self) -> None:
        seen = 0
        while not self._stop_event.is_set():
            for name, mark in (("rss.xml", b"<item>"), ("atom.xml", b"<entry>"), ("feed.json", b'"date_published"')):
                reply = self._server.get(f"all/{name}")
                if reply.headers["etag"] != f'"{digest(reply.body)}"':
                    self.problems.append(f"{name} is not what its ETag says")
                count = len(json.loads(reply.body)["items"]) if name == "feed.json" else reply.body.count(mark)
                if count < seen:
                    self.problems.append(f"{name} has {count} entries, after a document with {seen}")
                seen = max(seen, count)
            self.rounds += 1

    def end(self) -> None:
        self._stop_event.set()
        self.join(30)
        assert self.problems == []
        assert self.rounds > 0


def test_two_servers_over_one_folder_answer_alike_and_never_with_half_a_publish(shop: Shop) -> None:
    shop.configure(output="limit = 1000")
    shop.record("0.md", "Story 0", topics=["Tea"])
    writer = shop.start("run").wait_until_done()
    servers = [shop.start("serve"), shop.start("serve")]
    readers = [Reader(server) for server in servers]
    for reader in readers:
        reader.start()
    for number in range(1, CHANGES):
        shop.record(f"{number}.md", f"Story {number}", topics=["Tea"])
        eventually(lambda number=number: f"Story {number}" in writer.titles())
    for server in servers:
        eventually(lambda server=server: len(server.titles()) == CHANGES)
    for reader in readers:
        reader.end()
    for path in PATHS:
        eventually(lambda path=path: all("last-modified" in server.get(path).headers for server in (writer, *servers)))
        for encoding in ("identity", "gzip"):
            replies = [server.get(path, Accept_Encoding=encoding) for server in (writer, *servers)]
            for name in ("etag", "last-modified", "cache-control", "content-type", "vary"):
                assert len({reply.headers[name] for reply in replies}) == 1, (path, name)
            assert len({reply.body for reply in replies}) == 1
            validators = {"Accept_Encoding": encoding, "If_None_Match": replies[0].headers["etag"]}
            assert [server.get(path, **validators).status for server in servers] == [304, 304]
