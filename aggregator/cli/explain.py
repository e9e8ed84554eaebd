"""`aggregator explain`: the fields of one record, its state, its feeds, and why. Reads only.

path, id or link -> the record (the store) + what its file says now (ingest)
                 -> its state and its feeds, each cause with its file and line (record_state, feed_verdicts)
                 -> --json, or text (explain_text)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.cli.explain_text import render_explanation
from aggregator.cli.feed_verdicts import FeedVerdict, dated_at, find_verdicts
from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_table
from aggregator.cli.record_state import RecordState, kind_of, shown_place
from aggregator.cli.stores import candidate_places, reading_store
from aggregator.config import Config
from aggregator.errors import NotFoundError
from aggregator.links import canonical_link, http_url
from aggregator.model import Record
from aggregator.paths import escape_name
from aggregator.problems import shown_path, stamp
from aggregator.store.events import FeedName, feed_names
from aggregator.store.files import source_names
from aggregator.store.page_links import unresolved_links
from aggregator.store.queries import (
    StoredEntry,
    find_by_id,
    find_by_text,
    is_known,
    known_paths,
)
from aggregator.store.session import from_us, to_us

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store

MAX_MATCHES = 20
_PLAIN_WORDS = re.compile(r"(?<!%)(?<!%[0-9A-F])[A-Za-z0-9_-]+")
"""Parts of a canonical link without escapes."""
_RAW_BYTES = re.compile("[\ud800-\udfff]")
"""Bytes that are not UTF-8, as os.fsdecode returns them."""

EPILOG = """\b
Examples:
  aggregator explain 2024/05/chips.md
  aggregator explain https://example.org/chips
  aggregator explain urn:uuid:… --json
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("record", metavar="PATH|URL|ID")
def explain(config_path: Path | None, *, as_json: bool, record: str) -> None:
    """Explain one record: each field and its origin, whether it is published and why, its feeds with the deciding
    clause, and its history.

    PATH is relative to a records folder or to the working directory, or it is s3://… of a record in a bucket. URL is
    the link of the record, or if no record has it, a similar link: with https for http, with `www.`, without the slash
    at its end, with a fragment or with tracking parameters. Reads only; works while the service runs.
    """
    config = load_config(config_path)
    with reading_store(config) as store:
        data = explain_record(config, store, record, datetime.now(UTC))
    print_data(data, lambda shown: print_table(render_explanation(shown, config.site.timezone)), as_json=as_json)


def explain_record(config: Config, store: Store, asked: str, now: datetime) -> dict[str, Any]:
    """The explanation for --json of the record with a path, id or link. Raises NotFoundError."""
    with store.read() as connection:
        places, similar_link = _find(config, connection, asked)
        if not places:
            folders = ", ".join(shown_path(source.root, "") for source in config.sources)
            raise NotFoundError(
                f"{asked!r} is no record: there is no such file in {folders} or in the working folder, and no record in"
                " the store has this id or link (a new file is known after the next cycle)"
            )
        state = RecordState(config, connection, places[0], to_us(now))
        entry, outcome, fields = state.entry, state.outcome, list(state.fields())
    feeds = find_verdicts(state, store, now)
    with store.read() as connection:
        history = _history(config, connection, entry, feeds) if entry else []
        links = unresolved_links(connection, entry.key) if entry else []
    content = outcome.content if isinstance(outcome, Record) else entry.content if entry else None
    return {
        "id": entry.id if entry else None,
        "format_ids": _format_ids(entry),
        "path": state.path,
        "similar_link": similar_link,
        "title": content.title if content else "",
        "published": {"value": state.is_published, **state.cause._asdict()},
        "fields": fields,
        "problems": state.problems(),
        "unresolved_links": links,
        "feeds": [_feed_data(feed) for feed in feeds],
        "history": history,
        "others": [shown_place(config, place) for place in places[1:]],
    }


