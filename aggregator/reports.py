"""What commands tell: facts from the store, and the lines and tables that people read. Prints nothing itself."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.config import Config
from aggregator.model import CycleResult, FeedMoves, FeedSummary, Problem
from aggregator.site import site_id_warning
from aggregator.store import (
    FeedReader,
    FileProblem,
    Store,
    count_entries,
    file_problems,
    from_us,
    last_cycle,
    read_holder,
    read_meta,
    source_problems,
    summarise_feeds,
)


def summary_line(result: CycleResult) -> str:
    """One cycle in one line."""
    return (
        f"scanned {result.scanned}, new {result.new}, changed {result.changed}, removed {result.removed},"
        f" rejected {result.rejected}, feeds written {result.feeds_written}, {result.seconds:.2f} s"
    )


def result_facts(result: CycleResult) -> dict[str, Any]:
    """One cycle for --json."""
    return asdict(result) | {"seconds": round(result.seconds, 3), "due": _stamp(result.due)}


def gather_status(config: Config, store: Store) -> dict[str, Any]:
    """All that `status` says, for --json."""
    with store.read() as connection:
        site_id = read_meta(connection, "site_id")
        last = last_cycle(connection)
        upcoming = read_meta(connection, "next_cycle")
        holder = read_holder(connection)
        problems = [place_problem(config, one) for one in file_problems(connection)]
        entries = count_entries(connection)
        feeds = [feed_facts(config, one) for one in read_summaries(config, connection)]
        sources = source_problems(connection)
    return {
        "site_id": site_id,
        "running": holder,
        "last_cycle": None
        if last is None
        else {"at": _stamp(from_us(last.started_at)), "seconds": round(last.seconds, 3), "error": last.error}
        | last.counts,
        "next_cycle": _stamp(from_us(int(upcoming))) if upcoming and holder else None,
        "entries": entries,
        "problems": sources,
        "rejected": [_problem_facts(one) for one in problems if one.state == "rejected"],
        "unfinished": [_problem_facts(one) for one in problems if one.state == "unfinished"],
        "warnings": [_problem_facts(one) for one in problems if one.state == "warning"],
        "feeds": feeds,
        "advice": [text for text in (site_id_warning(config, site_id),) if text],
    }


def read_summaries(config: Config, connection: Any) -> tuple[FeedSummary, ...]:
    """The published feeds, in order."""
    policy, site = config.feed_policy(), config.site_facts()
    return summarise_feeds(connection, FeedReader(policy, "", site.title, site.language), policy)


def feed_facts(config: Config, feed: FeedSummary) -> dict[str, Any]:
    """One feed for --json."""
    names = {"rss": "rss.xml", "atom": "atom.xml", "json": "feed.json"}
    return {
        "slug": feed.slug,
        "title": feed.title,
        "entries": feed.entries,
        "newest": _stamp(feed.newest),
        "updated": _stamp(feed.updated),
        "address": f"{config.site.base_url}{feed.slug}/{names[config.output.formats[0]]}",
    }


def place_problem(config: Config, found: FileProblem) -> FileProblem:
    """The problem with a path that can be opened from here."""
    root = next((source.root for source in config.sources if source.name == found.source), "")
    return replace(found, problem=replace(found.problem, path=shown_path(root, found.problem.path)))


def shown_path(root: str, path: str) -> str:
    """A record's path for people: from the working directory if it is below it."""
    full = os.path.join(root, path)
    try:
        near = os.path.relpath(full)
    except ValueError:  # another drive
        return full
    return full if near.startswith("..") else near


def draw_status(facts: dict[str, Any]) -> RenderableType:
    """The status for a terminal."""
    parts: list[RenderableType] = [_status_head(facts)]
    for name, color in (("rejected", "red"), ("unfinished", "yellow"), ("warnings", "yellow")):
        if facts[name]:
            parts.append(Text(f"\n{name.capitalize()} ({len(facts[name])})", style=f"bold {color}"))
            parts += [Padding(Text(line["text"], overflow="fold"), (0, 0, 0, 2)) for line in facts[name]]
    parts += [Text("\nFeeds", style="bold"), draw_feeds(facts["feeds"])]
    return Group(*parts)


