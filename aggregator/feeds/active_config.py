"""The active config: what the last cycle published by, stored so that the next config can be compared with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from aggregator.settings import Clause, FeedPolicy, FeedSpec, OutputOptions, Rule
from aggregator.store.session import read_meta, span_us, write_meta
from aggregator.topic_tables import TopicTables

_KEY = "policy"
_SPAN = "us"


@dataclass(frozen=True)
class ActiveConfig:
    """All settings that decide which feeds exist, what each shows, and which documents it has."""

    policy: FeedPolicy
    options: OutputOptions

    @cached_property
    def text(self) -> str:
        """As JSON, equal for equal configs."""
        return json.dumps(asdict(self), default=_plain, sort_keys=True)


def store_active(connection: Connection, config: ActiveConfig) -> None:
    """Makes this the active config."""
    write_meta(connection, _KEY, config.text)


def is_active(connection: Connection, config: ActiveConfig) -> bool:
    """Whether the last cycle published by this config."""
    return read_meta(connection, _KEY) == config.text


def read_active(connection: Connection) -> ActiveConfig | None:
    """The config that the last cycle published by; None in a new store, or if another version wrote it."""
    try:
        stored = json.loads(read_meta(connection, _KEY) or "")
        plain, options = stored["policy"], stored["options"]
        specs = {slug: _spec(spec) for slug, spec in plain.pop("specs").items()}
        tables = TopicTables(**plain.pop("tables"))
        policy = replace(FeedPolicy(**_typed(plain)), specs=specs, tables=tables)
        return ActiveConfig(policy, OutputOptions(**_typed(options)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    """The JSON of a span or a set."""
    return {_SPAN: span_us(value)} if isinstance(value, timedelta) else sorted(value)


def _spec(plain: dict[str, Any]) -> FeedSpec:
    rule: dict[str, Any] = plain.pop("rule")
    for name, value in rule.items():
        if isinstance(value, dict):
            rule[name] = Clause(**{test: frozenset(values) for test, values in value.items()})
    return FeedSpec(**_typed(plain), rule=Rule(**rule))


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    """The values, with spans and tuples restored."""
    return {name: _typed_value(value) for name, value in plain.items()}


def _typed_value(value: Any) -> Any:
    if isinstance(value, dict):
        return timedelta(microseconds=value[_SPAN])
    return tuple(value) if isinstance(value, list) else value
