"""HTTP under load: the service beside nginx over the same folder, with wrk on loopback. One worker each."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from statistics import median

from benchmarks.corpus import make_record
from benchmarks.nginx import find_program, nginx_command
from benchmarks.processes import PROC, Running
from benchmarks.service import watching
from benchmarks.sites import OurSite

FEED_BYTES = 50_000
SPAN_S, CONNECTIONS = 3, 32
MANY_S, MANY_CONNECTIONS = 60, 1_000
CYCLE_SPAN_S, CYCLE_ROUNDS, CYCLE_S = 2, 3, 300.0
_HTTP = """
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    gzip on;
    gzip_vary on;
    gzip_types text/xml application/json;
    gzip_min_length 512;
    add_header Cache-Control "public, max-age=60" always;
    add_header X-Content-Type-Options nosniff always;
    add_header Access-Control-Allow-Origin "*" always;
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        root {root};
    }}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second, and the CPU time of the server for each."""

    per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Load:
    """Medians by response and server; rates of our service during a cycle; resident memory."""

    nginx: str
    feed_bytes: int
    rounds: int
    rates: dict[str, dict[str, Rate]]
    in_cycle: dict[str, Rate]
    cycle_s: float
    first_mb: float
    last_mb: float


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the URL of the feed."""

    running: Running
    url: str

    def hit(self, fields: Mapping[str, str], span_s: int = SPAN_S) -> Rate:
        """The rate of requests with these header fields."""
        before = self.running.cpu_s()
        command = _wrk(self.url, fields, span_s, CONNECTIONS)
        ended = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        cpu_s = self.running.cpu_s() - before
        return Rate(_number(r"Requests/sec:\s+([\d.]+)", ended), cpu_s / _number(r"(\d+) requests in", ended) * 1e6)

    def etag(self) -> str:
        """The ETag of the feed now."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return str(answer.headers["etag"])


def find_missing() -> list[str]:
    """The Debian packages that this needs and that are not installed."""
    return [name for name in ("nginx", "wrk") if find_program(name) is None]


def measure_load(site: OurSite, size: int, port: int, rounds: int) -> Load:
    """Figures of a site with `size` records that was built before. nginx listens on `port`."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    feed = min(site.output.glob("*/rss.xml"), key=lambda path: abs(path.stat().st_size - FEED_BYTES))
    path = feed.relative_to(site.output).as_posix()
    with watching({"ours": site}) as running, _nginx(site, port) as nginx:
        ours = Server(running["ours"], f"http://127.0.0.1:{site.port}/{path}")
        servers = {"ours": ours, "nginx": Server(nginx, f"http://127.0.0.1:{port}/{path}")}
        rates = _in_turn(servers, rounds)
        first_mb, last_mb = _measure_memory(ours)
        bytes_before = feed.stat().st_size
        in_cycle, cycle_s = _measure_in_cycles(ours, site, size)
    version = subprocess.run([find_program("nginx") or "", "-v"], check=True, capture_output=True, text=True).stderr
    return Load(version.strip().rpartition("/")[2], bytes_before, rounds, rates, in_cycle, cycle_s, first_mb, last_mb)


def _in_turn(servers: Mapping[str, Server], rounds: int) -> dict[str, dict[str, Rate]]:
    """Medians by response and server. In every round the servers take turns."""
    kinds: dict[str, Callable[[Server], Mapping[str, str]]] = {
        "200": lambda _: {},
        "200 gzip": lambda _: {"Accept-Encoding": "gzip"},
        "304": lambda server: {"If-None-Match": server.etag()},
    }
    found: dict[tuple[str, str], list[Rate]] = {}
    for _ in range(rounds):
        for kind, fields in kinds.items():
            for name, server in servers.items():
                found.setdefault((kind, name), []).append(server.hit(fields(server)))
    return {kind: {name: _middle(found[kind, name]) for name in servers} for kind in kinds}


def _measure_in_cycles(ours: Server, site: OurSite, size: int) -> tuple[dict[str, Rate], float]:
    """Rates during cycles that begin with the change of every record, and the time of such a cycle."""
    rates: dict[str, list[Rate]] = {"200": [], "304": []}
    times, versions = [], count(1)
    for _ in range(CYCLE_ROUNDS):
        for kind, found in rates.items():
            fields = {"If-None-Match": ours.etag()} if kind == "304" else {}
            with _changing(site, size, next(versions)) as times_s:
                found.append(ours.hit(fields, CYCLE_SPAN_S))
            times.append(times_s[0])
    return {kind: _middle(found) for kind, found in rates.items()}, median(times)


@contextmanager
def _changing(site: OurSite, size: int, version: int) -> Iterator[list[float]]:
    """Gives every record another title, and waits at the end until the feed of all records shows them. The list gets
    the seconds that it took."""
    mark, staged = f"Changed {version}: ", site.folder / "staged"
    staged.mkdir(exist_ok=True)
    paths = []
    for number in range(size):
        record = make_record(number)
        (staged / str(number)).write_text(record.text.replace('title: "', f'title: "{mark}', 1), encoding="utf-8")
        paths.append(site.records / record.path)
    for number, path in enumerate(paths):
        os.replace(staged / str(number), path)
    started, took = time.perf_counter(), list[float]()

    def wait() -> None:
        newest = site.output / "all" / "rss.xml"
        while time.perf_counter() < started + CYCLE_S:
            text = newest.read_bytes()
            if text.count(b"<title>" + mark.encode()) == text.count(b"<item>"):
                break
            time.sleep(0.02)
        took.append(time.perf_counter() - started)

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield took
    waiting.join()


def _measure_memory(ours: Server) -> tuple[float, float]:
    """Resident memory in MB after the first and the last second of a minute with many connections."""
    process = subprocess.Popen(_wrk(ours.url, {}, MANY_S, MANY_CONNECTIONS), stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        first = _resident_mb(ours.running.process.pid)
        process.wait(MANY_S * 2)
        return first, _resident_mb(ours.running.process.pid)
    finally:
        process.kill()


@contextmanager
def _nginx(site: OurSite, port: int) -> Iterator[Running]:
    folder = site.folder / "nginx"
    folder.mkdir(exist_ok=True)
    command = nginx_command(find_program("nginx") or "", folder, _HTTP.format(port=port, root=site.output))
    with Running(command, folder / "log.txt") as running:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (folder / "nginx.pid").exists():
            time.sleep(0.05)
        yield running


def _wrk(url: str, fields: Mapping[str, str], span_s: int, connections: int) -> list[str]:
    headers = [part for name, value in fields.items() for part in ("-H", f"{name}: {value}")]
    return [find_program("wrk") or "", "-t1", f"-c{connections}", f"-d{span_s}s", "--timeout", "30s", *headers, url]


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    if match is None or "Non-2xx" in text:
        raise ValueError(f"wrk says: {text}")
    return float(match[1])


def _middle(rates: list[Rate]) -> Rate:
    return Rate(median(rate.per_s for rate in rates), median(rate.cpu_us for rate in rates))


def _resident_mb(pid: int) -> float:
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
