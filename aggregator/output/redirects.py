"""Old addresses of feeds: where a redirect leads from each, and which files of the output folder go on there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from aggregator.model import Document
from aggregator.settings import FILE_NAMES, FeedSpec, Format, OutputOptions

PAGE = "index.html"
_FEED_NAMES = {"feed", "rss"}
"""Names without a suffix that blogs give to feeds; any other is that of a page."""


class Moves:
    """Where feeds were before: as the config says, and by `topics`, old slugs of topics and the slugs of their feeds.

    `folders` maps old slugs to new ones: every document of the feed was below it. `addresses` maps single old paths to
    new ones, both relative to the output folder; one that ends with a slash is that of a page.
    """

    def __init__(
        self, specs: Iterable[FeedSpec], options: OutputOptions, topics: Mapping[str, str] | None = None
    ) -> None:
        self.folders: dict[str, str] = dict(topics or {})
        self.addresses: dict[str, str] = {}
        self._old_slugs: dict[str, list[str]] = defaultdict(list)
        self._copies: dict[str, list[str]] = defaultdict(list)
        for spec in specs:
            self.folders.update(dict.fromkeys(spec.old_slugs, spec.slug))
            for old in spec.old_paths:
                self._move(spec.slug, old, options)
        for old, slug in self.folders.items():
            self._old_slugs[slug].append(old)

    def paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths of documents, and after each the old ones where its bytes go on."""
        return tuple(one for path in paths for one in (path, *self._old_paths(path)))

    def documents(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents, and after each the same bytes at its old paths: what is there names its new address."""
        for document in documents:
            yield document
            for path in self._old_paths(document.path):
                yield replace(document, path=path)

    def _old_paths(self, path: str) -> Iterator[str]:
        slug, _, name = path.partition("/")
        for old in self._old_slugs.get(slug, ()):
            yield f"{old}/{name}"
        yield from self._copies.get(path, ())

    def _move(self, slug: str, old: str, options: OutputOptions) -> None:
        told = told_format(old)
        new = _path(slug, told, options)
        if told is None:
            plain = plain_path(old)
            page = plain if plain.endswith((".html", ".htm")) else f"{plain}/{PAGE}"
            self.addresses.update(dict.fromkeys({plain, page, page.removesuffix(PAGE)}, new))
            if options.pages:
                self._copies[f"{slug}/{PAGE}"].append(page)
        else:
            self.addresses.update(dict.fromkeys({old, old.rstrip("/")}, new))
            if "." in old.rpartition("/")[2]:  # what has no suffix was a folder, and a folder's file would be a page
                self._copies[new].append(old)


def told_format(old: str) -> Format | None:
    """The format of the document at an old path, as its name tells; None for a page."""
    name = old.rstrip("/").rpartition("/")[2].lower()
    if name.endswith(".json"):
        return "json"
    if name.endswith((".html", ".htm")):
        return None
    if "atom" in name:
        return "atom"
    return "rss" if "." in name or name in _FEED_NAMES else None


def plain_path(old: str) -> str:
    """One spelling for an old path and for the page that it may name: `a/`, `a/index.html` and `a` are `a`."""
    return old.removesuffix(f"/{PAGE}").rstrip("/")


def _path(slug: str, told: Format | None, options: OutputOptions) -> str:
    """The new path: that of the format that was asked for or, where there is none, of the first there is."""
    if told is None and options.pages:
        return f"{slug}/"
    published = [form for form in FILE_NAMES if form in options.formats]
    return f"{slug}/{FILE_NAMES[told if told in published else published[0]]}"
