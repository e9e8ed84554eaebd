"""Parse: the bytes of one file -> a Record, or why there is none. Pure.

    bytes -> text -> front matter + body (front_matter) -> fields, each cleaned (clean, fields) -> Record
                     bare_yaml, yaml_matter, toml_matter, json_matter
    path, start of the body -> what a system says there (layout, excerpt)
                       body -> HTML, sanitised, if a feed shows it (body)

The fields and their rules are those of the field map; a key that is not mapped never becomes a value.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from aggregator.content import content_json, json_text
from aggregator.model import Content, Record, Rejection, SourceFile
from aggregator.parse.bounds import MAX_SUMMARY
from aggregator.parse.clean import http_url, xml_text
from aggregator.parse.conventions import Place, page_address, path_date, read_place
from aggregator.parse.excerpt import excerpt_text, without_tags
from aggregator.parse.fields import Fields, InDoubtError, UnusableError
from aggregator.parse.front_matter import read_front_matter
from aggregator.parse.front_matter.values import FrontMatterError, Limits
from aggregator.parse.keys import DATES, FLAGS, PLUS, read_keys
from aggregator.problems import Problem
from aggregator.settings import Source
from aggregator.sketch import make_sketch


def parse_record(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, make_fields: Callable[..., Fields] | None = None
) -> Record | Rejection:
    """What the bytes of `file` say. A Rejection is `unfinished` when the front matter has no end; the caller knows
    whether that may still come. Places are known to `make_fields`, if it is given."""
    if make_fields is None:
        try:
            return _parse(raw, file, source, digest, Fields, bare=True)
        except InDoubtError:
            make_fields = Fields
    return _parse(raw, file, source, digest, make_fields, bare=False)


def _parse(
    raw: bytes, file: SourceFile, source: Source, digest: bytes, make_fields: Callable[..., Fields], *, bare: bool
) -> Record | Rejection:
    """What the bytes of `file` say; with `bare`, InDoubtError if that cannot be told from bare values."""
    keys, wanted = read_keys(source.fields)
    limits = Limits(source.max_depth, source.max_nodes)
    try:
        text = _decode(raw)
        matter, body = read_front_matter(text, wanted, limits, bare=bare)
    except FrontMatterError as error:
        problem = Problem(file.path, error.line, error.column, error.what, None, error.todo)
        return Rejection(file, digest, problem, unfinished=error.unclosed, hides=_is_flag(error.key, keys))
    present = _present(source.fields, tuple(matter.values))
    fields = make_fields(
        matter.values, keys, wanted, file.path, source.timezone, source.layout, present, bare=matter.bare
    )
    misses = matter.misses
    try:
        if misses:
            fields.judge_misses(misses, FLAGS)
        public = fields.public(source.default_published)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=True)
    try:
        if misses:
            fields.judge_misses(misses, DATES)
            fields.warn_of_misses(misses)
        return _make_record(fields, body, file, source, digest, public=public)
    except UnusableError as error:
        return Rejection(file, digest, error.problem, hides=not public)


def _make_record(fields: Fields, body: str, file: SourceFile, source: Source, digest: bytes, *, public: bool) -> Record:
    stated = _read_stated(fields, body, source)
    published, content, hidden = stated.published, stated.content, False
    if source.layout != "plain" or source.topics or (source.link_template and content.link is None):
        place = read_place(file.path, source.layout, source.language)
        published, content = _add_place(fields, stated, place, source)
        hidden = place.hidden
    explicit_id = fields.explicit_id()
    quality, heat = fields.score("quality"), fields.score("heat")
    public = public and not hidden
    texts = f"{json_text(content.summary)}, {json_text(xml_text(body))}"
    text_hash = _hash(json_text(content.title), texts)
    stated_hash = text_hash if stated.content.title else _hash('""', texts)
    stated_json = content_json(stated.content)
    stored_json = shown_json = stated_json if content is stated.content else content_json(content)
    if source.body_base is not None:
        from aggregator.parse.body import render_body  # its expressions take long to compile

        body_html = render_body(without_tags(body, source.layout), content.link or source.body_base)
        if body_html:
            content = content._replace(body_html=body_html)
            shown_json = content_json(content)
    stated_part, stated_stamp = json_text(stated_json), _stamp(stated.published)
    published_stamp = stated_stamp if published is stated.published else _stamp(published)
    return Record(
        file=file,
        digest=digest,
        explicit_id=explicit_id,
        public=public,
        content=content,
        content_json=stored_json,
        published=published,
        updated=stated.updated,
        expires=stated.expires,
        quality=quality,
        heat=heat,
        content_hash=_hash(stated_part, stated_stamp, _stamp(stated.updated), f'"{stated_hash.hex()}"'),
        visible_hash=_hash(stated_part if shown_json is stated_json else json_text(shown_json)),
        selection_hash=_hash(
            repr(quality), repr(heat), "true" if public else "false", published_stamp, _stamp(stated.expires)
        ),
        text_hash=text_hash,
        sketch=make_sketch(stated.content.link or stated.path, content.title, content.summary, body),
        warnings=tuple(fields.warnings),
        id_place=fields.place("id") if explicit_id is not None else (0, 0),
        updated_place=stated.updated_place,
    )


class _Stated(NamedTuple):
    """What the file itself says; `path` is the path of its page on the site."""

    content: Content
    published: datetime | None
    expires: datetime | None
    updated: datetime | None
    updated_place: tuple[int, int]
    path: str | None


def _read_stated(fields: Fields, body: str, source: Source) -> _Stated:
    title = fields.text("title")
    if not title and source.layout == "plain":
        raise fields.unusable("title", "no title", "add 'title: …'", value=None)
    link, original, path = fields.url("link"), fields.url("original_link"), fields.stated_path()
    address = http_url(path) if path else None
    content = Content(
        title=title,
        summary=fields.text("summary", MAX_SUMMARY) or excerpt_text(body, source.layout, fields.excerpt_separator()),
        body_html="",
        link=link or address,
        original_link=original if original != link else None,
        provider=fields.provider(),
        topics=fields.topics(),
        category=fields.category(),
        type=fields.text("type"),
        language=fields.language(),
        images=fields.images(),
        video_url=fields.video_url(),
        related=fields.related(),
    )
    published, expires = fields.required_date("published_at"), fields.required_date("expires_at")
    updated, updated_place = fields.updated()
    if published is None and path:
        published = _local(path_date(path), source)
    return _Stated(content, published, expires, updated, updated_place, None if address else path)


def _add_place(fields: Fields, stated: _Stated, place: Place, source: Source) -> tuple[datetime | None, Content]:
    """Date and content with what the place of the file and its source add: topics, a link made from the path."""
    published = stated.published or _local(place.date, source)
    content = stated.content
    added: dict[str, object] = {}
    if not content.title:
        added["title"] = place.title
    if not content.language and place.language:
        added["language"] = place.language.replace("_", "-")
    if place.topics or source.topics:
        added["topics"] = Fields.unique_topics((*place.topics, *content.topics, *source.topics))
    if source.link_template and content.link is None:
        # Hugo and Zola agree that a date in a name is none of the address where the name is what dates the page
        dated_by_name = source.layout == "hugo" and stated.published is None
        slug = fields.text("slug") or (place.slug if dated_by_name else "")
        local = published.astimezone(source.timezone) if published else None
        added["link"] = page_address(source.link_template, place, stated.path, slug, local)
    if source.layout != "plain" and (link := added.get("link", content.link)):
        added["images"] = fields.images(str(link))
    if source.layout == "hugo" and published is None:
        published = stated.updated
    return published, content._replace(**added)  # type: ignore[arg-type]


def _local(moment: datetime | None, source: Source) -> datetime | None:
    """A time without a zone, as one of the source's."""
    return moment.replace(tzinfo=source.timezone).astimezone(UTC) if moment else None


