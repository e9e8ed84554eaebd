"""Single values as people write them: durations, sizes, cron, URLs, time zones, slugs."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from io import StringIO
from ipaddress import ip_address
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from aggregator.buckets import BucketUrl, parse_bucket_url
from aggregator.feeds.phrases import expression_error, parse_phrase
from aggregator.links import http_url
from aggregator.paths import is_bucket_url, read_regular
from aggregator.settings import DATE_PLACEHOLDERS, JEKYLL_PLACEHOLDERS, PAGE_PLACEHOLDERS
from aggregator.slugs import MAX_SLUG, RESERVED_SLUGS

T = TypeVar("T")

_SQLITE = "sqlite:///"

_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_LONGEST = timedelta(days=36_525)  # a date plus or minus a duration must stay in the calendar
_SIZE = re.compile(r"(\d{1,15}) ?(B|[KMG]B|[KMG]iB)", re.ASCII)
MAX_SIZE = 2**50
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that XML cannot have."""
_LONGEST_SLUG = MAX_SLUG + 20  # `feeds --pin` prints slugs with a suffix
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CRON_STEP = re.compile(r"/([0-9]{1,4})")
_CRON_FIELDS = (  # name, how many values it has, which
    ("minute", 60, "0 to 59"),
    ("hour", 24, "0 to 23"),
    ("day of the month", 31, "1 to 31"),
    ("month", 12, "1 to 12 or jan to dec"),
    ("weekday", 7, "0 to 7 or sun to sat"),
)
_CRON_START = datetime(2000, 1, 1)  # noqa: DTZ001 - clock times: no zone, no changes of the clock
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?")
_URI = re.compile(r"(?:[\w!#$&'()*+,/:;=?@\[\].~-]|%[0-9A-Fa-f]{2})*", re.ASCII)
# in the host: Python and older programs write "strasse" for "straße", browsers another name (UTS 46, section 7)
_TWO_HOSTS = re.compile("[ßẞς\u200c\u200d]")
_NO_URL = ("is not an absolute http or https URL", "write it in full, such as https://example.org/")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
MAX_PART_BYTES = 250
"""Longest part of an old path: file systems have names of 255 bytes, and a document has a longer one while it is
written."""
MAX_STYLESHEET = 100_000
"""Most characters of `site.stylesheet`."""


