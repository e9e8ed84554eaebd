"""Messages for an invalid config: where, what, which value, hint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aggregator.config.schema import TABLE_TAG, TEXT_TAG, describe
from aggregator.problems import Problem
from aggregator.toml_positions import KeyPath, Locator, explain_error

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_KEY_TAG = "[key]"  # pydantic's marker for an invalid key of a dict
_NOT_KEYS = {TABLE_TAG, TEXT_TAG, _KEY_TAG}

# pydantic's kind of error: what is wrong, hint
_MESSAGES = {
    "string_type": ("is not a text", "write it in quotes"),
    "bool_type": ("is not true or false", "write true or false, without quotes"),
    "int_type": ("is not a whole number{limits}", "write a number, such as {example}"),
    "float_type": ("is not a number{limits}", "write a number, such as {example}"),
    "finite_number": ("is not a number{limits}", "write a number, such as {example}"),
    "greater_than_equal": ("is not a {number}{limits}", "write a number, such as {example}"),
    "less_than_equal": ("is not a {number}{limits}", "write a number, such as {example}"),
    "literal_error": ("is not known", "use {expected}"),
    "tuple_type": ("is not a list", "write a list, such as {example}"),
    "model_type": ("is not a table", "write its keys below a line [{table}]"),
    "dict_type": ("is not a table", "write its keys below a line [{table}]"),
    "missing": ("is missing", "add a line such as {key} = {example}"),
}
_TOPIC_NOUNS = {"slugs": "slug", "alias": "topic", "parent": "parent", "titles": "title", "descriptions": "description"}
MAX_HINT = 100
"""Characters of a text that a hint repeats."""
_EXAMPLES = {"topics": ["AI"], "text": ["AI"], "language": ["en"], "provider": ["Example News"]}
_NOT_ARRAY = ("is not an array of tables", "write its keys below a line [[{table}]]")  # tuples at the top are tables

SYNONYMS = {
    "base_url": "url link address baseurl root",
    "content": "body full full_text fulltext",
    "description": "summary subtitle about",
    "duplicates": "dedupe deduplicate dedup unique merge",
    "every": "interval frequency period",
    "exclude": "ignore ignored skip",
    "host": "address bind listen interface",
    "include": "pattern patterns glob globs files extensions",
    "language": "lang locale",
    "level": "verbosity severity loglevel log_level",
    "limit": "max count size entries items max_entries max_items length",
    "log": "logging logs",
    "max_age": "age days newer_than since",
    "min_heat": "heat popularity",
    "min_quality": "quality score rating",
    "moved_from": "alias aliases redirect redirects redirect_from old old_slugs",
    "order": "sort sort_by sorting order_by",
    "path": "folder dir directory location",
    "per_provider": "per_source max_per_provider",
    "provider": "providers source sources author authors publisher",
    "records": "record source sources input content incoming",
    "serve": "server http web",
    "slug": "id name path",
    "store": "database db storage sqlite postgres postgresql",
    "text": "words word keyword keywords phrase phrases contains match search query",
    "timezone": "tz zone time_zone",
    "title": "name heading",
    "topics": "tags tag labels",
    "url": "dsn database path file connection",
    "workers": "threads processes jobs",
}
"""What people write instead of a key."""


class KeyProblem(NamedTuple):
    """A problem of a key. `at_value`: its position is where the value is, not the key."""

    path: KeyPath
    what: str
    hint: str
    value: str | None = None
    at_value: bool = False
    level: Literal["error", "warning"] = "error"


def findings_of(error: ValidationError) -> list[KeyProblem]:
    """The findings of a pydantic error."""
    return [_finding(details) for details in error.errors(include_url=False)]


def place_findings(
    findings: Iterable[KeyProblem], *, file: str, locator: Locator, variables: Mapping[KeyPath, str]
) -> list[Problem]:
    """The findings as problems of the file, or of the variable that set the key, in the order of the file."""
    problems = []
    for path, what, hint, value, at_value, level in findings:
        variable = variables.get(tuple(part for part in path if isinstance(part, str))[:2])
        line, column = (0, 0) if variable else locator.find(path, value=at_value)
        problems.append(Problem(variable or file, line, column, what, value, hint, level))
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def syntax_problem(error: ValueError, *, file: str, text: str) -> Problem:
    """The problem of a text that `tomllib` refuses. It shows no value, because that may be secret."""
    fault = explain_error(error, text)
    return Problem(file, fault.line, fault.column, fault.what, None, fault.hint)


def _suggestion(path: KeyPath, name: str) -> str:
    """The hint for an unknown key: its table, a known key of the same meaning, the nearest one, or all of them."""
    known = list(describe(path[:-1])["properties"])
    plain = name.lower().replace("-", "_")
    same = [key for key in known if plain in SYNONYMS.get(key, "").split()]
    tables = [table for table in describe(()).get("properties", ()) if plain in describe((table, 0))["properties"]]
    if above := _above(path):
        return above
    if tables and not same:
        return f"write it below {' or '.join('[[feed]]' if table == 'feed' else f'[{table}]' for table in tables)}"
    if near := same or get_close_matches(plain, known, n=1):
        return f"did you mean '{near[0]}'?"
    return "known here: " + ", ".join(known)


def _above(path: KeyPath) -> str:
    """The hint for a key below the header of a table that is inside its own one; empty for another key."""
    outer = describe(path[:-2]).get("properties", {}) if path[:-2] and isinstance(path[-2], str) else {}
    return f"write it above [{_table(path[:-1])}]" if path[-1] in outer else ""


def _table(path: KeyPath) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _finding(details: ErrorDetails) -> KeyProblem:
    path = tuple(part for part in details["loc"] if part not in _NOT_KEYS)
    name = next(part for part in reversed(path) if isinstance(part, str))
    kind = details["type"]
    if kind == "extra_forbidden":
        return KeyProblem(path, "unknown key", _suggestion(path, name), name)
    what, hint = _message(details, path, name)
    is_key = details["loc"][-1] == _KEY_TAG
    at_key = kind == "missing" or is_key
    subject = f"'{name}'"
    if path[0] == "topics" and len(path) == len(("topics", "slugs", name)):  # the key is a topic, not what is wrong
        subject = f"the {_TOPIC_NOUNS[str(path[1])]} of '{name}'"
        if is_key and not name.strip():
            subject, hint = "a topic", "write its name, or remove the line"
    if is_key or kind == "string_type":
        hint = _above(path) or hint
    return KeyProblem(path, f"{subject} {what}", hint, None if at_key else _shown(path, details["input"]), not at_key)


def _message(details: ErrorDetails, path: KeyPath, name: str) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return context["error"].what, context["error"].hint
    what, hint = _NOT_ARRAY if kind == "tuple_type" and len(path) == 1 else _MESSAGES.get(kind, ("is not valid", ""))
    schema = describe(path)
    if kind == "model_type" and "any" in schema.get("properties", {}):
        return what, f"write {name} = {{ any = {_toml(_texts(details['input']) or _EXAMPLES.get(name, ['…']))} }}"
    if kind == "tuple_type" and isinstance(schema.get("examples", [None])[0], str):
        what, hint = "is neither a text nor a list of texts", "write it in quotes, such as {example}"
    terms = {
        "key": name,
        "table": _table(path),
        "number": "whole number" if schema.get("type") == "integer" else "number",
        "limits": _limits(schema),
        "example": _toml(schema.get("examples", [schema.get("default")])[0]),
        "expected": context.get("expected", ""),
    }
    return what.format_map(terms), hint.format_map(terms)


def _texts(value: Any) -> list[str]:
    """The texts of a value that can be a part of a hint."""
    listed = value if isinstance(value, list) else [value]
    return [text for text in listed if isinstance(text, str) and text.strip() and len(text) <= MAX_HINT]


def _limits(schema: dict[str, Any]) -> str:
    if "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    return f" of at least {schema['minimum']}" if "minimum" in schema else ""


def _shown(path: KeyPath, value: Any) -> str | None:
    """The value for a message; None if it may contain a secret (store URLs, URLs with a user, tables)."""
    text = value if isinstance(value, str) else _toml(value)
    if path[0] == "store" or isinstance(value, dict) or ("://" in text and "@" in text):
        return None
    return text


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
