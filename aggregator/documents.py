"""The paths of documents. Separate from `render`, so that a cycle with nothing to render does not import feedgen, lxml
or Jinja. Pure."""

from __future__ import annotations

from aggregator.settings import FILE_NAMES, OutputOptions

FINGERPRINT = "3"
"""Raise it when documents change their form: every document is rendered again."""

ALL = "all"
"""The slug of the feed with all entries."""
PAGE = "index.html"
FEED_LIST = "opml.xml"
ASSETS = ("assets/style.css", "assets/script.js", "assets/icon.svg")
"""What the pages load."""
FEED_STYLE = "assets/feed.css"
"""The stylesheet of RSS and Atom in a browser."""
ROBOTS, SITEMAP = "robots.txt", "sitemap.xml"


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


def index_paths(options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents of `render_index`."""
    feeds = (FEED_LIST, FEED_STYLE)
    return (*feeds, PAGE, *ASSETS, ROBOTS, SITEMAP) if options.pages else feeds
