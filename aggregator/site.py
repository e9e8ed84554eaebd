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
    place = config.path or "config/aggregator.toml"
    return (
        f"{place}: entries get their ids from {site_id!r}, which the config does not name; a lost store would change"
        f' every id (add below [site]: id = "{site_id}")'
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
