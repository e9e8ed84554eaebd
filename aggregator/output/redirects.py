"""Old URLs of feeds: their redirects, and the copies of documents at old paths. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from aggregator.model import Document
from aggregator.settings import FILE_NAMES, FeedSpec, Format, OutputOptions

PAGE = "index.html"
_FEED_NAMES = {"feed", "rss"}
"""Names without a suffix that blogs use for feeds. Any other name is a page."""


class Redirects:
    """The old URLs of the feeds in the config, and of topics: `topics` maps old slugs to new ones.

    `slugs` maps old slugs to new ones: all documents of the feed were below the old one. `urls` maps single old paths
    to new ones, relative to the output folder; the path of a page ends with a slash.
    """

    def __init__(
        self, specs: Iterable[FeedSpec], options: OutputOptions, topics: Mapping[str, str] | None = None
    ) -> None:
        self.slugs: dict[str, str] = dict(topics or {})
        self.urls: dict[str, str] = {}
        self._old_slugs: dict[str, list[str]] = defaultdict(list)
        self._copies: dict[str, list[str]] = defaultdict(list)
        for spec in specs:
            self.slugs.update(dict.fromkeys(spec.old_slugs, spec.slug))
            for old in spec.old_paths:
                self._add_path(spec.slug, old, options)
        for old, slug in self.slugs.items():
            self._old_slugs[slug].append(old)

    def paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths, each followed by the old paths that get a copy."""
        return tuple(path for new in paths for path in (new, *self._old_paths(new)))

    def location(self, path: str) -> str:
        """Where the document of a copy is now, as a path without index.html; empty if the path is no copy."""
        slug, slash, name = path.partition("/")
        moved = f"{self.slugs[slug]}/{name}" if slash and slug in self.slugs else self.urls.get(path, "")
        return moved.removesuffix(PAGE)

    def documents(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents, each followed by copies at its old paths. A copy names the new URL."""
        for document in documents:
            yield document
            for path in self._old_paths(document.path):
                body = document.body
                if path.endswith((".html", ".htm")) and (deeper := path.count("/") - document.path.count("/")):
                    body = _moved_links(body, deeper)
                yield replace(document, path=path, body=body)

    def _old_paths(self, path: str) -> Iterator[str]:
        slug, _, name = path.partition("/")
        for old in self._old_slugs.get(slug, ()):
            yield f"{old}/{name}"
        yield from self._copies.get(path, ())

    def _add_path(self, slug: str, old: str, options: OutputOptions) -> None:
        old_format = format_of_path(old)
        new = _new_path(slug, old_format, options)
        self.urls.update(dict.fromkeys(old_urls(old), new))
        if old_format is None:
            if options.pages:
                self._copies[f"{slug}/{PAGE}"].append(_page_path(old))
        elif "." in old.rpartition("/")[2]:  # else it was a folder, and a copy would be served as a page
            self._copies[new].append(old)


def _moved_links(page: bytes, deeper: int) -> bytes:
    """A page with the links upwards, such as to its stylesheet, that it needs `deeper` levels below its place."""
    up = b"../" * (1 + deeper) if deeper > 0 else b"./"
    return page.replace(b' href="../', b' href="' + up).replace(b' src="../', b' src="' + up)


def format_of_path(old: str) -> Format | None:
    """The format that the name of an old path suggests; None for a page."""
    name = old.rstrip("/").rpartition("/")[2].lower()
    if name.endswith(".json"):
        return "json"
    if name.endswith((".html", ".htm")):
        return None
    if "atom" in name:
        return "atom"
    return "rss" if "." in name or name in _FEED_NAMES else None


def old_urls(old: str) -> set[str]:
    """The URLs of an old path, relative to the output folder: every spelling that readers may have."""
    if format_of_path(old) is not None:
        return {old, old.rstrip("/")}
    page = _page_path(old)
    return {plain_path(old), page, page.removesuffix(PAGE)}


def _page_path(old: str) -> str:
    """The path of the file of an old page."""
    plain = plain_path(old)
    return plain if plain.endswith((".html", ".htm")) else f"{plain}/{PAGE}"


def plain_path(old: str) -> str:
    """One spelling for an old path and for the page that it may name: `a/`, `a/index.html` and `a` are `a`."""
    return old.removesuffix(f"/{PAGE}").rstrip("/")


def _new_path(slug: str, wanted: Format | None, options: OutputOptions) -> str:
    """The new path in the wanted format, or in the first published format."""
    if wanted is None and options.pages:
        return f"{slug}/"
    return f"{slug}/{FILE_NAMES[options.published_format(wanted or 'rss')]}"
