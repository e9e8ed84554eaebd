"""Front matter: the text of a file -> its keys with their places, and its body.

The home of python-frontmatter and PyYAML. Only the keys that are asked for are ever made into values: what is not
public does not leave this module, not in an error either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import BaseHandler

_FENCE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_PREFIX = re.compile(r"^[ \t?:-]+", re.MULTILINE)
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&\S", re.MULTILINE)
_SAYINGS = (
    ("mapping values are not allowed", "a ':' stands where no key can be", "put the value in quotes"),
    ("block sequence entries are not allowed", "a '-' stands where no list can begin", "put the list on its own lines"),
    ("could not find expected ':'", "a key without its ':'", "write 'key: value'"),
    ("found unexpected end of stream", "a quote that is never closed", "close the quote"),
    ("did not find expected <document start>", "a text before or after the keys", "indent it or put it in quotes"),
    ("did not find expected key", "a line that is no key here", "check its indentation and quotes"),
    ("did not find expected", "a bracket, a comma or a dash is missing", "check brackets and indentation"),
    ("found character that cannot start", "a tab or a sign that can begin no value", "use spaces; quote the value"),
    ("found character '\\t'", "a tab or a sign that can begin no value", "use spaces; quote the value"),
    ("found unknown escape character", "a backslash that means nothing in double quotes", "use single quotes"),
    ("found undefined alias", "an alias to no anchor", "put the value in quotes"),
    ("could not determine a constructor", "a tag that is not known", "remove the '!'"),
    ("control characters are not allowed", "a control character", "remove it"),
)


class FrontMatterError(Exception):
    """The front matter cannot be used. `line` and `column` count from 1; `unclosed`: no closing fence."""

    def __init__(self, line: int, column: int, what: str, todo: str, *, unclosed: bool = False) -> None:
        super().__init__(what)
        self.line, self.column, self.what, self.todo, self.unclosed = line, column, what, todo, unclosed


class Scalar(str):
    """A value that is not text, as the file spells it; `value` is what it means (a bool, number, date or None)."""

    value: object

    def __new__(cls, spelling: str, value: object) -> Scalar:
        made = super().__new__(cls, spelling)
        made.value = value
        return made


@dataclass(frozen=True, slots=True)
class Value:
    """A top-level value and where it begins: texts are str, other scalars Scalar, the rest dicts and lists of them."""

    value: Any
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How deep front matter may nest, and how many values it may hold with aliases written out."""

    depth: int
    nodes: int


def read_front_matter(text: str, keys: frozenset[str], limits: Limits) -> tuple[dict[str, Value], str]:
    """The `keys` that the front matter of `text` has, and the body. Raises FrontMatterError."""
    handler = _YamlHandler(keys, limits, _leading_lines(text))
    values, body = frontmatter.parse(text, handler=handler)
    return values, body  # type: ignore[return-value]  # the handler decides what the values are


