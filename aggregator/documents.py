"""The paths of documents, and the header fields that go with them. Separate from `render`, so that a cycle with nothing
to render does not import feedgen, lxml or Jinja. Pure."""

from __future__ import annotations

from mimetypes import MimeTypes
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from aggregator.settings import FILE_NAMES, OutputOptions

FINGERPRINT = "8"
"""Raise it when documents or assets change their form: every document is rendered again."""

ALL = "all"
"""The slug of the feed with all entries."""
PAGE = "index.html"
FEED_NAMES = (*FILE_NAMES.values(), PAGE)
"""The names of the documents of a feed; each feed has at least one of them."""
FEED_LIST = "opml.xml"
SEARCH_STYLE = "assets/search.css"
"""A stylesheet without rules: pages hide the box to search. A service that can search serves `SHOWS_SEARCH` there."""
SHOWS_SEARCH = b"@media screen { form[data-search][hidden] { display: flex !important; } }\n"
ASSETS = ("assets/style.css", SEARCH_STYLE, "assets/script.js", "assets/icon.svg")
"""What the pages load."""
FEED_STYLE = "assets/feed.css"
"""The stylesheet of RSS and Atom in a browser."""
ROBOTS, SITEMAP = "robots.txt", "sitemap.xml"
OPTIONAL = frozenset((ROBOTS, SITEMAP))
"""Documents that are left out where the operator has a file of that name."""
_FEED_TYPES = {
    "rss.xml": "application/rss+xml; charset=utf-8",
    "atom.xml": "application/atom+xml; charset=utf-8",
    "feed.json": "application/feed+json",
    "opml.xml": "text/x-opml; charset=utf-8",
}
# An instance of its own has the types of the standard library, without those of the machine.
_TYPES = MimeTypes()
_TYPES.add_type("text/javascript", ".js")  # RFC 9239, as Python 3.12 has it


def feed_names(options: OutputOptions) -> list[str]:
    """The names of the documents of `render_feed`."""
    return [FILE_NAMES[form] for form in options.formats] + [PAGE] * options.pages


def feed_paths(slug: str, options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents of `render_feed`."""
    return tuple(f"{slug}/{name}" for name in feed_names(options))


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


def cache_control(max_age_s: int) -> str:
    """`Cache-Control` of documents. A shared cache (CDN) may answer with an older one for as long again while it asks
    for the next, and for a day while there is no answer (RFC 5861)."""
    return f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}, stale-if-error=86400"


def content_type(path: str) -> str:
    """The media type of a path: fixed for the names of documents, else by suffix."""
    pure = PurePosixPath(path)
    if known := _FEED_TYPES.get(pure.name):
        return known
    if is_archive_page(path) and pure.suffix == ".xml":
        return _FEED_TYPES["atom.xml"]
    guessed, encoding = _TYPES.guess_type(pure.name, strict=False)
    if guessed is None or encoding:
        return "application/octet-stream"
    # an XML file declares its own encoding, and a charset here would override it
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") and guessed != "text/xml" else guessed


def is_archive_page(path: str) -> bool:
    """True for an archive page. There may be many, and readers seldom ask for them, so they stay on disk."""
    folder, _, name = path.rpartition("/")
    return name.endswith((".xml", ".html")) and name != "index.html" and folder.rpartition("/")[2] == "archive"
