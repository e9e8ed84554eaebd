"""The site's id: what ids are made from until it is named in the config, and the warning while it is not."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aggregator.config import Config


def default_site_id(config: Config) -> str:
    """The host of `base_url`."""
    return urlsplit(config.site.base_url).hostname or "localhost"


def site_id_warning(config: Config, kept: str | None) -> str | None:
    """What to add to the config while the id that is in force stands only in the store, if that is a risk.

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
    """What to change when the documents name an address of this machine that is not the one served."""
    told = urlsplit(config.site.base_url)
    if not _is_loopback(told.hostname or "") or (told.port or 80) == port:
        return None
    return (
        f"the feeds name addresses below {config.site.base_url}, but the port served is {port}"
        f' (write below [site]: base_url = "http://{told.hostname}:{port}/")'
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