class _YamlHandler(BaseHandler):  # type: ignore[misc]  # the base class is untyped
    """Splits at exact fences, refuses what the default handler silently takes for no front matter."""

    def __init__(self, keys: frozenset[str], limits: Limits, skipped: int) -> None:
        self._keys, self._limits = keys, limits
        self._first_line = skipped + 2

    def split(self, text: str) -> tuple[str, str]:
        """The front matter and the body; errors are never ValueError, which the library swallows."""
        opening = _FENCE.match(text)
        if opening is None:
            cut = "\n" not in text and "---".startswith(text[:3].rstrip())
            raise FrontMatterError(
                self._first_line - 1, 1, "no front matter", "begin the file with a line '---'", unclosed=cut
            )
        closing = _FENCE.search(text, opening.end())
        if closing is None:
            raise FrontMatterError(
                self._first_line - 1, 1, "front matter without an end", "close it with a line '---'", unclosed=True
            )
        return text[opening.end() + 1 : closing.start()], text[closing.end() + 1 :]

    def load(self, fm: str) -> dict[str, Value]:
        """The wanted keys of the YAML map `fm`."""
        loader = _Loader(fm)
        try:
            _check_limits(fm, self._limits, self._first_line)
            root = loader.get_single_node()
            if root is None:
                return {}
            return self._wanted(loader, root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (-1, 0)
            raise self._refusal(line, column, error.problem or "") from None
        except yaml.reader.ReaderError as error:
            raise self._refusal(fm.count("\n", 0, error.position), 0, "control characters are not allowed") from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
            raise self._refusal(-1, 0, "") from None
        finally:
            loader.dispose()

    def _wanted(self, loader: _Loader, root: yaml.Node) -> dict[str, Value]:
        if not isinstance(root, yaml.MappingNode):
            raise FrontMatterError(self._first_line, 1, "front matter is not a map of keys", "write 'key: value' lines")
        self._refuse_twice(root)
        loader.flatten_mapping(root)
        values = {}
        for key, node in root.value:
            if key.value in self._keys and isinstance(key, yaml.ScalarNode):
                mark = node.start_mark
                values[key.value] = Value(
                    loader.construct_object(node, deep=True), self._first_line + mark.line, mark.column + 1
                )
        return values

    def _refuse_twice(self, root: yaml.MappingNode) -> None:
        """YAML 1.2 3.2.1.1: keys MUST be unique; the loader takes the last one in silence."""
        seen = set()
        for key, _ in root.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    shown = f" '{key.value}'" if key.value in self._keys else ""
                    mark = key.start_mark
                    raise FrontMatterError(
                        self._first_line + mark.line,
                        mark.column + 1,
                        f"the key{shown} stands twice",
                        "keep one of them",
                    )
                seen.add(key.value)

    def _refusal(self, line: int, column: int, problem: str) -> FrontMatterError:
        for start, what, todo in _SAYINGS:
            if start in problem:
                break
        else:
            what, todo = "it cannot be read", "check it with a YAML linter"
        if line < 0:
            return FrontMatterError(self._first_line, 1, f"front matter is not valid YAML: {what}", todo)
        return FrontMatterError(self._first_line + line, column + 1, f"front matter is not valid YAML: {what}", todo)


def _check_limits(fm: str, limits: Limits, first_line: int) -> None:
    """Refuses what nests too deep or holds too much, before any recursion meets it.

    The parser's events come one by one without recursion. Most files cannot pass the limits by their look alone (a level
    takes a bracket, or a column before the first word) and are not counted.
    """
    brackets = fm.count("[") + fm.count("{")
    columns = max(map(len, _PREFIX.findall(fm)), default=0)
    if brackets + 2 * columns + 2 <= limits.depth and len(fm) <= 2 * limits.nodes and not _ANCHOR.search(fm):
        return
    try:
        _count_nodes(yaml.parse(fm, _Loader), limits, first_line)
    except yaml.YAMLError:
        return  # the loader meets it again and says where


def _count_nodes(events: Iterable[yaml.Event], limits: Limits, first_line: int) -> None:
    total = 0
    open_nodes: list[tuple[str | None, int]] = []  # anchor, nodes before it
    weights: dict[str, int] = {}
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            total += weights.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                weights[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        else:
            continue
        mark = event.start_mark
        if len(open_nodes) > limits.depth:
            raise FrontMatterError(
                first_line + mark.line, mark.column + 1, "front matter nests too deep", "flatten it or raise max_depth"
            )
        if total > limits.nodes:
            raise FrontMatterError(
                first_line + mark.line, mark.column + 1, "front matter holds too much", "cut it or raise max_nodes"
            )


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C when the wheel has it
    """The safe loader, with every scalar that is not text kept as it is spelled."""


def _construct_scalar(construct: Any) -> Any:
    def construct_kept(loader: _Loader, node: yaml.ScalarNode) -> str:
        try:
            value = construct(loader, node)
        except ValueError:  # such as 2020-02-30, or an int of 5,000 digits: it is the text that it is
            return str(node.value)
        return Scalar(node.value, value)

    return construct_kept


for _tag in ("null", "bool", "int", "float", "timestamp"):
    _Loader.add_constructor(
        f"tag:yaml.org,2002:{_tag}", _construct_scalar(getattr(yaml.SafeLoader, f"construct_yaml_{_tag}"))
    )


def _leading_lines(text: str) -> int:
    """How many lines the library strips from the start of `text`."""
    return text.count("\n", 0, len(text) - len(text.lstrip()))
