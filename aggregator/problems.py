"""A problem of a record or a config: what is wrong, where, and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aggregator.display import visible
from aggregator.paths import unescape_path
from aggregator.settings import Source


def place_problem(sources: Sequence[Source], name: str, problem: Problem) -> Problem:
    """A problem of the source `name` with a path that can be opened from here."""
    root = next((source.root for source in sources if source.name == name), "")
    return replace(problem, path=shown_path(root, problem.path))


def tag_problem(problem: Problem, tag: str) -> Problem:
    """The problem with a word in front of what is wrong, such as `unfinished`."""
    return replace(problem, what=f"{tag}: {problem.what}")


def shown_path(root: str, path: str) -> str:
    """A record's path for people: from the working directory if it is below it."""
    full = os.path.join(root, unescape_path(path)) if path else root
    try:
        near = os.path.relpath(full)
    except ValueError:  # another drive
        return full
    return full if near.startswith("..") else near


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place; `str()` is the line that people read.

    `line` and `column` count from 1; 0 is unknown. `value` is shown only for keys that may be public.
    """

    path: str
    line: int
    column: int
    what: str
    value: str | None = None
    todo: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column or 1}" if self.line else self.path
        text = f"{place}: {self.what}"
        if self.value is not None:
            shown = self.value if len(self.value) <= 80 else self.value[:79] + "…"
            text += f": {shown!r}"
        return visible(f"{text} ({self.todo})" if self.todo else text)
