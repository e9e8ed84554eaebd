"""The config file and the environment, read, checked and made into what the program runs on."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aggregator.config.conflicts import find_conflicts, find_gaps
from aggregator.config.cron import shortest_gap_minutes
from aggregator.config.environment import apply_environment
from aggregator.config.errors import Finding, findings_of, place_findings, syntax_problem
from aggregator.config.schema import (
    PRESETS,
    ClauseTable,
    FeedTable,
    File,
    IngestTable,
    OutputTable,
    RecordsTable,
    ScheduleTable,
    ServeTable,
    SiteTable,
    StoreTable,
    TextTable,
    TopicsTable,
)
from aggregator.config.toml_positions import KeyPath
from aggregator.config.topics import read_tables
from aggregator.config.values import sqlite_file
from aggregator.errors import ConfigError, ShortageError
from aggregator.feeds.phrases import parse_phrase
from aggregator.feeds.rules import fold
from aggregator.output.redirects import Moves
from aggregator.problems import Problem
from aggregator.settings import NO_CLAUSE, Clause, FeedPolicy, FeedSpec, OutputOptions, Rule, Site, Source
from aggregator.topics import TopicTables

MAX_CONFIG_BYTES = 8_000_000
"""A config that pins ten thousand topics has a tenth of it."""
MAX_DEPTH = 32
"""Tables and arrays inside one another. The program itself reads six."""
_KEY_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART}){{{MAX_DEPTH}}}")
"""A dotted key of so many parts that `tomllib`, which takes the square of their number, may take minutes."""
_LEAST_TTL_MINUTES = 15
_MOST_WORKERS = 4  # more have nothing to do: all that they read is stored by one


@dataclass(frozen=True, slots=True)
class Config:
    """A config that can be used: paths are absolute, `path` is its file as it was given or None without one."""

    site: SiteTable
    sources: tuple[Source, ...]
    schedule: ScheduleTable
    store: StoreTable
    output: OutputTable
    serve: ServeTable
    topics: TopicsTable
    tables: TopicTables
    feeds: tuple[FeedSpec, ...]
    ingest: IngestTable
    path: Path | None
    warnings: tuple[Problem, ...]

    @property
    def workers(self) -> int:
        """How many processes may read files: if the file names no number, as many as there are cores, up to 4."""
        return min(os.cpu_count() or 1, _MOST_WORKERS) if self.ingest.workers is None else self.ingest.workers

    @property
    def may_have_store(self) -> bool:
        """Whether there may be a store already; of a file it is known."""
        file = sqlite_file(self.store.url)
        return file is None or os.path.exists(file)

    def site_facts(self) -> Site:
        """What every document says of the site."""
        if self.schedule.cron:
            minutes = shortest_gap_minutes(self.schedule.cron)
        else:
            minutes = self.schedule.every // timedelta(minutes=1)
        return Site(
            title=self.site.title,
            base_url=self.site.base_url,
            language=self.site.language,
            author=self.site.author or "",
            icon=self.site.icon or "",
            copyright=self.site.copyright or "",
            ttl=max(_LEAST_TTL_MINUTES, minutes),
        )

    def output_options(self) -> OutputOptions:
        """Which documents a feed has."""
        return OutputOptions(self.output.formats, self.output.pages, self.output.max_bytes)

    def feed_policy(self) -> FeedPolicy:
        """What every feed holds."""
        return FeedPolicy(
            limit=self.output.limit,
            min_stay=self.output.min_stay,
            late=self.output.late,
            tombstones=self.output.tombstones,
            auto=self.topics.auto,
            min_entries=self.topics.min_entries,
            max_feeds=self.topics.max_feeds,
            keep_empty=self.topics.keep_empty,
            archive=self.output.archive,
            specs={spec.slug: spec for spec in self.feeds},
            tables=self.tables,
        )

    def moves(self, topics: Mapping[str, str] | None = None) -> Moves:
        """Where feeds were before; `topics` are the old slugs of topics, and where they lead."""
        return Moves(self.feeds, self.output_options(), topics)


def load_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """The config of a file, with the overrides of the environment. Raises ConfigError with all that is wrong."""
    return _load(_read_text(path), path, env, found=True)


def usable_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """What can be used of a file that `load_config` refuses: to look at what a service does that goes on with the last
    good one. Raises the same ConfigError when the place of the store is among what is wrong."""
    text = _read_text(path)
    if _DEEP_KEY.search(text) or _is_deep(data := _readable_tables(text)):
        raise ConfigError((_deep_problem(path),))
    apply_environment(data, env)
    file, findings = _validate(data, path.absolute().parent)
    stated = re.search(r"^\s*\[store\]", text, re.MULTILINE)
    if any(finding.path[0] == "store" for finding in findings) or (stated and "store" not in data):
        return load_config(path, env=env)
    return _config(file, path, ())


def default_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """What `load_config` gives for an empty file at `path`, where there is none."""
    return _load("", path, env, found=False)


def _read_text(path: Path) -> str:
    try:
        content = _read_regular(path)
    except FileNotFoundError:
        todo = "write one with `aggregator init`, or name another with --config"
        what = "there is no such file"
        if path.is_symlink():
            what, todo = "the link leads to no file", "remove it, or put the file there"
        raise ConfigError((Problem(str(path), 0, 0, what, todo=todo),)) from None
    except OSError as error:
        ShortageError.check(error)
        what = f"the file cannot be read: {error.strerror}"
        raise ConfigError((Problem(str(path), 0, 0, what, todo="make it a file that can be read"),)) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = Problem(str(path), line, column, "the file is not UTF-8", todo="save it as UTF-8")
        raise ConfigError((problem,)) from None


def _read_regular(path: Path) -> bytes:
    """The bytes of a regular file: a pipe would be waited for, and a device may have no end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise OSError(errno.EFBIG, f"it is over {MAX_CONFIG_BYTES:,} bytes")
    return content


