"""What other processes know and ask of the holder of the lease. Requests are in `meta`, which they may write."""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any, NamedTuple

from sqlalchemy import Connection

from aggregator.store.database import Store, check_version, read_schema_version
from aggregator.store.lease import read_holder, read_token
from aggregator.store.revision import read_revision
from aggregator.store.session import read_meta, write_meta

_ADDRESS, _HEALTH, _ACCEPT_REMOVALS = "service_address", "leader_health", "accept_removals"
"""All hold the token of a lease, so they end with the service that has it."""


class Service(NamedTuple):
    """A service on this machine."""

    address: tuple[str, int]  # the host and port where it listens
    runs: bool  # if not, its lease ran out, because it ended without a word, or because it cannot write


class Leader(NamedTuple):
    """The process that has the lease, and what it has done."""

    holder: str | None  # who it is, for people; None: nobody has the lease now
    problem: str  # why it is not well; empty if it is, or does not say
    revision: str | None  # of the store; None: it is being updated, or was never complete


def announce_service(store: Store, address: tuple[str, int], config: str) -> None:
    """Marks the holder of the lease as a service, which takes requests, has the config at this path, and listens at
    this host and port."""
    with store.write() as connection:
        write_meta(connection, _ADDRESS, json.dumps([store.lease.token, platform.node(), *address, config]))


def read_service(store: Store, config: str) -> Service | None:
    """The service of this store and of the config at this path; None if none says that it is on this machine. Other
    configs count too, unless the store is shared by several services."""
    with store.read() as connection:
        runs, token = read_holder(connection) is not None, read_token(connection)
        stated, machine, host, port, its_config = _read_address(connection)
    is_its_own = token == stated and machine == platform.node() and (its_config == config or not store.is_shared)
    return Service((host, port), runs) if is_its_own else None


def _read_address(connection: Connection) -> list[Any]:
    """What `announce_service` stored: token, machine, host, port, config; the token is None if nothing is stored."""
    stored = read_meta(connection, _ADDRESS)
    return json.loads(stored) if stored else [None, "", "", 0, ""]


def write_leader_health(connection: Connection, token: str, problem: str) -> None:
    """Stores why the service whose lease has this token is not well; empty if it is."""
    write_meta(connection, _HEALTH, json.dumps([token, problem]))


def read_leader(connection: Connection) -> Leader:
    """The process that has the lease now. Raises StoreNewerError if a newer version of the program has the store."""
    check_version(read_schema_version(connection), "the store")
    token, problem = json.loads(read_meta(connection, _HEALTH) or '["", ""]')
    is_current = token == read_token(connection)
    return Leader(read_holder(connection), problem if is_current else "", read_revision(connection))


def read_store_key(store: Store) -> str | None:
    """What /healthz of the services of this store says, and of no other: 16 hex digits, which do not tell the id of the
    store. None if the store has no id yet."""
    with store.read() as connection:
        store_id = read_meta(connection, "store_id")
    return None if store_id is None else hashlib.sha256(store_id.encode()).hexdigest()[:16]


def request_accept_removals(store: Store) -> str | None:
    """Asks the running service to accept removals in its next cycle. Returns the service; None if none runs."""
    with store.write_request() as connection:
        holder, token = read_holder(connection), read_token(connection)
        if holder is None or token is None or token != _read_address(connection)[0]:
            return None
        write_meta(connection, _ACCEPT_REMOVALS, token)
    return holder


def take_accept_removals(store: Store) -> bool:
    """Whether somebody asked this service to accept removals; the request is removed."""
    with store.read() as connection:
        if read_meta(connection, _ACCEPT_REMOVALS) != store.lease.token:
            return False
    with store.write() as connection:
        write_meta(connection, _ACCEPT_REMOVALS, "")
    return True
