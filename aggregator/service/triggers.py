"""When scans are due: triggers for APScheduler."""

from __future__ import annotations

from datetime import datetime, tzinfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from cronsim import CronSim

from aggregator.config import Config


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
    return IntervalTrigger(seconds=config.schedule.every.total_seconds(), timezone=config.site.timezone)