def _load(text: str, path: Path, env: Mapping[str, str], *, found: bool) -> Config:
    deep = ConfigError((_deep_problem(path),))
    if _DEEP_KEY.search(text):
        raise deep
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise deep from None
    except ValueError as error:  # also what int() says of a number with thousands of digits
        raise ConfigError((syntax_problem(error, file=str(path), text=text),)) from None
    if _is_deep(data):
        raise deep
    variables, problems = apply_environment(data, env)
    absolute = path.absolute()
    file, findings = _validate(data, absolute.parent)
    findings += [*find_conflicts(file, absolute), *find_gaps(data)]
    if findings:  # only then are positions worth a second reading
        problems += place_findings(findings, file=str(path), text=text, variables=variables)
    if any(problem.level == "error" for problem in problems):
        raise ConfigError(tuple(problems))
    return _config(file, path if found else None, tuple(problems))


def _is_deep(data: dict[str, Any]) -> bool:
    """Whether values are nested deeper than MAX_DEPTH: what reads them further on takes a part of the stack for each
    level."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return bool(level)


def _deep_problem(path: Path) -> Problem:
    what = f"tables or arrays are nested over {MAX_DEPTH} deep"
    return Problem(str(path), 0, 0, what, todo="write the keys that `aggregator init` shows")


def _readable_tables(text: str) -> dict[str, Any]:
    """The tables of a text that is not TOML as a whole: those that go with the ones before them."""
    return tomllib.loads(_keep_readable("", re.split(r"^(?=[ \t]*\[)", text, flags=re.MULTILINE)))


def _keep_readable(kept: str, tables: list[str]) -> str:
    """`kept`, and after it the tables that can be read with what is before them: all at once, or half by half."""
    try:
        tomllib.loads(both := kept + "".join(tables))
        return both
    except (ValueError, RecursionError):
        half = len(tables) // 2
        return _keep_readable(_keep_readable(kept, tables[:half]), tables[half:]) if half else kept


def _validate(data: dict[str, Any], base: Path) -> tuple[File, list[Finding]]:
    """The file and all that is wrong with its keys. Wrong ones have their default, so that the rest can be checked."""
    try:
        return File.model_validate(data, context=base), []
    except ValidationError as error:
        findings = findings_of(error)
        usable = _without(data, (finding.path for finding in findings))
        return File.model_validate(usable, context=base), findings


def _without(data: dict[str, Any], paths: Iterable[KeyPath]) -> dict[str, Any]:
    """The data less the key of a table, or else the whole table, on each of the paths."""
    kept = {name: dict(table) if isinstance(table, dict) else table for name, table in data.items()}
    for name, *rest in paths:
        table = kept.get(str(name))
        keys = [part for part in rest if isinstance(part, str)]
        if isinstance(table, dict) and keys:
            table.pop(keys[0], None)
        else:
            kept.pop(str(name), None)
    return kept


def _config(file: File, path: Path | None, warnings: tuple[Problem, ...]) -> Config:
    tables = read_tables(file.topics)
    feeds = tuple(_spec(table, file.site, tables) for table in file.feed)
    body_base = file.site.base_url if any(spec.full for spec in feeds) else None
    return Config(
        site=file.site,
        sources=tuple(_source(table, file.site, body_base) for table in file.records),
        schedule=file.schedule,
        store=file.store,
        output=file.output,
        serve=file.serve,
        topics=file.topics,
        tables=tables,
        feeds=feeds,
        ingest=file.ingest,
        path=path,
        warnings=warnings,
    )


def _source(table: RecordsTable, site: SiteTable, body_base: str | None) -> Source:
    fields = PRESETS[table.preset] | table.fields
    return Source(
        name=table.name or "",
        root=str(table.path),
        include=table.include,
        fields=tuple(fields.items()),
        default_published=table.default_published,
        max_bytes=table.max_bytes,
        max_depth=table.max_depth,
        max_nodes=table.max_nodes,
        removal_grace=table.removal_grace,
        topics=table.topics,
        link_template=table.link_template,
        timezone=site.timezone,
        body_base=body_base,
        layout="plain" if table.preset == "smartable" else table.preset,
        language=site.language,
        exclude=table.exclude,
    )


def _spec(table: FeedTable, site: SiteTable, tables: TopicTables) -> FeedSpec:
    return FeedSpec(
        slug=table.slug,
        title=table.title or "",
        description=table.description or "",
        image=table.image or "",
        language=table.language if isinstance(table.language, str) else "",
        rule=_rule(table, site, tables),
        full=table.content == "full",
        limit=table.limit,
        moved_from=table.moved_from,
        max_age=table.max_age,
        per_provider=table.per_provider,
    )


def _rule(table: FeedTable, site: SiteTable, tables: TopicTables) -> Rule:
    language = table.language if isinstance(table.language, ClauseTable) else None
    return Rule(
        topics=_clause(table.topics, lambda name: tables.topic(fold(name))),
        category=_clause(table.category),
        type=_clause(table.type),
        provider=_clause(table.provider),
        language=_clause(language),
        default_language=fold(site.language) if language else "",
        min_quality=table.min_quality,
        min_heat=table.min_heat,
        text=_clause(table.text, parse_phrase),
        order=table.order,
        duplicates=table.duplicates,
    )


def _clause(table: ClauseTable | TextTable | None, read: Callable[[str], str] = fold) -> Clause:
    if table is None:
        return NO_CLAUSE
    return Clause(*(frozenset(map(read, values or ())) for values in (table.any, table.all, table.none)))
