"""The service as a whole: HTTP, the worker, and what requests cycles."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aggregator.config import Config
from aggregator.errors import crash_report
from aggregator.serve.server import FeedsServer
from aggregator.service.config_reload import LiveConfig
from aggregator.service.cycle_requests import CycleRequests
from aggregator.service.hang_check import end_hanging_cycle
from aggregator.service.health import Health
from aggregator.service.metrics import ServiceMetrics
from aggregator.service.monitor import Monitor
from aggregator.service.process import end_process, flush_log, start_thread, watch_threads
from aggregator.service.search_page import Search
from aggregator.service.serving import load_state, make_app, reload_snapshot, run_servers
from aggregator.service.status_page import StatusPage
from aggregator.service.triggers import Triggers
from aggregator.service.websub import PingSender
from aggregator.service.worker import Worker
from aggregator.site import check_configured, open_configured
from aggregator.store.database import Store

STOP_S = 4.0
"""How long a running cycle may take to stop."""

_log = logging.getLogger(__name__)


class Service:
    """Runs until a signal or `stop`. The caller has tried to take the lease of the store; `site_id` is None if the
    store is not open yet. `path` is where the config file is, or may appear."""

    def __init__(self, config: Config, store: Store, site_id: str | None, stop: threading.Event, path: Path) -> None:
        self._store, self._stop = store, stop
        self._served_config = config
        self._poll_at = 0.0  # on the monotonic clock: when a folder or bucket that others write is looked at again
        self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]
        health = Health()
        self.app = make_app(config, health.report, health.ready, self._search(config))
        self._health = health
        self._update_ready()
        self._requests = CycleRequests()
        metrics = ServiceMetrics(self.app.responses, store, self._requests.oldest_s)
        self.app.private["/metrics"] = metrics.page
        self.app.private |= StatusPage(store, health.report, lambda: self._served_config).pages()
        self._pings = PingSender(config.site_facts(), store, health, stop, metrics.count_ping)
        self._triggers = Triggers(config, self._requests, health, stop)
        self._worker = Worker(
            config, store, site_id, stop,
            requests=self._requests, triggers=self._triggers, health=health, metrics=metrics,
            publish=self._serve_published,
        )  # fmt: skip
        self.first_cycle = self._worker.first_cycle
        live = LiveConfig(config, path, os.environ, self._check_config, lambda: store.lease.is_held)
        self._monitor = Monitor(live, store, self._worker, health, stop)

    def run(self, servers: Sequence[FeedsServer]) -> bool:
        """Serves and runs cycles until SIGTERM or SIGINT. False if a cycle did not stop in time."""
        watch_threads()
        self._worker.address = servers[0].address
        self._requests.request(None)
        worker = start_thread("worker", self._worker.run, self._stop.is_set, daemon=False)
        try:
            start_thread("monitor", self._monitor.run, self._stop.is_set)
            deadline = partial(end_hanging_cycle, self._worker, self._health, self._stop)
            start_thread("deadline", deadline, self._stop.is_set)
            start_thread("websub", self._pings.run, self._stop.is_set)
            stopped_at = self._serve(servers)
        finally:
            self._stop.set()
            self._requests.wake()
            self._pings.wake(self._served_config.site_facts())
            self._triggers.end()
        worker.join(max(0.0, stopped_at + STOP_S - time.monotonic()))
        if worker.is_alive():
            _log.error("the cycle did not stop in time; what it stored is kept, and the next start continues")
            flush_log()
        else:
            _log.info("stopped")
        return not worker.is_alive()

    def _serve(self, servers: Sequence[FeedsServer]) -> float:
        try:
            stopped_at = run_servers(servers, self._stop, ends_on_hangup=self._on_hangup, status=self._health.line)
        except Exception as error:  # noqa: BLE001 - the process ends
            _log.error("HTTP died. %s", crash_report(error))
            end_process("nothing is served any more")
        if not self._stop.is_set():
            end_process("HTTP ended")
        return stopped_at

    def _on_hangup(self) -> bool:
        """True if SIGHUP means that the terminal was closed. Otherwise requests a reload of the config."""
        if any(not os.isatty(number) for number in self._terminals):
            return True
        self._monitor.reload_config()
        return False

    def _serve_published(self, config: Config, by_others: bool) -> None:
        """Serves what is in the output folder now. A new config brings its redirects in the same step. What is written
        by others is looked at as often as `serve` does it, because with a bucket each look costs a request."""
        if config is self._served_config:
            if by_others and time.monotonic() < self._poll_at:
                return
            self._poll_at = time.monotonic() + self.app.state.source.poll_s
            reload_snapshot(self.app, config, is_polled=not self._store.lease.is_held)
        else:
            self.app.state = load_state(config, self.app.state, self._search(config))
            self._served_config = config
        self._update_ready()
        self._pings.wake(config.site_facts())

    def _search(self, config: Config) -> Search:
        return Search(config, self._store, lambda: self._worker.site_id or "")

    def _update_ready(self) -> None:
        self._health.has_documents = bool(self.app.state.snapshot.files)

    def _check_config(self, config: Config) -> None:
        """Raises StoreMismatchError if the store contradicts the config, so that the next start would refuse it. Stores
        what the store knows of the config, if this service leads."""
        check_configured(config, self._store)
        if self._store.lease.is_held:
            open_configured(config, self._store)
