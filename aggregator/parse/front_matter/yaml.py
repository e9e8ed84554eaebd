"""YAML front matter -> mapped keys with positions. The home of PyYAML."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import yaml

from aggregator.parse.field_bounds import MAX_DIGITS
from aggregator.parse.front_matter.values import (
    AllowedKeys,
    FrontMatter,
    FrontMatterError,
    Limits,
    Opaque,
    Scalar,
    place_at,
)

_OTHER_BREAK = re.compile("[\x85\u2028\u2029]")
_LINE_END = re.compile("\n")
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&\S", re.MULTILINE)
_SURROGATES = re.compile(r"\\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}")
_QUOTES = ("'", '"')
_CLOSING = {
    yaml.FlowSequenceStartToken: yaml.FlowSequenceEndToken,
    yaml.FlowMappingStartToken: yaml.FlowMappingEndToken,
}
_NO_CHARACTER = "an escape of no character"
_OPEN_QUOTE, _OPEN_BRACKET = "found unexpected end of stream", "found no closing bracket"
# the start of a message of PyYAML -> what is wrong, and what to do
_MESSAGES = (
    ("mapping values are not allowed", "unexpected ':'", "quote the value, or correct the indentation"),
    ("block sequence entries are not allowed", "unexpected '-'", "put the list on its own lines"),
    ("could not find expected ':'", "a key without ':'", "write 'key: value'"),
    (_OPEN_QUOTE, "a quote is not closed", "close the quote"),
    (_OPEN_BRACKET, "a bracket is not closed", "close the bracket"),
    ("did not find expected <document start>", "text before or after the keys", "indent it or quote it"),
    ("did not find expected key", "a line is not a key", "check its indentation and quotes"),
    ("did not find expected", "a bracket, a comma or a dash is missing", "check brackets and indentation"),
    ("found character that cannot start", "a value begins with a tab or a special character", "use spaces; quote it"),
    ("found character '\\t'", "a value begins with a tab or a special character", "use spaces; quote it"),
    ("found a tab character that violates indentation", "a tab indents a line", "indent it with spaces"),
    ("found unknown escape character", "an unknown escape in double quotes", "use single quotes"),
    ("found invalid Unicode character", _NO_CHARACTER, "write the character itself"),
    ("found undefined alias", "an alias without an anchor", "quote the value"),
    ("control characters are not allowed", "a control character", "remove it"),
)


class _Places(NamedTuple):
    """Where marks of PyYAML are in a file. Lines of YAML 1.1, but not of files, also end at U+0085, U+2028, U+2029."""

    first_line: int
    text: str | None  # None if it has no such sign

    def at(self, mark: Any) -> tuple[int, int]:
        """Line and column of a mark, from 1."""
        if self.text is None:
            return self.first_line + mark.line, mark.column + 1
        return place_at(self.text, self.first_line, mark.index)


def read_yaml(text: str, first_line: int, allowed: AllowedKeys, limits: Limits) -> FrontMatter:
    """The mapped keys of a YAML map. Raises FrontMatterError.

    Two escapes of surrogates are the character that they are in JSON, because programs write JSON as YAML.
    """
    try:
        return _read(text, first_line, allowed, limits, _Loader)
    except FrontMatterError as error:
        if _NO_CHARACTER not in error.what or not _SURROGATES.search(text):
            raise
    return _read(text, first_line, allowed, limits, _PairLoader)


def _read(text: str, first_line: int, allowed: AllowedKeys, limits: Limits, make_loader: type[Any]) -> FrontMatter:
    loader = None
    has_others = not text.isascii() and _OTHER_BREAK.search(text)
    places = _Places(first_line, text if has_others else None)
    try:
        _check_limits(text, limits, places, make_loader)
        loader = make_loader(text)
        root = loader.get_single_node()
        return FrontMatter(allowed) if root is None else _pick(loader, root, places, allowed)
    except yaml.MarkedYAMLError as error:
        mark, problem = _find_opening(error, text, make_loader) or (
            error.problem_mark or error.context_mark,
            error.problem or "",
        )
        raise _syntax_error(places.at(mark) if mark else (first_line, 1), problem) from None
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position)
        raise _syntax_error((first_line + line, 1), "control characters are not allowed") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
        raise _syntax_error((first_line, 1), "") from None
    finally:
        if loader is not None:
            loader.dispose()


def _pick(loader: _Loader, root: yaml.Node, places: _Places, allowed: AllowedKeys) -> FrontMatter:
    if not isinstance(root, yaml.MappingNode):
        raise FrontMatterError(places.first_line, 1, "front matter is not a map of keys", "write 'key: value' lines")
    front_matter = FrontMatter(allowed)
    pairs = _pairs(root)

    def place(index: int, *, of_value: bool = False) -> tuple[int, int]:
        return places.at(pairs[index][of_value].start_mark)

    front_matter.refuse_repeated((key.value for key, _ in pairs), place)
    loader.flatten_mapping(root)
    pairs = _pairs(root)
    front_matter.take(((key.value, node) for key, node in pairs), partial(_read_value, loader), place)
    return front_matter


def _pairs(node: yaml.MappingNode) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    return [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def yaml_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line, from 1, of each key of a YAML map and of the maps in it, by its path. Empty if the text is not valid;
    its limits must have been checked."""
    try:
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return {}
    ends = [end.start() for end in _LINE_END.finditer(text)]
    lines = dict[tuple[str, ...], int]()
    maps: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = set[int]()  # an alias may repeat a map, even within itself
    while maps:
        above, node = maps.pop()
        if not isinstance(node, yaml.MappingNode) or id(node) in seen:
            continue
        seen.add(id(node))
        for key, value in _pairs(node):
            path = (*above, key.value)
            lines[path] = bisect_left(ends, key.start_mark.index) + 1
            maps.append((path, value))
    return lines


