"""WebSub: tells hubs which documents changed (https://www.w3.org/TR/websub/, section 6), from the outbox in the store.

cycle -> store/pings (queue) -> PingSender, a thread of the service, or `send_pings` at the end of a build -> hub

Each hub has at most one ping on its way, in a thread of its own, so no hub waits for another.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlencode

from aggregator import __version__
from aggregator.concurrency.processes import POLL_S, start_call
from aggregator.errors import ShortageError, StoreError
from aggregator.service.health import WEBSUB, Health
from aggregator.settings import Site
from aggregator.store.database import Store
from aggregator.store.pings import Ping, due_pings, mark_sent, next_ping_at, postpone

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_S = 10
"""How long a hub may take for a ping, from the connection to the end of the head of its answer."""
NO_ANSWER = f"no answer within {TIMEOUT_S} s"
FIRST_RETRY_S, MAX_RETRY_S = 10, 3600
"""Delay after a failed ping; it doubles with each failure."""
FOLLOWERS_S = 5
"""How long a leader leaves followers to publish a document before hubs fetch it, perhaps from one of them."""
PING_BATCH = 100
Count = Callable[[Literal["ok", "failed"]], None]
"""Counts a ping by its result: `ok` or `failed`."""
_log = logging.getLogger(__name__)


class PingSender:
    """Sends pings while there are some and this service leads; `run` is a thread of its own, so no cycle waits."""

    def __init__(self, site: Site, store: Store, health: Health, stop: threading.Event, count: Count) -> None:
        self._site, self._store, self._health, self._stop = site, store, health, stop
        self._wake = threading.Event()
        self._outbox = _Outbox(store, count, self._wake.set, FOLLOWERS_S if store.is_shared else 0)

    def wake(self, site: Site) -> None:
        """There may be new pings; `site` is that of the active config. From any thread."""
        self._site = site
        self._wake.set()

    def run(self) -> None:
        """Sends pings until the stop."""
        while not self._stop.is_set():
            self._wake.clear()
            if not self._store.lease.is_held:
                self._outbox.forget()
                self._health.end(WEBSUB)
                self._wake.wait()
                continue
            site = self._site
            try:
                wait_s = self._outbox.advance(site)
                problem = self._outbox.problem(site)
            except (StoreError, ShortageError) as error:  # the next attempt finds the same pings
                problem, wait_s = str(error), float(FIRST_RETRY_S)
            if problem:
                self._health.begin(WEBSUB, problem, fatal=False)
            else:
                self._health.end(WEBSUB)
            self._wake.wait(wait_s)


def send_pings(
    site: Site, store: Store, stopped: Callable[[], bool], count: Count = lambda _: None
) -> tuple[str, float | None]:
    """Sends the pings that are due, until `stopped`, which does not wait for a hub. Returns what is wrong with hubs, or
    "", and the seconds until the next ping, None without one."""
    answered = threading.Event()
    outbox = _Outbox(store, count, answered.set, 0)
    wait_s = None
    while not stopped():
        answered.clear()
        wait_s = outbox.advance(site)
        if not outbox.is_sending:
            break
        answered.wait(POLL_S)
    return outbox.problem(site), wait_s


class _Call(NamedTuple):
    """A request to a hub, in a thread."""

    answer: Future[tuple[str, bool]]
    ping: Ping | None  # none: it took too long, and counts as failed; its thread still runs
    ends_at: float  # on the monotonic clock


class _Outbox:
    """The pings on their way. A hub whose thread does not end gets no other one."""

    def __init__(self, store: Store, count: Count, answered: Callable[[], None], delay_s: int) -> None:
        """`answered` is called from any thread when `advance` has something to do; pings wait `delay_s` at first."""
        self._store, self._count, self._answered, self._delay_us = store, count, answered, delay_s * 1_000_000
        self._calls: dict[str, _Call] = {}  # by hub, like the others
        self._queues: dict[str, deque[Ping]] = {}
        self._problems: dict[str, str] = {}

    @property
    def is_sending(self) -> bool:
        """Whether an answer is awaited."""
        return any(call.ping for call in self._calls.values())

    def problem(self, site: Site) -> str:
        """What is wrong with the hubs of the site, or ""."""
        return "; ".join(self._problems[hub] for hub in site.hub_urls if hub in self._problems)

    def forget(self) -> None:
        """Forgets what was read from the store, because another service sends it."""
        self._queues.clear()
        self._problems.clear()

    def advance(self, site: Site) -> float | None:
        """Stores what hubs answered, and sends each its next ping. Never waits for a hub. Returns the seconds until
        there is more to do without an answer, None if there is nothing. Raises StoreError and ShortageError."""
        for hub in tuple(self._calls):
            self._collect(hub)
        waits_s = [self._start(site, hub) for hub in site.hub_urls if hub not in self._calls]
        waits_s += [call.ends_at - time.monotonic() for call in self._calls.values()]
        soonest_s = min(waits_s, default=math.inf)
        return None if soonest_s == math.inf else max(0.1, soonest_s)

    def _collect(self, hub: str) -> None:
        """Stores the answer of a hub, or that it took too long."""
        call = self._calls[hub]
        if call.answer.done():
            del self._calls[hub]
            failure, is_hub_down = call.answer.result()
        elif time.monotonic() >= call.ends_at:
            self._calls[hub] = call._replace(ping=None, ends_at=math.inf)
            failure, is_hub_down = NO_ANSWER, True
        else:
            return
        if call.ping is None:
            return
        if is_hub_down:
            self._queues.pop(hub, None)
        if failure:
            self._problems[hub] = f"the WebSub hub {hub} did not accept a ping: {failure} (it is tried again)"
        self._count("failed" if failure else "ok")
        with self._store.write() as connection:
            if failure:
                delay_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** min(call.ping.attempts, 20))
                postpone(connection, call.ping, _now() + delay_s * 1_000_000, all_of_hub=is_hub_down)
            else:
                mark_sent(connection, call.ping)

    def _start(self, site: Site, hub: str) -> float:
        """Sends a hub its next ping, if one is due; otherwise returns the seconds until then."""
        queue = self._queues.setdefault(hub, deque())
        if not queue:
            with self._store.read() as connection:
                queue.extend(due_pings(connection, hub, _now() - self._delay_us, PING_BATCH))
                next_at = None if queue else next_ping_at(connection, [hub])
            if not queue:
                if next_at is None:  # no ping waits to be tried again
                    self._problems.pop(hub, None)
                return math.inf if next_at is None else (next_at + self._delay_us) / 1e6 - time.time()
        ping = queue[0]
        answer = start_call(_post, hub, f"{site.base_url}{ping.path}")
        queue.popleft()
        self._calls[hub] = _Call(answer, ping, time.monotonic() + TIMEOUT_S)
        answer.add_done_callback(lambda _: self._answered())
        return math.inf


def _post(hub: str, url: str) -> tuple[str, bool]:
    """Why the hub did not accept a ping, or "", and whether it would not accept any other either.

    Hubs differ in the parameter that names the document, so both are sent. A redirect is a failure.
    """
    body = urlencode({"hub.mode": "publish", "hub.url": url, "hub.topic": url}).encode()
    request = urllib.request.Request(hub, body, {"User-Agent": f"aggregator/{__version__}"})  # noqa: S310 - http(s), as the config
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S):
            return "", False
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP status {error.code}", error.code >= 500 or error.code in (408, 429)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or error
        return NO_ANSWER if isinstance(reason, TimeoutError) else str(reason) or type(error).__name__, True
    except Exception as error:  # noqa: BLE001 - http.client raises errors of its own for broken responses
        return type(error).__name__, True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send a GET without the ping, and count its success as one of the ping."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request, so the status is an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _now() -> int:
    return int(time.time() * 1e6)
