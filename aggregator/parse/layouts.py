"""What the layout of a site adds to a record: the values of cascades, what its path states, and the URL of its page.

A plain record without a link template needs none of it, so `record` imports this module only for the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aggregator.links import http_url
from aggregator.model import Content, SourceFile
from aggregator.parse import hugo
from aggregator.parse.cascade import CascadeError, PageContext, inherit_values, read_cascade
from aggregator.parse.dates import in_zone
from aggregator.parse.excerpt import has_more
from aggregator.parse.fields import Fields, unique_topics
from aggregator.parse.front_matter.values import FrontMatter, FrontMatterError, Value
from aggregator.parse.jekyll import Post, permalink_of, read_jekyll_path
from aggregator.parse.keys import CASCADE, FILE_NAME, FieldKeys
from aggregator.parse.page_path import PagePath, language_key, page_url, plain_path, site_url
from aggregator.parse.values import NeedsFullParseError
from aggregator.problems import local_time
from aggregator.settings import Source

if TYPE_CHECKING:
    from aggregator.parse.record import FileFields
    from aggregator.parse.record_body import RecordBody


def add_inherited(
    front_matter: FrontMatter, keys: FieldKeys, path: str, source: Source, context: PageContext
) -> Mapping[str, Value]:
    """The values of a page, with those of cascades: of its own one, and of those above it."""
    stated, cascades = front_matter.values.get(CASCADE), context.cascades
    if stated is not None:
        if not front_matter.has_positions:
            raise NeedsFullParseError
        language = language_key(read_path(path, source).language, source.language)
        try:
            own = read_cascade(stated, path, keys, source, own_language=language, language=language)
            cascades = (own, *cascades)
        except CascadeError as error:
            raise FrontMatterError(error.line, error.column, error.what, "correct it, as Hugo demands") from None
    if not cascades:
        return front_matter.values
    return inherit_values(front_matter.values, cascades, hugo.content_path(path, source.known_languages))


def read_path(path: str, source: Source) -> PagePath:
    """What the escaped POSIX path of a file states by the conventions of its source."""
    if source.layout == "jekyll":
        return read_jekyll_path(path, below_posts="_posts" in source.root.split(os.sep))
    if source.layout == "hugo":
        return hugo.read_hugo_path(path, *_languages(source), own_language=own_language(source))
    return plain_path(path)


def page_path(fields: Fields, file: SourceFile, source: Source, context: PageContext, *, is_toml: bool) -> PagePath:
    """What the path of a file states. Zola takes dates from names, Hugo only if its config says so; a page in TOML can
    be of either, and only Zola knows the tables `taxonomies` and `extra`."""
    if source.layout != "hugo":
        return read_path(file.path, source)
    # Hugo's `:filename` means no folders
    has_file_name = FILE_NAME in (*fields.keys_of("published_at"), *fields.keys_of("link_date"))
    return hugo.read_hugo_path(
        file.path,
        *_languages(source),
        own_language=own_language(source),
        is_zola=is_toml and fields.has_any(("taxonomies", "extra")),
        takes_date=is_toml or has_file_name,
        takes_folder_date=is_toml and not has_file_name,
        section_slugs=context.section_slugs,
        section_depth=context.section_depth,
    )


def _languages(source: Source) -> tuple[str, tuple[str, ...]]:
    """The language of the site, and those that names of files may end in."""
    return source.site_language or source.language, source.known_languages


def own_language(source: Source) -> str:
    """The language of records that state none, if it differs from the site's; else empty."""
    return source.language if source.site_language else ""


def complete(fields: Fields, stated: FileFields, path: PagePath, source: Source) -> tuple[Content, datetime | None]:
    """Content and published date, completed from path and source: title, type, language, topics, link and images."""
    published = stated.published or in_zone(path.date, source.timezone)
    if path.date and _is_dated_by_name(fields):
        published = in_zone(path.date, source.timezone)
    content = stated.content
    added: dict[str, object] = {}
    if not content.title:
        added["title"] = path.title
    if not content.type and path.section:
        added["type"] = path.section
    if not content.language and (language := path.language or own_language(source)):
        added["language"] = language.replace("_", "-")
    defaults = source.default_topics if source.default_topics and not fields.states_topics() else ()
    if path.topics or source.topics or defaults:
        added["topics"] = unique_topics((*path.topics, *content.topics, *source.topics, *defaults))
    if source.link_template and content.link is None:
        local = local_time(published, source.timezone) if published else None
        added["link"] = _page_link(fields, stated, path, local, source, source.link_template)
    if source.layout != "plain":
        link = added.get("link", content.link)
        if link:
            added["images"] = fields.images(str(link))
        added["enclosures"] = fields.enclosures(str(link) if link else None)
    if source.layout == "hugo" and published is None:
        published = stated.updated
    return content._replace(**added), published  # type: ignore[arg-type]