def _read_value(loader: _Loader, node: yaml.Node) -> Any:
    try:
        return _make_value(loader, node)
    except (yaml.constructor.ConstructorError, RecursionError):
        return Opaque()


def _syntax_error(position: tuple[int, int], problem: str) -> FrontMatterError:
    """The error of invalid YAML, at this line and column."""
    known = ((what, hint) for start, what, hint in _MESSAGES if start in problem)
    what, hint = next(known, ("it cannot be read", "check it with a YAML linter"))
    return FrontMatterError(*position, f"front matter is not valid YAML: {what}", hint)


def _find_opening(
    error: yaml.MarkedYAMLError, text: str, make_loader: type[Any]
) -> tuple[yaml.Mark | None, str] | None:
    """For an error because a quote or bracket before it is not closed: where that is, and the problem.

    A quote that is not closed ends at the first quote of a later line, and the error is what follows there.
    """
    if error.context == "while scanning a quoted scalar" and (error.problem or "").startswith("found unexpected"):
        return error.context_mark, _OPEN_QUOTE
    if error.problem_mark is None:
        return None
    at = error.problem_mark.index
    opened: list[yaml.Token] = []
    try:
        for token in yaml.scan(text, make_loader):
            start, end = token.start_mark, token.end_mark
            is_quoted = isinstance(token, yaml.ScalarToken) and token.style in _QUOTES
            if is_quoted and end.index == at and start.line < end.line:
                return start, _OPEN_QUOTE
            if type(token) in _CLOSING and start.index < at:
                opened.append(token)
            elif opened and type(token) is _CLOSING[type(opened[-1])]:
                opened.pop()
    except yaml.YAMLError:
        return None
    return (opened[-1].start_mark, _OPEN_BRACKET) if opened else None


def _check_limits(text: str, limits: Limits, places: _Places, make_loader: type[Any]) -> None:
    """Raises for front matter beyond the limits, before any recursion.

    PyYAML's events need no recursion. Most texts need no count.
    """
    plain = not ("&" in text and _ANCHOR.search(text)) and places.text is None
    if plain and is_surely_within(text, limits):
        return
    try:
        _count_nodes(yaml.parse(text, make_loader), limits, places)
    except yaml.YAMLError:
        return  # the loader raises it again, with a position


def is_surely_within(text: str, limits: Limits) -> bool:
    """True if a text without anchors, whose lines end in LF, is surely within the limits, by counting characters.

    Two levels need a bracket or a column of indentation, and every value has a punctuation mark or a line end.
    """
    brackets = text.count("[") + text.count("{")
    marks = len(text) if 2 * len(text) <= limits.nodes else brackets + sum(map(text.count, ",:?-\n"))
    columns = (limits.depth - 2) // 2 - brackets
    return columns >= 0 and 2 * marks + 2 <= limits.nodes and not _over_columns(columns).search(f"\n{text}")


@lru_cache(maxsize=64)
def _over_columns(columns: int) -> re.Pattern[str]:
    """A pattern that finds lines with more than `columns` of indentation, list marks included."""
    return re.compile(rf"\n[ \t?:-]{{{columns + 1}}}")


def _count_nodes(events: Iterable[yaml.Event], limits: Limits, places: _Places) -> None:
    total = 0
    open_nodes: list[tuple[str, int]] = []  # anchor or '', number of nodes before it
    sizes: dict[str, int] = {}  # nodes that an alias to this anchor repeats
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor or "", total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            sizes.pop(event.anchor or "", None)
        if len(open_nodes) > limits.depth or total > limits.nodes:
            make_error = FrontMatterError.too_deep if len(open_nodes) > limits.depth else FrontMatterError.too_many
            raise make_error(*places.at(event.start_mark) if event.start_mark else (places.first_line, 1))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C when the wheel has it."""


class _PairLoader(yaml.SafeLoader):
    """The safe loader in Python, which reads the escapes of surrogates; here only those of a pair."""

    def scan_flow_scalar_non_spaces(self, double: bool, start_mark: yaml.Mark) -> list[str]:
        text = "".join(super().scan_flow_scalar_non_spaces(double, start_mark))
        try:
            return [text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")]
        except UnicodeDecodeError:
            problem = "found invalid Unicode character escape code"
            raise yaml.scanner.ScannerError("while parsing a quoted scalar", start_mark, problem, start_mark) from None


_TEXT, _MAP, _LIST = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_SPELLED = frozenset({_TEXT, "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"})  # '=' and '<<' count as text
_MAKERS = {
    f"tag:yaml.org,2002:{name}": getattr(yaml.SafeLoader, f"construct_yaml_{name}")
    for name in ("null", "bool", "int", "float", "timestamp")
}


def _make_value(loader: _Loader, node: yaml.Node) -> Any:
    """The value of a node: scalars other than text as Scalar. Raises ConstructorError, RecursionError."""
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.tag in _SPELLED else _make_scalar(loader, node)
    if node.tag == _LIST and isinstance(node, yaml.SequenceNode):
        return [_make_value(loader, item) for item in node.value]
    if node.tag == _MAP and isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        return {key.value: _make_value(loader, item) for key, item in _pairs(node)}
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
        return str(node.value)  # invalid dates and bools, and huge ints, become text
