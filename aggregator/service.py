"""The service: cycles on a schedule, on changes of files and at due times, beside HTTP. Triggers only ask for a cycle;
one worker runs them.

    APScheduler ─┐
    watchfiles  ─┼─> request ─> worker: Pipeline.run ─> snapshot ─> HTTP
    due times   ─┘
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from watchfiles import Change, watch

from aggregator.check import place_problem
from aggregator.config import Config
from aggregator.errors import AggregatorError, LeaseLostError, StoppedError, StoreError
from aggregator.http import FeedsApp, FeedsServer, load_snapshot
from aggregator.model import CycleResult
from aggregator.pipeline import Pipeline
from aggregator.store import Store, count_unsettled, file_problems, to_us, write_meta

SCAN_JOB, DUE_JOB, RETRY_JOB = "scan", "due", "retry"
RETRY_S = 60
"""How long after a cycle that failed another is tried, whatever the schedule."""
LATE_S = 60
"""How long after its time a cycle may end before /healthz says it is late, its own usual length aside."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
STOP_S = 4.0
"""How long after a stop was asked for the cycle that runs may still take."""
WATCH_STEP_MS, WATCH_DEBOUNCE_MS = 50, 400
WATCH_RETRY_S = 2.0

_log = logging.getLogger(__name__)


