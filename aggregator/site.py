"""What the config says of the site and what the store knows of it: where they differ, and what to write."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aggregator.config import Config
from aggregator.errors import StoreMismatchError

if TYPE_CHECKING:
    from aggregator.store.database import Store

CONFIG_KEY = "config"
"""Where the store keeps the path of the config that it was last written with; empty: with the defaults."""


def default_site_id(config: Config) -> str:
    """The host of `base_url`."""
    return urlsplit(config.site.base_url).hostname or "localhost"


def site_id_warning(config: Config, kept: str | None) -> str | None:
    """What to add to the config while the id that is in force is only in the store, if that is a risk.

    `kept` is the id in the store, None before the first id is made.
    """
    if config.site.id is not None:
        return None
    host = default_site_id(config)
    site_id = kept or host
    if site_id == host and not _is_loopback(host):
        return None
    place = f"{config.path}: " if config.path else ""
    return (
        f"{place}entries get their ids from {site_id!r}, which no config names: with another base_url, a lost store"
        f' would change every id (write below [site]: id = "{site_id}")'
    )


def port_warning(config: Config, port: int) -> str | None:
    """What to change when the documents name a URL of this machine that is not the one served. Port 0 is any port."""
    told = urlsplit(config.site.base_url)
    if not port or not _is_loopback(told.hostname or "") or (told.port or 80) == port:
        return None
    return (
        f"the feeds name URLs below {config.site.base_url}, but the port served is {port}"
        f' (write below [site]: base_url = "http://{told.hostname}:{port}/")'
    )


def open_configured(config: Config, store: Store) -> str:
    """The id of the site, which the store has by then, as it has the path of the config. Raises StoreMismatchError."""
    from aggregator.store.session import open_site, read_meta, write_meta

    with store.read() as connection:
        kept = read_meta(connection, CONFIG_KEY)
    if refusal := missing_config(config, kept):
        raise StoreMismatchError(refusal)
    site_id = open_site(store, config.site.id, default_site_id(config))
    if kept != (stated := str(config.path.absolute()) if config.path is not None else ""):
        with store.write() as connection:
            write_meta(connection, CONFIG_KEY, stated)
    return site_id


def missing_config(config: Config, kept: str | None) -> str | None:
    """Why the defaults may not be taken, if they are: the store was written with a config, whose feeds would go.

    `kept` is what the store says, None if it does not know.
    """
    if config.path is not None or not kept:
        return None
    return (
        f"the store was last written with the config {kept}, which was not found: with the defaults, the feeds that it"
        " names would be withdrawn (put it back, name it with --config, or write a new one with: aggregator init)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
