"""The config in force: what the last cycle published by, kept in the store to compare the next one with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from aggregator.settings import Clause, FeedPolicy, FeedSpec, OutputOptions, Rule
from aggregator.store.session import read_meta, span_us, write_meta
from aggregator.topics import TopicTables

KEY = "policy"
_SPAN = "us"


@dataclass(frozen=True)
class InForce:
    """What decides which feeds there are, what each holds, and which documents it has."""

    policy: FeedPolicy
    options: OutputOptions

    @cached_property
    def text(self) -> str:
        """As the store has it, the same for the same config."""
        return json.dumps(asdict(self), default=_plain, sort_keys=True)


def keep_in_force(connection: Connection, text: str) -> None:
    """Keeps what a cycle published by."""
    write_meta(connection, KEY, text)


def is_in_force(connection: Connection, text: str) -> bool:
    """Whether the last cycle published by this."""
    return read_meta(connection, KEY) == text


def read_in_force(connection: Connection) -> InForce | None:
    """What the last cycle published by; None where the store does not say it as this version does."""
    try:
        kept = json.loads(read_meta(connection, KEY) or "")
        plain, options = kept["policy"], kept["options"]
        specs = {slug: _spec(spec) for slug, spec in plain.pop("specs").items()}
        tables = TopicTables(**plain.pop("tables"))
        policy = replace(FeedPolicy(**_typed(plain)), specs=specs, tables=tables)
        return InForce(policy, OutputOptions(**_typed(options)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    """What JSON has no type for."""
    return {_SPAN: span_us(value)} if isinstance(value, timedelta) else sorted(value)


def _spec(plain: dict[str, Any]) -> FeedSpec:
    rule: dict[str, Any] = plain.pop("rule")
    for name, value in rule.items():
        if isinstance(value, dict):
            rule[name] = Clause(**{test: frozenset(values) for test, values in value.items()})
    return FeedSpec(**_typed(plain), rule=Rule(**rule))


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    """Spans of time and tuples again."""
    return {name: _typed_value(value) for name, value in plain.items()}


def _typed_value(value: Any) -> Any:
    if isinstance(value, dict):
        return timedelta(microseconds=value[_SPAN])
    return tuple(value) if isinstance(value, list) else value
