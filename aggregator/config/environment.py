"""Overrides from the environment: `AGGREGATOR_OUTPUT__LIMIT=30` is `limit = 30` in `[output]`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from aggregator.config.schema import describe
from aggregator.problems import Problem
from aggregator.toml_positions import KeyPath

_PREFIX = "AGGREGATOR_"


def apply_environment(data: dict[str, Any], env: Mapping[str, str]) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Writes overrides into `data`. Returns the variable of each overridden key, and problems of unknown variables.

    Variables without a double underscore are not overrides; one that looks like it is a warning.
    """
    names = sorted(name for name in env if name.startswith(_PREFIX) and name != f"{_PREFIX}CONFIG")
    known = _variables() if names else {}
    variables: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for name in names:
        if name not in known:
            problems += _wrong_name(name, known)
            continue
        table, key = known[name]
        target = data.setdefault(table, {})
        if isinstance(target, list):
            if len(target) != 1:
                what = f"the file has {len(target)} tables [[{table}]]"
                problems.append(Problem(name, 0, 0, what, None, "set the key in the file"))
                continue
            target = target[0]
        if isinstance(target, dict):  # otherwise validation reports the file
            target[key] = _read_value(env[name], describe((table, key)))
            variables[table, key] = name
    return variables, problems


def _variables() -> dict[str, tuple[str, str]]:
    """Every variable and its key, except keys of [[feed]], which would be ambiguous."""
    return {
        f"{_PREFIX}{table}__{key}".upper(): (table, key)
        for table in describe(())["properties"]
        if table != "feed"
        for key in describe((table,))["properties"]
    }


def _wrong_name(name: str, known: Iterable[str]) -> Iterator[Problem]:
    """The problem of a variable that sets no key; none if it may be meant for another program."""
    if "__" not in name:
        if likely := next((other for other in known if other.replace("__", "_") == name), None):
            hint = f"did you mean '{likely}'?"
            yield Problem(name, 0, 0, "no variable of the config", None, hint, "warning")
    elif name.startswith(f"{_PREFIX}FEED__"):
        yield Problem(name, 0, 0, "no variable sets a key of [[feed]]", None, "set it in the file")
    else:  # names are compared without their common prefix
        near = get_close_matches(name.removeprefix(_PREFIX), [other.removeprefix(_PREFIX) for other in known], n=1)
        hint = f"did you mean '{_PREFIX}{near[0]}'?" if near else ""
        hint = hint or f"write {_PREFIX}<TABLE>__<KEY> with a table and a key of the config"
        yield Problem(name, 0, 0, "unknown variable", None, hint)


def _read_value(text: str, schema: dict[str, Any]) -> Any:
    """The text for a key with a text, else the TOML value that it spells, if any."""
    options = schema.get("anyOf", [schema])
    if all(option.get("type") == "string" for option in options):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError also for a number with thousands of digits
        return text
