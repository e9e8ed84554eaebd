"""YAML: the text between two fences -> the keys that are asked for. The home of PyYAML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import yaml

from aggregator.parse.bounds import MAX_DIGITS
from aggregator.parse.front_matter.values import (
    FrontMatterError,
    Limits,
    Matter,
    Opaque,
    Scalar,
    Value,
    Wanted,
    too_deep,
    too_much,
)

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


def read_yaml(fm: str, first_line: int, wanted: Wanted, limits: Limits) -> Matter:
    """The wanted keys of the YAML map `fm`. Raises FrontMatterError."""
    loader = None
    try:
        _check_limits(fm, limits, first_line)
        loader = _Loader(fm)
        root = loader.get_single_node()
        return Matter(wanted) if root is None else _pick(loader, root, first_line, wanted)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (-1, 0)
        raise _refusal(first_line, line, column, error.problem or "") from None
    except yaml.reader.ReaderError as error:
        line = fm.encode().count(b"\n", 0, error.position)
        raise _refusal(first_line, line, 0, "control characters are not allowed") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
        raise _refusal(first_line, -1, 0, "") from None
    finally:
        if loader is not None:
            loader.dispose()


def _pick(loader: _Loader, root: yaml.Node, first_line: int, wanted: Wanted) -> Matter:
    if not isinstance(root, yaml.MappingNode):
        raise FrontMatterError(first_line, 1, "front matter is not a map of keys", "write 'key: value' lines")
    matter = Matter(wanted)
    names = wanted.names  # no calls: this is most of what a record costs beside YAML itself
    _refuse_twice(root, first_line, matter)
    loader.flatten_mapping(root)
    for key, node in root.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if name := names.get(key.value.lower()):
            mark = node.start_mark
            matter.values[name] = Value(_read_value(loader, node), first_line + mark.line, mark.column + 1)
        elif near := wanted.near(key.value):
            mark = key.start_mark
            value = _read_value(loader, node) if near.hiding else None
            matter.miss(near, value, first_line + mark.line, mark.column + 1)
    return matter


def _read_value(loader: _Loader, node: yaml.Node) -> Any:
    try:
        return _make_value(loader, node)
    except (yaml.constructor.ConstructorError, RecursionError):
        return Opaque()


def _refuse_twice(root: yaml.MappingNode, first_line: int, matter: Matter) -> None:
    """YAML 1.2 3.2.1.1: keys MUST be unique; the loader takes the last one in silence."""
    seen = set()
    for key, _ in root.value:
        if isinstance(key, yaml.ScalarNode):
            plain = key.value.lower()
            if plain in seen:
                raise matter.twice(key.value, first_line + key.start_mark.line, key.start_mark.column + 1)
            seen.add(plain)


def _refusal(first_line: int, line: int, column: int, problem: str) -> FrontMatterError:
    """The refusal of what YAML is not; `line` counts from 0, -1 is unknown."""
    known = ((what, todo) for start, what, todo in _SAYINGS if start in problem)
    what, todo = next(known, ("it cannot be read", "check it with a YAML linter"))
    place = (first_line, 1) if line < 0 else (first_line + line, column + 1)
    return FrontMatterError(*place, f"front matter is not valid YAML: {what}", todo)


def _check_limits(fm: str, limits: Limits, first_line: int) -> None:
    """Refuses what nests too deep or holds too much, before any recursion meets it.

    The parser's events come one by one without recursion; most files need not be counted.
    """
    plain = not ("&" in fm and _ANCHOR.search(fm)) and (fm.isascii() or not _OTHER_BREAK.search(fm))
    if plain and within_limits(fm, limits):
        return
    try:
        _count_nodes(yaml.parse(fm, _Loader), limits, first_line)
    except yaml.YAMLError:
        return  # the loader meets it again and says where


def within_limits(fm: str, limits: Limits) -> bool:
    """Whether a text without anchors, of lines that end in LF, cannot pass the limits by its look alone.

    Two levels take a bracket or a column before the first word, and no value is without a sign of its own.
    """
    brackets = fm.count("[") + fm.count("{")
    signs = len(fm) if 2 * len(fm) <= limits.nodes else brackets + sum(map(fm.count, ",:?-\n"))
    columns = (limits.depth - 2) // 2 - brackets
    return columns >= 0 and 2 * signs + 2 <= limits.nodes and not _over_columns(columns).search(f"\n{fm}")


@lru_cache(maxsize=64)
def _over_columns(columns: int) -> re.Pattern[str]:
    """What finds a line with more columns than that before its first word."""
    return re.compile(rf"\n[ \t?:-]{{{columns + 1}}}")


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
        if len(open_nodes) > limits.depth or total > limits.nodes:
            line, column = (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)
            refusal = too_deep if len(open_nodes) > limits.depth else too_much
            raise refusal(first_line + line, column + 1)


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
    if len(node.value) > MAX_DIGITS:
        return str(node.value)
    try:
        return Scalar(node.value, make(loader, node))
    except (ValueError, LookupError, AttributeError, OverflowError):
        return str(node.value)  # 2020-02-30, '!!bool maybe', an int of 5,000 digits: such a thing is a text
