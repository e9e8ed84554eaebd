"""Requests cycles: on schedule, at due times, and when the watch reports changes."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from cronsim import CronSim

from aggregator.config import Config
from aggregator.service.cycle_requests import CycleRequests
from aggregator.service.health import WATCH, Health
from aggregator.service.watch import FolderWatch
from aggregator.settings import Source

SCAN_JOB, RESCAN_JOB, DUE_JOB = "scan", "rescan", "due"

_log = logging.getLogger(__name__)


class Triggers:
    """The scheduler and the watch of one service."""

    def __init__(self, config: Config, requests: CycleRequests, health: Health, stop: threading.Event) -> None:
        self._config, self._requests, self._health, self._stop = config, requests, health, stop
        self._is_active = False
        self._trigger = make_trigger(config)
        self._watch: FolderWatch | None = None
        self._scheduler = BackgroundScheduler(
            timezone=config.site.timezone,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        """Requests cycles from now on."""
        self._is_active = True
        self._start_watch()
        self.restart_schedule()
        if not self._scheduler.running:
            self._scheduler.add_listener(_log_job, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
            self._scheduler.start()

    def pause(self) -> None:
        """Requests no cycles until `start`, because another service runs them."""
        self._is_active = False
        self._end_watch()
        self._scheduler.remove_all_jobs()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._report_unwatched(None)
        self._watch = None

    def _start_watch(self) -> None:
        """Watches the records folders, if the config says so, and no others. A bucket reports no changes."""
        self._end_watch()
        if not self._config.schedule.watch:
            return
        for source in self._buckets:
            _log.info("%s reports no changes: it is scanned on schedule, which [schedule] sets", source.root)
        if folders := [source for source in self._config.sources if not source.is_bucket]:
            self._watch = FolderWatch(folders, self._stop, self._requests.request, self._report_unwatched)
            self._watch.start()

    def end(self) -> None:
        """Ends the scheduler; the watch ends with the stop of the service."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def activate(self, config: Config) -> None:
        """Replaces the schedule and the watch where the config differs."""
        before, self._config = self._config, config
        if not self._is_active:
            return
        if config.schedule != before.schedule or config.site.timezone != before.site.timezone:
            self.restart_schedule()
        if config.sources != before.sources or config.schedule != before.schedule:
            self._start_watch()

    def restart_schedule(self) -> None:
        """Starts the intervals of scheduled scans, and of full scans while folders are watched, again from now."""
        self._trigger = make_trigger(self._config)
        self._scheduler.add_job(self._request_scheduled, self._trigger, id=SCAN_JOB, replace_existing=True)
        rescan = _every(self._config.schedule.rescan, self._config)
        self._scheduler.add_job(self._request_rescan, rescan, id=RESCAN_JOB, replace_existing=True)

    def next_scheduled(self) -> datetime | None:
        """When the next scheduled scan is due."""
        moment: datetime | None = self._trigger.get_next_fire_time(None, datetime.now(UTC))
        return moment

    def request_due(self, moment: datetime) -> None:
        """Requests a cycle for due entries at a moment, instead of at the moment of the last call."""
        trigger = DateTrigger(moment, timezone=self._config.site.timezone)
        self._scheduler.add_job(self._requests.request, trigger, [{}], id=DUE_JOB, replace_existing=True)

    def _request_rescan(self) -> None:
        if self._watch is not None:
            self._requests.request(None)

    def _request_scheduled(self) -> None:
        """A scheduled scan: full unless all changes in folders are watched and the last full scan was complete. All of
        each bucket is scanned always."""
        watch = self._watch  # read once: the worker may end it meanwhile
        paths = self._requests.unfinished if watch is not None and watch.is_complete else None
        if paths is not None:
            paths = {**paths, **{source.name: ("",) for source in self._buckets}}
        self._requests.request(paths)

    @property
    def _buckets(self) -> list[Source]:
        return [source for source in self._config.sources if source.is_bucket]

    def _report_unwatched(self, reason: str | None) -> None:
        if reason is None:
            self._health.end(WATCH)
        else:
            self._health.begin(WATCH, reason, fatal=False)


class CronTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when cron would.

    APScheduler's own trigger counts weekdays from Monday, and wants both the day of the month and the weekday to match
    where cron wants one of them.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression, self._zone = expression, zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first time after the last one, or after now if the clock was set back."""
        after = min(previous_fire_time or now, now)
        return next(CronSim(self._expression, after.astimezone(self._zone)))


def make_trigger(config: Config) -> BaseTrigger:
    """The trigger of the schedule."""
    if config.schedule.cron:
        return CronTrigger(config.schedule.cron, config.site.timezone)
    return _every(config.schedule.every, config)


def _every(span: timedelta, config: Config) -> BaseTrigger:
    # without a zone APScheduler uses that of the machine, which Python may not know
    return IntervalTrigger(seconds=span.total_seconds(), timezone=config.site.timezone)


def _log_job(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    _log.error("the scheduler could not request a cycle (event %s): %s", event.code, error or "it was late")
