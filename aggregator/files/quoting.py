"""The line of a record in which a problem is, where docs/spec.md#never-public allows to show it.

A line is shown if all of it is known to be public: either its key and its value are in the message anyway, or it begins
with a mapped key, at the top level of the front matter, and nothing in it can be another key. Other lines may hold
unknown keys. So may lines with a sign that nobody sees, and lines that only some programs read as one line.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import NamedTuple

from aggregator.paths import read_regular, unescape_path
from aggregator.problems import HIDDEN, Problem, without_user
from aggregator.settings import Source

MAX_LINE = 400
"""Characters of a line that may be shown."""
WIDTH = 72
"""Columns of the part that is shown."""
_KEY = re.compile(r"(?P<key>[A-Za-z_][\w.-]{0,60}+) {0,20}(?P<sign>:(?= |\Z)|=)(?P<rest>.{0,400})\Z")
_ITEM = re.compile(r" {0,100}(?:- {1,20})?")
_PRIVATE = re.compile(r"secured|[{\[#&*=]|-----|:(?!//|(?<=\d:)\d)", re.IGNORECASE)
"""What may begin another key or a value that is not of the key; not the colon of a URL or a time."""
_FENCES = {"---": ":", "+++": "="}


class Quote(NamedTuple):
    """A line, and a line below it with a caret."""

    text: str
    mark: str


def quote_line(source: Source, problem: Problem) -> Quote | None:
    """The line of a problem, whose path is below the folder of the source; None if it may not be shown, if the file
    cannot be read any more, or if it is in a bucket, which would cost a request for each problem."""
    if not problem.line or not problem.column or source.is_bucket:
        return None
    lines = _read_lines(source, problem.path)[: problem.line]
    if len(lines) < problem.line or "\n".join(lines).splitlines() != lines:
        return None  # the parser of YAML, or another program, counts more lines
    *before, whole = lines
    line = whole.rstrip()
    if not 0 < len(line) <= MAX_LINE or problem.column > len(line) + 1 or HIDDEN.search(line):
        return None
    if without_user(line) != line:
        return None
    return _cut(line, problem.column) if _is_in_message(line, problem) or _is_public(source, before, line) else None


def _read_lines(source: Source, path: str) -> list[str]:
    """The lines of a record; none if it cannot be read."""
    from aggregator.parse.front_matter.values import FrontMatterError
    from aggregator.parse.record import decode_text

    try:
        return decode_text(read_regular(os.path.join(source.root, unescape_path(path)), source.max_bytes)).split("\n")
    except (OSError, FrontMatterError):
        return []


def _is_in_message(line: str, problem: Problem) -> bool:
    """Whether the message has all that the line has: a key, which it names in quotes, and the value."""
    item = _ITEM.match(line)
    found = _KEY.match(line, item.end() if item else 0)
    if found is None or problem.value is None or f"'{found['key']}'" not in problem.what:
        return False
    rest = found["rest"].strip()
    return rest == problem.value or (rest[:1] in "\"'" and rest[1:-1] == problem.value and rest[0] == rest[-1])


def _is_public(source: Source, before: list[str], line: str) -> bool:
    """Whether a line holds a mapped key of the top level and nothing else. The lines before it must be whole, so that
    it is not a part of another value."""
    found = _KEY.match(line)
    fence = next((text.strip() for text in before if text.strip()), "")
    if found is None or _FENCES.get(fence) != found["sign"] or _PRIVATE.search(found["rest"]):
        return False
    mapped = {key.lower() for _, keys in source.fields for key in keys}
    return found["key"].lower() in mapped and _is_whole(source, before, fence)


def _is_whole(source: Source, before: list[str], fence: str) -> bool:
    """Whether the lines are front matter that is not closed, at whose top level the next line begins."""
    from aggregator.parse.front_matter import read_front_matter
    from aggregator.parse.front_matter.values import AllowedKeys, FrontMatterError, Limits

    if fence == "+++" and any(line.lstrip().startswith("[") for line in before):
        return False  # a table, whose keys are not of the top level
    text, limits = "\n".join((*before, fence)), Limits(source.max_depth, source.max_nodes)
    try:
        _, body = read_front_matter(text, AllowedKeys(()), limits, dots=source.layout == "jekyll")
    except FrontMatterError:
        return False
    return not body  # else the fence before it has closed the front matter


def _cut(line: str, column: int) -> Quote:
    """The part of a line around a column, from 1."""
    start = max(0, min(column - 1 - WIDTH // 2, len(line) - WIDTH))
    before, after = line[start : column - 1], line[column - 1 : start + WIDTH]
    head, tail = "…" if start else "", "…" if start + WIDTH < len(line) else ""
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in head + before)
    return Quote(f"{head}{before}{after}{tail}", " " * columns + "^")
