"""The figures of a run -> docs/performance.md, and the goals in benchmarks/README.md."""

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
COLD = {
    "1000": {"lean": 2.0, "defaults": 2.5},
    "10000": {"lean": 0.6, "defaults": 1.0},
    "100000": {"lean": 0.3, "defaults": 0.8},
}
"""The largest ratio to Hugo's wall time, by number of records."""
LESS_MEMORY = ("10000", "100000")
LARGE, MILLION = "100000", "1000000"
ARRIVES_S, ARRIVES_P95_S, ARRIVES_RATIO = 0.050, {LARGE: 0.100, MILLION: 0.150}, 1 / 50
QUIET_RATIO, IDLE_SHARE = {"lean": 1.5, "defaults": 2.0}, 0.005
COMMAND_S = 0.3
POSTGRESQL_RATIO, POSTGRESQL_SIZE = 1.1, "10000"
TO_NGINX = {"200": 0.62, "304": 0.33}
"""The smallest ratio to the requests that nginx answers per second."""
IN_CYCLE, GROWTH = 0.5, 1.05
MILLION_MB, MILLION_QUIET_S = 400, 10
OURS = ("defaults", "lean")
BEGIN, END = "<!-- written by make bench: begin -->\n", "<!-- written by make bench: end -->\n"
"""The lines around the goals in benchmarks/README.md."""


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
    defaults: Reached | None
    lean: Reached | None


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
        profile=stages.get("10000"),
        small=stages.get("1000"),
        largest_costs=largest_costs,
    )


def render_goals(figures: Figures) -> str:
    """The goals with the figures of a run, as the table of benchmarks/README.md."""
    lines = [
        f"Of `{figures['command']}`, which began {figures['at']}:",
        "",
        "| case | goal | defaults | | lean | |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {goal.case} | {goal.asked} | {_cells(goal.defaults)} | {_cells(goal.lean)} |"
        for goal in list_goals(figures)
    ]
    return "\n".join(lines) + "\n"


