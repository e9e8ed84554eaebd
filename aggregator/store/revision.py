"""The revision of the store: changes with each update that is complete, so that followers publish nothing in between.

An update has many transactions, and between two of them feeds are partly of the cycle before. The first one marks the
revision as unfinished, the last one replaces it. After a crash it stays unfinished until another cycle is complete.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from aggregator.store.session import Writer, read_meta, write_meta

_KEY, _UNFINISHED = "revision", "+"


@contextmanager
def updating(writer: Writer) -> Iterator[None]:
    """Inside, the store is brought up to date. If nothing is written, the revision stays."""
    writer.before_writing = begin_update
    try:
        yield
        with writer.read() as connection:
            is_complete = read_revision(connection) is not None
        if not is_complete:
            writer.before_writing = None
            with writer.write() as connection:
                write_meta(connection, _KEY, uuid.uuid4().hex)
    finally:
        writer.before_writing = None


def read_revision(connection: Connection) -> str | None:
    """The revision; None during an update, and before the first one."""
    revision = read_mark(connection)
    return None if revision is None or revision.endswith(_UNFINISHED) else revision


def read_mark(connection: Connection) -> str | None:
    """The revision, or the mark of the update that runs now; None before the first one."""
    return read_meta(connection, _KEY)


def begin_update(connection: Connection) -> None:
    """Marks the revision as unfinished, until the next cycle is complete."""
    if (revision := read_revision(connection)) is not None:
        write_meta(connection, _KEY, f"{revision}{_UNFINISHED}")
