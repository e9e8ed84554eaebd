"""What the readers of YAML, TOML and JSON share: keys, values with positions, limits and errors.

Only mapped keys become values. Unmapped values never leave a reader, not even in an error.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, time
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self

from aggregator.problems import HIDDEN
from aggregator.settings import MAX_PARSED_DEPTH

MAX_PLAIN_KEYS = 100
"""Most keys of a map for the fast path."""
NO_VALUES: tuple[Any, ...] = (None, "", [], {})
"""What a key without a value has."""
MAX_NEAR_KEY = 40
"""Characters of a key that are compared with the mapped keys."""


class FrontMatterError(Exception):
    """The front matter cannot be used. `line` and `column` count from 1."""

    def __init__(
        self,
        line: int,
        column: int,
        what: str,
        hint: str,
        *,
        unclosed: bool = False,
        missing: bool = False,
        key: str | None = None,
    ) -> None:
        super().__init__(what)
        self.line, self.column, self.what, self.hint = line, column, what, hint
        self.unclosed = unclosed  # the end is missing; the file may still be being written
        self.missing = missing  # the file has no front matter at all
        self.key = key  # the mapped key that is wrong, if any

    @classmethod
    def too_deep(cls, line: int, column: int) -> Self:
        """The error of front matter beyond `Limits.depth`."""
        return cls(line, column, "front matter is nested too deeply", "flatten it or raise max_depth")

    @classmethod
    def too_many(cls, line: int, column: int) -> Self:
        """The error of front matter beyond `Limits.nodes`."""
        return cls(line, column, "front matter has too many values", "cut it or raise max_nodes")


class Limits(NamedTuple):
    """How deep front matter may nest, and how many values it may have with aliases expanded."""

    depth: int
    nodes: int


class Scalar(str):
    """The spelling of a value that is not text, with its `value`: a bool, number, date or None."""

    __slots__ = ("value",)
    value: object

    def __new__(cls, spelling: str, value: object) -> Self:
        made = super().__new__(cls, spelling)
        made.value = value
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[str, object]]:
        return type(self), (str(self), self.value)


class Opaque:
    """A placeholder for an unsupported value, such as an unknown YAML tag."""


class Value(NamedTuple):
    """A top-level value and its position, from 1; without positions, 0."""

    value: Any  # str, Scalar, Opaque, or dicts and lists of them; keys of dicts are spelled as in the file
    line: int
    column: int
    file: str = ""  # of the cascade that hands the value down; the position is in it. Empty: the record


class NearMiss(NamedTuple):
    """An unmapped key that is nearly a mapped key. The key itself is never shown, and its value is not either."""

    meant: str | None  # the mapped key that it looks like
    hiding: tuple[str, ...]  # keys one edit away that can hide a record
    unseen: str = ""  # a sign in it that nobody sees
    value: Any = None  # None unless `hiding`
    place: tuple[int, int] = (0, 0)  # line and column


class AllowedKeys:
    """The mapped top-level keys, compared without case. Those of `hiding` can hide a record. Of `others`, which are not
    mapped, it is only known whether they have a value."""

    def __init__(self, keys: Iterable[str], hiding: Iterable[str] = (), others: Iterable[str] = ()) -> None:
        self.names: dict[str, str] = {}  # canonical names by lower case; of several spellings the first
        for key in keys:
            self.names.setdefault(key.lower(), key)
        self._keys = frozenset(self.names.values())
        self._hiding = frozenset(hiding)
        self.others = {key.lower(): key for key in others}

    def canonical_names(self, keys: tuple[object, ...]) -> tuple[str, ...] | None:
        """The canonical name of each key of a map, "" for unmapped keys.

        None if a key is a near miss, a duplicate or not text, or if there are too many: such maps need positions.
        """
        return _canonical_names(self, keys) if len(keys) <= MAX_PLAIN_KEYS else None

    def other_keys(self, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """The spelling and the name of each of the `others` among the keys of a map."""
        return _other_keys(self, keys)

    def near_miss(self, key: str) -> NearMiss | None:
        """The mapped keys that the unmapped `key` nearly is, if any."""
        return _near_miss(key, self._keys, self._hiding)


class FindPlace(Protocol):
    """Finds where front matter states something."""

    def __call__(self, index: int, /, *, of_value: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the key with this number, or of its value."""


