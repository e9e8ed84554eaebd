"""The origin of each field of a record: a key of its front matter, its path, its body, or a key of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from aggregator.model import Record, SourceFile
from aggregator.parse.fields import Fields, hides_page
from aggregator.parse.front_matter.values import Scalar, Value
from aggregator.parse.keys import FLAGS, PLUS
from aggregator.parse.page_path import PagePath, path_date
from aggregator.parse.record import parse_record, read_path
from aggregator.problems import stamp
from aggregator.settings import Source

Origin = Literal["record", "path", "body", "config"]


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """A field, its value as the record has it, and its origin."""

    field: str
    key: str | None  # of the front matter or of [records]; None for a path or a body
    value: Any  # as JSON has it; None if the value of the key cannot be used
    line: int | None  # from 1, in `file`; None if unknown
    origin: Origin = "record"
    file: str | None = None


def _recorded(name: str, field: str = "", form: Callable[[Any], Any] = lambda value: value) -> Any:
    """The method `name` of Fields, which also records what it returns for the field."""
    method = getattr(Fields, name)

    def read(self: RecordingFields, *arguments: Any) -> Any:
        value = method(self, *arguments)
        self.own[field or arguments[0]] = form(value)
        return value

    return read


class RecordingFields(Fields):
    """Fields that record in `seen` which key each field was read from, and in `own` the values that keys gave."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: dict[str, tuple[str, Value]] = {}
        self.own: dict[str, Any] = {}

    text = _recorded("text")
    url = _recorded("url")
    required_date = _recorded("required_date", form=stamp)
    stated_path = _recorded("stated_path", "path")
    topics = _recorded("topics", "topics", list)
    language = _recorded("language", "language")

    def _each(self, field: str) -> Iterator[tuple[str, Value]]:  # type: ignore[override]  # callers only iterate
        for pair in super()._each(field):
            self.seen[field] = pair
            yield pair

    def _combined(self, field: str) -> list[tuple[str, Value]]:
        pairs = super()._combined(field)
        if pairs:
            self.seen[field] = PLUS.join(key for key, _ in pairs), pairs[0][1]
        return pairs

    def _find(self, field: str, *, null: bool = False) -> tuple[str, Value | None]:
        key, value = super()._find(field, null=null)
        if value is not None:
            self.seen[field] = key, value
        return key, value


def trace_record(raw: bytes, file: SourceFile, source: Source) -> tuple[FieldTrace, ...]:
    """The fields that `parse_record` reads, in the order of the file, then those from elsewhere. Values come from the
    record, never from the file, which may hold private data."""
    made: list[RecordingFields] = []

    def make_fields(*arguments: Any, **options: Any) -> RecordingFields:
        made.append(RecordingFields(*arguments, **options))
        return made[-1]

    outcome = parse_record(raw, file, source, b"", make_fields)
    if not made:
        return ()
    seen, own = made[-1].seen, made[-1].own
    values = _values(outcome, own) if isinstance(outcome, Record) else {}
    traces = [
        FieldTrace(field, key, _flag(value) if field in FLAGS else values.get(field), value.line)
        for field, (key, value) in seen.items()
        if field != "visibility" or hides_page((key, value))
    ]
    traces.sort(key=lambda trace: (trace.line or 0, trace.field))
    if isinstance(outcome, Record):
        traces += _from_elsewhere(outcome, source, {trace.field: trace for trace in traces}, own)
    return tuple(traces)


def _flag(value: Value) -> bool | None:
    plain = value.value.value if isinstance(value.value, Scalar) else value.value
    return plain if isinstance(plain, bool) else None


def _from_elsewhere(
    record: Record, source: Source, read: Mapping[str, FieldTrace], own: Mapping[str, Any]
) -> Iterator[FieldTrace]:
    """The fields that a reader sees and that no key of the front matter gave."""
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
        yield _trace_date(record, place, read, own)
    if content.language and not own["language"]:
        yield FieldTrace("language", None, content.language, None, "path")
    if place.topics:
        yield FieldTrace("topics", None, list(place.topics), None, "path")
    if source.topics:
        yield FieldTrace("topics", "topics", list(source.topics), None, "config")
    if "published" not in read:
        yield FieldTrace("published", "default_published", source.default_published, None, "config")


def _trace_date(record: Record, place: PagePath, read: Mapping[str, FieldTrace], own: Mapping[str, Any]) -> FieldTrace:
    """The published date of a record without a key for it: from the path that it states, its own path, or its last
    change."""
    published = stamp(record.published)
    if own["path"] and path_date(own["path"]):
        return replace(read["path"], field="published_at", value=published)
    if place.date:
        return FieldTrace("published_at", None, published, None, "path")
    return replace(read["updated_at"], field="published_at", value=published)


def _values(record: Record, own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all fields but flags, without those that are empty."""
    content, provider = record.content, record.content.provider
    values = {
        "visibility": "never",  # traced only if it hides the record
        "original_link": content.original_link or content.link,
        "updated_at": stamp(record.updated),
        "expires_at": stamp(record.expires),
        "id": record.explicit_id,
        "provider": {"name": provider.name, "domain": provider.domain} if provider else None,
        "category": content.category,
        "type": content.type,
        "images": [image.url for image in content.images],
        "video": content.video_url,
        "enclosures": [enclosure.url for enclosure in content.enclosures],
        "related": [related.url for related in content.related],
        "quality": record.quality if record.quality >= 0 else None,
        "heat": record.heat if record.heat >= 0 else None,
        **{field: own[field] for field in ("title", "summary", "link", "published_at", "topics", "language", "path")},
        "slug": own.get("slug"),
    }
    return {field: value for field, value in values.items() if value not in (None, "", [])}