def _format_ids(entry: StoredEntry | None) -> dict[str, str]:
    """The ids that formats show instead of the id of the entry."""
    ids = entry.format_ids._asdict() if entry and entry.format_ids else {}
    return {form: text for form, text in ids.items() if text}


# finding the record


def _find(config: Config, connection: Connection, asked: str) -> tuple[list[tuple[str, str]], str | None]:
    """Source and path of the records that are meant: by path, else by id, else by link; and their link, if only a
    similar one was asked for. Sources that the config no longer names come last; below them the start of the path may
    be that of their folder."""
    similar_link = None
    places = [
        (source.name, path)
        for source, path in candidate_places(config.sources, asked)
        if is_known(connection, source.name, path) or kind_of(source, path) in ("file", "link")
    ]
    if not places and http_url(asked) is None:
        dropped = set(source_names(connection)).difference(source.name for source in config.sources)
        parts = escape_name(asked).split("/")
        ends = ["/".join(parts[number:]) for number in range(len(parts))]
        places = known_paths(connection, [(name, end) for name in sorted(dropped) for end in ends])
    if not places and not _RAW_BYTES.search(asked):  # which no id and no link has
        places = find_by_id(connection, asked)
        if not places and (link := http_url(asked)):
            places = _with_links(connection, link, lambda other: other == link)
            if not places:
                places, similar_link = _find_by_similar_link(connection, link)
    return list(dict.fromkeys(places)), similar_link


def _find_by_similar_link(connection: Connection, link: str) -> tuple[list[tuple[str, str]], str | None]:
    """Source and path of the entries with the same canonical link, and the link of the first one."""
    canonical, links = canonical_link(link), list[str]()

    def is_similar(other: str) -> bool:
        is_meant = canonical_link(other) == canonical
        links.extend([other] * is_meant)
        return is_meant

    # a part that all usual spellings of the link have
    host = re.split("[:/?#]", canonical, maxsplit=1)[0]
    text = max(_PLAIN_WORDS.findall(canonical.removeprefix(host)), key=len, default=host)
    places = _with_links(connection, text, is_similar)
    return places, next(iter(links), None)


def _with_links(connection: Connection, text: str, is_meant: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Source and path of the entries, at most MAX_MATCHES, that have `text` in their content and a link or an original
    link that `is_meant`."""
    matches = (
        (source, path)
        for source, path, content in find_by_text(connection, text)
        if any(map(is_meant, filter(None, (content.link, content.original_link))))
    )
    return list(islice(matches, MAX_MATCHES))


# data


def _history(
    config: Config, connection: Connection, entry: StoredEntry, feeds: Sequence[FeedVerdict]
) -> list[dict[str, Any]]:
    """The events of an entry, oldest first. Adds the times at which it reached `max_age`: they follow from its date and
    are not stored."""
    names = feed_names(connection, [event.feed_id for event in entry.history if event.feed_id is not None])
    unnamed = FeedName(None, None)
    events = [
        (from_us(event.at), event.what, names.get(event.feed_id or 0, unnamed), event.clause) for event in entry.history
    ]
    ages = {spec.slug: spec.max_age for spec in config.feeds if spec.max_age is not None}
    for feed in feeds:
        if feed.clause == "max_age" and not feed.is_in and not feed.pending:
            joined = [at for at, what, name, _ in events if what == "joined" and name.slug == feed.slug]
            at = max([from_us(dated_at(entry) or 0) + ages[feed.slug], *joined])
            events.append((at, "left", FeedName(feed.slug, None), "max_age"))
    events.sort(key=lambda event: event[0])
    return [
        {"at": stamp(at), "what": what, "feed": name.slug, "topic": None if name.slug else name.topic, "clause": clause}
        for at, what, name, clause in events
    ]


def _feed_data(feed: FeedVerdict) -> dict[str, Any]:
    data = asdict(feed)
    return {"slug": data.pop("slug"), "in": data.pop("is_in")} | data
