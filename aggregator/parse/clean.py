"""Cleaning of single values: text, addresses, dates. Whatever comes out may stand in any document."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, time
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit
from zoneinfo import ZoneInfo

from aggregator.parse.bounds import MAX_DATE, MAX_URL
from aggregator.unicode import few_marks

# XML 1.0 (fifth edition) 2.2, production [2] Char, less DEL and the C1 controls that 2.2 discourages
_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(
    "[\t\n\v\f\r\x85\xa0\u2028\u2029][\t\n\v\f\r \x85\xa0\u2028\u2029]*| [\t\n\v\f\r \x85\xa0\u2028\u2029]+"
)

_ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body br button"
    " canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed"
    " fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe"
    " img input ins kbd label legend li link main map mark marquee math menu meta meter nav nobr noembed noframes"
    " noscript object ol optgroup option output p param picture plaintext portal pre progress q rb rp rt ruby s samp"
    " script search section select slot small source span strike strong style sub summary sup svg table tbody td"
    " template textarea tfoot th thead time title tr track tt u ul var video wbr xmp"
)
_BLOCKS = frozenset(
    "address article aside blockquote br dd div dl dt figure footer h1 h2 h3 h4 h5 h6 header hr li ol p pre section"
    " table td th tr ul".split()
)
# Each part takes all that it looks at, to the end of the text if need be, so the time is linear in any text.
_ATTRIBUTES = r"""(?:=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))|[^>])*+(?:>|\Z)"""
_MARKUP = re.compile(
    rf"<!--(?:-?>|(?:[^-]|-(?!->))*+(?:-->|\Z))"
    rf"|<(script|style)\b{_ATTRIBUTES}(?:[^<]|<(?!/\1\b))*+(?:<{_ATTRIBUTES}|\Z)"
    rf"|</?({'|'.join(_ELEMENTS.split())})\b{_ATTRIBUTES}",
    re.IGNORECASE,
)
_LONG_NUMBER = re.compile(r"&#[0-9]{20,}+;?")

PLAYER_HOSTS = frozenset(
    "www.youtube.com youtube.com www.youtube-nocookie.com youtube-nocookie.com player.vimeo.com www.dailymotion.com"
    " geo.dailymotion.com embed.ted.com www.microsoft.com player.twitch.tv media.ccc.de".split()
)
"""Hosts whose video players may be linked."""

_MAX_HOST = 253
_IP_V6 = re.compile(r"[0-9a-f:.]+")
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:[/?#][!#$%&'()*+,./:;=?@\w~-]*)?", re.ASCII)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_URL_NOISE = re.compile(r"[\t\r\n]")  # what WHATWG URL parsing, and so urlsplit, takes no notice of
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ]\s*(\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_LOOSE_DATE = re.compile(
    r"(?:(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"|([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})|(\d{1,2}) ([A-Za-z]{3,9})\.?,? (\d{4}))"
    r"(?:[Tt, ]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?\s*(?:(Z|UTC|GMT|[+-]\d\d:?\d\d)(?: [A-Z]{3,4})?)?",
    re.ASCII,
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3},\s*)?\d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d(?::\d\d)?(?: (?:[A-Z]{1,4}|[+-]\d{4}))?"
)


def xml_text(text: str) -> str:
    """The text with XML 1.0 characters only; a lone surrogate becomes U+FFFD, another forbidden one goes."""
    if text.isprintable() or not _NOT_XML.search(text):
        return text
    return _NOT_XML.sub("", _SURROGATE.sub("\ufffd", text))


def plain_text(text: str) -> str:
    """The text without tags, its entities decoded once, white space collapsed.

    A `<` that opens no HTML element is text: `List<T>` stays as it is.
    """
    if text.isprintable():
        if not ("<" in text or "&" in text):
            return _one_spaced(text) if "  " in text else text.strip()
    else:
        text = xml_text(text)
    if "<" in text:
        text = _MARKUP.sub(_gap, text)
    if "&" in text:
        text = xml_text(unescape(text))
    return _one_spaced(text)


def _one_spaced(text: str) -> str:
    """The text with its white space collapsed."""
    if text.isprintable():  # the space is the only white one of the characters that are
        return " ".join(text.split())
    return _SPACE.sub(" ", text).strip()


def unescape(text: str) -> str:
    """The text with its entities decoded once."""
    if "&" not in text:
        return text
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text))  # which the library would hand to int() as it is


def _gap(markup: re.Match[str]) -> str:
    """What a tag leaves: a space where a block begins or ends, else nothing."""
    return " " if (markup[2] or "").lower() in _BLOCKS else ""


def http_url(text: str) -> str | None:
    """The absolute http(s) URL in `text` as a URI of RFC 3986 (other characters percent-encoded), or None."""
    text = text.strip()
    if len(text) > MAX_URL:
        return None
    if _PLAIN_URL.fullmatch(text) and not ("%" in text and _BAD_PERCENT.search(text)):
        return text
    text = few_marks(_URL_NOISE.sub("", text))  # which urlsplit normalises
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host or parts.username is not None or len(host) > _MAX_HOST:
            return None
        bare = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # an address that is none, such as a port of letters; UnicodeError is one too
        return None
    if _IP_V6.fullmatch(bare) and ":" in bare:
        bare = f"[{bare}]"
    elif not _HOST.fullmatch(bare):
        return None
    place = bare if port is None else f"{bare}:{port}"
    rest = text.split("://", 1)[1]
    tail = rest[len(re.split(r"[/?#]", rest, maxsplit=1)[0]) :]
    escaped = quote(_BAD_PERCENT.sub("%25", xml_text(tail)), safe="!#$%&'()*+,/:;=?@[]~")
    return f"{parts.scheme}://{place}{escaped}"


def absolute_url(reference: str, base: str) -> str | None:
    """The http(s) URL that a reference means which is found at the absolute URL `base` (RFC 3986, 5.2), or None."""
    reference = reference.strip()
    if len(reference) > MAX_URL:
        return None
    try:
        return http_url(urljoin(base, few_marks(reference)))
    except ValueError:  # such as a host with half a bracket
        return None


def player_url(src: str) -> str | None:
    """The address of a player whose host is in PLAYER_HOSTS, from the `src` of its iframe as it is written there."""
    address = unescape(src[:MAX_URL]).strip()
    url = http_url(f"https:{address}" if address.startswith("//") else address)
    if not url:
        return None
    plain_host = url.split("/", 3)[2]
    return url if plain_host in PLAYER_HOSTS or urlsplit(url).hostname in PLAYER_HOSTS else None


def host_name(text: str) -> str:
    """The bare host name in `text` in lower case, or an empty string."""
    bare = text.strip().lower().rstrip("/")
    bare = bare.split("://", 1)[-1]
    return _checked_host(bare) if len(bare) <= _MAX_HOST else ""


@lru_cache(maxsize=1024)  # stories have few publishers between them
def _checked_host(bare: str) -> str:
    """The host name in ASCII, an empty string if it is none."""
    try:
        bare = bare if bare.isascii() else bare.encode("idna").decode()
    except UnicodeError:
        return ""
    return bare if _HOST.fullmatch(bare) and len(bare) <= _MAX_HOST else ""


def utc_time(value: object, zone: ZoneInfo, *, loose: bool = False) -> tuple[datetime, bool] | None:
    """The moment that a front matter value names, and whether it named its zone; None if it is no date.

    Takes dates, datetimes, ISO 8601 in its extended form and RFC 5322 dates; with `loose` also what Jekyll and Hugo
    take beyond that and can be read in one way only, such as 2026/5/1 9:30 and May 1, 2026. Without a zone it is in
    `zone`.
    """
    if isinstance(value, str):
        text = value.strip() if len(value) <= MAX_DATE else ""
        value = _parse_date(text) or (_parse_loose_date(text) if loose else None)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    zoned = value.tzinfo is not None
    try:
        moment = (value if zoned else value.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return (moment, zoned) if moment.year > 1 else None


def is_no_time(value: object) -> bool:
    """Whether a date means that there is none in Hugo and Jekyll: an empty text, and Go's year 1."""
    return value == "" or (isinstance(value, str | date) and str(value).startswith("0001-01-01"))


def _parse_date(text: str) -> datetime | None:
    try:
        if match := _DATE.fullmatch(text):
            day, clock, zone = match.groups()
            if zone in ("Z", "z", "UTC", "GMT"):
                zone = "+00:00"
            return datetime.fromisoformat(f"{day}T{(clock or '00:00').replace(',', '.')}{zone or ''}")
        if _RFC_2822.fullmatch(text):
            from email.utils import parsedate_to_datetime  # which imports sockets

            return parsedate_to_datetime(text)
    except ValueError:
        return None
    return None


def _parse_loose_date(text: str) -> datetime | None:
    match = _LOOSE_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = match.group(1, 2, 3) if match[1] else match.group(6, 4, 5) if match[6] else match.group(9, 8, 7)
    if not month.isdigit():
        month = str(_MONTHS.index(month[:3].lower()) + 1) if month[:3].lower() in _MONTHS else "0"
    hour, minute, second, zone = match.group(10, 11, 12, 13)
    clock = f"{int(hour or 0):02}:{minute or '00'}:{second or '00'}"
    offset = "+00:00" if zone in ("Z", "UTC", "GMT") else zone or ""
    try:
        return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}T{clock}{offset}")
    except ValueError:
        return None
