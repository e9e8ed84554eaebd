"""Entries as bytes of each format, cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from aggregator.errors import RenderError
from aggregator.model import Entry, Feed
from aggregator.render import atom, jsonfeed, rss
from aggregator.render.articles import render_line
from aggregator.render.cache import EntryCache
from aggregator.render.content import Scope, titled_entry
from aggregator.render.markup import SharedMarkup, shared_markup
from aggregator.settings import Format, OutputOptions, Site

Kind = Format | Literal["line"]
"""A format, or a line in a list of a page."""
CACHE_BYTES = 40_000_000
_RENDERERS: dict[Format, Callable[[Entry, Scope, SharedMarkup], bytes]] = {
    "rss": rss.render_entry,
    "atom": atom.render_entry,
    "json": jsonfeed.render_entry,
}


def scope_of(heading: Feed, site: Site) -> Scope:
    """What the entries of a feed are rendered with."""
    return Scope(site.base_url, heading.language, heading.full, site.language, site.timezone)


def page_kinds(options: OutputOptions) -> tuple[Kind, ...]:
    """What an archive page has of each entry. To be rendered together: an entry that is rendered twice costs twice."""
    return ("atom", "line") if options.pages else ("atom",)


def render_columns(entries: Sequence[Entry], scope: Scope, forms: tuple[Kind, ...]) -> list[list[bytes]]:
    """For each format, the entries. Raises RenderError."""
    rows = [_CACHE.get(entry, scope, forms) for entry in entries]
    return [[row[form] for row in rows] for form in forms]


def _render_entry(entry: Entry, scope: Scope, forms: Sequence[Kind]) -> dict[Kind, bytes]:
    entry = titled_entry(entry)
    if not entry.id:
        raise RenderError(f"an entry without an id cannot be written: {entry.content.title!r}")
    try:
        made: dict[Kind, bytes] = {"line": render_line(entry, scope).encode()} if "line" in forms else {}
        if formats := [form for form in forms if form != "line"]:
            shared = shared_markup(entry)
            made.update((form, _RENDERERS[form](entry, scope, shared)) for form in formats)
        return made
    except ValueError as error:
        raise RenderError(f"entry {entry.id} cannot be written: {error}") from error


_CACHE = EntryCache(_render_entry, CACHE_BYTES)