class BadValueError(ValueError):
    """An invalid value. `what` follows the name of the key in the message; `hint` says what to write."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def read_duration(value: object) -> timedelta:
    """Parses a duration such as "90s", "10m" or "1h30m"."""
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


def check_interval(value: timedelta) -> timedelta:
    """The duration if it is at least a second; raises BadValueError, as all `check_` functions do."""
    if value < timedelta(seconds=1):
        raise BadValueError("is less than a second", 'write a duration of at least "1s"')
    return value


def read_size(value: object) -> int:
    """Parses a size such as "1MB" (10^6 bytes) or "1MiB" (2^20), or a number of bytes.

    pydantic's ByteSize is not used, because it also takes "1KB or so", "10mbit" and "1.5B".
    """
    size = 0
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * _UNITS[match[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,17}", value):
        raise BadValueError("is not a size", f"write a number of bytes without quotes: {value}")
    if size > MAX_SIZE:
        raise BadValueError("is over 1048576 GiB", "write a smaller size")
    if size < 1:
        raise BadValueError(
            "is not a size", 'write a number of bytes, or one with KB, MB, GB, KiB, MiB or GiB such as "1MB"'
        )
    return size


def read_cron(value: str) -> str:
    """The expression of five fields, as Debian's cron reads it (crontab(5)).

    If both the day of the month and the weekday are limited, one of them must match.
    """
    from cronsim import CronSim, CronSimError

    fields = re.sub(r"(?i)-sun\b", "-7", value).split()  # a week that ends on Sunday: fri-sun
    if len(fields) != len(_CRON_FIELDS):
        raise BadValueError(
            "is not five fields", 'write minute, hour, day of the month, month and weekday, such as "*/5 * * * *"'
        )
    for number, (field, (name, count, allowed)) in enumerate(zip(fields, _CRON_FIELDS, strict=True)):
        try:
            CronSim(" ".join([*"*" * number, field, *"*" * (len(fields) - number - 1)]), _CRON_START)
        except (CronSimError, ValueError):  # ValueError: a number with thousands of digits
            hint = f"use {allowed}, *, lists, ranges and steps"
            raise BadValueError(f"is wrong in its {name}, '{field}'", hint) from None
        if any(int(step) >= count for step in _CRON_STEP.findall(field)):
            raise BadValueError(f"has a step that does not fit in its {name}, '{field}'", "write a smaller step")
    expression = " ".join(fields)
    try:
        next(CronSim(expression, _CRON_START))
    except (CronSimError, StopIteration):
        raise BadValueError("names a day that never comes", "write a day that the month has") from None
    return expression


def shortest_gap_minutes(cron: str) -> int:
    """The minutes between the two runs of one day that are closest; 1440 if there is one run."""
    from cronsim import CronSim

    minute, hour, *_ = cron.split()
    runs = CronSim(f"{minute} {hour} * * *", _CRON_START - timedelta(seconds=1))
    first = next(runs)
    day = takewhile(lambda run: run <= first + timedelta(days=1), runs)
    return min((after - before) // timedelta(minutes=1) for before, after in pairwise([first, *day]))


def check_text(value: str) -> str:
    """The text if it is not blank and has no control characters and no lone surrogates."""
    if not value.strip():
        raise BadValueError("is empty", "write a text, or remove the line")
    if UNSHOWABLE.search(value):
        raise BadValueError("contains a control character", "write it as one line of plain text")
    return value


def check_phrase(value: str) -> str:
    """The word, the phrase, or the expression if re2 accepts it."""
    check_text(value)
    if wrong := expression_error(parse_phrase(value)):
        raise BadValueError(
            f"contains an invalid expression ({wrong})",
            "write it as https://github.com/google/re2/wiki/Syntax says, or without re: to look for words",
        )
    return value


def check_slug(value: str) -> str:
    """The slug if it is lower-case ASCII letters and digits, joined by single hyphens, and not reserved."""
    if len(value) > _LONGEST_SLUG and _SLUG.fullmatch(value):
        raise BadValueError(f"is over {_LONGEST_SLUG} characters", "write a shorter one")
    if not _SLUG.fullmatch(value):
        raise BadValueError(
            "is not a slug", "use lower-case letters a-z, digits and single hyphens, such as ai-hardware"
        )
    if value in RESERVED_SLUGS:
        raise BadValueError("is a reserved slug", "choose another; reserved: " + ", ".join(sorted(RESERVED_SLUGS)))
    return value


def check_source_name(value: str) -> str:
    """The name of a source. It has no slash, because ids are minted from `name/path`."""
    if not _SOURCE_NAME.fullmatch(value):
        raise BadValueError(
            "is not a source name", "use letters a-z, digits, dots, hyphens and underscores, such as news"
        )
    return value


def check_language(value: str) -> str:
    """The language tag, as `xml:lang` takes it."""
    if not _LANGUAGE.fullmatch(value):
        raise BadValueError("is not a language tag", "write one such as en or pt-BR")
    return value


def check_url(value: str) -> str:
    """The absolute http(s) URL as it is published, without a user: readers see it, or messages show it."""
    _check_http_url(value)
    if "@" in urlsplit(value).netloc:
        raise BadValueError("has a user or a password", "remove it, because readers would see it")
    return _published_url(value)


def _check_http_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value) or UNSHOWABLE.search(value):
        raise BadValueError(*_NO_URL)


def _published_url(value: str) -> str:
    """The URL in the characters of RFC 3986, like the links of records; itself if it has no others."""
    if _URI.fullmatch(value):
        return value
    if letter := _TWO_HOSTS.search(urlsplit(value).netloc):
        what = f"has '{letter[0]}' in its host, which programs read in two ways"
        raise BadValueError(what, "write the host as xn--…")
    if (url := http_url(value)) is None:
        raise BadValueError(*_NO_URL)
    return url


def check_host(value: str) -> str:
    """The name or IP address of a host, without a port."""
    address = value.partition("%")[0]  # with a zone: fe80::1%eth0
    try:
        is_address = bool(ip_address(address))
    except ValueError:
        is_address = False
    if not is_address and not _HOST.fullmatch(value):
        hint = "write one such as 127.0.0.1, :: or feeds.example.org; the port is serve.port"
        raise BadValueError("is not a host name or an IP address", hint)
    return value


def check_base_url(value: str) -> str:
    """The public URL of the output folder, with a slash at its end."""
    _check_http_url(value)
    if "?" in value or "#" in value or "@" in urlsplit(value).netloc:
        raise BadValueError("has a user, a query or a fragment", "write scheme, host and path alone")
    if any(part in (".", "..") for part in unquote(urlsplit(value).path).split("/")):
        raise BadValueError("has a part '.' or '..'", "write the URL that readers end up at")
    url = _published_url(value)
    return url if url.endswith("/") else url + "/"


def check_link_template(value: str) -> str:
    """The link template: a URL with a placeholder that tells pages apart, and perhaps with others."""
    placeholders = set(re.findall(r"\{[^{}]*\}?|\}", value))
    known = {f"{{{name}}}" for name in (*PAGE_PLACEHOLDERS, *JEKYLL_PLACEHOLDERS, *DATE_PLACEHOLDERS)}
    if unknown := sorted(placeholders - known):
        raise BadValueError(f"has an unknown placeholder {unknown[0]}", f"use some of {', '.join(sorted(known))}")
    if not placeholders & {"{path}", "{slug}", "{title}", "{name}"}:
        raise BadValueError("has no placeholder that tells pages apart", "write one such as https://example.org/{path}")
    check_url(re.sub(r"[{}]", "", value))
    return value


def check_cluster(value: str) -> str:
    """The address of a Dask scheduler."""
    if not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", value):
        raise BadValueError("is not the address of a Dask scheduler", "write one such as tcp://scheduler:8786")
    return value


def check_old_path(value: str) -> str:
    """An old slug or path of a feed, relative to the output folder, with the percent-encoding of URLs decoded. Hidden
    names are not allowed."""
    path = unquote(value, errors="replace")
    parts = path.removesuffix("/").split("/")
    if (
        not all(parts)
        or any(part[0] == "." for part in parts)
        or re.search(r"[\s?#\\]", value)
        or re.search("[\\\\\0\ufffd]", path)
        or path.count("/") != value.count("/")
        or UNSHOWABLE.search(path)
    ):
        hint = "write what follows base_url, such as old-slug or tags/ai/index.xml"
        if (escaped := quote(value, safe="/%-._~")) != value and re.search(r"\s", value):
            hint = f"write it as in the address bar: {escaped}"
        raise BadValueError("is not an old URL path", hint)
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise BadValueError(f"has a part of over {MAX_PART_BYTES} bytes", "remove it, because no folder can have it")
    return path


def read_timezone(value: object) -> ZoneInfo:
    """The time zone with this name."""
    try:
        if isinstance(value, str):
            return ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # ValueError: a path; OSError: a folder of zones such as "Europe"
        pass
    raise BadValueError("is not a time zone", 'write a name such as "UTC" or "Europe/Berlin"')


def read_path(value: object, base: Path) -> Path:
    """The absolute path; a relative path starts at `base`. Links are not resolved."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadValueError("is not a path", "write it in quotes, relative to the config file or from the root")
    if is_bucket_url(value):
        raise BadValueError("is a bucket", "write the path of a file or folder")
    if value[0] in "~$":  # of a shell; a folder of this name would be made
        hint = "write the path in full, or put ./ before a name that begins so"
        raise BadValueError(f"begins with '{value[0]}', which is not expanded", hint)
    return Path(os.path.normpath(base / value))


