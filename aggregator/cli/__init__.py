"""The commands. They alone print: data on stdout, messages on stderr.

Exit codes: 0 fine, 1 something was found wrong, 2 usage, config, port or store, 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator import __version__
from aggregator.cli.printing import draw, echo, echo_lines, lost_data, open_streams, say
from aggregator.display import json_text, visible_facts
from aggregator.errors import AggregatorError, ConfigError, StoppedError, StoreError, StoreHeldError, StoreMissingError
from aggregator.logs import start_logging

if TYPE_CHECKING:
    from aggregator.cli.checking import Finding
    from aggregator.config import Config
    from aggregator.model import FeedMoves, UrlChange
    from aggregator.pipeline import Progress
    from aggregator.problems import Problem
    from aggregator.store.database import Store

DEFAULT_CONFIG = Path("config/aggregator.toml")
BUILD_WAIT_S = 30.0
GC_THRESHOLD = 50_000
"""New objects between collections. Almost all of those that imports make stay, and looking through them takes time."""
FOUND_WRONG, UNUSABLE, INTERRUPTED = 1, 2, 130

EPILOG = """\b
First steps:
  aggregator init    write config/aggregator.toml and make its folders
  aggregator run     start the service; open the address it prints
"""


EXPLAIN_EPILOG = """\b
Examples:
  aggregator explain 2024/05/chips.md
  aggregator explain https://example.org/chips
  aggregator explain urn:uuid:… --json
"""
PREVIEW_EPILOG = """\b
Examples:
  aggregator preview ai
  aggregator preview ai --config new.toml    what a new config would change
"""


def main() -> None:
    """Runs the command line and exits with its code."""
    gc.set_threshold(GC_THRESHOLD)
    atexit.register(gc.freeze)  # what is left goes with the process; nothing is gained by looking through it
    open_streams()
    try:
        commands(standalone_mode=False)
    except click.exceptions.Exit as finished:
        sys.exit(finished.exit_code)
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        for line in usage.getvalue().splitlines():
            say(line)
        sys.exit(UNUSABLE)
    except (click.Abort, KeyboardInterrupt, StoppedError) as stopped:
        say(str(stopped) or "interrupted")
        sys.exit(INTERRUPTED)
    except AggregatorError as error:
        for line in str(error).splitlines():
            say(line if isinstance(error, ConfigError) else f"error: {line}")
        sys.exit(UNUSABLE)


class _Moment(click.ParamType[datetime]):
    """A time with its zone, such as 2026-05-20T07:10:00Z (RFC 3339)."""

    name = "RFC3339"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(f"{value!r} is not a time with its zone (write it as 2026-05-20T07:10:00Z)", param, ctx)
        return moment.astimezone(UTC)


def _or_before(context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    """The config that is named after the command, else before it, else in the environment."""
    return value or context.find_root().params["config_path"]


def _config_option(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    kind = click.Path(path_type=Path)
    return click.option("-c", "--config", "config_path", type=kind, callback=_or_before, help=text)


config_option = _config_option(f"Config file.  [default: {DEFAULT_CONFIG}]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log what is done in detail, too.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Log only what is wrong.")


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="AGGREGATOR_CONFIG",
    help="Config file, before or after the command; or name it in AGGREGATOR_CONFIG.",
)
@click.version_option(__version__, "-V", "--version", prog_name="aggregator")
def commands(config_path: Path | None) -> None:  # noqa: ARG001 - the commands read it from the context
    """Turns a folder of record files into RSS, Atom and JSON feeds that people subscribe to.

    A record is a text file with front matter. Every topic that a published record has gets a feed.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise AggregatorError(
            f"the working folder cannot be used: {error.strerror} (change to one that is there, such as: cd /)"
        ) from None


