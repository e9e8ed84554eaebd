"""`aggregator schema`: the JSON Schema of the config."""

from __future__ import annotations

import json

import click

from aggregator.cli.printing import check_stdout, print_line
from aggregator.config import config_schema

EPILOG = """\b
Example:
  aggregator schema > config/aggregator.schema.json
"""


@click.command(epilog=EPILOG)
@click.option(
    "-c", "--config", type=click.Path(), expose_value=False, help="Ignored: the schema is the same for every config."
)
def schema() -> None:
    """Print the JSON Schema of the config file, for completion in editors."""
    print_line(schema_text())
    check_stdout()


def schema_text() -> str:
    """The JSON Schema as it is printed and written."""
    return json.dumps(config_schema(), indent=2)
