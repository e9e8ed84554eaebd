"""Polls what sends no notifications: the config file, the file of the store, and the clock."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

from aggregator.errors import StoreError, crash_report
from aggregator.service.config_reload import LiveConfig
from aggregator.service.health import MONITOR, STORE, Health
from aggregator.service.worker import Worker
from aggregator.store.database import Store
from aggregator.store.service_requests import write_leader_health
from aggregator.store.session import write_meta

POLL_S = 0.25
CLOCK_STEP_S = 0.5
"""Smallest step of the clock that restarts the schedule."""

_log = logging.getLogger(__name__)


class Monitor:
    """Reports to health and to the worker what changed; stores the problems of the service for `status`."""

    def __init__(self, live: LiveConfig, store: Store, worker: Worker, health: Health, stop: threading.Event) -> None:
        self._live, self._store, self._worker, self._health, self._stop = live, store, worker, health, stop
        self._reload = threading.Event()
        self._stored_state: tuple[str, str, str, str] | None = None

    def reload_config(self) -> None:
        """Reads the config file at once, also if it looks unchanged. Returns immediately; from any thread."""
        self._reload.set()

    def run(self) -> None:
        """Polls until the stop."""
        offset = _clock_offset()
        while not self._stop.is_set():
            reload = self._reload.wait(POLL_S)
            self._reload.clear()
            try:
                self._poll(reload=reload)
                self._health.end(MONITOR)
            except Exception as error:  # noqa: BLE001 - the active config works, and the next poll may too
                reason = f"the config file and the store cannot be checked: unexpected {type(error).__name__}"
                if self._health.begin(MONITOR, reason, fatal=False):
                    _log.error("the check ended unexpectedly. %s", crash_report(error))
            step = _clock_offset() - offset
            if abs(step) > CLOCK_STEP_S:
                # timers use the monotonic clock, and would miss times that the wall clock skipped
                _log.info("the clock changed by %+.1f s (it was set, or the machine slept)", step)
                offset += step
                self._worker.restart_schedule()

    def _poll(self, *, reload: bool) -> None:
        config = self._live.poll(reload=reload)
        if config is not None:
            self._worker.activate(config)
        state = self._live.state
        self._health.config = "refused" if state.refused else "restart" if state.waiting else "ok"
        try:
            self._store.check_in_place()
        except StoreError as error:
            self._health.begin(STORE, str(error), fatal=True)
        else:
            if self._health.end(STORE):
                self._worker.wake()
        self._health.check_late()
        self._store_state()

    def _store_state(self) -> None:
        """Stores the state of a service that leads, for `status` and for those that follow it."""
        lease = self._store.lease
        if not lease.is_held:
            return
        problem = self._health.fatal_problem()
        state = json.dumps(self._live.state.facts()), json.dumps(self._health.problems()), lease.token, problem
        if state != self._stored_state:
            with suppress(StoreError):
                with self._store.write() as connection:
                    write_meta(connection, "config_state", state[0])
                    write_meta(connection, "service_problems", state[1])
                    write_leader_health(connection, lease.token, problem)
                self._stored_state = state


def _clock_offset() -> float:
    """Wall clock minus monotonic clock, in seconds."""
    return datetime.now(UTC).timestamp() - time.monotonic()
