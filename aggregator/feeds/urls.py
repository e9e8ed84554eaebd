"""The URLs that subscribers have, and which of them a change of the config takes away or moves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from aggregator.documents import PAGE
from aggregator.feeds.policy import InForce, is_in_force, keep_in_force, read_in_force
from aggregator.feeds.slugs import published_feeds, topic_moves
from aggregator.model import UrlChange
from aggregator.settings import FILE_NAMES, FeedPolicy, FeedSpec, OutputOptions
from aggregator.store.schema import feed
from aggregator.store.session import Writer, from_us, read_meta, span_us, write_meta

SAID_FOR = timedelta(days=30)
"""How long `status` names a URL that is gone."""
_KEY = "lost_urls"


@dataclass(frozen=True, slots=True)
class Urls:
    """What subscribers may have: the slugs of feeds, the names of the documents of each, and what leads to a feed, an
    old slug or the path of an old document."""

    slugs: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=dict)

    def work(self, url: str) -> bool:
        """Whether a slug or an old path is a feed, or leads to one."""
        return url in self.slugs or url in self.moved


def read_urls(connection: Connection, config: InForce) -> Urls:
    """The URLs that work under this config, as the store has its feeds now."""
    policy, options = config.policy, config.options
    stated = {old: spec.slug for spec in policy.specs.values() for old in spec.moved_from}
    published = connection.scalars(published_feeds(policy, feed.c.slug))
    return Urls(
        # slugs of the config too: a cycle that was stopped may have taken one away already
        slugs=frozenset(published).union(policy.specs),
        names=_names(options),
        moved=topic_moves(connection, policy) | stated,
    )


def compare_urls(before: Urls, after: Urls, old: FeedPolicy, new: FeedPolicy) -> tuple[UrlChange, ...]:
    """What becomes of each URL that works before and does not work afterwards, or leads elsewhere."""
    changes = [
        UrlChange(f"*/{name}", None, 'with its format in "formats" below [output], or "pages = true" for index.html')
        for name in sorted(before.names - after.names)
    ]
    for slug in sorted(before.slugs - after.slugs):
        if (target := after.moved.get(slug)) is not None:
            changes.append(UrlChange(f"{slug}/", f"{target}/", ""))
        else:
            changes.append(UrlChange(f"{slug}/", None, _keeping(slug, old, new)))
    for path, slug in sorted(before.moved.items()):
        if not after.work(path):
            heir = slug if slug in new.specs else None
            url = f"{path}/" if "/" not in path and "." not in path else path
            changes.append(UrlChange(url, None, _moved_from(path, heir)))
    return tuple(changes)


def urls_before(writer: Writer, config: InForce) -> Urls | None:
    """The URLs that work until now, under the config in force; None while that is this one."""
    with writer.read() as connection:
        if is_in_force(connection, config.text):
            return None
        last = read_in_force(connection)
        return Urls() if last is None else read_urls(connection, last)


def note_config(writer: Writer, before: Urls, config: InForce) -> None:
    """Keeps the config as the one in force from now on, and which URLs it took away from those `before`."""
    with writer.write() as connection:
        last = read_in_force(connection) or config
        changes = compare_urls(before, read_urls(connection, config), last.policy, config.policy)
        gone = [[one.url, one.keep, writer.now] for one in changes if one.target is None]
        since = writer.now - span_us(SAID_FOR)
        kept = [one for one in json.loads(read_meta(connection, _KEY) or "[]") if one[2] > since]
        write_meta(connection, _KEY, json.dumps([*kept, *gone], ensure_ascii=False))
        keep_in_force(connection, config.text)


def say_lost_urls(connection: Connection, config: InForce, now: int) -> Iterator[str]:
    """The URLs that the config took away lately and that still do not work, a line for each."""
    lost = [one for one in json.loads(read_meta(connection, _KEY) or "[]") if one[2] > now - span_us(SAID_FOR)]
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
    """How the config would keep the URL of a feed that it takes away."""
    spec = old.specs.get(slug)
    if spec is not None:
        return _moved_from(slug, _heir(spec, old, new), *spec.old_slugs)
    if old.auto and not new.auto:
        return 'with "auto = true" below [topics]'
    return 'with a longer "keep_empty" below [topics]'


def _heir(spec: FeedSpec, old: FeedPolicy, new: FeedPolicy) -> str | None:
    """The slug of the feed in the new config: its only new feed, or the only new one with the rule; else None."""
    fresh = [other for other in new.specs.values() if other.slug not in old.specs]
    same = [other for other in fresh if other.rule == spec.rule] or fresh
    return same[0].slug if len(same) == 1 else None


def _moved_from(path: str, heir: str | None, *more: str) -> str:
    line = f"moved_from = {json.dumps([path, *more])}"
    return f"with {line} in the [[feed]] {json.dumps(heir)}" if heir else f"with {line} in the [[feed]] that follows it"
