"""The files of the site that moves here: its config files as one tree, with the place of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aggregator.config.load import read_utf8
from aggregator.errors import ConfigError
from aggregator.parse.front_matter import read_front_matter
from aggregator.parse.front_matter.json import read_json
from aggregator.parse.front_matter.toml import read_toml
from aggregator.parse.front_matter.values import AllowedKeys, FrontMatterError, Limits, Opaque, Scalar
from aggregator.parse.front_matter.yaml import read_yaml, yaml_lines
from aggregator.problems import Problem
from aggregator.toml_positions import Locator

MAX_FILE = 2_000_000
"""Bytes of a config file or template."""
MAX_LISTED = 200_000
"""Most files of a site that are listed."""
_LIMITS = Limits(depth=40, nodes=100_000)
_PAGE_LIMITS = Limits(depth=40, nodes=20_000)
_READERS = {".toml": read_toml, ".yaml": read_yaml, ".yml": read_yaml, ".json": read_json}
ENDINGS = tuple(_READERS)
Keys = tuple[str, ...]
_FENCES = (b"---\n", b"---\r", b"+++\n", b"+++\r")


class Place(NamedTuple):
    """Where a value is stated. The line counts from 1; 0 is unknown."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class _EveryKey(dict[str, str]):
    def get(self, key: str, default: object = None) -> str:  # noqa: ARG002 - the signature of dict.get
        return key


class SiteConfig:
    """The config of a site: the values of all its files, merged, and the place of each. Keys are in lower case if
    `fold_keys`, as Hugo compares them."""

    def __init__(self, *, fold_keys: bool = False) -> None:
        self._fold = fold_keys
        self._values: dict[str, Any] = {}
        self._places: dict[tuple[str, ...], Place] = {}
        self.files: list[Path] = []

    def add_file(self, path: Path, below: tuple[str, ...] = ()) -> None:
        """Merges the values of a file, at the keys `below`; they replace those of files before it. Raises
        ConfigError."""
        text, every_key = read_text(path), AllowedKeys(())
        every_key.names = _EveryKey()
        try:
            front_matter = _READERS[path.suffix](text, 1, every_key, _LIMITS)
        except FrontMatterError as error:
            what = error.what.replace("front matter", "the file")
            hint = "shorten it" if "raise max_" in error.hint else error.hint
            raise ConfigError((Problem(shown_file(path), error.line, error.column, what, None, hint),)) from None
        self.files.append(path)
        values: Any = {key: _plain(value.value) for key, value in front_matter.values.items()}
        for key in reversed(below):
            values = {key: values}
        is_toml, locator = path.suffix == ".toml", Locator(text)
        lines = {} if is_toml else yaml_lines(text)  # JSON too, which is YAML

        def place(stated: Keys) -> Place:
            own = stated[len(below) :]
            found = locator.find(own)[0] if is_toml else lines.get(own, 0)
            line = found or front_matter.values[own[0]].line if own else 0
            return Place(shown_file(path), line)

        self._merge(self._values, values, (), (), place)

    def _merge(
        self,
        known: dict[str, Any],
        new: dict[Any, Any],
        above: Keys,
        above_stated: Keys,
        place: Callable[[Keys], Place],
    ) -> None:
        """Merges the values below the keys `above`, which the file spells as `above_stated`."""
        for stated, value in new.items():
            key = str(stated).lower() if self._fold else str(stated)
            path, path_stated = (*above, key), (*above_stated, str(stated))
            self._places[path] = place(path_stated)
            if isinstance(value, dict):
                inner = known[key] if isinstance(known.get(key), dict) else {}
                known[key] = inner
                self._merge(inner, value, path, path_stated, place)
            else:
                known[key] = value

    def get(self, *path: str) -> Any:
        """The value of a key, nested tables as dicts; None if it is missing."""
        value: Any = self._values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def text(self, *path: str) -> str:
        """The value of a key if it is text or a number, without space around it; else empty."""
        value = self.get(*path)
        is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
        return " ".join(str(value).split()) if is_text else ""

    def table(self, *path: str) -> dict[str, Any]:
        """The table of a key; empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def texts(self, *path: str) -> list[str]:
        """The texts in a list, or one text as a list."""
        return as_texts(self.get(*path))

    def place(self, *path: str) -> Place:
        """Where a key is stated, or the nearest table above it."""
        for size in range(len(path), 0, -1):
            if path[:size] in self._places:
                return self._places[path[:size]]
        return Place(shown_file(self.files[0])) if self.files else Place("")


def as_texts(value: Any) -> list[str]:
    """The texts in a list, or one text as a list."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def shown_file(path: Path) -> str:
    """A path for people: relative to the working folder if that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return min(relative, str(path), key=len)


def read_text(path: Path) -> str:
    """The text of a regular file. Raises ConfigError."""
    return read_utf8(path, MAX_FILE, shown_file(path)).replace("\r\n", "\n").replace("\r", "\n")


def page_values(path: Path, keys: AllowedKeys) -> dict[str, Any]:
    """The values of these keys in the front matter of a page, by their canonical names; empty if it cannot be read."""
    try:
        front_matter, _ = read_front_matter(read_text(path), keys, _PAGE_LIMITS)
    except (FrontMatterError, ConfigError):
        return {}
    return {key: _plain(value.value) for key, value in front_matter.values.items()}


def _plain(value: Any) -> Any:
    """A value of a reader as plain Python: scalars by their meaning, lists and dicts."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, Opaque) else value


def walk_files(root: Path, skipped: frozenset[str] = frozenset()) -> Iterator[str]:
    """The paths of the files below a folder, sorted, POSIX, relative to it. Without names that begin with a dot, names
    in `skipped` and what is behind links. At most MAX_LISTED."""
    left = MAX_LISTED
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in skipped)
        below = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            left -= 1
            if left < 0:
                return
            if name[0] != ".":
                yield name if below == "." else f"{below}/{name}"


def has_front_matter(path: Path) -> bool:
    """Whether a file begins as records do."""
    try:
        if path.is_file():  # a pipe would block
            with path.open("rb") as file:
                return file.read(4) in _FENCES
    except OSError:
        pass
    return False


def endings_of(paths: list[str], root: Path, known: tuple[str, ...]) -> tuple[str, ...]:
    """The endings in `known` of files with front matter; those that records have by default always."""
    rare = {
        os.path.splitext(path)[1]
        for path in paths
        if path.endswith(known) and not path.endswith((".md", ".markdown")) and has_front_matter(root / path)
    }
    return (".md", ".markdown", *sorted(rare))


_TOKEN = re.compile(r":[A-Za-z_]+")


def link_pattern(pattern: str, placeholders: dict[str, str]) -> tuple[str, list[str]]:
    """A permalink of a site as the end of a link template, and the tokens that have no placeholder."""
    unknown: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] not in placeholders:
            unknown.append(match[0])
        return placeholders.get(match[0], match[0])

    return _TOKEN.sub(replace, pattern).lstrip("/"), unknown