@commands.command(short_help="Run the service: scan, write the feeds, serve them.")
@config_option
@verbose_option
@quiet_option
def run(config_path: Path | None, *, verbose: bool, quiet: bool) -> None:
    """Run the service: scan on schedule and on changes, write the feeds, serve them over HTTP.

    A changed config takes effect when it is saved, or is refused and said to be; SIGHUP asks for it to be read too.
    Ends cleanly on Ctrl-C or SIGTERM. Logs go to stderr.
    """
    import aggregator.parse.record
    import aggregator.render.pages  # noqa: F401 - the first change must not wait for these two
    from aggregator.serve.server import bind_socket, make_server
    from aggregator.service.process import raise_file_limit
    from aggregator.service.service import Service
    from aggregator.site import port_warning, site_id_warning

    if not os.isatty(0) and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service takes it; it reads the config then anyway
    config = load(config_path)
    _start_logging(config, verbose=verbose, quiet=quiet)
    raise_file_limit()
    socket = bind_socket(config.serve.host, config.serve.port)
    stop = threading.Event()
    with socket, writing_store(config, stop) as (store, site_id):
        for warning in (site_id_warning(config, site_id), port_warning(config, socket.getsockname()[1])):
            if warning:
                logging.getLogger(__name__).warning("%s", warning)
        service = Service(config, store, site_id, stop, config_path or DEFAULT_CONFIG)
        echo(f"Serving {address_of(socket.getsockname())} (Ctrl-C ends it)")
        if not service.run(make_server(service.app, socket)):
            os._exit(0)  # a thread that hangs cannot be ended; the store is as after a loss of power, and free


@commands.command(short_help="Serve an output folder that another process writes.")
@config_option
@verbose_option
@quiet_option
def serve(config_path: Path | None, *, verbose: bool, quiet: bool) -> None:
    """Serve an output folder that another process writes, and nothing else."""
    from aggregator.serve.server import bind_socket
    from aggregator.service.process import raise_file_limit
    from aggregator.service.serving import serve_folder

    config = load(config_path)
    _start_logging(config, verbose=verbose, quiet=quiet)
    raise_file_limit()
    stop = threading.Event()
    with bind_socket(config.serve.host, config.serve.port) as socket, stopped_by_signals(stop):
        echo(f"Serving {address_of(socket.getsockname())} (Ctrl-C ends it)")
        serve_folder(config, socket, stop)


@commands.command(short_help="Run one cycle and exit: for cron, CI and static hosting.")
@config_option
@json_option
@click.option("--now", type=_Moment(), help="The content's time instead of the clock's, for a build to repeat.")
@click.option("--strict", is_flag=True, help="Exit 1 if a record is rejected or anything else is wrong, too.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing; print what would change in feeds and URLs.",
)
@click.option("--accept-removals", is_flag=True, help="Withdraw vanished records at once, however many.")
def build(
    config_path: Path | None, as_json: bool, now: datetime | None, strict: bool, dry_run: bool, accept_removals: bool
) -> None:
    """Run one cycle and exit: for cron, CI and static hosting.

    Waits up to 30 s while a service or another build holds the store. Exits 1 if a folder of records could not be read
    or a feed could not be written.
    """
    from aggregator.cli import reports
    from aggregator.cli.checking import folder_problem
    from aggregator.pipeline import Pipeline

    config = load(config_path)
    if dry_run:
        moves, urls, wrong = rehearse_build(config, now or datetime.now(UTC), accept_removals=accept_removals)
        facts = reports.moves_facts(moves, urls)
        tell(facts, as_json, lambda _: echo_lines(reports.moves_lines(moves, urls)))
        if not moves:
            say("no feed would change its entries")
        unread = any(map(folder_problem, config.sources))
        sys.exit(FOUND_WRONG if unread or (strict and wrong) else 0)
    stop = threading.Event()
    with writing_store(config, stop) as (store, site_id), shown_progress() as progress:
        pipeline = Pipeline(config, store, site_id, stop=stop, progress=progress)
        result = pipeline.run(now or datetime.now(UTC), accept_removals=accept_removals)
        rejected = say_problems(config, store, (*result.problems, *result.notices), site_id)
    print_facts(reports.result_facts(result), as_json, lambda _: echo(reports.summary_line(result)))
    failed = not result.published or result.unwritten or result.unreadable
    if failed or (strict and (rejected or result.problems)):
        sys.exit(FOUND_WRONG)


