"""What the readers of YAML, TOML and JSON share: keys, values with their places, limits, errors.

Only the keys that are asked for are ever made into values: what is not public leaves no reader, not in an error either.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Container, Iterable
from datetime import date, time
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
MAX_PARSED_DEPTH = 256
"""Levels of a parsed value that recursive functions can handle."""
MAX_NEAR_KEY = 40
"""Characters of a key that is compared with ours."""


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


class Near(NamedTuple):
    """What a key that nothing reads is nearly: `meant` is the key that it looks like, if there is one; `hiding` are the
    keys one edit away that can hide a record."""

    meant: str | None
    hiding: tuple[str, ...]


class NearMiss(NamedTuple):
    """A key that nothing reads and that is nearly one of ours. It is never named, and its value never shown.

    `hiding` are keys that can hide a record, which the record lacks; `value` is for them alone.
    """

    meant: str | None
    hiding: tuple[str, ...]
    value: Any
    line: int
    column: int


class Wanted:
    """The top-level keys that are asked for, in any case; those of `hiding` can hide a record."""

    def __init__(self, keys: Iterable[str], hiding: Iterable[str] = ()) -> None:
        self.names: dict[str, str] = {}
        """The keys as they are asked for, by how they compare; of several spellings the first."""
        for key in keys:
            self.names.setdefault(key.lower(), key)
        self._asked = frozenset(self.names.values())
        self._hiding = frozenset(hiding)

    def names_of(self, keys: tuple[object, ...]) -> tuple[str, ...] | None:
        """For each of the keys of a map the name it is asked for by, or an empty string; None if there is something to
        say about one, or they are not as many texts."""
        return _names_of(self, keys) if len(keys) <= MAX_PLAIN_KEYS else None

    def near(self, key: str) -> Near | None:
        """What a key that is not asked for is nearly, if it is nearly one that is."""
        return _near_key(key, self._asked, self._hiding)


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
        """The keys that may be misspelt, less those whose right spelling is there too."""
        if not self._misses:
            return self._misses
        lacked = (_lacked(miss, self.values) for miss in self._misses)
        return [miss for miss in lacked if miss.meant or miss.hiding]

    def asked(self, key: str) -> str | None:
        """The name that `key` is asked for by, if it is."""
        return self._wanted.names.get(key.lower())

    def miss(self, near: Near, value: Any, line: int, column: int) -> None:
        """Notes a key that is not asked for and nearly one that is."""
        self._misses.append(NearMiss(near.meant, near.hiding, value, line, column))

    def twice(self, key: str, line: int, column: int) -> FrontMatterError:
        """The refusal of a key that stands twice; it is named only if it is asked for."""
        known = self.asked(key)
        what = f"the key '{known}' stands twice" if known else "a key stands twice"
        return FrontMatterError(line, column, what, "keep one of them", key=known)


def too_deep(line: int, column: int) -> FrontMatterError:
    """The refusal of front matter that nests deeper than the limit."""
    return FrontMatterError(line, column, "front matter nests too deep", "flatten it or raise max_depth")


def too_much(line: int, column: int) -> FrontMatterError:
    """The refusal of front matter with more values than the limit."""
    return FrontMatterError(line, column, "front matter holds too much", "cut it or raise max_nodes")


def find_excess(
    pairs: Iterable[tuple[str, Any]], limits: Limits
) -> tuple[int, Callable[[int, int], FrontMatterError]] | None:
    """The number of the top-level pair that passes a limit, and the refusal; None if none does. Keys count as nodes."""
    max_depth = min(limits.depth, MAX_PARSED_DEPTH)
    nodes = 1
    for index, (_, value) in enumerate(pairs):
        nodes, depth, level = nodes + 1, 1, [value]
        while level:
            nodes += len(level)
            if nodes > limits.nodes:
                return index, too_much
            inner: list[Any] = []
            for item in level:
                if isinstance(item, dict):
                    nodes += len(item)
                    inner.append(item.values())
                elif isinstance(item, list):
                    inner.append(item)
            depth += bool(inner)
            if depth > max_depth:
                return index, too_deep
            level = [item for items in inner for item in items]
    return None


def make_value(value: Any) -> Any:
    """A parsed value with every scalar that is not text as a Scalar."""
    if isinstance(value, dict):
        return {key: make_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [make_value(item) for item in value]
    if value is None or isinstance(value, bool):
        return Scalar(json.dumps(value), value)
    if isinstance(value, date | time):
        return Scalar(value.isoformat(), value)
    return _whole_number(value) if isinstance(value, int) else value


def _whole_number(value: int) -> Scalar | Opaque:
    try:
        return Scalar(str(value), value)
    except ValueError:  # thousands of digits, which only a hexadecimal number of TOML can have
        return Opaque()


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
    names = tuple(wanted.names.get(key.lower(), "") for key in texts)
    near = (wanted.near(key) for key, name in zip(texts, names, strict=True) if not name)
    doubtful = any(one and {one.meant, *one.hiding}.difference(names, (None,)) for one in near)
    return None if doubtful or len({key.lower() for key in texts}) < len(keys) else names


def _lacked(miss: NearMiss, values: Container[str | None]) -> NearMiss:
    """The miss less what is there in its right spelling."""
    meant = None if miss.meant in values else miss.meant
    return miss._replace(meant=meant, hiding=tuple(key for key in miss.hiding if key not in values))


@lru_cache(maxsize=1024)
def _near_key(key: str, keys: frozenset[str], hiding: frozenset[str]) -> Near | None:
    """What was probably meant: the same but for case, `-` and `_`, or but for a letter or so."""
    stated = _plain_key(key[:MAX_NEAR_KEY])
    plain = {_plain_key(one): one for one in sorted(keys)}
    near = difflib.get_close_matches(stated, plain, n=1, cutoff=0.87)
    hiding_near = tuple(one for one in sorted(hiding) if _one_edit_apart(stated, _plain_key(one)))
    return Near(plain[near[0]] if near else None, hiding_near) if near or hiding_near else None


def _plain_key(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "")


def _one_edit_apart(one: str, other: str) -> bool:
    """Whether a letter that is added, left out or another, or two that changed places, make one word the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    same = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    if same is None:  # one goes on where the other ends, or they are the same
        return True
    rest, other_rest = one[same:], other[same:]
    swapped = rest[1::-1] + rest[2:]
    return other_rest in (rest[1:], swapped) or other_rest[1:] in (rest, rest[1:])
