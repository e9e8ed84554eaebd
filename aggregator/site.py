"""Where config and store differ about the site: its id, and the config that the store was written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aggregator.config import Config
from aggregator.config.sample import SAMPLE_ID
from aggregator.errors import StoreError, StoreHeldError, StoreMismatchError
from aggregator.links import is_loopback, server_url
from aggregator.problems import Problem

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store

CONFIG_KEY, TABLES_KEY = "config", "config_tables"
"""The keys of `meta` with the path of the last config, empty for the defaults, and with the names of its tables."""


def default_site_id(config: Config) -> str:
    """The host of `base_url`."""
    return urlsplit(config.site.base_url).hostname or "localhost"


def site_id_warning(config: Config, stored_id: str | None) -> str | None:
    """The warning that only the store has the site id, or that it is the id of the sample, with the line to write into
    the config; None if there is no risk.

    `stored_id` is None before the first id is minted.
    """
    host, place = default_site_id(config), f"{config.path}: " if config.path else ""
    if config.site.id is not None:
        is_of_sample = config.site.id == SAMPLE_ID and stored_id is None
        if not is_of_sample or host == SAMPLE_ID or is_loopback(host):
            return None
        return (
            f"{place}the site id is that of the sample, {SAMPLE_ID!r}, which other sites may have too"
            f' (before the first build, write below [site]: id = "{host}")'
        )
    site_id = stored_id or host
    if site_id == host and not is_loopback(host):
        return None
    if stored_id is None:
        own = "write an id of your own below [site]" if config.path else "aggregator init writes a config with an id"
        return (
            f"{place}there is no site.id, so all ids would be made from {host!r}, as on other machines (before the"
            f" first build: {own})"
        )
    return (
        f"{place}all ids are made from {site_id!r}, and only the store knows it: if the store is lost after a change of"
        f' base_url, every id changes (write below [site]: id = "{site_id}")'
    )


def loopback_warning(config: Config) -> str | None:
    """The warning that `base_url` leads to this machine only, while the service listens for others."""
    if is_loopback(config.serve.host) or not is_loopback(urlsplit(config.site.base_url).hostname or ""):
        return None
    return (
        f"base_url {config.site.base_url!r} leads to this machine only, but the service listens on"
        f" {config.serve.host} (write below [site] the base_url under which readers find the feeds)"
    )


def port_warning(config: Config, port: int) -> str | None:
    """The warning that `base_url` names another port of this machine than `port`; port 0 is any port. With https it
    names a proxy, because the service has no TLS. None if `loopback_warning` says more."""
    base = urlsplit(config.site.base_url)
    host, named = base.hostname or "", base.port or 80
    is_fine = not port or base.scheme == "https" or not is_loopback(host) or named == port
    if is_fine or loopback_warning(config):
        return None
    right = server_url(host, port).removesuffix("/") + base.path
    return (
        f"base_url is {config.site.base_url}, but the service listens on port {port}"
        f' (write below [site]: base_url = "{right}", or let it listen on port {named})'
    )


def stored_site(connection: Connection) -> dict[str, str]:
    """What the store knows of the site: its id, and the path and the tables of the last config."""
    from aggregator.store.session import read_meta

    facts = {key: read_meta(connection, key) for key in ("site_id", CONFIG_KEY, TABLES_KEY)}
    return {key: value for key, value in facts.items() if value is not None}


def require_match(config: Config, connection: Connection) -> str | None:
    """The site id, if the store has one. Raises StoreMismatchError if the store contradicts the config."""
    from aggregator.store.files import dropped_sources
    from aggregator.store.session import read_site_id

    if refusal := lost_config(config, stored_site(connection)):
        raise StoreMismatchError(refusal)
    site_id = read_site_id(connection, config.site.id)
    dropped_sources(connection, config.sources)
    return site_id


def open_configured(config: Config, store: Store) -> str:
    """The site id. Stores it if it is new, and what the store knows of the config. Raises StoreMismatchError."""
    from aggregator.store.session import open_site, write_meta

    with store.read() as connection:
        stored = stored_site(connection)
        require_match(config, connection)
    site_id = open_site(store, config.site.id, default_site_id(config))
    path = str(config.path.absolute()) if config.path is not None else ""
    for key, value in ((CONFIG_KEY, path), (TABLES_KEY, ", ".join(config.stated_tables))):
        if value != stored.get(key):
            with store.write() as connection:
                write_meta(connection, key, value)
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
        return check_configured(config, store)
    try:
        if store.lease.was_left:
            store.check_undamaged()
        return open_configured(config, store)
    except StoreError:
        store.lease.give_back()  # or this process would keep all others, and itself, from leading
        raise


def check_configured(config: Config, store: Store) -> str | None:
    """Does what `require_match` does. Writes nothing."""
    with store.read() as connection:
        return require_match(config, connection)


def mismatch_problem(config: Config, error: StoreMismatchError) -> Problem:
    """The problem of the config that the store contradicts it."""
    path = str(config.path or "")
    return Problem(path, 0, 0, str(error).removeprefix(f"{path}: "))


def lost_config(config: Config, stored: Mapping[str, str]) -> str | None:
    """Why a config without a file or without tables is refused: the last config had tables, and what they say would be
    lost, feeds too. None if the config is fine. `stored`: see `stored_site`.
    """
    if config.path is None and stored.get(CONFIG_KEY):
        return (
            f"the store was last written with the config {stored[CONFIG_KEY]}, which was not found: with the defaults,"
            " its feeds would be removed (put it back, name it with --config, or write a new one with: aggregator init)"
        )
    if config.path is not None and not config.stated_tables and stored.get(TABLES_KEY):
        return (
            f"{config.path}: the config is empty, and the last one had the tables {stored[TABLES_KEY]}: with the"
            " defaults, its feeds would change or end (put it back; or, to use the defaults, write into it: [site])"
        )
    return None
