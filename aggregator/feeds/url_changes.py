"""The URLs that subscribers have, and which of them a change of the config removes or redirects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection, select

from aggregator.documents import feed_names
from aggregator.feeds.active_config import ActiveConfig, is_active, read_active, store_active
from aggregator.feeds.feed_list import OF_TOPIC, published_feeds, read_old_slugs
from aggregator.links import quoted_path
from aggregator.model import UrlChange
from aggregator.problems import local_time, shown_offset
from aggregator.settings import FILE_NAMES, FeedPolicy, FeedSpec
from aggregator.slugs import topic_slug
from aggregator.store.schema import feed
from aggregator.store.session import Writer, from_us, read_meta, span_us, write_meta

NOTICE_AGE = timedelta(days=30)
"""How long `status` names a URL that was removed."""
_KEY = "lost_urls"
_ANY_FOLLOWER = "that follows it"
_EVERY_FEED = "*/"
"""Begins a URL that every feed has."""


@dataclass(frozen=True, slots=True)
class Urls:
    """The URLs that work under one config, relative to the base URL."""

    slugs: frozenset[str] = frozenset()  # of feeds
    names: frozenset[str] = frozenset()  # of the documents of each feed
    redirects: Mapping[str, str] = field(default_factory=dict)  # an old slug, or the path of an old document -> a slug

    def work(self, url: str) -> bool:
        """Whether a URL of a change works: of a feed, of an old path that redirects to one, or of a document of every
        feed."""
        if url.startswith(_EVERY_FEED):
            return url.removeprefix(_EVERY_FEED) in self.names
        return any(name in self.slugs or name in self.redirects for name in (url, url.removesuffix("/")))


def read_urls(connection: Connection, config: ActiveConfig) -> Urls:
    """The URLs that work under this config, with the feeds that the store has now."""
    policy = config.policy
    configured = {old: spec.slug for spec in policy.specs.values() for old in spec.moved_from}
    published = connection.scalars(published_feeds(policy, feed.c.slug))
    return Urls(
        # configured slugs too, because a cycle that was stopped may have taken one away already
        slugs=frozenset(published).union(policy.specs),
        names=frozenset(feed_names(config.options)),
        redirects=topic_redirects(connection, policy) | configured,
    )


def topic_redirects(connection: Connection, policy: FeedPolicy) -> dict[str, str]:
    """The present slug of the topic of each old slug that no feed has."""
    old = read_old_slugs(connection)
    if not old.topics:
        return {}
    published = connection.execute(published_feeds(policy, feed.c.topic, feed.c.slug)).all()
    slugs = {row.topic: row.slug for row in published if row.topic is not None}
    # with a slug of its own, a topic without a published feed has none
    own = (
        set(policy.tables.slugs)
        if policy.auto
        else {*policy.tables.slugs, *connection.scalars(select(feed.c.topic).where(*OF_TOPIC))}
    )
    moved = {slug: spec.slug for spec in policy.specs.values() for slug in spec.old_slugs}
    feeds = {row.slug for row in published}.union(policy.specs)

    def target(topic: str) -> str | None:
        if topic in slugs or topic in own:
            return slugs.get(topic)
        # a configured feed has the slug of the topic, or took it along
        former = (*old.slugs.get(topic, ()), topic_slug(topic))
        return next((moved.get(slug, slug) for slug in former if slug in policy.specs or slug in moved), None)

    found = {slug: target(policy.tables.topic(owner)) for slug, owner in old.topics.items()}
    return {slug: new for slug, new in found.items() if new is not None and slug not in feeds and slug not in moved}


def compare_urls(before: Urls, after: Urls, old: FeedPolicy, new: FeedPolicy) -> tuple[UrlChange, ...]:
    """The URLs that work before and do not work afterwards, or redirect, or have another feed."""
    changes = [
        UrlChange(f"{_EVERY_FEED}{name}", 410, None, _keeping_document(name))
        for name in sorted(before.names - after.names)
    ]
    for slug in sorted(before.slugs - after.slugs):
        if (target := after.redirects.get(slug)) is not None:
            changes.append(UrlChange(f"{slug}/", 301, f"{target}/", ""))
        else:
            changes.append(UrlChange(f"{slug}/", 410, None, _keeping(slug, old, new)))
    for path, slug in sorted(before.redirects.items()):
        if path in after.slugs - before.slugs and _goes_back(path, slug, old, new):
            if slug in new.specs and new.specs[slug].rule != old.specs[slug].rule:
                hint = f"by another slug for the new feed; the feed that it has now goes back to /{path}/"
                changes.append(UrlChange(f"{slug}/", 200, None, hint))
        elif path in after.slugs - before.slugs and slug in after.slugs:
            hint = f"by another slug for the new feed; it redirects to /{slug}/ now"
            changes.append(UrlChange(f"{path}/", 200, None, hint))
        elif not after.work(path):
            url = f"{path}/" if "/" not in path and "." not in path else path
            changes.append(UrlChange(url, 410, None, _keeping_redirect(path, slug, after, old, new)))
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
        last, after = read_active(connection) or config, read_urls(connection, config)
        changes = compare_urls(before, after, last.policy, config.policy)
        lost = [[change.url, change.keep, writer.now] for change in changes if change.status == 410]
        since = writer.now - span_us(NOTICE_AGE)
        again = {url for url, _, _ in lost}
        stored = [line for line in _read_lost(connection) if line[2] > since and line[0] not in again]
        _store_lost(connection, [*(line for line in stored if not after.work(line[0])), *lost])
        store_active(connection, config)


def forget_working_urls(writer: Writer, config: ActiveConfig) -> None:
    """Forgets that a config removed URLs that work now: what ends them later is something else."""
    with writer.read() as connection:
        lost, kept = _read_lost(connection), _still_lost(connection, config, 0)
    if kept != lost:
        with writer.write() as connection:
            _store_lost(connection, kept)


def lost_url_notices(connection: Connection, config: ActiveConfig, now: int, zone: tzinfo) -> Iterator[str]:
    """A line for each URL that a config removed lately and that still does not work; its time is in `zone`."""
    for url, keep, at in _still_lost(connection, config, now - span_us(NOTICE_AGE)):
        since = local_time(from_us(at), zone)
        when = f"{since:%Y-%m-%d %H:%M} {shown_offset(since)}"
        yield f"/{url} answers 410 since the config of {when} (keep it {_followable(keep, config.policy)})"


def lost_paths(connection: Connection, config: ActiveConfig) -> list[str]:
    """The old slugs, each with a slash, and old paths that a config removed and that still do not work."""
    return [url for url, _, _ in _still_lost(connection, config, 0) if not url.startswith(_EVERY_FEED)]


def _still_lost(connection: Connection, config: ActiveConfig, since: int) -> list[list[Any]]:
    """The stored lines of URLs that ended after `since` (µs) and do not work."""
    lost = [line for line in _read_lost(connection) if line[2] > since]
    if not lost:
        return []
    working = read_urls(connection, config)
    return [line for line in lost if not working.work(line[0])]


def _read_lost(connection: Connection) -> list[list[Any]]:
    """The stored lines of URLs that configs removed: URL, how to keep it, when it ended in µs."""
    return list(json.loads(read_meta(connection, _KEY) or "[]"))


def _store_lost(connection: Connection, lines: list[list[Any]]) -> None:
    write_meta(connection, _KEY, json.dumps(lines, ensure_ascii=False))


def _keeping_document(name: str) -> str:
    """How the config would keep a document of every feed."""
    form = next((form for form, file_name in FILE_NAMES.items() if file_name == name), None)
    return f'with "{form}" in "formats" below [output]' if form else 'with "pages = true" below [output]'


def _keeping(slug: str, old: FeedPolicy, new: FeedPolicy) -> str:
    """How the config would keep the URL of a feed that it removes."""
    spec = old.specs.get(slug)
    if spec is not None:
        return _moved_from((slug, *spec.moved_from), _successor(spec, old, new), new)
    if old.auto and not new.auto:
        return 'with "auto = true" below [topics]'
    return 'with a longer "keep_empty" below [topics]'


def _keeping_redirect(path: str, slug: str, after: Urls, old: FeedPolicy, new: FeedPolicy) -> str:
    """How the config would keep an old path that redirected to the feed `slug`."""
    if slug in old.specs:
        return _moved_from((path,), slug if slug in new.specs else None, new)
    if slug in after.slugs:  # a feed of a topic that the topic of the old path does not lead to any more
        return f"with the line below [topics.alias] that leads it to /{slug}/"
    return _keeping(slug, old, new)


def _successor(spec: FeedSpec, old: FeedPolicy, new: FeedPolicy) -> str | None:
    """The slug of the only new feed, or of the only new feed with the same rule; else None."""
    added = [other for other in new.specs.values() if other.slug not in old.specs]
    same = [other for other in added if other.rule == spec.rule] or added
    return same[0].slug if len(same) == 1 else None


def _goes_back(path: str, slug: str, old: FeedPolicy, new: FeedPolicy) -> bool:
    """Whether the feed with this slug gets back its old slug `path`: the new feed there has its rule."""
    before, after = old.specs.get(slug), new.specs.get(path)
    return before is not None and after is not None and before.rule == after.rule


def _moved_from(paths: tuple[str, ...], successor: str | None, new: FeedPolicy) -> str:
    """The line for the feed `successor` that keeps old paths besides those it has. No feed of the config has them."""
    in_use = {path for spec in new.specs.values() for path in (spec.slug, *spec.moved_from)}
    kept = new.specs[successor].moved_from if successor is not None else ()
    added = [path for path in dict.fromkeys(paths) if path not in in_use]
    line = f"moved_from = {json.dumps([quoted_path(path) for path in (*added, *kept)])}"
    return f"with {line} in the [[feed]] {_ANY_FOLLOWER if successor is None else json.dumps(successor)}"


def _followable(keep: str, policy: FeedPolicy) -> str:
    """A stored line of `_moved_from`, for any follower if the config does not have the named one any more."""
    line, names, follower = keep.rpartition(" in the [[feed]] ")
    is_gone = names and follower != _ANY_FOLLOWER and json.loads(follower) not in policy.specs
    return f"{line}{names}{_ANY_FOLLOWER}" if is_gone else keep
