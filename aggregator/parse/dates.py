"""Dates of front matter -> times in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aggregator.parse.field_bounds import MAX_DATE

_ZONE = r"Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?"
_DATE = re.compile(rf"(\d{{4}}-\d\d-\d\d)(?:[Tt ]\s*(\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)\s*({_ZONE})?)?")
_END_OF_DAY = re.compile(r"24:00(?::00(?:[.,]0+)?)?")
_SECOND = timedelta(seconds=1)
_LOOSE_DATE = re.compile(
    r"(?:(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"|([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})|(\d{1,2}) ([A-Za-z]{3,9})\.?,? (\d{4}))"
    rf"(?:[Tt, ]\s*(\d{{1,2}}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?\s*(?:({_ZONE})(?: [A-Z]{{3,4}})?)?",
    re.ASCII,
)
_DIRECTIVE = re.compile(r"%([-^:0_]?)([aAbBdeFGhHIjklmMpRSTuUVwWyYzZ%])")
_ALIASES = {"F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S", "h": "%b"}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3},\s*)?\d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d(?::\d\d)?(?: (?:[A-Z]{1,4}|[+-]\d{4}))?"
)


def parse_time(value: object, zone: ZoneInfo, *, loose: bool = False) -> tuple[datetime, bool] | None:
    """The time in UTC, and whether the value has a time zone itself; else it is in `zone`. None if not a date."""
    stated = zoned_time(value, zone, loose=loose)
    try:
        moment = stated[0].astimezone(UTC) if stated else None
    except (OverflowError, ValueError):
        return None
    return (moment, stated[1]) if stated and moment and moment.year > 1 else None


def zoned_time(value: object, zone: ZoneInfo, *, loose: bool = False) -> tuple[datetime, bool] | None:
    """The time in the time zone that the value has, else in `zone`, and whether it has one. None if not a date.

    Reads dates, datetimes, ISO 8601 in its extended form and RFC 5322. With `loose`, also unambiguous forms that Jekyll
    and Hugo accept, such as 2026/5/1 9:30 and May 1, 2026.
    """
    if isinstance(value, str):
        text = value.strip() if len(value) <= MAX_DATE else ""
        value = _parse_strict(text) or (_parse_loose(text) if loose else None)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    has_zone = value.tzinfo is not None
    return value if has_zone else value.replace(tzinfo=zone), has_zone


def unix_time(seconds: int) -> tuple[datetime, bool] | None:
    """The time so many seconds after 1970, in the form of `parse_time`."""
    try:
        return datetime.fromtimestamp(seconds, UTC), True
    except (OverflowError, OSError, ValueError):
        return None


def is_empty_date(value: object) -> bool:
    """True for the spellings of "no date" in Hugo and Jekyll: an empty text, and Go's year 1."""
    return value == "" or (isinstance(value, str | date) and str(value).startswith("0001-01-01"))


def _parse_strict(text: str) -> datetime | None:
    try:
        if match := _DATE.fullmatch(text):
            day, clock, zone = match.groups()
            clock, later = _usual_clock(clock or "00:00")
            offset = "+00" if zone in ("Z", "z", "UTC", "GMT") else zone or ""
            moment = datetime.fromisoformat(f"{day}T{clock.replace(',', '.')}{offset}")
            is_leap = later == _SECOND
            if is_leap and (moment.astimezone(UTC) if zone else moment).strftime("%H:%M") != "23:59":
                return None
            return moment + later
        if _RFC_2822.fullmatch(text):
            from email.utils import parsedate_to_datetime  # imports sockets

            return parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return None


def _usual_clock(clock: str) -> tuple[str, timedelta]:
    """A time of day that Python reads, and how much later the stated one is: 24:00:00 is midnight of the next day (ISO
    8601), and a leap second, 23:59:60 in UTC (RFC 3339, 5.7), is the second after it, as for Ruby and POSIX."""
    if _END_OF_DAY.fullmatch(clock):
        return "00:00", timedelta(days=1)
    if clock[6:8] == "60":
        return f"{clock[:6]}59{clock[8:]}", _SECOND
    return clock, timedelta()


def _parse_loose(text: str) -> datetime | None:
    match = _LOOSE_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = match.group(1, 2, 3) if match[1] else match.group(6, 4, 5) if match[6] else match.group(9, 8, 7)
    if not month.isdigit():
        month = str(_MONTHS.index(month[:3].lower()) + 1) if month[:3].lower() in _MONTHS else "0"
    hour, minute, second, zone = match.group(10, 11, 12, 13)
    clock = f"{int(hour or 0):02}:{minute or '00'}:{second or '00'}"
    return _parse_strict(f"{year}-{int(month):02}-{int(day):02} {clock}{zone or ''}")


def format_time(moment: datetime, form: str) -> str:
    """The time in a form of Ruby's `strftime`, such as `%-d %B %Y`, without widths."""
    return _DIRECTIVE.sub(lambda match: _format_part(moment, match[1], match[2]), form)


def _format_part(moment: datetime, flag: str, letter: str) -> str:
    if letter in "YG":
        text = f"{moment.isocalendar().year if letter == 'G' else moment.year:04}"  # strftime does not pad it
    elif letter in _ALIASES:
        text = format_time(moment, _ALIASES[letter])
    elif letter in "ekl":
        text = f"{moment.day if letter == 'e' else moment.hour if letter == 'k' else (moment.hour - 1) % 12 + 1:2}"
    else:
        text = moment.strftime(f"%{letter}")
    if flag == "-":
        return text.lstrip("0 ") or "0"
    return f"{text[:3]}:{text[3:]}" if flag == ":" else text.upper() if flag == "^" else text


def in_zone(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """A time without a zone, read in this zone; None for None, and beyond the dates that `parse_time` reads."""
    parsed = parse_time(moment, zone)
    return parsed[0] if parsed else None