def with_goals(readme: str, goals: str) -> str:
    """The text of benchmarks/README.md with these goals in place of the last ones."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}{goals}{END}{rest.partition(END)[2]}"


def _cells(reached: Reached | None) -> str:
    if reached is None:
        return "not measured | –"
    return f"{reached.text} | {'met' if reached.met else '**missed**'}"


def list_goals(figures: Figures) -> list[Goal]:
    """Every goal with the figures of this run."""
    goals = (
        _cold_goals(figures),
        _quiet_goals(figures),
        _arrival_goals(figures),
        _command_goals(figures),
        _postgresql_goals(figures),
        _million_goals(figures),
        [_goal("idle service, watching", "≤ 0.5 % of one core", lambda name: _idle(figures, name))],
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

        def wall_time(name: str, size: str = size, most: Mapping[str, float] = most) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            ratio = costs[name]["wall_s"] / costs["Hugo"]["wall_s"]
            return Reached(times_text(ratio), ratio <= most[name])

        asked = f"≤ {most['defaults']:g} × Hugo's wall time, lean ≤ {most['lean']:g} ×"
        goals.append(_goal(f"cold build, {size_text(size)} records", asked, wall_time))
    for size in LESS_MEMORY:

        def memory(name: str, size: str = size) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            ours, theirs = costs[name]["peak_mb"], costs["Hugo"]["peak_mb"]
            return Reached(f"{ours:.0f} MB, Hugo {theirs:.0f} MB", ours < theirs)

        goals.append(_goal(f"cold build, {size_text(size)} records", "less memory than Hugo", memory))
    return goals


def _quiet_goals(figures: Figures) -> list[Goal]:
    def quiet(name: str) -> Reached:
        times = figures["quiet"][LARGE][name]
        ratio = times["cycle_s"] / times["floor_s"]
        text = f"{times_text(ratio)} ({seconds_text(times['cycle_s'])} to {seconds_text(times['floor_s'])})"
        return Reached(text, ratio <= QUIET_RATIO[name])

    most = f"≤ {QUIET_RATIO['defaults']:g} × the floor, lean ≤ {QUIET_RATIO['lean']:g} ×: to list and stat the files"
    return [_goal("nothing changed, 100,000 records, in the service", most, quiet)]


def _arrival_goals(figures: Figures, size: str = LARGE) -> list[Goal]:
    case, most_p95 = f"one new record among {size_text(size)}, service watching", ARRIVES_P95_S[size]

    def middle(name: str) -> Reached:
        seconds = median(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(seconds), seconds <= ARRIVES_S)

    def slowest(name: str) -> Reached:
        seconds = p95(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(seconds), seconds <= most_p95)

    def beside_hugo(name: str) -> Reached:
        ours, theirs = (median(figures["arrivals"][size][site]["seconds"]) for site in (name, "Hugo"))
        return Reached(f"1/{theirs / ours:.0f} of {seconds_text(theirs)}", ours <= theirs * ARRIVES_RATIO)

    goals = [
        _goal(case, f"≤ {1000 * ARRIVES_S:g} ms median", middle),
        _goal(case, f"≤ {1000 * most_p95:g} ms at the 95th percentile", slowest),
    ]
    return goals if size == MILLION else [*goals, _goal(case, "median ≤ 1/50 of `hugo --watch`", beside_hugo)]


def _command_goals(figures: Figures) -> list[Goal]:
    goals = []
    for command in ("status", "feeds", "explain", "build"):

        def wall_time(name: str, command: str = command) -> Reached:
            seconds = figures["commands"][LARGE][name][command]["wall_s"]
            return Reached(seconds_text(seconds), seconds <= COMMAND_S)

        what = f"`{command}` without changes" if command == "build" else f"`{command}`"
        goals.append(_goal(f"{what}, 100,000 records, process start included", f"≤ {COMMAND_S:g} s", wall_time))
    return goals


def _postgresql_goals(figures: Figures) -> list[Goal]:
    def wall_time(name: str) -> Reached:
        costs = figures["databases"][POSTGRESQL_SIZE][name]
        ratio = costs["PostgreSQL"]["wall_s"] / costs["SQLite"]["wall_s"]
        return Reached(times_text(ratio), ratio <= POSTGRESQL_RATIO)

    case = f"cold build into PostgreSQL, {size_text(POSTGRESQL_SIZE)} records"
    return [_goal(case, f"≤ {POSTGRESQL_RATIO:g} × SQLite's wall time", wall_time)]


def _million_goals(figures: Figures) -> list[Goal]:
    def memory(name: str) -> Reached:
        build = figures["builds"][MILLION]["costs"]["cold"][name]["peak_mb"]
        service = figures["arrivals"][MILLION][name]["peak_mb"]
        return Reached(f"{build:.0f} MB, the service {service:.0f} MB", max(build, service) <= MILLION_MB)

    def quiet(name: str) -> Reached:
        seconds = figures["quiet"][MILLION][name]["cycle_s"]
        return Reached(seconds_text(seconds), seconds <= MILLION_QUIET_S)

    return [
        _goal("1,000,000 records", f"peak memory ≤ {MILLION_MB} MB", memory),
        _goal("1,000,000 records, nothing changed", f"≤ {MILLION_QUIET_S} s", quiet),
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
            return _reached(lean(name)["rates"][kind]["ours"], lean(name)["rates"][kind]["nginx"], least)

        def in_cycle(name: str, kind: str = kind, least: float = least * IN_CYCLE) -> Reached:
            return _reached(lean(name)["in_cycle"][kind], lean(name)["rates"][kind]["nginx"], least)

        case = f"{kind}s per second"
        goals.append(_goal(case, f"≥ {least:g} × nginx", rate))
        goals.append(_goal(f"{case} while 10,000 changed records are read", "half of that: × nginx at rest", in_cycle))

    def growth(name: str) -> Reached:
        first, last = lean(name)["first_mb"], lean(name)["last_mb"]
        return Reached(f"{first:.0f} MB, then {last:.0f} MB", last <= first * GROWTH)

    return [*goals, _goal("1,000 connections for a minute", "≤ 5 % more memory than after a second", growth)]


def _reached(ours: Figures, nginx: Figures, least: float) -> Reached:
    ratio = ours["per_s"] / nginx["per_s"]
    return Reached(times_text(ratio), ratio >= least)


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
