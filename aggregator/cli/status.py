"""`aggregator status`: the last and the next cycle, counts, feeds and problems."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from aggregator.cli.feeds import feed_table, feeds_data
from aggregator.cli.options import DEFAULT_CONFIG, config_option, json_option, load_config
from aggregator.cli.printing import WRONG, print_data, print_table
from aggregator.cli.stores import folder_problem, reading_store
from aggregator.config import Config, partial_config
from aggregator.errors import ConfigError, StoreError
from aggregator.feeds.active_config import ActiveConfig
from aggregator.feeds.notices import read_notices
from aggregator.model import CycleResult
from aggregator.problems import Problem, place_problem, shown_time, stamp
from aggregator.site import CONFIG_KEY, missing_config, site_id_warning
from aggregator.store.lease import read_holder
from aggregator.store.queries import FileProblem, LastCycle, count_entries, file_problems, last_cycle, source_problems
from aggregator.store.releases import next_due
from aggregator.store.session import from_us, read_meta, to_us

if TYPE_CHECKING:
    from aggregator.store.database import Store


@click.command
@config_option
@json_option
def status(config_path: Path | None, *, as_json: bool) -> None:
    """Show the last and the next cycle, counts, feeds, and records with problems; at the end, what is wrong.

    Also works with a refused config, while a service runs on the last good one.

    Exits with 1 while a records folder cannot be read, the config is refused, the last cycle failed or feeds cannot be
    written.
    """
    try:
        config = load_config(config_path)
    except ConfigError as error:
        config, data = _status_of_running_service(config_path or DEFAULT_CONFIG, error)
    else:
        with reading_store(config) as store:
            data = _status_data(config, store)
    print_data(data, lambda shown: print_table(_render(shown, config.site.timezone)), as_json=as_json)
    if data["wrong"]:
        sys.exit(WRONG)


# data


def _status_of_running_service(path: Path, refused: ConfigError) -> tuple[Config, dict[str, Any]]:
    """The status of a service that runs on its last good config. Raises `refused` if no service runs."""
    config = partial_config(path, env=os.environ)
    with suppress(StoreError), reading_store(config) as store:
        data = _status_data(config, store, refused.problems)
        if data["running"]:
            return config, data
    raise refused


def _status_data(config: Config, store: Store, refused: Sequence[Problem] = ()) -> dict[str, Any]:
    """The status for --json. `refused`: the problems of the config file as it is now. `wrong`: what keeps records or
    feeds back as a whole; then the exit code is 1."""
    now = datetime.now(UTC)
    with store.read() as connection:
        holder = read_holder(connection)
        site_id, last_config = read_meta(connection, "site_id"), read_meta(connection, CONFIG_KEY)
        last, due = last_cycle(connection), next_due(connection, to_us(now))
        files = [_file_data(config, problem) for problem in file_problems(connection)]
        entries, feeds = count_entries(connection), feeds_data(config, connection)
        sources = source_problems(connection)
        notices = read_notices(
            connection, ActiveConfig(config.feed_policy(), config.output_options()), config.sources, to_us(now)
        )
        # written by the service, so they hold only while it runs
        of_service = {
            key: holder and read_meta(connection, key) for key in ("config_state", "service_problems", "next_cycle")
        }
    if holder is None:  # a service may read the folders from another machine
        sources += filter(None, map(folder_problem, config.sources))
    config_data = _config_data(json.loads(of_service["config_state"] or "{}"), refused)
    wrong = [*filter(None, [missing_config(config, last_config)]), *sources, *_wrong(last, config_data)]
    if last is not None and last.counts.get("unreadable") and not sources:
        wrong.append("folders of records could not be read in the last cycle")
    problems = [*sources, *(last.counts.get("problems", ()) if last else ()), *notices]
    problems += json.loads(of_service["service_problems"] or "[]")
    return {
        "site_id": site_id,
        "running": holder,
        "last_cycle": None if last is None else _cycle_data(last),
        "next_cycle": stamp(from_us(int(of_service["next_cycle"]))) if of_service["next_cycle"] else None,
        "next_due": None if due is None else stamp(from_us(due)),
        "config": config_data,
        "entries": entries,
        "problems": list(dict.fromkeys(problems)),
        "rejected": [data for state, data in files if state == "rejected"],
        "unfinished": [data for state, data in files if state == "unfinished"],
        "warnings": [data for state, data in files if state == "warning"],
        "feeds": feeds,
        "advice": [text for text in (site_id_warning(config, site_id),) if text],
        "wrong": list(dict.fromkeys(wrong)),
    }


def _wrong(last: LastCycle | None, config: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the last cycle and with the config."""
    if last is not None:
        if last.error:
            yield f"the last cycle failed: {last.error}"
        elif last.counts.get("unwritten") or last.counts.get("published") is False:
            yield "feeds could not be written in the last cycle"
    if config["refused"]:
        yield "the config is refused; the last good one stays active"


