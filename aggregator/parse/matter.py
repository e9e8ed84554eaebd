"""What the readers of YAML, TOML and JSON share: keys, values with their places, limits, errors.

Only the keys that are asked for are ever made into values: what is not public leaves no reader, not in an error either.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self


class FrontMatterError(Exception):
    """The front matter cannot be used. `line` and `column` count from 1.

    `unclosed`: the end is missing, which may still come. `key` is the wanted key that is to blame, if it is one.
    """

    def __init__(
        self, line: int, column: int, what: str, todo: str, *, unclosed: bool = False, key: str | None = None
    ) -> None:
        super().__init__(what)
        self.line, self.column, self.what, self.todo = line, column, what, todo
        self.unclosed, self.key = unclosed, key


MAX_PLAIN_KEYS = 100
"""Keys of a map that is read quickly."""


class Scalar(str):
    """A value that is not text, as the file spells it; `value` is what it means (a bool, number, date or None)."""

    __slots__ = ("value",)
    value: object

    def __new__(cls, spelling: str, value: object) -> Self:
        made = super().__new__(cls, spelling)
        made.value = value
        return made


class Opaque:
    """What stands for a value that cannot be made, such as that of a YAML tag that is not known."""


class Value(NamedTuple):
    """A top-level value and where it begins: texts are str, other scalars Scalar, the rest dicts and lists of them.

    Keys of dicts are as the file spells them.
    """

    value: Any
    line: int
    column: int


class Limits(NamedTuple):
    """How deep front matter may nest, and how many values it may hold with aliases written out."""

    depth: int
    nodes: int


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Where a key stands that nothing reads, but that looks like `meant`, which is not there. It is never named."""

    meant: str
    line: int
    column: int


class Wanted:
    """The top-level keys that are asked for; with `fold`, in whatever case a file spells them."""

    def __init__(self, keys: Iterable[str], *, fold: bool) -> None:
        self.fold = fold
        self.names = {self.plain(key): key for key in keys}
        """The keys as they are asked for, by how they compare."""
        self._asked = frozenset(self.names.values())

    def plain(self, key: str) -> str:
        """How `key` compares with others."""
        return key.lower() if self.fold else key

    def names_of(self, keys: tuple[object, ...]) -> tuple[str, ...] | None:
        """For each of the keys of a map the name it is asked for by, or an empty string; None if there is something to
        say about one, or they are not as many texts."""
        return _names_of(self, keys) if len(keys) <= MAX_PLAIN_KEYS else None

    def near(self, key: str) -> str | None:
        """The key that was probably meant by one that is not asked for."""
        return _near_key(key, self._asked)


class Matter:
    """What one file says in its front matter: `values` by the keys asked for, and `misses`, keys that are nearly one.

    Readers fill it; `line` and `column` count from 1. Values that are `bare` have neither places nor spellings: what is
    not text is a bool, an int, a float or None.
    """

    def __init__(self, wanted: Wanted, *, bare: bool = False) -> None:
        self.values: dict[str, Value] = {}
        self.bare = bare
        self._wanted = wanted
        self._misses: list[NearMiss] = []

    @property
    def misses(self) -> list[NearMiss]:
        """Where keys stand that may be misspelt, less those whose right spelling is there too."""
        return [miss for miss in self._misses if miss.meant not in self.values]

    def asked(self, key: str) -> str | None:
        """The name that `key` is asked for by, if it is."""
        return self._wanted.names.get(self._wanted.plain(key))

    def miss(self, meant: str, line: int, column: int) -> None:
        """Notes a key that is not asked for and nearly one that is."""
        self._misses.append(NearMiss(meant, line, column))

    def twice(self, key: str, line: int, column: int) -> FrontMatterError:
        """The refusal of a key that stands twice; it is named only if it is asked for."""
        known = self.asked(key)
        what = f"the key '{known}' stands twice" if known else "a key stands twice"
        return FrontMatterError(line, column, what, "keep one of them", key=known)

    def plain(self, key: str) -> str:
        """How `key` compares with others."""
        return self._wanted.plain(key)


def too_deep(line: int, column: int) -> FrontMatterError:
    """The refusal of front matter that nests deeper than the limit."""
    return FrontMatterError(line, column, "front matter nests too deep", "flatten it or raise max_depth")


def too_much(line: int, column: int) -> FrontMatterError:
    """The refusal of front matter with more values than the limit."""
    return FrontMatterError(line, column, "front matter holds too much", "cut it or raise max_nodes")


class Lines:
    """Line and column of an offset in the front matter `text`, which begins at `first_line` of its file."""

    def __init__(self, text: str, first_line: int) -> None:
        self._text, self._first = text, first_line

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1."""
        return self._first + self._text.count("\n", 0, offset), offset - self._text.rfind("\n", 0, offset)


@lru_cache(maxsize=256)  # files have few sets of keys between them
def _names_of(wanted: Wanted, keys: tuple[object, ...]) -> tuple[str, ...] | None:
    texts = [key for key in keys if isinstance(key, str)]
    names = tuple(wanted.names.get(wanted.plain(key), "") for key in texts)
    meant = (wanted.near(key) for key, name in zip(texts, names, strict=True) if not name)
    if len(set(map(wanted.plain, texts))) < len(keys) or any(one and one not in names for one in meant):
        return None
    return names


@lru_cache(maxsize=1024)
def _near_key(key: str, keys: frozenset[str]) -> str | None:
    """The key that was probably meant: the same but for case, `-` and `_`, or but for a letter or so."""
    plain = {_plain_key(one): one for one in sorted(keys)}
    near = difflib.get_close_matches(_plain_key(key[:40]), plain, n=1, cutoff=0.87)
    return plain[near[0]] if near else None


def _plain_key(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "")