@commands.command(short_help="Check the config and the records; write nothing.")
@config_option
@json_option
@click.option("--format", "style", type=click.Choice(["text", "github"]), default="text", help="How lines are written.")
@click.argument("paths", nargs=-1, metavar="[PATH…]")
def check(config_path: Path | None, as_json: bool, style: str, paths: tuple[str, ...]) -> None:
    """Check the config and the records, write nothing; one line a problem, exit 1 if there is an error.

    PATH is a record or a folder of records: in a records folder, or from here.
    """
    from aggregator.cli import reports
    from aggregator.cli.checking import Finding
    from aggregator.site import site_id_warning

    try:
        config = load(config_path)
    except ConfigError as error:
        tell_findings([Finding(problem, problem.level) for problem in error.problems], 0, as_json, style)
        sys.exit(UNUSABLE)
    kept = read_kept(config)
    findings, records = find_problems(config, paths, kept)
    tell_findings(findings, records, as_json, style)
    if warning := site_id_warning(config, kept.get("site_id")):
        say(warning)
    say(reports.count_line(records, [found.kind for found in findings]))
    if any(found.kind == "error" for found in findings):
        sys.exit(FOUND_WRONG)


@commands.command(short_help="Show cycles, counts, rejected records and feeds.")
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> None:
    """Show the last and next cycle, counts, feeds, rejected records with reasons, and at the end what is wrong.

    Works on a config that is refused too, while a service goes on with the last good one. Exits 1 while a folder of
    records cannot be read, the config is refused, the last cycle failed or feeds cannot be written.
    """
    from aggregator.cli import overview

    try:
        config = load(config_path)
    except ConfigError as error:
        config, facts = gather_beside(config_path or DEFAULT_CONFIG, error)
    else:
        with reading_store(config) as store:
            facts = overview.gather_status(config, store)
    tell(facts, as_json, lambda shown: draw(overview.draw_status(shown, config.site.timezone)))
    if facts["wrong"]:
        sys.exit(FOUND_WRONG)


@commands.command(short_help="List every feed and its address.")
@config_option
@json_option
@click.option(
    "--pin", is_flag=True, help="Print [topics.slugs] for the config, so that addresses stay without a store."
)
def feeds(config_path: Path | None, as_json: bool, pin: bool) -> None:
    """List every feed: slug, title, entries, newest entry, address.

    With --pin, print the slugs of topics as the table of the config that keeps them.
    """
    from aggregator.cli import overview

    config = load(config_path)
    if pin:
        with reading_store(config) as store, store.read() as connection:
            slugs, unnamed = overview.read_pins(config, connection)
        if unnamed:
            say(f"left out, because the config cannot hold their names: the topics of {', '.join(unnamed)}")
        tell(slugs, as_json, lambda _: echo_lines(overview.pin_lines(slugs)))
        return
    with reading_store(config) as store, store.read() as connection:
        facts = [overview.feed_facts(config, one) for one in overview.read_summaries(config, connection)]
    tell(facts, as_json, lambda shown: draw(overview.draw_feeds(shown, config.site.timezone)))


