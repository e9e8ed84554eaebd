"""What other processes know and ask of the service that holds the lease. Requests are kept in `meta`, which they may
write."""

from __future__ import annotations

import hashlib
import json
import platform

from aggregator.store.database import Store
from aggregator.store.lease import read_holder, read_token
from aggregator.store.session import read_meta, write_meta

_SERVICE, _ADDRESS, _ACCEPT_REMOVALS = "service", "service_address", "accept_removals"
"""All hold the token of a lease, so they end with the service that has it."""


def announce_service(store: Store, address: tuple[str, int], config: str) -> None:
    """Marks the holder of the lease as a service, which takes requests, has the config at this path, and listens at
    this host and port."""
    with store.write() as connection:
        write_meta(connection, _SERVICE, store.lease.token)
        write_meta(connection, _ADDRESS, json.dumps([store.lease.token, platform.node(), *address, config]))


def read_service_address(store: Store, config: str, *, even_late: bool = False) -> tuple[str, int] | None:
    """The host and port where the service of this store and of the config at this path listens; None if none runs on
    this machine. Other configs count too, unless the store is shared by several services. With `even_late` also if its
    lease ran out, because it ended without a word, or because it cannot write."""
    with store.read() as connection:
        if not even_late and read_holder(connection) is None:
            return None
        token, stored = read_token(connection), read_meta(connection, _ADDRESS)
    stated, machine, host, port, its_config = json.loads(stored) if stored else (None, "", "", 0, "")
    is_its_own = token == stated and machine == platform.node() and (its_config == config or not store.is_shared)
    return (host, port) if is_its_own else None


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
        if holder is None or token is None or token != read_meta(connection, _SERVICE):
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
