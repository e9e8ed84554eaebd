"""Parse: the bytes of one file -> a Record, or why there is none. Pure.

    bytes -> text -> front matter + body (front_matter) -> fields, each cleaned (clean, fields) -> Record
                                    body -> HTML, sanitised, if a feed shows it (body)

The fields and their rules are those of the field map; a key that is not mapped never becomes a value.
"""

from __future__ import annotations

import json
import posixpath
import unicodedata
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from aggregator.content import content_json
from aggregator.model import Content, Problem, Record, Rejection, Source, SourceFile
from aggregator.parse.body import render_body
from aggregator.parse.clean import xml_text
from aggregator.parse.fields import FLAGS, Fields, UnusableError
from aggregator.parse.front_matter import FrontMatterError, Limits, read_front_matter

PARSER_VERSION = "2"
"""Changes when the same bytes give another Record, so that an upgrade reads every file again."""


def parse_record(raw: bytes, file: SourceFile, source: Source, digest: bytes) -> Record | Rejection:
    """What the bytes of `file` say. A Rejection is `unfinished` when the front matter has no end; the caller knows
    whether that may still come."""
    try:
        text = _decode(raw)
        limits = Limits(source.max_depth, source.max_nodes)
        values, misses, body = read_front_matter(text, _wanted_keys(source.fields), limits)
    except FrontMatterError as error:
        problem = Problem(file.path, error.line, error.column, error.what, None, error.todo)
        return Rejection(file, digest, problem, unfinished=error.unclosed, hides=_is_flag(error.key, source))
    fields = Fields(values, dict(source.fields), file.path, source.timezone)
    for miss in misses:
        what = f"a key that nothing reads; was '{miss.meant}' meant?"
        fields.warnings.append(Problem(file.path, miss.line, miss.column, what, None, "mend its spelling", "warning"))
    try:
        public = fields.public(source.default_published)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=True)
    try:
        return _make_record(fields, body, file, source, digest, public=public)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=not public)


def _make_record(fields: Fields, body: str, file: SourceFile, source: Source, digest: bytes, *, public: bool) -> Record:
    content = _read_content(fields)
    published, expires = fields.required_date("published_at"), fields.required_date("expires_at")
    updated = fields.optional_date("updated_at")
    explicit_id = fields.explicit_id()
    quality, heat = fields.score("quality"), fields.score("heat")
    text_hash = _hash(content.title, content.summary, xml_text(body))
    stated = content_json(content)
    content_hash = _hash(stated, _stamp(published), _stamp(updated), text_hash.hex())
    placed = _place(content, file, source)
    if source.body_base is not None and (body_html := render_body(body, placed.link or source.body_base)):
        placed = replace(placed, body_html=body_html)
    visible = stated if placed is content else content_json(placed)
    return Record(
        file=file,
        digest=digest,
        explicit_id=explicit_id,
        public=public,
        content=placed,
        published=published,
        updated=updated,
        expires=expires,
        quality=quality,
        heat=heat,
        content_hash=content_hash,
        visible_hash=_hash(visible),
        selection_hash=_hash(quality, heat, public, _stamp(published), _stamp(expires)),
        text_hash=text_hash,
        warnings=tuple(fields.warnings),
    )


def _read_content(fields: Fields) -> Content:
    title = fields.text("title")
    if not title:
        raise fields.unusable("title", "no title", "add 'title: …'", value=None)
    link, original = fields.url("link"), fields.url("original_link")
    return Content(
        title=title,
        summary=fields.text("summary"),
        body_html="",
        link=link,
        original_link=original if original != link else None,
        provider=fields.provider(),
        topics=fields.topics(),
        category=fields.text("category"),
        type=fields.text("type"),
        language=fields.language(),
        images=fields.images(),
        video_url=fields.video_url(),
        related=fields.related(),
    )


def _place(content: Content, file: SourceFile, source: Source) -> Content:
    """The content with what its source adds: topics for every record, a link made from the path."""
    if source.topics:
        content = replace(content, topics=Fields.unique_topics(content.topics + source.topics))
    if source.link_template and content.link is None:
        path = quote(unicodedata.normalize("NFC", posixpath.splitext(file.path)[0]), safe="/%")
        content = replace(content, link=source.link_template.replace("{path}", path))
    return content


def _decode(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, lines ended by LF."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        cut = error.reason == "unexpected end of data"
        raise FrontMatterError(line, column, "the file is not UTF-8", "save it as UTF-8", unclosed=cut) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


@lru_cache(maxsize=32)
def _wanted_keys(fields: tuple[tuple[str, tuple[str, ...]], ...]) -> frozenset[str]:
    """The top-level keys that any field reads."""
    keys = frozenset(key for _, keys in fields for key in keys)
    return keys | {key.split(".", 1)[0] for key in keys}


def _is_flag(key: str | None, source: Source) -> bool:
    """Whether `key` is one that can hide a record."""
    return any(key in keys for field, keys in source.fields if field in FLAGS)


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _hash(*parts: str | float | bool | None) -> bytes:
    """A 16-byte digest, the same on every Python."""
    return blake2b(json.dumps(parts, ensure_ascii=True).encode(), digest_size=16).digest()