def _decode(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, lines ended by LF."""
    try:
        text = raw.decode("utf-8-sig" if raw.startswith(BOM_UTF8) else "utf-8")  # which is built in
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        cut = error.reason == "unexpected end of data"
        raise FrontMatterError(line, column, "the file is not UTF-8", "save it as UTF-8", unclosed=cut) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


@lru_cache(maxsize=256)
def _present(fields: tuple[tuple[str, tuple[str, ...]], ...], names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """The keys of each field that front matter with these top-level names may have; fields without one are left out."""
    there = {
        field: tuple(
            key for key in keys if any(part in names or part.split(".", 1)[0] in names for part in key.split(PLUS))
        )
        for field, keys in read_keys(fields)[0].items()
    }
    return {field: keys for field, keys in there.items() if keys}


def _is_flag(key: str | None, keys: Mapping[str, Sequence[str]]) -> bool:
    """Whether `key` is a flag that can hide a record."""
    return any(key in keys.get(field, ()) for field in FLAGS)


def _stamp(moment: datetime | None) -> str:
    """The JSON of a time."""
    return f'"{moment.isoformat()}"' if moment else "null"


def _hash(*parts: str) -> bytes:
    """A 16-byte digest of an array of what is JSON already, the same on every Python."""
    return blake2b(f"[{', '.join(parts)}]".encode(), digest_size=16).digest()