@commands.command(short_help="Show what a feed would hold now, also under another config.", epilog=PREVIEW_EPILOG)
@config_option
@json_option
@click.argument("slug")
def preview(config_path: Path | None, as_json: bool, slug: str) -> None:
    """Show the entries that the feed SLUG would hold now, and what would go in (+) and out (-).

    With --config NEW: under that config, compared with what the feed shows today; put it beside the one in force,
    because relative paths start at its folder. Only reads. Records that changed
    since the last cycle are as they were then; for those there is: aggregator build --dry-run
    """
    from aggregator.cli import answers
    from aggregator.rehearsal import preview_feed

    config = load(config_path)
    with reading_store(config) as store:
        preview = preview_feed(config, store, slug, datetime.now(UTC))
    tell(answers.preview_facts(preview), as_json, lambda shown: draw(answers.draw_preview(shown, config.site.timezone)))


@commands.command(short_help="Say of one record what was read, where it is, and why.", epilog=EXPLAIN_EPILOG)
@config_option
@json_option
@click.argument("record", metavar="PATH|URL|ID")
def explain(config_path: Path | None, as_json: bool, record: str) -> None:
    """Say of one record what was read and from which field, whether it is published, in which feeds it is, by which
    clause, and what became of it.

    PATH is looked up in each records folder, then from here. URL is its link, with or without tracking parameters. Only
    reads, also while the service runs.
    """
    from aggregator.cli import answers
    from aggregator.cli.explaining import explain_record

    config = load(config_path)
    with reading_store(config) as store:
        found = explain_record(config, store, record, datetime.now(UTC))
    facts = answers.explanation_facts(found)
    tell(facts, as_json, lambda shown: draw(answers.draw_explanation(shown, config.site.timezone)))


@commands.command(short_help="Print the JSON Schema of the config file.")
@click.option(
    "-c", "--config", type=click.Path(), expose_value=False, help="Not read: the schema is that of every config."
)
def schema() -> None:
    """Print the JSON Schema of the config file, for the completion of editors."""
    from aggregator.config import config_schema

    echo(schema_text(config_schema()))
    end_if_lost()


