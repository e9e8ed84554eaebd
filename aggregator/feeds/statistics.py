"""What was published in the last weeks, for `status` and the status page.

Each query reads a bounded part of an index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal_column, select

from aggregator.feeds.feed_list import published_feeds
from aggregator.problems import stamp
from aggregator.settings import FeedPolicy
from aggregator.store.schema import ALL_FEED, NEVER, feed, feed_entry
from aggregator.store.session import from_us, span_us, to_us

DAYS = 90
_QUARTER = timedelta(minutes=15)
"""Days of all time zones begin at a quarter of an hour in UTC."""
MAX_COUNTED = 50_000
"""Entries that are counted by day, the newest first."""
MAX_SAMPLED = 2_000
"""Entries whose topics and delays are counted, the newest first."""
MAX_TOPICS = 10
MAX_FEEDS = 8
"""Feeds that are named because they changed last, and because they did not change for longest."""
DELAYS = (
    (0, "at its date"),
    (60, "up to 1 minute"),
    (3600, "up to 1 hour"),
    (86_400, "up to 1 day"),
    (604_800, "up to 1 week"),
)
"""Upper bounds in seconds of the time from the date of an entry to its release, and what they are called."""
AGES = ((3600, "up to 1 hour"), (86_400, "up to 1 day"), (604_800, "up to 1 week"), (2_592_000, "up to 30 days"))
"""Upper bounds in seconds of the time since a feed changed."""
LONGER = "longer"


def read_statistics(connection: Connection, policy: FeedPolicy, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """The statistics of the DAYS up to `now`, which are days in the time zone, for --json."""
    days = _count_days(connection, now, zone)
    delays = _read_delays(connection, now)
    fresh, quiet = (
        _feed_ages(connection, policy, order) for order in (feed.c.updated_at.desc(), feed.c.updated_at.asc())
    )
    counted, seen = sum(days.values()), {data["slug"] for data in fresh}
    return {
        "over_days": DAYS,
        "days": days,
        "topics": _count_topics(connection, policy, now),
        "delays": _by_bound(delays),
        "median_delay_s": median(delays) if delays else None,
        "counted": counted,
        "has_all_days": counted < MAX_COUNTED,
        "sampled": len(delays),
        "feed_ages": _count_ages(connection, policy, to_us(now)),
        "fresh_feeds": fresh,
        "quiet_feeds": [data for data in quiet if data["slug"] not in seen],
    }


def _newest(now: datetime, limit: int, *columns: ColumnElement[int]) -> Select[*tuple[Any, ...]]:
    """The newest entries of the DAYS: a part of the index of the window of `all`."""
    return (
        select(*columns)
        .where(feed_entry.c.feed_id == ALL_FEED, feed_entry.c.left_at.is_(None))
        .where(feed_entry.c.released_at >= to_us(now - timedelta(days=DAYS)))
        .order_by(feed_entry.c.released_at.desc(), feed_entry.c.published_at.desc())
        .limit(limit)
    )


def _count_days(connection: Connection, now: datetime, zone: tzinfo) -> dict[str, int]:
    """The number of entries released on each day in a time zone, the oldest first; 0 for days without any."""
    newest = _newest(now, MAX_COUNTED, feed_entry.c.released_at).subquery()
    quarter = (newest.c.released_at // literal_column(str(span_us(_QUARTER)))).label("quarter")
    counts = Counter[date]()
    for number, entries in connection.execute(select(quarter, func.count()).group_by("quarter")):
        counts[from_us(number * span_us(_QUARTER)).astimezone(zone).date()] += entries
    today = now.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
    return {day.isoformat(): counts[day] for day in days}


def _count_topics(connection: Connection, policy: FeedPolicy, now: datetime) -> list[dict[str, Any]]:
    """The topics with the most of the sampled entries."""
    if not policy.auto:
        return []
    newest = _newest(now, MAX_SAMPLED, feed_entry.c.entry_id).subquery()
    counts = (
        select(feed.c.slug, feed.c.title, func.count().label("entries"))
        .select_from(newest)
        .join(feed_entry, (feed_entry.c.entry_id == newest.c.entry_id) & feed_entry.c.left_at.is_(None))
        .join(feed, feed.c.id == feed_entry.c.feed_id)
        .where(feed.c.topic.is_not(None), feed.c.slug.is_not(None))
        .group_by(feed.c.slug, feed.c.title)
        .order_by(func.count().desc(), feed.c.slug)
        .limit(MAX_TOPICS)
    )
    return [dict(row) for row in connection.execute(counts).mappings()]


def _read_delays(connection: Connection, now: datetime) -> list[float]:
    """The seconds from date to release of the sampled entries that have a date."""
    rows = connection.execute(_newest(now, MAX_SAMPLED, feed_entry.c.released_at, feed_entry.c.published_at))
    return [max(0, row[0] - row[1]) / 1e6 for row in rows if row[1] != NEVER]


def _by_bound(seconds: Sequence[float]) -> dict[str, int]:
    names = [next((name for bound, name in DELAYS if delay <= bound), LONGER) for delay in seconds]
    counts = Counter(names)
    return {name: counts[name] for name in (*(name for _, name in DELAYS), LONGER)}


def _count_ages(connection: Connection, policy: FeedPolicy, now: int) -> dict[str, int]:
    feeds = published_feeds(policy, feed.c.updated_at).order_by(None).subquery()
    bounds = [(feeds.c.updated_at >= now - seconds * 1_000_000, name) for seconds, name in AGES]
    age = case(*bounds, else_=LONGER).label("age")
    counts = {row[0]: row[1] for row in connection.execute(select(age, func.count()).group_by("age"))}
    return {name: counts.get(name, 0) for name in (*(name for _, name in AGES), LONGER)}


def _feed_ages(connection: Connection, policy: FeedPolicy, order: ColumnElement[int]) -> list[dict[str, Any]]:
    columns = (feed.c.slug, feed.c.title, feed.c.size, feed.c.newest_at, feed.c.updated_at)
    rows = connection.execute(
        published_feeds(policy, *columns).order_by(None).order_by(order, feed.c.slug).limit(MAX_FEEDS)
    )
    return [
        {
            "slug": row.slug,
            "title": row.title,
            "entries": row.size,
            "newest": None if row.newest_at is None else stamp(from_us(row.newest_at)),
            "updated": stamp(from_us(row.updated_at)),
        }
        for row in rows
    ]
