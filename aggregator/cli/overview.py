"""What the store tells at any time, for `status` and `feeds`: facts, and the tables that people read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.cli.checking import folder_problem
from aggregator.cli.reports import problem_facts
from aggregator.config import Config, can_pin, toml_text
from aggregator.display import shown_time, stamp
from aggregator.feeds.active_config import ActiveConfig
from aggregator.feeds.notices import read_notices
from aggregator.feeds.registry import pinnable_slugs, summarise_feeds
from aggregator.model import CycleResult, FeedSummary
from aggregator.problems import Problem, place_problem
from aggregator.settings import FILE_NAMES
from aggregator.site import CONFIG_KEY, missing_config, site_id_warning
from aggregator.store.database import Store
from aggregator.store.lease import read_holder
from aggregator.store.queries import FileProblem, LastCycle, count_entries, file_problems, last_cycle, source_problems
from aggregator.store.releases import next_due
from aggregator.store.session import from_us, read_meta, to_us


def gather_status(config: Config, store: Store, refused: Sequence[Problem] = ()) -> dict[str, Any]:
    """All that `status` says, for --json. `refused` is what is wrong with the config file as it is now.

    `wrong` is what keeps records or feeds back as a whole; while it says anything, `status` ends with 1.
    """
    with store.read() as connection:
        told = read_meta(connection, "config_state")
        without_config = missing_config(config, read_meta(connection, CONFIG_KEY))
        troubles = read_meta(connection, "service_problems")
        due = next_due(connection, to_us(datetime.now(UTC)))
        site_id = read_meta(connection, "site_id")
        last = last_cycle(connection)
        upcoming = read_meta(connection, "next_cycle")
        holder = read_holder(connection)
        problems = [_problem_facts(config, one) for one in file_problems(connection)]
        entries = count_entries(connection)
        feeds = [feed_facts(config, one) for one in read_summaries(config, connection)]
        sources = source_problems(connection)
        in_force = ActiveConfig(config.feed_policy(), config.output_options())
        notices = read_notices(connection, in_force, config.sources, to_us(datetime.now(UTC)))
    if holder is None:  # else the service looks, maybe from another machine
        sources += [text for text in map(folder_problem, config.sources) if text]
    known = [*sources, *(last.counts.get("problems", ()) if last else ()), *notices]
    config_facts = _config_facts(json.loads(told) if told and holder else {}, refused)
    wrong = [*filter(None, [without_config]), *sources, *_wrong(last, config_facts)]
    if last is not None and last.counts.get("unreadable") and not sources:
        wrong.append("folders of records could not be read in the last cycle")
    return {
        "site_id": site_id,
        "running": holder,
        "last_cycle": None if last is None else _cycle_facts(last),
        "next_cycle": stamp(from_us(int(upcoming))) if upcoming and holder else None,
        "next_due": None if due is None else stamp(from_us(due)),
        "config": config_facts,
        "entries": entries,
        "problems": list(dict.fromkeys([*known, *(json.loads(troubles) if troubles and holder else ())])),
        "rejected": [facts for state, facts in problems if state == "rejected"],
        "unfinished": [facts for state, facts in problems if state == "unfinished"],
        "warnings": [facts for state, facts in problems if state == "warning"],
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
        yield "the config is refused, the last good one stays in force"


def _config_facts(told: dict[str, Any], refused: Sequence[Problem]) -> dict[str, Any]:
    """What is wrong with the config file, and the keys that take effect with the next start of the service."""
    now = [problem_facts(problem) for problem in refused]
    return {"refused": now or told.get("refused", []), "restart": told.get("restart", [])}


def read_summaries(config: Config, connection: Any) -> tuple[FeedSummary, ...]:
    """The published feeds, in order."""
    return summarise_feeds(connection, config.feed_policy(), config.site.title)


def feed_facts(config: Config, feed: FeedSummary) -> dict[str, Any]:
    """One feed for --json."""
    return {
        "slug": feed.slug,
        "title": feed.title,
        "entries": feed.entries,
        "newest": stamp(feed.newest),
        "updated": stamp(feed.updated),
        "address": f"{config.site.base_url}{feed.slug}/{FILE_NAMES[config.output.formats[0]]}",
    }


def read_pins(config: Config, connection: Any) -> tuple[dict[str, str], list[str]]:
    """The slugs of topics' feeds by the topics' names, in order; and those of topics that the config cannot name."""
    slugs = pinnable_slugs(connection, config.feed_policy())
    return {name: slug for name, slug in slugs if can_pin(name)}, [slug for name, slug in slugs if not can_pin(name)]


def pin_lines(slugs: Mapping[str, str]) -> list[str]:
    """The table of the config that keeps these slugs."""
    return ["[topics.slugs]", *(f"{toml_text(name)} = {toml_text(slug)}" for name, slug in slugs.items())]


def draw_status(facts: dict[str, Any], zone: tzinfo) -> RenderableType:
    """The status for a terminal: what is wrong comes last, the gravest at the end, where the eye is."""
    parts: list[RenderableType] = [_status_head(facts, zone), Text("\nFeeds", style="bold")]
    parts.append(_draw_ages(facts["feeds"], zone))
    for name, color in (("warnings", "yellow"), ("unfinished", "yellow"), ("rejected", "red")):
        parts += _section(name.capitalize(), [_problem_text(one) for one in facts[name]], color)
    notes = [text for text in facts["problems"] + facts["advice"] if text not in facts["wrong"]]
    parts += _section("Notes", notes, "yellow")
    parts += _section("Config refused", [one["text"] for one in facts["config"]["refused"]], "red")
    parts += _section("Wrong", facts["wrong"], "red")
    return Group(*parts)


def _section(name: str, lines: Sequence[str], color: str) -> list[RenderableType]:
    """A heading with the number of lines, and the lines; nothing without any."""
    if not lines:
        return []
    heading = Text(f"\n{name} ({len(lines)})", style=f"bold {color}")
    return [heading, *(Padding(Text(line, overflow="fold"), (0, 0, 0, 2), expand=False) for line in lines)]


def _status_head(facts: dict[str, Any], zone: tzinfo) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    last, entries = facts["last_cycle"], facts["entries"]
    head.add_row("Service", escape(facts["running"]) if facts["running"] else "not running")
    if last is None:
        head.add_row("Last cycle", "none yet")
    elif last["error"]:
        head.add_row("Last cycle", f"[red]failed[/] {_ago(last['at'], zone)}")
    else:
        head.add_row("Last cycle", f"{_ago(last['at'], zone)}, {last['seconds']:.2f} s")
        head.add_row("", ", ".join(f"{name} {last[name]}" for name in ("scanned", "new", "changed", "removed")))
    head.add_row("Next cycle", _upcoming(facts, zone))
    if facts["next_due"]:
        head.add_row("Next due", _ago(facts["next_due"], zone))
    if waiting := facts["config"]["restart"]:
        head.add_row("[yellow]Config[/]", f"{', '.join(waiting)}: with the next start")
    head.add_row(
        "Entries",
        f"{entries['published']} published, {entries['scheduled']} scheduled, {entries['hidden']} hidden,"
        f" {entries['withdrawn']} withdrawn",
    )
    return head


def _problem_text(facts: dict[str, Any]) -> str:
    stale = "  [its entry is still published, as it was before]" if facts["stale"] else ""
    return f"{facts['text']}{stale}"


def _upcoming(facts: dict[str, Any], zone: tzinfo) -> str:
    if not facts["running"]:
        return "when it is started"
    if not facts["next_cycle"]:
        return "not known yet"
    return _ago(facts["next_cycle"], zone) if facts["next_cycle"] > (stamp(datetime.now(UTC)) or "") else "now"


def draw_feeds(feeds: list[dict[str, Any]], zone: tzinfo) -> Table:
    """The table of feeds for a terminal."""
    table = _feed_table()
    table.add_column("address", overflow="fold")
    for feed in feeds:
        table.add_row(*_feed_cells(feed, zone), escape(feed["address"]))
    return table


def _draw_ages(feeds: list[dict[str, Any]], zone: tzinfo) -> Table:
    table = _feed_table()
    table.add_column("changed", no_wrap=True)
    for feed in feeds:
        table.add_row(*_feed_cells(feed, zone), _distance(feed["updated"]))
    return table


def _feed_table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("slug", overflow="fold")
    table.add_column("title", overflow="fold")
    table.add_column("entries", justify="right", no_wrap=True)
    table.add_column("newest entry", no_wrap=True)
    return table


def _feed_cells(feed: dict[str, Any], zone: tzinfo) -> tuple[str, str, str, str]:
    newest = shown_time(datetime.fromisoformat(feed["newest"]), zone) if feed["newest"] else "–"
    return feed["slug"], escape(feed["title"]), str(feed["entries"]), newest


def _problem_facts(config: Config, found: FileProblem) -> tuple[str, dict[str, Any]]:
    problem = place_problem(config.sources, found.source, found.problem)
    if found.state != "rejected":
        problem = replace(problem, level="warning")
    return found.state, problem_facts(problem) | {"stale": found.stale}


def _cycle_facts(last: LastCycle) -> dict[str, Any]:
    """The last cycle; what it counts is null if it failed."""
    counted = [one.name for one in fields(CycleResult) if one.name not in ("seconds", "due", "notices")]
    told = {"at": stamp(from_us(last.started_at)), "seconds": round(last.seconds, 3), "error": last.error}
    return told | dict.fromkeys(counted) | last.counts


def _ago(stamp: str, zone: tzinfo) -> str:
    """A moment with its distance from now, such as `2026-05-20 07:10:00+00:00 (3 min ago)`."""
    return f"{shown_time(datetime.fromisoformat(stamp), zone)} ({_distance(stamp)})"


def _distance(stamp: str) -> str:
    """How far a moment is from now, such as `3 min ago`."""
    away = datetime.now(UTC) - datetime.fromisoformat(stamp)
    size = abs(away)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if size >= unit:
            length = f"{size // unit} {name}"
            break
    else:
        length = f"{size.seconds} s"
    return f"{length} ago" if away >= timedelta() else f"in {length}"