class FrontMatter:
    """The parsed front matter: `values` by canonical name of their keys. Filled by the readers."""

    def __init__(self, allowed: AllowedKeys, *, has_positions: bool = True) -> None:
        self.values: dict[str, Value] = {}
        # without positions there are no Scalars either, but plain bools, ints, floats and None
        self.has_positions = has_positions
        self.is_toml = False
        self.others: list[str] = []  # which of `AllowedKeys.others` have a value
        self._allowed = allowed
        self._near_misses: list[NearMiss] = []

    @property
    def near_misses(self) -> list[NearMiss]:
        """The likely typos, without those whose right spelling is present too."""
        if not self._near_misses:
            return self._near_misses
        missing = (
            miss._replace(
                meant=None if miss.meant in self.values else miss.meant,
                hiding=tuple(key for key in miss.hiding if key not in self.values),
            )
            for miss in self._near_misses
        )
        return [miss for miss in missing if miss.meant or miss.hiding]

    def canonical_name(self, key: str) -> str | None:
        """The canonical name of a mapped key."""
        return self._allowed.names.get(key.lower())

    def pick(self, pairs: Sequence[tuple[str, Any]], limits: Limits, place: FindPlace) -> None:
        """Takes what is mapped of parsed keys and values. Raises FrontMatterError."""
        _check_limits(pairs, limits, place)
        self.refuse_repeated((key for key, _ in pairs), place)  # in TOML, [Provider] and [provider] are two tables
        self.take(pairs, make_value, place)

    def refuse_repeated(self, keys: Iterable[str], place: FindPlace) -> None:
        """Raises FrontMatterError for a key that is given twice, in any case."""
        seen: set[str] = set()
        for index, key in enumerate(keys):
            if key.lower() in seen:
                raise self.duplicate_key_error(key, *place(index))
            seen.add(key.lower())

    def take(self, pairs: Iterable[tuple[str, Any]], make: Callable[[Any], Any], place: FindPlace) -> None:
        """Takes the values of mapped keys, which `make` gives, and notes near misses and `others`."""
        for index, (key, stated) in enumerate(pairs):
            folded = key.lower()
            if name := self._allowed.names.get(folded):
                self.values[name] = Value(make(stated), *place(index, of_value=True))
            elif miss := self._allowed.near_miss(key):
                self._near_misses.append(miss._replace(value=make(stated) if miss.hiding else None, place=place(index)))
            if (other := self._allowed.others.get(folded)) and not _is_empty(make(stated)):
                self.others.append(other)

    def duplicate_key_error(self, key: str, line: int, column: int) -> FrontMatterError:
        """The error of a key that is given twice; it is named only if it is mapped."""
        name = self.canonical_name(key)
        what = f"the key '{name}' is given twice" if name else "a key is given twice"
        return FrontMatterError(line, column, what, "keep one of them", key=name)


def _check_limits(pairs: Iterable[tuple[str, Any]], limits: Limits, place: FindPlace) -> None:
    """Raises FrontMatterError at the top-level pair that passes a limit. Keys count as nodes."""
    max_depth = min(limits.depth, MAX_PARSED_DEPTH)
    nodes = 1
    for index, (_, value) in enumerate(pairs):
        nodes, depth, level = nodes + 1, 1, [value]
        while level:
            nodes += len(level)
            if nodes > limits.nodes:
                raise FrontMatterError.too_many(*place(index))
            inner: list[Any] = []
            for item in level:
                if isinstance(item, dict):
                    nodes += len(item)
                    inner.append(item.values())
                elif isinstance(item, list):
                    inner.append(item)
            depth += bool(inner)
            if depth > max_depth:
                raise FrontMatterError.too_deep(*place(index))
            level = [item for items in inner for item in items]


def _is_empty(value: Any) -> bool:
    return (value.value if isinstance(value, Scalar) else value) in NO_VALUES


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


@lru_cache(maxsize=256)  # most files share a few sets of keys; without it, parsing takes a tenth more
def _canonical_names(allowed: AllowedKeys, keys: tuple[object, ...]) -> tuple[str, ...] | None:
    texts = [key for key in keys if isinstance(key, str)]
    names = tuple(allowed.names.get(key.lower(), "") for key in texts)
    misses = (allowed.near_miss(key) for key, name in zip(texts, names, strict=True) if not name)
    has_typo = any(miss and {miss.meant, *miss.hiding}.difference(names, (None,)) for miss in misses)
    return None if has_typo or len({key.lower() for key in texts}) < len(keys) else names


@lru_cache(maxsize=256)  # as above
def _other_keys(allowed: AllowedKeys, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((key, allowed.others[key.lower()]) for key in keys if key.lower() in allowed.others)


def place_at(text: str, first_line: int, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset in a text that begins at `first_line` of its file."""
    return first_line + text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset)


@lru_cache(maxsize=1024)
def _near_miss(key: str, keys: frozenset[str], hiding: frozenset[str]) -> NearMiss | None:
    """Mapped keys that equal `key` except for case, `-` and `_`, or nearly."""
    folded = _fold_key(key[:MAX_NEAR_KEY])
    by_folded = {_fold_key(mapped): mapped for mapped in sorted(keys)}
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.87)
    one_edit_away = tuple(mapped for mapped in sorted(hiding) if _is_one_edit_apart(folded, _fold_key(mapped)))
    if not close and not one_edit_away:
        return None
    return NearMiss(by_folded[close[0]] if close else None, one_edit_away, _unseen(key))


def _unseen(key: str) -> str:
    """A sign in a key that nobody sees, in words; empty without one."""
    if found := HIDDEN.search(key):
        return f"U+{ord(found[0]):04X}"
    return "the blank" if key != key.strip() else ""


def _fold_key(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "")


def _is_one_edit_apart(word: str, other: str) -> bool:
    """True if at most one letter is added, missing, replaced or swapped with its neighbour."""
    if abs(len(word) - len(other)) > 1:
        return False
    same = next((at for at, pair in enumerate(zip(word, other, strict=False)) if pair[0] != pair[1]), None)
    if same is None:  # equal, or one has a letter more at its end
        return True
    rest, other_rest = word[same:], other[same:]
    swapped = rest[1::-1] + rest[2:]
    return other_rest in (rest[1:], swapped) or other_rest[1:] in (rest, rest[1:])
