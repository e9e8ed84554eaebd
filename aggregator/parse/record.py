"""The bytes of one file -> a Record, or a Rejection that says why there is none. Pure.

    bytes -> text -> front matter + body -> fields -> completed from path and source -> Record with its hashes
             front_matter/                  fields    page_path, jekyll, hugo
                             body -> safe HTML, if a feed shows it, and an excerpt as summary (record_body)

The fields and their rules are in docs/spec.md, Records. A key that is not mapped never becomes a value.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _json
from typing import Any, NamedTuple

from aggregator.links import http_url
from aggregator.model import Content, Record, Rejection, SourceFile, content_json
from aggregator.parse.bounds import MAX_SUMMARY
from aggregator.parse.cascade import NO_CONTEXT, CascadeError, PageContext, inherit_values, read_cascade
from aggregator.parse.excerpt import has_more, markdown_text
from aggregator.parse.fields import Fields, NeedsFullParseError, UnusableError, unique_topics
from aggregator.parse.front_matter import read_front_matter
from aggregator.parse.front_matter.values import AllowedKeys, FrontMatter, FrontMatterError, Limits, Value
from aggregator.parse.hugo import content_path, read_hugo_path, slug_path, stated_url, url_tokens
from aggregator.parse.jekyll import Post, post_url, read_jekyll_path
from aggregator.parse.keys import CASCADE, FILE_NAME, FLAGS, HIDING_DATES, FieldKeys, read_keys
from aggregator.parse.page_path import PagePath, language_key, page_url, path_date, plain_path, site_url
from aggregator.parse.record_body import RecordBody
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.sketch import make_sketch


def parse_record(
    raw: bytes,
    file: SourceFile,
    source: Source,
    digest: bytes,
    make_fields: Callable[..., Fields] | None = None,
    context: PageContext = NO_CONTEXT,
) -> Record | Rejection:
    """The record in the bytes of `file`, or why there is none. `context` is what the files above it say.

    A Rejection is `unfinished` if the closing fence is missing; the caller decides whether it may still come. With
    `make_fields` the fast path is not used, so every field has a position.
    """
    if make_fields is None:
        try:
            return _parse(raw, file, source, digest, Fields, context, fast=True)
        except NeedsFullParseError:
            make_fields = Fields
    return _parse(raw, file, source, digest, make_fields, context, fast=False)


def read_path(
    path: str,
    source: Source,
    *,
    is_zola: bool = False,
    takes_date: bool = False,
    takes_folder_date: bool = False,
    section_slugs: Collection[tuple[int, str]] = (),
) -> PagePath:
    """What the escaped POSIX path of a file states by the conventions of its source."""
    if source.layout == "jekyll":
        return read_jekyll_path(path, below_posts="_posts" in source.root.split(os.sep))
    if source.layout == "hugo":
        return read_hugo_path(
            path,
            source.language,
            source.known_languages,
            is_zola=is_zola,
            takes_date=takes_date,
            takes_folder_date=takes_folder_date,
            section_slugs=section_slugs,
        )
    return plain_path(path)


def _parse(
    raw: bytes,
    file: SourceFile,
    source: Source,
    digest: bytes,
    make_fields: Callable[..., Fields],
    context: PageContext,
    *,
    fast: bool,
) -> Record | Rejection:
    """The record or rejection. With `fast`, raises NeedsFullParseError if a position or spelling is needed."""
    keys = read_keys(source.fields, has_cascade=source.layout == "hugo")
    try:
        limits = Limits(source.max_depth, source.max_nodes)
        text = decode_text(raw)
        front_matter, body = _split(text, keys.allowed, limits, file.path, source, fast=fast)
        values = _inherit(front_matter, keys, file.path, source, context)
    except FrontMatterError as error:
        problem = Problem(file.path, error.line, error.column, error.what, None, error.hint)
        is_flag = any(error.key in keys.of(flag) for flag in FLAGS)
        return Rejection(file, digest, problem, unfinished=error.unclosed, hides=is_flag)

    def fields_of(given: Mapping[str, Value], make: Callable[..., Fields]) -> Fields:
        present = keys.present(tuple(given))
        positions = front_matter.has_positions
        return make(given, keys, file.path, source.timezone, source.layout, present, has_positions=positions)

    fields, misses = fields_of(values, make_fields), front_matter.near_misses
    try:
        fields.refuse_near_misses(misses, FLAGS)
        public = fields.public(source.default_published) and context.draft_section is None
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=True)
    try:
        fields.refuse_near_misses(misses, HIDING_DATES)
        fields.warn_of_near_misses(misses)
        own = None if values is front_matter.values else fields_of(front_matter.values, Fields)
        is_toml = front_matter.is_toml
        return _make_record(fields, own, text, body, file, source, digest, context, public=public, is_toml=is_toml)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=not public)


def _inherit(
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
    return inherit_values(front_matter.values, cascades, content_path(path, source.known_languages))


def _split(
    text: str, allowed: AllowedKeys, limits: Limits, path: str, source: Source, *, fast: bool
) -> tuple[FrontMatter, str]:
    """Front matter and body. Raises FrontMatterError. A post of Jekyll needs no front matter."""
    try:
        return read_front_matter(text, allowed, limits, fast=fast, dots=source.layout == "jekyll")
    except FrontMatterError as error:
        if not error.missing or source.layout != "jekyll" or read_path(path, source).date is None:
            raise
        return FrontMatter(allowed), text.strip()


class _FileFields(NamedTuple):
    """The fields as the file states them, without what its path and its source add."""

    content: Content
    published: datetime | None
    expires: datetime | None
    updated: datetime | None
    updated_place: tuple[int, int]
    path: str | None  # the stated path of the page on its site, unless it is a URL


def _make_record(
    fields: Fields,
    own: Fields | None,
    text: str,
    body_text: str,
    file: SourceFile,
    source: Source,
    digest: bytes,
    context: PageContext,
    *,
    public: bool,
    is_toml: bool,
) -> Record:
    """The record. `own` has the fields without those of cascades, if there are any: they do not identify a rename."""
    body = RecordBody(body_text, text, file.path, source, has_templates=fields.has_templates())
    stated = _read_fields(fields, body, file, source)
    content, published = stated.content, stated.published
    if source.layout != "plain" or source.topics or (source.link_template and content.link is None):
        path = fields.page_path = _page_path(fields, file, source, context, is_toml=is_toml)
        content, published = _complete(fields, stated, path, source)
        public = public and not path.hidden
    explicit_id = fields.explicit_id()
    quality, heat = fields.score("quality"), fields.score("heat")
    body_html = ""
    if source.body_base is not None:  # else no feed shows bodies
        body_html = body.render(content.link or source.body_base, _known_values(content, published, source))
    identity = stated if own is None else _read_fields(own, body, file, source)
    stored_json, content_hash, visible_hash, text_hash = _hash_content(identity, content, body.text, body_html)
    return Record(
        file=file,
        digest=digest,
        explicit_id=explicit_id,
        public=public,
        content_json=stored_json,
        body_html=body_html,
        topics=content.topics,
        published=published,
        updated=stated.updated,
        expires=stated.expires,
        quality=quality,
        heat=heat,
        content_hash=content_hash,
        visible_hash=visible_hash,
        selection_hash=_selection_hash(quality, heat, published, stated.expires, public=public),
        text_hash=text_hash,
        sketch=make_sketch(stated.content.link or stated.path, content.title, content.summary, body_text),
        warnings=(*fields.warnings, *body.warnings()),
        id_place=fields.place("id") if explicit_id is not None else (0, 0),
        updated_place=stated.updated_place,
    )


def _page_path(fields: Fields, file: SourceFile, source: Source, context: PageContext, *, is_toml: bool) -> PagePath:
    """What the path of a file states. Zola takes dates from names, Hugo only if its config says so; a page in TOML can
    be of either, and only Zola knows the tables `taxonomies` and `extra`."""
    is_zola = is_toml and fields.has_any(("taxonomies", "extra"))
    has_file_name = FILE_NAME in fields.keys_of("published_at")  # Hugo's `:filename` means no folders
    return read_path(
        file.path,
        source,
        is_zola=is_zola,
        takes_date=is_toml or has_file_name,
        takes_folder_date=is_toml and not has_file_name,
        section_slugs=context.section_slugs,
    )


def _read_fields(fields: Fields, body: RecordBody, file: SourceFile, source: Source) -> _FileFields:
    title = fields.text("title")
    if not title and source.layout == "plain":
        raise fields.unusable("title", "no title", "add 'title: …'", value=None)
    link, original, path = fields.url("link"), fields.url("original_link"), fields.stated_path()
    path_url = http_url(path) if path else None
    published, expires = fields.required_date("published_at"), fields.required_date("expires_at")
    summary = _stated_summary(fields, body, source)
    if not summary:
        known = _known_at_start(title, published, body, file.path, source)
        summary = body.excerpt(fields.excerpt_separator(), known)
    content = Content(
        title=title,
        summary=summary,
        body_html="",
        link=link or path_url,
        original_link=original if original != link else None,
        provider=fields.provider(),
        topics=fields.topics(),
        category=fields.category(),
        type=fields.text("type"),
        language=fields.language(),
        images=fields.images(),
        video_url=fields.video_url(),
        related=fields.related(),
        enclosures=fields.enclosures(quiet=source.layout != "plain"),
    )
    updated, updated_place = fields.updated()
    if published is None and path and source.layout != "jekyll":
        published = _in_zone(path_date(path), source)
    return _FileFields(content, published, expires, updated, updated_place, None if path_url else path)


def _stated_summary(fields: Fields, body: RecordBody, source: Source) -> str:
    """The stated summary. In Hugo a `summary`, which is Markdown, gives way to a marker in the body."""
    summary = fields.text("summary", MAX_SUMMARY)
    if source.layout != "hugo" or not summary or fields.key("summary") != "summary":
        return summary
    return "" if has_more(body.text) else markdown_text(summary)


def _complete(fields: Fields, stated: _FileFields, path: PagePath, source: Source) -> tuple[Content, datetime | None]:
    """Content and published date, completed from path and source: title, type, language, topics, link and images."""
    published = stated.published or _in_zone(path.date, source)
    if path.date and _is_dated_by_name(fields):
        published = _in_zone(path.date, source)
    content = stated.content
    added: dict[str, object] = {}
    if not content.title:
        added["title"] = path.title
    if not content.type and path.section:
        added["type"] = path.section
    if not content.language and path.language:
        added["language"] = path.language.replace("_", "-")
    if path.topics or source.topics:
        added["topics"] = unique_topics((*path.topics, *content.topics, *source.topics))
    if source.link_template and content.link is None:
        local = published.astimezone(source.timezone) if published else None
        added["link"] = _make_link(fields, stated, path, local, source, source.link_template)
    if source.layout != "plain":
        link = added.get("link", content.link)
        if link:
            added["images"] = fields.images(str(link))
        added["enclosures"] = fields.enclosures(str(link) if link else None)
    if source.layout == "hugo" and published is None:
        published = stated.updated
    return content._replace(**added), published  # type: ignore[arg-type]


def _make_link(
    fields: Fields, stated: _FileFields, path: PagePath, local: datetime | None, source: Source, template: str
) -> str | None:
    """The URL of the page as its site makes it; `local` is its published date in the zone of the site."""
    if source.layout == "hugo":
        return _hugo_url(fields, stated, path, template, local)
    slug = fields.text("slug")
    if source.layout == "jekyll":
        post = Post(path, fields.text("slug"), fields.page_categories(path.topics), local)
        return post_url(template, site_url(template, source.site_url), stated.path, post)
    return page_url(template, path, stated.path, slug, local)


def _hugo_url(fields: Fields, stated: _FileFields, path: PagePath, template: str, local: datetime | None) -> str | None:
    """The URL of a page by the rules of Hugo and Zola; `local` is its published date in the zone of the site."""
    slug = slug_path(fields.text("slug"))
    if not path.page or path.page.endswith("/"):
        return http_url(template[: template.index("{")] + path.page)  # the home page, in any language
    if stated.path is not None:
        tokens = url_tokens(path, stated.content.title or path.title, slug, local)
        if url := stated_url(template, stated.path, path, tokens):
            return url
    # a date in the file name that dates the page is not part of its URL
    is_dated_by_name = stated.published is None or _is_dated_by_name(fields)
    return page_url(template, path, None, slug or (path.slug if is_dated_by_name else ""), local)


def _is_dated_by_name(fields: Fields) -> bool:
    """Whether the date in the name of the file comes before all keys."""
    return fields.keys_of("published_at")[:1] == (FILE_NAME,)


def _known_at_start(
    title: str, published: datetime | None, body: RecordBody, path: str, source: Source
) -> dict[str, Any]:
    """What templates in the start of a body can show, before the record is complete."""
    if source.layout != "jekyll" or "{{" not in body.text:
        return {"title": title}
    place = read_path(path, source)
    published = published or _in_zone(place.date, source)
    return {"title": title or place.title, **({"date": published.astimezone(source.timezone)} if published else {})}


def _known_values(content: Content, published: datetime | None, source: Source) -> dict[str, Any]:
    """What templates in a body can show of the record."""
    if source.layout != "jekyll":
        return {"title": content.title, "description": content.summary, "summary": content.summary}
    page: dict[str, Any] = {"title": content.title}
    if published:
        page["date"] = published.astimezone(source.timezone)
    if content.link and source.link_template:
        site = site_url(source.link_template, source.site_url)
        page["url"] = content.link.removeprefix(site if content.link.startswith(f"{site}/") else "")
    return page


def _hash_content(stated: _FileFields, content: Content, body: str, body_html: str) -> tuple[str, bytes, bytes, bytes]:
    """The JSON of the content without its body, its content hash, visible hash and text hash (see Record)."""
    stated_json = content_json(stated.content)
    stored_json = stated_json if content == stated.content else content_json(content)
    shown_json = content_json(content._replace(body_html=body_html)) if body_html else stored_json
    stated_part = _json(stated_json)  # escaped only once: it is most of the cost of a hash
    shown_part = stated_part if shown_json == stated_json else _json(shown_json)
    text_hash = _text_hash(content, body)
    stated_text_hash = text_hash if stated.content.title == content.title else _text_hash(stated.content, body)
    content_hash = _hash(
        stated_part, _json_time(stated.published), _json_time(stated.updated), _json(stated_text_hash.hex())
    )
    return stored_json, content_hash, _hash(shown_part), text_hash


def _selection_hash(
    quality: float, heat: float, published: datetime | None, expires: datetime | None, *, public: bool
) -> bytes:
    flag = "true" if public else "false"
    return _hash(repr(quality), repr(heat), flag, _json_time(published), _json_time(expires))


def _text_hash(content: Content, body: str) -> bytes:
    return _hash(_json(content.title), _json(content.summary), _json(body))


def _hash(*parts: str) -> bytes:
    """A 16-byte digest of the JSON array of these JSON values; the same on every Python."""
    return blake2b(f"[{', '.join(parts)}]".encode(), digest_size=16).digest()


def _json_time(moment: datetime | None) -> str:
    return f'"{moment.isoformat()}"' if moment else "null"


def _in_zone(moment: datetime | None, source: Source) -> datetime | None:
    """A time without a zone, read in the source's zone."""
    return moment.replace(tzinfo=source.timezone).astimezone(UTC) if moment else None


def decode_text(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, lines that end in LF. Raises FrontMatterError."""
    try:
        text = raw.decode("utf-8-sig" if raw.startswith(BOM_UTF8) else "utf-8")  # plain utf-8 is built in, so faster
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        cut = error.reason == "unexpected end of data"
        raise FrontMatterError(line, column, "the file is not UTF-8", "save it as UTF-8", unclosed=cut) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
