"""Makes texts and times fit for all formats: only XML 1.0 characters, and whole seconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

from aggregator.model import Entry
from aggregator.unicode import is_visible

T = TypeVar("T")

# not Char of XML 1.0 section 2.2
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_safe(value: T) -> T:
    """The value with XML-safe texts and whole seconds, at any depth; the same object if nothing changes."""
    return cast("T", _xml_safe(value))


def xml_safe_entry(entry: Entry) -> Entry:
    """The entry, XML-safe; its link or id replaces a title that shows nothing."""
    entry = xml_safe(entry)
    if is_visible(entry.content.title):
        return entry
    return entry._replace(content=entry.content._replace(title=entry.content.link or entry.id))


def _xml_safe(value: Any) -> Any:
    kind: Any = type(value)
    if kind is str:
        return value if value.isprintable() else _NOT_XML.sub("", value)
    if kind is datetime:
        return value.replace(microsecond=0) if value.microsecond else value
    if issubclass(kind, tuple):
        made = tuple(map(_xml_safe, value))
        return value if made == value else made if kind is tuple else kind(*made)
    if read := _field_reader(kind):
        parts = read(value)
        made = tuple(map(_xml_safe, parts))
        return value if made == parts else kind(*made)
    return value


@cache
def _field_reader(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """A function that returns the fields of a dataclass instance, in the order of its constructor; else None."""
    return attrgetter(*(part.name for part in fields(kind))) if is_dataclass(kind) else None
