"""What the documents must name, and the words that messages, help and headings must not use."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from corpus import CHECKOUT

import aggregator
from aggregator import cli, errors
from aggregator.config.schema import config_schema

PACKAGE = Path(aggregator.__file__).parent
DOCS = sorted([*(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"])
SPEC = (CHECKOUT / "docs" / "spec.md").read_text()
README = (CHECKOUT / "README.md").read_text()
SAMPLE = (CHECKOUT / "config" / "aggregator.toml").read_text()
GROUP = cli.commands
CONTEXT = click.Context(GROUP, info_name="aggregator")
COMMANDS = {name: GROUP.get_command(CONTEXT, name) for name in GROUP.list_commands(CONTEXT)}


def code_in(text: str) -> str:
    """The code spans and code blocks of a Markdown document, one a line."""
    blocks = re.findall(r"^```.*?^```|^(?: {4}.*\n)+", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`[^`\n]+`", text)])


def names(text: str, name: str) -> bool:
    """Whether a text names a key, an option or a path, not as a part of another."""
    return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


# what must be named


def keys_of(node: Any, definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    """The keys of a JSON Schema, with those of the tables in them."""
    if isinstance(node, list):
        for part in node:
            yield from keys_of(part, definitions, path)
    elif isinstance(node, dict):
        reference = node.get("$ref", "").rpartition("/")[2]
        yield from keys_of(definitions.get(reference), definitions, path)
        for name, part in node.get("properties", {}).items():
            yield f"{path}{name}"
            yield from keys_of(part, definitions, f"{path}{name}.")
        for name in ("anyOf", "oneOf", "items"):
            yield from keys_of(node.get(name), definitions, path)


def test_every_config_key_is_documented() -> None:
    schema = config_schema()
    keys = set(keys_of(schema, schema["$defs"]))
    assert len(keys) > 60
    prose = code_in("".join((CHECKOUT / "docs" / f"{name}.md").read_text() for name in ("spec", "records", "feeds")))
    missing = {
        key for key in keys if not names(prose, key.rpartition(".")[2]) and not names(SAMPLE, key.rpartition(".")[2])
    }
    assert missing == set()


@cache
def options_of(command: click.Command) -> frozenset[str]:
    """The long names of the options of a command."""
    return frozenset(
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
        if name.startswith("--")
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_its_options_are_documented(name: str) -> None:
    documented = code_in(SPEC)
    assert re.search(rf"`{name}[ `]", documented), f"docs/spec.md does not name {name}"
    assert names(code_in(README), f"aggregator {name}"), f"README.md does not name {name}"
    missing = {option for option in options_of(COMMANDS[name]) if not names(documented, option)}
    assert missing == set(), f"docs/spec.md does not name the options {sorted(missing)}"


def test_options_of_all_commands_are_documented() -> None:
    assert {option for option in options_of(GROUP) if not names(code_in(SPEC), option)} == set()


def test_every_path_of_the_service_is_documented() -> None:
    strings = {
        node.value
        for path in (PACKAGE / "serve").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    paths = {text for text in strings if re.fullmatch(r"/[a-z]{3,}", text)}
    assert {"/healthz", "/readyz"} <= paths
    documented = code_in("".join(path.read_text() for path in DOCS))
    assert {path for path in paths if not names(documented, path)} == set()


def test_every_migration_says_what_it_does() -> None:
    for path in sorted((PACKAGE / "store" / "migrations" / "versions").glob("0*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
        assert len(first.split()) > 2, path.name


def test_the_architecture_lists_the_modules_that_there_are() -> None:
    listed, folder = set(), ""
    rows = re.findall(r"^\| (· )?((?:`[\w/.]+`,? )+)\|", (CHECKOUT / "docs/architecture.md").read_text(), re.MULTILINE)
    for dot, cell in rows:
        for name in re.findall(r"`([^`]+)`", cell):
            folder = folder if dot else name if name.endswith("/") else ""
            listed.add(f"{folder}{name}.py" if dot else name)
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}
    assert {name for name in listed if re.search(r"\w\.py$", name)} == {
        name for name in found if not name.endswith("__init__.py")
    }


def test_every_link_of_a_document_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for path in DOCS:
        for target in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
        ):
            file, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            there = (path.parent / file) if file else path
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{path.name}: {target}")
    assert broken == []


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link to a heading of a document says behind its #."""
    return frozenset(re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings(path.read_text()))


def headings(text: str) -> list[str]:
    """The headings of a Markdown document."""
    return re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def test_sections_that_code_and_tests_cite_are_there() -> None:
    cited = re.compile(r"docs/(\w+\.md)#([\w-]+)")
    missing = {
        match[0]
        for folder in (PACKAGE, CHECKOUT / "tests")
        for path in folder.rglob("*.py")
        for match in cited.finditer(path.read_text())
        if match[2] not in anchors(CHECKOUT / "docs" / match[1])
    }
    assert missing == set()


