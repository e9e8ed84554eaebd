"""The outbox of WebSub pings: which documents changed since a hub was told of them.

A row has the digest of the document now and of the one that the hub knows. So several changes before a ping are one
ping, and what a crash lost is found again by comparing with the output folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Update, delete, func, select, update

from aggregator.store.schema import websub_ping
from aggregator.store.session import parts, upsert

LOOKUP_BATCH = 500
_IS_DUE = websub_ping.c.digest != websub_ping.c.sent


class Ping(NamedTuple):
    """A document that changed, and the hub to tell."""

    hub: str
    path: str
    digest: str
    attempts: int


class HubState(NamedTuple):
    """The pings to a hub that wait."""

    hub: str
    waiting: int
    failed: int  # those that failed at least once
    next_at: int  # µs


def hub_states(connection: Connection) -> list[HubState]:
    """The hubs that wait for pings, by URL."""
    columns = (func.count(), func.count().filter(websub_ping.c.attempts > 0), func.min(websub_ping.c.next_at))
    waiting = select(websub_ping.c.hub, *columns).where(_IS_DUE).group_by(websub_ping.c.hub)
    return [HubState(*row) for row in connection.execute(waiting.order_by(websub_ping.c.hub))]


def queue_pings(
    connection: Connection, hubs: Collection[str], digests: Mapping[str, str], now: int, *, full: bool
) -> None:
    """Queues a ping for each document with another digest than before. A document that is new has no subscriber yet.

    With `full`, `digests` has all documents, and others are forgotten, as are other hubs. `now` is in µs.
    """
    if full:
        connection.execute(delete(websub_ping).where(websub_ping.c.hub.not_in(hubs)))
    for hub in hubs:
        known = _known(connection, hub, None if full else digests)
        rows = [
            {
                "hub": hub,
                "path": path,
                "digest": digest,
                "sent": known[path][1] if path in known else digest,
                "attempts": 0,
                "next_at": now,
            }
            for path, digest in digests.items()
            if path not in known or known[path][0] != digest
        ]
        upsert(connection, websub_ping, rows)
        if full:
            for gone in parts(sorted(known.keys() - digests.keys()), LOOKUP_BATCH):
                connection.execute(delete(websub_ping).where(websub_ping.c.hub == hub, websub_ping.c.path.in_(gone)))


def _known(connection: Connection, hub: str, paths: Iterable[str] | None) -> dict[str, tuple[str, str]]:
    """The digest now, and as sent, of documents by path; of all if `paths` is None."""
    rows = select(websub_ping.c.path, websub_ping.c.digest, websub_ping.c.sent).where(websub_ping.c.hub == hub)
    if paths is None:
        return {row.path: (row.digest, row.sent) for row in connection.execute(rows)}
    known: dict[str, tuple[str, str]] = {}
    for batch in parts(paths, LOOKUP_BATCH):
        found = connection.execute(rows.where(websub_ping.c.path.in_(batch)))
        known |= {row.path: (row.digest, row.sent) for row in found}
    return known


def due_pings(connection: Connection, hub: str, now: int, limit: int) -> list[Ping]:
    """The pings to send to a hub now, at most `limit`."""
    columns = (websub_ping.c.hub, websub_ping.c.path, websub_ping.c.digest, websub_ping.c.attempts)
    due = select(*columns).where(_IS_DUE, websub_ping.c.next_at <= now, websub_ping.c.hub == hub)
    return [Ping(*row) for row in connection.execute(due.order_by(websub_ping.c.path).limit(limit))]


def next_ping_at(connection: Connection, hubs: Collection[str]) -> int | None:
    """When the next ping is to be sent, in µs; None without one."""
    waiting = select(func.min(websub_ping.c.next_at)).where(_IS_DUE, websub_ping.c.hub.in_(hubs))
    next_at: int | None = connection.scalar(waiting)
    return next_at


def mark_sent(connection: Connection, ping: Ping) -> None:
    """The hub was told. If the document changed in between, its next ping stays."""
    connection.execute(_row_of(ping).values(sent=ping.digest, attempts=0))


def postpone(connection: Connection, ping: Ping, until: int, *, all_of_hub: bool) -> None:
    """A ping failed: it waits `until` (µs), and with `all_of_hub` all pings to its hub wait."""
    connection.execute(_row_of(ping).values(attempts=ping.attempts + 1, next_at=until))
    if all_of_hub:
        others = update(websub_ping).where(_IS_DUE, websub_ping.c.hub == ping.hub, websub_ping.c.next_at < until)
        connection.execute(others.values(next_at=until))


def _row_of(ping: Ping) -> Update:
    return update(websub_ping).where(websub_ping.c.hub == ping.hub, websub_ping.c.path == ping.path)
