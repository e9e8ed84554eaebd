"""`aggregator init`: a config to begin with, and its folders."""

from __future__ import annotations

import os
import shlex
import uuid
from pathlib import Path

import click

from aggregator.cli.options import DEFAULT_CONFIG, config_option_with
from aggregator.cli.printing import print_lines
from aggregator.cli.schema import schema_text
from aggregator.cli.stores import read_site
from aggregator.config import SCHEMA_NAME, default_config, init_text, load_config
from aggregator.errors import AggregatorError

EPILOG = """\b
Examples:
  aggregator init            write into the working folder
  aggregator init my-site    write into my-site/
"""


@click.command(epilog=EPILOG)
@config_option_with(f"File to write, below DIR.  [default: {DEFAULT_CONFIG}]")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def init(folder: Path, config_path: Path | None) -> None:
    """Write a commented config into DIR (default: the working folder) and make the folders that it names.

    The site gets a new id. If its store exists already, it keeps the id in the store.

    The JSON Schema of the config is written beside it, as aggregator.schema.json, for editors that complete keys
    (Taplo, Even Better TOML). Write it again after an upgrade, with: aggregator schema
    """
    path = folder / (config_path or DEFAULT_CONFIG)
    known_id = read_site(default_config(path, env=os.environ)).get("site_id")
    try:
        folders = _write_config(path, known_id or str(uuid.uuid4()))
    except FileExistsError:
        raise AggregatorError(f"{path} exists already (edit it, or remove it first)") from None
    except OSError as error:
        raise AggregatorError(f"{error.filename} cannot be written: {error.strerror}") from None
    lines = [f"Wrote {path}", *(f"Made  {os.path.relpath(made)}/" for made in folders)]
    if known_id:
        lines.append(f"The ids of entries are made from {known_id!r}, as in the store that exists already")
    command = f"aggregator run --config {shlex.quote(str(path))}" if config_path else "aggregator run"
    change = "" if folder == Path() or config_path else f"cd {shlex.quote(str(folder))} && "
    print_lines([*lines, f"Next: put records into {os.path.relpath(folders[0])}/, then: {change}{command}"])


def _write_config(path: Path, site_id: str) -> list[Path]:
    """Writes the config, its schema and its folders; returns the folders, those of records first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(init_text(site_id))
    path.with_name(SCHEMA_NAME).write_text(f"{schema_text()}\n", encoding="utf-8")
    config = load_config(path, env={})
    folders = [*(Path(source.root) for source in config.sources), config.output.path]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders
