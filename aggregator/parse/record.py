"""The bytes of one file -> a Record, or a Rejection that says why there is none. Pure.

    bytes -> text -> front matter + body -> fields -> completed from path and source -> Record with its hashes
             front_matter/                  fields    page_path, jekyll, hugo
                             body -> safe HTML, if a feed shows it (body); an excerpt as summary (excerpt)

The fields and their rules are in docs/spec.md, Records. A key that is not mapped never becomes a value.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _json
from typing import NamedTuple

from aggregator.links import http_url
from aggregator.model import Content, Record, Rejection, SourceFile, content_json
from aggregator.parse.bounds import MAX_SUMMARY
from aggregator.parse.excerpt import excerpt_text, without_template_tags
from aggregator.parse.fields import Fields, NeedsFullParseError, UnusableError, unique_topics
from aggregator.parse.front_matter import read_front_matter
from aggregator.parse.front_matter.values import FrontMatterError, Limits
from aggregator.parse.hugo import read_hugo_path
from aggregator.parse.jekyll import read_jekyll_path
from aggregator.parse.keys import FLAGS, HIDING_DATES, read_keys
from aggregator.parse.page_path import PagePath, page_url, path_date, plain_path
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.sketch import make_sketch
from aggregator.unicode import xml_text


def parse_record(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, make_fields: Callable[..., Fields] | None = None
) -> Record | Rejection:
    """The record in the bytes of `file`, or why there is none.

    A Rejection is `unfinished` if the closing fence is missing; the caller decides whether it may still come. With
    `make_fields` the fast path is not used, so every field has a position.
    """
    if make_fields is None:
        try:
            return _parse(raw, file, source, digest, Fields, fast=True)
        except NeedsFullParseError:
            make_fields = Fields
    return _parse(raw, file, source, digest, make_fields, fast=False)


def read_path(path: str, source: Source) -> PagePath:
    """What the escaped POSIX path of a file states by the conventions of its source."""
    if source.layout == "jekyll":
        return read_jekyll_path(path, below_posts=os.path.basename(source.root.rstrip(os.sep)) == "_posts")
    return read_hugo_path(path, source.language) if source.layout == "hugo" else plain_path(path)


def _parse(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, make_fields: Callable[..., Fields], *, fast: bool
) -> Record | Rejection:
    """The record or rejection. With `fast`, raises NeedsFullParseError if a position or spelling is needed."""
    keys = read_keys(source.fields)
    try:
        limits = Limits(source.max_depth, source.max_nodes)
        front_matter, body = read_front_matter(_decode(raw), keys.allowed, limits, fast=fast)
    except FrontMatterError as error:
        problem = Problem(file.path, error.line, error.column, error.what, None, error.hint)
        is_flag = any(error.key in keys.of(flag) for flag in FLAGS)
        return Rejection(file, digest, problem, unfinished=error.unclosed, hides=is_flag)
    fields = make_fields(
        front_matter.values,
        keys,
        file.path,
        source.timezone,
        source.layout,
        keys.present(tuple(front_matter.values)),
        has_positions=front_matter.has_positions,
    )
    misses = front_matter.near_misses
    try:
        fields.refuse_near_misses(misses, FLAGS)
        public = fields.public(source.default_published)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=True)
    try:
        fields.refuse_near_misses(misses, HIDING_DATES)
        fields.warn_of_near_misses(misses)
        return _make_record(fields, body, file, source, digest, public=public)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=not public)


class _FileFields(NamedTuple):
    """The fields as the file states them, without what its path and its source add."""

    content: Content
    published: datetime | None
    expires: datetime | None
    updated: datetime | None
    updated_place: tuple[int, int]
    path: str | None  # the stated path of the page on its site, unless it is a URL


def _make_record(fields: Fields, body: str, file: SourceFile, source: Source, digest: bytes, *, public: bool) -> Record:
    stated = _read_fields(fields, body, source)
    content, published = stated.content, stated.published
    if source.layout != "plain" or source.topics or (source.link_template and content.link is None):
        path = read_path(file.path, source)
        content, published = _complete(fields, stated, path, source)
        public = public and not path.hidden
    explicit_id = fields.explicit_id()
    quality, heat = fields.score("quality"), fields.score("heat")
    body_html = _render_body(body, content, source)
    stored_json, content_hash, visible_hash, text_hash = _hash_content(stated, content, body, body_html)
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
        selection_hash=_hash(
            repr(quality), repr(heat), "true" if public else "false", _json_time(published), _json_time(stated.expires)
        ),
        text_hash=text_hash,
        sketch=make_sketch(stated.content.link or stated.path, content.title, content.summary, body),
        warnings=tuple(fields.warnings),
        id_place=fields.place("id") if explicit_id is not None else (0, 0),
        updated_place=stated.updated_place,
    )


def _read_fields(fields: Fields, body: str, source: Source) -> _FileFields:
    title = fields.text("title")
    if not title and source.layout == "plain":
        raise fields.unusable("title", "no title", "add 'title: …'", value=None)
    link, original, path = fields.url("link"), fields.url("original_link"), fields.stated_path()
    path_url = http_url(path) if path else None
    content = Content(
        title=title,
        summary=fields.text("summary", MAX_SUMMARY) or excerpt_text(body, source.layout, fields.excerpt_separator()),
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
    published, expires = fields.required_date("published_at"), fields.required_date("expires_at")
    updated, updated_place = fields.updated()
    if published is None and path:
        published = _in_zone(path_date(path), source)
    return _FileFields(content, published, expires, updated, updated_place, None if path_url else path)


def _complete(fields: Fields, stated: _FileFields, path: PagePath, source: Source) -> tuple[Content, datetime | None]:
    """Content and published date, completed from path and source: title, language, topics, link and images."""
    published = stated.published or _in_zone(path.date, source)
    content = stated.content
    added: dict[str, object] = {}
    if not content.title:
        added["title"] = path.title
    if not content.language and path.language:
        added["language"] = path.language.replace("_", "-")
    if path.topics or source.topics:
        added["topics"] = unique_topics((*path.topics, *content.topics, *source.topics))
    if source.link_template and content.link is None:
        # in Hugo and Zola, a date in the file name that dates the page is not part of its URL
        is_dated_by_name = source.layout == "hugo" and stated.published is None
        slug = fields.text("slug") or (path.slug if is_dated_by_name else "")
        local = published.astimezone(source.timezone) if published else None
        added["link"] = page_url(source.link_template, path, stated.path, slug, local)
    if source.layout != "plain":
        link = added.get("link", content.link)
        if link:
            added["images"] = fields.images(str(link))
        added["enclosures"] = fields.enclosures(str(link) if link else None)
    if source.layout == "hugo" and published is None:
        published = stated.updated
    return content._replace(**added), published  # type: ignore[arg-type]


def _render_body(body: str, content: Content, source: Source) -> str:
    """The body as safe HTML; empty if no feed shows bodies."""
    if source.body_base is None:
        return ""
    from aggregator.parse.body import render_body  # slow to import

    return render_body(without_template_tags(body, source.layout), content.link or source.body_base)


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


def _text_hash(content: Content, body: str) -> bytes:
    return _hash(_json(content.title), _json(content.summary), _json(xml_text(body)))


def _hash(*parts: str) -> bytes:
    """A 16-byte digest of the JSON array of these JSON values; the same on every Python."""
    return blake2b(f"[{', '.join(parts)}]".encode(), digest_size=16).digest()


def _json_time(moment: datetime | None) -> str:
    return f'"{moment.isoformat()}"' if moment else "null"


def _in_zone(moment: datetime | None, source: Source) -> datetime | None:
    """A time without a zone, read in the source's zone."""
    return moment.replace(tzinfo=source.timezone).astimezone(UTC) if moment else None


def _decode(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, with lines that end in LF."""
    try:
        text = raw.decode("utf-8-sig" if raw.startswith(BOM_UTF8) else "utf-8")  # plain utf-8 is built in, so faster
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        cut = error.reason == "unexpected end of data"
        raise FrontMatterError(line, column, "the file is not UTF-8", "save it as UTF-8", unclosed=cut) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
