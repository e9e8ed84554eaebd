"""The URLs that subscribers have, and which of them a change of the config removes or redirects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from aggregator.documents import PAGE
from aggregator.feeds.active_config import ActiveConfig, is_active, read_active, store_active
from aggregator.feeds.published import published_feeds, read_old_slugs
from aggregator.links import quoted_path
from aggregator.model import UrlChange
from aggregator.settings import FILE_NAMES, FeedPolicy, FeedSpec, OutputOptions
from aggregator.slugs import topic_slug
from aggregator.store.schema import feed
from aggregator.store.session import Writer, from_us, read_meta, span_us, write_meta

NOTICE_AGE = timedelta(days=30)
"""How long `status` names a URL that was removed."""
_KEY = "lost_urls"


@dataclass(frozen=True, slots=True)
class Urls:
    """The URLs that work under one config, relative to the base URL."""

    slugs: frozenset[str] = frozenset()  # of feeds
    names: frozenset[str] = frozenset()  # of the documents of each feed
    redirects: Mapping[str, str] = field(default_factory=dict)  # an old slug, or the path of an old document -> a slug

    def work(self, url: str) -> bool:
        """Whether a slug or an old path is a feed, or redirects to one."""
        return url in self.slugs or url in self.redirects


def read_urls(connection: Connection, config: ActiveConfig) -> Urls:
    """The URLs that work under this config, with the feeds that the store has now."""
    policy, options = config.policy, config.options
    configured = {old: spec.slug for spec in policy.specs.values() for old in spec.moved_from}
    published = connection.scalars(published_feeds(policy, feed.c.slug))
    return Urls(
        # configured slugs too, because a cycle that was stopped may have taken one away already
        slugs=frozenset(published).union(policy.specs),
        names=_names(options),
        redirects=topic_redirects(connection, policy) | configured,
    )


def topic_redirects(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The present slug of the topic of each old slug that no feed has."""
    topics = read_old_slugs(connection).topics
    if not topics:
        return {}
    published = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug)).all()
    slugs = {row.topic: row.slug for row in published if row.topic is not None}
    in_use = {row.slug for row in published}.union(policy.specs, *(spec.old_slugs for spec in policy.specs.values()))
    redirects = {}
    for slug, owner in topics.items():
        topic = policy.tables.topic(owner)
        target = slugs.get(topic) or topic_slug(topic)  # a configured feed with that slug replaces the topic's feed
        if slug not in in_use and target in in_use:
            redirects[slug] = target
    return redirects


def compare_urls(before: Urls, after: Urls, old: FeedPolicy, new: FeedPolicy) -> tuple[UrlChange, ...]:
    """The URLs that work before and do not work afterwards, or redirect."""
    changes = [
        UrlChange(f"*/{name}", None, 'with its format in "formats" below [output], or "pages = true" for index.html')
        for name in sorted(before.names - after.names)
    ]
    for slug in sorted(before.slugs - after.slugs):
        if (target := after.redirects.get(slug)) is not None:
            changes.append(UrlChange(f"{slug}/", f"{target}/", ""))
        else:
            changes.append(UrlChange(f"{slug}/", None, _keeping(slug, old, new)))
    for path, slug in sorted(before.redirects.items()):
        if not after.work(path):
            successor = slug if slug in new.specs else None
            url = f"{path}/" if "/" not in path and "." not in path else path
            changes.append(UrlChange(url, None, _moved_from((path,), successor, new)))
    return tuple(changes)


def urls_before(writer: Writer, config: ActiveConfig) -> Urls | None:
    """The URLs that work under the active config; None if `config` is active already."""
    with writer.read() as connection:
        if is_active(connection, config):
            return None
        last = read_active(connection)
        return Urls() if last is None else read_urls(connection, last)


def activate_config(writer: Writer, before: Urls, config: ActiveConfig) -> None:
    """Makes `config` the active config, and stores which URLs it removes."""
    with writer.write() as connection:
        last = read_active(connection) or config
        changes = compare_urls(before, read_urls(connection, config), last.policy, config.policy)
        lost = [[change.url, change.keep, writer.now] for change in changes if change.target is None]
        since = writer.now - span_us(NOTICE_AGE)
        stored = [line for line in json.loads(read_meta(connection, _KEY) or "[]") if line[2] > since]
        write_meta(connection, _KEY, json.dumps([*stored, *lost], ensure_ascii=False))
        store_active(connection, config)


def lost_url_notices(connection: Connection, config: ActiveConfig, now: int) -> Iterator[str]:
    """A line for each URL that a config removed lately and that still does not work."""
    since = now - span_us(NOTICE_AGE)
    lost = [line for line in json.loads(read_meta(connection, _KEY) or "[]") if line[2] > since]
    if not lost:
        return
    working = read_urls(connection, config)
    for url, keep, at in lost:
        format_back = url.startswith("*/") and url[2:] in working.names
        if not format_back and not working.work(url.removesuffix("/")):
            yield f"/{url} answers 410 since the config of {from_us(at):%Y-%m-%d %H:%M} UTC (keep it {keep})"


def _names(options: OutputOptions) -> frozenset[str]:
    return frozenset([FILE_NAMES[form] for form in options.formats] + [PAGE] * options.pages)


def _keeping(slug: str, old: FeedPolicy, new: FeedPolicy) -> str:
    """How the config would keep the URL of a feed that it removes."""
    spec = old.specs.get(slug)
    if spec is not None:
        return _moved_from((slug, *spec.moved_from), _successor(spec, old, new), new)
    if old.auto and not new.auto:
        return 'with "auto = true" below [topics]'
    return 'with a longer "keep_empty" below [topics]'


def _successor(spec: FeedSpec, old: FeedPolicy, new: FeedPolicy) -> str | None:
    """The slug of the only new feed, or of the only new feed with the same rule; else None."""
    added = [other for other in new.specs.values() if other.slug not in old.specs]
    same = [other for other in added if other.rule == spec.rule] or added
    return same[0].slug if len(same) == 1 else None


def _moved_from(paths: tuple[str, ...], successor: str | None, new: FeedPolicy) -> str:
    """The line for the feed `successor` that keeps old paths besides those it has. No feed of the config has them."""
    in_use = {path for spec in new.specs.values() for path in (spec.slug, *spec.moved_from)}
    kept = new.specs[successor].moved_from if successor is not None else ()
    added = [path for path in dict.fromkeys(paths) if path not in in_use]
    line = f"moved_from = {json.dumps([quoted_path(path) for path in (*added, *kept)])}"
    if successor is None:
        return f"with {line} in the [[feed]] that follows it"
    return f"with {line} in the [[feed]] {json.dumps(successor)}"
