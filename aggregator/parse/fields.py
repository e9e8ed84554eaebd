"""Front matter -> the fields of a record, each by its rule (docs/spec.md, Records).

A wrong optional field is a warning and is left out. A wrong field that decides about publication or identity raises
UnusableError, which rejects the record. Which keys a field is read from is in `config/presets.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aggregator.links import MAX_URL, absolute_url, has_user, host_name, http_url
from aggregator.model import Enclosure, Image, Provider, Related, StoryTimes
from aggregator.parse.dates import is_empty_date, parse_time, unix_time, zoned_time
from aggregator.parse.field_bounds import (
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
    cut_text,
)
from aggregator.parse.front_matter.values import FrontMatter, FrontMatterError, NearMiss, Opaque, Scalar, Value
from aggregator.parse.keys import FLAGS, HIDING_DATES, FieldKeys
from aggregator.parse.media import read_media
from aggregator.parse.page_path import PagePath
from aggregator.parse.texts import plain_text, player_url
from aggregator.parse.values import (
    NeedsFullParseError,
    flag_hint,
    is_null,
    is_relative,
    is_text,
    lower_keys,
    meaning,
    read_number,
    read_pixels,
    shown_value,
    sure_time,
)
from aggregator.problems import Problem
from aggregator.settings import PLUS, Layout
from aggregator.slugs import topic_key
from aggregator.unicode import MAX_MARKS, few_marks, is_visible, xml_text

_FLAG_WORDS = frozenset("true false yes no on off".split())
_IMAGE_KEYS = ("url", "path", "src", "image")
_IFRAME_SRC = re.compile(r"<iframe\b[^<>]*?\ssrc\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))", re.IGNORECASE)
_SURE_NAME = re.compile(r"(?!(?:true|false|null)\Z)[a-z][\w-]*", re.IGNORECASE)
"""A nested key that every version of YAML reads as text."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_NO_PATH = {"plain": frozenset(":?#\\ "), "hugo": frozenset("?\\")}
"""Characters that no stated path of a page has. In Hugo, a colon begins a token such as `:slug`."""
_ID = re.compile(r"[^\x00-\x20\x7f\ud800-\udfff\ufffe\uffff](?:[^\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]*\S)?")


_ID_HINT = f"write a text of 1 to {MAX_ID} bytes, without blanks at its ends; put quotes around a number"


