"""The path of a file as the path of its page: names with dates, titles from names, and link templates."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from aggregator.links import http_url
from aggregator.parse.dates import format_time
from aggregator.paths import unescape_path
from aggregator.settings import DATE_PLACEHOLDERS
from aggregator.unicode import normal_form, xml_text

_DATED_NAME = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[-_ ](.+))?", re.DOTALL)
_DATED_PATH = re.compile(r"(?:^|/)([0-9]{4})[/-]([0-9]{1,2})[/-]([0-9]{1,2})(?=[/_ -]|$)")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_COMPLETE = ("/", ".html", ".htm")
"""Endings of a stated path that is complete."""
_SAFE = "/%!$&'()*+,;=@~"


@dataclass(frozen=True, slots=True)
class PagePath:
    """What the path of a file states."""

    page: str  # without extension
    slug: str  # the last part, without its date
    title: str = ""
    date: datetime | None = None  # midnight, without a zone
    topics: tuple[str, ...] = ()
    language: str = ""
    hidden: bool = False  # a draft, or a list of pages
    section: str = ""  # the first folder of a page of Hugo, which is the type of its pages
    name: str = ""  # of Hugo: the text of the last part as the file has it
    sections: str = ""  # of Hugo: the folder of the section of the page, as a path of a URL, without slugs of sections


def plain_path(path: str) -> PagePath:
    """What the escaped POSIX path of a file states without the conventions of a site generator: only its page."""
    page = posixpath.splitext(path)[0]
    return PagePath(page, posixpath.basename(page))


def split_dated_name(name: str) -> tuple[datetime | None, str]:
    """The date at the start of a name such as `2026-05-20-a-title`, and the slug after it."""
    match = _DATED_NAME.fullmatch(name)
    day = _midnight(match) if match else None
    return day, match[4] or name if match and day else name


def path_date(path: str) -> datetime | None:
    """The first date in a path: `2026/05/20/title` or `2026-05-20-title/x`."""
    return next(filter(None, map(_midnight, _DATED_PATH.finditer(path))), None)


def title_from_slug(slug: str) -> str:
    """The words of an escaped slug, each with a capital letter: in Hugo and Zola, the title of a page without one."""
    words = re.split("[-_ ]+", text_of_name(slug))
    return " ".join(word[:1].upper() + word[1:] for word in words if word)


def text_of_name(name: str) -> str:
    """The text of an escaped name."""
    return xml_text(unescape_path(name))


def language_key(language: str, site_language: str) -> str:
    """The language of a page in lower case; without one, that of its site."""
    return (language or site_language).replace("_", "-").lower()


def page_url(template: str, path: PagePath, stated: str | None, slug: str, published: datetime | None) -> str | None:
    """The URL of a page from a link template; None if the template has a date and the page has none, or it is no URL.

    A path that the record states replaces the first placeholder. The rest of the template follows it only if it has no
    other placeholder and the stated path is not complete. `published` is in the site's time zone.
    """
    if stated is not None:
        first, *more = PLACEHOLDER.finditer(template)
        tail = "" if more or stated.endswith(_COMPLETE) else template[first.end() :]
        return http_url(template[: first.start()] + quote_path(stated.lstrip("/")) + tail)
    values = {
        "path": posixpath.join(posixpath.dirname(path.page), slug.strip("/")) if slug else path.page,
        "slug": slug.strip("/") or path.slug,
    }
    if published is not None:
        values |= {name: format_time(published, form) for name, form in DATE_PLACEHOLDERS.items() if name in template}
    if any(match[1] not in values for match in PLACEHOLDER.finditer(template)):
        return None
    return http_url(PLACEHOLDER.sub(lambda match: quote_path(values[match[1]]), template))


def split_url(url: str) -> tuple[str, str]:
    """Scheme and host of an absolute URL, and the rest."""
    end = len("/".join(url.split("/", 3)[:3]))
    return url[:end], url[end:]


def site_url(template: str, stated: str | None) -> str:
    """The URL of the site, without a slash at its end: as the config states it, else the folder in the link template
    that has no placeholder."""
    return (stated or template.partition("{")[0].rpartition("/")[0]).rstrip("/")


def _midnight(match: re.Match[str]) -> datetime | None:
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3]))  # noqa: DTZ001 - the zone of the site comes later
    except ValueError:
        return None


def quote_path(path: str) -> str:
    """A path with what a URL cannot hold as `%XX`; what is escaped already stays."""
    return quote(normal_form(path), safe=_SAFE)
