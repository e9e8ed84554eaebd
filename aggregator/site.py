"""Where config and store differ about the site: its id, and the config that the store was written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aggregator.config import Config
from aggregator.errors import StoreHeldError, StoreMismatchError
from aggregator.links import is_loopback

if TYPE_CHECKING:
    from aggregator.store.database import Store

CONFIG_KEY = "config"
"""The key of `meta` with the path of the config of the last cycle; empty for the defaults."""


def default_site_id(config: Config) -> str:
    """The host of `base_url`."""
    return urlsplit(config.site.base_url).hostname or "localhost"


def site_id_warning(config: Config, stored_id: str | None) -> str | None:
    """The warning that only the store has the site id, with the line to add to the config; None if there is no risk.

    `stored_id` is None before the first id is minted.
    """
    if config.site.id is not None:
        return None
    host = default_site_id(config)
    site_id = stored_id or host
    if site_id == host and not is_loopback(host):
        return None
    place = f"{config.path}: " if config.path else ""
    return (
        f"{place}all ids are made from {site_id!r}, and only the store knows it: if the store is lost after a change of"
        f' base_url, every id changes (write below [site]: id = "{site_id}")'
    )


def port_warning(config: Config, port: int) -> str | None:
    """The warning that `base_url` names another port of this machine than `port`; port 0 is any port."""
    base = urlsplit(config.site.base_url)
    if not port or not is_loopback(base.hostname or "") or (base.port or 80) == port:
        return None
    return (
        f"base_url is {config.site.base_url}, but the service listens on port {port}"
        f' (write below [site]: base_url = "http://{base.hostname}:{port}/")'
    )


def open_configured(config: Config, store: Store) -> str:
    """The site id. Stores it if it is new, and the path of the config. Raises StoreMismatchError."""
    from aggregator.store.session import open_site, read_meta, write_meta

    with store.read() as connection:
        stored_path = read_meta(connection, CONFIG_KEY)
    if refusal := missing_config(config, stored_path):
        raise StoreMismatchError(refusal)
    site_id = open_site(store, config.site.id, default_site_id(config))
    path = str(config.path.absolute()) if config.path is not None else ""
    if path != stored_path:
        with store.write() as connection:
            write_meta(connection, CONFIG_KEY, path)
    return site_id


def open_for_service(config: Config, store: Store, acquire: Callable[[], None]) -> str | None:
    """Prepares the store and takes its lease with `acquire`; leaves a shared store to the process that has the lease.

    Returns the site id, or None until that process has stored one. Raises StoreError, and what `acquire` raises.
    """
    store.prepare(create=True)
    try:
        acquire()
    except StoreHeldError:
        if not store.is_shared:
            raise
        return _read_configured(config, store)
    if store.lease.was_left:
        store.check_undamaged()
    return open_configured(config, store)


def _read_configured(config: Config, store: Store) -> str | None:
    """The site id, if there is one. Writes nothing. Raises StoreMismatchError."""
    from aggregator.store.session import read_meta, read_site_id

    with store.read() as connection:
        if refusal := missing_config(config, read_meta(connection, CONFIG_KEY)):
            raise StoreMismatchError(refusal)
        return read_site_id(connection, config.site.id)


def missing_config(config: Config, stored_path: str | None) -> str | None:
    """Why the default config is refused: the store was written with a config, whose feeds would be removed.

    `stored_path` is None if the store does not know. Returns None if the config is fine.
    """
    if config.path is not None or not stored_path:
        return None
    return (
        f"the store was last written with the config {stored_path}, which was not found: with the defaults, its feeds"
        " would be removed (put it back, name it with --config, or write a new one with: aggregator init)"
    )
