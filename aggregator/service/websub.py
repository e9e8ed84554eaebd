"""WebSub: tells hubs which documents changed (https://www.w3.org/TR/websub/, section 6), from the outbox in the store.

cycle -> store/pings (queue) -> PingSender, a thread of the service, or `send_pings` at the end of a build -> hub
"""

from __future__ import annotations

import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlencode

from aggregator import __version__
from aggregator.errors import StoreError
from aggregator.service.health import WEBSUB, Health
from aggregator.settings import Site
from aggregator.store.database import Store
from aggregator.store.pings import Ping, due_pings, mark_sent, next_ping_at, postpone

TIMEOUT_S = 10
FIRST_RETRY_S, MAX_RETRY_S = 10, 3600
"""Delay after a failed ping; it doubles with each failure."""
PING_BATCH = 100
Count = Callable[[Literal["ok", "failed"]], None]
"""Counts a ping by its result: `ok` or `failed`."""
_log = logging.getLogger(__name__)


class PingSender:
    """Sends pings whenever there are some and this service leads; `run` is a thread of its own, so no cycle waits for a
    hub."""

    def __init__(self, site: Site, store: Store, health: Health, stop: threading.Event, count: Count) -> None:
        self._site, self._store, self._health, self._stop, self._count = site, store, health, stop, count
        self._wake = threading.Event()

    def wake(self, site: Site) -> None:
        """There may be new pings; `site` is that of the active config. From any thread."""
        self._site = site
        self._wake.set()

    def run(self) -> None:
        """Sends pings until the stop."""
        while not self._stop.is_set():
            self._wake.clear()
            if not self._store.lease.is_held:
                self._health.end(WEBSUB)
                self._wake.wait()
                continue
            try:
                problem, wait_s = send_pings(self._site, self._store, self._stop.is_set, self._count)
            except StoreError as error:  # the next attempt finds the same pings
                problem, wait_s = str(error), float(FIRST_RETRY_S)
            if problem:
                self._health.begin(WEBSUB, problem, fatal=False)
            elif wait_s is None:  # no ping waits to be tried again
                self._health.end(WEBSUB)
            self._wake.wait(wait_s)


def send_pings(
    site: Site, store: Store, stopped: Callable[[], bool], count: Count = lambda _: None
) -> tuple[str, float | None]:
    """Sends the pings that are due, until `stopped`. Returns what is wrong with a hub, or "", and the seconds until the
    next ping, None without one."""
    problem = ""
    for hub in site.hub_urls:
        problem = _send_to_hub(site, store, hub, stopped, count) or problem
    with store.read() as connection:
        next_at = next_ping_at(connection, site.hub_urls)
    return problem, None if next_at is None else max(0.1, next_at / 1e6 - time.time())


def _send_to_hub(site: Site, store: Store, hub: str, stopped: Callable[[], bool], count: Count) -> str:
    """Sends the pings for one hub. Returns what is wrong with it, or ""."""
    problem = ""
    while True:
        with store.read() as connection:
            pings = due_pings(connection, hub, _now(), PING_BATCH)
        for ping in pings:
            if stopped():
                return problem
            failure, is_hub_down = _post(hub, f"{site.base_url}{ping.path}")
            count("failed" if failure else "ok")
            _record(store, ping, failed=bool(failure), all_of_hub=is_hub_down)
            if failure:
                problem = f"the WebSub hub {hub} did not accept a ping: {failure} (it is tried again)"
            if is_hub_down:
                return problem
        if len(pings) < PING_BATCH:
            return problem


def _record(store: Store, ping: Ping, *, failed: bool, all_of_hub: bool) -> None:
    with store.write() as connection:
        if failed:
            delay_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** min(ping.attempts, 20))
            postpone(connection, ping, _now() + delay_s * 1_000_000, all_of_hub=all_of_hub)
        else:
            mark_sent(connection, ping)


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
        return str(getattr(error, "reason", "") or error or type(error).__name__), True
    except Exception as error:  # noqa: BLE001 - http.client raises errors of its own for broken responses
        return type(error).__name__, True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send a GET without the ping, and count its success as one of the ping."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request, so the status is an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _now() -> int:
    return int(time.time() * 1e6)
