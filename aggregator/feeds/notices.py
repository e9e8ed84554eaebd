"""Notices: facts about what is published that operators should know, beside problems of records and folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from sqlalchemy import Connection, select

from aggregator.feeds.active_config import ActiveConfig
from aggregator.feeds.feed_list import topics_without_feed
from aggregator.feeds.url_changes import lost_url_notices
from aggregator.model import Omitted
from aggregator.parse.page_links import broken_links
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source
from aggregator.store.page_links import read_broken_links
from aggregator.store.schema import entry, feed

MAX_TOPICS = 10
"""Topics that are named one by one."""
MAX_ENTRIES = 20
"""Entries that are named one by one."""
SIZE_HINT = "make it shorter, or raise output.max_bytes"


def read_notices(
    connection: Connection,
    config: ActiveConfig,
    sources: Sequence[Source],
    now: int,
    zone: tzinfo,
    without_feed: Sequence[str] | None = None,
) -> list[str]:
    """One line each for entries that are too large, records with links that lead nowhere, topics without a feed, and
    URLs that a config removed.

    `now` is in µs; times are shown in `zone`. `without_feed` are the topics without a feed, if the caller knows them.
    """
    if without_feed is None:
        without_feed = topics_without_feed(connection, config.policy)
    roots = {source.name: source.root for source in sources}
    lines = [
        *_size_notices(connection, roots),
        *_link_notices(connection, roots),
        *lost_url_notices(connection, config, now, zone),
    ]
    if without_feed:
        names = ", ".join(map(repr, without_feed[:MAX_TOPICS])) + (", …" if len(without_feed) > MAX_TOPICS else "")
        count = f"{len(without_feed)} topics have" if len(without_feed) > 1 else "1 topic has"
        what = f"{count} no feed, because topics.max_feeds = {config.policy.max_feeds} is reached: {names}"
        lines.append(f"{what} (raise it, or name fewer topics in records)")
    return lines


def _size_notices(connection: Connection, roots: Mapping[str, str]) -> Iterator[str]:
    """A line for each entry that is too large for documents; `roots` are the folders of sources."""
    too_large: dict[int, list[str]] = {}
    shortened: dict[int, list[str]] = {}
    query = select(feed.c.slug, feed.c.left_out).where(feed.c.left_out.is_not(None), feed.c.slug.is_not(None))
    for row in connection.execute(query.order_by(feed.c.id)):
        omitted = Omitted.from_json(row.left_out)
        for keys, slugs in ((omitted.too_large, too_large), (omitted.shortened, shortened)):
            for key in keys:
                slugs.setdefault(key, []).append(row.slug)
    for slugs, what in (
        (too_large, "the entry is larger than output.max_bytes and is left out of"),
        (shortened, "the full text is larger than output.max_bytes; its summary is shown in"),
    ):
        yield from _entry_notices(connection, roots, slugs, what)


def _entry_notices(
    connection: Connection, roots: Mapping[str, str], slugs_of: dict[int, list[str]], what: str
) -> Iterator[str]:
    """A line for each entry, with the path of its record and the slugs of its feeds."""
    if not slugs_of:
        return
    keys = sorted(slugs_of)[:MAX_ENTRIES]
    columns = (entry.c.id, entry.c.source, entry.c.path)
    for row in connection.execute(select(*columns).where(entry.c.id.in_(keys)).order_by(entry.c.id)):
        slugs = slugs_of[row.id]
        feeds = ", ".join(slugs[:3]) + (f" and {len(slugs) - 3} more feeds" if len(slugs) > 3 else "")
        path = shown_path(roots.get(row.source, ""), row.path)
        yield str(Problem(path, 0, 0, f"{what} {feeds}", hint=SIZE_HINT))
    if len(slugs_of) > len(keys):
        yield f"{len(slugs_of) - len(keys)} more entries are too large for the documents of their feeds ({SIZE_HINT})"


def _link_notices(connection: Connection, roots: Mapping[str, str]) -> Iterator[str]:
    """A line for each record with links that lead to no published page."""
    broken = read_broken_links(connection, MAX_ENTRIES + 1)
    for links in broken[:MAX_ENTRIES]:
        path = shown_path(roots.get(links.source, ""), links.path)
        yield str(broken_links(path, links.links, links.target))
    if len(broken) > MAX_ENTRIES:
        yield "more records have links that lead to no published page (aggregator explain names those of a record)"
