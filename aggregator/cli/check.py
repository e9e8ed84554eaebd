"""`aggregator check`: the problems of the config and of records, as the next cycle would find them. Writes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import click

from aggregator.cli.kept_lint import KeptLint
from aggregator.cli.link_lint import LinkLint
from aggregator.cli.options import DEFAULT_CONFIG, config_option, json_option, load_config
from aggregator.cli.preset_lint import PresetLint
from aggregator.cli.printing import UNUSABLE, WRONG, print_data, print_lines, print_message, print_table, quote_text
from aggregator.cli.skipped_files import find_skipped
from aggregator.cli.stores import StoredSite, candidate_places, has_published, read_site, store_problem
from aggregator.cli.text_lint import TextLint
from aggregator.cli.topic_lint import TopicLint
from aggregator.config import Config, toml_text
from aggregator.errors import ConfigError
from aggregator.files import FolderError, Unreadable, open_files
from aggregator.files.quoting import Quote, quote_line
from aggregator.ingest import ingest_files
from aggregator.model import NoRecord, Outcome, Record, Rejection, SourceFile, duplicate_id, late_update
from aggregator.output.bucket import bucket_problem
from aggregator.problems import Level, Problem, place_problem, shortened_path, shown_path, tag_problem, visible
from aggregator.scan import list_records
from aggregator.settings import Source
from aggregator.site import loopback_warning, lost_config, port_warning, site_id_warning

EPILOG = """\b
Examples:
  aggregator check
  aggregator check 2024/05/chips.md
  aggregator check --format github     annotations in a GitHub workflow
"""

Kind = Level | Literal["unfinished"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with a path that can be opened from the working directory."""

    problem: Problem
    quote: Quote | None = None  # the line in the file, if it may be shown
    is_unfinished: bool = False

    @property
    def kind(self) -> Kind:
        """Its level, or that its file is unfinished."""
        return "unfinished" if self.is_unfinished else self.problem.level

    def __str__(self) -> str:
        return str(self.problem) if self.kind == "error" else str(tag_problem(self.problem, self.kind))


@dataclass(frozen=True, slots=True)
class Place:
    """A record or a folder of records."""

    source: Source
    path: str  # below the folder of the source, escaped; empty for that folder


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.option("--format", "style", type=click.Choice(["text", "github"]), default="text", help="Output format.")
@click.argument("paths", nargs=-1, metavar="[PATH…]")
def check(config_path: Path | None, *, as_json: bool, style: str, paths: tuple[str, ...]) -> None:
    """Check the config and the records, one line for each problem. Writes nothing.

    PATH is a record or a folder, relative to a records folder or to the working directory; or a URL, s3://…, of records
    in a bucket. Without PATH, everything is checked, and the config is compared with the store and with the topics of
    all records.

    Exits with 1 if there is an error, or if a PATH gives no file.
    """
    try:
        config = load_config(config_path, show_warnings=False)
    except ConfigError as error:
        _print_findings([*map(Finding, error.problems)], 0, style, as_json=as_json)
        sys.exit(UNUSABLE)
    stored = read_site(config)
    found, records = _find_problems(config, paths, stored)
    findings = [*map(Finding, config.warnings), *found]
    _print_findings(findings, records, style, as_json=as_json)
    if warning := site_id_warning(config, stored.facts.get("site_id")):
        print_message(warning)
    kinds: list[str] = [finding.kind for finding in findings]
    errors, warnings, unfinished = map(kinds.count, ("error", "warning", "unfinished"))
    counts = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}, {unfinished} unfinished"
    print_message(f"{_counted(records, 'record')}: {counts}")
    if errors:
        sys.exit(WRONG)


