"""The origin of each field of a record: a key of its front matter, its path, its body, or a key of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from aggregator.model import Record, SourceFile
from aggregator.parse.cascade import NO_CONTEXT, PageContext
from aggregator.parse.fields import Fields, hides_page
from aggregator.parse.front_matter.values import Value
from aggregator.parse.hugo import file_language
from aggregator.parse.keys import FLAGS
from aggregator.parse.page_path import PagePath, path_date, plain_path
from aggregator.parse.record import parse_record
from aggregator.parse.values import meaning
from aggregator.problems import stamp
from aggregator.settings import PLUS, Source

DATES = ("published_at", "link_date", "updated_at", "expires_at")
Origin = Literal["record", "cascade", "path", "body", "config", "store"]


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

    def read(self: RecordingFields, *arguments: Any, **options: Any) -> Any:
        value = method(self, *arguments, **options)
        self.own[field or arguments[0]] = form(value)
        return value

    return read


def _urls(found: Iterable[Any]) -> list[str]:
    return [item.url for item in found]


def _in_its_zone(moment: datetime) -> str:
    """A time for --json in its own zone, whose day the URL of a page has."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


class RecordingFields(Fields):
    """Fields that record in `seen` which key each field was read from, and in `own` the values that keys gave."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: dict[str, tuple[str, Value]] = {}
        self.own: dict[str, Any] = {}

    text = _recorded("text")
    url = _recorded("url")
    score = _recorded("score", form=lambda score: score if score >= 0 else None)
    required_date = _recorded("required_date", form=stamp)
    link_date = _recorded("link_date", "link_date", lambda found: found and _in_its_zone(found))
    updated = _recorded("updated", "updated_at", lambda found: stamp(found[0]))
    explicit_id = _recorded("explicit_id", "id")
    stated_path = _recorded("stated_path", "path")
    provider = _recorded("provider", "provider", lambda found: found and {"name": found.name, "domain": found.domain})
    topics = _recorded("topics", "topics", list)
    category = _recorded("category", "category")
    language = _recorded("language", "language")
    images = _recorded("images", "images", _urls)
    video_url = _recorded("video_url", "video")
    related = _recorded("related", "related", _urls)
    enclosures = _recorded("enclosures", "enclosures", _urls)
    excerpt_separator = _recorded("excerpt_separator", "excerpt_separator")

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


def trace_record(
    raw: bytes, file: SourceFile, source: Source, context: PageContext = NO_CONTEXT
) -> tuple[FieldTrace, ...]:
    """The fields that `parse_record` reads, in the order of the file, then those from elsewhere. Values come from the
    record, never from the file, which may hold private data."""
    made: list[RecordingFields] = []

    def make_fields(*arguments: Any, **options: Any) -> RecordingFields:
        made.append(RecordingFields(*arguments, **options))
        return made[-1]

    outcome = parse_record(raw, file, source, b"", context, with_positions=True, make_fields=make_fields)
    if not made:
        return ()
    fields = made[-1]
    traces = [
        _trace(field, key, _value_of(field, value, fields.own), value)
        for field, (key, value) in fields.seen.items()
        if _is_field(field, key, value, fields)
    ]
    traces.sort(key=lambda trace: (trace.line or 0, trace.field))
    if isinstance(outcome, Record):
        place = fields.page_path or plain_path(file.path)
        traces += _from_elsewhere(outcome, place, source, {trace.field: trace for trace in traces}, fields.own)
        if source.default_topics and not fields.states_topics():
            traces.append(FieldTrace("topics", "default_topics", list(source.default_topics), None, "config"))
    return tuple(traces)


def _is_field(field: str, key: str, value: Value, fields: Fields) -> bool:
    """Whether a key states the field. It does not if it is an option that does not hide the page, or an empty date, or
    if it is a key of a flag and of a date, and its value is of the other kind."""
    if field == "visibility":
        return hides_page((key, value))
    if field in DATES:
        stated = meaning(value.value)
        is_flag = isinstance(stated, bool) and key in fields.keys_of("published")
        return not is_flag and not fields.is_empty_date(stated)
    return field not in FLAGS or _flag(value) is not None or key not in fields.keys_of("published_at")


def _value_of(field: str, value: Value, own: Mapping[str, Any]) -> Any:
    """The value of a field as JSON has it; None if it cannot be used."""
    if field in (*FLAGS, "templates"):
        return _flag(value)
    if field == "visibility":
        return "never"  # traced only if it hides the record
    found = own.get(field)
    return None if found in ("", []) and field != "excerpt_separator" else found


def _trace(field: str, key: str, shown: Any, value: Value) -> FieldTrace:
    if value.file:
        return FieldTrace(field, key, shown, value.line, "cascade", value.file)
    return FieldTrace(field, key, shown, value.line)


def _flag(value: Value) -> bool | None:
    plain = meaning(value.value)
    return plain if isinstance(plain, bool) else None


def _from_elsewhere(
    record: Record, place: PagePath, source: Source, read: Mapping[str, FieldTrace], own: Mapping[str, Any]
) -> Iterator[FieldTrace]:
    """The fields that a reader sees and that no key of the front matter gave."""
    content = record.content
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
        yield _trace_date(record, place, read, own if source.layout != "jekyll" else {**own, "path": None})
    if content.language and not own["language"]:
        yield _trace_language(record, source)
    if place.topics:
        yield FieldTrace("topics", None, list(place.topics), None, "path")
    if source.topics:
        yield FieldTrace("topics", "topics", list(source.topics), None, "config")
    if "published" not in read:
        yield FieldTrace("published", "default_published", source.default_published, None, "config")


def _trace_language(record: Record, source: Source) -> FieldTrace:
    """The language of a record without a key for it: from the name of its file, or that of its source."""
    language = record.content.language
    if source.layout == "hugo" and file_language(record.file.path, source.known_languages):
        return FieldTrace("language", None, language, None, "path")
    return FieldTrace("language", "language", language, None, "config")


def _trace_date(record: Record, place: PagePath, read: Mapping[str, FieldTrace], own: Mapping[str, Any]) -> FieldTrace:
    """The published date of a record without a key for it: from a stated path, its own path, or its last change."""
    published = stamp(record.published)
    if own["path"] and path_date(own["path"]):
        return replace(read["path"], field="published_at", value=published)
    if place.date:
        return FieldTrace("published_at", None, published, None, "path")
    return replace(read["updated_at"], field="published_at", value=published)
