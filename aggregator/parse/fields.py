"""Fields: the values of the front matter -> the fields of a record, each by its rule in the field map.

What is wrong with a field that a record can do without is a warning and the field is dropped; the rest makes the
record unusable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeGuard
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from aggregator.model import Image, Layout, Problem, Provider, Related
from aggregator.naming import topic_key
from aggregator.parse.clean import host_name, http_url, plain_text, player_url, utc_time, xml_text
from aggregator.parse.matter import Opaque, Scalar, Value

FLAGS = ("published", "draft", "deleted", "removed")
MAX_ID = 1000
"""Bytes of an explicit id."""
MAX_TOPICS, MAX_TOPIC_BYTES = 100, 200
"""Topics of a record that are read, and how long one may be: each has a feed of its own."""
MAX_NAMES = 10
"""Authors of a record that are named."""
MAX_SHOWN = 200
MAX_NUMBER = 10**15
"""No score is so large."""
MAX_PIXELS = 100_000
"""No image is so wide or high."""
PLUS = " + "
"""Between keys of topics that add up."""
_IMAGE_KEYS = ("url", "path", "src", "image")
_IFRAME_SRC = re.compile(r"<iframe\b[^<>]*?\ssrc\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SURE_TIME = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""A time that is the same whether YAML or we read it."""
_NAME = re.compile(r"(?!(?:true|false|null)\Z)[a-z][\w-]*", re.IGNORECASE)
"""A key that is a text in any YAML."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_ID = re.compile(r"[^\x00-\x20\x7f\ud800-\udfff\ufffe\uffff](?:[^\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]*\S)?")


class UnusableError(Exception):
    """A record cannot do without a field that is wrong; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class InDoubtError(Exception):
    """Bare values do not tell enough."""


