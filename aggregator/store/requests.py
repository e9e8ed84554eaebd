"""What other processes ask of the service that holds the lease. Requests are kept in `meta`, which they may write."""

from __future__ import annotations

from aggregator.store.database import Store
from aggregator.store.lease import read_holder, read_token
from aggregator.store.session import read_meta, write_meta

_SERVICE, _ACCEPT_REMOVALS = "service", "accept_removals"
"""Both hold the token of a lease, so they end with the service that has it."""


def announce_service(store: Store) -> None:
    """Marks the holder of the lease as a service, which takes requests."""
    with store.write() as connection:
        write_meta(connection, _SERVICE, store.lease.token)


def request_accept_removals(store: Store) -> str | None:
    """Asks the running service to accept removals in its next cycle. Returns the service; None if none runs."""
    with store.write_request() as connection:
        holder, token = read_holder(connection), read_token(connection)
        if holder is None or token is None or token != read_meta(connection, _SERVICE):
            return None
        write_meta(connection, _ACCEPT_REMOVALS, token)
    return holder


def take_request(store: Store) -> bool:
    """Whether somebody asked this service to accept removals; the request is removed."""
    with store.read() as connection:
        if read_meta(connection, _ACCEPT_REMOVALS) != store.lease.token:
            return False
    with store.write() as connection:
        write_meta(connection, _ACCEPT_REMOVALS, "")
    return True
