"""A plan -> the text of `aggregator.toml`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aggregator.config import SCHEMA_NAME, toml_text
from aggregator.moving_in.plan import FeedPlan, Plan, SourcePlan, Stated

_DEFAULT_INCLUDE = ("*.md", "*.markdown")
_COMMENT_COLUMN = 48


def config_text(plan: Plan, site_id: str, folder: Path) -> str:
    """The config, for a file in `folder`."""
    lines = [
        f"#:schema ./{SCHEMA_NAME}",
        f"# The posts of a {plan.system} site, under the links that it gave them; behind a value, its line there.",
        "# Keys that are not here have their defaults; `aggregator schema` describes all of them.",
        "",
        "[site]",
        _line("id", site_id, "every id is made from it: never change it"),
        *(_stated(key, stated) for key, stated in plan.site.items()),
        *(line for source in plan.sources for line in _source(source, plan, folder)),
        "",
        "[output]",
        _stated("limit", plan.limit),
        *(line for feed in plan.feeds for line in _feed(feed, plan)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _source(source: SourcePlan, plan: Plan, folder: Path) -> Iterator[str]:
    path = Path(os.path.relpath(source.path, folder)).as_posix()
    path = f"./{path}" if path.startswith(("~", "$")) else path
    yield ""
    yield "[[records]]" if len(plan.sources) > 1 else "[records]"
    if source.name:
        yield _line("name", source.name, "ids are made from it: never change it")
    yield from _lines(path=path, include=() if source.include == _DEFAULT_INCLUDE else source.include)
    yield from _lines(exclude=source.exclude, preset=plan.preset)
    yield from _lines(default_published=None if source.default_published else False, topics=source.topics)
    yield from _lines(default_topics=source.default_topics, language=source.language, languages=source.languages)
    yield _line("link_template", source.link_template, str(source.place))
    if source.site_url:
        yield _stated("site_url", source.site_url)
    if source.fields:
        yield "[records.fields]"
    for key, stated in source.fields.items():
        yield _stated(key, stated)


def _feed(feed: FeedPlan, plan: Plan) -> Iterator[str]:
    yield ""
    yield "[[feed]]"
    yield from _lines(slug=feed.slug, title=feed.title, description=feed.description)
    for table, values in feed.clauses.items():
        yield f"{table} = {{ any = {_toml(values)} }}"
    limit = None if feed.limit == plan.limit.value else feed.limit
    yield from _lines(content="full" if feed.full else "", limit=limit)
    if feed.moved_from:
        yield _line("moved_from", feed.moved_from, str(feed.place))


def _lines(**values: Any) -> Iterator[str]:
    return (_line(key, value) for key, value in values.items() if value or value is False)


def _stated(key: str, stated: Stated) -> str:
    return _line(key, stated.value, str(stated.place))


def _line(key: str, value: Any, comment: str = "") -> str:
    line = f"{key} = {_toml(value)}"
    return f"{line:<{_COMMENT_COLUMN}} # {comment}" if comment else line


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return toml_text(value)
    return f"[{', '.join(map(_toml, value))}]"
