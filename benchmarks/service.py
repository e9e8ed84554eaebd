"""The service while it watches: the time from a new record to its feed, compared with `hugo --watch`, and the cost of
an idle service."""

from __future__ import annotations

import os
import random
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from benchmarks.corpus import make_record
from benchmarks.processes import Running
from benchmarks.sites import HugoSite, OurSite

POLL_S = 0.001
START_S, ARRIVE_S = 3600.0, 300.0
"""How long to wait for the first build, and for one record."""
WARM_UP = 3
NEW_FROM = 20_000_000
REST_S = 15.0
SINGLE_EACH_S, LOOK_S, QUIET_S = 3.0, 0.1, 5.0
"""While a bulk comes in: how often a single record comes, how often feeds are looked at, and how long the bulk lasts at
least."""

numbers = count(NEW_FROM)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The seconds of each trial, and the peak memory of the program, its first build included."""

    seconds: list[float]
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Bulk:
    """The seconds until each single record was served, and until all files of the bulk were published."""

    singles: list[float]
    whole_s: float


class NotArrivedError(Exception):
    """A program did not start, or a record did not appear in its feed, in time."""


def measure_arrivals(sites: Mapping[str, OurSite | HugoSite], trials: Mapping[str, int]) -> dict[str, Arrivals]:
    """Seconds from the rename that puts a record into the folder until it is in the RSS document of its first topic.

    All programs run at the same time, each over its own folder, and their trials alternate: while one program gets a
    record, the others are idle.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sites}
    with watching(sites) as running:
        for site in sites.values():
            for _ in range(WARM_UP):
                arrival_s(site)
        for name in _spread(trials):
            time.sleep(random.uniform(0.25, 0.5))
            seconds[name].append(arrival_s(sites[name]))
    return {name: Arrivals(taken, running[name].peak_mb) for name, taken in seconds.items()}


def measure_bulk(site: OurSite, bulk: Path) -> Bulk:
    """Copies the files of `bulk` into the records folder while the service runs, and adds a single record every few
    seconds until everything is published. A single record counts from its rename until its feed has it over HTTP."""
    waiting: dict[bytes, tuple[str, float]] = {}  # by link: the URL of its feed, and when it came
    singles: list[float] = []
    with watching({"bulk": site}):
        started = added = time.perf_counter()
        with subprocess.Popen(["cp", "-r", f"{bulk}/.", site.records]) as copying:
            while (now := time.perf_counter()) < started + START_S:
                is_over = copying.poll() is not None and now > started + QUIET_S and not site.unread_s()
                if is_over and not waiting:
                    return Bulk(singles, now - started)
                if not is_over and now - added > SINGLE_EACH_S:
                    added = now
                    link, url = _add_single(site)
                    waiting[link] = url, time.perf_counter()
                for link, (url, since) in list(waiting.items()):
                    if link in _get(url):
                        singles.append(time.perf_counter() - since)
                        del waiting[link]
                time.sleep(LOOK_S)
    raise NotArrivedError(f"{len(waiting)} records are not served after {START_S:.0f} s")


def _add_single(site: OurSite) -> tuple[bytes, str]:
    """Puts a new record into the folder; returns what shows it in a feed, and the URL of that."""
    record = make_record(next(numbers), new_at=datetime.now(UTC))
    arriving, target = site.folder / "arriving", site.records / record.path
    arriving.write_text(record.text, encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(arriving, target)
    return f"<link>{record.link}<".encode(), site.url_of(record.topics[0])


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=ARRIVE_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError:
        return b""  # a topic whose feed does not exist yet


def measure_idle(site: OurSite, span_s: float) -> float:
    """The share of one core that an idle service uses."""
    with watching({"idle": site}) as running:
        time.sleep(min(REST_S, span_s))
        before, started = running["idle"].cpu_s(), time.perf_counter()
        time.sleep(span_s)
        return (running["idle"].cpu_s() - before) / (time.perf_counter() - started)


@contextmanager
def watching(sites: Mapping[str, OurSite | HugoSite]) -> Iterator[dict[str, Running]]:
    """The running programs, after their first builds."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(Running(site.run_command(), site.log)) for name, site in sites.items()}
        for name, site in sites.items():
            _wait_until_ready(site, running[name])
        yield running


def arrival_s(site: OurSite | HugoSite) -> float:
    """Seconds from one new record to its feed. The file appears as a whole, by a rename."""
    record = make_record(next(numbers), new_at=datetime.now(UTC))
    arriving, target = site.folder / "arriving", site.records / record.path
    arriving.write_text(record.text, encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    feed, sign = site.feed_of(record.topics[0]), f"<link>{record.link}<".encode()
    started = time.perf_counter()
    os.replace(arriving, target)
    return _found_at(feed, sign, started + ARRIVE_S) - started


def _found_at(path: Path, sign: bytes, deadline: float) -> float:
    """The time at which the file contains `sign`. The file is read only if its stat changed."""
    seen = None
    while (now := time.perf_counter()) < deadline:
        stamp = _stamp(path)
        if stamp != seen and stamp is not None:
            seen = stamp
            if sign in path.read_bytes():
                return time.perf_counter()
        time.sleep(POLL_S)
    raise NotArrivedError(f"{path} does not contain {sign!r} after {now - deadline + ARRIVE_S:.0f} s")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _wait_until_ready(site: OurSite | HugoSite, running: Running) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and running.process.poll() is None:
        if site.is_ready():
            return
        time.sleep(0.1)
    raise NotArrivedError(site.log.read_text(encoding="utf-8", errors="replace")[-2000:])


def _spread(trials: Mapping[str, int]) -> list[str]:
    """The names in the order of trials, spread evenly."""
    places = [((trial + 0.5) / many, name) for name, many in trials.items() for trial in range(many)]
    return [name for _, name in sorted(places)]
