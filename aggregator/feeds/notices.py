"""What people should know of what is published, beside what is wrong with records and folders."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from aggregator.feeds.policy import InForce
from aggregator.feeds.registry import topics_without_feed
from aggregator.feeds.room import say_left_out
from aggregator.feeds.urls import say_lost_urls
from aggregator.settings import Source

NAMED = 10
"""Topics that are named one by one."""


def read_notices(
    connection: Connection,
    config: InForce,
    sources: Sequence[Source],
    now: int,
    without_feed: Sequence[str] | None = None,
) -> list[str]:
    """What to know at `now` (µs), a line each: entries that are too large, topics without a feed, and URLs that the
    config took away. `without_feed` are those topics, if they are known."""
    if without_feed is None:
        without_feed = topics_without_feed(connection, config.policy)
    lines = [
        *say_left_out(connection, {source.name: source.root for source in sources}),
        *say_lost_urls(connection, config, now),
    ]
    if without_feed:
        names = ", ".join(map(repr, without_feed[:NAMED])) + (", …" if len(without_feed) > NAMED else "")
        count = f"{len(without_feed)} topics have" if len(without_feed) > 1 else "1 topic has"
        what = f"{count} no feed, because {config.policy.max_feeds} have one already: {names}"
        lines.append(f"{what} (raise topics.max_feeds, or name fewer topics in records)")
    return lines