def _status_head(facts: dict[str, Any]) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    last, entries = facts["last_cycle"], facts["entries"]
    head.add_row("Service", escape(facts["running"]) if facts["running"] else "not running")
    if last is None:
        head.add_row("Last cycle", "none yet")
    elif last["error"]:
        head.add_row("Last cycle", f"[red]failed[/] {_ago(last['at'])}: {escape(last['error'])}")
    else:
        done = f"scanned {last['scanned']}, new {last['new']}, changed {last['changed']}, removed {last['removed']}"
        head.add_row("Last cycle", f"{_ago(last['at'])}, {last['seconds']:.2f} s: {done}")
    head.add_row("Next cycle", _ago(facts["next_cycle"]) if facts["next_cycle"] else "when it is started")
    head.add_row(
        "Entries",
        f"{entries['published']} published, {entries['waiting']} waiting for their time, {entries['hidden']} hidden",
    )
    for problem in facts["problems"] + facts["advice"]:
        head.add_row("[yellow]Note[/]", escape(problem))
    return head


def draw_feeds(feeds: list[dict[str, Any]]) -> Table:
    """The table of feeds for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("slug", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("entries", justify="right")
    table.add_column("newest entry", no_wrap=True)
    table.add_column("address", overflow="fold")
    for feed in feeds:
        table.add_row(
            feed["slug"], escape(feed["title"]), str(feed["entries"]), _day(feed["newest"]), escape(feed["address"])
        )
    return table


def moves_lines(moves: list[FeedMoves]) -> list[str]:
    """What a cycle would put in (+) and take out (-), feed by feed."""
    lines = []
    for feed in moves:
        lines.append(f"{feed.slug}: {len(feed.joins)} in, {len(feed.leaves)} out")
        lines += [f"  + {title}  {uid}" for uid, title in feed.joins]
        lines += [f"  - {title}  {uid}" for uid, title in feed.leaves]
    return lines


def moves_facts(moves: list[FeedMoves]) -> dict[str, Any]:
    """The same for --json."""
    return {
        "feeds": [
            {
                "slug": feed.slug,
                "in": [{"id": uid, "title": title} for uid, title in feed.joins],
                "out": [{"id": uid, "title": title} for uid, title in feed.leaves],
            }
            for feed in moves
        ]
    }


def github_line(problem: Problem) -> str:
    """A problem as an annotation of a GitHub workflow."""
    level = "error" if problem.level == "error" else "warning"
    place = f"file={_github_value(problem.path)},line={problem.line or 1},col={problem.column or 1}"
    text = str(replace(problem, path="", line=0)).removeprefix(": ")
    return f"::{level} {place}::{_github_text(text)}"


def problem_facts(problem: Problem) -> dict[str, Any]:
    """A problem for --json."""
    return asdict(problem) | {"text": str(problem)}


def _problem_facts(found: FileProblem) -> dict[str, Any]:
    return problem_facts(found.problem) | {"stale": found.stale}


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_value(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _day(stamp: str | None) -> str:
    return stamp.replace("T", " ").removesuffix("Z") if stamp else "–"


def _ago(stamp: str) -> str:
    """A moment with its distance from now, such as `2026-05-20 07:10:00 (3 min ago)`."""
    away = datetime.now(UTC) - datetime.fromisoformat(stamp)
    size = abs(away)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if size >= unit:
            length = f"{size // unit} {name}"
            break
    else:
        length = f"{size.seconds} s"
    return f"{_day(stamp)} ({length} ago)" if away >= timedelta() else f"{_day(stamp)} (in {length})"
