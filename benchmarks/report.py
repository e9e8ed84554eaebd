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
"""What a run measured, by case, size, site; as JSON has it, so sizes are texts."""
COLD = {"1000": 2.0, "10000": 0.5, "100000": 0.3}
"""At most so many times Hugo's time."""
LESS_MEMORY = ("10000", "100000")
ARRIVES_S, ARRIVES_P95_S, ARRIVES_RATIO = 0.050, 0.150, 1 / 50
QUIET_RATIO, IDLE_SHARE = 2.0, 0.005
LARGE, MILLION = "100000", "1000000"
MILLION_MB, MILLION_QUIET_S = 400, 10
OURS = ("lean", "defaults")


@dataclass(frozen=True, slots=True)
class Reached:
    """One figure, as it is shown, and whether it is good enough."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Goal:
    """What was asked for, and what was reached doing what Hugo does and with our defaults; None was not measured."""

    case: str
    asked: str
    lean: Reached | None
    defaults: Reached | None


def render_report(figures: Figures) -> str:
    """The whole document."""
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
    """Every goal, with what this run says of it."""
    idle = _goal("idle service, watching", "≤ 0.5 % of one core", lambda name: _idle(figures, name))
    found = (_cold_goals(figures), _quiet_goals(figures), _arrival_goals(figures), _million_goals(figures), [idle])
    return list(chain.from_iterable(found))


def largest_costs(profile: Figures, many: int = 3) -> list[tuple[str, float]]:
    """The stages that take most of a build in one process, with their seconds."""
    stages: dict[str, float] = profile["one process"]["stages"]
    return sorted(stages.items(), key=lambda stage: -stage[1])[:many]


def _cold_goals(figures: Figures) -> list[Goal]:
    goals = []
    for size, most in COLD.items():

        def ratio(name: str, size: str = size, most: float = most) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            found = costs[name]["wall_s"] / costs["Hugo"]["wall_s"]
            return Reached(times_text(found), found <= most)

        goals.append(_goal(f"cold build, {size_text(size)} records", f"≤ {most:g} × Hugo's wall time", ratio))
    for size in LESS_MEMORY:

        def memory(name: str, size: str = size) -> Reached:
            costs = figures["builds"][size]["costs"]["cold"]
            ours, theirs = costs[name]["peak_mb"], costs["Hugo"]["peak_mb"]
            return Reached(f"{ours:.0f} MB, Hugo {theirs:.0f} MB", ours < theirs)

        goals.append(_goal(f"cold build, {size_text(size)} records", "less memory than Hugo", memory))
    return goals


def _quiet_goals(figures: Figures) -> list[Goal]:
    def quiet(name: str) -> Reached:
        walks = figures["walks"][LARGE][name]
        found = walks["cycle_s"] / walks["floor_s"]
        text = f"{times_text(found)} ({seconds_text(walks['cycle_s'])} to {seconds_text(walks['floor_s'])})"
        return Reached(text, found <= QUIET_RATIO)

    return [
        _goal("nothing changed, 100,000 records, in the service", "≤ 2 × the floor: to list and stat the files", quiet)
    ]


def _arrival_goals(figures: Figures, size: str = LARGE) -> list[Goal]:
    case = f"one new record among {size_text(size)}, service watching"

    def middle(name: str) -> Reached:
        found = median(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(found), found <= ARRIVES_S)

    def slowest(name: str) -> Reached:
        found = p95(figures["arrivals"][size][name]["seconds"])
        return Reached(seconds_text(found), found <= ARRIVES_P95_S)

    def beside_hugo(name: str) -> Reached:
        ours, theirs = (median(figures["arrivals"][size][one]["seconds"]) for one in (name, "Hugo"))
        return Reached(f"1/{theirs / ours:.0f} of {seconds_text(theirs)}", ours <= theirs * ARRIVES_RATIO)

    goals = [_goal(case, "≤ 50 ms median", middle), _goal(case, "≤ 150 ms at the 95th percentile", slowest)]
    return goals if size == MILLION else [*goals, _goal(case, "median ≤ 1/50 of `hugo --watch`", beside_hugo)]


def _million_goals(figures: Figures) -> list[Goal]:
    def memory(name: str) -> Reached:
        build = figures["builds"][MILLION]["costs"]["cold"][name]["peak_mb"]
        service = figures["arrivals"][MILLION][name]["peak_mb"]
        return Reached(f"{build:.0f} MB, the service {service:.0f} MB", max(build, service) <= MILLION_MB)

    def quiet(name: str) -> Reached:
        found = figures["walks"][MILLION][name]["cycle_s"]
        return Reached(seconds_text(found), found <= MILLION_QUIET_S)

    return [
        _goal("1,000,000 records", "peak memory ≤ 400 MB", memory),
        _goal("1,000,000 records, nothing changed", "≤ 10 s", quiet),
        *_arrival_goals(figures, MILLION),
    ]


def _idle(figures: Figures, name: str) -> Reached:
    found = next(iter(figures["idle"].values()))[name]
    return Reached(share_text(found, 2), found <= IDLE_SHARE)


def _goal(case: str, asked: str, measure: Callable[[str], Reached]) -> Goal:
    """The goal with what `measure` finds for each way of ours; what this run has not measured is no figure."""

    def reached(name: str) -> Reached | None:
        try:
            return measure(name)
        except KeyError:
            return None

    return Goal(case, asked, *map(reached, OURS))


def p95(values: Sequence[float]) -> float:
    """The smallest value that 95 % of all are at or below."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def seconds_text(seconds: float) -> str:
    """Some three digits, in µs, ms or s."""
    units = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))
    return next((f"{number_text(seconds * many)} {unit}" for unit, many in units if seconds * many >= 1), "0")


def number_text(number: float) -> str:
    """Some three digits."""
    if not number:
        return "0"
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def times_text(ratio: float) -> str:
    """A ratio."""
    return f"{ratio:.2f} ×"


def share_text(share: float, digits: int = 0) -> str:
    """A share in per cent."""
    return f"{share:.{digits}%}".replace("%", " %")


def size_text(size: str | int) -> str:
    """A number of records."""
    return f"{int(size):,}"
