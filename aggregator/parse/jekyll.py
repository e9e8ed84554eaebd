"""Jekyll: the paths of posts, such as `[category/]_posts/2026-05-20-a-title.md`, and their URLs (permalinks)."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

from aggregator.links import http_url
from aggregator.parse.dates import format_time
from aggregator.parse.page_path import PLACEHOLDER, PagePath, split_url, text_of_name
from aggregator.settings import DATE_PLACEHOLDERS

_DATED_NAME = re.compile(r"([0-9]{2,4})-([0-9]{1,2})-([0-9]{1,2})-(.*)", re.DOTALL)
_EXCLUDED = ("Gemfile", "gemfiles", "node_modules", "vendor/bundle/", "vendor/cache/", "vendor/gems/", "vendor/ruby/")
"""Starts of the paths that Jekyll leaves out of a site by default."""
UNREAD_ENDINGS = (".textile", ".adoc", ".asciidoc", ".ad", ".org", ".rst")
"""Of posts in formats that plugins of Jekyll read, and that are not read here."""
_PRETTY = "._~!$&'()+,;=@"
"""Characters besides letters and digits that a title in a URL keeps."""
_SAFE = "/!$&'()*+,:;=?@~"
"""Characters of a value that Jekyll does not escape in a URL."""
_PERMALINK_KEY = re.compile(r":([a-z_]+)")


class Post(NamedTuple):
    """What the URL of a post is made of."""

    path: PagePath
    slug: str  # as the record states it; empty: that of the path
    categories: tuple[str, ...]
    published: datetime | None  # in the time zone of the site


def read_jekyll_path(path: str, *, below_posts: bool = False) -> PagePath:
    """What the escaped POSIX path of a file states: folders above `_posts` are categories.

    Hidden are drafts, files in `_posts` without a date in their name, and what Jekyll leaves out of every site: names
    that begin with `_`, `.`, `#` or `~`, or end in `~` or `.`, and the folders of its libraries. `below_posts`: the
    records folder itself is in a `_posts` folder.
    """
    page = posixpath.splitext(path)[0]
    *folders, name = page.split("/")
    day, slug = _split_name(name) if page != path else (None, name)  # Jekyll wants an extension
    above = page.split("_posts", 1)[0] if "_posts" in folders else ""
    is_hidden = (
        (day is None and (below_posts or "_posts" in folders))
        or any(part != "_posts" and (part[0] in "_.#~" or part[-1] in "~.") for part in path.split("/"))
        or (not below_posts and path.startswith(_EXCLUDED))
    )
    topics = tuple(text_of_name(folder) for folder in above.split("/") if folder)
    page = (page.replace("_posts", "", 1) if "_posts" in folders else page).strip("/").rstrip(".")
    title = " ".join(word.capitalize() for word in text_of_name(slug).split("-") if word)
    return PagePath(page, slug, title, day, topics, hidden=is_hidden)


def slugify(text: str, kept: str = "") -> str:
    """The text in lower case with a hyphen for whatever is no letter, mark or digit, nor in `kept`.

    The letters of a text with `kept` keep their case.
    """
    parts = (char if _is_word(char) or char in kept else "\0" for char in text)
    slug = re.sub("\0+", "-", "".join(parts)).removeprefix("-").removesuffix("-")
    return slug if kept else _lower(slug)


def permalink_of(template: str, site_url: str, stated: str | None, post: Post) -> str | None:
    """The URL of a post by the permalink that it states, relative to the site, else by a link template.

    None if a date is needed and there is none, or if a permalink has an unknown key.
    """
    site, path = (site_url, f"/{stated}") if stated else split_url(template)
    parts = (_PERMALINK_KEY if stated else PLACEHOLDER).split(path)
    values = [_value(name, post) for name in parts[1::2]]
    if None in values:
        return None
    parts[1::2] = [quote(value or "", safe=_SAFE) for value in values]
    path = "".join(parts).replace("..", "/").replace("./", "")
    return http_url(site + re.sub("//+", "/", path))


def _value(name: str, post: Post) -> str | None:
    """The value of a key of a permalink; None if it is unknown or has none."""
    if name.endswith("_"):  # `:year_:month`
        value = _value(name[:-1], post)
        return None if value is None else f"{value}_"
    if name in DATE_PLACEHOLDERS:
        return format_time(post.published, DATE_PLACEHOLDERS[name]) if post.published else None
    make = _VALUES.get(name)
    return make(post) if make else None


def _slug(post: Post) -> str:
    return post.slug or text_of_name(post.path.slug)


_VALUES: Mapping[str, Callable[[Post], str]] = {
    "categories": lambda post: _joined(map(_lower, post.categories)),
    "collection": lambda _post: "posts",
    "name": lambda post: slugify(text_of_name(posixpath.basename(post.path.page))),
    "output_ext": lambda _post: ".html",
    "path": lambda post: text_of_name(post.path.page),
    "slug": lambda post: slugify(_slug(post)),
    "slugified_categories": lambda post: _joined(map(slugify, post.categories)),
    "title": lambda post: slugify(_slug(post), _PRETTY),
}


def _lower(text: str) -> str:
    """The text in lower case as Ruby has it: without a final sigma."""
    return text.lower() if text.isascii() else "".join(map(str.lower, text))


def _joined(categories: Iterable[str]) -> str:
    return "/".join(dict.fromkeys(categories))


def _split_name(name: str) -> tuple[datetime | None, str]:
    """The date at the start of a name, and the slug after it."""
    match = _DATED_NAME.fullmatch(name)
    day = _day(match) if match else None
    return day, (match[4] if match and day else name).rstrip(".")


def _day(match: re.Match[str]) -> datetime | None:
    """The date of a name. As in Ruby, 26 is 2026 and 69 is 1969, and February 30 is March 2."""
    year, month, day = map(int, match.group(1, 2, 3))
    if len(match[1]) == 2:
        year += 1900 if year >= 69 else 2000
    try:
        first = datetime(year, month, 1)  # noqa: DTZ001 - the zone of the site comes later
        return first + timedelta(day - 1) if 1 <= day <= 31 else None
    except (ValueError, OverflowError):
        return None


def _is_word(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LM" or category == "Nd"
