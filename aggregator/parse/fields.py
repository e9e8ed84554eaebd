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
from zoneinfo import ZoneInfo

from aggregator.model import Image, Provider, Related
from aggregator.parse.bounds import (
    MAX_DIGITS,
    MAX_ID,
    MAX_IMAGES,
    MAX_ITEMS,
    MAX_LANGUAGE,
    MAX_NAMES,
    MAX_RAW,
    MAX_RELATED,
    MAX_TEXT,
    MAX_TOPIC_BYTES,
    MAX_TOPICS,
    MAX_URL,
    cut_text,
)
from aggregator.parse.clean import (
    absolute_url,
    host_name,
    http_url,
    is_no_time,
    plain_text,
    player_url,
    utc_time,
    xml_text,
)
from aggregator.parse.front_matter.values import Matter, NearMiss, Opaque, Scalar, Value, Wanted
from aggregator.parse.keys import FLAGS, PLUS, FieldKeys
from aggregator.problems import Problem
from aggregator.settings import Layout
from aggregator.slugs import topic_key
from aggregator.unicode import MAX_MARKS, few_marks

MAX_SHOWN = 200
MAX_NUMBER = 10**15
"""No score is so large."""
MAX_PIXELS = 100_000
"""No image is so wide or high."""
_FLAG_WORDS = frozenset("true false yes no on off".split())
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
        keys: FieldKeys,
        wanted: Wanted,
        path: str,
        zone: ZoneInfo,
        layout: Layout = "plain",
        present: Mapping[str, Sequence[str]] | None = None,
        *,
        bare: bool = False,
    ) -> None:
        self.warnings: list[Problem] = []
        self._values, self._keys, self._wanted, self._path = values, keys, wanted, path
        self._zone, self._layout = zone, layout
        self._present, self._bare = keys if present is None else present, bare

    def judge_misses(self, misses: Iterable[NearMiss], fields: Iterable[str]) -> None:
        """Refuses the record for a key that is nearly one of these fields, which can hide it, and has such a value."""
        for miss in misses:
            for key in miss.hiding:
                if any(key in self._keys.get(field, ()) and self._fits(field, miss.value) for field in fields):
                    what = f"a key that nothing reads is one letter away from '{key}', which can hide the record"
                    todo = f"write '{key}', or give the key another name"
                    raise UnusableError(Problem(self._path, miss.line, miss.column, what, None, todo))

    def _fits(self, field: str, value: object) -> bool:
        """Whether a value is of the kind that the field has: a flag, or a date."""
        if field in FLAGS:
            return _is_flag(value) or (isinstance(value, str) and value.strip().lower() in _FLAG_WORDS)
        return self._time(_meaning(value)) is not None

    def warn_of_misses(self, misses: Iterable[NearMiss]) -> None:
        """Warns of keys that are nearly one of ours."""
        for miss in misses:
            if miss.meant:
                what, todo = f"a key that nothing reads; was '{miss.meant}' meant?", "mend its spelling"
                self.warnings.append(Problem(self._path, miss.line, miss.column, what, None, todo, "warning"))

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
                if key in self._keys.get("published_at", ()) and (self._is_absent(flag) or self._time(flag)):
                    continue  # Hugo has one key for both
                raise self.unusable(field, f"'{key}' is not true or false", _mend_flag(value.value))
            if field == "published":
                published = flag
            else:
                hidden = hidden or flag
        return published and not hidden

    def text(self, field: str, most: int = MAX_TEXT) -> str:
        """Plain text of the first key that has any, at most so many characters of it, or an empty string."""
        for key, value in self._each(field):
            stated = value.value
            if _is_text(stated):
                text = plain_text(stated[:MAX_RAW])
                if len(stated) > most or not text.isascii():
                    text = self._cut(key, value, text, most, whole=len(stated) <= MAX_RAW)
                if text:
                    return text
            else:
                self._warn(value, f"'{key}' is not a text", "write one text")
        return ""

    def _cut(self, key: str, value: Value, text: str, most: int, *, whole: bool) -> str:
        """The plain text of a value within its bounds; `whole`: it is all that the value states."""
        cut = cut_text(text, most)
        if len(text) > most or not whole:
            self._warn(value, f"'{key}' is over {most:,} characters and is cut", "make it shorter", shown=False)
        elif cut != text:
            what = f"'{key}' has over {MAX_MARKS} combining marks in a row, which are left out"
            self._warn(value, what, "remove them", shown=False)
        return cut

    def url(self, field: str) -> str | None:
        """The first key that holds an absolute http(s) URL."""
        for key, value in self._each(field):
            if _is_text(value.value) and (url := http_url(value.value)):
                return url
            if value.value != "":
                long = isinstance(value.value, str) and len(value.value) > MAX_URL
                todo = f"make it at most {MAX_URL:,} characters" if long else "write it in full, with https://"
                self._warn(value, f"'{key}' is no http(s) address", todo)
        return None

    def required_date(self, field: str) -> datetime | None:
        """A date that, if it is there, must be one."""
        found = self._date(field)
        return found[0] if found else None

    def updated(self) -> tuple[datetime | None, tuple[int, int]]:
        """The date of the last change and its place; it is left out when it is none."""
        try:
            found = self._date("updated_at")
        except UnusableError as error:
            self.warnings.append(replace(error.problem, level="warning"))
            found = None
        return (found[0], (found[1].line, found[1].column)) if found else (None, (0, 0))

    def _date(self, field: str) -> tuple[datetime, Value] | None:
        if field not in self._present:
            return None
        for key, value in self._each(field):
            stated = _meaning(value.value)
            if self._is_absent(stated) or (isinstance(stated, bool) and key in self._keys.get("published", ())):
                continue  # Hugo has one key for the flag and the date
            found = self._time(stated)
            if found is None:
                what, shown = f"'{key}' is not a date", _shown(value.value)
                problem = Problem(self._path, value.line, value.column, what, shown, "write it as 2026-05-20T07:10:00Z")
                raise UnusableError(problem)
            if not found[1] and self._layout == "plain":  # the other systems' records seldom name one
                self._warn(value, f"'{key}' names no zone, {self._zone.key} is taken", "add Z or +02:00")
            return found[0], value
        return None

    def _is_absent(self, stated: object) -> bool:
        """Whether a date is one that Hugo and Jekyll take for none."""
        return self._layout != "plain" and is_no_time(stated)

    def _time(self, stated: object) -> tuple[datetime, bool] | None:
        if self._bare:
            return _sure_time(stated), True
        return utc_time(stated, self._zone, loose=self._layout != "plain")

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
        for key, value in self._each("path"):
            if _is_text(value.value):
                stated = value.value.strip()
                if url := http_url(stated):
                    return url
                if len(stated) > MAX_URL:
                    self._warn(value, f"'{key}' is over {MAX_URL:,} characters", "make it shorter", shown=False)
                elif stated and not set(":?#\\ ") & set(stated) and ("/" in stated or self._layout == "hugo"):
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
        maps = [one if isinstance(one, dict) else {"name": one} for one in stated[:MAX_ITEMS]]
        maps = [one if "name" in one and "domain" in one else _folded(one) for one in maps]
        one_map = maps[0] if len(maps) == 1 else {}
        names = [one.get("name") for one in maps]
        clean_names = [plain_text(name[:MAX_RAW]) for name in names if _is_text(name) and not _is_null(name)]
        name, domain = ", ".join(filter(None, clean_names[:MAX_NAMES])), one_map.get("domain")
        if len(name) > MAX_TEXT or not name.isascii():
            name = self._cut(key, value, name, MAX_TEXT, whole=True)
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
        found = self._added("topics")
        if len(found) == 1:
            return self.unique_topics(self._names(*found[0])[:MAX_TOPICS])
        several = [self._names(key, value) for key, value in found]
        names = [name for one in several for name in one]
        if len(names) > MAX_TOPICS >= max(map(len, several)):
            self._warn_of_topics(*found[-1])
        return self.unique_topics(names[:MAX_TOPICS])

    def _warn_of_topics(self, key: str, value: Value) -> None:
        what = f"'{key}' holds more than {MAX_TOPICS} topics, or one over {MAX_TOPIC_BYTES} bytes"
        self._warn(value, what, "name fewer, and shorter ones", shown=False)

    def _names(self, key: str, value: Value, *, quiet: bool = False) -> list[str]:
        """The names that a list or a text holds; a text is one name, in Jekyll the words of a key in the plural."""
        words = self._layout == "jekyll" and _is_text(value.value) and key not in ("category", "tag")
        stated = value.value if isinstance(value.value, list) else [value.value]
        if words:
            stated = _words(value.value[:MAX_RAW])
        if self._layout != "plain":  # which leave out what is null
            stated = [name for name in stated if not _is_null(name)]
        over = len(stated) > MAX_ITEMS
        names = [plain_text(name[:MAX_RAW]) for name in stated[:MAX_ITEMS] if _is_text(name) and not _is_null(name)]
        short = [name for name in names if _is_short(name)]
        if quiet:
            return short
        if len(names) < min(len(stated), MAX_ITEMS):
            self._warn(value, f"'{key}' holds what is no text", "write a list of texts", shown=False)
        if len(short) < len(names) or len(short) > MAX_TOPICS or over:
            self._warn_of_topics(key, value)
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
        stated = value.value.strip() if _is_text(value.value) else ""
        if len(stated) <= MAX_LANGUAGE and _LANGUAGE.fullmatch(stated):
            return stated.replace("_", "-")
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
        bad, over = False, len(stated) > MAX_ITEMS
        for one in stated[:MAX_ITEMS]:
            image = one if isinstance(one, dict) else {"url": one}
            if not ("url" in image and "width" in image and "height" in image):
                image = _folded(image)
            address = next((image[name] for name in _IMAGE_KEYS if name in image), None)
            if _is_text(address) and (url := absolute_url(address, base) if base else http_url(address)):
                if len(found) == MAX_IMAGES and url not in found:
                    over = True
                    break
                found.setdefault(url, Image(url, _pixels(image.get("width")), _pixels(image.get("height"))))
            elif address != "" and not (self._layout != "plain" and _is_relative(address)):
                bad = True
        if bad and base is None:
            self._warn(value, f"'{key}' holds what is no http(s) address", "write url: in full", shown=False)
        if over and base is None:
            self._warn(value, f"'{key}' holds more than {MAX_IMAGES} images", "name fewer", shown=False)
        return tuple(found.values())

    def video_url(self) -> str | None:
        """The address of a player: the `src` of an iframe whose host is in PLAYER_HOSTS."""
        key, value = self._find("video")
        if value is None:
            return None
        match = _IFRAME_SRC.search(value.value[:MAX_RAW]) if _is_text(value.value) else None
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
        items = [one for one in stated[:MAX_ITEMS] if isinstance(one, dict)]
        if len(items) < len(stated[:MAX_ITEMS]):
            self._warn(value, f"'{key}' holds what is no record", "write a list of maps", shown=False)
        found: dict[str, Related] = {}
        for link in filter(None, map(self._related, items)):
            found.setdefault(link.url, link)
        if len(found) > MAX_RELATED or len(stated) > MAX_ITEMS:
            self._warn(value, f"'{key}' holds more than {MAX_RELATED} links", "name fewer", shown=False)
        return tuple(found.values())[:MAX_RELATED]

    def _related(self, one: Mapping[Any, Any]) -> Related | None:
        """The link that a map gives, if it is complete and not hidden."""
        names = self._wanted.names_of(tuple(one)) or self._names_in_doubt(one)
        if names is None:
            return None
        values = {name: Value(item, 0, 0) for name, item in zip(names, one.values(), strict=True) if name}
        nested = Fields(values, self._keys, self._wanted, self._path, self._zone, bare=self._bare)
        try:
            if not nested.public(default=True):
                return None
        except UnusableError:
            return None
        url, title = nested.url("link"), nested.text("title")
        return Related(url, title) if url and title else None

    def _names_in_doubt(self, one: Mapping[Any, Any]) -> tuple[str, ...] | None:
        """The names of the keys of a map, empty where nothing reads one. None if the map may be hidden: it gives a key
        twice, in two cases, or has one that is nearly a flag."""
        self._need_places()  # and spellings, which keys below the top have lost too
        matter = Matter(self._wanted)
        names = []
        for key, item in one.items():
            name = matter.asked(key) if isinstance(key, str) else None
            if name in matter.values:
                return None
            if name:
                matter.values[name] = Value(item, 0, 0)
            elif isinstance(key, str) and (near := self._wanted.near(key)):
                matter.miss(near, item, 0, 0)
            names.append(name or "")
        try:
            self.judge_misses(matter.misses, FLAGS)
        except UnusableError:
            return None
        return tuple(names)

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
            if value is not None and (type(value.value) is str or not _is_null(value.value)):
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
            if value is not None and (null or type(value.value) is str or not _is_null(value.value)):
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
            if not isinstance(value, dict):
                return None
            folded = part.lower()
            items = [item for name, item in value.items() if isinstance(name, str) and name.lower() == folded]
            if not items:
                return None
            value = items[0] if len(items) == 1 else Opaque()  # a key twice, in two cases
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
    if topic.isascii():
        return len(topic) <= MAX_TOPIC_BYTES
    return few_marks(topic) == topic and len(topic_key(topic).encode()) <= MAX_TOPIC_BYTES