def _find_problems(config: Config, paths: Sequence[str], stored: StoredSite) -> tuple[list[Finding], int]:
    """The problems below `paths` and the number of records there. Without paths, of everything: the site, all records,
    topics, files that are not read, URLs."""
    counts: list[int] = []
    now = datetime.now(UTC)
    lints = PresetLint(config, is_new=not stored.facts), KeptLint(config, now, all_records=not paths)
    site_lints = () if paths else (TopicLint(config, stored.topic_slugs), TextLint(config, now), LinkLint(config, now))

    def add(record: Record) -> None:
        for lint in (*lints, *site_lints):
            lint.add(record)

    missing = {} if paths else _never_there(config)
    first = [] if paths else [*_check_site(config, stored), *missing.values()]
    places = [] if paths else [Place(source, "") for source in config.sources if source.name not in missing]
    for path in paths:
        found = _find_places(config.sources, path)
        places += found
        if not found:
            what = "is in no records folder" if os.path.exists(path) else "does not exist"
            first.append(Problem(path, 0, 0, what, None, "name a record, or a folder in a records folder"))
    findings = list(check_records(places, config.workers, now, counts.append, add))
    last = [problem for lint in lints for problem in lint.problems()]
    if not paths:
        last += find_skipped(config)
        last += (problem for lint in site_lints for problem in lint.problems())
        if config.may_have_store:
            from aggregator.cycle.rehearsal import lost_urls  # imports the store

            last += lost_urls(config, now)
    return [*map(Finding, first), *findings, *map(Finding, last)], sum(counts)


# text


def _print_findings(findings: Sequence[Finding], records: int, style: str, *, as_json: bool) -> None:
    data = {"records": records, "problems": [finding.problem.data() | {"kind": finding.kind} for finding in findings]}
    lines = [github_line(finding.problem) if style == "github" else str(finding) for finding in findings]
    has_quotes = style == "text" and sys.stdout.isatty()  # others read one line for each problem

    def show(_: object) -> None:
        for finding, line in zip(findings, lines, strict=True):
            print_lines([line])
            if finding.quote and has_quotes:
                print_table(quote_text(*finding.quote))

    print_data(data, show, as_json=as_json)


