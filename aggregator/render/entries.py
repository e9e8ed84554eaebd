"""Entries as bytes of each format, cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aggregator.errors import RenderError
from aggregator.model import Entry, Feed
from aggregator.render import atom, jsonfeed, rss
from aggregator.render.cache import EntryCache
from aggregator.render.content import Scope
from aggregator.render.markup import SharedMarkup, shared_markup
from aggregator.render.xml_safe import xml_safe_entry
from aggregator.settings import Format, Site

CACHE_BYTES = 40_000_000
_RENDERERS: dict[Format, Callable[[Entry, Scope, SharedMarkup], bytes]] = {
    "rss": rss.render_entry,
    "atom": atom.render_entry,
    "json": jsonfeed.render_entry,
}


def scope_of(heading: Feed, site: Site) -> Scope:
    """What the entries of a feed are rendered with."""
    return Scope(site.base_url, heading.language, heading.full)


def render_row(entry: Entry, scope: Scope, forms: Sequence[Format]) -> Mapping[Format, bytes]:
    """The entry in each format. Raises RenderError."""
    return _CACHE.get(entry, scope, forms)


def render_columns(entries: Sequence[Entry], scope: Scope, forms: tuple[Format, ...]) -> list[list[bytes]]:
    """For each format, the entries. Raises RenderError."""
    rows = [_CACHE.get(entry, scope, forms) for entry in entries]
    return [[row[form] for row in rows] for form in forms]


def _render_entry(entry: Entry, scope: Scope, forms: Sequence[Format]) -> dict[Format, bytes]:
    entry = xml_safe_entry(entry)
    if not entry.id:
        raise RenderError(f"an entry without an id cannot be written: {entry.content.title!r}")
    try:
        shared = shared_markup(entry)
        return {form: _RENDERERS[form](entry, scope, shared) for form in forms}
    except ValueError as error:
        raise RenderError(f"entry {entry.id} cannot be written: {error}") from error


_CACHE = EntryCache(_render_entry, CACHE_BYTES)
