"""Cron expressions, read as cron reads them and written as APScheduler 3 does.

Their weekdays differ: cron counts 0 and 7 as Sunday, APScheduler counts 0 as Monday, so weekdays leave here as names.
APScheduler drops a step after a range of months by name, so months leave here as numbers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aggregator.config.values import BadValueError

_PART = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,2}))?"
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "sun mon tue wed thu fri sat".split()
_LONGEST_MONTH = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_DAY_MINUTES = 24 * 60


class _Field(NamedTuple):
    """One of the five: `first` to `last` is what `*` stands for, `highest` what may be written."""

    name: str
    first: int
    last: int
    highest: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, 59, {}),
    _Field("hour", 0, 23, 23, {}),
    _Field("day of the month", 1, 31, 31, {}),
    _Field("month", 1, 12, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("weekday", 0, 6, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def read_cron(text: str) -> str:
    """The expression with months as numbers and weekdays as names.

    Cron fires when the day of the month or the weekday fits, APScheduler when both do: an expression that limits
    both is refused, and so is one whose day never comes.
    """
    minute, hour, day, *_ = _split(text)
    _, _, days, months, weekdays = _values(text)
    every_day, every_weekday = len(days) == 31, len(weekdays) == 7
    if not (every_day or every_weekday):
        raise BadValueError("limits both the day of the month and the weekday", "write * for one of them")
    if min(days) > max(_LONGEST_MONTH[month] for month in months):
        raise BadValueError("names a day that never comes", "write a day that the month has")
    month = "*" if len(months) == 12 else ",".join(map(str, sorted(months)))
    weekday = "*" if every_weekday else ",".join(_WEEKDAYS[number] for number in sorted(weekdays))
    return f"{minute} {hour} {day} {month} {weekday}"


def shortest_gap_minutes(text: str) -> int:
    """The least number of minutes between two runs, taken over the minutes and hours; a day if it runs once in one."""
    minutes, hours, *_ = _values(text)
    runs = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    return min(after - before for before, after in zip(runs, [*runs[1:], runs[0] + _DAY_MINUTES], strict=True))


def _split(text: str) -> list[str]:
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        raise BadValueError(
            "is not five fields", 'write minute, hour, day of the month, month and weekday, such as "*/5 * * * *"'
        )
    return fields


def _values(text: str) -> list[set[int]]:
    """What each of the five fields allows."""
    return [
        {number for part in field_text.split(",") for number in _part_values(part, field)}
        for field_text, field in zip(_split(text), _FIELDS, strict=True)
    ]


def _part_values(part: str, field: _Field) -> list[int]:
    match = _PART.fullmatch(part)
    if not match:
        raise BadValueError(f"is wrong in its {field.name}, '{part}'", _allowed(field))
    first = field.first if match["first"] is None else _number(match["first"], field)
    if match["last"] is not None:
        last = _number(match["last"], field)
        if last == 0 and match["last"] == "sun":  # a week that ends on Sunday: fri-sun
            last = 7
    elif match["first"] is None or match["step"]:
        last = field.last
    else:
        last = first
    if first > last:
        raise BadValueError(f"runs backwards in its {field.name}, '{part}'", "write the smaller value first")
    step = int(match["step"] or 1)
    if match["step"] and not 1 <= step <= last - first:
        raise BadValueError(
            f"has a step that does not fit in its {field.name}, '{part}'", "write a step within the range"
        )
    numbers = range(first, last + 1, step)
    return [number % 7 for number in numbers] if field.highest == 7 else list(numbers)


def _number(text: str, field: _Field) -> int:
    number = field.names.get(text, -1) if text.isalpha() else int(text)
    if not field.first <= number <= field.highest:
        raise BadValueError(f"is wrong in its {field.name}, '{text}'", _allowed(field))
    return number


def _allowed(field: _Field) -> str:
    names = f" or {next(iter(field.names))} to {list(field.names)[-1]}" if field.names else ""
    return f"use {field.first} to {field.highest}{names}, *, lists, ranges and steps"