class Service:
    """Runs until it is told to stop, by a signal or by `stop`; the store's lease is held by the caller."""

    def __init__(self, config: Config, store: Store, site_id: str, stop: threading.Event) -> None:
        self._config, self._store = config, store
        self._stop = stop
        self._requested = threading.Event()
        self._trigger = make_trigger(config)
        self._scheduler = BackgroundScheduler(
            timezone=config.site.timezone,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._pipeline = Pipeline(config, store, site_id, stop=self._stop)
        self.health = Health()
        self.app = make_app(config, self.health.report, self.health.ready)
        self.health.has_documents = bool(self.app.snapshot.files)
        self._told: frozenset[str] = frozenset()
        self._changed, self._watching = threading.Event(), threading.Event()
        self._walked_at = 0.0
        every = config.schedule.every
        self._patience_s = None if config.schedule.cron else 2 * every.total_seconds() + 1
        self._complete = self._settled = False

    def run(self, server: FeedsServer) -> bool:
        """Serves and runs cycles until SIGTERM or SIGINT, then ends within some seconds; False if a cycle hangs."""
        worker = threading.Thread(target=self._work, name="cycles")
        worker.start()
        try:
            self._start_triggers()
            asked_at = run_server(server, self._stop)
        finally:
            self._stop.set()
            self._requested.set()
            if self._scheduler.running:
                self._scheduler.shutdown(wait=False)
        worker.join(max(0.0, asked_at + STOP_S - time.monotonic()))
        if worker.is_alive():
            _log.error("the cycle does not stop; what is stored stands, the next start goes on from there")
        else:
            _log.info("stopped")
        return not worker.is_alive()

    def _start_triggers(self) -> None:
        self._scheduler.add_listener(_log_job, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_job(
            self._requested.set, self._trigger, id=SCAN_JOB, replace_existing=True, next_run_time=datetime.now(UTC)
        )
        self._scheduler.start()
        if self._config.schedule.watch:
            threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _work(self) -> None:
        """One cycle for any number of requests that came during the last one."""
        while True:
            # the timeout is for a clock that was set back: the scheduler would wait until it has caught up
            self._requested.wait(self._patience_s)
            self._requested.clear()
            if self._stop.is_set():
                return
            try:
                self._cycle()
            except StoppedError as stopped:
                _log.info("%s", stopped)
            except LeaseLostError as error:
                self._fail(str(error))
                self._take_lease_back()
            except AggregatorError as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - it stops the cycle, not the service, and shows
                if self._stop.is_set():  # such as readers of files that met the same signal
                    _log.info("stopped in the middle of a cycle (%s)", type(error).__name__)
                    return
                _log.exception("the cycle ended unexpectedly")
                self._fail(f"unexpected {type(error).__name__}")

    def _cycle(self) -> None:
        now = datetime.now(UTC)
        walk = self._must_walk()
        result = self._pipeline.run(now, walk=walk)
        if walk:
            self._note_walk(result)
        if result.published:
            self.app.snapshot = load_snapshot(self._config.output.path, self.app.snapshot)
        self.health.has_documents = bool(self.app.snapshot.files)
        upcoming = self._trigger.get_next_fire_time(None, datetime.now(UTC))
        if result.published and self._complete:
            self.health.succeed(now, upcoming, LATE_S + 2 * result.seconds)
        else:
            self.health.fail()
            self._try_again_soon()
        self._log_result(result)
        if result.due is not None:
            self._scheduler.add_job(self._requested.set, "date", run_date=result.due, id=DUE_JOB, replace_existing=True)
        with self._store.write() as connection:
            write_meta(connection, "next_cycle", str(to_us(upcoming)) if upcoming else "")

    def _must_walk(self) -> bool:
        """Whether the folders must be looked at now: something there changed, nobody watches, it is time, or the last
        walk left something open, such as a file that was still being written."""
        changed = self._changed.is_set()
        self._changed.clear()  # before the walk: what changes during it is seen by the next
        rested = time.monotonic() - self._walked_at < self._config.schedule.rescan.total_seconds()
        return changed or not self._watching.is_set() or not self._settled or not rested

    def _note_walk(self, result: CycleResult) -> None:
        self._walked_at = time.monotonic()
        self._complete = result.complete
        with self._store.read() as connection:
            self._settled = not result.problems and not count_unsettled(connection)

    def _try_again_soon(self) -> None:
        """What is due must not wait for a schedule that may be a day away."""
        soon = datetime.now(UTC) + timedelta(seconds=RETRY_S)
        self._scheduler.add_job(self._requested.set, "date", run_date=soon, id=RETRY_JOB, replace_existing=True)

    def _fail(self, reason: str) -> None:
        self._settled = False
        self._try_again_soon()
        self.health.fail()
        _log.error("the cycle failed: %s", reason)

    def _take_lease_back(self) -> None:
        try:
            self._store.lease.acquire(0)
        except StoreError as error:
            _log.error("%s; this service only serves until it is free", error)

    def _log_result(self, result: CycleResult) -> None:
        level = (
            logging.INFO if result.files_written or result.new or result.changed or result.removed else logging.DEBUG
        )
        _log.log(
            level,
            "scanned %d, new %d, changed %d, removed %d, rejected %d, feeds written %d, %.2f s",
            result.scanned, result.new, result.changed, result.removed, result.rejected, result.feeds_written,
            result.seconds,
        )  # fmt: skip
        with self._store.read() as connection:
            told = frozenset(result.problems) | frozenset(
                str(place_problem(self._config.sources, one.source, one.problem))
                for one in file_problems(connection)
                if one.state == "rejected"
            )
        for line in sorted(told - self._told):
            _log.warning("%s", line)
        for line in sorted(self._told - told):
            _log.info("no longer so: %s", line)
        self._told = told

    def _watch(self) -> None:
        """Asks for a cycle when something in a records folder changes; a folder that is away is tried again."""
        away = False
        while not self._stop.is_set():
            try:
                self._watch_folders()
                away = False
            except (OSError, RuntimeError) as error:
                if not away:
                    _log.warning("a records folder cannot be watched now: %s (it is still scanned on schedule)", error)
                away = True
                self._stop.wait(WATCH_RETRY_S)

    def _watch_folders(self) -> None:
        """Watches until the stop, or until another folder stands in a folder's place: the old one tells nothing."""
        watched = self._folder_identities()
        roots = [os.path.realpath(source.root) for source in self._config.sources]
        changes = watch(
            *roots,
            watch_filter=_is_visible(roots),
            step=WATCH_STEP_MS,
            debounce=WATCH_DEBOUNCE_MS,
            rust_timeout=1000,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        first = True  # nobody tells what changed before the watch was on
        try:
            for changed in changes:
                if changed or first:
                    self._changed.set()
                    self._requested.set()
                self._watching.set()
                first = False
                if self._folder_identities() != watched:
                    return
        finally:
            self._watching.clear()

    def _folder_identities(self) -> list[tuple[int, int]]:
        found = [os.stat(source.root) for source in self._config.sources]
        return [(status.st_dev, status.st_ino) for status in found]


class Health:
    """Whether scans succeed on time, for /healthz; written by the worker, read by HTTP."""

    def __init__(self) -> None:
        self.has_documents = False
        self._last_success: datetime | None = None
        self._upcoming: datetime | None = None
        self._late_after = math.inf
        self._failing = False

    def succeed(self, at: datetime, upcoming: datetime | None, late_s: float) -> None:
        """A cycle that began at `at` succeeded; the next is `upcoming` and must have `late_s` after that."""
        self._last_success, self._upcoming, self._failing = at, upcoming, False
        if upcoming is not None:  # measured by no clock that can be set
            self._late_after = time.monotonic() + (upcoming - datetime.now(UTC)).total_seconds() + late_s

    def fail(self) -> None:
        """A cycle did not succeed."""
        self._failing = True

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and the facts."""
        late = time.monotonic() > self._late_after
        if self._failing:
            status = "failing"
        elif self._last_success is None:
            status = "starting"
        else:
            status = "late" if late else "ok"
        facts = {"status": status, "last_success": _text(self._last_success), "next_cycle": _text(self._upcoming)}
        return status == "ok", facts

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether there is anything to serve."""
        return self.has_documents, {"status": "ready" if self.has_documents else "starting"}


def serve_folder(config: Config, stop: threading.Event, server_of: Callable[[FeedsApp], FeedsServer]) -> None:
    """Serves an output folder that another process writes, until SIGTERM, SIGINT or `stop`."""

    def is_filled() -> tuple[bool, dict[str, Any]]:
        filled = bool(app.snapshot.files)
        return filled, {"status": "ok" if filled else "empty"}

    app = make_app(config, is_filled, is_filled)

    def follow() -> None:
        while not stop.wait(1.0):
            app.snapshot = load_snapshot(config.output.path, app.snapshot)

    follower = threading.Thread(target=follow, name="follow", daemon=True)
    follower.start()
    try:
        run_server(server_of(app), stop)
    finally:
        stop.set()


def make_app(config: Config, health: Callable[[], Any], ready: Callable[[], Any]) -> FeedsApp:
    """The app over the output folder; caches may keep an answer for half the time between cycles."""
    moves = config.moves()
    half = config.schedule.every // timedelta(seconds=2) if config.schedule.every else 60
    return FeedsApp(
        snapshot=load_snapshot(config.output.path, None),
        max_age_s=max(15, min(300, half)),
        health=health,
        ready=ready,
        moved=moves.addresses,
        moved_folders=moves.folders,
        folder=config.output.path,
    )


def make_trigger(config: Config) -> BaseTrigger:
    """When scans are due."""
    if config.schedule.cron:
        return CronTrigger.from_crontab(config.schedule.cron, timezone=config.site.timezone)
    return IntervalTrigger(seconds=config.schedule.every.total_seconds(), timezone=config.site.timezone)


def run_server(server: FeedsServer, stop: threading.Event) -> float:
    """Serves until SIGTERM or SIGINT, which set `stop`, or not at all if it is set; when that was (time.monotonic)."""
    asked_at = time.monotonic()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            nonlocal asked_at
            asked_at = time.monotonic()
            stop.set()
            server.should_exit = True

        for number in STOP_SIGNALS:
            try:
                loop.add_signal_handler(number, end)
            except NotImplementedError:  # Windows has none; there Ctrl-C raises
                signal.signal(number, lambda *_: end())
        if stop.is_set():  # a signal that came before the loop could take it
            return
        await server.serve()

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(main())
    return asked_at


def _is_visible(roots: list[str]) -> Callable[[Change, str], bool]:
    """A filter of watched paths: none of whose names below a root begins with a dot."""
    prefixes = tuple(root.rstrip(os.sep) + os.sep for root in roots)

    def is_visible(_change: Change, path: str) -> bool:
        for prefix in prefixes:
            if path.startswith(prefix):
                return not any(name.startswith(".") for name in path[len(prefix) :].split(os.sep))
        return True

    return is_visible


def _log_job(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    _log.error("the scheduler could not ask for a cycle (event %s): %s", event.code, error or "it was late")


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
