"""What single keys cannot show: keys that contradict each other, and keys of the contract that wait for their code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aggregator.config.errors import Finding
from aggregator.config.schema import File
from aggregator.config.topics import find_topic_conflicts
from aggregator.config.values import sqlite_file
from aggregator.output.redirects import PAGE, plain_path, told_format
from aggregator.settings import FILE_NAMES
from aggregator.slugs import RESERVED_SLUGS
from aggregator.toml_positions import KeyPath


class _Gap(NamedTuple):
    """A key that is valid and has no code yet."""

    path: KeyPath
    todo: str
    level: Literal["error", "warning"]


_GAPS = (
    _Gap(("websub", "hub"), "remove it; readers poll", "error"),
    _Gap(("serve", "admin_port"), "remove the line, or leave it for a later version", "warning"),
)


def find_gaps(data: dict[str, Any]) -> Iterator[Finding]:
    """What the file, as read and not yet valid, asks for and this version does not have."""
    for path, todo, level in _GAPS:
        if _at(data, path):
            yield Finding(path, f"'{path[-1]}' is not supported by this version yet", todo, level=level)


def find_conflicts(file: File, config_path: Path) -> Iterator[Finding]:
    """Keys that are fine alone and not together."""
    if {"every", "cron"} <= file.schedule.model_fields_set:
        yield Finding(("schedule", "cron"), "'every' and 'cron' are both given", "remove one of them")
    if file.serve.admin_port == file.serve.port:
        yield Finding(("serve", "admin_port"), "'admin_port' is the main port", "choose another", str(file.serve.port))
    yield from _repeated(("records", "name"), [source.name for source in file.records], "the name of a source")
    yield from _repeated(("feed", "slug"), [feed.slug for feed in file.feed], "the slug of a feed")
    yield from _address_conflicts(file)
    yield from find_topic_conflicts(file)
    yield from _folder_conflicts(file, config_path)


def _repeated(key: tuple[str, str], names: list[Any], what: str) -> Iterator[Finding]:
    table, name = key
    for index, value in enumerate(names):
        if value in names[:index]:
            said = f"{what} is given twice" if value else "a second source without a name"
            todo = "choose another" if value else "give it a name"
            yield Finding((table, index, name), said, todo, value, at_value=bool(value))


def _address_conflicts(file: File) -> Iterator[Finding]:
    """Old addresses that are in use, or lead to two places."""
    slugs = frozenset(feed.slug for feed in file.feed)
    seen: set[str] = set()
    for index, feed in enumerate(file.feed):
        for number, old in enumerate(feed.moved_from):
            wrong = _wrong_address(old, slugs)
            if wrong is None and plain_path(old) in seen:
                wrong = "is given twice", "keep it in one place"
            seen.add(plain_path(old))
            if wrong is not None:
                yield Finding(("feed", index, "moved_from", number), f"an old address {wrong[0]}", wrong[1], old, True)


def _wrong_address(old: str, slugs: frozenset[str]) -> tuple[str, str] | None:
    """What is wrong with an old address, and what to do."""
    slug, slash, name = old.partition("/")
    whole = not slash or name in {*FILE_NAMES.values(), PAGE} or name.startswith("archive/")
    whole = whole or (not name and told_format(old) is None)
    if old in (PAGE, "opml.xml") or (whole and slug in RESERVED_SLUGS):
        return "is in use", "remove it"
    if whole and slug in slugs:
        return f"is that of the feed '{slug}'", "remove it, or give that feed another slug"
    return ("is one of many of a feed", f"write its old slug: {slug}") if whole and slash else None


def _folder_conflicts(file: File, config_path: Path) -> Iterator[Finding]:
    """Folders in one another: feeds would be read as records, and records, config and store served to everyone."""
    output = _real(file.output.path)
    key = ("output", "path")
    for source in file.records:
        records = _real(source.path)
        if output.is_relative_to(records) or records.is_relative_to(output):
            todo = "choose folders of which neither is inside the other"
            yield Finding(key, "the output folder and a records folder overlap", todo, str(source.path), at_value=True)
    for index, source in enumerate(file.records):
        for other in file.records[:index]:
            ours, theirs = _real(source.path), _real(other.path)
            if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
                what, todo = "two records folders overlap: a file in both is two entries", "choose folders apart"
                yield Finding(("records", index, "path"), what, todo, str(source.path), at_value=True, level="warning")
    private = {"config file": config_path}
    if store := sqlite_file(file.store.url):
        private["store"] = Path(store)
    for name, path in private.items():
        if _real(path).is_relative_to(output):
            todo = "choose another folder, because all in it is public"
            yield Finding(key, f"the output folder holds the {name}", todo, str(file.output.path), at_value=True)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _at(data: Any, path: KeyPath) -> Any:
    """What the file has at the path, or None. A single table counts as an array of one."""
    for part in path:
        if isinstance(part, int):
            array = [data] if isinstance(data, dict) else data
            data = array[part] if isinstance(array, list) and part < len(array) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data
