"""Which page a reference in a body means, by the rules of Hugo, Zola and Jekyll. Pure.

    reference -> Lookup: keys of pages in order of preference, or the only page with a name -> (the store) a page

The key of a page is its path from the last part to the first, with a slash after each: `posts/First Post.md` and
`posts/first-post/index.md` are `first-post/posts/`. So an index of keys finds a page by its path and by its name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from aggregator.parse.page_links import PageLink, PageLinkKind, read_target
from aggregator.paths import unescape_path
from aggregator.settings import Source
from aggregator.unicode import normal_form, xml_text

MAX_KEY = 1000
"""Characters of the longest key, because databases limit what they put into an index."""
_EXTENSION = re.compile(r"\.(?:md|mdown|markdown|html?|adoc|asciidoc|ad|org|rst|pandoc|pdc)\Z")
_LANGUAGE = re.compile(r"\.[a-z]{2}(?:[-_][a-z]{2,4})?\Z")
_INDEX = re.compile(r"(_?)index(\.[a-z]{2}(?:[-_][a-z]{2,4})?)?")


class Lookup(NamedTuple):
    """Where the page that a reference means can be, the best place first. Everything in it has one `page_name`."""

    keys: tuple[str, ...]
    names: tuple[str, ...] = ()  # if no key is that of a page: the page with this name, if it is the only one


NOWHERE = Lookup(())
"""The lookup of a reference that no record can be the target of."""


def lookup_key(path: str) -> str | None:
    """The key of the page at an escaped POSIX path; None if it is too long."""
    page = _fold(xml_text(unescape_path(path)))
    return _key(posixpath.splitext(page)[0]) if len(page) <= MAX_KEY else None


def reference_key(source: Source, path: str) -> str | None:
    """The value of `entry.lookup_key`: None if no body of the source can link to the page at an escaped path."""
    return None if source.layout == "plain" or source.body_base is None else lookup_key(path)


def page_name(key: str) -> str:
    """The part of a key that all keys of a lookup share: the name up to the first dot, which may begin a language."""
    return key.partition("/")[0].partition(".")[0]


def find_page(link: PageLink, path: str, root: str) -> Lookup:
    """Where the target of a link in the record at the escaped `path` below the folder `root` can be.

    `root` is the folder of the site or is below it (`content`, `content/posts`), so references may name the end of it.
    """
    reference = _fold(link.reference.partition("?")[0].strip())
    if not reference.strip("/") or len(reference) > MAX_KEY:
        return NOWHERE
    page = posixpath.splitext(_fold(xml_text(unescape_path(path))))[0]
    keys, names = _READERS[link.kind](reference, page, _Site(root))
    if not keys:
        return NOWHERE
    shared = page_name(keys[0])
    alike = tuple(key for key in dict.fromkeys(keys) if page_name(key) == shared)
    return Lookup(alike, tuple(name for name in names if page_name(name) == shared))


def page_lookup(target: str, path: str, root: str) -> Lookup:
    """The lookup for a target of `page_links.page_targets`."""
    link = read_target(target)
    return NOWHERE if link is None else find_page(link, path, root)


class _Site:
    """The folders of a site, as far as they are known from the folder of its records."""

    def __init__(self, root: str) -> None:
        # normal, so that the two slashes in the URL of a bucket do not matter
        self._root = posixpath.normpath(f"/{_fold(root).strip('/')}").rstrip("/")

    def from_page(self, folder: str, page: str) -> Iterator[str]:
        """The key of a page relative to a folder of the records."""
        yield from self._key_at(f"{self._root}/{folder}/{page}")

    def from_root(self, page: str) -> Iterator[str]:
        """The keys of a page relative to the records folder or, as paths of the site may be, to a folder above it."""
        folder, below = self._root, None
        while folder != below:
            yield from self._key_at(f"{folder}/{page}")
            folder, below = posixpath.dirname(folder), folder

    def _key_at(self, path: str) -> Iterator[str]:
        path = posixpath.normpath(f"/{path.lstrip('/')}")
        below = path.removeprefix(f"{self._root}/")
        if below != path and len(below) <= MAX_KEY:
            yield _key(below)


_Places = tuple[list[str], tuple[str, ...]]
"""The keys and names of a lookup."""


def _find_in_hugo(reference: str, page: str, site: _Site) -> _Places:
    """`ref` and `relref`: relative to the page, then to the content folder, then by a name that only one page has.

    The language in a reference does not count: the page in the language of the referring page is meant.
    """
    stem = _EXTENSION.sub("", reference.rstrip("/"))
    bare = _LANGUAGE.sub("", stem)
    language = _LANGUAGE.search(_key(page).partition("/")[0])
    stems = tuple(dict.fromkeys((bare + (language[0] if language else ""), bare, stem)))
    has_extension = stem != reference.rstrip("/")
    folders = [] if reference.startswith("/") else _folders_in_hugo(page, reference, has_extension=has_extension)
    keys = [key for folder in folders for target in stems for key in site.from_page(folder, target)]
    if not reference.startswith("."):
        keys += [key for target in stems for key in site.from_root(target)]
    return keys, () if "/" in reference or reference.startswith(".") else stems


def _folders_in_hugo(page: str, reference: str, *, has_extension: bool) -> list[str]:
    """The folders that a reference can start at. A bundle counts as a page of the folder above it."""
    folder, name = posixpath.split(page)
    index = _INDEX.fullmatch(name)
    if not index or index[1]:
        return [folder]
    above = posixpath.dirname(folder)
    if not has_extension:
        return [above]
    return [folder] if reference.startswith("../") else [above, folder]


def _find_post(reference: str, _page: str, site: _Site) -> _Places:
    """`post_url`: the name of a post with its date, after the folders above or below `_posts`, if it needs them."""
    folder, name = posixpath.split(reference.strip("/"))
    places = (f"_posts/{folder}/{name}", f"{folder}/_posts/{name}")
    return [key for place in places for key in site.from_root(place)], () if folder else (name,)


def _find_file(reference: str, _page: str, site: _Site) -> _Places:
    """`link` and `@/page.md`: the path of a file in the folder of the site, in Zola in the content folder."""
    return list(site.from_root(_EXTENSION.sub("", reference.removeprefix("@")))), ()


_READERS: dict[PageLinkKind, Callable[[str, str, _Site], _Places]] = {
    "hugo": _find_in_hugo,
    "zola": _find_file,
    "post": _find_post,
    "link": _find_file,
}


def _fold(path: str) -> str:
    """A path as Hugo compares paths; Zola and Jekyll are stricter."""
    return normal_form(path).lower().replace(" ", "-")


def _key(page: str) -> str:
    """The key of a path without extension. The page of a folder has the name of the folder."""
    parts = page.strip("/").split("/")
    if len(parts) > 1 and (index := _INDEX.fullmatch(parts[-1])):
        parts[-2:] = [f"{parts[-2]}{index[2] or ''}"]
    return "/".join(reversed(parts)) + "/"
