"""`aggregator explain`: the fields of one record, its state, its feeds, and why. Reads only.

path, id or link -> what the store and its file say of the record (explain_state)
                 -> the cause of its state, and its feeds, each with file and line (explain_cause, explain_feeds)
                 -> --json, or text (explain_text)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.cli.explain_cause import find_cause
from aggregator.cli.explain_feeds import FeedVerdict, find_verdicts
from aggregator.cli.explain_state import RecordState, kind_of, read_missing, read_state, shown_place
from aggregator.cli.explain_text import render_explanation
from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_table
from aggregator.cli.stores import candidate_places, reading_store
from aggregator.config import Config
from aggregator.errors import NotFoundError
from aggregator.files import FolderError
from aggregator.links import canonical_link, http_url
from aggregator.model import Record, Rejection, SourceFile
from aggregator.parse.trace import FieldTrace
from aggregator.paths import escape_name
from aggregator.problems import shown_path, stamp
from aggregator.scan import list_records
from aggregator.settings import Source
from aggregator.store.events import FeedName, feed_names
from aggregator.store.files import source_names
from aggregator.store.page_links import unresolved_links
from aggregator.store.queries import StoredEntry, find_by_id, find_by_text, is_known, unused_ids
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
            folders = ", ".join(dict.fromkeys(shown_path(source.root, "") for source in config.sources))
            raise NotFoundError(
                f"{asked!r} is no record: there is no such file in {folders} or in the working folder, and no record in"
                " the store has this id or link (a new file is known after the next cycle)"
            )
        state = read_state(config, connection, places[0], to_us(now))
        cause = find_cause(config, state, partial(read_missing, connection, state))
        fields = list(_fields(connection, state))
    feeds = find_verdicts(config, store, state, cause, now)
    entry, outcome = state.stored.entry, state.outcome
    with store.read() as connection:
        history = _history(config, connection, entry, feeds) if entry else []
        links = unresolved_links(connection, entry.key) if entry else []
    problems = outcome.warnings if isinstance(outcome, Record) else ()
    if isinstance(outcome, Rejection):
        problems = (outcome.problem,)
    content = outcome.content if isinstance(outcome, Record) else entry.content if entry else None
    format_ids = entry.format_ids._asdict() if entry and entry.format_ids else {}
    return {
        "id": entry.id if entry else None,
        "format_ids": {form: text for form, text in format_ids.items() if text},
        "path": state.path,
        "similar_link": similar_link,
        "title": content.title if content else "",
        "published": {"value": state.is_published, **cause._asdict()},
        "fields": fields,
        "problems": [str(replace(problem, path=state.path)) for problem in problems],
        "unresolved_links": links,
        "feeds": [{"in" if key == "is_in" else key: value for key, value in asdict(feed).items()} for feed in feeds],
        "history": history,
        "others": [shown_place(config, place) for place in places[1:]],
    }


# finding the record


def _find(config: Config, connection: Connection, asked: str) -> tuple[list[tuple[str, str]], str | None]:
    """Source and path of the records that are meant: by path, else by id, else by link; and their link, if only a
    similar one was asked for. Of several sources over one folder, the source that reads the file comes first. Sources
    that the config no longer names come last; below them the start of the path may be that of their folder."""
    candidates = list(candidate_places(config.sources, asked))
    read = [place for place in candidates if _is_read(*place)]
    known = [place for place in candidates if is_known(connection, place[0].name, place[1])]
    there = [place for place in candidates if kind_of(*place) in ("file", "link")]
    places = [(source.name, path) for source, path in [*read, *known] or there]
    link, links = http_url(asked), list[str]()
    if not places and link is None:
        dropped = set(source_names(connection)).difference(source.name for source in config.sources)
        parts = escape_name(asked).split("/")
        ends = ["/".join(parts[number:]) for number in range(len(parts))]
        places = [(name, end) for name in sorted(dropped) for end in ends if is_known(connection, name, end)]
    if not places and not _RAW_BYTES.search(asked):  # which no id and no link has
        places = find_by_id(connection, asked)
        if not places and link is not None:
            matches = _find_by_link(connection, link)
            places, links = [place for place, _ in matches], [other for _, other in matches if other != link]
    return list(dict.fromkeys(places)), next(iter(links), None)


def _is_read(source: Source, path: str) -> bool:
    with suppress(FolderError):
        return any(isinstance(item, SourceFile) and item.path == path for item in list_records(source, path))
    return False


def _find_by_link(connection: Connection, link: str) -> list[tuple[tuple[str, str], str]]:
    """Source and path of the entries with a link, or if none has it, with the same canonical link; each with the link
    that it has."""
    canonical = canonical_link(link)
    # a part that all usual spellings of the link have
    host = re.split("[:/?#]", canonical, maxsplit=1)[0]
    text = max(_PLAIN_WORDS.findall(canonical.removeprefix(host)), key=len, default=host)
    same = _with_links(connection, link, lambda other: other == link)
    return same or _with_links(connection, text, lambda other: canonical_link(other) == canonical)


def _with_links(
    connection: Connection, text: str, is_meant: Callable[[str], bool]
) -> list[tuple[tuple[str, str], str]]:
    """The entries, at most MAX_MATCHES, that have `text` in their content and a link or an original link that
    `is_meant`."""
    matches = (
        ((source, path), links[0])
        for source, path, content in find_by_text(connection, text)
        if (links := [link for link in (content.link, content.original_link) if link and is_meant(link)])
    )
    return list(islice(matches, MAX_MATCHES))


# data


def _fields(connection: Connection, state: RecordState) -> Iterator[dict[str, Any]]:
    """The origins of fields, each with a note if readers see something else."""
    entry, record = state.stored.entry, state.outcome if isinstance(state.outcome, Record) else None
    released = entry if entry is not None and entry.released_at is not None else None
    kept = stamp(from_us(released.published_at)) if released and released.published_at is not None else None
    now, rule = from_us(state.now), "a date that changed has no effect"
    for trace in state.traces:
        note = None
        if trace.field == "published_at" and released and trace.value not in (None, kept):
            note = f"readers see {kept or 'no date'}, as at the release; {rule}"
            if state.is_published and record and record.public and record.published and record.published > now:
                note += ": the record is public in spite of its date (draft: true hides it)"
        elif trace.field == "id" and trace.value is not None and entry and unused_ids(connection, [trace.value]):
            note = "has no effect, because the entry keeps the id that it was stored with"
        yield asdict(trace) | {"note": note}
    if kept and record and not any(trace.field == "published_at" for trace in state.traces):
        trace = FieldTrace("published_at", None, kept, None, "store")
        yield asdict(trace) | {"note": f"the date at the release; {rule}"}


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
            at = max([from_us(entry.age_from or 0) + ages[feed.slug], *joined])
            events.append((at, "left", FeedName(feed.slug, None), "max_age"))
    events.sort(key=lambda event: event[0])
    return [
        {"at": stamp(at), "what": what, "feed": name.slug, "topic": None if name.slug else name.topic, "clause": clause}
        for at, what, name, clause in events
    ]