class UnusableError(Exception):
    """The record must be rejected; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Fields:
    """The fields of one record. Reading a field may add to `warnings`, and may raise UnusableError.

    `present` has the keys that can occur, all of `keys` by default. Without positions, see NeedsFullParseError.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        keys: FieldKeys,
        path: str,
        zone: ZoneInfo,
        layout: Layout = "plain",
        present: Mapping[str, tuple[str, ...]] | None = None,
        *,
        has_positions: bool = True,
    ) -> None:
        self.warnings: list[Problem] = []
        self.page_path: PagePath | None = None  # what the path of the file states, once that is read
        self.story_times: tuple[StoryTimes, ...] = ()  # of the related stories, once these are read
        self._values, self._keys, self._path = values, keys, path
        self._zone, self._layout, self._has_positions = zone, layout, has_positions
        self._present = keys.by_field if present is None else present

    def has_any(self, keys: Iterable[str]) -> bool:
        """Whether the record has one of these top-level keys."""
        return not self._values.keys().isdisjoint(keys)

    def keys_of(self, field: str) -> tuple[str, ...]:
        """The keys that the field is read from, first alternative first."""
        return self._keys.of(field)

    def refuse_near_misses(self, misses: Iterable[NearMiss], fields: Iterable[str]) -> None:
        """Raises UnusableError for an unmapped key one edit away from one of these fields, which can hide the record,
        if its value suits that field."""
        for miss in misses:
            for key in miss.hiding:
                if any(key in self._keys.of(field) and self._suits(field, miss.value) for field in fields):
                    what = f"an unknown key is one edit away from '{key}', which can hide the record"
                    without = f" without {miss.unseen}" if miss.unseen else ""
                    hint = f"write '{key}'{without}, or give the key another name"
                    raise UnusableError(Problem(self._path, *miss.place, what, None, hint))

    def warn_of_near_misses(self, misses: Iterable[NearMiss]) -> None:
        """Warns of unmapped keys that are probably misspelled."""
        for miss in misses:
            if miss.meant:
                what = f"unknown key; did you mean '{miss.meant}'?"
                problem = Problem(self._path, *miss.place, what, None, "correct its spelling", "warning")
                self.warnings.append(problem)

    def public(self, default: bool) -> bool:
        """True if `published`, else `default`, is true, none of `draft`, `deleted` and `removed` is, and no key of
        `visibility` says `never`."""
        published = default
        hidden = False
        for field in FLAGS:
            if field not in self._present:
                continue
            key, value = self._find(field, null=True)
            if value is None:
                continue
            flag = meaning(value.value)
            if not isinstance(flag, bool):
                if key in self._keys.of("published_at") and (self.is_empty_date(flag) or self._time(flag)):
                    continue  # Hugo has one key for the flag and the date
                raise self.unusable(field, f"'{key}' is not true or false", flag_hint(value.value))
            if field == "published":
                published = flag
            else:
                hidden = hidden or flag
        return published and not hidden and not any(map(hides_page, self._each("visibility")))

    def text(self, field: str, max_chars: int = MAX_TEXT) -> str:
        """The plain text of the first key that has any, cut to `max_chars`, or an empty string. Hugo's `summary` is
        Markdown.
        """
        for key, value in self._each(field):
            stated = value.value
            if is_text(stated):
                text = plain_text(stated[:MAX_RAW])
                if key == field == "summary" and self._layout == "hugo":
                    from aggregator.parse.excerpt import markdown_text  # plain records need none

                    text = markdown_text(text)
                if len(stated) > max_chars or not text.isascii():
                    text = self._cut(key, value, text, max_chars, is_all=len(stated) <= MAX_RAW)
                if text and _is_seen(text):
                    return text
            else:
                self._warn(value, f"'{key}' is not a text", "write one text")
        return ""

    def _cut(self, key: str, value: Value, text: str, max_chars: int, *, is_all: bool) -> str:
        """The text within its bounds, with a warning if it exceeds them. `is_all`: the value has no more text."""
        cut = cut_text(text, max_chars)
        if len(text) <= max_chars and not is_all:
            what = f"'{key}' has over {MAX_RAW:,} characters of markup, of which the rest is not read"
            self._warn(value, what, "remove pictures from it", shown=False)
        elif len(text) > max_chars:
            self._warn(value, f"'{key}' is over {max_chars:,} characters and is cut", "make it shorter", shown=False)
        elif cut != text:
            what = f"'{key}' has over {MAX_MARKS} combining marks in a row, which are left out"
            self._warn(value, what, "remove them", shown=False)
        return cut

    def url(self, field: str) -> str | None:
        """The first key that has an absolute http(s) URL."""
        for key, value in self._each(field):
            if is_text(value.value) and (url := http_url(value.value)):
                return url
            if is_text(value.value) and has_user(value.value):
                self._warn(value, f"'{key}' has a user or a password", "remove it", shown=False)
            elif value.value != "":
                is_long = isinstance(value.value, str) and len(value.value) > MAX_URL
                hint = f"make it at most {MAX_URL:,} characters" if is_long else "write it in full, with https://"
                self._warn(value, f"'{key}' is not an http(s) URL", hint)
        return None

    def required_date(self, field: str) -> datetime | None:
        """The date; raises UnusableError if it is present and invalid."""
        date = self._date(field)
        return date[0] if date else None

    def updated(self) -> tuple[datetime | None, tuple[int, int]]:
        """The date of the last change and its position; None with a warning if it is invalid."""
        try:
            date = self._date("updated_at")
        except UnusableError as error:
            self.warnings.append(replace(error.problem, level="warning"))
            date = None
        return (date[0], _place(date[1])) if date else (None, (0, 0))

    def link_date(self) -> datetime | None:
        """The date that the URL of the page has, in the time zone that it states, else in the site's."""
        for _, value in self._each("link_date"):
            stated = meaning(value.value)
            if self.is_empty_date(stated) or isinstance(stated, bool):
                continue  # Hugo has one key for the flag and the date
            if type(stated) is int or not self._has_positions:
                parsed = self._time(stated)
            else:
                parsed = zoned_time(stated, self._zone, loose=True)
            if parsed is not None:
                return parsed[0]
        return None

    def _date(self, field: str) -> tuple[datetime, Value] | None:
        """The first date of a field, and its value."""
        if field not in self._present:
            return None
        for key, value in self._each(field):
            stated = meaning(value.value)
            if self._layout == "jekyll" and isinstance(stated, datetime) and stated.tzinfo is None:
                stated = stated.replace(tzinfo=UTC)  # a YAML time is in UTC; one that Ruby reads as text is not
            if self.is_empty_date(stated) or (isinstance(stated, bool) and key in self._keys.of("published")):
                continue  # Hugo has one key for the flag and the date
            parsed = self._time(stated)
            if parsed is None:
                what, hint = f"'{key}' is not a date", "write it as 2026-05-20T07:10:00Z"
                if stated != "" and is_empty_date(stated):
                    what, hint = f"'{key}' is before the year 2", "remove it if there is no date"
                raise UnusableError(self._problem(value, what, shown_value(value.value), hint))
            moment, has_zone = parsed
            if not has_zone and self._layout == "plain":  # records of site generators seldom have one
                self._warn(value, f"'{key}' has no time zone; {self._zone.key} is used", "add Z or +02:00")
            return moment, value
        return None

    def is_empty_date(self, stated: object) -> bool:
        """Whether a value means "no date"."""
        return self._layout != "plain" and is_empty_date(stated)

    def _time(self, stated: object) -> tuple[datetime, bool] | None:
        if not self._has_positions:
            return sure_time(stated), True
        if self._layout == "hugo" and type(stated) is int:
            return unix_time(stated)
        return parse_time(stated, self._zone, loose=self._layout != "plain")

    def explicit_id(self) -> str | None:
        """The id that the record states."""
        key, value = self._find("id")
        if value is None:
            return None
        self._require_positions()
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
            raise self.unusable("id", f"'{key}' cannot be an id", _ID_HINT)
        return str(stated)

    def stated_path(self) -> str | None:
        """The stated path of the page on its site: an http(s) URL, or a path without query."""
        for key, value in self._each("path"):
            if is_text(value.value):
                stated = value.value.strip()
                if url := http_url(stated):
                    return url
                if len(stated) > MAX_URL:
                    self._warn(value, f"'{key}' is over {MAX_URL:,} characters", "make it shorter", shown=False)
                elif stated and self._is_path(stated):
                    return xml_text(stated)
        return None

    def _is_path(self, stated: str) -> bool:
        if self._layout == "jekyll":  # a permalink, perhaps with placeholders
            return True
        return not _NO_PATH[self._layout] & set(stated) and ("/" in stated or self._layout == "hugo")

    def excerpt_separator(self) -> str | None:
        """The marker that ends the excerpt; empty disables excerpts."""
        _, value = self._find("excerpt_separator")
        return value.value if value is not None and is_text(value.value) else None

    def key(self, field: str) -> str:
        """The key that states `field`; its own name if none does."""
        return self._find(field)[0]

    def has_templates(self) -> bool:
        """Whether the template language of the site is read in the body."""
        _, value = self._find("templates")
        if value is not None and type(value.value) is str and value.value.lower() in _FLAG_WORDS:
            self._require_positions()  # and spellings: `no` is false for Jekyll
        return value is None or meaning(value.value) is not False

    def place(self, field: str) -> tuple[int, int]:
        """Line and column of the value of `field`, 0 without one."""
        _, value = self._find(field)
        return _place(value) if value is not None else (0, 0)

    def score(self, field: str) -> float:
        """A finite number, -1 without one."""
        key, value = self._find(field)
        if value is None:
            return -1.0
        number = read_number(value.value)
        if number is not None:
            return number
        self._warn(value, f"'{key}' is not a number", "write a number")
        return -1.0

    def provider(self) -> Provider | None:
        """Name and domain. A plain text is the name; those of several authors are joined."""
        key, value = self._find("provider")
        if value is None:
            return None
        has_several = self._layout != "plain" and isinstance(value.value, list)
        stated = value.value if has_several else [value.value]
        maps = [item if isinstance(item, dict) else {"name": item} for item in stated[:MAX_ITEMS]]
        maps = [item if "name" in item and "domain" in item else lower_keys(item) for item in maps]
        names = [item.get("name") for item in maps]
        texts = [plain_text(name[:MAX_RAW]) for name in names if is_text(name) and not is_null(name)]
        authors = tuple(filter(_is_seen, texts[:MAX_NAMES]))
        name = ", ".join(authors)
        if len(name) > MAX_TEXT or not name.isascii():
            name = self._cut(key, value, name, MAX_TEXT, is_all=True)
            name = name if _is_seen(name) else ""
        domain = maps[0].get("domain") if len(maps) == 1 else None
        host = host_name(domain) if is_text(domain) and not is_null(domain) else ""
        if not name and not host:
            if stated:
                self._warn(value, f"'{key}' has no name", "write name: and domain: below it", shown=False)
            return None
        return Provider(name or host, host, authors if len(authors) > 1 else ())

    def category(self) -> str:
        """The category; the first one if there are several (Jekyll, Hugo)."""
        if self._layout == "plain":
            return self.text("category")
        for key, value in self._each("category"):
            if first := next(filter(None, self._names(key, value, quiet=True)), ""):
                return first
        return ""

    def page_categories(self, folders: Iterable[str]) -> tuple[str, ...]:
        """The categories of a post as Jekyll has them in URLs: of its folders, of `categories`, of `category`."""
        names = list(folders)
        for key in reversed(self._present.get("category", ())):
            value = self._look_up(key)
            stated = value.value if value is not None else None
            if isinstance(stated, list):
                names += [str(name) for name in stated[:MAX_ITEMS] if is_text(name) and not is_null(name)]
            elif not is_null(stated) and is_text(stated):
                names += stated[:MAX_RAW].split() if key == "categories" else [stated]
        return tuple(names)

    def topics(self) -> tuple[str, ...]:
        """Topics in the given order, each once: of all keys of the first alternative that is present."""
        combined = self._combined("topics")
        if self._layout == "jekyll" and any(key == "tag" for key, _ in combined):  # which reads one of them
            combined = [pair for pair in combined if pair[0] != "tags"]
        if len(combined) == 1:
            return unique_topics(self._names(*combined[0])[:MAX_TOPICS])
        lists = [self._names(key, value) for key, value in combined]
        names = [name for part in lists for name in part]
        if len(names) > MAX_TOPICS >= max(map(len, lists)):
            self._warn_of_topics(*combined[-1])
        return unique_topics(names[:MAX_TOPICS])

    def states_topics(self) -> bool:
        """Whether a record states topics, even none: it gets no default ones. Jekyll's categories do not count."""
        stated = (key for key, _ in self._combined("topics"))
        return any(self._layout != "jekyll" or key not in ("category", "categories") for key in stated)

    def _warn_of_topics(self, key: str, value: Value) -> None:
        what = f"'{key}' has more than {MAX_TOPICS} topics, or a topic over {MAX_TOPIC_BYTES} bytes"
        self._warn(value, what, "name fewer, and shorter ones", shown=False)

    def _names(self, key: str, value: Value, *, quiet: bool = False) -> list[str]:
        """The names in a list or a text. A text is one name; in Jekyll, words if the key is a plural."""
        has_words = self._layout == "jekyll" and is_text(value.value) and key not in ("category", "tag")
        stated = value.value if isinstance(value.value, list) else [value.value]
        if has_words:
            text = value.value[:MAX_RAW]
            stated = text.split(",") if "," in text else text.split()
        if self._layout == "jekyll":
            stated = [name for item in stated for name in (item if isinstance(item, list) else [item])]
        if self._layout != "plain":  # site generators ignore null
            stated = [name for name in stated if not is_null(name)]
        names = [plain_text(name[:MAX_RAW]) for name in stated[:MAX_ITEMS] if is_text(name) and not is_null(name)]
        seen = [name for name in names if not name or _is_seen(name)]
        short = [name for name in seen if _is_short(name)]
        if quiet:
            return short
        if len(names) < min(len(stated), MAX_ITEMS):
            self._warn(value, f"'{key}' has an item that is not text", "write a list of texts", shown=False)
        if len(seen) < len(names):
            self._warn(value, f"'{key}' has an item that shows nothing", "remove it", shown=False)
        if len(short) < len(seen) or len(short) > MAX_TOPICS or len(stated) > MAX_ITEMS:
            self._warn_of_topics(key, value)
        if not has_words and isinstance(value.value, str) and "," in value.value:
            self._warn(value, f"'{key}' is one text and counts as one topic", "write a list: [One, Another]")
        return short

    def language(self) -> str:
        """A text with the shape of a language tag (RFC 5646), or an empty string."""
        key, value = self._find("language")
        if value is None:
            return ""
        stated = value.value.strip() if is_text(value.value) else ""
        if len(stated) <= MAX_LANGUAGE and _LANGUAGE.fullmatch(stated):
            return stated.replace("_", "-")
        self._warn(value, f"'{key}' is not a language tag", "write a tag such as en or pt-BR")
        return ""

    def images(self, base: str | None = None) -> tuple[Image, ...]:
        """Images with an absolute http(s) URL, each once.

        With `base`, relative URLs are resolved (RFC 3986, 5.2) and no warnings are added.
        """
        key, value = self._find("images")
        if value is None:
            return ()
        stated = value.value if isinstance(value.value, list) else [value.value]
        images: dict[str, Image] = {}
        has_bad, has_too_many = False, len(stated) > MAX_ITEMS
        for item in stated[:MAX_ITEMS]:
            image = item if isinstance(item, dict) else {"url": item}
            if not ("url" in image and "width" in image and "height" in image):
                image = lower_keys(image)
            address = next((image[name] for name in _IMAGE_KEYS if name in image), None)
            if is_text(address) and (url := absolute_url(address, base) if base else http_url(address)):
                if len(images) == MAX_IMAGES and url not in images:
                    has_too_many = True
                    break
                images.setdefault(url, Image(url, read_pixels(image.get("width")), read_pixels(image.get("height"))))
            elif address != "" and not (self._layout != "plain" and is_relative(address)):
                has_bad = True
        if has_bad and base is None:
            self._warn(value, f"'{key}' has an item that is not an http(s) URL", "write url: in full", shown=False)
        if has_too_many and base is None:
            self._warn(value, f"'{key}' has more than {MAX_IMAGES} images", "name fewer", shown=False)
        return tuple(images.values())

    def enclosures(self, base: str | None = None, *, quiet: bool = False) -> tuple[Enclosure, ...]:
        """Media files with an absolute http(s) URL, each once: of the first key that has any.

        With `base`, relative URLs are resolved (RFC 3986, 5.2). With `quiet`, no warnings are added.
        """
        for key, value in self._each("enclosures"):
            found, wrong = read_media(key, value.value, base)
            for what, hint in () if quiet else wrong.items():
                self._warn(value, f"'{key}' {what}", hint, shown=False)
            if found:
                return found
        return ()

    def video_url(self) -> str | None:
        """The URL of a player: the `src` of an iframe whose host is in PLAYER_HOSTS."""
        key, value = self._find("video")
        if value is None:
            return None
        match = _IFRAME_SRC.search(value.value[:MAX_RAW]) if is_text(value.value) else None
        if match and (url := player_url(next(group for group in match.groups() if group is not None))):
            return url
        self._warn(value, f"'{key}' is not an iframe of a known player", "leave it out", shown=False)
        return None

    def related(self) -> tuple[Related, ...]:
        """Links to other stories: those with a title and a URL that no flag hides. Their dates and expiries, which may
        hide them at some time, are in `story_times`."""
        key, value = self._find("related")
        if value is None:
            return ()
        stated = value.value if isinstance(value.value, list) else [value.value]
        maps = [item for item in stated[:MAX_ITEMS] if isinstance(item, dict)]
        if len(maps) < len(stated[:MAX_ITEMS]):
            self._warn(value, f"'{key}' has an item that is not a map", "write a list of maps", shown=False)
        links: dict[str, Related] = {}
        times: dict[str, StoryTimes] = {}
        has_incomplete = False
        for story in filter(None, map(self._story, maps)):
            url, title = story.url("link"), story.text("title")
            if not (url and title):
                has_incomplete = True
            elif url not in links and (of_story := self._times_of(url, story, key, value)):
                links[url], times[url] = Related(url, title), of_story
        if has_incomplete:
            what = f"'{key}' has an item without a title and an http(s) URL"
            self._warn(value, what, "write both, or remove the item", shown=False)
        if len(links) > MAX_RELATED or len(stated) > MAX_ITEMS:
            self._warn(value, f"'{key}' has more than {MAX_RELATED} links", "name fewer", shown=False)
        stories = tuple(links.values())[:MAX_RELATED]
        self.story_times = tuple([times[story.url] for story in stories if any(times[story.url][1:])])
        return stories

    def _times_of(self, url: str, story: Fields, key: str, value: Value) -> StoryTimes | None:
        """The times of a story in the `value` of `key`; None with a warning if one is no date, which hides it."""
        try:
            return StoryTimes(url, *map(story.required_date, HIDING_DATES))
        except UnusableError as error:
            self._require_positions()
            found = error.problem
            what = f"a story in '{key}' is hidden, because {found.what}"
            self.warnings.append(replace(self._problem(value, what, found.value, found.hint), level="warning"))
            return None

    def _story(self, item: Mapping[Any, Any]) -> Fields | None:
        """The fields of another story in a map; None if it is hidden."""
        names = self._keys.allowed.canonical_names(tuple(item))
        try:
            if names is None:
                values = self._read_map(item)
            else:
                values = {name: Value(value, 0, 0) for name, value in zip(names, item.values(), strict=True) if name}
            present, has_positions = self._keys.present(tuple(values)), self._has_positions
            nested = Fields(
                values, self._keys, self._path, self._zone, self._layout, present, has_positions=has_positions
            )
            return nested if nested.public(default=True) else None
        except (FrontMatterError, UnusableError):
            return None

    def _read_map(self, item: Mapping[Any, Any]) -> dict[str, Value]:
        """The mapped values of a map. Raises FrontMatterError or UnusableError for one that may be hidden: by a key
        that is given twice, in two cases, or is nearly one that can hide it."""
        self._require_positions()  # and spellings, which nested keys need too
        front_matter = FrontMatter(self._keys.allowed)
        pairs = [(key, value) for key, value in item.items() if isinstance(key, str)]
        front_matter.refuse_repeated((key for key, _ in pairs if front_matter.canonical_name(key)), _no_place)
        front_matter.take(pairs, lambda value: value, _no_place)
        self.refuse_near_misses(front_matter.near_misses, (*FLAGS, *HIDING_DATES))
        return front_matter.values

    def unusable(self, field: str, what: str, hint: str, value: str | None = "") -> UnusableError:
        """The error that rejects the record because of `field`. With `value` None its value is not shown."""
        self._require_positions()
        _, stated = self._find(field, null=True)
        if stated is None:
            return UnusableError(Problem(self._path, 1, 1, what, None, hint))
        shown = None if value is None else shown_value(stated.value)
        return UnusableError(self._problem(stated, what, shown, hint))

    def _each(self, field: str) -> list[tuple[str, Value]]:
        """The keys of `field` that are present and not null, and their values."""
        pairs = []
        for key in self._present.get(field, ()):
            value = self._values.get(key) or self._look_up(key)
            if value is not None and (type(value.value) is str or not is_null(value.value)):
                pairs.append((key, value))
        return pairs

    def _combined(self, field: str) -> list[tuple[str, Value]]:
        """The keys of the first alternative of `field` that is present, and their values."""
        for alternative in self._present.get(field, ()):
            pairs = [(key, self._look_up(key)) for key in alternative.split(PLUS)]
            present = [(key, value) for key, value in pairs if value is not None and not is_null(value.value)]
            if present:
                return present
        return []

    def _find(self, field: str, *, null: bool = False) -> tuple[str, Value | None]:
        """The first key of `field` that is present, and its value; with `null`, null counts as present."""
        for key in self._present.get(field, ()):
            value = self._values.get(key) or self._look_up(key)
            if value is not None and (null or type(value.value) is str or not is_null(value.value)):
                return key, value
        return field, None

    def _look_up(self, key: str) -> Value | None:
        """The value of a key, which may name a nested one with dots; a nested value has the position of its top key."""
        if key in self._values or "." not in key:
            return self._values.get(key)
        first, *rest = key.split(".")
        top = self._values.get(first)
        if top is None:
            return None
        if not all(map(_SURE_NAME.fullmatch, rest)):
            self._require_positions()  # and spellings, which nested keys need too
        value: Any = top.value
        for part in rest:
            if not isinstance(value, dict):
                return None
            folded = part.lower()
            items = [item for name, item in value.items() if isinstance(name, str) and name.lower() == folded]
            if not items:
                return None
            value = items[0] if len(items) == 1 else Opaque()  # a key is given twice, in two cases
        return top._replace(value=value)

    def _suits(self, field: str, value: object) -> bool:
        """True if a value is of the kind of its field: a flag, or a date."""
        if field in FLAGS:
            is_word = isinstance(value, str) and value.strip().lower() in _FLAG_WORDS
            return isinstance(meaning(value), bool) or is_word
        return self._time(meaning(value)) is not None

    def _require_positions(self) -> None:
        if not self._has_positions:
            raise NeedsFullParseError

    def _warn(self, value: Value, what: str, hint: str, *, shown: bool = True) -> None:
        self._require_positions()
        text = shown_value(value.value) if shown else None
        self.warnings.append(replace(self._problem(value, what, text, hint), level="warning"))

    def _problem(self, value: Value, what: str, shown: str | None, hint: str) -> Problem:
        if value.file:
            what = f"{what} (in the cascade of {value.file}, line {value.line})"
        return Problem(self._path, *_place(value), what, shown, hint)


