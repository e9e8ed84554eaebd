"""When scans are due, by the schedule of the config."""

from __future__ import annotations

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from aggregator.config import Config


def make_trigger(config: Config) -> BaseTrigger:
    """The trigger of scheduled scans."""
    if config.schedule.cron:
        return CronTrigger.from_crontab(config.schedule.cron, timezone=config.site.timezone)
    return IntervalTrigger(seconds=config.schedule.every.total_seconds(), timezone=config.site.timezone)
