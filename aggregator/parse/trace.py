"""Which key of the front matter each field of a record was read from, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aggregator.model import Record, Source, SourceFile
from aggregator.parse import parse_record
from aggregator.parse.fields import Fields
from aggregator.parse.keys import FLAGS, PLUS
from aggregator.parse.matter import Scalar, Value


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """A field that was read: the key that gave it, its line from 1, and its value as it was understood.

    `value` is what JSON can hold, None where the value could not be used.
    """

    field: str
    key: str
    value: Any
    line: int


def trace_record(raw: bytes, file: SourceFile, source: Source) -> tuple[FieldTrace, ...]:
    """The fields that `parse_record` reads of these bytes, in the order of the file. Of each it tells what the record
    says then, never what stands in the file: that may hold what is not public."""
    seen: dict[str, tuple[str, Value]] = {}

    class Watched(Fields):
        """Fields that note where they were found."""

        def _each(self, field: str) -> Iterator[tuple[str, Value]]:  # type: ignore[override]  # only ever iterated
            for found in super()._each(field):
                seen[field] = found
                yield found

        def _added(self, field: str) -> list[tuple[str, Value]]:
            found = super()._added(field)
            if found:
                seen[field] = PLUS.join(key for key, _ in found), found[0][1]
            return found

        def _find(self, field: str, *, null: bool = False) -> tuple[str, Value | None]:
            key, value = super()._find(field, null=null)
            if value is not None:
                seen[field] = key, value
            return key, value

    outcome = parse_record(raw, file, source, b"", Watched)
    values = _values(outcome) if isinstance(outcome, Record) else {}
    traces = []
    for field, (key, value) in seen.items():
        flag = value.value.value if isinstance(value.value, Scalar) else value.value
        told = (flag if isinstance(flag, bool) else None) if field in FLAGS else values.get(field)
        traces.append(FieldTrace(field, key, told, value.line))
    return tuple(sorted(traces, key=lambda one: (one.line, one.field)))


def _values(record: Record) -> dict[str, Any]:
    """What a record says of each field that is no flag; a field that it does not have is not there."""
    content, provider = record.content, record.content.provider
    told = {
        "title": content.title,
        "summary": content.summary,
        "link": content.link,
        "original_link": content.original_link or content.link,
        "published_at": _stamp(record.published),
        "updated_at": _stamp(record.updated),
        "expires_at": _stamp(record.expires),
        "id": record.explicit_id,
        "provider": {"name": provider.name, "domain": provider.domain} if provider else None,
        "topics": list(content.topics),
        "category": content.category,
        "type": content.type,
        "language": content.language,
        "images": [image.url for image in content.images],
        "video": content.video_url,
        "related": [related.url for related in content.related],
        "quality": record.quality if record.quality >= 0 else None,
        "heat": record.heat if record.heat >= 0 else None,
    }
    return {field: value for field, value in told.items() if value not in (None, "", [])}


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