def read_place(value: object, base: Path) -> Path | BucketUrl:
    """The absolute path of a folder, as `read_path` returns it; or a bucket and a prefix."""
    if not isinstance(value, str) or not is_bucket_url(value):
        return read_path(value, base)
    try:
        return parse_bucket_url(value)
    except ValueError as error:
        raise BadValueError(*error.args) from None


def read_stylesheet(value: object, base: Path) -> str:
    """The text of a CSS file."""
    path = read_path(value, base)
    try:
        text = StringIO(read_regular(path, 4 * MAX_STYLESHEET).decode(), newline=None).getvalue()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
        raise BadValueError(f"names a file that cannot be read: {reason}", "name a CSS file") from None
    if len(text) > MAX_STYLESHEET:
        raise BadValueError(f"names a file over {MAX_STYLESHEET:,} characters", "make it shorter")
    return text


def check_feed_title(value: str) -> str:
    """A pattern for titles of feeds."""
    known = ("{title}", "{site}")
    if unknown := next((found for found in re.findall(r"\{[^{}]*\}", check_text(value)) if found not in known), None):
        raise BadValueError(f"has an unknown placeholder {unknown}", f"use {' and '.join(known)}")
    if "{title}" not in value:
        raise BadValueError("has no {title}, so all feeds would have one title", 'write it as "{title} – {site}"')
    return value


def read_store_url(value: str, base: Path) -> str:
    """The URL of the store, with an absolute path if it is a SQLite file."""
    if value.startswith("postgresql+psycopg://"):
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise BadValueError("has a port that is no number from 0 to 65535", "write …@host:5432/name") from None
        if urlsplit(value).netloc.partition(":")[2].count("@") > 1:  # its end would be shown as the host
            raise BadValueError("has an '@' in the password", "write it as %40")
        return value
    file = sqlite_file(value)
    if not file or file == ":memory:":
        raise BadValueError("is not the URL of a store", "write sqlite:///path or postgresql+psycopg://user@host/name")
    _, query, options = value.partition("?")
    if unknown := sorted(parse_qs(options, keep_blank_values=True).keys() - {"timeout"}):
        raise BadValueError(f"has the option {unknown[0]!r}, which the store does not know", "leave it out")
    path = read_path(file, base).as_posix().replace("%", "%25").replace("?", "%3F")
    return f"{_SQLITE}{path}{query}{options}"


def sqlite_file(url: str) -> str | None:
    """The path of the SQLite file with this URL; None for another database."""
    if not url.startswith(_SQLITE):
        return None
    return unquote(url.removeprefix(_SQLITE).partition("?")[0])


def check_not_empty(value: tuple[T, ...]) -> tuple[T, ...]:
    """The list if it is not empty."""
    if not value:
        raise BadValueError("is an empty list", "name at least one, or remove the line")
    return value


def as_list(value: Any) -> Any:
    """A text as a list of one; any other value unchanged."""
    return [value] if isinstance(value, str) else value
