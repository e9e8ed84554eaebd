"""`aggregator build`: one cycle, or its rehearsal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import WRONG, print_data, print_line, print_lines, print_message
from aggregator.cli.stores import reading_store, writing_store
from aggregator.config import Config
from aggregator.cycle.pipeline import Pipeline, Progress, ScanRequest
from aggregator.errors import StoreMissingError
from aggregator.files import folder_problem
from aggregator.model import CycleResult
from aggregator.parse.dates import parse_time
from aggregator.problems import place_problem, stamp, tag_problem
from aggregator.site import site_id_warning
from aggregator.store.queries import file_problems
from aggregator.store.service_requests import request_accept_removals

if TYPE_CHECKING:
    from aggregator.store.database import Store

EPILOG = """\b
Examples:
  aggregator build --dry-run     what would change in feeds and URLs
  aggregator build --strict      in CI: fail if a problem is printed
"""


PINGS_S = 20.0
"""How long a build sends WebSub pings."""


class _Time(click.ParamType[datetime]):
    """A time with its zone, such as 2026-05-20T07:10:00Z (RFC 3339)."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        stated: str | datetime = value
        with suppress(ValueError):
            stated = datetime.fromisoformat(value)  # which reads more of ISO 8601, and less of RFC 3339
        parsed = parse_time(stated, ZoneInfo("UTC"))
        if parsed is None or not parsed[1]:
            self.fail(f"{value!r} is not a time with a zone (write it as 2026-05-20T07:10:00Z)", param, ctx)
        return parsed[0]


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.option("--now", type=_Time(), help="Time of the content in place of the clock, for repeatable builds.")
@click.option("--strict", is_flag=True, help="Also exit with 1 if a record is rejected or another problem is printed.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would change in feeds and URLs.")
@click.option("--accept-removals", is_flag=True, help="Withdraw missing records at once, however many.")
def build(
    config_path: Path | None, *, as_json: bool, now: datetime | None, strict: bool, dry_run: bool, accept_removals: bool
) -> None:
    """Run one cycle and exit: for cron, CI and static hosting.

    Waits up to 30 s while a service or another build holds the store. With --accept-removals, a running service
    withdraws missing records in its next cycle instead, and nothing is built here.

    Exits with 1 if a records folder could not be read or a feed could not be written.
    """
    config = load_config(config_path)
    moment = now or datetime.now(UTC)
    if dry_run:
        wrong = _rehearse(config, moment, as_json=as_json, accept_removals=accept_removals)
        unreadable = any(map(folder_problem, config.sources))
        sys.exit(WRONG if unreadable or (strict and (wrong or config.warnings)) else 0)
    if accept_removals and (service := _ask_service(config)):
        text = f"{service} will withdraw the missing records in its next cycle"
        print_data({"requested_of": service}, lambda _: print_lines([text]), as_json=as_json)
        return
    stop = threading.Event()
    with writing_store(config, stop) as (store, site_id):
        with _progress_bar() as progress:
            pipeline = Pipeline(config, store, site_id, stop=stop, progress=progress)
            result = pipeline.run(moment, ScanRequest(accept_removals=accept_removals))
        rejected = _print_problems(config, store, site_id, (*pipeline.withdrawn, *result.problems, *result.notices))
        problems = (*map(str, config.warnings), *result.problems)
        stages = {stage: round(seconds, 3) for stage, seconds in result.stages}
        data = asdict(result) | {"seconds": round(result.seconds, 3), "due": stamp(result.due), "stages": stages}
        data |= {"problems": problems}
        print_data(data, lambda _: print_line(_summary(result)), as_json=as_json, required=False)
        _send_pings(config, store, stop)
    failed = not result.published or result.unwritten or result.unreadable
    if failed or (strict and (rejected or problems)):
        sys.exit(WRONG)


def _ask_service(config: Config) -> str | None:
    """The service that was asked to accept removals; None if none runs on this store."""
    with suppress(StoreMissingError), reading_store(config) as store:
        return request_accept_removals(store)
    return None


def _send_pings(config: Config, store: Store, stop: threading.Event) -> None:
    """Sends WebSub pings for a while; the next build sends the rest."""
    if config.websub.hub:
        from aggregator.service.websub import send_pings

        ends_at = time.monotonic() + PINGS_S
        problem, _ = send_pings(config.site_facts(), store, lambda: stop.is_set() or time.monotonic() > ends_at)
        if problem:
            print_message(problem)


def _rehearse(config: Config, now: datetime, *, as_json: bool, accept_removals: bool) -> bool:
    """Prints what a build would change, from a rehearsal on a copy of the store. Whether it had problems."""
    from aggregator.cycle.rehearsal import rehearse

    with rehearse(config, now, scan=True, accept_removals=accept_removals) as rehearsal:
        problems = (*rehearsal.problems, *rehearsal.notices)
        rejected = _print_problems(config, rehearsal.store, rehearsal.site_id, problems)
        moves, urls, wrong = rehearsal.moves(), rehearsal.urls(), bool(rejected or rehearsal.problems)
    data = {"feeds": [*map(asdict, moves)], "urls": [*map(asdict, urls)]}
    print_data(data, lambda _: print_lines(_moves_lines(data)), as_json=as_json)
    if not moves:
        print_message("no feed would change its entries")
    return wrong


def _print_problems(config: Config, store: Store, site_id: str, problems: Sequence[str]) -> int:
    """Prints problems of records and folders on stderr; returns the number of rejected records."""
    with store.read() as connection:
        files = [file for file in file_problems(connection) if file.state != "warning"]
    for file in files:
        problem = place_problem(config.sources, file.source, file.problem)
        print_message(str(tag_problem(problem, "unfinished") if file.state == "unfinished" else problem))
    for text in (*problems, site_id_warning(config, site_id)):
        if text:
            print_message(text)
    return sum(file.state == "rejected" for file in files)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
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


def _summary(result: CycleResult) -> str:
    return (
        f"scanned {result.scanned}, new {result.new}, changed {result.changed}, removed {result.removed},"
        f" rejected {result.rejected}, feeds written {result.feeds_written}, {result.seconds:.2f} s"
    )


def _moves_lines(data: dict[str, Any]) -> Iterator[str]:
    """The entries that would join (+) and leave (-), feed by feed, and the URLs that would move, end or get another
    feed."""
    for feed in data["feeds"]:
        yield f"{feed['slug']}: {len(feed['joins'])} join, {len(feed['leaves'])} leave"
        for mark, moved in (("+", feed["joins"]), ("-", feed["leaves"])):
            yield from (f"  {mark} {entry['title']}  {entry['id']}" for entry in moved)
    for url in data["urls"]:
        what = {301: f"301 to /{url['target']}", 410: "410", 200: "another feed"}[url["status"]]
        hint = f" (keep it {url['keep']})" if url["keep"] else ""
        yield f"/{url['url']}: {what}{hint}"
