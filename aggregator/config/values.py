"""Single values as people write them: durations, sizes, addresses, zones, slugs."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from aggregator.feeds.phrases import expression_error, parse_phrase
from aggregator.slugs import MAX_SLUG, RESERVED_SLUGS

T = TypeVar("T")

_SQLITE = "sqlite:///"

_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_LONGEST = timedelta(days=36_525)  # so that no date plus or minus a duration leaves the calendar
_SIZE = re.compile(r"(\d{1,15}) ?(B|[KMG]B|[KMG]iB)", re.ASCII)
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LONGEST_SLUG = MAX_SLUG + 20  # `feeds --pin` prints slugs with a suffix
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")


class BadValueError(ValueError):
    """A value that cannot be used: `what` follows the name of the key, `todo` says what to write instead."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo


def read_duration(value: object) -> timedelta:
    """The time that a text such as "90s", "10m" or "1h30m" stands for."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match or not value:
        raise BadValueError("is not a duration", 'write a number with s, m, h, d or w, such as "10m" or "1h30m"')
    try:
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        duration = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (OverflowError, ValueError):
        duration = timedelta.max
    if duration > _LONGEST:
        raise BadValueError("is longer than a hundred years", "write a shorter duration")
    return duration


def need_second(value: timedelta) -> timedelta:
    """The duration, which is at least a second."""
    if value < timedelta(seconds=1):
        raise BadValueError("is less than a second", 'write a duration of at least "1s"')
    return value


def read_size(value: object) -> int:
    """The bytes that a text such as "1MB" (10^6) or "1MiB" (2^20), or a number of bytes, stands for; at least 1."""
    size = 0
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * _UNITS[match[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    if size < 1:
        raise BadValueError(
            "is not a size", 'write a number of bytes, or one with KB, MB, GB, KiB, MiB or GiB such as "1MB"'
        )
    return size


def need_text(value: str) -> str:
    """The text, which is neither blank nor holds a control character or a lone surrogate."""
    if not value.strip():
        raise BadValueError("is empty", "write a text or remove the line")
    if _UNSHOWABLE.search(value):
        raise BadValueError("holds a character that cannot be shown", "write it as one line of plain text")
    return value


def need_phrase(value: str) -> str:
    """The word or phrase, or the expression that re2 takes."""
    need_text(value)
    if wrong := expression_error(parse_phrase(value)):
        raise BadValueError(
            f"holds an expression that cannot be used ({wrong})",
            "write it as https://github.com/google/re2/wiki/Syntax says, or without re: to look for words",
        )
    return value


def need_slug(value: str) -> str:
    """The slug of a feed: lower-case ASCII letters and digits, joined by single hyphens, and not a reserved word."""
    if not _SLUG.fullmatch(value) or len(value) > _LONGEST_SLUG:
        raise BadValueError(
            "is not a slug", "use lower-case letters a-z, digits and single hyphens, such as ai-hardware"
        )
    if value in RESERVED_SLUGS:
        raise BadValueError("is a reserved slug", "choose another; reserved are " + ", ".join(sorted(RESERVED_SLUGS)))
    return value


def need_source_name(value: str) -> str:
    """The name of a source. No slash: ids are minted from `name/path`."""
    if not _SOURCE_NAME.fullmatch(value):
        raise BadValueError(
            "is not a source name", "use letters a-z, digits, dots, hyphens and underscores, such as news"
        )
    return value


def need_language(value: str) -> str:
    """The language tag, as `xml:lang` takes it."""
    if not _LANGUAGE.fullmatch(value):
        raise BadValueError("is not a language tag", "write one such as en or pt-BR")
    return value


def need_address(value: str) -> str:
    """The absolute http(s) address."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value) or _UNSHOWABLE.search(value):
        raise BadValueError(
            "is not an absolute http or https address", "write it in full, such as https://example.org/"
        )
    return value


def read_base_url(value: str) -> str:
    """The public address of the output folder, with a slash at its end."""
    need_address(value)
    if "?" in value or "#" in value or "@" in urlsplit(value).netloc:
        raise BadValueError("has a user, a query or a fragment", "write scheme, host and path alone")
    return value if value.endswith("/") else value + "/"


def need_link_template(value: str) -> str:
    """The address of a record, with `{path}` or `{slug}` in it, and perhaps the parts of its date."""
    marks = set(re.findall(r"\{[^{}]*\}?|\}", value))
    if not marks & {"{path}", "{slug}"} or marks - {"{path}", "{slug}", "{year}", "{month}", "{day}"}:
        raise BadValueError("is not a template with {path}", "write one such as https://example.org/{path}")
    need_address(re.sub(r"[{}]", "", value))
    return value


def need_old_address(value: str) -> str:
    """An old slug or path of a feed, relative to the output folder; hidden files are ours or nobody's."""
    parts = value.removesuffix("/").split("/")
    if (
        not all(parts)
        or any(part[0] == "." for part in parts)
        or re.search(r"[\s?#\\]", value)
        or _UNSHOWABLE.search(value)
    ):
        raise BadValueError(
            "is not an old address", "write what follows base_url, such as old-slug or tags/ai/index.xml"
        )
    return value


def read_timezone(value: object) -> ZoneInfo:
    """The time zone of that name."""
    try:
        if isinstance(value, str):
            return ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # ValueError: a path; OSError: a folder of zones such as "Europe"
        pass
    raise BadValueError("is not a time zone", 'write a name such as "UTC" or "Europe/Berlin"')


def read_path(value: object, base: Path) -> Path:
    """The absolute path; a relative one starts at `base`. Links are left as they are."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadValueError("is not a path", "write it in quotes, relative to the config file or from the root")
    return Path(os.path.normpath(base / value))


def read_store_url(value: str, base: Path) -> str:
    """The address of the store, the path of a SQLite file made absolute."""
    if value.startswith("postgresql+psycopg://"):
        return value
    file = sqlite_file(value)
    if not file or file == ":memory:":
        raise BadValueError(
            "is not the address of a store", "write sqlite:///path or postgresql+psycopg://user@host/name"
        )
    path = read_path(file, base).as_posix().replace("%", "%25").replace("?", "%3F")
    _, query, options = value.partition("?")
    return f"{_SQLITE}{path}{query}{options}"


def sqlite_file(url: str) -> str | None:
    """The path of the SQLite file at that address, or None if it is of another kind."""
    if not url.startswith(_SQLITE):
        return None
    return unquote(url.removeprefix(_SQLITE).partition("?")[0])


def need_some(value: tuple[T, ...]) -> tuple[T, ...]:
    """The list, which is not empty."""
    if not value:
        raise BadValueError("is an empty list", "name at least one or remove the line")
    return value


def without_repeats(value: tuple[T, ...]) -> tuple[T, ...]:
    """The list with each value once."""
    return tuple(dict.fromkeys(value))


def as_list(value: Any) -> Any:
    """A single text as a list of one, anything else as it is."""
    return [value] if isinstance(value, str) else value
