"""Reads the tables below [topics], and finds contradictions in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from aggregator.config.errors import KeyProblem
from aggregator.config.schema import File, TopicsTable
from aggregator.config.values import BadValueError, check_text
from aggregator.feeds.rules import fold
from aggregator.topic_tables import TopicTables

TABLES = ("slugs", "alias", "parent", "titles", "descriptions")


def read_tables(table: TopicsTable) -> TopicTables:
    """The tables by topic key. Expects tables without conflicts."""
    links = {fold(name): fold(topic) for name, topic in table.alias.items()}
    alias = {key: _chain(links, key)[-1] for key in sorted(links)}

    def by_topic(names: Mapping[str, str]) -> dict[str, str]:
        return {alias.get(fold(name), fold(name)): value for name, value in sorted(names.items())}

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


def find_topic_conflicts(file: File) -> Iterator[KeyProblem]:
    """Topics that appear twice or in a cycle, and slugs that two feeds would have."""
    links = {fold(name): fold(topic) for name, topic in file.topics.alias.items()}

    def end(name: str) -> str:
        return _chain(links, fold(name))[-1]

    yield from _repeats("alias", file.topics.alias, fold)
    yield from _cycles("alias", file.topics.alias, fold)
    for name in TABLES:
        if name != "alias":
            yield from _repeats(name, getattr(file.topics, name), end)
    yield from _cycles("parent", file.topics.parent, end)
    yield from _slug_conflicts(file)


def _chain(links: Mapping[str, str], key: str) -> list[str]:
    """The chain of keys from `key` to its end, or until a cycle closes."""
    chain = [key]
    while (after := links.get(chain[-1])) is not None and after not in chain:
        chain.append(after)
    return chain


def _repeats(table: str, names: Mapping[str, str], end: Callable[[str], str]) -> Iterator[KeyProblem]:
    known: dict[str, str] = {}
    for name in names:
        before = known.setdefault(end(name), name)
        if before != name:
            what = f"[topics.{table}] names this topic twice, also as {toml_text(before)}"
            yield KeyProblem(("topics", table, name), what, "keep one of them", name)


def _cycles(table: str, names: Mapping[str, str], end: Callable[[str], str]) -> Iterator[KeyProblem]:
    links = {end(name): end(other) for name, other in names.items()}
    reported: set[str] = set()
    for name in names:
        chain = _chain(links, end(name))
        if links.get(chain[-1]) == chain[0] and chain[0] not in reported:
            reported.update(chain)
            hint = "remove one of the lines; case and white space are ignored"
            yield KeyProblem(
                ("topics", table, name), f"a topic is its own {table}", hint, " > ".join([*chain, chain[0]])
            )


def _slug_conflicts(file: File) -> Iterator[KeyProblem]:
    feeds = {feed.slug for feed in file.feed}
    old = {path.rstrip("/") for feed in file.feed for path in feed.moved_from}
    known: set[str] = set()
    for name, slug in file.topics.slugs.items():
        path = ("topics", "slugs", name)
        if slug in feeds:
            yield KeyProblem(path, "a [[feed]] has this slug", "choose another, or remove the line", slug, True)
        elif slug in old:
            yield KeyProblem(path, "the slug is an old URL of a [[feed]]", "choose another", slug, True)
        elif slug in known:
            yield KeyProblem(path, "the slug is given twice", "choose another", slug, True)
        known.add(slug)


def can_pin(name: str) -> bool:
    """Whether the config can contain this name of a topic."""
    try:
        check_text(name)
    except BadValueError:
        return False
    return True


def toml_text(text: str) -> str:
    """The text as a TOML string, which is a JSON string but for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
