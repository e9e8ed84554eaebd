"""The URLs of the pages of sections on a site of Hugo: what permalinks and the sections' `_index` files say.

https://gohugo.io/configuration/permalinks/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from aggregator.moving_in.site_files import page_values, shown_file
from aggregator.parse.front_matter.values import AllowedKeys
from aggregator.parse.hugo import content_path, read_hugo_path, read_index_name, slug_path, url_tokens

_KEYS = AllowedKeys(("title", "slug", "url", "outputs", "draft", "expiryDate", "unpublishDate", "build", "_build"))
_TOKEN = re.compile(r":([a-z]+)")
_GLOB = frozenset("*?[{")


class SectionPage(NamedTuple):
    """What the `_index` file of a section states, keys in lower case, and its name for people; both are empty if there
    is no such file."""

    values: Mapping[str, Any]
    file: str = ""

    def text(self, key: str) -> str:
        """The value of a key if it is text; else empty."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""


def read_section_page(
    root: Path, files: Collection[str], section: str, language: str, languages: Sequence[str]
) -> SectionPage:
    """The page of a section in a language. `files` are the files in that language, by their paths below `root`."""
    for path in files:
        folder, _, name = path.rpartition("/")
        index = read_index_name(name, languages) if folder == section else None
        if index is not None and index.is_section and (index.language or language) == language:
            values = page_values(root / path, _KEYS)
            return SectionPage({key.lower(): value for key, value in values.items()}, shown_file(root / path))
    return SectionPage({})


def find_pattern(patterns: Mapping[str, Any], folder: str) -> str:
    """The key of the permalinks for what is in a folder, the longest one; empty if there is none. `/` is the root."""
    return max((key for key in patterns if _is_in_folder(folder, key)), key=len, default="")


def _is_in_folder(folder: str, key: str) -> bool:
    """Whether a key of permalinks names a folder or one above it; the key `/` is the folder with the empty name."""
    wanted = key.strip("/").lower()
    if not wanted or not folder:
        return not wanted and not folder
    spelled = content_path(f"{folder}/index.md", ()).lstrip("/")
    return any(f"{known}/".startswith(f"{wanted}/") for known in (folder.lower(), spelled))


def is_expression(key: str) -> bool:
    """Whether a key of permalinks names folders by an expression."""
    return not _GLOB.isdisjoint(key)


def section_url(section: str, page: SectionPage, pattern: str, prefix: str, *, has_plural_titles: bool) -> str | None:
    """The URL of the page of a section below the URL of the site, with a slash at its end unless it is empty; not
    quoted. None if it has parts that are unknown here, or if it is a file. `pattern` is its permalink; `prefix`, of
    its language, begins the URL unless the page states another one."""
    path = read_hugo_path(f"{section}/_index.md", "", ())
    title, slug = page.text("title"), slug_path(page.text("slug"))
    if not title and (not has_plural_titles or re.search("[^su]s$", section)):
        title = path.title  # else Hugo makes a plural, by a list of English words
    tokens = url_tokens(replace(path, section=path.page, sections=path.page), title, slug, None)
    tokens = {name: value for name, value in tokens.items() if value and "filename" not in name}
    stated = page.text("url") or pattern
    if not stated:
        return f"{prefix}{unquote(slug or path.page)}/"
    if any(name not in tokens for name in _TOKEN.findall(stated)):
        return None
    url = unquote(_TOKEN.sub(lambda match: tokens[match[1]], stated))
    parts = [part for part in url.split("/") if part]
    if parts and "." in parts[-1] and not url.endswith("/"):
        return None
    above = "" if page.text("url").startswith("/") else prefix
    return above + "".join(f"{part}/" for part in parts)