def unique_topics(names: Iterable[str]) -> tuple[str, ...]:
    """Each topic once, as first spelled."""
    topics: dict[str, str] = {}
    for name in names:
        if name:
            topics.setdefault(topic_key(name), name)
    return tuple(topics.values())


def _is_seen(text: str) -> bool:
    """Whether a plain text shows anything, other than the sign that it was cut."""
    return bool(text) if text.isascii() else is_visible(text.removesuffix("…") or text)


def _is_short(topic: str) -> bool:
    if topic.isascii():
        return len(topic) <= MAX_TOPIC_BYTES
    return few_marks(topic) == topic and len(topic_key(topic).encode()) <= MAX_TOPIC_BYTES


def _no_place(_index: int, *, of_value: bool = False) -> tuple[int, int]:  # noqa: ARG001
    return 0, 0


def _place(value: Value) -> tuple[int, int]:
    """Line and column of a value in the file of the record; 0 if another file states it."""
    return (0, 0) if value.file else (value.line, value.column)


def hides_page(pair: tuple[str, Value]) -> bool:
    """Whether a build option of Hugo or Zola keeps a page out of lists, or out of the site.

    A page with `list: local` is only in the lists of its own section. Hugo reads YAML 1.2, where `no` is a text.
    """
    stated = pair[1].value
    option = meaning(stated)
    if option is False:
        return not isinstance(stated, Scalar) or stated.lower() == "false"
    never = ("never", "local") if pair[0].endswith(".list") else ("never",)
    return isinstance(option, str) and option.strip().lower() in never
