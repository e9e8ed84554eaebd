"""Where each field of a record comes from: a key of its front matter, its path, its body, or the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

from aggregator.display import stamp
from aggregator.model import Record, SourceFile
from aggregator.parse.bounds import MAX_TEXT
from aggregator.parse.fields import Fields
from aggregator.parse.front_matter.values import Scalar, Value
from aggregator.parse.keys import FLAGS, PLUS
from aggregator.parse.page_path import PagePath, path_date
from aggregator.parse.record import parse_record, read_path
from aggregator.settings import Source

Origin = Literal["record", "path", "body", "config"]


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """A field, its value as it was understood, and where that comes from.

    `key` is one of the front matter if the `origin` is the record, and one of [records] if it is the config; a path or
    a body has none. `line` counts from 1 in `file`, None where it is not known. `value` is what JSON can hold, None
    where the value of the key could not be used.
    """

    field: str
    key: str | None
    value: Any
    line: int | None
    origin: Origin = "record"
    file: str | None = None


class _Watched(Fields):
    """Fields that note in `seen` where they were found, and in `own` what their keys alone gave."""

    seen: ClassVar[dict[str, tuple[str, Value]]]
    own: ClassVar[dict[str, Any]]

    def _each(self, field: str) -> Iterator[tuple[str, Value]]:  # type: ignore[override]  # only ever iterated
        for found in super()._each(field):
            self.seen[field] = found
            yield found

    def _combined(self, field: str) -> list[tuple[str, Value]]:
        found = super()._combined(field)
        if found:
            self.seen[field] = PLUS.join(key for key, _ in found), found[0][1]
        return found

    def _find(self, field: str, *, null: bool = False) -> tuple[str, Value | None]:
        key, value = super()._find(field, null=null)
        if value is not None:
            self.seen[field] = key, value
        return key, value

    def text(self, field: str, max_chars: int = MAX_TEXT) -> str:
        self.own[field] = found = super().text(field, max_chars)
        return found

    def url(self, field: str) -> str | None:
        self.own[field] = found = super().url(field)
        return found

    def required_date(self, field: str) -> datetime | None:
        found = super().required_date(field)
        self.own[field] = stamp(found)
        return found

    def stated_path(self) -> str | None:
        self.own["path"] = found = super().stated_path()
        return found

    def topics(self) -> tuple[str, ...]:
        found = super().topics()
        self.own["topics"] = list(found)
        return found

    def language(self) -> str:
        self.own["language"] = found = super().language()
        return found


def trace_record(raw: bytes, file: SourceFile, source: Source) -> tuple[FieldTrace, ...]:
    """The fields that `parse_record` reads of these bytes, in the order of the file, then those from elsewhere. Of each
    it tells what the record says then, never what the file says: that may hold what is not public."""

    class Watched(_Watched):
        seen: ClassVar[dict[str, tuple[str, Value]]] = {}
        own: ClassVar[dict[str, Any]] = {}

    outcome = parse_record(raw, file, source, b"", Watched)
    values = _values(outcome, Watched.own) if isinstance(outcome, Record) else {}
    traces = []
    for field, (key, value) in Watched.seen.items():
        flag = value.value.value if isinstance(value.value, Scalar) else value.value
        told = (flag if isinstance(flag, bool) else None) if field in FLAGS else values.get(field)
        traces.append(FieldTrace(field, key, told, value.line))
    traces.sort(key=lambda one: (one.line or 0, one.field))
    if isinstance(outcome, Record):
        traces += _from_elsewhere(outcome, source, {one.field: one for one in traces}, Watched.own)
    return tuple(traces)


def _from_elsewhere(
    record: Record, source: Source, read: Mapping[str, FieldTrace], own: Mapping[str, Any]
) -> Iterator[FieldTrace]:
    """The fields that a reader sees and that no key of theirs gave."""
    content, place = record.content, read_path(record.file.path, source)
    if content.title and not own["title"]:
        yield FieldTrace("title", None, content.title, None, "path")
    if content.summary and not own["summary"]:
        yield FieldTrace("summary", None, content.summary, None, "body")
    if content.link and not own["link"]:
        if own["path"] == content.link:
            yield replace(read["path"], field="link", value=content.link)
        else:
            yield FieldTrace("link", "link_template", content.link, None, "config")
    if record.published and not own["published_at"]:
        yield _date_from_elsewhere(record, place, read, own)
    if content.language and not own["language"]:
        yield FieldTrace("language", None, content.language, None, "path")
    if place.topics:
        yield FieldTrace("topics", None, list(place.topics), None, "path")
    if source.topics:
        yield FieldTrace("topics", "topics", list(source.topics), None, "config")
    if "published" not in read:
        yield FieldTrace("published", "default_published", source.default_published, None, "config")


def _date_from_elsewhere(
    record: Record, place: PagePath, read: Mapping[str, FieldTrace], own: Mapping[str, Any]
) -> FieldTrace:
    """The date of a record whose keys for it gave none: that of the path that it states, of its own path, or of its
    last change."""
    published = stamp(record.published)
    if own["path"] and path_date(own["path"]):
        return replace(read["path"], field="published_at", value=published)
    if place.date:
        return FieldTrace("published_at", None, published, None, "path")
    return replace(read["updated_at"], field="published_at", value=published)


def _values(record: Record, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of each field that is no flag; a field that it does not have is not there."""
    content, provider = record.content, record.content.provider
    told = {
        "original_link": content.original_link or content.link,
        "updated_at": stamp(record.updated),
        "expires_at": stamp(record.expires),
        "id": record.explicit_id,
        "provider": {"name": provider.name, "domain": provider.domain} if provider else None,
        "category": content.category,
        "type": content.type,
        "images": [image.url for image in content.images],
        "video": content.video_url,
        "related": [related.url for related in content.related],
        "quality": record.quality if record.quality >= 0 else None,
        "heat": record.heat if record.heat >= 0 else None,
        **{field: own[field] for field in ("title", "summary", "link", "published_at", "topics", "language", "path")},
        "slug": own.get("slug"),
    }
    return {field: value for field, value in told.items() if value not in (None, "", [])}