@commands.command(short_help="Write a commented config and make its folders.")
@_config_option("File to write, below DIR.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def init(folder: Path, config_path: Path | None) -> None:
    """Write a commented config/aggregator.toml into DIR (default: here) and make the folders it names.

    The site gets a new id, or keeps the id of the store that is there already.
    Its JSON Schema is written beside it, as aggregator.schema.json, for editors that complete keys (Taplo, Even Better
    TOML). After an upgrade: aggregator schema > config/aggregator.schema.json
    """
    import shlex
    import uuid

    from aggregator.config import SCHEMA_NAME, config_schema, default_config, init_text, load_config

    path = folder / (config_path or DEFAULT_CONFIG)
    kept = read_kept(default_config(path, env=os.environ)).get("site_id")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(init_text(kept or str(uuid.uuid4())))
        path.with_name(SCHEMA_NAME).write_text(schema_text(config_schema()) + "\n", encoding="utf-8")
        config = load_config(path, env={})
        made = [Path(source.root) for source in config.sources] + [config.output.path]
        for place in made:
            place.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise AggregatorError(f"{path} is there already (edit it, or remove it first)") from None
    except OSError as error:
        raise AggregatorError(f"{error.filename} cannot be written: {error.strerror}") from None
    lines = [f"Wrote {path}", *(f"Made  {os.path.relpath(place)}/" for place in made)]
    if kept:
        lines.append(f"The ids of entries are made from {kept!r}, as in the store that is there")
    command = f"aggregator run --config {shlex.quote(str(path))}" if config_path else "aggregator run"
    where = "" if folder == Path(".") or config_path else f"cd {shlex.quote(str(folder))} && "
    echo_lines([*lines, f"Next: put records into {os.path.relpath(made[0])}/, then: {where}{command}"])


def schema_text(schema: dict[str, Any]) -> str:
    """A JSON Schema as it is printed and written."""
    return json.dumps(schema, indent=2)


def load(path: Path | None) -> Config:
    """The config at `path`, or at its usual place; without one there, the defaults if there is a folder of records."""
    from aggregator.config import default_config, load_config

    if path is not None or _may_be_there(DEFAULT_CONFIG):
        config = load_config(path or DEFAULT_CONFIG, env=os.environ)
    else:
        config = default_config(DEFAULT_CONFIG, env=os.environ)
        root = Path(config.sources[0].root)
        if not os.path.isdir(root):
            raise AggregatorError(
                f"there is neither {DEFAULT_CONFIG} nor a folder {os.path.relpath(root)}/ here"
                " (make one with: aggregator init; or name a config with --config)"
            )
        say(f"no {DEFAULT_CONFIG}: taking the defaults, and the records in {os.path.relpath(root)}/")
    for warning in config.warnings:
        say(str(warning))
    return config


def _may_be_there(path: Path) -> bool:
    """Whether a path is in use: also by a link that leads nowhere, or in a folder that cannot be looked into."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_kept(config: Config) -> dict[str, str]:
    """What the store knows of the site, as far as it can be told: its id, the config that it was last written with."""
    if not config.may_have_store:
        return {}  # and nothing of the store needs to be imported
    from aggregator.site import CONFIG_KEY
    from aggregator.store.session import read_meta

    try:
        with reading_store(config) as store, store.read() as connection:
            found = {key: read_meta(connection, key) for key in ("site_id", CONFIG_KEY)}
    except StoreMissingError:
        return {}
    except StoreError as error:
        say(f"what the store knows was not compared: {error}")
        return {}
    return {key: value for key, value in found.items() if value is not None}


@contextmanager
def writing_store(config: Config, stop: threading.Event) -> Iterator[tuple[Store, str]]:
    """The store, ours to write, and the site's id. Until the end SIGTERM and SIGINT set `stop`."""
    from aggregator.site import open_configured
    from aggregator.store.database import open_store

    with stopped_by_signals(stop):
        store = open_store(config.store.url, create=True)
        try:
            take_lease(store, stop)
            try:
                yield store, open_configured(config, store)
            finally:
                store.lease.release()
        finally:
            store.close()


def take_lease(store: Store, stop: threading.Event) -> None:
    """Takes the store's lease, waiting for one that holds it. Raises StoreHeldError, and StoppedError when stopped."""
    try:
        store.lease.acquire(BUILD_WAIT_S, stopped=stop.is_set, waiting=lambda holder: say(f"waiting for {holder}"))
    except StoreHeldError as held:
        if stop.is_set():
            raise StoppedError(f"interrupted while waiting for {held.holder}") from None
        raise


@contextmanager
def reading_store(config: Config) -> Iterator[Store]:
    """The store, to read."""
    from aggregator.store.database import open_store

    store = open_store(config.store.url, create=False)
    try:
        yield store
    finally:
        store.close()


def gather_beside(path: Path, refused: ConfigError) -> tuple[Config, dict[str, Any]]:
    """The status while a service goes on without what its config says now. Raises `refused` again when none runs."""
    from aggregator.cli import overview
    from aggregator.config import partial_config

    config = partial_config(path, env=os.environ)
    with suppress(StoreError), reading_store(config) as store:
        facts = overview.gather_status(config, store, refused.problems)
        if facts["running"]:
            return config, facts
    raise refused


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; the same signal once more ends at once."""

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, before[number])
        stop.set()

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rehearse_build(
    config: Config, now: datetime, *, accept_removals: bool
) -> tuple[list[FeedMoves], tuple[UrlChange, ...], bool]:
    """What a build would change in feeds and URLs, and whether it would meet anything wrong, which is said on
    stderr."""
    from aggregator.rehearsal import rehearse

    with rehearse(config, now, scan=True, accept_removals=accept_removals) as rehearsal:
        problems = rehearsal.problems
        rejected = say_problems(config, rehearsal.store, (*problems, *rehearsal.notices), rehearsal.site_id)
        return rehearsal.moves(), rehearsal.urls(), bool(rejected or problems)


def find_problems(config: Config, paths: tuple[str, ...], kept: dict[str, str]) -> tuple[list[Finding], int]:
    """The problems of records and, where all are checked, of the site, of topics and of files that are not read; and
    how many records were read. `kept` is what the store knows of the site."""
    from aggregator.cli.checking import Finding, Place, check_records, check_site, find_place, find_skipped
    from aggregator.cli.survey import Survey
    from aggregator.problems import shown_path

    places = []
    for path in paths:
        place = find_place(config.sources, path)
        if place is None:
            raise click.UsageError(f"{path!r} is {'in no records folder' if os.path.exists(path) else 'not there'}")
        places.append(place)
    counted: list[int] = []
    survey = Survey(config)
    everything = [Place(source, "") for source in config.sources]
    found = [] if places else list(check_site(config, kept, DEFAULT_CONFIG))
    found += check_records(places or everything, config.workers, datetime.now(UTC), counted.append, survey.see)
    if not places:
        found += find_skipped(config)
        warnings = (replace(one, path=shown_path(one.path, "")) for one in survey.problems())
        ordered = sorted(warnings, key=lambda one: (one.path, one.line, one.column))
        ordered += find_lost_urls(config)
        found += [Finding(one, "warning") for one in ordered]
    return found, sum(counted)


def find_lost_urls(config: Config) -> list[Problem]:
    """A warning for each URL that the config would take away from subscribers."""
    if not config.may_have_store:
        return []
    from aggregator.rehearsal import lost_urls

    return lost_urls(config, datetime.now(UTC))


def tell_findings(findings: list[Finding], records: int, as_json: bool, style: str) -> None:
    """Prints what a check found."""
    from aggregator.cli import reports

    def echo_findings(_facts: Any) -> None:
        echo_lines([reports.github_line(one.problem) if style == "github" else str(one) for one in findings])

    tell({"records": records, "problems": [reports.finding_facts(one) for one in findings]}, as_json, echo_findings)


def say_problems(config: Config, store: Store, problems: tuple[str, ...], site_id: str) -> int:
    """Says on stderr what is wrong with records and folders; returns how many records are rejected."""
    from aggregator.problems import place_problem, tag_problem
    from aggregator.site import site_id_warning
    from aggregator.store.queries import file_problems

    with store.read() as connection:
        found = [one for one in file_problems(connection) if one.state != "warning"]
    for one in found:
        problem = place_problem(config.sources, one.source, one.problem)
        say(str(tag_problem(problem, "unfinished") if one.state == "unfinished" else problem))
    for text in problems:
        say(text)
    if warning := site_id_warning(config, site_id):
        say(warning)
    return sum(one.state == "rejected" for one in found)


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress bar on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show


def _start_logging(config: Config, *, verbose: bool, quiet: bool) -> None:
    """Logs as [log] of the config says; the options change the level."""
    level = "warning" if quiet else "debug" if verbose else config.log.level
    start_logging(config.site.timezone, logging.getLevelNamesMapping()[level.upper()], config.log.format)


def address_of(name: tuple[Any, ...]) -> str:
    """The URL of a listening socket."""
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}/"


def tell(facts: Any, as_json: bool, print_text: Callable[[Any], None]) -> None:
    """Prints what a command was asked for, as `print_facts` does; ends with 1 if it could not be written."""
    print_facts(facts, as_json, print_text)
    end_if_lost()


def end_if_lost() -> None:
    """Ends with 1 if what was printed on stdout could not be written."""
    if reason := lost_data():
        say(f"error: what was asked for could not be written to stdout: {reason}")
        sys.exit(FOUND_WRONG)


def print_facts(facts: Any, as_json: bool, print_text: Callable[[Any], None]) -> None:
    """Prints data on stdout, as JSON or for people: `print_text` gets the facts with all texts made visible."""
    if as_json:
        echo(json_text(facts))
    else:
        print_text(visible_facts(facts))
