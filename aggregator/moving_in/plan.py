"""What `aggregator init --from` writes: the tables of a config, each value with its place in the site's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from aggregator.moving_in.site_files import Place, shown_file
from aggregator.problems import Problem
from aggregator.settings import Layout
from aggregator.slugs import RESERVED_SLUGS, topic_key, topic_slug

MAX_LIMIT = 5000
"""The highest `output.limit`, for sites that show all posts."""


class Stated(NamedTuple):
    """A value for the config, and its origin in the site."""

    value: Any
    place: Place | str


@dataclass(slots=True)
class SourcePlan:
    """A `[[records]]` table."""

    path: Path
    link_template: str
    place: Place | str  # of the permalink
    name: str = ""
    site_url: Stated | None = None  # if the link template does not say it
    include: tuple[str, ...] = ("*.md", "*.markdown")
    exclude: list[str] = field(default_factory=list)
    default_published: bool = True
    topics: tuple[str, ...] = ()
    default_topics: tuple[str, ...] = ()
    language: str = ""  # if it is another one than the site's
    languages: tuple[str, ...] = ()
    fields: dict[str, Stated] = field(default_factory=dict)


@dataclass(slots=True)
class FeedPlan:
    """A `[[feed]]` table."""

    slug: str
    title: str
    moved_from: list[str]
    place: Place | str
    description: str = ""
    clauses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # table -> `any`
    full: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class TermFeeds:
    """The feeds that a site has for each topic."""

    keys: tuple[str, ...]  # of the front matter that name the topics, or authors
    path: str  # of each feed, with {term}
    title: str  # with {name}
    place: Place | str
    full: bool
    names: Mapping[str, str] | None = None  # the topics, by key, and their names in URLs; None for all topics
    language: str = ""  # of their entries; empty for all
    suffix: str = ""  # of their slugs
    plain: bool = False  # only topics of ASCII letters, digits and underscores
    clause: str = "topics"


class WithoutDates(NamedTuple):
    """Why pages without a date are in no feed of a site, if it has this many pages with one."""

    reason: str
    from_entries: int = 0


@dataclass(slots=True)
class Plan:
    """The config as a whole."""

    system: str
    preset: Layout
    term_name: Callable[[str], str]  # a topic -> its name in URLs
    root: Path
    files: list[Path]
    site: dict[str, Stated] = field(default_factory=dict)
    sources: list[SourcePlan] = field(default_factory=list)
    limit: Stated = field(default_factory=lambda: Stated(MAX_LIMIT, ""))
    feeds: list[FeedPlan] = field(default_factory=list)
    term_feeds: list[TermFeeds] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)  # what the config cannot say
    without_dates: WithoutDates | None = None

    def leave_out(self, place: Place | str, what: str, hint: str, value: object = None) -> None:
        """Notes what the config cannot say. A place that is a text is a default of the system."""
        shown = None if value is None else str(value)
        if isinstance(place, str):
            place = Place(shown_file(self.files[0] if self.files else self.root))
        problem = Problem.on_line(place.file, place.line, what, shown, hint, "warning")
        if problem not in self.left_out:
            self.left_out.append(problem)

    def free_name(self, wanted: str) -> str:
        """A name for a source that no other source has; `section-1` and so on if no name is left of the wanted one."""
        taken = {source.name for source in self.sources}
        numbered = (f"{wanted or 'section'}-{number}" for number in count(2 if wanted else 1))
        return next(name for name in chain([wanted] * bool(wanted), numbered) if name not in taken)

    def free_slug(self, wanted: str, topics: Iterable[str] = ()) -> str:
        """A slug for a feed with a rule that is not the slug of a topic or of another feed."""
        taken = {*(feed.slug for feed in self.feeds), *topics, *RESERVED_SLUGS}
        slug = topic_slug(topic_key(wanted))
        return next(free for free in (slug, f"{slug}-posts", topic_slug(topic_key(wanted), taken)) if free not in taken)
