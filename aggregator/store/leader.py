"""What the service that leads says of itself, for those that follow it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection

from aggregator.store.database import check_version, read_schema_version
from aggregator.store.lease import read_holder, read_token
from aggregator.store.revision import read_revision
from aggregator.store.session import read_meta, write_meta

_KEY = "leader_health"


@dataclass(frozen=True, slots=True)
class Leader:
    """The process that has the lease, and what it has done."""

    holder: str | None  # who it is, for people; None: nobody has the lease now
    problem: str  # why it is not well; empty if it is, or does not say
    revision: str | None  # of the store; None: it is being updated, or was never complete


def write_leader_health(connection: Connection, token: str, problem: str) -> None:
    """Stores why the service whose lease has this token is not well; empty if it is."""
    write_meta(connection, _KEY, json.dumps([token, problem]))


def read_leader(connection: Connection) -> Leader:
    """The process that has the lease now. Raises StoreNewerError if a newer version of the program has the store."""
    check_version(read_schema_version(connection), "the store")
    token, problem = json.loads(read_meta(connection, _KEY) or '["", ""]')
    is_current = token == read_token(connection)
    return Leader(read_holder(connection), problem if is_current else "", read_revision(connection))
