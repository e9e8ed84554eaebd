"""Which documents there are and where: all of `render` that a cycle needs which renders nothing, so without its
libraries. Pure."""

from __future__ import annotations

from aggregator.settings import FILE_NAMES, OutputOptions

FINGERPRINT = "2"
"""The version of the shape of the output: a new one has every document written again."""

ALL = "all"
"""The slug of the feed of everything."""
PAGE = "index.html"
FEED_LIST = "opml.xml"


def feed_paths(slug: str, options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents that `render_feed` makes."""
    names = [FILE_NAMES[form] for form in options.formats] + [PAGE] * options.pages
    return tuple(f"{slug}/{name}" for name in names)


def archive_path(slug: str, number: int) -> str:
    """The path of the document that `render_archive_page` makes."""
    return f"{slug}/archive/{number:04}.xml"


def index_paths(options: OutputOptions) -> tuple[str, ...]:
    """The paths of the documents that `render_index` makes."""
    return (FEED_LIST, PAGE) if options.pages else (FEED_LIST,)
