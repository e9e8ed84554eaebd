"""The bytes of one file -> a Record, or a Rejection that says why there is none. Pure.

    bytes -> text -> front matter + body -> fields -> completed from path and source -> Record with its hashes
             front_matter/                  fields    layouts
                             body -> safe HTML, if a feed shows it, and an excerpt as summary (record_body)

The fields and their rules are in docs/spec.md, Records. A key that is not mapped never becomes a value.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _json
from typing import NamedTuple

from aggregator.links import http_url
from aggregator.model import Content, Record, Rejection, SourceFile, content_json
from aggregator.parse.cascade import NO_CONTEXT, PageContext
from aggregator.parse.dates import in_zone
from aggregator.parse.field_bounds import MAX_SUMMARY
from aggregator.parse.fields import Fields, UnusableError
from aggregator.parse.front_matter import read_front_matter
from aggregator.parse.front_matter.values import AllowedKeys, FrontMatter, FrontMatterError, Limits, Value
from aggregator.parse.keys import CASCADE, FLAGS, HIDING_DATES, read_keys
from aggregator.parse.page_path import path_date
from aggregator.parse.record_body import RecordBody
from aggregator.parse.values import NeedsFullParseError
from aggregator.problems import Problem, place_of_byte
from aggregator.settings import Source
from aggregator.sketch import make_sketch


class _Given(NamedTuple):
    """What a record is made from, besides its text."""

    file: SourceFile
    source: Source
    digest: bytes
    context: PageContext  # what the files above it say


def parse_record(
    raw: bytes,
    file: SourceFile,
    source: Source,
    digest: bytes,
    context: PageContext = NO_CONTEXT,
    *,
    with_positions: bool = False,
    make_fields: Callable[..., Fields] = Fields,
) -> Record | Rejection:
    """The record in the bytes of `file`, or why there is none. `context` is what the files above it say.

    A Rejection is `unfinished` if the closing fence is missing; the caller decides whether it may still come. The fast
    path is not used `with_positions`, so every field has one.
    """
    given = _Given(file, source, digest, context)
    if not with_positions:
        with suppress(NeedsFullParseError):
            return _parse(raw, given, make_fields, fast=True)
    return _parse(raw, given, make_fields, fast=False)


def _parse(raw: bytes, given: _Given, make_fields: Callable[..., Fields], *, fast: bool) -> Record | Rejection:
    """The record or rejection. With `fast`, raises NeedsFullParseError if a position or spelling is needed."""
    file, source, digest, context = given
    keys = read_keys(source.fields, source.other_keys, has_cascade=source.layout == "hugo")
    try:
        text = decode_text(raw)
        front_matter, body = _split(text, keys.allowed, file.path, source, fast=fast)
        values: Mapping[str, Value] = front_matter.values
        if CASCADE in values or context.cascades:
            from aggregator.parse.layouts import add_inherited

            values = add_inherited(front_matter, keys, file.path, source, context)
    except FrontMatterError as error:
        problem = Problem(file.path, error.line, error.column, error.what, None, error.hint)
        is_flag = any(error.key in keys.of(flag) for flag in FLAGS)
        return Rejection(file, digest, problem, unfinished=error.unclosed, hides=is_flag)

    def fields_of(stated: Mapping[str, Value], make: Callable[..., Fields]) -> Fields:
        present = keys.present(tuple(stated))
        positions = front_matter.has_positions
        return make(stated, keys, file.path, source.timezone, source.layout, present, has_positions=positions)

    fields, misses = fields_of(values, make_fields), front_matter.near_misses
    try:
        if misses:
            fields.refuse_near_misses(misses, FLAGS)
        public = fields.public(source.default_published) and context.draft_section is None
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=True)
    try:
        if misses:
            fields.refuse_near_misses(misses, HIDING_DATES)
            fields.warn_of_near_misses(misses)
        own = None if values is front_matter.values else fields_of(front_matter.values, Fields)
        record = _make_record(fields, own, text, body, given, public=public, is_toml=front_matter.is_toml)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=not public)
    if front_matter.others and record.published is None:
        return record._replace(unread=keys.unread(front_matter.others, record.topics))
    return record


def _split(text: str, allowed: AllowedKeys, path: str, source: Source, *, fast: bool) -> tuple[FrontMatter, str]:
    """Front matter and body. Raises FrontMatterError. A post of Jekyll needs no front matter."""
    try:
        limits = Limits(source.max_depth, source.max_nodes)
        return read_front_matter(text, allowed, limits, fast=fast, dots=source.layout == "jekyll")
    except FrontMatterError as error:
        if not error.missing or source.layout != "jekyll":
            raise
        from aggregator.parse.layouts import read_path

        if read_path(path, source).date is None:
            raise
        return FrontMatter(allowed), text.strip()


class FileFields(NamedTuple):
    """The fields as the file states them, without what its path and its source add."""

    content: Content
    published: datetime | None
    expires: datetime | None
    updated: datetime | None
    updated_place: tuple[int, int]
    path: str | None  # the stated path of the page on its site, unless it is a URL


def _make_record(
    fields: Fields, own: Fields | None, text: str, body_text: str, given: _Given, *, public: bool, is_toml: bool
) -> Record:
    """The record. `own` has the fields without those of cascades, if there are any: they do not identify a rename."""
    file, source, digest, context = given
    body = RecordBody(body_text, text, file.path, source, has_templates=fields.has_templates())
    stated = _read_fields(fields, body, file, source)
    content, published = stated.content, stated.published
    if _is_completed(content, source):
        from aggregator.parse.layouts import complete, page_path

        path = fields.page_path = page_path(fields, file, source, context, is_toml=is_toml)
        content, published = complete(fields, stated, path, source)
        public = public and not path.hidden
    text_hash = _text_hash(content, body.text)  # before a summary is made from the body, which is in the hash itself
    if source.layout == "plain" and not content.link and not content.summary and body.text.strip():
        content = content._replace(summary=body.excerpt(None, {}))
    explicit_id = fields.explicit_id()
    quality, heat = fields.score("quality"), fields.score("heat")
    body_html = _render_body(body, content, published, source)
    identity = stated if own is None else _read_fields(own, body, file, source)
    identity_text = text_hash
    if identity.content.title != content.title:
        identity_text = _text_hash(identity.content, body.text)
    stored_json, content_hash, visible_hash = _hash_content(identity, identity_text, content, body_html)
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
        story_times=fields.story_times,
    )


def _is_completed(content: Content, source: Source) -> bool:
    """Whether the path of a record or its source can add anything to its fields."""
    needs_link = source.link_template and content.link is None
    has_topics = source.topics or source.default_topics
    return bool(source.layout != "plain" or has_topics or source.site_language or needs_link)


def _render_body(body: RecordBody, content: Content, published: datetime | None, source: Source) -> str:
    """The body as safe HTML; empty if no feed shows bodies."""
    if source.body_base is None:
        return ""
    from aggregator.parse.layouts import known_values

    return body.render(content.link or source.body_base, known_values(content, published, source))


def _read_fields(fields: Fields, body: RecordBody, file: SourceFile, source: Source) -> FileFields:
    title = fields.text("title")
    if not title and source.layout == "plain":
        key = next(iter(fields.keys_of("title")), "title")
        raise fields.unusable("title", "no title", f"add '{key}: …'", value=None)
    link, original, path = fields.url("link"), fields.url("original_link"), fields.stated_path()
    path_url = http_url(path) if path else None
    published, expires = fields.required_date("published_at"), fields.required_date("expires_at")
    summary = fields.text("summary", MAX_SUMMARY)
    if source.layout != "plain":
        from aggregator.parse.layouts import complete_summary

        summary = complete_summary(summary, fields, body, title, published, file.path, source)
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
        published = in_zone(path_date(path), source.timezone)
    return FileFields(content, published, expires, updated, updated_place, None if path_url else path)


def _hash_content(stated: FileFields, stated_text: bytes, content: Content, body_html: str) -> tuple[str, bytes, bytes]:
    """The JSON of the content without its body, its content hash and visible hash (see Record). `stated_text`: the text
    hash of what the file states."""
    stated_json = content_json(stated.content)
    stored_json = stated_json if content == stated.content else content_json(content)
    shown_json = content_json(content._replace(body_html=body_html)) if body_html else stored_json
    stated_part = _json(stated_json)  # escaped only once: it is most of the cost of a hash
    shown_part = stated_part if shown_json == stated_json else _json(shown_json)
    content_hash = _hash(
        stated_part, _json_time(stated.published), _json_time(stated.updated), _json(stated_text.hex())
    )
    return stored_json, content_hash, _hash(shown_part)


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


def decode_text(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, lines that end in LF. Raises FrontMatterError."""
    try:
        text = raw.decode("utf-8-sig" if raw.startswith(BOM_UTF8) else "utf-8")  # plain utf-8 is built in, so faster
    except UnicodeDecodeError as error:
        line, column = place_of_byte(raw, error.start)
        cut = error.reason == "unexpected end of data"
        raise FrontMatterError(line, column, "the file is not UTF-8", "save it as UTF-8", unclosed=cut) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
