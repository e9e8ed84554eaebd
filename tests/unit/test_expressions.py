"""Every regular expression of the package is linear in the text, whatever the text, as it is used."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]  # how an expression is made: the only way to learn it
from re import _parser  # type: ignore[attr-defined]
from time import thread_time
from typing import Any

import pytest

import aggregator
from aggregator import unicode
from aggregator.parse.front_matter import yaml as yaml_front_matter

PACKAGE = Path(aggregator.__file__).parent
TINY, SHORT, LONG = 1_500, 6_000, 24_000
"""Characters of the texts: four times as many take a linear expression four times as long, a quadratic one 16 times."""
FREE_S = 0.004
"""Processor time that needs no second look: linear expressions take a tenth of it for a short text."""
MAX_RATIO = 8
MADE = {
    "unicode.py:_long_runs": unicode._long_runs,
    "parse/front_matter/yaml.py:_over_columns": lambda: yaml_front_matter._over_columns(40),
}
"""Expressions that a function makes, by the function."""
Use = Callable[[re.Pattern[str], str], object]
USES: Mapping[str, Use] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "finditer": lambda pattern, text: sum(1 for _ in pattern.finditer(text)),
}
_USED_AS = {"sub": "finditer", "subn": "finditer", "findall": "finditer", "split": "finditer"}


def find_patterns() -> dict[str, tuple[re.Pattern[str], frozenset[str]]]:
    """The expressions of all modules, each with the ways it is used, by where it is."""
    found: dict[str, tuple[re.Pattern[str], frozenset[str]]] = {}
    for module in pkgutil.walk_packages(aggregator.__path__, "aggregator."):
        if module.name.endswith("__main__") or ".migrations" in module.name:
            continue
        loaded = importlib.import_module(module.name)
        text = Path(loaded.__file__ or "").read_text("utf-8")
        values = {name: patterns for name, value in vars(loaded).items() if (patterns := [*patterns_in(value)])}
        if not values and not re.search(r"\bre\.", text):
            continue  # parsing all modules takes seconds, at each start of pytest
        nodes = [*ast.walk(ast.parse(text))]
        for name, patterns in values.items():
            for number, pattern in enumerate(patterns):
                found[f"{module.name}.{name}.{number}"] = pattern, uses_of(name, nodes)
        for number, pattern in enumerate(patterns_written_in(nodes)):
            found[f"{module.name}, in a call, {number}"] = pattern, frozenset(("finditer",))
    for name, make in MADE.items():
        found[name] = make(), frozenset(("finditer",))
    return found


def patterns_in(value: Any) -> Iterator[re.Pattern[str]]:
    """The expressions of a value of a module."""
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, Mapping):
        yield from itertools.chain.from_iterable(map(patterns_in, value.values()))
    elif isinstance(value, tuple | list | set | frozenset):
        yield from itertools.chain.from_iterable(map(patterns_in, value))


def uses_of(name: str, nodes: list[ast.AST]) -> frozenset[str]:
    """How a module uses the expression of that name; in all ways where it cannot be seen."""
    uses = {
        _USED_AS.get(node.attr, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    return frozenset(uses & USES.keys()) or frozenset(("fullmatch", "finditer"))


def patterns_written_in(nodes: list[ast.AST]) -> Iterator[re.Pattern[str]]:
    """The expressions that stand in calls such as `re.split("[-_ ]+", name)`."""
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef))
    for node in itertools.chain.from_iterable(map(ast.walk, functions)):
        if is_call_of_re(node) and isinstance(getattr(node.args[0], "value", None), str):  # type: ignore[attr-defined]
            yield re.compile(node.args[0].value)  # type: ignore[attr-defined]


def is_call_of_re(node: ast.AST) -> Any:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in ("compile", "match", "fullmatch", "search", "finditer", *_USED_AS)
        and node.args
    )


def hostile_texts(pattern: re.Pattern[str], size: int) -> Iterator[str]:
    """Texts that repeat what the expression looks for, begun as it begins and ended as it never does."""
    letters = list(dict.fromkeys(letters_of(_parser.parse(pattern.pattern, pattern.flags))))[:10]
    words = {*letters, *map("".join, itertools.permutations(letters[:7], 2)), "a ", " a", "\n ", "a\n", "1:", "<a "}
    openings = {
        "",
        "".join(letters[:1]),
        "".join(itertools.islice(letters_of(_parser.parse(pattern.pattern, pattern.flags)), 8)),
    }
    for opening, word in itertools.product(sorted(openings), sorted(words)):
        for ending in ("\0", ""):
            yield opening + word * (size // len(word)) + ending


def letters_of(parsed: Any) -> Iterator[str]:
    """A letter for each thing that an expression looks for, in its order."""
    for code, value in parsed:
        if code in (codes.LITERAL, codes.NOT_LITERAL):
            yield chr(value) if code is codes.LITERAL else "x"
        elif code is codes.ANY:
            yield "x"
        elif code is codes.IN:
            yield letter_of(value)
        elif code is codes.BRANCH:
            yield from itertools.chain.from_iterable(map(letters_of, value[1]))
        elif code in (codes.SUBPATTERN, codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            yield from letters_of(value[-1])
        elif code is codes.ATOMIC_GROUP:
            yield from letters_of(value)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            yield from letters_of(value[1])


def letter_of(members: Any) -> str:
    """A letter of a set."""
    pattern = re.compile("[" + "".join(map(member_of, members)) + "]")
    return next((letter for letter in "a0 ,-.x<=\"'\n:;é\u0301\u4e00\ud800" if pattern.match(letter)), "~")


def member_of(member: Any) -> str:
    code, value = member
    if code is codes.NEGATE:
        return "^"
    if code is codes.LITERAL:
        return re.escape(chr(value))
    if code is codes.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return {"digit": r"\d", "not_digit": r"\D", "space": r"\s", "not_space": r"\S", "word": r"\w", "not_word": r"\W"}[
        str(value).lower().removeprefix("category_")
    ]


def is_linear(pattern: re.Pattern[str], use: Use) -> str | None:
    """The beginning of a text for which the expression is not linear, None if there is none."""
    for tiny, short, long in zip(*(hostile_texts(pattern, size) for size in (TINY, SHORT, LONG)), strict=True):
        # what the first two show already needs no long text, which takes seconds
        if cost(pattern, use, short) > FREE_S and (
            grows(pattern, use, tiny, short) or grows(pattern, use, short, long)
        ):
            return short[:20]
    return None


def grows(pattern: re.Pattern[str], use: Use, short: str, long: str) -> bool:
    """Whether the expression takes more than linear time from the one text to the other."""
    return all(cost(pattern, use, long) > MAX_RATIO * cost(pattern, use, short) for _ in range(3))


def cost(pattern: re.Pattern[str], use: Use, text: str) -> float:
    """Processor time in seconds."""
    began = thread_time()
    use(pattern, text)
    return thread_time() - began


PATTERNS = find_patterns()


@pytest.mark.parametrize("name", PATTERNS)
def test_an_expression_takes_linear_time_for_any_text(name: str) -> None:
    pattern, uses = PATTERNS[name]

    assert {use: is_linear(pattern, USES[use]) for use in uses} == dict.fromkeys(uses)


@pytest.mark.parametrize("quadratic", [r"[\s,]*+(\S++)", r"a.*b", r"\s+$", r"<i[^>]*?\ssrc=x"])
def test_expressions_that_are_not_linear_are_detected(quadratic: str) -> None:
    assert is_linear(re.compile(quadratic), USES["finditer"]) is not None


def test_every_expression_of_the_package_is_tested() -> None:
    made = set()
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if is_call_of_re(node) and not isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
                        made.add(f"{path.relative_to(PACKAGE).as_posix()}:{function.name}")
    # for names of files, which have 255 bytes at most
    assert made - MADE.keys() == {"files/record_filter.py:_any_pattern"}