def github_line(problem: Problem) -> str:
    """A problem as an annotation of a GitHub workflow."""

    def escaped(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    path = escaped(visible(problem.path)).replace(":", "%3A").replace(",", "%2C")
    place = f"file={path},line={problem.line or 1},col={problem.column or 1}"
    return f"::{problem.level} {place}::{escaped(problem.text)}"


def _counted(number: int, noun: str, nouns: str = "") -> str:
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


# places


def _find_places(sources: Sequence[Source], path: str) -> list[Place]:
    """The records or folders that a path names: in each source that reads files there, else in the first that could.
    Raises UsageError for a bucket that cannot be used."""
    found = []
    for source, below in candidate_places(sources, path):
        try:
            with open_files(source) as files:
                if not below or files.kind(below):
                    found.append(Place(source, below))
        except FolderError as error:
            if source.is_bucket:
                raise click.UsageError(error.message(source)) from None
    read = [place for place in found if not place.path or any(list_records(place.source, place.path))]
    return list(dict.fromkeys(read)) or found[:1]


# records


def check_records(
    places: Sequence[Place], workers: int, now: datetime, count: Callable[[int], None], add: Callable[[Record], None]
) -> Iterator[Finding]:
    """The problems of the records at or below `places` at the time `now`. Calls `count` with the number of files of
    each batch, and `add` with each record. A place below a records folder must have a file."""
    holders: dict[str, str] = {}
    for place in places:
        unreadable: list[Unreadable] = []
        is_empty = bool(place.path)
        try:
            for outcomes in ingest_files(place.source, _list_files(place, unreadable), workers=workers):
                is_empty = is_empty and not outcomes
                count(sum(not isinstance(outcome, NoRecord) for outcome in outcomes))
                for outcome in outcomes:
                    if isinstance(outcome, Record):
                        add(outcome)
                    if not _is_reported_elsewhere(place, outcome):
                        yield from _judge(place.source, outcome, holders, now)
            for folder in unreadable:
                path = shortened_path(shown_path(place.source.root, folder.path.rstrip("/")))
                what, hint = f"cannot be read: {folder.reason}", f"no record below it is read; {folder.hint}"
                yield Finding(Problem(path, 0, 0, what, None, hint))
            if is_empty and not unreadable:
                what = "no scan reads a file there"
                hint = "name a file that `include` matches, not behind a linked folder or a name with a dot first"
                yield Finding(Problem(shown_path(place.source.root, place.path), 0, 0, what, None, hint))
        except FolderError as error:
            yield Finding(error.problem(place.source))


def _never_there(config: Config) -> dict[str, Problem]:
    """The problem of each source whose folder is missing and has no published entries, by name: its path is wrong."""
    positions, found = config.positions, dict[str, Problem]()
    for source in config.sources:
        if source.is_bucket or os.path.lexists(source.root) or has_published(config, source):
            continue
        path, line = positions.file or str(DEFAULT_CONFIG), positions.record_key(source.name, "path")
        what, hint = "the records folder does not exist", "make it, or correct path"
        found[source.name] = Problem.on_line(path, line, what, shown_path(source.root, ""), hint)
    return found


def _is_reported_elsewhere(place: Place, outcome: Outcome) -> bool:
    """Whether the problem of a file is that of another one, which is checked too."""
    below = f"{place.path}/" if place.path else ""
    return isinstance(outcome, Rejection) and bool(outcome.cause) and outcome.cause.startswith(below)


def _list_files(place: Place, unreadable: list[Unreadable]) -> Iterator[tuple[SourceFile, None]]:
    """The files at or below a place. Adds the folders there that cannot be read to `unreadable`."""
    for item in list_records(place.source, place.path):
        if isinstance(item, Unreadable):
            unreadable.append(item)
        else:
            yield item, None


def _judge(source: Source, outcome: Outcome, holders: dict[str, str], now: datetime) -> Iterator[Finding]:
    """The problems of one file. `holders` has the paths of the explicit ids of earlier records."""

    def find(problem: Problem, *, unfinished: bool = False) -> Finding:
        return Finding(place_problem((source,), source.name, problem), quote_line(source, problem), unfinished)

    if isinstance(outcome, Rejection) and outcome.unfinished:
        yield find(replace(outcome.problem, level="warning"), unfinished=True)
    elif isinstance(outcome, Rejection):
        yield find(outcome.problem)
    elif isinstance(outcome, Record):
        for problem in (*outcome.warnings, late_update(outcome, now)):
            if problem:
                yield find(problem)
        if outcome.public and _is_bare(outcome):
            keys = dict(source.fields)
            names = [f"'{name}'" for field in ("summary", "link") for name in keys[field][:1]]
            hint = f"add {' or '.join(names)}, or write a body"
            what = "a reader sees only the title"
            yield find(Problem(outcome.file.path, 1, 1, what, None, hint, "warning"))
        if outcome.explicit_id is not None:
            holder = holders.setdefault(outcome.explicit_id, outcome.file.path)
            if holder != outcome.file.path:
                yield find(duplicate_id(outcome, holder))


def _is_bare(record: Record) -> bool:
    """Whether a reader sees only the title, and words that sort the entry."""
    return not any(record.content._replace(title="", provider=None, topics=(), category="", type="", language=""))


# config and store


def _check_site(config: Config, stored: StoredSite) -> Iterator[Problem]:
    """What a cycle would refuse or warn of, apart from records."""
    positions = config.positions
    find = partial(Problem.on_line, positions.file or str(DEFAULT_CONFIG))

    site_id = stored.facts.get("site_id")
    if site_id is not None and config.site.id not in (None, site_id):
        what = f"'id' is not the id in the store, {site_id!r}: a run is refused, because all ids would change"
        yield find(positions.line(("site", "id")), what, config.site.id, f"write id = {toml_text(site_id)}")
    if refusal := lost_config(config, stored.facts):
        yield find(positions.line(("site", "id")), refusal.removeprefix(f"{config.path}: "))
    if renamed := stored.renamed:
        yield find(positions.record_key(renamed.name, "name"), str(renamed))
    for name, count in stored.dropped.items():
        what = f"no [[records]] has this name any more; its {_counted(count, 'published entry', 'published entries')}"
        hint = "put it back if that is not meant"
        yield find(None, f"{what} would be withdrawn after removal_grace", name, hint, "warning")
    if problem := store_problem(config):
        yield find(positions.line(("store", "url")), problem)
    if problem := bucket_problem(config.output.path):
        yield find(positions.line(("output", "path")), problem)
    if warning := loopback_warning(config):
        yield find(positions.line(("site", "base_url")), warning, level="warning")
    if warning := port_warning(config, config.serve.port):
        yield find(positions.line(("serve", "port")), warning, level="warning")
