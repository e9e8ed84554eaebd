"""Whole builds, process start included: cold, without changes, and with one new record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.corpus import make_record
from benchmarks.processes import Cost, middle, run_measured
from benchmarks.sites import Count, HugoSite, OurSite

Site = OurSite | HugoSite
Before = Callable[[], None]
NEW_FROM = 10_000_000
"""The first record number that no corpus uses."""


def measure_builds(sites: Mapping[str, Site], records: Path, rounds: int) -> dict[str, dict[str, Cost]]:
    """Medians by case and site. In every round the sites take turns.

    Hugo builds everything every time, so all its builds after the first do the same work.
    """

    def clear() -> None:
        for site in sites.values():
            site.clear()

    def build_once() -> None:
        """Builds once: the next build reads files again that had just been written."""
        for site in sites.values():
            run_measured(site.build_command())

    arrived = iter(range(NEW_FROM, NEW_FROM + rounds))
    cold = _take_turns(sites, rounds, clear)
    build_once()
    quiet = _take_turns(sites, rounds, lambda: None)
    one_new = _take_turns(sites, rounds, lambda: put_new(records, next(arrived)))
    return {"cold": cold, "nothing changed": quiet, "one new record": one_new}


def measure_cold(site: OurSite) -> Cost:
    """One cold build."""
    site.clear()
    return run_measured(site.build_command())


def count_entries(sites: Mapping[str, Site]) -> dict[str, dict[str, Count]]:
    """The number of entries in each site. Raises ValueError if they differ, because times could not be compared."""
    counts = {name: site.counts() for name, site in sites.items()}
    if len({str(site_counts) for site_counts in counts.values()}) != 1:
        raise ValueError(f"the sites do not hold the same: {counts}")
    return counts


def put_new(records: Path, number: int) -> None:
    """Puts a new record into the folder."""
    record = make_record(number, new_at=datetime.now(UTC))
    target = records / record.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(record.text, encoding="utf-8")


def _take_turns(sites: Mapping[str, Site], rounds: int, before: Before) -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {name: [] for name in sites}
    for _ in range(rounds):
        before()
        for name, site in sites.items():
            costs[name].append(run_measured(site.build_command()))
    return {name: middle(taken) for name, taken in costs.items()}
