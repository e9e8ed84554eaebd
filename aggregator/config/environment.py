"""Overrides from the environment: `AGGREGATOR_OUTPUT__LIMIT=30` is `limit = 30` in `[output]`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from aggregator.config.schema import describe
from aggregator.config.toml_positions import KeyPath
from aggregator.problems import Problem

_PREFIX = "AGGREGATOR_"


def apply_environment(data: dict[str, Any], env: Mapping[str, str]) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Put the overrides into `data`; the variable of each key that has one, and the variables that fit no key.

    Variables without a double underscore are not overrides.
    """
    overrides = sorted(name for name in env if name.startswith(_PREFIX) and "__" in name)
    known = _variables() if overrides else {}
    variables: dict[KeyPath, str] = {}
    problems = []
    for name in overrides:
        if name not in known:
            problems.append(Problem(name, 0, 0, "unknown variable", hint=_nearest(name, known)))
            continue
        table, key = known[name]
        target = data.setdefault(table, {})
        if isinstance(target, list):
            if len(target) != 1:
                problems.append(Problem(name, 0, 0, f"there is not one [[{table}]]", hint="set it in the file"))
                continue
            target = target[0]
        if isinstance(target, dict):  # otherwise the file itself is wrong, and said to be
            target[key] = _read(env[name], describe((table, key)))
            variables[table, key] = name
    return variables, problems


def _variables() -> dict[str, tuple[str, str]]:
    """Every variable and its key. Not those of [[feed]]: nothing says which one is meant."""
    return {
        f"{_PREFIX}{table}__{key}".upper(): (table, key)
        for table in describe(())["properties"]
        if table != "feed"
        for key in describe((table,))["properties"]
    }


def _nearest(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown variable. The prefix, which all have, makes none of them nearer."""
    if near := get_close_matches(name.removeprefix(_PREFIX), [other.removeprefix(_PREFIX) for other in known], n=1):
        return f"did you mean '{_PREFIX}{near[0]}'?"
    return f"write {_PREFIX}<TABLE>__<KEY> with a table and a key of the config"


def _read(text: str, known: dict[str, Any]) -> Any:
    """The text itself where the key wants one, else the TOML value that it spells, if it spells one."""
    options = known.get("anyOf", [known])
    if all(option.get("type") == "string" for option in options):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # also what int() says of a number with thousands of digits
        return text
