"""`aggregator status`: the last and the next cycle, counts, feeds and problems."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.cli.feeds import FeedTable
from aggregator.cli.health import service_failure
from aggregator.cli.options import DEFAULT_CONFIG, config_option, json_option, load_config
from aggregator.cli.printing import WRONG, print_data, print_table, quote_text
from aggregator.cli.stores import reading_store
from aggregator.config import Config, partial_config
from aggregator.errors import ConfigError, StoreError
from aggregator.problems import distance, shown_time, stamp
from aggregator.status import UNREADABLE, UNWRITTEN, read_status

ASK_S = 3.0
"""How long a running service may take to answer."""


@click.command
@config_option
@json_option
@click.option("--feeds", "with_feeds", is_flag=True, help="Also list the feeds, and when each changed.")
def status(config_path: Path | None, *, as_json: bool, with_feeds: bool) -> None:
    """Show the last and the next cycle, counts, and records with problems; at the end, what is wrong.

    Also works with a refused config, while a service runs on the last good one.

    Exits with 1 while a records folder cannot be read, the config is refused, the last cycle failed, feeds cannot be
    written or a running service says that it is not well.
    """
    try:
        config = load_config(config_path)
    except ConfigError as error:
        config, data = _status_of_running_service(config_path or DEFAULT_CONFIG, error)
    else:
        with reading_store(config) as store:
            data = read_status(config, store, datetime.now(UTC))

    data["wrong"] += _service_failure(config, data["wrong"])

    def show(shown: dict[str, Any]) -> None:
        print_table(_render(shown, config.site.timezone, with_feeds=with_feeds))

    print_data(data, show, as_json=as_json)
    if data["wrong"]:
        sys.exit(WRONG)


def _status_of_running_service(path: Path, refused: ConfigError) -> tuple[Config, dict[str, Any]]:
    """The status of a service that runs on its last good config. Raises `refused` if no service runs."""
    config = partial_config(path, env=os.environ)
    with suppress(StoreError), reading_store(config) as store:
        data = read_status(config, store, datetime.now(UTC), refused.problems)
        if data["running"]:
            return config, data
    raise refused


def _service_failure(config: Config, known: Sequence[str]) -> list[str]:
    """What a running service says is wrong and the store does not say, such as that the store cannot be written, also
    while the service has no lease because of that."""
    reason = service_failure(config, ASK_S)
    if reason is None or any(text in reason or reason in text for text in known):
        return []
    return [f"the service is not well: {reason}"]


# text


def _render(data: dict[str, Any], zone: tzinfo, *, with_feeds: bool) -> RenderableType:
    """The status for a terminal: what is wrong comes last, where people look first."""
    parts: list[RenderableType] = [_head(data, zone)]
    if with_feeds:
        changed = [_age(feed["updated"]) for feed in data["feeds"]]
        lines = [f"  {feed['slug']}, changed {age}" for feed, age in zip(data["feeds"], changed, strict=True)]
        below = [Text(line, "dim", overflow="fold") for line in lines]
        parts += [Text("\nFeeds", style="bold"), FeedTable(data["feeds"], zone, "changed", changed, below)]
    for name, color in (("warnings", "yellow"), ("unfinished", "yellow"), ("rejected", "red")):
        parts += _section(name.capitalize(), [_file_item(file) for file in data[name]], color)
    causes = data["last_cycle"]["problems"] if {UNWRITTEN, UNREADABLE}.intersection(data["wrong"]) else []
    causes = [text for text in causes if text not in data["wrong"]]  # of what does not name them itself
    notes = [text for text in data["problems"] + data["advice"] if text not in (*data["wrong"], *causes)]
    parts += _section("Notes", notes, "yellow")
    refused = [problem["text"] for problem in data["config"]["refused"]]
    parts += _section("Config refused", [text for text in refused if text not in data["wrong"]], "red")
    parts += _section("Wrong", data["wrong"], "red")
    parts += [Padding(Text(cause, overflow="fold"), (0, 0, 0, 4), expand=False) for cause in causes]
    return Group(*parts)


def _section(name: str, items: Sequence[RenderableType], color: str) -> list[RenderableType]:
    """A heading with the number of items, and the items; nothing without items."""
    if not items:
        return []
    lines = [Text(item, overflow="fold") if isinstance(item, str) else item for item in items]
    return [
        Text(f"\n{name} ({len(items)})", style=f"bold {color}"),
        *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines),
    ]


def _file_item(file: dict[str, Any]) -> RenderableType:
    """The problem of a record; below it the line in the file, with a caret, if it may be shown."""
    stale = "  [its entry is still published, as it was before]" if file["stale"] else ""
    text = Text(f"{file['text']}{stale}", overflow="fold")
    return Group(text, quote_text(**file["quote"])) if file["quote"] else text


def _head(data: dict[str, Any], zone: tzinfo) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    last, entries = data["last_cycle"], data["entries"]
    active = data["config"]["active"]
    is_shared = active is not None and active["store"] == "postgresql"  # others may follow this one
    head.add_row("Leader" if is_shared else "Service", escape(data["running"] or "not running"))
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
        head.add_row(
            "[yellow]Config[/]",
            f"{', '.join(keys)}: {'becomes' if len(keys) == 1 else 'become'} active with the next start",
        )
    head.add_row("Entries", ", ".join(f"{count} {state}" for state, count in entries.items()))
    if feeds := sorted(data["feeds"], key=lambda feed: str(feed["updated"])):
        oldest, newest = feeds[0], feeds[-1]
        differ = oldest["updated"] != newest["updated"]
        older = f"; unchanged longest: {oldest['slug']} ({_distance(oldest['updated'])})" if differ else ""
        head.add_row("Feeds", f"{len(feeds)}; last changed: {newest['slug']} ({_age(newest['updated'])}){older}")
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


def _age(moment: str) -> str:
    """The distance of a change, which is in the past unless the clock was wrong then."""
    text = _distance(moment)
    return f"{text.removeprefix('in ')} in the future: the clock was ahead" if text.startswith("in ") else text


def _distance(moment: str) -> str:
    return distance(datetime.fromisoformat(moment), datetime.now(UTC))
