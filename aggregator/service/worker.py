"""The worker: the thread that runs cycles while this service leads, and follows the service that leads otherwise.

open the store -> lead (cycles) or follow (publish what the store says) -> lead when nobody does -> …
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from aggregator.concurrency.processes import PROGRESS
from aggregator.config import Config
from aggregator.cycle.pipeline import Paths, Pipeline, ScanRequest
from aggregator.errors import (
    AggregatorError,
    StoppedError,
    StoreError,
    StoreHeldError,
    StoreUnreachableError,
    crash_report,
)
from aggregator.model import CycleResult
from aggregator.problems import place_problem
from aggregator.service.cycle_requests import CycleRequests
from aggregator.service.follower import FOLLOW_S, Follower
from aggregator.service.health import CYCLE, STORE, Health
from aggregator.service.metrics import ServiceMetrics
from aggregator.service.problem_log import ProblemLog
from aggregator.service.triggers import Triggers
from aggregator.service.watch import EventOr
from aggregator.site import open_configured, open_for_service
from aggregator.store.database import Store
from aggregator.store.lost_store import read_lost_store
from aggregator.store.queries import file_problems, source_problems, unread_files
from aggregator.store.schema import REJECTED_STATES
from aggregator.store.service_requests import announce_service, read_store_key, take_accept_removals
from aggregator.store.session import to_us, write_meta

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0
"""Delay of the retry after a failed cycle; it doubles with each failure."""
MAX_FOLLOW_S = 4.0
"""Longest time between two attempts to take the lead, also after failures."""
LATE_S = 60
"""Grace after the scheduled time of a cycle, in addition to twice its usual length, before /healthz says `late`."""
DUE_WITHIN_S = 0.9
"""Entries that are due within this time after another share its cycle."""
MAX_UNREAD = 1000
"""Most incomplete files that a scheduled cycle reads again; a full scan reads all."""

_log = logging.getLogger(__name__)


class Worker:
    """Runs a cycle for all requests since the last one, with the newest config. `publish` is called with the config
    after each cycle that published. `site_id` is None while the store is not open."""

    def __init__(
        self,
        config: Config,
        store: Store,
        site_id: str | None,
        stop: threading.Event,
        *,
        requests: CycleRequests,
        triggers: Triggers,
        health: Health,
        metrics: ServiceMetrics,
        publish: Callable[[Config, bool], None],
    ) -> None:
        self._config, self._store, self.site_id, self._stop = config, store, site_id, stop
        self._requests, self._triggers, self._health, self._publish = requests, triggers, health, publish
        self._metrics = metrics
        self.address = ("", 0)  # the host and port where this service listens, for `health`
        self.first_cycle = threading.Event()  # the first cycle has ended, or failed
        self._interrupted = EventOr(stop)
        self._clock_changed = threading.Event()
        self._newest_config = self._served_config = config
        self._pipeline = self._make_pipeline(config)
        self._follower = Follower(store, health)
        self._is_leading = False  # as the parts of the service know it; the lease may have been lost since
        self._problems = ProblemLog()
        # Of the last full scan and the partial scans since: all folders could be read; nothing is left to scan again.
        self._complete = self._clean = False
        self._stored_next_cycle: str | None = None
        self._retry_s: float | None = None
        self._accept_removals = False  # a request that a cycle has yet to fulfil
        self._running = 0  # the number of the cycle that runs; 0 while none does
        self._is_bulk = self._rest_waits = False  # the last cycle left files; it was only for what was named

    def activate(self, config: Config) -> None:
        """Stops the running cycle, keeping what it stored, and runs the next one with this config. From any thread."""
        self._newest_config = config
        self._interrupted.set()
        self._requests.wake()

    def wake(self) -> None:
        """Runs a cycle now. From any thread."""
        self._requests.wake()

    def restart_schedule(self) -> None:
        """Restarts the schedule and runs a cycle, because the clock changed. From any thread."""
        self._clock_changed.set()
        self._requests.wake()

    def progress(self) -> tuple[int, int] | None:
        """Changes whenever the running cycle makes progress; None while none runs. From any thread."""
        return (self._running, PROGRESS.count) if self._running else None

    @property
    def stage(self) -> str:
        """The stage of the running cycle. From any thread."""
        return self._pipeline.stages.current

    def run(self) -> None:
        """Runs cycles until the stop. A failed cycle is retried after a while even without a request."""
        self._store.lease.on_loss = self._requests.wake
        for number in itertools.count(1):
            self._requests.wait(self._retry_s if self._is_leading else min(self._retry_s or FOLLOW_S, MAX_FOLLOW_S))
            self._interrupted.clear()
            if self._stop.is_set():
                return
            try:
                self._running = number
                self._work()
            except StoppedError as stopped:
                self._requests.add(None)  # its paths are lost, so scan everything
                _log.info("%s", stopped)
            except Exception as error:  # noqa: BLE001 - it ends the cycle, not the service, and is reported
                if self._stop.is_set():  # pool processes may fail with the same signal
                    _log.info("stopped in the middle of a cycle (%s)", type(error).__name__)
                    return
                self._report_failure(error)
            finally:
                self._running = 0
                self.first_cycle.set()

    def _work(self) -> None:
        """Runs a cycle if this service leads; takes the lead if no service has it."""
        if not self._is_open():
            return
        leads = self._leads()
        if (config := self._newest_config) is not self._config:
            self._activate(config)
        if leads:
            self._run_cycle()
        else:
            self._follow()

    def _is_open(self) -> bool:
        """Whether the store is open; it could not be at the start if its database did not answer."""
        if self.site_id is None:
            acquire = partial(self._store.lease.acquire, 0)
            self.site_id = open_for_service(self._newest_config, self._store, acquire)
            self._pipeline = self._make_pipeline(self._config)
        if self.site_id is not None and self._health.store is None:
            self._health.store = read_store_key(self._store)
        return self.site_id is not None

    def _leads(self) -> bool:
        lease = self._store.lease
        if not lease.is_held:
            if self._is_leading:
                self._step_down()
            try:
                lease.acquire(0)
            except StoreHeldError as held:
                if self._health.follow(held.holder):
                    _log.info("follows %s, which has the store", held.holder)
                return False
        if not self._is_leading:
            self._take_lead()
        return True

    def _take_lead(self) -> None:
        try:
            open_configured(self._config, self._store)
            announce_service(self._store, self.address, str(self._config.path and self._config.path.absolute()))
        except StoreError:
            self._store.lease.give_back()
            raise
        self._is_leading, self._stored_next_cycle = True, None
        self._pipeline = self._make_pipeline(self._config)
        self._complete = self._clean = False
        self._is_bulk = self._rest_waits = False
        self._follower.end()
        self._health.lead()
        self._triggers.start()
        self._requests.add(None)
        self._requests.wait(0)  # what the watch has requested so far is part of the cycle that follows
        if self._store.is_shared:
            _log.info("leads: scans the records and stores them")

    def _step_down(self) -> None:
        self._is_leading, self._accept_removals = False, False
        self._problems.forget()
        self._health.notes = ()
        self._triggers.pause()
        self._pipeline = self._make_pipeline(self._config)
        _log.warning("another process has taken over the store; this service no longer scans")

    def _follow(self) -> None:
        """Publishes what the service that leads has stored."""
        self._requests.clear()
        followed = self._follower.follow(self._pipeline)
        if not followed.is_written:
            kind = "folder" if isinstance(self._config.output.path, Path) else "bucket"
            self._health.begin(CYCLE, f"the output {kind} cannot be written: {followed.problems[-1]}", fatal=True)
            return
        if followed.is_active:
            self._serve(self._config, by_others=followed.documents is None)
        elif followed.is_of_other:
            self._serve(self._served_config, by_others=True)
        if followed.is_active or followed.is_of_other:
            self._metrics.count_followed(followed.documents)
            if self._health.has_documents:
                self._health.succeed(datetime.now(UTC), None, 0.0)
        if followed.documents is not None:
            self._problems.write(followed.problems)
            level = logging.INFO if followed.documents else logging.DEBUG
            _log.log(level, "published what the leader stored: %d documents", followed.documents)
        self._retry_s = None

    def _serve(self, config: Config, *, by_others: bool = False) -> None:
        self._publish(config, by_others)
        self._served_config = config

    def _run_cycle(self) -> None:
        if self._clock_changed.is_set():
            self._clock_changed.clear()
            self._triggers.restart_schedule()
        now = datetime.now(UTC)
        paths, first = self._requests.take()  # before the scan: later changes belong to the next cycle
        if accept := self._accept_removals or take_accept_removals(self._store):
            self._accept_removals, paths = True, None  # also in the next cycle, if this one fails
        # while a bulk is read, every other cycle is for what was named meanwhile
        self._rest_waits = self._is_bulk and bool(first) and not self._rest_waits
        request = ScanRequest(paths, first, accept_removals=accept, rest_waits=self._rest_waits)
        try:
            result = self._pipeline.run(now, request)
        finally:  # they are stored, whatever comes after them
            for text in self._pipeline.withdrawn:
                _log.warning("%s", text)
        self._accept_removals, self._is_bulk = False, result.cut
        if result.published:
            self._serve(self._config)
        self._note_scan(result, is_full=paths is None and not result.cut)
        if result.cut:
            self._requests.request(None)
        self._schedule_next(now, result)
        self._log_result(result)

    def _make_pipeline(self, config: Config) -> Pipeline:
        return Pipeline(config, self._store, self.site_id or "", stop=self._interrupted)

    def _activate(self, config: Config) -> None:
        if config.sources != self._config.sources:
            self._requests.add(None)
        before = self._pipeline if config.sources == self._config.sources else None
        self._config = config
        self._pipeline = self._make_pipeline(config)
        if before is not None:
            self._pipeline.bulk_since = before.bulk_since
            self._pipeline.unreadable, self._pipeline.held = before.unreadable, before.held
        self._triggers.activate(config)

    def _note_scan(self, result: CycleResult, *, is_full: bool) -> None:
        """Notes whether folders could be read, and what a scheduled cycle must scan again."""
        if is_full:
            self._complete = self._clean = True
        self._complete = self._complete and result.complete
        self._clean = self._clean and not result.problems
        unread: dict[str, list[str]] = {}
        with self._store.read() as connection:
            for source, path in unread_files(connection, limit=MAX_UNREAD):
                unread.setdefault(source, []).append(path)
        self._requests.unfinished = unread if self._clean else None

    def _schedule_next(self, now: datetime, result: CycleResult) -> None:
        """Reports the result to health, and schedules a retry or the next due entries."""
        scheduled = self._triggers.next_scheduled()
        is_success = result.published and self._complete
        self._metrics.count_cycle(result, is_success=is_success)
        self._problems.causes = frozenset(() if is_success else self._read_causes(result))
        if is_success:
            if self._pipeline.withdrawn:
                self._health.end(CYCLE, is_resolved=False)
            if not result.cut:
                self._requests.finish()
            self._health.succeed(now, scheduled, LATE_S + 2 * result.seconds)
            if result.unwritten:
                self._retry_soon({})
            else:
                self._retry_s = None
        else:
            self._health.begin(CYCLE, "; ".join(sorted(self._problems.causes)), fatal=True)
            # full scan only if a folder could not be read; everything else is in the store
            self._retry_soon({} if self._complete else None)
        if result.due is not None:
            soonest = now + timedelta(seconds=DUE_WITHIN_S - result.seconds)
            self._triggers.request_due(max(result.due, soonest))
        next_cycle = str(to_us(scheduled)) if scheduled else ""
        if next_cycle != self._stored_next_cycle:
            with self._store.write() as connection:
                write_meta(connection, "next_cycle", next_cycle)
            self._stored_next_cycle = next_cycle

    def _read_causes(self, result: CycleResult) -> list[str]:
        """Why a cycle did not succeed, with path and hint: the folders that cannot be read, else the output."""
        if not self._complete:
            with self._store.read() as connection:
                if causes := source_problems(connection):
                    return causes
        return list(result.problems[-1:]) or ["a records folder cannot be read (see: aggregator status)"]

    def _retry_soon(self, paths: Paths | None) -> None:
        """Schedules a retry, because the next scheduled cycle may be a day away. Needs no file, thread or import, which
        the system may be short of."""
        self._requests.add(paths)
        self._retry_s = min(MAX_RETRY_S, FIRST_RETRY_S if self._retry_s is None else 2 * self._retry_s)

    def _report_failure(self, error: Exception) -> None:
        if isinstance(error, StoreError) and self._is_replaced():
            self._requests.wake()  # another service leads, and has ended the transactions of this one
            return
        self._retry_soon(None)
        if isinstance(error, StoreUnreachableError):
            self._retry_s = FIRST_RETRY_S  # an attempt costs little, and the feeds wait for the database
        self._metrics.count_failure()
        try:
            self._store.check_in_place()
        except StoreError as missing:
            self._health.begin(STORE, str(missing), fatal=True)
        expected = isinstance(error, AggregatorError)
        # the message of an unexpected error may contain text of a record
        reason = f"the cycle failed: {error if expected else f'unexpected {type(error).__name__}'}"
        if self._health.begin(CYCLE, reason, fatal=True) and not expected:
            _log.error("the cycle ended unexpectedly. %s", crash_report(error))

    def _is_replaced(self) -> bool:
        """Whether this service led until another process took the lease."""
        with suppress(StoreError), self._store.read() as connection:
            self._store.lease.check(connection)
        return self._is_leading and not self._store.lease.is_held

    def _log_result(self, result: CycleResult) -> None:
        has_changes = result.files_written or result.new or result.changed or result.removed
        rejected = f"{result.rejected} in all" if result.rejected else "0"  # the others are those of this cycle
        _log.log(
            logging.INFO if has_changes else logging.DEBUG,
            "scanned %d, new %d, changed %d, removed %d, rejected %s, feeds written %d, %.2f s (%s)",
            result.scanned, result.new, result.changed, result.removed, rejected, result.feeds_written,
            result.seconds, ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.stages),
        )  # fmt: skip
        with self._store.read() as connection:
            lost = read_lost_store(connection, to_us(datetime.now(UTC)))
            rows = file_problems(connection, REJECTED_STATES)
        held = [text for text in self._pipeline.held.values() if text]
        self._health.notes = (*held, *([lost] if lost else []))
        self._problems.note_held(held, is_over=bool(self._pipeline.withdrawn))
        found = {
            (row.source, row.problem.path): str(place_problem(self._config.sources, row.source, row.problem))
            for row in rows
        }
        self._problems.note_rejections(found, result.rejected)
        self._problems.write((*result.problems, *result.notices))
