"""Which files are records: the patterns of `include` and `exclude`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable


class RecordFilter:
    """Calling it with the path of a file below the folder is true for a record, by shell patterns.

    A pattern with a slash matches the whole path, also across slashes; every other pattern matches the name. A file is
    also taken if `takes_name` is true for its name.
    """

    def __init__(
        self, include: tuple[str, ...], exclude: tuple[str, ...] = (), takes_name: Callable[[str], object] | None = None
    ) -> None:
        self._needs_path = any("/" in pattern for pattern in (*include, *exclude))
        self._is_record = _both(_any_pattern(include), _any_pattern(exclude) if exclude else None)
        if takes_name is not None:
            self._is_record = _either(self._is_record, takes_name)

    def __call__(self, path: str) -> object:
        return self._is_record(path if self._needs_path else path[path.rfind("/") + 1 :])

    def of_names(self, folder: str) -> Callable[[str], object]:
        """The same for the names of the files in the folder at this path."""
        if not (self._needs_path and folder):
            return self._is_record
        return lambda name: self._is_record(f"{folder}/{name}")


def _both(is_included: Callable[[str], object], is_excluded: Callable[[str], object] | None) -> Callable[[str], object]:
    if is_excluded is None:
        return is_included
    return lambda path: is_included(path) and not is_excluded(path)


def _either(is_record: Callable[[str], object], takes_name: Callable[[str], object]) -> Callable[[str], object]:
    return lambda path: is_record(path) or takes_name(path[path.rfind("/") + 1 :])


def _any_pattern(patterns: tuple[str, ...]) -> Callable[[str], object]:
    # `*.ext`, the usual pattern, is a suffix test
    if all(pattern[:2] == "*." and not set("*?[/") & set(pattern[1:]) for pattern in patterns):
        suffixes = tuple(pattern[1:] for pattern in patterns)
        return lambda path: path.endswith(suffixes)
    names, paths = (
        re.compile("|".join(fnmatch.translate(pattern.removeprefix("/")) for pattern in kind) or r"(?!)").match
        for kind in (
            [pattern for pattern in patterns if "/" not in pattern],
            [pattern for pattern in patterns if "/" in pattern],
        )
    )
    if all("/" not in pattern for pattern in patterns):
        return lambda path: names(path, path.rfind("/") + 1)
    return lambda path: names(path, path.rfind("/") + 1) or paths(path)