def _folded(one: Mapping[Any, Any]) -> dict[Any, Any]:
    """A map inside a value with the keys that are read of it in lower case."""
    return {key.lower(): item for key, item in one.items() if isinstance(key, str)}


def _words(text: str) -> list[str]:
    """The words of a text; where it has commas, what is between them."""
    return text.split(",") if "," in text else text.split()


def _is_relative(address: object) -> bool:
    return isinstance(address, str) and ":" not in address


def _mend_flag(value: object) -> str:
    if _is_null(value):
        return "write true or false, or remove the line"
    quoted = isinstance(value, str) and value.strip().lower() in ("true", "false", "yes", "no")
    return "write true or false, without quotes" if quoted else "write true or false"


def _is_flag(value: object) -> bool:
    return isinstance(_meaning(value), bool)


def _meaning(value: object) -> object:
    """What a value means, aside from how the file spells it."""
    return value.value if isinstance(value, Scalar) else value


def _is_text(value: object) -> TypeGuard[str]:
    """Whether a value can be read as a text, as the spelling of any scalar can."""
    if isinstance(value, str):
        return True
    if isinstance(value, int | float):  # a bare one, whose spelling is lost
        raise InDoubtError
    return False


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
    if isinstance(value, Scalar) and len(value) <= MAX_DIGITS and _NUMBER.fullmatch(value):
        number = float(value)
        return number if abs(number) < MAX_NUMBER else None
    return None


def _pixels(value: object) -> int:
    if type(value) is int:
        return value if 0 < value < MAX_PIXELS else 0
    number = _number(value) or 0
    return int(number) if 0 < number < MAX_PIXELS and number == int(number) else 0