def _page_link(
    fields: Fields, stated: FileFields, path: PagePath, local: datetime | None, source: Source, template: str
) -> str | None:
    """The URL of the page as its site makes it; `local` is its published date in the zone of the site."""
    if source.layout == "hugo":
        return _hugo_url(fields, stated, path, template, site_url(template, source.site_url), local)
    slug = fields.text("slug")
    if source.layout == "jekyll":
        post = Post(path, slug, fields.page_categories(path.topics), local)
        return permalink_of(template, site_url(template, source.site_url), stated.path, post)
    return page_url(template, path, stated.path, slug, local)


def _hugo_url(
    fields: Fields, stated: FileFields, path: PagePath, template: str, site: str, local: datetime | None
) -> str | None:
    """The URL of a page by the rules of Hugo and Zola, on the site at the URL `site`; `local` is its published date in
    the zone of the site, for a page without a date for links."""
    local = _link_date(fields, path) or local
    named, is_title = fields.text("slug"), fields.key("slug") in fields.keys_of("title")
    slug = "" if is_title else hugo.slug_path(named)
    if not path.page or path.page.endswith("/"):
        return http_url(f"{site}/{path.page}")  # the home page, in any language
    if stated.path is not None:
        tokens = hugo.url_tokens(path, stated.content.title or path.title, slug, local)
        if url := hugo.stated_url(template, site, stated.path, path, tokens):
            return url
    is_dated = path.date is not None and (stated.published is None or _has_link_date_by_name(fields))
    if is_dated and "slug" in fields.keys_of("slug") and not slug:
        slug, is_title = path.slug, False  # a date in the file name that dates the page is not part of its URL
    if "{slug}" in template or fields.keys_of("slug") != ("slug",):  # the site has permalinks
        slug = hugo.permalink_part(named if is_title else slug, is_title=is_title) or hugo.permalink_part(path.name)
    template, path = hugo.page_in_language(template, site, path)
    return page_url(template, path, None, slug, local)


def _link_date(fields: Fields, path: PagePath) -> datetime | None:
    """The date that the URL of a page of Hugo has, if its front matter or its name states one."""
    if path.date and _has_link_date_by_name(fields):
        return path.date
    return fields.link_date() or (path.date if FILE_NAME in fields.keys_of("link_date") else None)


def _has_link_date_by_name(fields: Fields) -> bool:
    """Whether the URL has the date in the name of the file, whatever the keys say."""
    return _is_dated_by_name(fields) or fields.keys_of("link_date")[:1] == (FILE_NAME,)


def _is_dated_by_name(fields: Fields) -> bool:
    """Whether the date in the name of the file comes before all keys."""
    return fields.keys_of("published_at")[:1] == (FILE_NAME,)


def complete_summary(
    stated: str, fields: Fields, body: RecordBody, title: str, published: datetime | None, path: str, source: Source
) -> str:
    """The stated summary, else the excerpt. Hugo's `summary` gives way to a marker in the body."""
    if stated and source.layout == "hugo" and fields.key("summary") == "summary" and has_more(body.text):
        stated = ""
    return stated or body.excerpt(fields.excerpt_separator(), _known_at_start(title, published, body, path, source))


def _known_at_start(
    title: str, published: datetime | None, body: RecordBody, path: str, source: Source
) -> dict[str, Any]:
    """What templates in the start of a body can show, before the record is complete."""
    if source.layout != "jekyll" or "{{" not in body.text:
        return {"title": title}
    place = read_path(path, source)
    published = published or in_zone(place.date, source.timezone)
    return {"title": title or place.title, **({"date": local_time(published, source.timezone)} if published else {})}


def known_values(content: Content, published: datetime | None, source: Source) -> dict[str, Any]:
    """What templates in a body can show of the record."""
    if source.layout != "jekyll":
        return {"title": content.title, "description": content.summary, "summary": content.summary}
    page: dict[str, Any] = {"title": content.title}
    if published:
        page["date"] = local_time(published, source.timezone)
    if content.link and source.link_template:
        site = site_url(source.link_template, source.site_url)
        page["url"] = content.link.removeprefix(site if content.link.startswith(f"{site}/") else "")
    return page