def test_the_reference_is_current() -> None:
    path = CHECKOUT / "docs" / "reference.py"
    found = importlib.util.spec_from_file_location("reference", path)
    assert found
    assert found.loader
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    assert path.with_suffix(".md").read_text() == made.reference(), "make reference"


def test_every_picture_is_small_and_shown() -> None:
    pictures = sorted((CHECKOUT / "docs" / "pictures").iterdir())
    assert len(pictures) >= 12
    assert [path.name for path in pictures if path.stat().st_size > 60_000] == []
    shown = "".join(path.read_text() for path in DOCS)
    assert [path.name for path in pictures if f"pictures/{path.name}" not in shown] == []


# the tree of errors


def test_the_tree_of_errors_in_the_docstring_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").split("\n"):
        if match := re.match(r"([│├└─ ]*)([A-Z]\w+Error)\b", line):
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    real = {
        name: value.__mro__[1].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert drawn == real


# the words of the glossary

GLOSSARY_ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]*) ?\|$", re.MULTILINE)
PHRASES_ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
OFTEN_RIGHT = re.compile(r"(?:one|those) that|that of|has (?:it|not)|(?:of|by|with) which|is asked|---|do not write")
"""Phrases that the glossary rules out and a pattern cannot tell from others."""
CALLS = re.compile(r"Problem|Fault|Finding|Rejection|\w*Error|debug|info|warning|error|exception|option|echo|command")


@cache
def ruled_out() -> dict[str, re.Pattern[str]]:
    """The words that the glossary rules out in every sense, with a pattern of their forms."""
    found = {}
    for _, _, words in GLOSSARY_ROW.findall((CHECKOUT / "docs" / "glossary.md").read_text()):
        for word in re.sub(r"[^,]*\([^)]*\)", "", words).split(","):
            if word.strip() and word.strip() not in ("do not use", "---"):
                first, *rest = word.split()
                forms = [rf"{first}(?:s|ed|d|es|ing)?", *rest]
                found[word.strip()] = re.compile(rf"(?<![\w-]){' '.join(forms)}(?![\w-])", re.IGNORECASE)
    for phrases in PHRASES_ROW.findall((CHECKOUT / "docs" / "glossary.md").read_text()):
        for phrase in phrases.split(", "):
            if not OFTEN_RIGHT.fullmatch(phrase):
                found[phrase] = re.compile(rf"(?<![\w-]){phrase}(?![\w-])", re.IGNORECASE)
    return found


def messages(tree: ast.Module) -> Iterator[str]:
    """The texts for people in a module: what problems, errors, the log and help are given, and docstrings' first lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield (ast.get_docstring(node) or "").split("\n")[0]
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if CALLS.fullmatch(name):
                for part in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from strings_in(part)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 2:
            yield node.value.split("\n")[0]


def strings_in(node: ast.AST) -> Iterator[str]:
    """The texts in an expression, less what it calls."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Call):
            yield from strings_in(child)


def help_texts() -> Iterator[str]:
    """All that `--help` prints."""
    for name, command in (("", GROUP), *COMMANDS.items()):
        yield command.get_help(click.Context(command, info_name=f"aggregator {name}"))


def violations() -> set[tuple[str, str, str]]:
    """The file, the word and the text of each use of a word that the glossary rules out."""
    texts = [(path.name, text) for path in DOCS for text in headings(path.read_text())]
    texts += [("--help", line) for text in help_texts() for line in text.split("\n")]
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if "migrations" not in name:  # these name columns as they were called before
            texts += [(name, text) for text in messages(ast.parse(path.read_text()))]
    return {
        (name, word, text.strip())
        for name, text in texts
        for word, pattern in ruled_out().items()
        if pattern.search(text)
    }


def test_messages_help_and_headings_use_no_word_that_the_glossary_rules_out() -> None:
    assert len(ruled_out()) > 10
    found = [f"{name}: {word}: {text}" for name, word, text in sorted(violations())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = Problem('a', 0, 0, 'what is wrong', todo='settle it')", "settle"),
        ("raise StoreError(f'the file {name} vanished')", "vanished"),
        ("_log.info('the feeds were settled in %s', place)", "settle"),
        ("def scan():\n    'Walks a folder.'", "walk"),
        ("@click.option('--x', help='Trials.')\ndef f(): pass", "trial"),
        ("def f():\n    'The config in force.'", "in force"),
    ],
)
def test_a_word_that_is_ruled_out_is_found_where_people_read_it(text: str, word: str) -> None:
    assert any(ruled_out()[word].search(found) for found in messages(ast.parse(text)))
