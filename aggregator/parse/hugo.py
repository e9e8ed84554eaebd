"""Hugo and Zola: which files are pages, and the paths of pages such as `posts/a-title.de.md` and `posts/a/index.md`.
docs/spec.md#index-files, docs/spec.md#paths-of-pages."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from aggregator.links import http_url
from aggregator.parse.page_path import (
    PagePath,
    language_key,
    path_date,
    quote_path,
    split_dated_name,
    text_of_name,
    title_from_slug,
)
from aggregator.unicode import normal_form

UNREAD_ENDINGS = (".org", ".adoc", ".asciidoc", ".ad", ".rst", ".pandoc", ".pdc")
"""Of Hugo's pages in formats that are not read here."""
_EXTENSIONS = frozenset(("md", "mdown", "markdown", "html", "htm", *(ending[1:] for ending in UNREAD_ENDINGS)))
"""Of the files that Hugo reads as pages, in lower case."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9./_+~@-]*")
"""Paths in which only the case changes."""
_SIGNS = frozenset("./\\_#+~@-")
"""What Hugo leaves in the path of a page, besides letters, marks and digits."""
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_TOKEN = re.compile(r":([a-z]+)")


INDEX_INITIALS = "_iI"
"""Characters that the names of index files can begin with."""


class IndexName(NamedTuple):
    """What the name of an index file says."""

    is_section: bool  # `_index`: its page is a list of pages; else `index`, the page of a leaf bundle
    language: str  # in lower case; empty: that of the site


def read_index_name(name: str, languages: Collection[str]) -> IndexName | None:
    """What the name of a file says, if it is an index file: `index.md`, `_index.de.md`, `_index.html`."""
    if name[0] not in INDEX_INITIALS:
        return None
    stem, *between, extension = name.lower().split(".") if "." in name else (name, "")
    if stem not in ("index", "_index") or extension not in _EXTENSIONS or len(between) > 1:
        return None
    language = between[0] if between else ""
    if language and language not in map(str.lower, languages):
        return None
    return IndexName(stem == "_index", language)


def file_language(path: str, languages: Collection[str]) -> str:
    """The language that the name of a file ends in, as written; empty if it is none of `languages`."""
    name = path.rpartition("/")[2]
    if name.count(".") < 2:
        return ""
    name, dot, ending = posixpath.splitext(name)[0].rpartition(".")
    return ending if dot and name and ending.lower() in map(str.lower, languages) else ""


def read_hugo_path(
    path: str,
    site_language: str,
    languages: Collection[str],
    *,
    own_language: str = "",
    is_zola: bool = False,
    takes_date: bool = False,
    takes_folder_date: bool = False,
    section_slugs: Collection[tuple[int, str]] = (),
    section_depth: int = 1,
) -> PagePath:
    """What the escaped POSIX path of a file states: its language, and `index` as the page of its folder.

    A name's ending is a language only if `languages` has it. Other files are in `own_language`, or without one in the
    site's. URLs of pages in another language than the site's begin with it.
    `takes_date`: the page has the date in its name, which is not part of its URL. `takes_folder_date`: it has the date
    in its folders, which stays in its URL. `section_slugs` are the names of folders in URLs, by their depth from 1;
    `section_depth` is the depth of the section of the page.
    """
    language = file_language(path, languages)
    stem, is_section = _page_stem(path, language)
    language, name = language or own_language, posixpath.basename(stem)
    section = text_of_name(stem.partition("/")[0]) if "/" in stem else ""
    day, slug = split_dated_name(name) if takes_date else (None, name)
    if takes_folder_date and not is_zola:
        day = day or path_date(stem)
    if is_zola:
        stem = posixpath.join(posixpath.dirname(stem), slug)
    base_name = text_of_name(slug)
    page, slug = (url_path(text, is_zola=is_zola) for text in (text_of_name(stem), base_name))
    base_name = slug if is_zola else text_of_name(name)
    sections = "/".join(page.split("/")[:-1][:section_depth])
    if section_slugs:
        parts, names = page.split("/"), dict(section_slugs)
        page = "/".join([*(names.get(depth, part) for depth, part in enumerate(parts[:-1], 1)), parts[-1]])
    if language_key(language, site_language) != language_key("", site_language):
        page = posixpath.join(language.lower(), page)
    title = title_from_slug(split_dated_name(name or "index")[1])
    # Hugo ignores names and folders that begin with `#` or end in `~`
    is_hidden = is_section or any(part[0] == "#" or part[-1] == "~" for part in path.split("/"))
    return PagePath(page, slug, title, day, (), language, is_hidden, section, base_name, sections)


def content_path(path: str, languages: Collection[str]) -> str:
    """The path of a page as Hugo matches it with the targets of cascades: `/posts/my-second-post`; of an `_index` file
    that of its folder."""
    stem, _ = _page_stem(path, file_language(path, languages))
    return "/" + text_of_name(stem).replace(" ", "-").lower()


def _page_stem(path: str, language: str) -> tuple[str, bool]:
    """The path of a file, whose name ends in the language, as that of its page: without extension and language, of an
    index file the folder; and whether that is a section."""
    folder, name = posixpath.split(posixpath.splitext(path)[0].removesuffix(f".{language}" if language else ""))
    is_index = name.lower() in ("index", "_index")
    return folder if is_index else posixpath.join(folder, name), name.lower() == "_index"


def url_path(text: str, *, is_zola: bool = False) -> str:
    """A path as part of a URL: as Hugo's `urlize` makes it, or Zola's `slugify`.

    Hugo keeps letters, marks, digits and some signs, and makes hyphens of spaces, letters in lower case. Zola makes
    a hyphen of whatever is no ASCII letter or digit.
    """
    if is_zola:
        plain = normal_form(text.replace("ß", "ss"), "NFKD").encode("ascii", "ignore").decode().lower()
        return "/".join(filter(None, (re.sub("[^a-z0-9]+", "-", part).strip("-") for part in plain.split("/"))))
    text = text.replace(" ", "-")
    if _PLAIN_PATH.fullmatch(text):
        return text.lower()
    return _quote(_sanitize(text))


def _quote(path: str) -> str:
    """A sanitized path, quoted before others do it, because Hugo keeps the normal form of names."""
    return quote("/".join(filter(None, path.split("/"))), safe="/%#\\+~@")


def _sanitize(text: str) -> str:
    """A text as Hugo writes it in paths: letters in lower case, and hyphens for spaces."""
    kept: list[str] = []
    is_space = False
    for index, char in enumerate(text):
        if char in _SIGNS or unicodedata.category(char)[0] in "LM" or unicodedata.category(char) == "Nd":
            is_kept = True
        else:
            is_kept = char == "%" and _ESCAPE.match(text, index) is not None
        if is_kept:
            if is_space and char != "-":
                kept.append("-")
            is_space = False
            kept.append(char.lower()[0])  # letter by letter, as Go does
        elif char.isspace() and kept and kept[-1] != "-":
            is_space = True
    return "".join(kept)


def slug_path(slug: str) -> str:
    """The slug that front matter states, as part of a URL."""
    return _sanitize(slug.strip("-")).strip("/") if set(slug) - {".", "/"} else ""


def permalink_part(text: str, *, is_title: bool = False) -> str:
    """A slug, a title or a name in the permalinks of a config: a token that Hugo cleans again with the path."""
    return _quote(_sanitize(f"/{_token(text, is_title=is_title)}"))


def _token(text: str, *, is_title: bool = False) -> str:
    """The value of a token. In Hugo, `+` is a blank, a lone `#` at the end goes, and a slash in a title is a hyphen."""
    text = _sanitize(re.sub(r"[/\\]", "-", text) if is_title else text)
    if text.find("#") == len(text) - 1:
        text = text[:-1]
    return text.replace("+", " ")


def page_in_language(template: str, site: str, path: PagePath) -> tuple[str, PagePath]:
    """The link template of the pages in the language of a page, which are in a folder of the site at the URL `site`,
    and its path there."""
    language = _language_folder(path)
    if not language or not template.startswith(f"{site}/"):
        return template, path
    return f"{site}/{language}{template.removeprefix(site)}", replace(path, page=path.page[len(language) + 1 :])


def _language_folder(path: PagePath) -> str:
    """The language that the path of a page begins with, if it does."""
    language = path.language.lower()
    return language if language and path.page.startswith(f"{language}/") else ""


def stated_url(template: str, site: str, stated: str, path: PagePath, tokens: Mapping[str, str]) -> str | None:
    """The URL of a page whose front matter states the path `stated`, below the URL `site`; the link template has the
    end of URLs. Hugo's tokens in the path, such as `:slug`, have the values `tokens`; None if one is unknown."""
    names = _TOKEN.findall(stated)
    if any(name not in tokens for name in names):
        return None
    url = _TOKEN.sub(lambda match: tokens[match[1]], stated)
    parts = [part for part in posixpath.normpath(f"/{url.strip()}").split("/") if part]
    has_end = url.endswith("/") or not parts
    if parts and parts[-1] == "index.html" and not has_end:
        parts, has_end = parts[:-1], True
    language = _language_folder(path)
    if language and not stated.startswith("/") and parts[:1] != [language]:
        parts.insert(0, language)
    *_, tail = template.rpartition("}")
    is_only_one = template.count("{") == 1
    end = "" if not has_end and "." in url else "/" if has_end or not is_only_one else tail
    return http_url(f"{site}/{quote_path('/'.join(parts))}{end if parts else ''}")


def url_tokens(path: PagePath, title: str, slug: str, local: datetime | None) -> dict[str, str]:
    """The values of the tokens that a `url` in front matter can have. `slug` is what `slug_path` gives."""
    name, title, slug = _token(path.name), _token(title, is_title=True), _token(slug)
    tokens = {
        "section": path.sections.partition("/")[0],
        "sections": path.sections,
        "title": title,
        "slug": slug or title,
        "filename": name,
        "contentbasename": name,
        "slugorfilename": slug or name,
        "slugorcontentbasename": slug or name,
    }
    if local is not None:
        tokens |= {
            "year": f"{local:%Y}",
            "month": f"{local:%m}",
            "monthname": f"{local:%B}",
            "day": f"{local:%d}",
            "weekday": f"{local:%w}",
            "weekdayname": f"{local:%A}",
            "yearday": str(local.timetuple().tm_yday),
        }
    return tokens
