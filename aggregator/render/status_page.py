"""The status page. Only the service renders it; nothing of it is in the output folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from markupsafe import Markup

from aggregator.render.articles import date_in_words
from aggregator.render.charts import bar_chart, column_chart
from aggregator.render.pages import render_page
from aggregator.settings import OutputOptions, Site

WEEK = 7
_UNITS = ((0.001, "ms", 3, 1000), (1, "s", 3, 60), (60, "min", 2, 60), (3600, "h", 2, 24), (86_400, "d", 2, math.inf))
"""Seconds of each unit, its name, the digits to show, and the number that is shown in the next unit."""


def render_status_page(
    site: Site, options: OutputOptions, facts: Mapping[str, Any] | None, *, when: Callable[[str], Any], **values: Any
) -> bytes:
    """The page for the facts of `status.read_status`; None: the store cannot be read. `when` returns a time as text,
    as a distance and as an exact time."""
    return render_page(
        "status",
        site,
        options,
        root="",
        facts=facts,
        charts=_charts(facts) if facts else {},
        weeks=_weeks(facts["statistics"]["days"]) if facts else (),
        when=when,
        duration=duration,
        **values,
    )


def _charts(facts: Mapping[str, Any]) -> dict[str, Markup]:
    """The charts that have something to show, by name."""
    found = facts["statistics"]
    days, weeks = found["days"], _weeks(found["days"])
    charts: dict[str, Markup] = {}
    if any(days.values()):
        names = [_short(day) for day in days]
        charts["days"] = column_chart(names, list(days.values()), width=960, named_every=14)
        names = [_short(week) for week, _ in weeks]
        charts["weeks"] = column_chart(names, [count for _, count in weeks], width=340, named_every=4)
    if found["topics"]:
        charts["topics"] = bar_chart(
            [topic["title"] for topic in found["topics"]], [topic["entries"] for topic in found["topics"]]
        )
    if found["sampled"]:
        charts["delays"] = bar_chart(list(found["delays"]), list(found["delays"].values()))
    if any(found["feed_ages"].values()):
        charts["feeds"] = bar_chart(list(found["feed_ages"]), list(found["feed_ages"].values()))
    if facts["mean_stages"]:
        charts["stages"] = bar_chart(list(facts["mean_stages"]), list(facts["mean_stages"].values()), shown=duration)
    return charts


def _weeks(days: Mapping[str, int]) -> list[tuple[str, int]]:
    """The numbers of weeks, each named by its last day; the last one ends with the last day."""
    counts = list(days.items())
    first = len(counts) % WEEK
    return [
        (counts[start + WEEK - 1][0], sum(count for _, count in counts[start : start + WEEK]))
        for start in range(first, len(counts), WEEK)
    ]


def _short(day: str) -> str:
    """A day as in "20 May"."""
    return " ".join(date_in_words(date.fromisoformat(day)).split()[:2])


def duration(seconds: float) -> str:
    """A span of time as in "340 ms", "1.2 s" or "3 h"."""
    shown = ((_rounded(seconds / size, digits), name, most) for size, name, digits, most in _UNITS)
    return next(f"{number:g} {name}" for number, name, most in shown if number < most)


def _rounded(number: float, digits: int) -> float:
    return round(number) if number >= 100 else float(f"{round(number, 3):.{digits}g}")
