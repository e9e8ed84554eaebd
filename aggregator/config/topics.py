"""The tables below [topics]: what they say of topics, what contradicts itself in them, and where topics are named."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aggregator.config.errors import Finding
from aggregator.config.schema import File, TopicsTable
from aggregator.config.values import BadValueError, need_text
from aggregator.feeds.rules import fold
from aggregator.toml_positions import KeyPath, Locator
from aggregator.topics import TopicTables

_TABLES = ("slugs", "alias", "parent", "titles", "descriptions")


def read_tables(table: TopicsTable) -> TopicTables:
    """What the tables say, each topic by its key; they are free of conflicts."""
    links = {fold(one): fold(other) for one, other in table.alias.items()}
    alias = {one: _follow(links, one)[-1] for one in sorted(links)}

    def by_topic(stated: Mapping[str, str]) -> dict[str, str]:
        return {alias.get(fold(name), fold(name)): value for name, value in sorted(stated.items())}

    parents = {key: alias.get(fold(name), fold(name)) for key, name in by_topic(table.parent).items()}
    ends = {*alias.values(), *parents.values()}
    spellings = {fold(name): name for name in (*table.parent.values(), *table.alias.values())}
    return TopicTables(
        alias=alias,
        parents=parents,
        names={key: " ".join(spellings[key].split()) for key in sorted(ends)},
        titles=by_topic(table.titles),
        descriptions=by_topic(table.descriptions),
        slugs=by_topic(table.slugs),
    )


def find_topic_conflicts(file: File) -> Iterator[Finding]:
    """Topics that are given twice or in a circle, and slugs that two feeds would have."""
    links = {fold(one): fold(other) for one, other in file.topics.alias.items()}

    def end(name: str) -> str:
        return _follow(links, fold(name))[-1]

    yield from _repeats("alias", file.topics.alias, fold)
    yield from _circles("alias", file.topics.alias, fold)
    for name in _TABLES:
        if name != "alias":
            yield from _repeats(name, getattr(file.topics, name), end)
    yield from _circles("parent", file.topics.parent, end)
    yield from _slug_conflicts(file)


def _follow(links: Mapping[str, str], key: str) -> list[str]:
    """The keys that lead on from `key`, itself the first, up to the end or to where a circle closes."""
    found = [key]
    while (after := links.get(found[-1])) is not None and after not in found:
        found.append(after)
    return found


def _repeats(table: str, stated: Mapping[str, str], end: Any) -> Iterator[Finding]:
    known: dict[str, str] = {}
    for name in stated:
        before = known.setdefault(end(name), name)
        if before != name:
            what = f"the topic is in [topics.{table}] already, as {json.dumps(before, ensure_ascii=False)}"
            yield Finding(("topics", table, name), what, "keep one of them", name)


def _circles(table: str, stated: Mapping[str, str], end: Any) -> Iterator[Finding]:
    links = {end(name): end(other) for name, other in stated.items()}
    told: set[str] = set()
    for name in stated:
        way = _follow(links, end(name))
        if links.get(way[-1]) == way[0] and way[0] not in told:
            told.update(way)
            shown = " > ".join([*way, way[0]])
            todo = "remove one of the lines; case and white space are no difference"
            yield Finding(("topics", table, name), f"a topic is its own {table}", todo, shown)


def _slug_conflicts(file: File) -> Iterator[Finding]:
    feeds = {feed.slug for feed in file.feed}
    old = {one.rstrip("/") for feed in file.feed for one in feed.moved_from}
    known: set[str] = set()
    for name, slug in file.topics.slugs.items():
        path = ("topics", "slugs", name)
        if slug in feeds:
            yield Finding(path, "the slug is that of a [[feed]]", "choose another, or remove the line", slug, True)
        elif slug in old:
            yield Finding(path, "the slug is an old address of a [[feed]]", "choose another", slug, True)
        elif slug in known:
            yield Finding(path, "the slug is given twice", "choose another", slug, True)
        known.add(slug)


class Mention(NamedTuple):
    """A place of the config that names a topic; `spelling`: only the very name, as another spelling of it."""

    name: str
    line: int
    column: int
    spelling: bool


def find_mentions(text: str) -> Iterator[Mention]:
    """Where a valid config names topics, in rules and in tables."""
    data = tomllib.loads(text)
    locator = Locator(text)
    for path, name, at_value in _mentions(data):
        spelling = path[1] == "alias" and not at_value
        yield Mention(name, *locator.find(path, value=at_value), spelling)


def find_feeds(text: str) -> Iterator[tuple[str, int, int]]:
    """The slugs of the feeds of a valid config, each with its line and column."""
    locator = Locator(text)
    for index, feed in enumerate(tomllib.loads(text).get("feed", ())):
        yield feed["slug"], *locator.find(("feed", index, "slug"), value=True)


def _mentions(data: dict[str, Any]) -> Iterator[tuple[KeyPath, str, bool]]:
    topics = data.get("topics", {})
    for table in _TABLES:
        for name, value in topics.get(table, {}).items():
            yield ("topics", table, name), name, False
            if table in ("alias", "parent"):
                yield ("topics", table, name), value, True
    for index, feed in enumerate(data.get("feed", ())):
        for test, names in feed.get("topics", {}).items():
            for number, name in enumerate(names):
                yield ("feed", index, "topics", test, number), name, True


def can_pin(name: str) -> bool:
    """Whether the config can name a topic like this."""
    try:
        need_text(name)
    except BadValueError:
        return False
    return True


def toml_text(text: str) -> str:
    """The text, which holds nothing that `need_text` refuses, as TOML writes it: then a JSON string is one of TOML."""
    return json.dumps(text, ensure_ascii=False)
