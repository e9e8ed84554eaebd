"""Front matter: the text of a file -> its keys with their places, and its body.

The home of python-frontmatter and PyYAML. Only the keys that are asked for are ever made into values: what is not
public does not leave this module, not in an error either.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import frontmatter
import yaml
from frontmatter.default_handlers import BaseHandler

_OPENING = re.compile(r"---[ \t]*(?=\n|\Z)")
_CLOSING = re.compile(r"\n---[ \t]*(?=\n|\Z)")
_PREFIX = re.compile(r"^[ \t?:-]+", re.MULTILINE)
_OTHER_BREAK = re.compile("[\x85\u2028\u2029]")
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&\S", re.MULTILINE)
_SAYINGS = (
    (
        "mapping values are not allowed",
        "a ':' stands where no key can be",
        "put the value in quotes, or mend the indentation",
    ),
    ("block sequence entries are not allowed", "a '-' stands where no list can begin", "put the list on its own lines"),
    ("could not find expected ':'", "a key without its ':'", "write 'key: value'"),
    ("found unexpected end of stream", "a quote that is never closed", "close the quote"),
    ("did not find expected <document start>", "a text before or after the keys", "indent it or put it in quotes"),
    ("did not find expected key", "a line that is no key here", "check its indentation and quotes"),
    ("did not find expected", "a bracket, a comma or a dash is missing", "check brackets and indentation"),
    ("found character that cannot start", "a tab or a sign that can begin no value", "use spaces; quote the value"),
    ("found character '\\t'", "a tab or a sign that can begin no value", "use spaces; quote the value"),
    ("found unknown escape character", "a backslash that means nothing in double quotes", "use single quotes"),
    ("found invalid Unicode character", "an escape that names no character", "write the character itself"),
    ("found undefined alias", "an alias to no anchor", "put the value in quotes"),
    ("control characters are not allowed", "a control character", "remove it"),
)


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


class Scalar(str):
    """A value that is not text, as the file spells it; `value` is what it means (a bool, number, date or None)."""

    __slots__ = ("value",)
    value: object

    def __new__(cls, spelling: str, value: object) -> Self:
        made = super().__new__(cls, spelling)
        made.value = value
        return made


class Opaque:
    """What stands for a value that YAML cannot make: a tag that is not known, an alias to what holds it."""


@dataclass(frozen=True, slots=True)
class Value:
    """A top-level value and where it begins: texts are str, other scalars Scalar, the rest dicts and lists of them.

    Keys of dicts are as the file spells them.
    """

    value: Any
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How deep front matter may nest, and how many values it may hold with aliases written out."""

    depth: int
    nodes: int


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Where a key stands that nothing reads, but that looks like `meant`, which is not there. It is never named."""

    meant: str
    line: int
    column: int


def read_front_matter(text: str, keys: frozenset[str], limits: Limits) -> tuple[dict[str, Value], list[NearMiss], str]:
    """The `keys` that the front matter of `text` has, keys that may be misspelt, and the body. Raises
    FrontMatterError."""
    handler = _YamlHandler(keys, limits, _leading_lines(text))
    values, body = frontmatter.parse(text, handler=handler)
    return values, handler.misses, body  # type: ignore[return-value]  # the handler decides what the values are


class _YamlHandler(BaseHandler):
    """Splits at exact fences, refuses what the default handler silently takes for no front matter."""

    def __init__(self, keys: frozenset[str], limits: Limits, skipped: int) -> None:
        self._keys, self._limits = keys, limits
        self._first_line = skipped + 2
        self.misses: list[NearMiss] = []

    def split(self, text: str) -> tuple[str, str]:
        """The front matter and the body; errors are never ValueError, which the library swallows."""
        opening = _OPENING.match(text)
        if opening is None:
            if text.startswith(("+++", "{")):
                what, todo = "front matter that is not YAML", "write it as YAML between two lines '---'"
                raise FrontMatterError(self._first_line - 1, 1, what, todo)
            cut = "\n" not in text and "---".startswith(text[:3].rstrip())
            raise FrontMatterError(
                self._first_line - 1, 1, "no front matter", "begin the file with a line '---'", unclosed=cut
            )
        closing = _CLOSING.search(text, opening.end())
        if closing is None:
            raise FrontMatterError(
                self._first_line - 1, 1, "front matter without an end", "close it with a line '---'", unclosed=True
            )
        return text[opening.end() + 1 : closing.start() + 1], text[closing.end() + 1 :]

    def load(self, fm: str) -> dict[str, Value]:
        """The wanted keys of the YAML map `fm`."""
        loader = None
        try:
            _check_limits(fm, self._limits, self._first_line)
            loader = _Loader(fm)
            root = loader.get_single_node()
            return {} if root is None else self._wanted(loader, root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (-1, 0)
            raise self._refusal(line, column, error.problem or "") from None
        except yaml.reader.ReaderError as error:
            line = fm.encode().count(b"\n", 0, error.position)
            raise self._refusal(line, 0, "control characters are not allowed") from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
            raise self._refusal(-1, 0, "") from None
        finally:
            if loader is not None:
                loader.dispose()

    def _wanted(self, loader: _Loader, root: yaml.Node) -> dict[str, Value]:
        if not isinstance(root, yaml.MappingNode):
            raise FrontMatterError(self._first_line, 1, "front matter is not a map of keys", "write 'key: value' lines")
        self._refuse_twice(root)
        loader.flatten_mapping(root)
        values = {}
        for key, node in root.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in self._keys:
                try:
                    value = _make_value(loader, node)
                except (yaml.constructor.ConstructorError, RecursionError):
                    value = Opaque()
                mark = node.start_mark
                values[key.value] = Value(value, self._first_line + mark.line, mark.column + 1)
            elif meant := _near_key(key.value, self._keys):
                mark = key.start_mark
                self.misses.append(NearMiss(meant, self._first_line + mark.line, mark.column + 1))
        self.misses = [miss for miss in self.misses if miss.meant not in values]
        return values

    def _refuse_twice(self, root: yaml.MappingNode) -> None:
        """YAML 1.2 3.2.1.1: keys MUST be unique; the loader takes the last one in silence."""
        seen = set()
        for key, _ in root.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    known = key.value if key.value in self._keys else None
                    what = f"the key '{known}' stands twice" if known else "a key stands twice"
                    line, column = self._first_line + key.start_mark.line, key.start_mark.column + 1
                    raise FrontMatterError(line, column, what, "keep one of them", key=known)
                seen.add(key.value)

    def _refusal(self, line: int, column: int, problem: str) -> FrontMatterError:
        known = ((what, todo) for start, what, todo in _SAYINGS if start in problem)
        what, todo = next(known, ("it cannot be read", "check it with a YAML linter"))
        if line < 0:
            return FrontMatterError(self._first_line, 1, f"front matter is not valid YAML: {what}", todo)
        return FrontMatterError(self._first_line + line, column + 1, f"front matter is not valid YAML: {what}", todo)


def _check_limits(fm: str, limits: Limits, first_line: int) -> None:
    """Refuses what nests too deep or holds too much, before any recursion meets it.

    The parser's events come one by one without recursion. Most files cannot pass the limits by their look alone and are
    not counted: two levels take a bracket or a column before the first word, and no value is without a sign of its own.
    """
    brackets = fm.count("[") + fm.count("{")
    columns = max(map(len, _PREFIX.findall(fm)), default=0)
    signs = len(fm) if 2 * len(fm) <= limits.nodes else brackets + sum(map(fm.count, ",:?-\n"))
    small = 2 * (brackets + columns) + 2 <= limits.depth and 2 * signs + 2 <= limits.nodes
    plain = not ("&" in fm and _ANCHOR.search(fm)) and (fm.isascii() or not _OTHER_BREAK.search(fm))
    if small and plain:
        return
    try:
        _count_nodes(yaml.parse(fm, _Loader), limits, first_line)
    except yaml.YAMLError:
        return  # the loader meets it again and says where


def _count_nodes(events: Iterable[yaml.Event], limits: Limits, first_line: int) -> None:
    total = 0
    open_nodes: list[tuple[str, int]] = []  # anchor or '', nodes before it
    weights: dict[str, int] = {}
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            total += weights.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor or "", total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                weights[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            weights.pop(event.anchor or "", None)
        if len(open_nodes) > limits.depth:
            what, todo = "front matter nests too deep", "flatten it or raise max_depth"
        elif total > limits.nodes:
            what, todo = "front matter holds too much", "cut it or raise max_nodes"
        else:
            continue
        line, column = (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)
        raise FrontMatterError(first_line + line, column + 1, what, todo)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C when the wheel has it
    """The safe loader, with a quicker answer to what a scalar is."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """The tag of a node that states none."""
        if kind is yaml.ScalarNode:
            if implicit[0]:
                for tag, pattern in self.yaml_implicit_resolvers.get(value[:1], ()):
                    if pattern.match(value):
                        return str(tag)
            return _TEXT
        return _MAP if kind is yaml.MappingNode else _LIST


_TEXT, _MAP, _LIST = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_SPELLED = frozenset({_TEXT, "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"})  # '=' and '<<' are texts here
_MAKERS = {
    f"tag:yaml.org,2002:{name}": getattr(yaml.SafeLoader, f"construct_yaml_{name}")
    for name in ("null", "bool", "int", "float", "timestamp")
}


def _make_value(loader: _Loader, node: yaml.Node) -> Any:
    """What `node` holds, every scalar that is not text with its spelling. Raises ConstructorError, RecursionError."""
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.tag in _SPELLED else _make_scalar(loader, node)
    if node.tag == _LIST and isinstance(node, yaml.SequenceNode):
        return [_make_value(loader, item) for item in node.value]
    if node.tag == _MAP and isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        pairs = ((key.value, item) for key, item in node.value if isinstance(key, yaml.ScalarNode))
        return {key: _make_value(loader, item) for key, item in pairs}
    return Opaque()


def _make_scalar(loader: _Loader, node: yaml.ScalarNode) -> str | Opaque:
    make = _MAKERS.get(node.tag)
    if make is None:
        return Opaque()
    try:
        return Scalar(node.value, make(loader, node))
    except (ValueError, LookupError, AttributeError, OverflowError):
        return str(node.value)  # 2020-02-30, '!!bool maybe', an int of 5,000 digits: such a thing is a text


@lru_cache(maxsize=1024)
def _near_key(key: str, keys: frozenset[str]) -> str | None:
    """The key that was probably meant: the same but for case, `-` and `_`, or but for a letter or so."""
    plain = {_plain_key(one): one for one in sorted(keys)}
    near = difflib.get_close_matches(_plain_key(key[:40]), plain, n=1, cutoff=0.87)
    return plain[near[0]] if near else None


def _plain_key(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "")


def _leading_lines(text: str) -> int:
    """How many lines the library strips from the start of `text`."""
    return text.count("\n", 0, len(text) - len(text.lstrip()))
