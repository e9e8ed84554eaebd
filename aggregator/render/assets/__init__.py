"""What all pages load: stylesheets, a script and an icon; and the stylesheet of feeds that are opened in a browser."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files

from aggregator.documents import ASSETS, FEED_STYLE, SHOWS_SEARCH
from aggregator.model import Document

STATUS_ASSETS = ("status.css", "status.js")
_SITE_STYLE = "assets/style.css"


def render_assets(site_stylesheet: str) -> tuple[Document, ...]:
    """The documents of ASSETS; the site's own stylesheet is at the end of ours."""
    return tuple(_asset(path, site_stylesheet if path == _SITE_STYLE else "") for path in ASSETS)


def render_feed_style() -> Document:
    """The stylesheet that RSS and Atom documents name."""
    return _asset(FEED_STYLE, "")


def render_status_assets() -> tuple[Document, ...]:
    """The stylesheet and the script of the status page, which only the service has."""
    return tuple(_asset(path, "") for path in STATUS_ASSETS)


@lru_cache(maxsize=8)
def assets_version(site_stylesheet: str) -> str:
    """A digest of the assets. Pages name it, so that no cache shows a page with an old stylesheet."""
    digest = blake2b(SHOWS_SEARCH, digest_size=4)
    for asset in render_assets(site_stylesheet):
        digest.update(asset.body)
    return digest.hexdigest()


def _asset(path: str, more: str) -> Document:
    body = files(__name__).joinpath(path.rpartition("/")[2]).read_bytes()
    return Document(path, body + more.encode())
