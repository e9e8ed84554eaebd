"""The figures of a run -> docs/performance.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Figures = Mapping[str, Any]
"""The figures of a run by case, size and site, read from JSON, so sizes are strings."""
COLD = {"1000": 2.0, "10000": 0.5, "100000": 0.3}
"""The largest ratio to Hugo's wall time, by number of records."""
TO_SQLITE = 1.1
LESS_MEMORY = ("10000", "100000")
ARRIVES_S, ARRIVES_P95_S, ARRIVES_RATIO = 0.050, 0.150, 1 / 50
QUIET_RATIO, IDLE_SHARE = 2.0, 0.005
TO_NGINX = {"200": 0.62, "304": 0.33}
"""The smallest ratio to the requests that nginx answers per second."""
IN_CYCLE, GROWTH = 0.5, 1.05
LARGE, MILLION = "100000", "1000000"
MILLION_MB, MILLION_QUIET_S = 400, 10
OURS = ("lean", "defaults")


@dataclass(frozen=True, slots=True)
class Reached:
    """A figure as text, and whether it meets the goal."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal and the figures for both of our sites; None if not measured."""

    case: str
    asked: str
    lean: Reached | None
    defaults: Reached | None


def render_report(figures: Figures) -> str:
    """The text of docs/performance.md."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "seconds": seconds_text,
        "times": times_text,
        "share": share_text,
        "number": number_text,
        "size": size_text,
        "median": median,
        "p95": p95,
    }
    stages = figures.get("stages", {})
    return environment.get_template("performance.md.jinja").render(
        figures=figures,
        goals=list_goals(figures),
        profile=stages.get("10000"),
        small=stages.get("1000"),
        largest_costs=largest_costs,
    )


def list_goals(figures: Figures) -> list[Goal]:
    """Every goal with the figures of this run."""
    idle = _goal("idle service, watching", "≤ 0.5 % of one core", lambda name: _idle(figures, name))
    goals = (
        _cold_goals(figures),
        _database_goals(figures),
        _quiet_goals(figures),
        _arrival_goals(figures),
        _million_goals(figures),
        [idle],
        _load_goals(figures),
    )
    return list(chain.from_iterable(goals))


def largest_costs(profile: Figures, many: int = 3) -> list[tuple[str, float]]:
    """The slowest stages of a build in one process, with their seconds."""
    stages: dict[str, float] = profile["one process"]["stages"]
    return sorted(stages.items(), key=lambda stage: -stage[1])[:many]


def _cold_goals(figures: Figures) -> list[Goal]:
    goals = []
    for size, most in COLD.items():

        def wall_time(name: str, size: str = size, most: float = most) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            ratio = costs[name]["wall_s"] / costs["Hugo"]["wall_s"]
            return Reached(times_text(ratio), ratio <= most)

        goals.append(_goal(f"cold build, {size_text(size)} records", f"≤ {most:g} × Hugo's wall time", wall_time))
    for size in LESS_MEMORY:

        def memory(name: str, size: str = size) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            ours, theirs = costs[name]["peak_mb"], costs["Hugo"]["peak_mb"]
            return Reached(f"{ours:.0f} MB, Hugo {theirs:.0f} MB", ours < theirs)

        goals.append(_goal(f"cold build, {size_text(size)} records", "less memory than Hugo", memory))
    return goals


def _database_goals(figures: Figures) -> list[Goal]:
    def wall_time(name: str) -> Reached:
        costs = figures["databases"]["10000"][name]
        ratio = costs["PostgreSQL"]["wall_s"] / costs["SQLite"]["wall_s"]
        return Reached(times_text(ratio), ratio <= TO_SQLITE)

    return [_goal("cold build, 10,000 records, PostgreSQL", f"≤ {TO_SQLITE:g} × the time with SQLite", wall_time)]


def _quiet_goals(figures: Figures) -> list[Goal]:
    def quiet(name: str) -> Reached:
        times = figures["quiet"][LARGE][name]
        ratio = times["cycle_s"] / times["floor_s"]
        text = f"{times_text(ratio)} ({seconds_text(times['cycle_s'])} to {seconds_text(times['floor_s'])})"
        return Reached(text, ratio <= QUIET_RATIO)

    return [
        _goal("nothing changed, 100,000 records, in the service", "≤ 2 × the floor: to list and stat the files", quiet)
    ]


def _arrival_goals(figures: Figures, size: str = LARGE) -> list[Goal]:
    case = f"one new record among {size_text(size)}, service watching"

    def middle(name: str) -> Reached:
        seconds = median(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(seconds), seconds <= ARRIVES_S)

    def slowest(name: str) -> Reached:
        seconds = p95(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(seconds), seconds <= ARRIVES_P95_S)

    def beside_hugo(name: str) -> Reached:
        ours, theirs = (median(figures["arrivals"][size][site]["seconds"]) for site in (name, "Hugo"))
        return Reached(f"1/{theirs / ours:.0f} of {seconds_text(theirs)}", ours <= theirs * ARRIVES_RATIO)

    goals = [_goal(case, "≤ 50 ms median", middle), _goal(case, "≤ 150 ms at the 95th percentile", slowest)]
    return goals if size == MILLION else [*goals, _goal(case, "median ≤ 1/50 of `hugo --watch`", beside_hugo)]


def _million_goals(figures: Figures) -> list[Goal]:
    def memory(name: str) -> Reached:
        build = figures["builds"][MILLION]["costs"]["cold"][name]["peak_mb"]
        service = figures["arrivals"][MILLION][name]["peak_mb"]
        return Reached(f"{build:.0f} MB, the service {service:.0f} MB", max(build, service) <= MILLION_MB)

    def quiet(name: str) -> Reached:
        seconds = figures["quiet"][MILLION][name]["cycle_s"]
        return Reached(seconds_text(seconds), seconds <= MILLION_QUIET_S)

    return [
        _goal("1,000,000 records", "peak memory ≤ 400 MB", memory),
        _goal("1,000,000 records, nothing changed", "≤ 10 s", quiet),
        *_arrival_goals(figures, MILLION),
    ]


def _load_goals(figures: Figures) -> list[Goal]:
    def lean(name: str) -> Figures:
        if name != "lean":  # what is served is the same
            raise KeyError(name)
        load: Figures = figures["load"]["10000"]
        return load

    goals = []
    for kind, least in TO_NGINX.items():

        def rate(name: str, kind: str = kind, least: float = least) -> Reached:
            rates = lean(name)["rates"][kind]
            ratio = rates["ours"]["per_s"] / rates["nginx"]["per_s"]
            return Reached(times_text(ratio), ratio >= least)

        def in_cycle(name: str, kind: str = kind) -> Reached:
            ratio = lean(name)["in_cycle"][kind]["per_s"] / lean(name)["rates"][kind]["ours"]["per_s"]
            return Reached(times_text(ratio), ratio >= IN_CYCLE)

        goals.append(_goal(f"{kind}s per second", f"≥ {least:g} × nginx", rate))
        goals.append(_goal(f"{kind}s per second while 10,000 changed records are read", "half of that", in_cycle))

    def growth(name: str) -> Reached:
        first, last = lean(name)["first_mb"], lean(name)["last_mb"]
        return Reached(f"{first:.0f} MB, then {last:.0f} MB", last <= first * GROWTH)

    return [*goals, _goal("1,000 connections for a minute", "≤ 5 % more memory than after a second", growth)]


def _idle(figures: Figures, name: str) -> Reached:
    share = next(iter(figures["idle"].values()))[name]
    return Reached(share_text(share, 2), share <= IDLE_SHARE)


def _goal(case: str, asked: str, measure: Callable[[str], Reached]) -> Goal:
    """The goal with the result of `measure` for each of our sites; None if this run did not measure it."""

    def reached(name: str) -> Reached | None:
        try:
            return measure(name)
        except KeyError:
            return None

    return Goal(case, asked, *map(reached, OURS))


def p95(values: Sequence[float]) -> float:
    """The 95th percentile: the smallest value that at least 95 % of the values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def seconds_text(seconds: float) -> str:
    """A time with about three digits, in µs, ms or s."""
    units = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))
    return next((f"{number_text(seconds * many)} {unit}" for unit, many in units if seconds * many >= 1), "0")


def number_text(number: float) -> str:
    """A number with about three digits."""
    if not number:
        return "0"
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def times_text(ratio: float) -> str:
    """A ratio as text."""
    return f"{ratio:.2f} ×"


def share_text(share: float, digits: int = 0) -> str:
    """A share in per cent, as text."""
    return f"{share:.{digits}%}".replace("%", " %")


def size_text(size: str | int) -> str:
    """A number of records, with commas."""
    return f"{int(size):,}"
