"""What docs/scaling.md calculates with: the size of a store and of documents, and what a cycle and a response cost.

    python -m benchmarks.scaling 10000 100000

Each size is built twice, into SQLite and into a PostgreSQL of its own. Seconds are of the processor, in this process
and its children, because other work on the machine does not change them.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.corpus import make_corpus, write_records
from benchmarks.databases import new_databases

REQUESTS = 3000
CONFIG = """
[site]
id = "feeds.example.org"
base_url = "https://feeds.example.org/"
[records]
path = "{records}"
[store]
url = "{url}"
[output]
path = "{output}"
[serve]
port = 0
"""
RELATIONS = """
    SELECT c.relname, c.relkind::text, c.reltuples::bigint, pg_relation_size(c.oid) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i') AND pg_relation_size(c.oid) > 200000
    ORDER BY pg_relation_size(c.oid) DESC
"""


class Site:
    """A config over a corpus."""

    def __init__(self, root: Path, records: Path, url: str) -> None:
        root.mkdir()
        self.output, self.config = root / "output", root / "aggregator.toml"
        self.config.write_text(CONFIG.format(records=records, url=url, output=self.output))

    def build(self) -> float:
        """Seconds of the processor for one build."""
        before = os.times()
        command = [sys.executable, "-m", "aggregator", "build", "--config", str(self.config)]
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    def request_us(self, *headers: tuple[str, str]) -> float:
        """Microseconds of the processor of `aggregator serve` for one response with the newest entries."""
        command = [sys.executable, "-m", "aggregator", "serve", "--config", str(self.config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout
            url = f"{server.stdout.readline().split()[1]}all/rss.xml"
            etag = str(urllib.request.urlopen(url).headers["etag"])
            fields = dict(headers) | ({"If-None-Match": etag} if ("304", "") in headers else {})
            fields.pop("304", None)
            before = _processor_s(server.pid)
            _request(url, fields, REQUESTS)
            spent = _processor_s(server.pid) - before
            server.terminate()
        return spent / REQUESTS * 1e6

    def sizes(self) -> tuple[int, int, dict[str, tuple[int, int]]]:
        """How many documents there are, their bytes, and the bytes of the feed of everything, plain and by gzip."""
        files = [path for path in self.output.rglob("*") if path.is_file() and ".aggregator" not in path.parts]
        bodies = {name: (self.output / "all" / name).read_bytes() for name in ("rss.xml", "atom.xml", "feed.json")}
        packed = {name: (len(body), len(gzip.compress(body, 6))) for name, body in bodies.items()}
        return len(files), sum(path.stat().st_size for path in files), packed


def _processor_s(pid: int) -> float:
    """Seconds of the processor that a process has used (proc(5), stat)."""
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def _request(url: str, fields: dict[str, str], count: int) -> None:
    import http.client
    from urllib.parse import urlsplit

    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80)
    for _ in range(count):
        connection.request("GET", place.path, headers=fields)
        connection.getresponse().read()
    connection.close()


def _print_relations(url: str, records: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
        total = connection.scalar(text("SELECT pg_database_size(current_database())"))
        print(f"  PostgreSQL: {total / 1e6:.0f} MB, {total / records:.0f} bytes a record")
        for name, kind, rows, size in connection.execute(text(RELATIONS)):
            what = f"{rows} rows" if kind == "r" else "index"
            print(f"    {name}: {what}, {size / 1e6:.1f} MB, {size / records:.0f} bytes a record")
    engine.dispose()


def measure(root: Path, records: int, postgres_url: str) -> None:
    """Prints the figures for so many records."""
    print(f"{records} records")
    corpus = make_corpus(records, root / "records")
    sqlite = root / "site.db"
    databases = (("SQLite", f"sqlite:///{sqlite}"), ("PostgreSQL", postgres_url))
    for number, (name, url) in enumerate(databases, records):
        site = Site(root / name, corpus, url)
        first, quiet = site.build(), site.build()
        write_records([number], corpus)
        print(
            f"  {name}: first build {first:.1f} s, a build without changes {quiet:.2f} s, one new {site.build():.2f} s"
        )
    print(f"  SQLite: {sqlite.stat().st_size / 1e6:.0f} MB, {sqlite.stat().st_size / records:.0f} bytes a record")
    _print_relations(postgres_url, records)
    documents, size, packed = site.sizes()
    print(f"  {documents} documents, {size / 1e6:.1f} MB; all/: {packed}")
    gzipped = ("Accept-Encoding", "gzip")
    print(f"  a response: 304 {site.request_us(('304', '')):.0f} µs, 200 by gzip {site.request_us(gzipped):.0f} µs")


def main() -> None:
    """Measures the sizes that the command names."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder, new_databases() as make_database:
        for size in map(int, sys.argv[1:] or ("10000", "100000")):
            root = Path(folder) / str(size)
            root.mkdir()
            measure(root, size, make_database())


if __name__ == "__main__":
    main()
