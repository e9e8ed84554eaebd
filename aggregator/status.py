"""The state of a site: the last and the next cycle, records by state, problems, feeds, and what was published lately.

`aggregator status` and the status page show the same facts from here. Nothing in them is public.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aggregator.config import Config
from aggregator.errors import StoreMismatchError
from aggregator.feeds.active_config import ActiveConfig
from aggregator.feeds.feed_list import summarise_feeds
from aggregator.feeds.notices import read_notices
from aggregator.feeds.statistics import read_statistics
from aggregator.files import folder_problem
from aggregator.files.quoting import quote_line
from aggregator.model import CycleResult, early_release
from aggregator.problems import Problem, place_problem, shown_path, stamp
from aggregator.settings import FILE_NAMES
from aggregator.site import loopback_warning, mismatch_problem, require_match, site_id_warning
from aggregator.store.lease import read_holder
from aggregator.store.lost_store import read_lost_store
from aggregator.store.pings import HubState, hub_states
from aggregator.store.queries import (
    CLUSTER_PROBLEM,
    MAX_PROBLEMS,
    FileProblem,
    LastCycle,
    count_entries,
    count_records,
    early_entries,
    file_problems,
    last_cycle,
    mean_stages,
    next_due,
    scheduled_entries,
    source_problems,
    unread_keys,
)
from aggregator.store.session import from_us, read_meta, to_us

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.database import Store

REFUSED = "the config is refused; the last good one stays active"
UNWRITTEN = "feeds could not be written in the last cycle"
UNREADABLE = "folders of records could not be read in the last cycle"
ADVICE = {
    REFUSED: "Correct the lines below. The service takes the file as soon as it is right.",
    UNWRITTEN: "See the notes: they name the files that are in the way, or what the output folder lacks.",
    UNREADABLE: "See the notes: they name the folders. The entries in them stay published as they are.",
}
"""What to do, for reasons that do not say it themselves."""
FAILED_ADVICE = "The next cycle tries again. If it fails too, the log has the whole error."
_OF_SERVICE = ("config_state", "service_problems", "next_cycle")
"""What a service writes into the store; it holds only while the service runs."""
_KINDS = {"rejected": "rejected", "unfinished": "unfinished", "warnings": "warning"}
"""The lists of problems of files, and their states in the store."""


def read_status(
    config: Config,
    store: Store,
    now: datetime,
    refused: Sequence[Problem] = (),
    *,
    max_problems: int = MAX_PROBLEMS,
    has_lists: bool = True,
) -> dict[str, Any]:
    """The status for --json. `refused`: the problems of the config file, if `config` is not the config of that file;
    what the store contradicts is added. `wrong`: what keeps records or feeds back as a whole. Without `has_lists`,
    `feeds` and `entries` are left out, which read whole tables.
    """
    with store.read() as connection:
        holder = read_holder(connection)
        of_service = {key: holder and read_meta(connection, key) for key in _OF_SERVICE}
        site_id = read_meta(connection, "site_id")
        refused = refused or _mismatches(config, connection)
        last, sources = last_cycle(connection), source_problems(connection)
        found = file_problems(connection, limit=max_problems)
        lists = {"entries": count_entries(connection), "feeds": feeds_data(config, connection)} if has_lists else {}
        found += _early_releases(config, connection, now) if has_lists else []
        facts = _stored_facts(config, connection, now)
        problems = _problems(config, connection, now, last, json.loads(of_service["service_problems"] or "[]"))
    if holder is None:  # a service may read the folders from another machine
        sources += filter(None, map(folder_problem, config.sources))
    files = [_file_data(config, problem) for problem in found]
    state = json.loads(of_service["config_state"] or "{}")
    refused_data = [problem.data() for problem in refused] or state.get("refused", [])
    refusals = [REFUSED if holder else problem["text"] for problem in refused_data]
    return {
        "site_id": site_id,
        "running": holder,
        "last_cycle": last and _cycle_data(last),
        "next_cycle": stamp(from_us(int(of_service["next_cycle"]))) if of_service["next_cycle"] else None,
        "next_due": facts.pop("next_due"),
        "config": {
            "refused": refused_data,
            "restart": state.get("restart", []),  # keys that need a restart of the service
            "active": None if refused else _config_facts(config),
        },
        "entries": lists.get("entries"),
        "problems": list(dict.fromkeys([*sources, *problems])),
        **{key: [data for state, data in files if state == kind] for key, kind in _KINDS.items()},
        "feeds": lists.get("feeds"),
        "advice": [text for text in (site_id_warning(config, site_id), loopback_warning(config)) if text],
        "wrong": list(dict.fromkeys([*sources, *_wrong(last, refusals, sources)])),
        **facts,
    }


def _problems(
    config: Config, connection: Connection, now: datetime, last: LastCycle | None, of_service: Sequence[str]
) -> list[str]:
    """What is wrong besides folders, files and the config. `of_service`: what the running service says."""
    active = ActiveConfig(config.feed_policy(), config.output_options())
    lost = read_lost_store(connection, to_us(now))
    cluster = read_meta(connection, CLUSTER_PROBLEM) if config.ingest.dask is not None else None
    return [
        *(last.counts.get("problems", ()) if last else ()),
        *map(str, config.unread_problems(unread_keys(connection))),
        *read_notices(connection, active, config.sources, to_us(now), config.site.timezone),
        *([lost] if lost else []),
        *of_service,
        *([cluster] if cluster else []),
    ]


def _early_releases(config: Config, connection: Connection, now: datetime) -> list[FileProblem]:
    """Warnings of records that are public although their date is still to come."""
    sources = {source.name: source for source in config.sources}
    return [
        FileProblem(name, early_release(sources[name], path, from_us(date)), "warning", stale=False)
        for name, path, date in early_entries(connection, to_us(now))
        if name in sources
    ]


def _mismatches(config: Config, connection: Connection) -> tuple[Problem, ...]:
    """Why the store refuses the config; empty if it does not."""
    try:
        require_match(config, connection)
    except StoreMismatchError as error:
        return (mismatch_problem(config, error),)
    return ()


def advice_for(reason: str) -> str:
    """What to do about a reason in `wrong`; empty if it says so itself."""
    return FAILED_ADVICE if reason.startswith("the last cycle failed") else ADVICE.get(reason, "")


def feeds_data(config: Config, connection: Connection) -> list[dict[str, Any]]:
    """All published feeds for --json, in order."""
    file_name = FILE_NAMES[config.output.formats[0]]
    return [
        {
            "slug": feed.slug,
            "title": feed.title,
            "entries": feed.entries,
            "newest": stamp(feed.newest),
            "updated": stamp(feed.updated),
            "url": f"{config.site.base_url}{feed.slug}/{file_name}",
        }
        for feed in summarise_feeds(connection, config.feed_policy(), config.site_facts())
    ]


def _stored_facts(config: Config, connection: Connection, now: datetime) -> dict[str, Any]:
    """What the status page has beside the facts of the last cycle."""
    due = next_due(connection, to_us(now))
    roots = {source.name: source.root for source in config.sources}
    hubs = {state.hub: state for state in hub_states(connection)}
    return {
        "next_due": None if due is None else stamp(from_us(due)),
        "records": count_records(connection),
        "scheduled": [
            {
                "path": shown_path(roots.get(entry.source, ""), entry.path),
                "title": entry.title,
                "due": stamp(from_us(entry.due_at)),
            }
            for entry in scheduled_entries(connection)
        ],
        "mean_stages": mean_stages(connection),
        "statistics": read_statistics(connection, config.feed_policy(), now, config.site.timezone),
        "websub": [_hub_data(hub, hubs.get(hub)) for hub in dict.fromkeys(config.websub.hub)],
    }


def _hub_data(hub: str, state: HubState | None) -> dict[str, Any]:
    if state is None:
        return {"hub": hub, "waiting": 0, "failed": 0, "next": None}
    return {"hub": hub, "waiting": state.waiting, "failed": state.failed, "next": stamp(from_us(state.next_at))}


def _config_facts(config: Config) -> dict[str, Any]:
    """The active config, in a few lines; without passwords."""
    cron, seconds = config.schedule.cron, config.schedule.every // timedelta(seconds=1)
    schedule = f"cron {cron}" if cron else f"every {seconds} s"
    return {
        "path": None if config.path is None else str(config.path),
        "title": config.site.title,
        "base_url": config.site.base_url,
        "records": [source.root for source in config.sources],
        "schedule": f"{schedule}, and when a file changes" if config.schedule.watch else schedule,
        "store": config.store.url.partition(":")[0].partition("+")[0],
        "output": str(config.output.path),
        "formats": list(config.output.formats),
        "topics": config.topics.auto,
        "feeds": [spec.slug for spec in config.feeds],
    }


def _wrong(last: LastCycle | None, refusals: Sequence[str], sources: Sequence[str]) -> Iterator[str]:
    """What is wrong with the last cycle and with the config. `refusals`: why the config is refused. `sources`: the
    folders that could not be read."""
    if last is not None:
        if last.error:
            yield f"the last cycle failed: {last.error}"
        elif last.counts.get("unwritten") or last.counts.get("published") is False:
            yield UNWRITTEN
    yield from refusals
    if last is not None and last.counts.get("unreadable") and not sources:
        yield UNREADABLE


def _file_data(config: Config, file: FileProblem) -> tuple[str, dict[str, Any]]:
    problem = place_problem(config.sources, file.source, file.problem)
    if file.state != "rejected":
        problem = replace(problem, level="warning")
    source = next((source for source in config.sources if source.name == file.source), None)
    quote = quote_line(source, file.problem) if source and file.state == "rejected" else None
    return file.state, problem.data() | {"stale": file.stale, "quote": quote and quote._asdict()}


def _cycle_data(last: LastCycle) -> dict[str, Any]:
    """The last cycle. Counts are null if it failed."""
    counts = [field.name for field in fields(CycleResult) if field.name not in ("seconds", "due", "notices")]
    head = {"at": stamp(from_us(last.started_at)), "seconds": round(last.seconds, 3), "error": last.error}
    return head | dict.fromkeys(counts) | last.counts