class Fields:
    """The fields of one record; reading one may add to `warnings` or raise UnusableError.

    `present` is `keys`, maybe less those that `values` has not. With `bare` values, InDoubtError is raised when a place
    or a spelling counts, as in all that there is to say.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        keys: Mapping[str, Sequence[str]],
        path: str,
        zone: ZoneInfo,
        layout: Layout = "plain",
        present: Mapping[str, Sequence[str]] | None = None,
        *,
        bare: bool = False,
    ) -> None:
        self.warnings: list[Problem] = []
        self._values, self._keys, self._path, self._zone, self._layout = values, keys, path, zone, layout
        self._present, self._bare = keys if present is None else present, bare

    def public(self, default: bool) -> bool:
        """What the flags say: `published`, else `default`, and none of `draft`, `deleted`, `removed`."""
        published = default
        hidden = False
        for field in FLAGS:
            key, value = self._find(field, null=True)
            if value is None:
                continue
            flag = _meaning(value.value)
            if not isinstance(flag, bool):
                if key in self._keys.get("published_at", ()) and self._time(flag):
                    continue  # Hugo has one key for both
                raise self.unusable(field, f"'{key}' is not true or false", _mend_flag(value.value))
            if field == "published":
                published = flag
            else:
                hidden = hidden or flag
        return published and not hidden

    def text(self, field: str) -> str:
        """Plain text of the first key that has any, or an empty string."""
        for key, value in self._each(field):
            if _is_text(value.value):
                if text := plain_text(value.value):
                    return text
            else:
                self._warn(value, f"'{key}' is not a text", "write one text")
        return ""

    def url(self, field: str) -> str | None:
        """The first key that holds an absolute http(s) address."""
        for key, value in self._each(field):
            if _is_text(value.value) and (url := http_url(value.value)):
                return url
            if value.value != "":
                self._warn(value, f"'{key}' is no http(s) address", "write it in full, with https://")
        return None

    def required_date(self, field: str) -> datetime | None:
        """A date that, if it is there, must be one."""
        key, value = self._find(field)
        if value is not None and key in self._keys.get("published", ()) and _is_flag(value):
            others = (one for one in self._each(field) if not _is_flag(one[1]))
            key, value = next(others, (key, None))
        if value is None:
            return None
        found = self._time(_meaning(value.value))
        if found is None:
            what, shown = f"'{key}' is not a date", _shown(value.value)
            problem = Problem(self._path, value.line, value.column, what, shown, "write it as 2026-05-20T07:10:00Z")
            raise UnusableError(problem)
        if not found[1]:
            self._warn(value, f"'{key}' names no zone, {self._zone.key} is taken", "add Z or +02:00")
        return found[0]

    def _time(self, stated: object) -> tuple[datetime, bool] | None:
        if self._bare:
            return _sure_time(stated), True
        return utc_time(stated, self._zone, loose=self._layout != "plain")

    def optional_date(self, field: str) -> datetime | None:
        """A date that is left out when it is none."""
        try:
            return self.required_date(field)
        except UnusableError as error:
            self.warnings.append(replace(error.problem, level="warning"))
            return None

    def explicit_id(self) -> str | None:
        """The id that the record states for itself."""
        key, value = self._find("id")
        if value is None:
            return None
        self._need_places()
        stated = value.value
        if isinstance(stated, Scalar):
            usable = isinstance(stated.value, int) and not isinstance(stated.value, bool)
        else:
            usable = isinstance(stated, str)
        if (
            not usable
            or len(stated.encode(errors="replace")) > MAX_ID
            or not _ID.fullmatch(stated)
            or xml_text(stated) != stated
        ):
            raise self.unusable("id", f"'{key}' cannot be an id", f"write one text of 1 to {MAX_ID} bytes")
        return str(stated)

    def stated_path(self) -> str | None:
        """The place of the page on its site that the record states: an http(s) address, or a path without query."""
        for _, value in self._each("path"):
            if _is_text(value.value):
                stated = value.value.strip()
                if url := http_url(stated):
                    return url
                if stated and not set(":?#\\ ") & set(stated) and ("/" in stated or self._layout == "hugo"):
                    return xml_text(stated)
        return None

    def excerpt_separator(self) -> str | None:
        """What ends the excerpt at the start of the body; empty: there is none."""
        _, value = self._find("excerpt_separator")
        return value.value if value is not None and _is_text(value.value) else None

    def place(self, field: str) -> tuple[int, int]:
        """Line and column of the key that `field` is read from, 0 where there is none."""
        _, value = self._find(field)
        return (value.line, value.column) if value is not None else (0, 0)

    def score(self, field: str) -> float:
        """A finite number, -1 when there is none."""
        key, value = self._find(field)
        if value is None:
            return -1.0
        number = _number(value.value)
        if number is not None:
            return number
        self._warn(value, f"'{key}' is not a number", "write a number")
        return -1.0

    def provider(self) -> Provider | None:
        """Name and domain; a bare text is the name, the names of several authors are one."""
        key, value = self._find("provider")
        if value is None:
            return None
        several = self._layout != "plain" and isinstance(value.value, list)
        stated = value.value if several else [value.value]
        one_map = stated[0] if len(stated) == 1 and isinstance(stated[0], dict) else {}
        names = [one.get("name") if isinstance(one, dict) else one for one in stated]
        clean_names = [plain_text(name) for name in names if _is_text(name) and not _is_null(name)]
        name, domain = ", ".join(filter(None, clean_names[:MAX_NAMES])), one_map.get("domain")
        clean_domain = host_name(domain) if _is_text(domain) and not _is_null(domain) else ""
        if not name and not clean_domain:
            if stated:
                self._warn(value, f"'{key}' has no name", "write name: and domain: below it", shown=False)
            return None
        return Provider(name or clean_domain, clean_domain)

    def category(self) -> str:
        """One category: of several, as Jekyll and Hugo have them, the first."""
        if self._layout == "plain":
            return self.text("category")
        for key, value in self._each("category"):
            if first := next(filter(None, self._names(key, value, quiet=True)), ""):
                return first
        return ""

    def topics(self) -> tuple[str, ...]:
        """Names in the order given, each once: of the first alternative present, whose keys add up."""
        names = [name for key, value in self._added("topics") for name in self._names(key, value)]
        return self.unique_topics(names[:MAX_TOPICS])

    def _names(self, key: str, value: Value, *, quiet: bool = False) -> list[str]:
        """The names that a list or a text holds; a text is one name, in Jekyll the words of a key in the plural."""
        words = self._layout == "jekyll" and _is_text(value.value) and key not in ("category", "tag")
        stated = value.value if isinstance(value.value, list) else _words(value.value) if words else [value.value]
        if self._layout != "plain":  # which leave out what is null
            stated = [name for name in stated if not _is_null(name)]
        names = [plain_text(name) for name in stated if _is_text(name) and not _is_null(name)]
        short = [name for name in names if _is_short(name)]
        if quiet:
            return short
        if len(names) < len(stated):
            self._warn(value, f"'{key}' holds what is no text", "write a list of texts", shown=False)
        if len(short) < len(names) or len(short) > MAX_TOPICS:
            what = f"'{key}' holds more than {MAX_TOPICS} topics, or one over {MAX_TOPIC_BYTES} bytes"
            self._warn(value, what, "name fewer, and shorter ones", shown=False)
        if not words and isinstance(value.value, str) and "," in value.value:
            self._warn(value, f"'{key}' is one text, so one topic", "write a list: [One, Another]")
        return short

    @staticmethod
    def unique_topics(names: Iterable[str]) -> tuple[str, ...]:
        """Each topic once, as first spelled."""
        found: dict[str, str] = {}
        for name in names:
            if name:
                found.setdefault(topic_key(name), name)
        return tuple(found.values())

    def language(self) -> str:
        """A language tag of RFC 5646 by its shape, or an empty string."""
        key, value = self._find("language")
        if value is None:
            return ""
        if _is_text(value.value) and _LANGUAGE.fullmatch(value.value.strip()):
            return value.value.strip().replace("_", "-")
        self._warn(value, f"'{key}' is no language", "write a tag such as en or pt-BR")
        return ""

    def images(self, base: str | None = None) -> tuple[Image, ...]:
        """Those with an absolute http(s) address, each once; with `base`, relative ones start there (RFC 3986, 5.2)
        and nothing is warned of."""
        key, value = self._find("images")
        if value is None:
            return ()
        stated = value.value if isinstance(value.value, list) else [value.value]
        found: dict[str, Image] = {}
        bad = False
        for one in stated:
            image = one if isinstance(one, dict) else {"url": one}
            address = next((image[name] for name in _IMAGE_KEYS if name in image), None)
            if _is_text(address) and (url := _absolute(address, base)):
                found.setdefault(url, Image(url, _pixels(image.get("width")), _pixels(image.get("height"))))
            elif address != "" and not (self._layout != "plain" and _is_relative(address)):
                bad = True
        if bad and base is None:
            self._warn(value, f"'{key}' holds what is no http(s) address", "write url: in full", shown=False)
        return tuple(found.values())

    def video_url(self) -> str | None:
        """The address of a player: the `src` of an iframe whose host is in PLAYER_HOSTS."""
        key, value = self._find("video")
        if value is None:
            return None
        match = _IFRAME_SRC.search(value.value) if _is_text(value.value) else None
        if match and (url := player_url(next(group for group in match.groups() if group is not None))):
            return url
        self._warn(value, f"'{key}' is no iframe of a known player", "leave it out", shown=False)
        return None

    def related(self) -> tuple[Related, ...]:
        """Links to other stories: those with a title and an address that are not hidden themselves."""
        key, value = self._find("related")
        if value is None:
            return ()
        stated = value.value if isinstance(value.value, list) else [value.value]
        items = [one for one in stated if isinstance(one, dict)]
        if len(items) < len(stated):
            self._warn(value, f"'{key}' holds what is no record", "write a list of maps", shown=False)
        found: dict[str, Related] = {}
        for one in items:
            values = {key: Value(item, 0, 0) for key, item in one.items() if isinstance(key, str)}
            nested = Fields(values, self._keys, self._path, self._zone, bare=self._bare)
            try:
                shown = nested.public(default=True)
            except UnusableError:
                shown = False
            url, title = nested.url("link"), nested.text("title")
            if shown and url and title:
                found.setdefault(url, Related(url, title))
        return tuple(found.values())

    def unusable(self, field: str, what: str, todo: str, value: str | None = "") -> UnusableError:
        """The refusal of the record for `field`; its value is shown if it is short and plain."""
        self._need_places()
        _, found = self._find(field, null=True)
        if found is None:
            return UnusableError(Problem(self._path, 1, 1, what, None, todo))
        shown = None if value is None else _shown(found.value)
        return UnusableError(Problem(self._path, found.line, found.column, what, shown, todo))

    def _each(self, field: str) -> list[tuple[str, Value]]:
        found = []
        for key in self._present.get(field, ()):
            value = self._values.get(key) or self._dig(key)
            if value is not None and not _is_null(value.value):
                found.append((key, value))
        return found

    def _added(self, field: str) -> list[tuple[str, Value]]:
        """The keys of the first alternative of `field` that is present, and their values."""
        for alternative in self._present.get(field, ()):
            found = [(key, self._dig(key)) for key in alternative.split(PLUS)]
            present = [(key, value) for key, value in found if value is not None and not _is_null(value.value)]
            if present:
                return present
        return []

    def _find(self, field: str, *, null: bool = False) -> tuple[str, Value | None]:
        """The first key of `field` that is present, and its value; with `null`, null counts as present."""
        for key in self._present.get(field, ()):
            value = self._values.get(key) or self._dig(key)
            if value is not None and (null or not _is_null(value.value)):
                return key, value
        return field, None

    def _dig(self, key: str) -> Value | None:
        if key in self._values or "." not in key:
            return self._values.get(key)
        first, *rest = key.split(".")
        top = self._values.get(first)
        if top is None:
            return None
        if not all(map(_NAME.fullmatch, rest)):
            self._need_places()  # and spellings, which keys below the top have lost too
        value: Any = top.value
        for part in rest:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return Value(value, top.line, top.column)

    def _need_places(self) -> None:
        if self._bare:
            raise InDoubtError

    def _warn(self, value: Value, what: str, todo: str, *, shown: bool = True) -> None:
        self._need_places()
        text = _shown(value.value) if shown else None
        self.warnings.append(Problem(self._path, value.line, value.column, what, text, todo, "warning"))


def _sure_time(stated: object) -> datetime:
    """The time that a bare value names, if all agree on it."""
    if isinstance(stated, str) and _SURE_TIME.fullmatch(stated):
        try:
            return datetime.fromisoformat(stated)
        except ValueError:
            raise InDoubtError from None
    raise InDoubtError


def _is_short(topic: str) -> bool:
    return (topic.isascii() and len(topic) <= MAX_TOPIC_BYTES) or len(topic_key(topic).encode()) <= MAX_TOPIC_BYTES


def _words(text: str) -> list[str]:
    """The words of a text; where it has commas, what is between them."""
    return text.split(",") if "," in text else text.split()


def _absolute(address: str, base: str | None) -> str | None:
    """The http(s) address that a reference means."""
    try:
        return http_url(urljoin(base, address.strip()) if base else address)
    except ValueError:  # such as a host with half a bracket
        return None


def _is_relative(address: object) -> bool:
    return isinstance(address, str) and ":" not in address


def _mend_flag(value: object) -> str:
    if _is_null(value):
        return "write true or false, or remove the line"
    quoted = isinstance(value, str) and value.strip().lower() in ("true", "false", "yes", "no")
    return "write true or false, without quotes" if quoted else "write true or false"


def _is_flag(value: Value) -> bool:
    return isinstance(_meaning(value.value), bool)


def _meaning(value: object) -> object:
    """What a value means, aside from how the file spells it."""
    return value.value if isinstance(value, Scalar) else value


def _is_text(value: object) -> TypeGuard[str]:
    """Whether a value can be read as a text, as the spelling of any scalar can."""
    if isinstance(value, int | float):  # a bare one, whose spelling is lost
        raise InDoubtError
    return isinstance(value, str)


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, Scalar) and value.value is None)


def _shown(value: object) -> str:
    """How a message shows a value; what is inside a map or a list is not for messages."""
    if isinstance(value, str):
        return str(xml_text(value[:MAX_SHOWN]))  # never a Scalar: what goes to another process must be plain
    if isinstance(value, Opaque):
        return "a tag or an alias that means nothing here"
    return "a map" if isinstance(value, dict) else "a list"


def _number(value: object) -> float | None:
    """A number by its spelling, since YAML 1.1 reads 012 as ten and 1:30 as ninety."""
    if isinstance(value, float):  # a bare one may be spelled 1e5, which is text in YAML 1.1
        raise InDoubtError
    if type(value) is int:
        return float(value) if abs(value) < MAX_NUMBER else None
    if isinstance(value, Scalar) and _NUMBER.fullmatch(value):
        number = float(value)
        return number if abs(number) < MAX_NUMBER else None
    return None


def _pixels(value: object) -> int:
    if type(value) is int:
        return value if 0 < value < MAX_PIXELS else 0
    number = _number(value) or 0
    return int(number) if 0 < number < MAX_PIXELS and number == int(number) else 0
