"""Checks across keys: contradictions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from aggregator.buckets import BucketUrl
from aggregator.config.errors import KeyProblem
from aggregator.config.schema import ClauseTable, File, TextTable
from aggregator.config.topics import find_topic_conflicts
from aggregator.config.values import sqlite_file
from aggregator.documents import FEED_LIST, OPTIONAL
from aggregator.output.redirects import PAGE, format_of_path, plain_path
from aggregator.settings import FILE_NAMES, JEKYLL_PLACEHOLDERS, PLUS
from aggregator.slugs import RESERVED_SLUGS

_OWN_PARTS = frozenset((*FILE_NAMES.values(), PAGE, "archive"))
"""What is in the folder of a feed."""
_OWN_ROOTS = frozenset((PAGE, FEED_LIST, *OPTIONAL, "assets"))
"""What is beside the folders of feeds."""


def find_conflicts(file: File, config_path: Path) -> Iterator[KeyProblem]:
    """Keys that contradict each other."""
    if {"every", "cron"} <= file.schedule.model_fields_set:
        yield KeyProblem(("schedule", "cron"), "'every' and 'cron' are both given", "remove one of them")
    if file.serve.admin_port == file.serve.port:
        yield KeyProblem(("serve", "admin_port"), "'admin_port' equals 'port'", "choose another", str(file.serve.port))
    yield from _repeated(("records", "name"), [source.name for source in file.records], "the name of a source")
    yield from _repeated(("feed", "slug"), [feed.slug for feed in file.feed], "the slug of a feed")
    yield from _wrong_keys(file)
    yield from _empty_clauses(file)
    yield from _placeholder_conflicts(file)
    yield from _old_url_conflicts(file)
    yield from find_topic_conflicts(file)
    yield from _folder_conflicts(file, config_path)


def _repeated(key: tuple[str, str], names: list[Any], what: str) -> Iterator[KeyProblem]:
    table, name = key
    for index, value in enumerate(names):
        if value in names[:index]:
            if value:
                yield KeyProblem((table, index, name), f"{what} is given twice", "choose another", value, at_value=True)
            else:
                yield KeyProblem((table, index, name), "a second source without a name", "give it a name")


def _wrong_keys(file: File) -> Iterator[KeyProblem]:
    """Keys of front matter that no record has as they are written, and keys combined for another field than topics."""
    for index, source in enumerate(file.records):
        for field, keys in source.fields.items():
            for number, key in enumerate(keys):
                if wrong := _wrong_key(field, key):
                    path: tuple[str | int, ...] = ("records", index, "fields", field)
                    path += (number,) if len(keys) > 1 else ()  # a single one may be a text without a list
                    yield KeyProblem(path, wrong[0], wrong[1], key, at_value=True)


def _wrong_key(field: str, key: str) -> tuple[str, str] | None:
    """What is wrong with a key of front matter for a field, and a hint; None if nothing is."""
    if field != "topics" and PLUS in key:
        hint = f"only topics combine keys; write {json.dumps(key.split(PLUS), ensure_ascii=False)}"
        return f"'{field}' has keys that are combined", hint
    parts = [part.strip() for part in key.split("+")] if field == "topics" else [key.strip()]
    if not all(parts):  # a key itself has a plus at an end
        parts = [part.strip() for part in key.split(PLUS)]
    if (plain := PLUS.join(parts)) != key:
        what = "needs a blank on both sides of '+'" if "+" in plain else "has a key with a blank at an end"
        return f"'{field}' {what}", f"write {json.dumps(plain, ensure_ascii=False)}"
    return None


def _empty_clauses(file: File) -> Iterator[KeyProblem]:
    """Clauses that say nothing, so that a feed would have every entry."""
    for index, feed in enumerate(file.feed):
        for name in sorted(feed.model_fields_set):
            clause = getattr(feed, name)
            if isinstance(clause, ClauseTable | TextTable) and not clause.model_fields_set:
                hint = f'write {name} = {{ any = ["…"] }}, or remove it'
                yield KeyProblem(("feed", index, name), f"'{name}' names nothing", hint, at_value=True)


def _placeholder_conflicts(file: File) -> Iterator[KeyProblem]:
    for index, source in enumerate(file.records):
        template = source.link_template or ""
        for name in sorted(JEKYLL_PLACEHOLDERS) if source.preset != "jekyll" else ():
            if f"{{{name}}}" in template:
                what, hint = f"only the preset 'jekyll' has '{{{name}}}'", "use {path} or {slug}"
                yield KeyProblem(("records", index, "link_template"), what, hint, template, at_value=True)


def _old_url_conflicts(file: File) -> Iterator[KeyProblem]:
    slugs = frozenset(feed.slug for feed in file.feed)
    seen: set[str] = set()
    for index, feed in enumerate(file.feed):
        for number, old in enumerate(feed.moved_from):
            wrong = wrong_old_url(old, slugs)
            if wrong is None and plain_path(old) in seen:
                wrong = "is given twice", "keep it in one place"
            seen.add(plain_path(old))
            if wrong is not None:
                yield KeyProblem(
                    ("feed", index, "moved_from", number), f"an old URL {wrong[0]}", wrong[1], old, at_value=True
                )


def wrong_old_url(old: str, slugs: frozenset[str]) -> tuple[str, str] | None:
    """What is wrong with an old URL in `moved_from` of a config with these feeds, and a hint; None if nothing is."""
    slug, slash, name = old.partition("/")
    whole = not slash or name in {*FILE_NAMES.values(), PAGE} or name.startswith("archive/")
    whole = whole or (not name and format_of_path(old) is None)
    is_own = whole or name.partition("/")[0] in _OWN_PARTS
    if slug in _OWN_ROOTS or (is_own and slug in RESERVED_SLUGS):
        return "is in use", "remove it"
    if is_own and slug in slugs:
        return f"belongs to the feed '{slug}'", "remove it, or give that feed another slug"
    return ("is one document of a feed with several", f"write its old slug: {slug}") if whole and slash else None


def _folder_conflicts(file: File, config_path: Path) -> Iterator[KeyProblem]:
    """Nested folders: feeds would be read as records, or private files would be served."""
    output = _place(file.output.path)
    key: tuple[str | int, ...] = ("output", "path")
    for index, source in enumerate(file.records):
        records = _place(source.path)
        if output.is_relative_to(records) or records.is_relative_to(output):
            what, at = "the output folder and a records folder overlap", key
            if "path" not in file.output.model_fields_set:  # it is the default, and has no line
                at = ("records", index, "path")
            yield KeyProblem(at, what, "choose separate folders", str(source.path), at_value=True)
    for index, source in enumerate(file.records):
        for other in file.records[:index]:
            ours, theirs = _place(source.path), _place(other.path)
            patterns = (*source.include, *source.exclude, *other.include, *other.exclude)
            have_paths = any("/" in pattern for pattern in patterns)
            if not have_paths and (ours.is_relative_to(theirs) or theirs.is_relative_to(ours)):
                what, value = "two records folders overlap: a file in both is two entries", str(source.path)
                at = ("records", index, "path")
                yield KeyProblem(at, what, "choose separate folders", value, at_value=True, level="warning")
    private = {"config file": config_path}
    if store := sqlite_file(file.store.url):
        private["store"] = Path(store)
    for name, path in private.items():
        if _place(path).is_relative_to(output):
            what, hint = f"the output folder contains the {name}", "choose another folder; everything in it is public"
            is_stated = "path" in file.output.model_fields_set or name != "store"
            yield KeyProblem(key if is_stated else ("store", "url"), what, hint, str(file.output.path), at_value=True)


def _place(path: Path | BucketUrl) -> PurePath:
    """A path to compare with others: without links, or of a bucket, which is below no folder."""
    return PurePosixPath(str(path)) if isinstance(path, BucketUrl) else Path(os.path.realpath(path))
