"""Writes docs/reference.md from the code: commands with their options, and keys of the config (`make reference`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from aggregator import cli
from aggregator.config.schema import PRESETS, config_schema

FILE = Path(__file__).with_suffix(".md")
HEAD = """\
# Reference

Made from the code by `make reference`; a test fails while it is not current. [spec.md](spec.md) has the rules.

- [Commands](#commands-and-options)
- [Config](#keys-of-the-config)
- [Fields and their keys](#fields-and-their-keys)
"""


def reference() -> str:
    """The text of docs/reference.md."""
    return "\n".join([HEAD, *_commands(), *_config(), *_fields()])


def _commands() -> Iterator[str]:
    yield "## Commands and options\n"
    group = cli.commands
    context = click.Context(group, info_name="aggregator")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield f"### aggregator {name}\n"
        yield f"{_sentences(command.help or '')}\n"
        yield "| argument or option | meaning |\n|---|---|"
        for parameter in command.params:
            yield f"| `{_spelling(parameter)}` | {_cell(getattr(parameter, 'help', None) or 'see above')} |"
        yield ""


def _sentences(text: str) -> str:
    """The help of a command without its examples, one paragraph a line."""
    paragraphs = text.replace("\f", "").split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs if not one.lstrip().startswith("\b"))


def _spelling(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(click.Command("x")))
    kind = parameter.type
    values = "/".join(kind.choices) if isinstance(kind, click.Choice) else parameter.metavar or kind.name.upper()
    value = "" if getattr(parameter, "is_flag", False) else f" {values}"
    return ", ".join(parameter.opts) + value


def _config() -> Iterator[str]:
    schema = config_schema()
    yield "## Keys of the config\n"
    yield "Without a default, a key is left out; the example shows what may be written."
    for name, table in schema["properties"].items():
        is_list = "items" in table
        definition = schema["$defs"][_reference(table)]
        yield f"\n### {f'[[{name}]]' if is_list else f'[{name}]'}\n"
        yield "| key | default | example | meaning |\n|---|---|---|---|"
        for key, value in definition["properties"].items():
            yield f"| `{key}` | {_toml(value.get('default'))} | {_example(value)} | {_cell(value['description'])} |"


def _reference(node: Any) -> str:
    """The name of the table that a part of the schema refers to."""
    text: str = json.dumps(node)
    return text.partition("#/$defs/")[2].partition('"')[0]


def _example(value: dict[str, Any]) -> str:
    examples = value.get("examples", [])
    return _toml(examples[0]) if examples else ""


def _toml(value: object) -> str:
    """A value as in the config; empty for an empty one."""
    if value is None or value in ([], {}):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _fields() -> Iterator[str]:
    yield "\n## Fields and their keys\n"
    yield "The keys of front matter that each preset reads; the first one present wins."
    yield "\n| field | " + " | ".join(f"`{preset}`" for preset in PRESETS) + " |"
    yield "|---" * (len(PRESETS) + 1) + "|"
    for field in dict.fromkeys(field for preset in PRESETS.values() for field in preset):
        cells = (", ".join(f"`{key}`" for key in preset.get(field, ())) for preset in PRESETS.values())
        yield f"| `{field}` | {' | '.join(cells)} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(reference())
