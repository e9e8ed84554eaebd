"""The line of a record in which a problem is, where docs/spec.md#never-public allows to show it.

A line is shown if all of it is known to be public: either its key and its value are in the message anyway, or it begins
with a mapped key, at the top level of the front matter, and has neither a map nor a list in it. Other lines may hold
unknown keys.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from typing import NamedTuple

from aggregator.paths import unescape_path
from aggregator.problems import Problem, visible
from aggregator.settings import Source

MAX_LINE = 400
"""Characters of a line that may be shown."""
WIDTH = 72
"""Columns of the part that is shown."""
_KEY = re.compile(r"(?P<key>[A-Za-z_][\w.-]{0,60}+)[ \t]{0,20}(?P<sign>[:=])(?P<rest>.{0,400})\Z")
_ITEM = re.compile(r"[ \t]{0,100}(?:-[ \t]{1,20})?")
_PRIVATE = re.compile(r"secured|[{\[#&*]|-----", re.IGNORECASE)
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
    lines = _read_lines(source, problem.path)
    if lines is None or len(lines) < problem.line:
        return None
    line = lines[problem.line - 1].rstrip()
    if not 0 < len(line) <= MAX_LINE or problem.column > len(line) + 1:
        return None
    if _is_in_message(line, problem) or _is_public(source, lines[: problem.line - 1], line):
        return _cut(line, problem.column)
    return None


def _read_lines(source: Source, path: str) -> list[str] | None:
    full = os.path.join(source.root, unescape_path(path))
    try:
        descriptor = os.open(full, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > source.max_bytes:
            return None
        return os.read(descriptor, source.max_bytes).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(descriptor)


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
    from aggregator.parse.front_matter import read_front_matter
    from aggregator.parse.front_matter.values import AllowedKeys, FrontMatterError, Limits

    if fence == "+++" and any(line.lstrip().startswith("[") for line in before):
        return False  # a table, whose keys are not of the top level
    if sum(bool(line.strip()) for line in before) == 1:
        return True
    try:
        read_front_matter("\n".join((*before, fence, "")), AllowedKeys(()), Limits(source.max_depth, source.max_nodes))
    except FrontMatterError:
        return False
    return True


def _cut(line: str, column: int) -> Quote:
    """The part of a line around a column, from 1."""
    start = max(0, min(column - 1 - WIDTH // 2, len(line) - WIDTH))
    before, after = visible(line[start : column - 1]), visible(line[column - 1 : start + WIDTH])
    head, tail = "…" if start else "", "…" if start + WIDTH < len(line) else ""
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in head + before)
    return Quote(f"{head}{before}{after}{tail}", " " * columns + "^")
