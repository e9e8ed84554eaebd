"""The worker that runs cycles, and what asks it for one."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from aggregator.config import Config
from aggregator.errors import AggregatorError, LeaseLostError, StoppedError, StoreError, crash_report
from aggregator.model import CycleResult
from aggregator.pipeline import Paths, Pipeline
from aggregator.problems import place_problem
from aggregator.serve import FeedsServer, SwitchedApp, load_snapshot
from aggregator.service import health
from aggregator.service.config_reload import LiveConfig
from aggregator.service.health import Health
from aggregator.service.process import end_process, flush_log, start_thread, watch_threads
from aggregator.service.serving import make_app, run_server
from aggregator.service.watch import Changes, Either, FolderWatch
from aggregator.store.database import Store
from aggregator.store.files import dropped_sources
from aggregator.store.requests import announce_service, take_request
from aggregator.store.session import Writer, open_site, to_us, write_meta
from aggregator.store.status import file_problems, unread_files

SCAN_JOB, WALK_JOB, DUE_JOB = "scan", "walk", "due"
RETRY_FIRST_S, RETRY_S = 1.0, 60.0
"""How long after a cycle that failed another is tried, whatever the schedule: twice as long each time, up to the
second."""
LATE_S = 60
"""How long after its time a cycle may end before /healthz says it is late, its own usual length aside."""
STOP_S = 4.0
"""How long after a stop was asked for the cycle that runs may still take."""
DUE_WITHIN_S = 0.9
"""How long after its time an entry may come out, so that those that are due soon after it come in the same cycle."""
MAX_UNREAD = 1000
"""How many files that could not be read to their end are looked at on schedule; a walk looks at all."""
LOOK_S = 0.25
"""Time between two looks at the config file and at the clock."""
CLOCK_STEP_S = 0.5
"""By how much the clock must have been set for triggers to be set anew."""

_log = logging.getLogger(__name__)


class Service:
    """Runs until it is told to stop, by a signal or by `stop`; the store's lease is held by the caller. `path` is where
    the config's file is, or may come to be."""

    def __init__(self, config: Config, store: Store, site_id: str, stop: threading.Event, path: Path) -> None:
        self._config, self._store, self._site_id = config, store, site_id
        self._stop = stop
        self._interrupted = Either(stop)
        self._requested = threading.Event()
        self._live = LiveConfig(config, path, os.environ, self._accept)
        self._state_told: tuple[str, str] | None = None
        self._read_again, self._clock_set = threading.Event(), threading.Event()
        self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]
        self._trigger = make_trigger(config)
        self._scheduler = BackgroundScheduler(
            timezone=config.site.timezone,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._pipeline = Pipeline(config, store, site_id, stop=self._interrupted)
        self.health = Health()
        self.app = SwitchedApp(make_app(config, self.health.report, self.health.ready))
        self._served = config
        self.health.has_documents = bool(self.app.current.snapshot.files)
        self._told: frozenset[str] = frozenset()
        self._changes = Changes()
        self._watch: FolderWatch | None = None
        self._complete = self._settled = False
        self._walk_problems: tuple[str, ...] = ()
        self._unread: Paths = {}
        self._next_cycle_told: str | None = None
        self._retry_s: float | None = None
        self._lease_lost = False
        self._accept_removals = False

    def run(self, server: FeedsServer) -> bool:
        """Serves and runs cycles until SIGTERM or SIGINT, then ends within some seconds; False if a cycle hangs."""
        watch_threads()
        announce_service(self._store)
        self._start_watch()
        self._look(None)
        worker = start_thread("cycles", self._work, self._stop.is_set, daemon=False)
        try:
            self._start_triggers()
            asked_at = self._serve(server)
        finally:
            self._stop.set()
            self._requested.set()
            if self._scheduler.running:
                self._scheduler.shutdown(wait=False)
        worker.join(max(0.0, asked_at + STOP_S - time.monotonic()))
        if worker.is_alive():
            _log.error("the cycle does not stop; what is stored stands, the next start goes on from there")
            flush_log()
        else:
            _log.info("stopped")
        return not worker.is_alive()

    def _serve(self, server: FeedsServer) -> float:
        try:
            asked_at = run_server(server, self._stop, self._hang_up)
        except Exception as error:  # noqa: BLE001 - the process ends
            _log.error("HTTP died. %s", crash_report(error))
            end_process("nothing is served any more")
        if not self._stop.is_set():
            end_process("HTTP is over")
        return asked_at

    # what asks for a cycle

    def _start_triggers(self) -> None:
        self._scheduler.add_listener(_log_job, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_job(self._scan, self._trigger, id=SCAN_JOB, replace_existing=True)
        self._scheduler.start()
        start_thread("follow", self._follow, self._stop.is_set)

    def _start_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._note_unwatched(None)
        self._watch = None
        if self._config.schedule.watch:
            self._watch = FolderWatch(self._config.sources, self._stop, self._look, self._note_unwatched)
            self._watch.start()
            # without a zone it would ask for the machine's, which need not be a zone that Python knows
            zone = self._config.site.timezone
            rescan = IntervalTrigger(seconds=self._config.schedule.rescan.total_seconds(), timezone=zone)
            self._scheduler.add_job(self._look, rescan, [None], id=WALK_JOB, replace_existing=True)
        elif self._scheduler.get_job(WALK_JOB):
            self._scheduler.remove_job(WALK_JOB)

    def _look(self, paths: Paths | None) -> None:
        """Asks for a cycle that looks at these paths, None is a walk."""
        self._changes.add(paths)
        self._requested.set()

    def _scan(self) -> None:
        """Asks for what is to be done on schedule: a walk if nobody watches or the last one left something open, else a
        look at the files that could not be read to their end."""
        watched = self._watch is not None and self._watch.is_complete
        self._look(self._unread if watched and self._settled else None)

    def _hang_up(self) -> bool:
        """Whether SIGHUP is the end: its terminal is gone. Else somebody asks for the config to be read."""
        if any(not os.isatty(number) for number in self._terminals):
            return True
        self._read_again.set()
        return False

    def _follow(self) -> None:
        """Looks at the config file and at the clock until the stop."""
        offset = _clock_offset()
        while not self._stop.is_set():
            again = self._read_again.wait(LOOK_S)
            self._read_again.clear()
            try:
                self._follow_config(again=again)
                self._follow_store()
                self.health.look()
                self._tell_state()
                self.health.end(health.FOLLOW)
            except Exception as error:  # noqa: BLE001 - the last good config works, and the next look may
                reason = f"the config file and the store cannot be looked at: unexpected {type(error).__name__}"
                if self.health.begin(health.FOLLOW, reason, grave=False):
                    _log.error("the look ended unexpectedly. %s", crash_report(error))
            if abs(_clock_offset() - offset) > CLOCK_STEP_S:
                # timers count seconds: they would sleep through a time that the clock has jumped over
                _log.info("the clock was set, or the machine slept: %+.1f s", _clock_offset() - offset)
                offset = _clock_offset()
                self._clock_set.set()
                self._requested.set()

    def _follow_config(self, *, again: bool) -> None:
        if self._live.look(again=again) is not None:
            self._interrupted.set()  # a cycle may take long; what it stored stands
            self._requested.set()
        state = self._live.state
        self.health.config = "refused" if state.refused else "restart" if state.waiting else "ok"

    def _follow_store(self) -> None:
        try:
            self._store.check_in_place()
        except StoreError as error:
            self.health.begin(health.STORE, str(error), grave=True)
        else:
            if self.health.end(health.STORE):
                self._requested.set()

    def _tell_state(self) -> None:
        """Keeps for `status` what is wrong, when that changes."""
        state = json.dumps(self._live.state.facts()), json.dumps(self.health.problems())
        if state != self._state_told:
            with suppress(StoreError), self._store.write() as connection:
                write_meta(connection, "config_state", state[0])
                write_meta(connection, "service_problems", state[1])
                self._state_told = state

    def _note_unwatched(self, reason: str | None) -> None:
        """What the watch does not see, None when it sees everything."""
        if reason is None:
            self.health.end(health.WATCH)
        else:
            self.health.begin(health.WATCH, reason, grave=False)

    def _accept(self, config: Config) -> None:
        """Raises StoreMismatchError for a config that the next start would refuse for what the store has."""
        open_site(self._store, config.site.id, self._site_id)
        writer = Writer(self._store, datetime.now(UTC), config.feed_policy(), self._site_id)
        dropped_sources(writer, [source.name for source in config.sources])

    # the worker

    def _work(self) -> None:
        """One cycle for any number of requests that came during the last one, with the config in force by then; after
        one that failed also without a request, when it is time to try again."""
        while True:
            self._requested.wait(self._retry_s)
            self._requested.clear()
            self._interrupted.clear()
            if self._stop.is_set():
                return
            try:
                self._run_cycle()
            except StoppedError as stopped:
                self._changes.add(None)  # it may have been about to look at what changed
                _log.info("%s", stopped)
            except Exception as error:  # noqa: BLE001 - it stops the cycle, not the service, and shows
                if self._stop.is_set():  # such as readers of files that met the same signal
                    _log.info("stopped in the middle of a cycle (%s)", type(error).__name__)
                    return
                self._fail(error)

    def _run_cycle(self) -> None:
        if self._lease_lost:
            self._store.lease.acquire(0)
            self._lease_lost = False
        if self._live.config is not self._config:
            self._adopt(self._live.config)
        elif self._clock_set.is_set():
            self._set_schedule()
        self._cycle()

    def _adopt(self, config: Config) -> None:
        """From the next cycle on this is the config. What is served follows when that cycle has published."""
        before, self._config = self._config, config
        self._pipeline = Pipeline(config, self._store, self._site_id, stop=self._interrupted)
        if config.schedule != before.schedule or config.site.timezone != before.site.timezone:
            self._set_schedule()
        if config.sources != before.sources:
            self._changes.add(None)
        if config.sources != before.sources or config.schedule != before.schedule:
            self._start_watch()

    def _set_schedule(self) -> None:
        """Counts from now."""
        self._clock_set.clear()
        self._trigger = make_trigger(self._config)
        self._scheduler.reschedule_job(SCAN_JOB, trigger=self._trigger)

    def _cycle(self) -> None:
        now = datetime.now(UTC)
        paths = self._changes.take()  # before the look: what changes during it is seen by the next
        if accept := self._accept_removals or take_request(self._store):
            self._accept_removals, paths = True, None  # also in the next cycle, if this one fails
        result = self._pipeline.run(now, accept_removals=accept, paths=paths)
        self._accept_removals = False
        if result.published:
            self._serve_published()
        self._note_look(result, walked=paths is None)
        upcoming = self._trigger.get_next_fire_time(None, datetime.now(UTC))
        if result.published and self._complete:
            self.health.succeed(now, upcoming, LATE_S + 2 * result.seconds)
            if result.unwritten:
                self._try_again_soon({})
            else:
                self._retry_s = None
        else:
            what = "the output folder cannot be written" if self._complete else "a records folder cannot be read"
            self.health.begin(health.CYCLE, f"{what} (aggregator status says more)", grave=True)
            # a folder that could not be read is looked at again, whoever watches; all else is in the store
            self._try_again_soon({} if self._complete else None)
        self._log_result(result)
        if result.due is not None:
            soonest = now + timedelta(seconds=DUE_WITHIN_S - result.seconds)
            self._look_at(max(result.due, soonest), DUE_JOB, {})
        self._tell_next_cycle(str(to_us(upcoming)) if upcoming else "")

    def _tell_next_cycle(self, told: str) -> None:
        if told != self._next_cycle_told:
            with self._store.write() as connection:
                write_meta(connection, "next_cycle", told)
            self._next_cycle_told = told

    def _serve_published(self) -> None:
        """Shows what is in the output folder now; with a new config, its redirects and the rest from the same moment
        on."""
        app, folder = self.app.current, self._config.output.path
        if self._served is self._config:
            app.snapshot = load_snapshot(folder, app.snapshot)
        else:
            self.app.switch(make_app(self._config, self.health.report, self.health.ready, previous=app.snapshot))
            self._served = self._config
        self.health.has_documents = bool(self.app.current.snapshot.files)

    def _note_look(self, result: CycleResult, *, walked: bool) -> None:
        """Keeps what a look at the folders left open."""
        if walked:
            self._complete, self._settled, self._walk_problems = True, True, result.problems
        self._complete = self._complete and result.complete
        self._settled = self._settled and not result.problems
        unread: dict[str, list[str]] = {}
        with self._store.read() as connection:
            for source, path in unread_files(connection, limit=MAX_UNREAD):
                unread.setdefault(source, []).append(path)
        self._unread = unread

    def _try_again_soon(self, paths: Paths | None) -> None:
        """What is due must not wait for a schedule that may be a day away. Takes nothing that a system may be short of:
        no file, no thread, no module."""
        self._changes.add(paths)
        self._retry_s = min(RETRY_S, RETRY_FIRST_S if self._retry_s is None else 2 * self._retry_s)

    def _look_at(self, moment: datetime, job: str, paths: Paths | None) -> None:
        """Asks for a cycle at a moment, in place of what was asked for by that name before."""
        trigger = DateTrigger(moment, timezone=self._config.site.timezone)
        self._scheduler.add_job(self._look, trigger, [paths], id=job, replace_existing=True)

    def _fail(self, error: Exception) -> None:
        self._try_again_soon(None)
        self._lease_lost = self._lease_lost or isinstance(error, LeaseLostError)
        expected = isinstance(error, AggregatorError)
        # what an unexpected error says may be what a record says
        reason = f"the cycle failed: {error if expected else f'unexpected {type(error).__name__}'}"
        if self.health.begin(health.CYCLE, reason, grave=True) and not expected:
            _log.error("the cycle ended unexpectedly. %s", crash_report(error))

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
            told = frozenset((*self._walk_problems, *result.problems, *result.notices)) | frozenset(
                str(place_problem(self._config.sources, one.source, one.problem))
                for one in file_problems(connection)
                if one.state == "rejected"
            )
        for line in sorted(told - self._told):
            _log.warning("%s", line)
        for line in sorted(self._told - told):
            _log.info("no longer so: %s", line)
        self._told = told


def make_trigger(config: Config) -> BaseTrigger:
    """When scans are due."""
    if config.schedule.cron:
        return CronTrigger.from_crontab(config.schedule.cron, timezone=config.site.timezone)
    return IntervalTrigger(seconds=config.schedule.every.total_seconds(), timezone=config.site.timezone)


def _clock_offset() -> float:
    """By how much the clock is ahead of one that nobody sets and that stands still while the machine sleeps, in s."""
    return datetime.now(UTC).timestamp() - time.monotonic()


def _log_job(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    _log.error("the scheduler could not ask for a cycle (event %s): %s", event.code, error or "it was late")
