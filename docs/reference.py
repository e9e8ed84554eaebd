"""Writes docs/reference.md from the code: commands with their options, keys of the config, fields, and metrics
(`make reference`)."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from prometheus_client.core import Metric

from aggregator import cli
from aggregator.config.presets import PRESETS
from aggregator.config.schema import config_schema
from aggregator.service.metrics import HttpMetrics, ServiceMetrics
from aggregator.store.database import open_store

FILE = Path(__file__).with_suffix(".md")
HEAD = """\
# Reference

Made from the code by `make reference`; a test fails while it is not current. [spec.md](spec.md) has the rules.

- [Commands](#commands-and-options)
- [Config](#keys-of-the-config)
- [Fields and their keys](#fields-and-their-keys)
- [Metrics](#metrics)
"""


def reference() -> str:
    """The text of docs/reference.md."""
    return "\n".join([HEAD, *_commands(), *_config(), *_fields(), *_metrics()])


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


def _metrics() -> Iterator[str]:
    responses = Counter({200: 1})
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.db", create=True)
        families = list(ServiceMetrics(responses, store, lambda: 0).registry.collect())
        store.close()
    in_serve = {family.name for family in HttpMetrics(responses).registry.collect()}
    yield "## Metrics\n"
    yield "What `/metrics` has for Prometheus; [operating.md](operating.md#metrics) says where it is, and what is worth"
    yield "an alert. A label with values has no others.\n"
    yield "| metric | type | labels | is | in `aggregator serve` |\n|---|---|---|---|---|"
    for family in families:
        cells = (f"`{_series(family)}`", family.type, _labels(family), _cell(family.documentation))
        yield f"| {' | '.join(cells)} | {'yes' if family.name in in_serve else ''} |"
    yield ""


def _series(metric: Metric) -> str:
    """The name that a metric has for Prometheus; a histogram's are made from it."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _labels(metric: Metric) -> str:
    """The labels, with their values if these are known before anything happens."""
    values: dict[str, dict[str, None]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    return "; ".join(_label(label, found) for label, found in values.items() if label != "le")


def _label(name: str, values: Iterable[str]) -> str:
    known = [f"`{value}`" for value in values]
    return f"`{name}`: {', '.join(known)}" if len(known) > 1 else f"`{name}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(reference())
