"""A store that was made although the output folder was written from another one: most likely that one was lost."""

from __future__ import annotations

import json
from datetime import timedelta

from sqlalchemy import Connection, select

from aggregator.store.schema import cycle
from aggregator.store.session import read_meta, span_us, write_meta

SAID_FOR = timedelta(days=7)
"""How long operators are reminded of a lost store; whoever deleted it on purpose knows by then."""
_KEY = "lost_store"


def lost_store_message(manifest: str, file: str | None, *, is_replaced: bool) -> str:
    """The message that the store from which `manifest` was written is missing. `file` is where SQLite's should be;
    `is_replaced`: a new store has taken its place."""
    place = f" at {file}" if file else ""
    if is_replaced:
        what = f"the store{place} is new, and {manifest} was written from another store"
        without = "without a backup,"
    else:
        what = f"there is no store{place} any more, and {manifest} was written from it"
        without = "without a backup, aggregator build makes a new store, and"
    return (
        f"{what} (bring it back: aggregator restore FILE; or correct store.url; {without} records that were never"
        " renamed keep their ids)"
    )


def has_published(connection: Connection) -> bool:
    """Whether a cycle of this store ever published."""
    counts = connection.scalars(select(cycle.c.counts).where(cycle.c.error.is_(None)).order_by(cycle.c.id.desc()))
    return any(json.loads(found).get("published") for found in counts)


def note_lost_store(connection: Connection, now: int, message: str) -> None:
    """Stores that this store has taken the place of another one at `now` (µs)."""
    write_meta(connection, _KEY, json.dumps((now, message)))


def read_lost_store(connection: Connection, now: int) -> str | None:
    """The message of `note_lost_store`, for SAID_FOR."""
    since, message = json.loads(read_meta(connection, _KEY) or "[0, null]")
    return str(message) if message and now - since < span_us(SAID_FOR) else None
