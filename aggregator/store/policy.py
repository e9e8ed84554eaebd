"""What windows were cut by last, kept in the store, so that another config can be compared with what is shown."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from aggregator.model import FeedPolicy, FeedSpec, Rule
from aggregator.store.writer import read_meta, span_us, write_meta

KEY = "policy"
_SPAN = "us"
_KEPT_ELSEWHERE = ("rule", "specs", "tables")


def keep_policy(connection: Connection, policy: FeedPolicy) -> None:
    """Keeps what windows are cut by from now on. Rules are not in it: they are kept with
    their feeds; nor are tables of topics."""
    specs = {slug: _plain(spec) for slug, spec in policy.specs.items()}
    write_meta(connection, KEY, json.dumps(_plain(policy) | {"specs": specs}))


def kept_policy(connection: Connection, default: FeedPolicy) -> FeedPolicy:
    """What windows were cut by last, without rules; `default` where the store does not say it as this version does."""
    try:
        kept = json.loads(read_meta(connection, KEY) or "")
        specs = {slug: FeedSpec(**_typed(spec), rule=Rule()) for slug, spec in kept.pop("specs").items()}
        return replace(FeedPolicy(**_typed(kept)), specs=specs)
    except (ValueError, TypeError, KeyError, AttributeError):
        return default


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a policy or a feed, as JSON can hold them."""
    told = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in _KEPT_ELSEWHERE}
    return {name: {_SPAN: span_us(one)} if isinstance(one, timedelta) else one for name, one in told.items()}


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields again."""
    return {name: _typed_value(value) for name, value in plain.items()}


def _typed_value(value: Any) -> Any:
    if isinstance(value, dict):
        return timedelta(microseconds=value[_SPAN])
    return tuple(value) if isinstance(value, list) else value
