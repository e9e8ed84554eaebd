"""The paths of documents. Separate from `render`, so that a cycle with nothing to render does not import feedgen, lxml
or Jinja. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from aggregator.settings import FILE_NAMES, OutputOptions

FINGERPRINT = "4"
"""Raise it when documents or assets change their form: every document is rendered again."""

ALL = "all"
"""The slug of the feed with all entries."""
PAGE = "index.html"
FEED_LIST = "opml.xml"
ASSETS = ("assets/style.css", "assets/script.js", "assets/icon.svg")
"""What the pages load."""
FEED_STYLE = "assets/feed.css"
"""The stylesheet of RSS and Atom in a browser."""
ROBOTS, SITEMAP = "robots.txt", "sitemap.xml"
OPTIONAL = frozenset((ROBOTS, SITEMAP))
"""Documents that are left out where the operator has a file of that name."""


def feed_paths(slug: str, options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents of `render_feed`."""
    names = [FILE_NAMES[form] for form in options.formats] + [PAGE] * options.pages
    return tuple(f"{slug}/{name}" for name in names)


def archive_path(slug: str, number: int) -> str:
    """The path of the Atom document of an archive page."""
    return f"{slug}/archive/{number:04}.xml"


def archive_paths(slug: str, number: int, options: OutputOptions, *, is_newest: bool) -> tuple[str, ...]:
    """The paths of the documents of `render_archive_page`. The newest page is also the start of the archive."""
    path = archive_path(slug, number)
    if not options.pages:
        return (path,)
    html = f"{path.removesuffix('.xml')}.html"
    return (path, html, f"{slug}/archive/{PAGE}") if is_newest else (path, html)


def content_security_policy(icon: str, options: OutputOptions) -> str:
    """What a page may load: our own assets, the icon, and the entries' media unless `output.remote_media` is off."""
    parts = urlsplit(icon)
    own = f"'self' {parts.scheme}://{parts.netloc}" if parts.netloc else "'self'"
    media = "img-src 'self' http: https: data:; media-src http: https:" if options.remote_media else f"img-src {own}"
    return f"default-src 'none'; {media}; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'"


def index_paths(options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents of `render_index`."""
    feeds = (FEED_LIST, FEED_STYLE)
    return (*feeds, PAGE, *ASSETS, ROBOTS, SITEMAP) if options.pages else feeds
