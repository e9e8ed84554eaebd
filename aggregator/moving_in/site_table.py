"""What the readers of the three systems share: values of `[site]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aggregator.config.values import UNSHOWABLE, BadValueError, read_timezone
from aggregator.errors import ConfigError
from aggregator.moving_in.plan import MAX_LIMIT, Plan, Stated
from aggregator.moving_in.site_files import Place, SiteConfig, read_text, shown_file
from aggregator.parse.texts import plain_text
from aggregator.problems import Problem

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_MAX_TEXT = 1000
AUTHORS = ("author", "authors")
"""Taxonomies whose terms are providers."""
OWN_TEMPLATE = (
    "the site has a template of its own for feeds, which may choose other posts",
    "`aggregator adopt` names the entries that it does not find",
)


def title_text(text: str) -> str:
    """A text of the site's config as plain text."""
    return UNSHOWABLE.sub("", plain_text(text[:_MAX_TEXT]))


def is_language(tag: str) -> bool:
    """Whether a text is a language tag."""
    return _LANGUAGE.fullmatch(tag) is not None


def is_key(name: Any) -> bool:
    """Whether a name can be a key of topics in `[records.fields]`."""
    return isinstance(name, str) and name.isprintable() and name == name.strip() != "" and "+" not in name


def clause_of(taxonomy: str) -> str:
    """The clause of a feed by which entries have a term of a taxonomy."""
    return "provider" if taxonomy in AUTHORS else "topics"


class StatedSite:
    """The `[site]` table of a plan, filled from a site's config."""

    def __init__(self, root: Path, config: SiteConfig, plan: Plan) -> None:
        self.root, self.config, self.plan = root, config, plan

    def add(self, key: str, value: str, place: Place | str) -> None:
        """Adds a value; none if it is empty."""
        if value:
            self.plan.site[key] = Stated(value, place)

    def add_text(self, key: str, path: tuple[str, ...]) -> None:
        """Adds the text at a path of the config."""
        self.add(key, title_text(self.config.text(*path)), self.config.place(*path))

    def add_first_text(self, key: str, paths: Iterable[tuple[str, ...]]) -> None:
        """Adds the first text that is there."""
        found = next((path for path in paths if self.config.text(*path)), None)
        if found:
            self.add_text(key, found)

    def add_language(self, path: tuple[str, ...]) -> None:
        """Adds the language at a path of the config, `en` without one."""
        stated = self.config.text(*path)
        if is_language(tag := stated.replace("_", "-")):
            self.add("language", tag, self.config.place(*path))
        elif stated:
            what, hint = f"'{path[-1]}' is not a language tag", "the feeds are in 'en'; correct language in [site]"
            self.plan.leave_out(self.config.place(*path), what, hint, stated)

    def add_time_zone(self, path: tuple[str, ...], spelling: str, default: str) -> None:
        """Adds the time zone at a path of the config; without one UTC, for which `default` says why."""
        zone, place = self.config.text(*path), self.config.place(*path)
        try:
            read_timezone(zone or "UTC")
        except BadValueError:
            self.plan.leave_out(place, f"'{spelling}' is not a time zone", "dates are in UTC", zone)
        else:
            self.add("timezone", zone or "UTC", place if zone else default)

    def limit(self, *path: str) -> Stated | None:
        """How many entries a path of the config says, at most MAX_LIMIT; None if it says no number."""
        value = self.config.get(*path)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return None
        return Stated(min(value, MAX_LIMIT), self.config.place(*path))

    def add_base_url(self, path: tuple[str, ...], spelling: str, rest: str = "") -> str:
        """Adds and returns the URL of the site, with a slash at its end. Raises ConfigError without one."""
        url, place = self.config.text(*path), self.config.place(*path)
        for file in ("CNAME", "static/CNAME", "public/CNAME"):
            if not _is_url(url) and (self.root / file).is_file():
                host = read_text(self.root / file).strip()
                url, place = f"https://{host}", Place(shown_file(self.root / file), 1)
        if not _is_url(url):
            what = f"'{spelling}' is not the URL of the site"
            hint = f"write it in full, such as {spelling} https://example.org/, and call init again"
            shown = str(place.file or shown_file(self.root))
            raise ConfigError((Problem.on_line(shown, place.line, what, url or None, hint),))
        base = url.rstrip("/") + "/" + (f"{rest.strip('/')}/" if rest.strip("/") else "")
        self.add("base_url", base, place)
        return base


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not set("?#@ {}") & set(text)
    except ValueError:
        return False
