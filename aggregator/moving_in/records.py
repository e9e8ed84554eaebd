"""The records of the site that moves here: which pages its feeds leave out, and the feeds of its topics."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote

from aggregator.config import Config
from aggregator.config.conflicts import wrong_old_url
from aggregator.config.values import BadValueError, check_old_path
from aggregator.files import FolderError
from aggregator.ingest import ingest_files
from aggregator.model import Record, SourceFile
from aggregator.moving_in.plan import FeedPlan, Plan, SourcePlan, Stated, TermFeeds
from aggregator.output.redirects import plain_path
from aggregator.paths import unescape_path
from aggregator.scan import list_records
from aggregator.settings import FILE_NAMES, Source
from aggregator.slugs import topic_key, topic_slug

_SIGN = re.compile("[^a-zA-Z0-9_]")
MAX_TERMS = 2000
"""Topics that get a `[[feed]]`."""


def add_from_records(plan: Plan, config: Config) -> None:
    """Completes a plan by what the records of its config say."""
    topics: set[str] = set()
    types: set[str] = set()
    undated: list[tuple[SourcePlan, str]] = []
    dated = 0
    for source, planned in zip(config.sources, plan.sources, strict=True):
        for record in _public_records(source):
            topics.update(map(topic_key, record.topics))
            types.add(record.content.type)
            dated += record.published is not None
            if record.published is None:
                undated.append((planned, f"/{glob.escape(unescape_path(record.file.path))}"))
    if plan.without_dates and undated and dated >= plan.without_dates.from_entries:
        for planned, pattern in undated:
            planned.exclude.append(pattern)
        what = f"pages without a date are left out by exclude: {len(undated)}"
        plan.leave_out("", what, plan.without_dates.reason)
    # a section whose pages are all hidden has no feed
    plan.feeds = [feed for feed in plan.feeds if types.issuperset(feed.clauses.get("type", ()))]
    _ignore_own_links(plan, config)
    _add_terms(plan, config)
    taken = {topic_slug(key) for key in topics}
    given: set[str] = set()
    for feed in plan.feeds:
        if feed.slug in given or (feed.slug in taken and "topics" not in feed.clauses):
            feed.slug = plan.free_slug(feed.slug, taken)
        given.add(feed.slug)
    _keep_old_urls(plan)


def read_records(source: Source, workers: int = 0) -> Iterator[Record]:
    """The records of a source, as its folder is now, read by so many processes; stores nothing. Raises FolderError."""
    files = ((item, None) for item in list_records(source) if isinstance(item, SourceFile))
    for outcomes in ingest_files(source, files, workers=workers):
        yield from (outcome for outcome in outcomes if isinstance(outcome, Record))


def _public_records(source: Source) -> Iterator[Record]:
    with suppress(FolderError):
        yield from (record for record in read_records(source) if record.public)


def _ignore_own_links(plan: Plan, config: Config) -> None:
    """Reads links from no key where posts state some: the feeds of the site have the URLs of its pages."""
    for source, planned in zip(config.sources, plan.sources, strict=True):
        fields = tuple((name, () if name == "link" else keys) for name, keys in source.fields)
        pages = {record.file.path: record.content.link for record in _public_records(replace(source, fields=fields))}
        if any(record.content.link != pages.get(record.file.path) for record in _public_records(source)):
            planned.fields["link"] = Stated((), "posts state other links, which the feeds of the site do not have")


def _add_terms(plan: Plan, config: Config) -> None:
    """The feed of each topic, with its old URLs in all taxonomies."""
    feeds: dict[tuple[str, str], FeedPlan] = {}
    for terms in plan.term_feeds:
        names: dict[str, str] = {}
        has_tags = any("tag" in key for key in terms.keys)
        for source in config.sources:
            fields = tuple((name, terms.keys if name == "topics" else keys) for name, keys in source.fields)
            own = replace(source, fields=fields)
            # of Jekyll's defaults, categories are the topics of a source, and tags its default topics
            own = replace(own, topics=()) if has_tags else replace(own, default_topics=())
            for record in _public_records(own):
                language = record.content.language or source.language
                for name in record.topics if terms.language in ("", language) else ():
                    names.setdefault(topic_key(name), name)
        for key, name in sorted(names.items()):
            path = plan.term_name(name) if terms.names is None else terms.names.get(key)
            if path and not (terms.plain and _SIGN.search(path)):
                _add_term(feeds, terms, name, path)
    if len(feeds) > MAX_TERMS:
        what, hint = f"{len(feeds)} topics have feeds", f"only the first {MAX_TERMS} keep their old URLs"
        plan.leave_out(plan.term_feeds[0].place, what, hint)
    plan.feeds += list(feeds.values())[:MAX_TERMS]


def _add_term(feeds: dict[tuple[str, str], FeedPlan], terms: TermFeeds, name: str, path: str) -> None:
    slug = topic_slug(topic_key(name)) + terms.suffix
    title = terms.title.replace("{name}", name)
    clauses = {terms.clause: (name,)} | ({"language": (terms.language,)} if terms.language else {})
    feed = FeedPlan(slug, title, [], terms.place, "", clauses, full=terms.full)
    feeds.setdefault((terms.clause, slug), feed).moved_from.append(terms.path.replace("{term}", path))


def _keep_old_urls(plan: Plan) -> None:
    """Brings old URLs into the form of `moved_from`, and notes those that it cannot have."""
    slugs = frozenset(feed.slug for feed in plan.feeds)
    seen: set[str] = set()
    for feed in plan.feeds:
        kept = []
        for old in feed.moved_from:
            path = _old_path(old, feed.slug, slugs)
            if path in kept:  # a folder, whose documents move together
                continue
            if path is None or plain_path(path) in seen:
                hint = "redirect it in the web server; see `aggregator feeds` for the new URL"
                plan.leave_out(feed.place, "the old URL of a feed cannot be in moved_from", hint, old)
            elif path:
                seen.add(plain_path(path))
                kept.append(path)
        feed.moved_from = kept


def _old_path(old: str, slug: str, slugs: frozenset[str]) -> str | None:
    """The form of an old path in `moved_from`: empty if the feed has this URL anyway, None if there is no form."""
    folder, _, name = old.partition("/")
    if name in FILE_NAMES.values():  # all documents of a folder move together
        if folder == slug:
            return ""
        old = folder
    for path in (old, quote(old)):
        with suppress(BadValueError):
            check_old_path(path)
            return None if wrong_old_url(path, slugs) else path
    return None
