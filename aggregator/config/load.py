"""Loads, checks and converts the config file and its overrides."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aggregator.config.conflicts import find_conflicts
from aggregator.config.environment import apply_environment
from aggregator.config.errors import KeyProblem, findings_of, place_findings, syntax_problem
from aggregator.config.positions import ConfigPositions
from aggregator.config.presets import PRESETS, other_keys, unread_problem
from aggregator.config.schema import (
    ClauseTable,
    FeedTable,
    File,
    IngestTable,
    LogTable,
    OutputTable,
    RecordsTable,
    ScheduleTable,
    ServeTable,
    SiteTable,
    StoreTable,
    TextTable,
    TopicsTable,
    WebsubTable,
)
from aggregator.config.topics import read_tables
from aggregator.config.values import shortest_gap_minutes, sqlite_file
from aggregator.errors import ConfigError, ShortageError
from aggregator.feeds.phrases import parse_phrase
from aggregator.feeds.rules import fold
from aggregator.model import Unread
from aggregator.output.redirects import Redirects
from aggregator.paths import read_regular
from aggregator.problems import Problem, place_of_byte
from aggregator.settings import NO_CLAUSE, Clause, FeedPolicy, FeedSpec, OutputOptions, Rule, Site, Source
from aggregator.toml_positions import KeyPath, Locator, find_long_key
from aggregator.topic_tables import TopicTables

MAX_CONFIG_BYTES = 8_000_000
"""A config that pins ten thousand topics has a tenth of it."""
MAX_DEPTH = 32
"""Nested tables and arrays. The schema has six levels."""
_NAMES_STORE = re.compile(r"""^[ \t\[]*+["']?store["']?[ \t]*+[\].=]""", re.MULTILINE)
"""A line with the table or a key of the store, however it is spelled."""
_MIN_TTL_MINUTES = 15
_MAX_WORKERS = 4  # more do not help: one process stores everything


@dataclass(frozen=True, slots=True)
class Config:
    """A valid config, with absolute paths."""

    site: SiteTable
    sources: tuple[Source, ...]
    schedule: ScheduleTable
    store: StoreTable
    output: OutputTable
    serve: ServeTable
    topics: TopicsTable
    tables: TopicTables
    feeds: tuple[FeedSpec, ...]
    websub: WebsubTable
    ingest: IngestTable
    log: LogTable
    path: Path | None  # the file as it was given; None without a file
    warnings: tuple[Problem, ...]
    positions: ConfigPositions = field(compare=False)
    stated_tables: tuple[str, ...] = field(compare=False)  # of the file; none if it is empty, or has only comments

    @property
    def workers(self) -> int:
        """How many processes may read files; by default as many as there are cores, up to 4."""
        return min(os.cpu_count() or 1, _MAX_WORKERS) if self.ingest.workers is None else self.ingest.workers

    @property
    def may_have_store(self) -> bool:
        """Whether the store may exist; for SQLite, whether it does, or is in a folder that we may not enter."""
        file = sqlite_file(self.store.url)
        try:
            return file is None or bool(os.stat(file))
        except OSError as error:
            return isinstance(error, PermissionError)

    def unread_problems(self, found: Mapping[str, Sequence[Unread]], *, is_new: bool = False) -> list[Problem]:
        """A warning for each source with records whose keys only another preset reads. `found`: these, by source.
        `is_new`: there is no store yet."""
        file, line_of = self.positions.file, self.positions.record_key
        return [
            unread_problem(file, line_of(source.name, "preset"), source, found[source.name], is_new=is_new)
            for source in self.sources
            if source.name in found
        ]

    def site_facts(self) -> Site:
        """The site, as every document names it."""
        return Site(
            title=self.site.title,
            base_url=self.site.base_url,
            language=self.site.language,
            author=self.site.author or "",
            icon=self.site.icon or "",
            copyright=self.site.copyright or "",
            ttl=max(_MIN_TTL_MINUTES, self._gap // timedelta(minutes=1)),
            hub_urls=self.websub.hub,
            feed_title=self.site.feed_title,
            stylesheet=self.site.stylesheet or "",
            timezone=self.site.timezone,
            description=self.site.description or "",
        )

    def output_options(self) -> OutputOptions:
        """The documents of a feed."""
        output = self.output
        return OutputOptions(output.formats, output.pages, output.max_bytes, output.remote_media)

    def feed_policy(self) -> FeedPolicy:
        """What decides the window of every feed."""
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
            full=self.output.content == "full",
            specs={spec.slug: spec for spec in self.feeds},
            tables=self.tables,
        )

    @property
    def max_age_s(self) -> int:
        """How long caches may keep a document: half the time between two cycles."""
        return max(15, min(300, self._gap // timedelta(seconds=2)))

    @property
    def _gap(self) -> timedelta:
        schedule = self.schedule
        return timedelta(minutes=shortest_gap_minutes(schedule.cron)) if schedule.cron else schedule.every

    def redirects(self, topics: Mapping[str, str] | None = None) -> Redirects:
        """The old URLs of feeds; `topics` maps old slugs of topics to new ones."""
        return Redirects(self.feeds, self.output_options(), topics)


def load_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """The config of a file, with the overrides of the environment. Raises ConfigError with all problems."""
    return _load(read_utf8(path, MAX_CONFIG_BYTES), path, env, exists=True)


def config_of_text(text: str, path: Path) -> Config:
    """The config of a text, as if it were the file at `path`. Raises ConfigError with all problems."""
    return _load(text, path, {}, exists=True)


def partial_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """The valid parts of a file that `load_config` refuses, to show the status of a service that uses an older config.

    Raises the same ConfigError if the store URL cannot be read.
    """
    text = read_utf8(path, MAX_CONFIG_BYTES)
    if find_long_key(text) or _is_deep(data := _readable_tables(text)):
        raise _deep_error(path)
    stated = tuple(sorted(data))
    apply_environment(data, env)
    file, findings = _validate(data, path.absolute().parent)
    if any(finding.path[0] == "store" for finding in findings) or ("store" not in data and _NAMES_STORE.search(text)):
        return load_config(path, env=env)
    return _make_config(file, path, (), Locator(""), stated)


def default_config(path: Path, *, env: Mapping[str, str]) -> Config:
    """The config of an empty file at `path`, where there is no file."""
    return _load("", path, env, exists=False)


def read_utf8(path: Path, max_bytes: int, shown: str = "") -> str:
    """The text of a file without a byte order mark. Raises ConfigError, which names the file as it is `shown`."""
    shown = shown or str(path)
    try:
        content = read_regular(path, max_bytes)
    except FileNotFoundError:
        if path.is_symlink():
            raise _file_error(shown, "the link leads to no file", "remove it, or put the file there") from None
        hint = "write one with `aggregator init`, or name another with --config"
        raise _file_error(shown, "there is no such file", hint) from None
    except OSError as error:
        ShortageError.check(error)
        what = f"the file cannot be read: {error.strerror}"
        raise _file_error(shown, what, "make it a file that can be read") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_of_byte(content, error.start)
        raise _file_error(shown, "the file is not UTF-8", "save it as UTF-8", line, column) from None


def _load(text: str, path: Path, env: Mapping[str, str], *, exists: bool) -> Config:
    data = _parse(text, path)
    stated = tuple(sorted(data))
    variables, problems = apply_environment(data, env)
    absolute = path.absolute()
    file, findings = _validate(data, absolute.parent)
    findings += find_conflicts(file, absolute)
    locator = Locator(text)
    problems += place_findings(findings, file=str(path), locator=locator, variables=variables)
    if any(problem.level == "error" for problem in problems):
        raise ConfigError(tuple(problems))
    return _make_config(file, path if exists else None, tuple(problems), locator, stated)


def _parse(text: str, path: Path) -> dict[str, Any]:
    if find_long_key(text):
        raise _deep_error(path)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise _deep_error(path) from None
    except ValueError as error:  # also for numbers with thousands of digits
        raise ConfigError((syntax_problem(error, file=str(path), text=text),)) from None
    if _is_deep(data):
        raise _deep_error(path)
    return data


def _is_deep(data: dict[str, Any]) -> bool:
    """Whether values are nested deeper than MAX_DEPTH. The functions that read them are recursive."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return bool(level)


def _deep_error(path: Path) -> ConfigError:
    what = f"tables or arrays are nested over {MAX_DEPTH} deep"
    return _file_error(str(path), what, "write the keys that `aggregator init` shows")


def _file_error(path: str, what: str, hint: str, line: int = 0, column: int = 0) -> ConfigError:
    return ConfigError((Problem(path, line, column, what, None, hint),))


def _readable_tables(text: str) -> dict[str, Any]:
    """The tables of an invalid TOML text that can be parsed together."""
    tables = re.split(r"^(?=[ \t]*\[)", text, flags=re.MULTILINE)
    try:
        return tomllib.loads("".join(_readable_parts(tables)))
    except (ValueError, RecursionError):  # tables that contradict each other
        return tomllib.loads(_keep_readable("", tables))


def _readable_parts(tables: list[str]) -> Iterator[str]:
    """The tables that can be parsed by themselves, found by bisection."""
    part, half = "".join(tables), len(tables) // 2
    try:
        tomllib.loads(part)
        yield part
    except (ValueError, RecursionError):
        if half:
            yield from _readable_parts(tables[:half])
            yield from _readable_parts(tables[half:])


def _keep_readable(kept: str, tables: list[str]) -> str:
    """`kept` and the tables that can be parsed after it: all of them, or those found by bisection."""
    try:
        tomllib.loads(both := kept + "".join(tables))
        return both
    except (ValueError, RecursionError):
        half = len(tables) // 2
        return _keep_readable(_keep_readable(kept, tables[:half]), tables[half:]) if half else kept


def _validate(data: dict[str, Any], base: Path) -> tuple[File, list[KeyProblem]]:
    """The validated file and its findings. Invalid keys get their defaults, so that the rest is checked too."""
    try:
        return File.model_validate(data, context=base), []
    except ValidationError as error:
        findings = findings_of(error)
        usable = _without(data, (finding.path for finding in findings))
        return File.model_validate(usable, context=base), findings


def _without(data: dict[str, Any], paths: Iterable[KeyPath]) -> dict[str, Any]:
    kept = {name: dict(table) if isinstance(table, dict) else table for name, table in data.items()}
    for name, *rest in paths:
        table = kept.get(str(name))
        keys = [part for part in rest if isinstance(part, str)]
        if isinstance(table, dict) and keys:
            table.pop(keys[0], None)
        else:
            kept.pop(str(name), None)
    return kept


def _make_config(
    file: File, path: Path | None, warnings: tuple[Problem, ...], locator: Locator, stated: tuple[str, ...]
) -> Config:
    tables = read_tables(file.topics)
    feeds = tuple(_spec(table, file, tables) for table in file.feed)
    has_full_feed = file.output.content == "full" or any(spec.full for spec in feeds)
    body_base = file.site.base_url if has_full_feed else None
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
        websub=file.websub,
        ingest=file.ingest,
        log=file.log,
        path=path,
        warnings=warnings,
        positions=ConfigPositions(None if path is None else str(path), locator, file, tables),
        stated_tables=stated,
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
        default_topics=table.default_topics,
        link_template=table.link_template,
        timezone=site.timezone,
        body_base=body_base,
        layout="plain" if table.preset == "smartable" else table.preset,
        language=table.language or site.language,
        site_language="" if table.language in (None, site.language) else site.language,
        exclude=table.exclude,
        languages=table.languages,
        site_url=table.site_url,
        other_keys=other_keys(fields, table.fields),
    )


def _spec(table: FeedTable, file: File, tables: TopicTables) -> FeedSpec:
    return FeedSpec(
        slug=table.slug,
        title=table.title or "",
        description=table.description or "",
        image=table.image or "",
        language=table.language if isinstance(table.language, str) else "",
        rule=_rule(table, file.site, tables),
        full=(table.content or file.output.content) == "full",
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