def _config_data(stored: dict[str, Any], refused: Sequence[Problem]) -> dict[str, Any]:
    """The problems of the config file, and the keys that need a restart of the service."""
    return {
        "refused": [problem.data() for problem in refused] or stored.get("refused", []),
        "restart": stored.get("restart", []),
    }


def _file_data(config: Config, file: FileProblem) -> tuple[str, dict[str, Any]]:
    problem = place_problem(config.sources, file.source, file.problem)
    if file.state != "rejected":
        problem = replace(problem, level="warning")
    return file.state, problem.data() | {"stale": file.stale}


def _cycle_data(last: LastCycle) -> dict[str, Any]:
    """The last cycle. Counts are null if it failed."""
    counts = [field.name for field in fields(CycleResult) if field.name not in ("seconds", "due", "notices")]
    head = {"at": stamp(from_us(last.started_at)), "seconds": round(last.seconds, 3), "error": last.error}
    return head | dict.fromkeys(counts) | last.counts


# text


def _render(data: dict[str, Any], zone: tzinfo) -> RenderableType:
    """The status for a terminal: what is wrong comes last, where people look first."""
    ages = [_distance(feed["updated"]) for feed in data["feeds"]]
    feeds = feed_table(data["feeds"], zone, Column("changed", no_wrap=True), ages)
    parts: list[RenderableType] = [_head(data, zone), Text("\nFeeds", style="bold"), feeds]
    for name, color in (("warnings", "yellow"), ("unfinished", "yellow"), ("rejected", "red")):
        parts += _section(name.capitalize(), [_file_text(file) for file in data[name]], color)
    notes = [text for text in data["problems"] + data["advice"] if text not in data["wrong"]]
    parts += _section("Notes", notes, "yellow")
    parts += _section("Config refused", [problem["text"] for problem in data["config"]["refused"]], "red")
    parts += _section("Wrong", data["wrong"], "red")
    return Group(*parts)


def _section(name: str, lines: Sequence[str], color: str) -> list[RenderableType]:
    """A heading with the number of lines, and the lines; nothing without lines."""
    if not lines:
        return []
    heading = Text(f"\n{name} ({len(lines)})", style=f"bold {color}")
    return [heading, *(Padding(Text(line, overflow="fold"), (0, 0, 0, 2), expand=False) for line in lines)]


def _file_text(file: dict[str, Any]) -> str:
    return f"{file['text']}  [its entry is still published, as it was before]" if file["stale"] else str(file["text"])


def _head(data: dict[str, Any], zone: tzinfo) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    last, entries = data["last_cycle"], data["entries"]
    head.add_row("Service", escape(data["running"] or "not running"))
    if last is None:
        head.add_row("Last cycle", "none yet")
    elif last["error"]:
        head.add_row("Last cycle", f"[red]failed[/] {_with_distance(last['at'], zone)}")
    else:
        head.add_row("Last cycle", f"{_with_distance(last['at'], zone)}, {last['seconds']:.2f} s")
        head.add_row("", ", ".join(f"{name} {last[name]}" for name in ("scanned", "new", "changed", "removed")))
    head.add_row("Next cycle", _next_cycle(data, zone))
    if data["next_due"]:
        head.add_row("Next due", _with_distance(data["next_due"], zone))
    if keys := data["config"]["restart"]:
        head.add_row("[yellow]Config[/]", f"{', '.join(keys)}: become active with the next start")
    head.add_row("Entries", ", ".join(f"{count} {state}" for state, count in entries.items()))
    return head


def _next_cycle(data: dict[str, Any], zone: tzinfo) -> str:
    if not data["running"]:
        return "none: the service is not running"
    if not data["next_cycle"]:
        return "not known yet"
    return _with_distance(data["next_cycle"], zone) if data["next_cycle"] > (stamp(datetime.now(UTC)) or "") else "now"


def _with_distance(moment: str, zone: tzinfo) -> str:
    """A time with its distance from now, such as `2026-05-20 07:10:00+00:00 (3 min ago)`."""
    return f"{shown_time(datetime.fromisoformat(moment), zone)} ({_distance(moment)})"


def _distance(moment: str) -> str:
    """How far a time is from now, such as `3 min ago`."""
    age = datetime.now(UTC) - datetime.fromisoformat(moment)
    size = abs(age)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if size >= unit:
            length = f"{size // unit} {name}"
            break
    else:
        length = f"{size.seconds} s"
    return f"{length} ago" if age >= timedelta() else f"in {length}"
