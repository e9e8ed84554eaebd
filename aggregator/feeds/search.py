"""Search in what is published: the words of a query in titles and summaries, newest first. It needs no index: it reads
entries from the newest on, for a bounded time."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection

from aggregator.feeds.feed_list import read_topic_terms
from aggregator.feeds.phrases import (
    EXPRESSION,
    Compile,
    compile_expression,
    contains_phrase,
    expression_error,
    parse_phrase,
)
from aggregator.feeds.window import FEED_ENTRIES, NEWEST_FIRST, FeedLoader
from aggregator.model import Entry
from aggregator.store.schema import ALL_FEED, AnyRow, EntryState, entry
from aggregator.store.session import from_us

MAX_QUERY = 200
"""Characters of a query."""
MAX_PHRASES = 10
LIMIT = 50
"""Most entries that a search shows."""
SEARCH_S = 0.2
"""How long a search reads."""
ROW_BATCH = 500

_PART = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_NEWEST = (
    FEED_ENTRIES.add_columns(entry.c.content)
    .where(entry.c.state == EntryState.PUBLISHED)
    .order_by(*NEWEST_FIRST)
    .execution_options(yield_per=ROW_BATCH)
)


class QueryError(ValueError):
    """The query cannot be searched for; the text says why."""


@dataclass(frozen=True, slots=True)
class Query:
    """Phrases as rules have them (see `parse_phrase`), and their expressions, compiled. Visitors write these, and each
    may take a megabyte, so they are kept only as long as the query."""

    all: tuple[str, ...]
    none: tuple[str, ...]
    compiled: Compile

    def matches(self, texts: tuple[str, ...]) -> bool:
        """Whether the texts contain all of the phrases, and none that is excluded."""
        return all(contains_phrase(texts, phrase, self.compiled) for phrase in self.all) and not any(
            contains_phrase(texts, phrase, self.compiled) for phrase in self.none
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    entries: tuple[Entry, ...]  # newest first, at most LIMIT
    read: int  # entries that were read
    back_to: datetime | None  # the release of the last entry that was read; None if all were


def parse_query(text: str) -> Query:
    """The query: words and "quoted phrases", all of which must occur; a minus excludes one; `re:` begins an expression,
    which is all of the rest. Raises QueryError."""
    text = " ".join(text.split())
    if len(text) > MAX_QUERY:
        raise QueryError(f"a query has at most {MAX_QUERY} characters")
    wanted: list[str] = []
    excluded: list[str] = []
    compiled = lru_cache(MAX_PHRASES)(compile_expression)
    for part in _PART.finditer(text):
        is_expression = (part[3] or "").casefold().startswith(EXPRESSION) and not part[1]
        phrase = parse_phrase(text[part.start() :] if is_expression else part[2] or part[3] or "")
        if error := expression_error(phrase, compiled):
            raise QueryError(f"the expression cannot be used: {error} (leave out re: to search for words)")
        if phrase:
            (excluded if part[1] else wanted).append(phrase)
        if is_expression:
            break
    if not wanted:
        raise QueryError("write at least one word to search for" if text else "")
    if len(wanted) + len(excluded) > MAX_PHRASES:
        raise QueryError(f"a query has at most {MAX_PHRASES} words and phrases")
    return Query(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(excluded)), compiled)


def search(connection: Connection, loader: FeedLoader, query: Query, *, seconds: float = SEARCH_S) -> Found:
    """The newest published entries that the query matches, as far as `seconds` of reading reach."""
    ends_at = time.monotonic() + seconds
    rows: list[AnyRow] = []
    read, last = 0, None
    for row in connection.execute(_NEWEST, {"feed_id": ALL_FEED}):
        if len(rows) == LIMIT or (read % 50 == 49 and time.monotonic() > ends_at):
            last = row.released_at
            break
        read += 1
        if _may_match(row.content, query) and query.matches(tuple(json.loads(row.content)[:2])):
            rows.append(row)
    entries = loader.load_entries(connection, rows, read_topic_terms(connection, loader.policy), {}, full=False)
    return Found(entries, read, None if last is None else from_us(last))


def _may_match(content: str, query: Query) -> bool:
    """False if the JSON of a content surely lacks a word of the query. Much faster than reading it."""
    lowered = content.lower()
    # JSON writes words of ASCII letters and digits as they are
    plain = (phrase.split() for phrase in query.all if phrase.isascii() and not phrase.startswith(EXPRESSION))
    return "\\u" in lowered or all(word in lowered for words in plain for word in words if word.isalnum())
