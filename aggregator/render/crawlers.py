"""What search engines read: robots.txt and the sitemap (https://www.sitemaps.org/protocol.html)."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from aggregator.documents import ROBOTS, SITEMAP
from aggregator.model import Document, FeedSummary
from aggregator.render import xml
from aggregator.settings import Site

_NAMESPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
MAX_URLS = 50_000
"""A sitemap may have no more."""


def render_robots(site: Site) -> Document:
    """All pages may be read, but not searches, which are without end."""
    path = urlsplit(site.base_url).path
    lines = (
        "User-agent: *",
        f"Disallow: {path}search$",
        f"Disallow: {path}search?",
        f"Disallow: {path}search/",
        f"Sitemap: {site.base_url}{SITEMAP}",
        "",
    )
    return Document(ROBOTS, "\n".join(lines).encode())


def render_sitemap(feeds: tuple[FeedSummary, ...], site: Site) -> Document:
    """The home page and the page of each feed. Without dates, so that it changes only with the list of feeds."""
    return _render_paths(("", *(f"{feed.slug}/" for feed in feeds[: MAX_URLS - 1])), site)


@lru_cache(maxsize=1)
def _render_paths(paths: tuple[str, ...], site: Site) -> Document:
    root = xml.element(f"{_NAMESPACE}urlset", nsmap={None: _NAMESPACE[1:-1]})
    for path in paths:
        xml.element(f"{_NAMESPACE}loc", xml.element(f"{_NAMESPACE}url", root), f"{site.base_url}{path}")
    return Document(SITEMAP, xml.document_bytes(root))
