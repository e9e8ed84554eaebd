"""What single keys cannot show: keys that contradict each other, and keys of the contract that wait for their code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aggregator.config.locate import KeyPath
from aggregator.config.problems import Finding
from aggregator.config.schema import File
from aggregator.config.values import sqlite_file

_ANY = object()


class _Gap(NamedTuple):
    """A key, or one value of it, that is valid and has no code yet."""

    path: KeyPath
    what: str
    todo: str
    value: object = _ANY
    level: Literal["error", "warning"] = "error"


_GAPS = (
    _Gap(("feed", 0), "'[[feed]]'", "remove it; every topic has a feed of its own"),
    _Gap(("records", 1), "a second '[[records]]'", "keep one of them, and put the records into one folder"),
    _Gap(("records", 0, "preset"), "preset 'jekyll'", "use smartable and name the keys in [records.fields]", "jekyll"),
    _Gap(("records", 0, "preset"), "preset 'hugo'", "use smartable and name the keys in [records.fields]", "hugo"),
    _Gap(("topics", "slugs"), "'[topics.slugs]'", "remove it; slugs are made from the names of topics"),
    _Gap(("topics", "alias"), "'[topics.alias]'", "remove it; write one name in the records"),
    _Gap(("topics", "parent"), "'[topics.parent]'", "remove it; give records both topics"),
    _Gap(("topics", "titles"), "'[topics.titles]'", "remove it; titles are the names of topics"),
    _Gap(("topics", "descriptions"), "'[topics.descriptions]'", "remove it"),
    _Gap(("websub", "hub"), "'hub'", "remove it; readers poll"),
    _Gap(("output", "archive"), "'archive'", "remove the line, or leave it for a later version", True, "warning"),
    _Gap(("serve", "admin_port"), "'admin_port'", "remove the line, or leave it for a later version", level="warning"),
)


def find_gaps(data: dict[str, Any]) -> Iterator[Finding]:
    """What the file, as read and not yet valid, asks for and this version does not have."""
    for path, what, todo, unsupported, level in _GAPS:
        value = _at(data, path)
        if value == unsupported or (unsupported is _ANY and value):
            yield Finding(path, f"{what} is not supported by this version yet", todo, level=level)


def find_conflicts(file: File, config_path: Path) -> Iterator[Finding]:
    """Keys that are fine alone and not together."""
    if {"every", "cron"} <= file.schedule.model_fields_set:
        yield Finding(("schedule", "cron"), "'every' and 'cron' are both given", "remove one of them")
    if file.serve.admin_port == file.serve.port:
        yield Finding(("serve", "admin_port"), "'admin_port' is the main port", "choose another", str(file.serve.port))
    yield from _repeated(("records", "name"), [source.name for source in file.records], "the name of a source")
    yield from _repeated(("feed", "slug"), [feed.slug for feed in file.feed], "the slug of a feed")
    yield from _folder_conflicts(file, config_path)


def _repeated(key: tuple[str, str], names: list[Any], what: str) -> Iterator[Finding]:
    table, name = key
    for index, value in enumerate(names):
        if value in names[:index]:
            said = f"{what} is given twice" if value else "a second source without a name"
            todo = "choose another" if value else "give it a name"
            yield Finding((table, index, name), said, todo, value, at_value=bool(value))


def _folder_conflicts(file: File, config_path: Path) -> Iterator[Finding]:
    """Folders in one another: feeds would be read as records, and records, config and store served to everyone."""
    output = _real(file.output.path)
    key = ("output", "path")
    for source in file.records:
        records = _real(source.path)
        if output.is_relative_to(records) or records.is_relative_to(output):
            todo = "choose folders of which neither is inside the other"
            yield Finding(key, "the output folder and a records folder overlap", todo, str(source.path), at_value=True)
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
